package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
)

// A server is the accepting end of a huddle/1 connection.
type server struct {
	*stream
	cfg  *Config
	from string // server ID of the dialer

	room chan struct{} // capacity 1: replies have left the queue

	// guarded by stream.mu
	requests int // in flight: their reply has not left the queue
	bytes    int // of them
}

// hostCalls returns how a huddle/1 connection is served.
func (s *identity) hostCalls(opening string) (func(*conn), error) {
	for _, lane := range []Lane{Small, Bulk} {
		if opening == lane.String() {
			return func(c *conn) { s.serve(c, lane) }, nil
		}
	}
	return nil, fmt.Errorf("there is no lane %q", opening)
}

// serve answers the requests on a connection until it is over.
func (s *identity) serve(c *conn, lane Lane) {
	cfg := &s.p.cfg
	v := &server{
		stream: newStream(c, lane.limit(cfg)), cfg: cfg, from: c.id,
		room: make(chan struct{}, 1),
	}
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	if !s.start(func() { v.over(v.write(v.leaving)) }) {
		v.over(errClosed)
		return
	}
	v.over(v.read(ctx))
}

// read takes requests and starts their handlers.
func (v *server) read(ctx context.Context) error {
	for {
		f, err := readFrame(v.r, v.limit)
		if err == nil {
			switch f.typ {
			case frameAlive:
				continue
			case frameRequest:
				v.take(ctx, f)
				continue
			case frameGoodbye:
				return &refusal{text: string(f.body)}
			}
			err = errUnknownFrame
		}
		if isViolation(err) {
			v.leave(err)
		}
		return err
	}
}

// isViolation reports whether a frame could not be read because it is wrong,
// rather than because the connection is.
func isViolation(err error) bool {
	var network net.Error
	return !errors.As(err, &network) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) &&
		!errors.Is(err, net.ErrClosed) && !errors.Is(err, io.ErrClosedPipe) && !errors.Is(err, os.ErrDeadlineExceeded)
}

// take hands a request to the handler, or refuses it where too much is in
// flight.
func (v *server) take(ctx context.Context, f frame) {
	v.mu.Lock()
	busy := v.requests >= v.cfg.MaxInFlight || v.requests > 0 && v.bytes+len(f.body) > 4*v.limit
	if !busy {
		v.requests++
		v.bytes += len(f.body)
	}
	v.mu.Unlock()
	if !busy {
		v.c.self.p.wg.Go(func() { v.handle(ctx, f) }) // ends when the handler returns
		return
	}
	v.reply(outgoing{frame: frame{typ: frameReply, id: f.id, code: statusBusy}})
	v.wait()
}

// wait keeps the reader from taking more than can be answered, where the
// other side sends without end and does not read.
func (v *server) wait() {
	for {
		v.mu.Lock()
		full := len(v.queue) > 2*v.cfg.MaxInFlight
		v.mu.Unlock()
		if !full {
			return
		}
		select {
		case <-v.room:
		case <-v.done:
			return
		}
	}
}

// handle runs the handler and queues its reply.
func (v *server) handle(ctx context.Context, f frame) {
	if f.wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.wait)
		defer cancel()
	}
	o := outgoing{frame: frame{typ: frameReply, id: f.id}, size: len(f.body) + 1}
	var err error
	if v.cfg.Handle == nil {
		err = errors.New("this node answers no requests")
	} else {
		o.body, err = v.cfg.Handle(ctx, v.from, f.code, f.body)
	}
	if err == nil && len(o.body) > v.limit {
		err = fmt.Errorf("the reply of %d bytes is over the limit of %d", len(o.body), v.limit)
	}
	switch {
	case errors.Is(err, ErrBusy):
		o.code, o.body = statusBusy, nil
	case err != nil:
		text := err.Error()
		o.code, o.body = statusError, []byte(text[:min(len(text), v.limit)])
	}
	v.reply(o)
}

// reply queues a reply, unless the connection is over.
func (v *server) reply(o outgoing) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.err == nil {
		v.enqueueLocked(o)
		v.ring()
	}
}

// leaving frees the places of the requests whose replies are about to be
// written: before, so that a caller that has its reply finds its place free.
func (v *server) leaving(batch []outgoing) {
	v.mu.Lock()
	for i := range batch {
		if batch[i].size > 0 {
			v.requests--
			v.bytes -= batch[i].size - 1
		}
	}
	v.mu.Unlock()
	select {
	case v.room <- struct{}{}:
	default:
	}
}
