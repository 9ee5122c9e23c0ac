package keyspace

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// First bytes of what is no single command, beside commandVersion.
const (
	transactionVersion = 2
	watchVersion       = 3
)

// A Watch is a key that a transaction depends on, with the number that it had
// when WATCH was called: see AppendWatch.
type Watch struct {
	DB     int
	Key    []byte
	Number uint64
}

// A Step is one command of a transaction.
type Step struct {
	DB   int
	Args [][]byte // as for AppendCommand; nil where Reply is the answer

	// Reply is RESP that the step is answered with, nothing else being done.
	// It is for commands that the keyspace does not know, like SELECT and PING.
	Reply []byte
}

// Kinds of steps.
const (
	stepCommand = 1
	stepReply   = 2
)

// AppendTransaction appends to dst what MULTI and EXEC make of steps, as the
// log holds it: they are executed in order, with nothing between, if all
// watches have their numbers still. The reply is an array of theirs, in the
// RESP version proto, or else the absence of an array. A step that fails does
// not keep the next ones from being executed.
//
// Steps that all only read may be sent as a query.
//
//	byte    2, the version of this format
//	byte    proto
//	uvarint number of watches
//	for each watch:
//	  byte    db
//	  uvarint length of the key
//	  bytes   key
//	  uvarint number
//	uvarint number of steps
//	for each step:
//	  byte    1 a command, 2 a reply
//	  uvarint length
//	  bytes   a command as AppendCommand has it, or RESP
func AppendTransaction(dst []byte, proto int, watches []Watch, steps []Step) []byte {
	dst = append(dst, transactionVersion, byte(proto))
	dst = appendWatches(dst, watches)
	dst = binary.AppendUvarint(dst, uint64(len(steps)))
	var cmd []byte
	for _, s := range steps {
		if s.Args == nil {
			dst = append(dst, stepReply)
			dst = appendBytes(dst, s.Reply)
			continue
		}
		cmd = AppendCommand(cmd[:0], s.DB, proto, s.Args)
		dst = append(dst, stepCommand)
		dst = appendBytes(dst, cmd)
	}
	return dst
}

// AppendWatch appends to dst the query for the present numbers of watches,
// whose own are ignored. ReadWatch reads the reply. A number is another one
// after any change of its key, whoever made it, and expiry is one. That of a
// key that is absent may change without a change of the key.
//
//	byte    3, the version of this format
//	watches as in a transaction, the numbers 0
//
// The reply is the byte 3, then each number in 8 bytes, big endian.
func AppendWatch(dst []byte, watches []Watch) []byte {
	dst = append(dst, watchVersion)
	bare := make([]Watch, len(watches))
	for i, w := range watches {
		bare[i] = Watch{DB: w.DB, Key: w.Key}
	}
	return appendWatches(dst, bare)
}

// errNotWatch is what ReadWatch says of another reply.
var errNotWatch = errors.New("not a reply to a query for watches")

// ReadWatch puts the numbers of a reply into watches, which are those of the
// query.
func ReadWatch(reply []byte, watches []Watch) error {
	if len(reply) != 1+8*len(watches) || reply[0] != watchVersion {
		return errNotWatch
	}
	for i := range watches {
		watches[i].Number = binary.BigEndian.Uint64(reply[1+8*i:])
	}
	return nil
}

func appendBytes(dst, b []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(b)))
	return append(dst, b...)
}

func appendWatches(dst []byte, watches []Watch) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(watches)))
	for _, w := range watches {
		dst = append(dst, byte(w.DB))
		dst = appendBytes(dst, w.Key)
		dst = binary.AppendUvarint(dst, w.Number)
	}
	return dst
}

// A transaction is what AppendTransaction wrote, looked up.
type transaction struct {
	proto   int
	watches []Watch
	steps   []step
}

// A step is a command, or a reply where cmd is nil.
type step struct {
	cmd   *Command
	index int
	args  [][]byte
	reply []byte
}

// decodeTransaction reads what AppendTransaction wrote. What it returns points
// into data.
func decodeTransaction(data []byte) (*transaction, error) {
	if len(data) < 2 || data[0] != transactionVersion || data[1] != 2 && data[1] != 3 {
		return nil, errMalformed
	}
	t := &transaction{proto: int(data[1])}
	var ok bool
	if t.watches, data, ok = cutWatches(data[2:]); !ok {
		return nil, errMalformed
	}
	count, data, ok := cutUvarint(data)
	if !ok || count > uint64(len(data)) {
		return nil, errMalformed
	}
	t.steps = make([]step, 0, count)
	for range count {
		if len(data) == 0 {
			return nil, errMalformed
		}
		kind := data[0]
		var body []byte
		if body, data, ok = cutBytes(data[1:]); !ok {
			return nil, errMalformed
		}
		s, err := readStep(kind, body, t.proto)
		if err != nil {
			return nil, err
		}
		t.steps = append(t.steps, s)
	}
	if len(data) > 0 {
		return nil, errMalformed
	}
	return t, nil
}

func readStep(kind byte, body []byte, proto int) (s step, err error) {
	switch kind {
	case stepReply:
		s.reply = body
		return s, nil
	case stepCommand:
		var its int
		s.index, its, s.args, err = decodeCommand(nil, body)
		if err != nil {
			return s, err
		}
		if its != proto {
			return s, errMalformed
		}
		var found bool
		if s.cmd, found = Lookup(s.args[0]); !found {
			return s, errUnknownName(s.args[0])
		}
		return s, nil
	}
	return s, errMalformed
}

func errUnknownName(name []byte) error { return fmt.Errorf("unknown command %.128q", name) }

func cutBytes(data []byte) (b, rest []byte, ok bool) {
	n, rest, ok := cutUvarint(data)
	if !ok || n > uint64(len(rest)) {
		return nil, nil, false
	}
	return rest[:n:n], rest[n:], true
}

func cutWatches(data []byte) (watches []Watch, rest []byte, ok bool) {
	count, data, ok := cutUvarint(data)
	if !ok || count > uint64(len(data)) {
		return nil, nil, false
	}
	for range count {
		if len(data) == 0 || data[0] >= Databases {
			return nil, nil, false
		}
		w := Watch{DB: int(data[0])}
		if w.Key, data, ok = cutBytes(data[1:]); !ok {
			return nil, nil, false
		}
		if w.Number, data, ok = cutUvarint(data); !ok {
			return nil, nil, false
		}
		watches = append(watches, w)
	}
	return watches, data, true
}

// writes reports whether a step does.
func (t *transaction) writes() bool {
	for _, s := range t.steps {
		if s.cmd != nil && s.cmd.Writes {
			return true
		}
	}
	return false
}

// transact executes a transaction. What was refused for want of room counts as
// refused only if nothing else was written.
func (c *call) transact(t *transaction) {
	c.reply.proto = t.proto
	for _, w := range t.watches {
		if c.watched(w) != w.Number {
			c.reply.nullArray()
			return
		}
	}
	c.reply.array(len(t.steps))
	isRefused, isDone := false, false
	for _, s := range t.steps {
		if s.cmd == nil {
			c.reply.buf = append(c.reply.buf, s.reply...)
			continue
		}
		c.cmd, c.args = s.cmd, s.args
		c.index, c.db = s.index, c.space.dbs[s.index]
		c.run()
		if c.tx == nil {
			continue
		}
		isDone = isDone || s.cmd.Writes && !c.tx.Refused
		isRefused = isRefused || c.tx.Refused
		c.tx.Refused = false
	}
	if isRefused && !isDone {
		c.tx.Refused = true
	}
}

// watched returns the present number of a watched key.
func (c *call) watched(w Watch) uint64 {
	db := c.space.dbs[w.DB]
	return db.watched(db.find(c.space.hash(w.Key), w.Key), c.at.Lease)
}

// replyWatches answers a query for watches.
func (c *call) replyWatches(data []byte) error {
	watches, rest, ok := cutWatches(data[1:])
	if !ok || len(rest) > 0 {
		return errMalformed
	}
	c.reply.buf = append(c.reply.buf, watchVersion)
	for _, w := range watches {
		c.reply.buf = binary.BigEndian.AppendUint64(c.reply.buf, c.watched(w))
	}
	return nil
}
