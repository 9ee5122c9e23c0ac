package redis

import (
	"crypto/tls"
	"log/slog"
	"slices"
	"sync"
)

const (
	// A client that lets more than maxOutbox bytes of messages wait, that
	// which came last aside, is cut off, as Redis' client-output-buffer-limit
	// has it: nobody else is made to wait for it, and what it can make the
	// server hold is bounded.
	maxOutbox = 8 << 20

	messageExtra = 64       // bytes that a message takes in an outbox beyond its own, about
	joinedBytes  = 64 << 10 // messages are written together up to so many bytes
	keptQueue    = 1 << 10  // messages that an empty queue keeps its room for
)

// An outbox has the messages for a client that are no replies: what is
// published on a channel, or that a key which it has read was changed.
//
// Replies and messages share the socket, and who writes is settled by two
// facts. While the connection's goroutine executes commands or writes replies
// the outbox is held: messages wait, but those that were there before. While it
// is not held, whoever hands a message in starts the goroutine that writes all
// there is, unless there is one; replies wait until that has ended. So
//
//   - no message comes in the middle of a reply, or before the reply of a
//     command that was being executed when it was handed in;
//
//   - a message for an idle connection is written at once;
//
//   - nobody who hands a message in ever waits for a client;
//
//   - messages go in the order in which they were handed in.
//
//     queue  | written | may be written while held | wait |
//     0         head                        head+open
type outbox struct {
	mu        sync.Mutex // guards what follows
	quiet     sync.Cond  // isWriting has become false
	queue     [][]byte   // what many connections get is shared by them
	head      int        // the first message that has not been written
	open      int        // while held: messages behind head that need not wait
	size      int        // bytes from head on, and of what is being written
	isHeld    bool       // the connection's goroutine is at work
	isWriting bool       // conn.deliver runs
	isClaimed bool       // the connection's goroutine writes
	isOver    bool       // no message is taken or written any more
	wasSlow   bool       // because the client did not read them
}

// listen gets the connection an outbox, where it has none: from now on others
// may call push. Only its own goroutine calls this, in a command's handler;
// what is handed in before that command's reply was written comes after it.
//
// A connection must be known to others only after listen, and through a lock.
func (c *conn) listen() {
	if c.outbox == nil {
		c.outbox = &outbox{isHeld: true}
		c.outbox.quiet.L = &c.outbox.mu
	}
}

// push hands in a message, which is finished RESP in the version that the
// client has chosen (conn.face has it for others), and never changed any more.
// It is for any goroutine, after listen. It does not wait; the message is lost
// where the connection ends first, and cuts it off where too many wait.
func (c *conn) push(message []byte) {
	o := c.outbox
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.isOver:
	case o.size > maxOutbox:
		o.wasSlow = true
		c.cutLocked()
	default:
		o.addLocked(message)
		c.writeLocked()
	}
}

// pushTwice is push, and where commands are being executed, which may take long,
// the message goes out at once as well.
func (c *conn) pushTwice(message []byte) {
	o := c.outbox
	o.mu.Lock()
	if o.isHeld && !o.isOver {
		o.queue = slices.Insert(o.queue, o.head+o.open, message)
		o.size += len(message) + messageExtra
		o.open++
		c.openLocked()
	}
	o.mu.Unlock()
	c.push(message)
}

// openLocked has those messages written, while the outbox is held, that may be.
func (c *conn) openLocked() {
	o := c.outbox
	if o.open == 0 || !o.isHeld || o.isClaimed || o.isWriting || o.isOver {
		return
	}
	o.isWriting = true
	c.server.wg.Go(c.deliver)
}

// writeLocked has the messages written that need not wait.
func (c *conn) writeLocked() {
	o := c.outbox
	if o.isHeld || o.isWriting || o.isOver || o.head == len(o.queue) {
		return
	}
	o.isWriting = true
	// The server waits for it by wg, which is above zero: the connection's
	// goroutine does not end before it has made isOver true, see mute.
	c.server.wg.Go(c.deliver)
}

// deliver writes messages until all are written, the connection's goroutine
// goes to work and the rest must wait, or the connection is over.
func (c *conn) deliver() {
	o := c.outbox
	written := 0
	for {
		o.mu.Lock()
		o.size -= written
		data, size := o.takeLocked()
		if data == nil {
			o.isWriting = false
			o.quiet.Signal()
			o.mu.Unlock()
			return
		}
		o.mu.Unlock()
		if c.transmit(data) != nil {
			c.cut()
		}
		written = size
	}
}

// cut ends the connection from outside, without waiting for its goroutine or
// its client: messages that it should have had are lost, and it must not go on
// as if they were not. It is for any goroutine, after listen.
func (c *conn) cut() {
	c.outbox.mu.Lock()
	defer c.outbox.mu.Unlock()
	c.cutLocked()
}

func (c *conn) cutLocked() {
	if !c.outbox.isOver {
		c.outbox.endLocked()
		c.server.wg.Go(c.hangUp) // wg is above zero, as in writeLocked
	}
}

// hangUp closes the connection. That of TLS would first write to the client
// that it does, and wait.
func (c *conn) hangUp() {
	if t, isTLS := c.socket.(*tls.Conn); isTLS {
		_ = t.NetConn().Close()
		return
	}
	_ = c.socket.Close()
}

// hold makes messages wait that come from now on: the connection's goroutine
// is about to execute commands. It is for that goroutine alone, as are all
// functions that follow.
func (c *conn) hold() {
	if c.outbox == nil {
		return
	}
	o := c.outbox
	o.mu.Lock()
	if !o.isHeld {
		o.isHeld, o.open = true, len(o.queue)-o.head
	}
	o.mu.Unlock()
}

// release has the messages written that had to wait: nothing that was executed
// is without its reply. It does not wait for that.
func (c *conn) release() {
	if c.outbox == nil || c.leaving {
		return
	}
	c.outbox.mu.Lock()
	c.outbox.isHeld = false
	c.writeLocked()
	c.outbox.mu.Unlock()
}

// claim waits until nobody else writes, and keeps others from it until release.
func (c *conn) claim() {
	if c.outbox == nil {
		return
	}
	c.hold()
	o := c.outbox
	o.mu.Lock()
	for o.isWriting {
		o.quiet.Wait()
	}
	o.isClaimed = true
	o.mu.Unlock()
}

// unclaim ends what claim began. The outbox stays held.
func (c *conn) unclaim() {
	if c.outbox == nil {
		return
	}
	c.outbox.mu.Lock()
	c.outbox.isClaimed = false
	c.openLocked()
	c.outbox.mu.Unlock()
}

// settle puts the messages that wait among the replies: what was handed in up
// to now comes before the reply that follows.
func (c *conn) settle() {
	if c.outbox == nil {
		return
	}
	c.claim()
	o := c.outbox
	o.mu.Lock()
	for _, message := range o.queue[o.head:] {
		c.out = append(c.out, message...)
	}
	o.emptyLocked()
	o.isClaimed = false
	o.mu.Unlock()
}

// mute takes no more messages and waits for the goroutine that writes them;
// the socket must have been closed. It says whether the client was cut off
// because it did not read.
func (c *conn) mute() (wasSlow bool) {
	if c.outbox == nil {
		return false
	}
	o := c.outbox
	o.mu.Lock()
	defer o.mu.Unlock()
	o.endLocked()
	for o.isWriting {
		o.quiet.Wait()
	}
	return o.wasSlow
}

// addLocked puts a message at the end. Room at the front is used again before
// there is made more.
func (o *outbox) addLocked(message []byte) {
	if len(o.queue) == cap(o.queue) && o.head > len(o.queue)/2 {
		n := copy(o.queue, o.queue[o.head:])
		clear(o.queue[n:])
		o.queue, o.head = o.queue[:n], 0
	}
	o.queue = append(o.queue, message)
	o.size += len(message) + messageExtra
}

// takeLocked takes the messages that are to be written next, as one, and says
// what they count in size, which is left to the caller. There is none where
// data is nil.
func (o *outbox) takeLocked() (data []byte, size int) {
	ready := o.queue[o.head:]
	if o.isHeld {
		ready = ready[:o.open]
	}
	if len(ready) == 0 || o.isOver {
		return nil, 0
	}
	n, length := 1, len(ready[0])
	for n < len(ready) && length+len(ready[n]) <= joinedBytes {
		length += len(ready[n])
		n++
	}
	if data = ready[0]; n > 1 {
		data = make([]byte, 0, length)
		for _, message := range ready[:n] {
			data = append(data, message...)
		}
	}
	clear(ready[:n])
	o.head += n
	if o.isHeld {
		o.open -= n
	}
	if o.head == len(o.queue) {
		o.roomLocked()
	}
	return data, length + n*messageExtra
}

// roomLocked begins the empty queue at its front again.
func (o *outbox) roomLocked() {
	o.queue, o.head = o.queue[:0], 0
	if cap(o.queue) > keptQueue {
		o.queue = nil
	}
}

// emptyLocked forgets all messages that are not being written.
func (o *outbox) emptyLocked() {
	for _, message := range o.queue[o.head:] {
		o.size -= len(message) + messageExtra
	}
	clear(o.queue)
	o.open = 0
	o.roomLocked()
}

func (o *outbox) endLocked() {
	o.isOver = true
	o.emptyLocked()
}

// unplug is the end of a connection's messages, after its socket was closed.
func (c *conn) unplug() {
	c.forget()
	if c.mute() {
		c.server.Counters.Slow.Add(1)
		c.server.config.Logger.Warn("a client did not read its messages, and was cut off", slog.String("client", c.address()))
	}
}
