package keyspace

import (
	"math"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
)

const (
	day = 24 * time.Hour

	errSyntax     = "ERR syntax error"
	errNotInteger = "ERR value is not an integer or out of range"
	errNotFloat   = "ERR value is not a valid float"
	errNoKey      = "ERR no such key"
	errRange      = "ERR index out of range"
	errWrongType  = "WRONGTYPE Operation against a key holding the wrong kind of value"
	errFull       = "OOM command not allowed when used memory > 'maxmemory'."
)

// A call is one command on its way. The functions of the command table get it,
// and reach keys through it alone.
type call struct {
	space *Space
	tx    *machine.Tx   // nil in a query
	at    machine.Stamp // what is expired is judged by at.Lease
	cmd   *Command
	index int       // number of db
	db    *database // selected
	args  [][]byte  // args[0] is the command's name; all of it is borrowed
	reply reply

	number uint64 // of this change; 0 as long as there is none, see change
	draws  uint64 // random numbers taken, see random

	buf [6][]byte // room for args of most commands
}

// execute does what data says: a command, a transaction, a query for watches,
// or what is about waiters. With an error nothing was done; the reply can be written to all the
// same.
func (c *call) execute(data []byte) error {
	c.reply.proto = 2
	kind := byte(commandVersion)
	if len(data) > 0 {
		kind = data[0]
	}
	switch kind {
	case transactionVersion:
		t, err := decodeTransaction(data)
		if err != nil {
			return err
		}
		if c.tx == nil && t.writes() {
			return errNotQuery
		}
		c.transact(t)
	case watchVersion:
		return c.replyWatches(data)
	case waitVersion, attendVersion:
		if c.tx == nil {
			return errNotQuery
		}
		if kind == waitVersion {
			return c.wait(data)
		}
		return c.attend(data)
	default:
		if err := c.prepare(data); err != nil {
			return err
		}
		if c.tx == nil && c.cmd.Writes {
			return errNotQuery
		}
		c.run()
	}
	return nil
}

// prepare reads a command and looks it up.
func (c *call) prepare(data []byte) error {
	index, proto, args, err := decodeCommand(c.buf[:0], data)
	if err != nil {
		return err
	}
	c.reply.proto = proto
	cmd, found := Lookup(args[0])
	if !found {
		return errUnknownName(args[0])
	}
	c.cmd, c.args = cmd, args
	c.index, c.db = index, c.space.dbs[index]
	return nil
}

// run executes the command.
func (c *call) run() {
	if !c.cmd.Accepts(len(c.args)) {
		c.failArity()
		return
	}
	c.cmd.run(c)
}

// read returns the entry of key, or nil where there is none now.
func (c *call) read(key []byte) *entry {
	e := c.db.find(c.space.hash(key), key)
	if e == nil || e.isOver(c.at.Lease) {
		return nil
	}
	return e
}

// own is read for a command that writes: an entry whose time has come is
// removed, so that what the command puts there is a new one.
func (c *call) own(key []byte) *entry {
	e := c.db.find(c.space.hash(key), key)
	if e != nil && e.isOver(c.at.Lease) {
		c.remove(e)
		c.notify(noticeExpired, key)
		return nil
	}
	return e
}

// change returns the number of what this command, or the transaction that it
// is in, changes.
func (c *call) change() uint64 {
	if c.number == 0 {
		c.number = c.tx.Number()
	}
	return c.number
}

// put stores v, which nobody else has, under key until the given time, in
// place of old, which own has returned. If that time has come already nothing
// is left.
func (c *call) put(old *entry, key []byte, v value, until expiry) {
	e := &entry{value: v, expiry: until, generation: c.space.generation}
	if old != nil {
		e.key = old.key
	} else {
		e.key = string(key)
	}
	c.place(old, e)
}

// place puts e in place of old, which has the same key or is nil.
func (c *call) place(old, e *entry) {
	if e.isOver(c.at.Lease) {
		if old != nil {
			c.remove(old)
		}
		return
	}
	var was time.Duration
	if old != nil {
		was = old.deadline
		c.space.size -= old.size()
	}
	e.number = c.change()
	c.space.size += e.size()
	c.db.put(c.space.hash([]byte(e.key)), e)
	c.changed(e.key, was, e.deadline)
	c.signal(e)
}

// expire gives the key of e another end.
func (c *call) expire(e *entry, until expiry) {
	other := *e
	other.expiry = until
	c.place(e, &other)
	switch {
	case other.isOver(c.at.Lease):
		c.notify(noticeDel, []byte(e.key))
	case until.isSet():
		c.notify(noticeExpire, []byte(e.key))
	case e.isSet():
		c.notify(noticePersist, []byte(e.key))
	}
}

// discard removes e for a command that leaves nothing of it.
func (c *call) discard(e *entry) {
	c.remove(e)
	c.notify(noticeDel, []byte(e.key))
}

// remove takes e out of the database.
func (c *call) remove(e *entry) {
	c.db.remove(c.space.hash([]byte(e.key)), e)
	c.db.removed = c.change()
	c.space.size -= e.size()
	c.changed(e.key, e.deadline, 0)
}

// isRefused reports whether the state is too full for key to become what it
// would, and answers so. Refused is what would be kept for longer than a day
// and is new, grows, or was to be kept for less: a cache that fills cannot
// keep sessions and locks from being stored, and what they need of room is
// given back within the day.
func (c *call) isRefused(old *entry, size int64, until expiry) bool {
	if c.tx.Pressure == machine.PressureNone || !c.isLong(until) {
		return false
	}
	if old != nil && c.isLong(old.expiry) && size <= old.value.size() {
		return false
	}
	c.refuse()
	return true
}

// refuse answers that there is no room.
func (c *call) refuse() {
	c.tx.Refused = true
	c.reply.fail(errFull)
}

// isFull reports whether the state is so full that nothing is to be added.
func (c *call) isFull() bool { return c.tx.Pressure >= machine.PressureFull }

func (c *call) isLong(x expiry) bool {
	return !x.isSet() || x.deadline > c.at.Lease && x.deadline-c.at.Lease > day
}

// wallMillis is the cluster's wall time as Redis counts it.
func (c *call) wallMillis() int64 { return c.at.Wall.Milliseconds() }

// in returns the end of a time to live in milliseconds. It is false where no
// time on the wall can express it.
func (c *call) in(millis int64) (expiry, bool) {
	if millis > math.MaxInt64-c.wallMillis() {
		return expiry{}, false
	}
	if millis <= 0 {
		return expiry{deadline: -1}, true
	}
	x := expiry{deadline: maxDeadline, wall: c.wallMillis() + millis}
	if millis < int64((maxDeadline-c.at.Lease)/time.Millisecond) {
		x.deadline = c.at.Lease + time.Duration(millis)*time.Millisecond
	}
	return x, true
}

// until returns the end at a wall time in milliseconds. Lease time decides
// what is left, so a wall clock that is set afterwards does not move it.
func (c *call) until(millis int64) expiry {
	if millis <= c.wallMillis() {
		return expiry{deadline: -1}
	}
	x := expiry{deadline: maxDeadline, wall: millis}
	left := maxDeadline
	if millis < int64(maxDeadline/time.Millisecond) {
		left = time.Duration(millis)*time.Millisecond - c.at.Wall
	}
	if left < maxDeadline-c.at.Lease {
		x.deadline = c.at.Lease + left
	}
	return x
}

// failArity answers that the command has too few or too many arguments.
func (c *call) failArity() {
	c.reply.fail("ERR wrong number of arguments for '" + c.cmd.Name + "' command")
}

// failExpiry answers that a time to live is no time.
func (c *call) failExpiry() {
	c.reply.fail("ERR invalid expire time in '" + c.cmd.Name + "' command")
}
