package peer

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// A client is the dialer's end of a huddle/1 connection.
type client struct {
	*stream
	most int // requests in flight

	// guarded by stream.mu
	next    uint64           // id of the next request
	pending map[uint64]*call // requests without a reply
}

// A call is one request. Its state decides what its caller is told when there
// is no reply: whoever takes it out of stateQueued says for good whether it is
// sent.
type call struct {
	state    atomic.Uint32
	deadline time.Time     // zero: none
	done     chan struct{} // closed when reply or err is set
	reply    []byte
	err      error
}

const (
	stateQueued  = iota
	stateSent    // the writer has begun to send it
	stateDropped // it will never be sent
)

// begin takes the call for sending, and sets the time that its caller has
// left. It reports false if nobody waits any more.
func (c *call) begin(wait *time.Duration) bool {
	if !c.deadline.IsZero() {
		if *wait = time.Until(c.deadline); *wait <= 0 {
			return false // it stays queued, so its caller will drop it
		}
	}
	return c.state.CompareAndSwap(stateQueued, stateSent)
}

// fail returns the error of a call that ended without a reply, because of err.
func (c *call) fail(err error) error {
	if c.state.CompareAndSwap(stateQueued, stateDropped) {
		return notSent(err)
	}
	return lost(err)
}

// newClient starts using a connection that was dialled.
func newClient(c *conn, lane Lane) (*client, error) {
	cfg := &c.self.p.cfg
	cl := &client{
		stream:  newStream(c, lane.limit(cfg)),
		most:    cfg.MaxInFlight,
		pending: make(map[uint64]*call),
	}
	// Both end when the connection is over.
	if !c.self.start(cl.read) || !c.self.start(func() { cl.close(cl.write(nil)) }) {
		cl.close(errClosed)
		return nil, errClosed
	}
	return cl, nil
}

// read takes the replies, until the connection is over.
func (cl *client) read() {
	for {
		f, err := readFrame(cl.r, cl.limit)
		if err == nil {
			switch f.typ {
			case frameAlive:
				continue
			case frameReply:
				cl.deliver(f)
				continue
			case frameGoodbye:
				cl.close(&refusal{text: string(f.body)})
				return
			}
			err = errUnknownFrame
		}
		if isViolation(err) {
			cl.leave(err)
		}
		cl.close(fmt.Errorf("connection broke: %w", err))
		return
	}
}

// deliver gives a reply to its caller. There is none if it has given up, or
// has had its reply already.
func (cl *client) deliver(f frame) {
	cl.mu.Lock()
	c := cl.pending[f.id]
	delete(cl.pending, f.id)
	cl.mu.Unlock()
	if c == nil {
		return
	}
	switch f.code {
	case statusDone:
		c.reply = f.body
	case statusBusy:
		c.err = ErrBusy
	default:
		c.err = &RemoteError{Text: string(f.body)}
	}
	close(c.done)
}

// close ends the connection and every call on it.
func (cl *client) close(err error) {
	if !cl.over(err) {
		return
	}
	cl.mu.Lock()
	pending := cl.pending
	cl.pending = nil
	cl.mu.Unlock()
	for _, c := range pending {
		c.err = c.fail(err)
		close(c.done)
	}
}

// call sends a request and waits for its reply.
func (cl *client) call(ctx context.Context, kind uint8, body []byte) ([]byte, error) {
	if len(body) > cl.limit {
		return nil, notSent(fmt.Errorf("%w: %d bytes, over %d", ErrTooBig, len(body), cl.limit))
	}
	if err := ctx.Err(); err != nil {
		return nil, notSent(err)
	}
	c := &call{done: make(chan struct{})}
	c.deadline, _ = ctx.Deadline()
	id, err := cl.put(c, kind, body)
	if err != nil {
		return nil, err
	}
	select {
	case <-c.done:
		return c.reply, c.err
	case <-ctx.Done():
	}
	cl.mu.Lock()
	_, waiting := cl.pending[id]
	delete(cl.pending, id)
	cl.mu.Unlock()
	if !waiting { // the reply or the end of the connection came just now
		<-c.done
		return c.reply, c.err
	}
	return nil, c.fail(ctx.Err())
}

// put queues a request.
func (cl *client) put(c *call, kind uint8, body []byte) (uint64, error) {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	if cl.err != nil {
		return 0, notSent(cl.err)
	}
	if len(cl.pending) >= cl.most || len(cl.queue) >= cl.most { // those of callers that gave up are in the queue alone
		return 0, ErrBusy
	}
	cl.next++
	cl.pending[cl.next] = c
	f := frame{typ: frameRequest, id: cl.next, code: kind, body: body}
	cl.enqueueLocked(outgoing{frame: f, call: c})
	cl.ring()
	return cl.next, nil
}

// Call asks the node id and returns its reply. Bodies on one lane do not wait
// behind those of the other. The context bounds the wait, and the handler's
// context ends with the time that is left of it. body must not be changed any
// more, even after Call has returned; the reply is the caller's.
//
// What an error says about the request is drawn up at [ErrNotSent].
func (p *Peer) Call(ctx context.Context, id string, lane Lane, kind uint8, body []byte) ([]byte, error) {
	cl, err := p.self.Load().client(ctx, linkKey{id: id, lane: lane})
	if err != nil {
		return nil, notSent(fmt.Errorf("reaching %s: %w", id, err))
	}
	return cl.call(ctx, kind, body)
}

// CallAddr asks the node that listens on addr, on a connection of its own, and
// returns its server ID, as far as it was learnt, with its reply. It must be
// want unless that is empty; else the error wraps an [IdentityError].
func (p *Peer) CallAddr(ctx context.Context, addr, want string, kind uint8, body []byte) (id string, reply []byte, err error) {
	c, err := p.self.Load().dial(ctx, addr, want, protocolRPC, Small.String())
	if err != nil {
		return "", nil, notSent(fmt.Errorf("reaching %s: %w", addr, err))
	}
	cl, err := newClient(c, Small)
	if err != nil {
		return c.id, nil, notSent(err)
	}
	defer cl.close(errClosed)
	reply, err = cl.call(ctx, kind, body)
	return c.id, reply, err
}
