package redis

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/huddlecache/huddle/keyspace"
	"github.com/huddlecache/huddle/server/resp"
)

const (
	maxBatch      = 1024             // commands that are answered with one write
	maxBatchBytes = 1 << 20          // and bytes of them, or of their replies
	keptOut       = 16 << 10         // most that is kept of the room for replies
	directReply   = 64 << 10         // replies this long are not copied
	writeChunk    = 256 << 10        // bytes that must be taken
	writePatience = 30 * time.Second // within this time
	lingerTime    = time.Second      // for the client to read why its connection is closed
	lingerBytes   = 1 << 20          // that it may send meanwhile
)

// A conn is one connection. All but the fields that say otherwise belong to
// its goroutine.
type conn struct {
	// What others may read.
	server  *Server
	socket  net.Conn
	id      int64
	since   time.Time
	face    atomic.Pointer[face]
	blocked atomic.Pointer[waiter] // what waits for it; nil while nothing does
	active  atomic.Int64           // nanoseconds from since to the last batch
	last    atomic.Pointer[string] // name of the last command

	reader  *resp.Reader
	out     []byte    // replies that have not been written
	patient time.Time // the write deadline; whoever writes has it, see outbox
	leaving bool      // the connection ends after this batch
	linger  bool      // and its client is to read the last reply

	isKnown bool // has said the password, or needs none
	db      int
	proto   int
	silent  bool // CLIENT REPLY OFF
	skip    bool // CLIENT REPLY SKIP came before this command
	isLocal bool // CLIENT READS LOCAL
	run     run  // commands that the log has not been given yet
	seen    seen // how far the state is that this client knows of
	batch   int  // commands that may be answered with one write, now
	guard   guard
	idem    string // the id that IDEM gave the command that runs

	transaction transaction // since WATCH or MULTI
	isHushed    bool        // the reply of the command that runs is dropped
	isExecuting bool        // EXEC runs what was queued
	isPushed    bool        // the replies of the command that runs are messages, which CLIENT REPLY leaves alone

	outbox        *outbox // messages that are no replies; nil until listen
	subscriptions *subscriptions
	tracker       *tracker // nil unless the client keeps copies
	isCaching     bool     // CLIENT CACHING came before this command
	reading       reading  // of which copies may be kept, by run or by the transaction
}

// A face is what CLIENT LIST shows of a connection. It is replaced, never
// changed.
type face struct {
	name, library, libraryVersion string
	db, proto                     int
	channels, patterns            int // subscribed to
	tracker                       *tracker
}

func newConn(s *Server, socket net.Conn) *conn {
	c := &conn{
		server: s, socket: socket,
		id: s.lastID.Add(1), since: time.Now(),
		isKnown: s.config.Password == "",
		proto:   resp.Proto2,
		batch:   firstBatch,
	}
	c.reader = resp.NewReader(counted{socket, &s.Counters.Received}, resp.Limits{Arg: s.config.MaxValue})
	c.reader.Stranger = !c.isKnown
	c.face.Store(&face{proto: c.proto})
	return c
}

// counted counts what is read.
type counted struct {
	io.Reader
	bytes *atomic.Uint64
}

func (r counted) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.bytes.Add(uint64(n))
	return n, err
}

// serve answers commands until the client leaves, is sent away, or the server
// closes.
func (c *conn) serve() {
	defer c.unplug()
	defer c.server.leave(c)
	defer c.guard.end()
	c.keepAlive()
	for !c.leaving {
		c.answerBatch()
		c.flush()
		c.release()
	}
	if c.linger {
		c.say()
	}
}

// keepAlive makes the system notice clients that are gone.
func (c *conn) keepAlive() {
	socket := c.socket
	if t, isTLS := socket.(*tls.Conn); isTLS {
		socket = t.NetConn()
	}
	if t, isTCP := socket.(*net.TCPConn); isTCP {
		_ = t.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: keepAlive, Interval: keepAlive / 4})
	}
}

// answerBatch waits for a command and answers it and those that have arrived
// with it.
func (c *conn) answerBatch() {
	args, err := c.reader.Read()
	c.hold()
	n := uint64(0)
	for found := true; found; args, found, err = c.reader.Next() {
		if err != nil {
			c.refuse(err)
		} else {
			n++
			c.answer(args)
		}
		if c.leaving || int(n) >= c.batch || c.run.size >= maxBatchBytes || len(c.out) >= maxBatchBytes {
			break
		}
	}
	c.active.Store(int64(time.Since(c.since)))
	c.server.Counters.Commands.Add(n)
	c.execute()
}

// answer answers a command, or adds it to the run.
func (c *conn) answer(args [][]byte) {
	if cmd, rest, id, isKeyed := c.keyed(args); isKeyed && c.isKnown && !c.transaction.isOpen && !c.isSubscriber() {
		c.last.Store(&cmd.Name)
		c.add(cmd, rest, id)
		c.endCaching(args)
		return
	}
	c.execute()
	if cmd, found := find(c.server.commands, args[0]); found && cmd.waits {
		c.flush()
		c.release() // messages do not wait for what it waits for
	} else if blocks(args[0]) {
		c.flush()
	}
	before := len(c.out)
	c.isHushed, c.skip, c.isPushed = c.skip, false, false
	c.dispatch(args)
	c.endCaching(args)
	c.hold()
	if (c.isHushed || c.silent) && !c.isPushed {
		c.out = c.out[:before]
	}
}

// dispatch answers a command that does not go to the log by itself. Like Redis
// it tells strangers which commands there are, but no more.
func (c *conn) dispatch(args [][]byte) {
	if c.isSubscriber() && c.refuseSubscriber(args) {
		return
	}
	if c.transaction.isOpen {
		c.enqueue(args)
		return
	}
	if cmd, found := keyspace.Lookup(args[0]); found {
		if !cmd.Accepts(len(args)) {
			c.fail(wrongArity(cmd.Name))
			return
		}
		if c.isKnown && cmd.Blocks {
			c.block(cmd, args)
			return
		}
		c.fail(errNoAuth)
		return
	}
	switch cmd, complaint := c.server.own(args); {
	case complaint != "":
		c.fail(complaint)
	case cmd == nil:
		c.refuseUnknown(args)
	default:
		c.call(cmd, args)
	}
}

// call runs a command of this package's table.
func (c *conn) call(cmd *command, args [][]byte) {
	c.last.Store(&cmd.name)
	switch {
	case !cmd.accepts(len(args)):
		c.reject(args[0], wrongArity(cmd.name))
	case !c.isKnown && !cmd.anyone:
		c.fail(errNoAuth)
	default:
		cmd.run(c, args)
	}
}

// refuseUnknown answers a command that there is not. HTTP ends the
// connection, as in Redis: a browser could have been made to send commands
// in the body of a request.
func (c *conn) refuseUnknown(args [][]byte) {
	if name := string(args[0]); strings.EqualFold(name, "POST") || strings.EqualFold(name, "Host:") {
		c.server.Counters.Protocol.Add(1)
		c.out, c.leaving = nil, true
		return
	}
	c.fail(unknownCommand(args))
}

// refuse answers what could not be read as a command.
func (c *conn) refuse(err error) {
	c.execute()
	if big, isBig := errors.AsType[*resp.TooBigError](err); isBig {
		c.server.Counters.TooBig.Add(1)
		c.spoil()
		if !c.silent && !c.skip {
			c.fail(tooBig(big))
		}
		c.skip = false
		return
	}
	c.leaving = true
	if wrong, isProtocol := errors.AsType[resp.ProtocolError](err); isProtocol {
		c.server.Counters.Protocol.Add(1)
		c.linger = true
		c.fail("ERR " + wrong.Error())
	} else if errors.Is(err, resp.ErrForeign) {
		c.server.Counters.Protocol.Add(1)
	}
}

// fail answers with an error.
func (c *conn) fail(text string) { c.out = resp.AppendError(c.out, text) }

func (c *conn) ok() { c.out = append(c.out, "+OK\r\n"...) }

// flush writes the replies that there are.
func (c *conn) flush() {
	if len(c.out) > 0 {
		c.write(c.out)
	}
	if c.out = c.out[:0]; cap(c.out) > keptOut {
		c.out = nil
	}
}

// write waits until the client has taken all of data, which are whole replies.
func (c *conn) write(data []byte) {
	c.claim()
	if c.transmit(data) != nil {
		c.leaving, c.linger = true, false
	}
	c.unclaim()
}

// transmit waits until the client has taken all of data; one that takes too
// little for too long is cut off, so that it holds no memory.
func (c *conn) transmit(data []byte) error {
	for len(data) > 0 {
		if now := time.Now(); c.patient.Sub(now) < writePatience*3/4 {
			c.patient = now.Add(writePatience)
			_ = c.socket.SetWriteDeadline(c.patient)
		}
		n, err := c.socket.Write(data[:min(len(data), writeChunk)])
		c.server.Counters.Sent.Add(uint64(n))
		if err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// say lets the client read the last reply: were the connection closed with
// something unread in it, the system would drop the reply.
func (c *conn) say() {
	half, isHalf := c.socket.(interface{ CloseWrite() error })
	if !isHalf || c.server.isClosing.Load() || half.CloseWrite() != nil {
		return
	}
	_ = c.socket.SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.CopyN(io.Discard, c.socket, lingerBytes)
}

// show changes what others see of the connection.
func (c *conn) show(change func(*face)) {
	f := *c.face.Load()
	change(&f)
	c.face.Store(&f)
}
