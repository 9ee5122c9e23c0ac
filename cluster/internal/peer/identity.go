package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/huddlecache/huddle/cluster/internal/socket"
)

// An identity is all that a Peer has under one server ID. It is made whole and
// closed whole: a node that takes another ID leaves nothing behind that could
// speak for the former one.
type identity struct {
	p    *Peer
	id   string
	tls  *tls.Config
	stop context.CancelFunc
	// ctx ends when the identity is closed. It is kept because it bounds what
	// outlives the call that starts it: dials that callers share, connections.
	ctx context.Context

	mu     sync.Mutex // guards what follows
	closed bool
	conns  map[net.Conn]*Layer // every connection that is open -> the layer it was given to, if any
	links  map[linkKey]*link
	layer  *Layer // the newest one, nil if it was closed
}

func newIdentity(p *Peer, id string) (*identity, error) {
	cert, err := issue(p.keys, id)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	return &identity{
		p: p, id: id, tls: tlsConfig(cert), ctx: ctx, stop: stop,
		conns: make(map[net.Conn]*Layer),
		links: make(map[linkKey]*link),
	}, nil
}

// close ends everything of the identity and waits for nothing.
func (s *identity) close() {
	s.mu.Lock()
	s.closed = true
	layer := s.layer
	conns := slices.Collect(maps.Keys(s.conns))
	s.mu.Unlock()
	// Connections first: a handler that returns because its context has ended
	// must not be able to answer for the identity any more.
	for _, raw := range conns {
		raw.Close()
	}
	if layer != nil {
		layer.Close()
	}
	s.stop()
}

// start runs fn on a goroutine that Close waits for, or reports false if the
// identity is closed.
func (s *identity) start(fn func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.p.wg.Go(fn)
	return true
}

// A conn is a connection whose other side has proved who it is.
type conn struct {
	*tls.Conn
	raw  *timed
	self *identity
	id   string // of the other node
}

// Close closes the connection at once: TLS' own farewell could wait for
// a peer that does not read.
func (c *conn) Close() error {
	c.self.forget(c.raw)
	return c.raw.Close()
}

// farewell is the time for the alert that tells the other side that it is not
// trusted. It may be writing itself, and not read.
const farewell = 100 * time.Millisecond

// verify learns who the other side is, which must be want unless that is
// empty.
func (c *conn) verify(state tls.ConnectionState, want string) (err error) {
	if c.id, err = verify(c.self.p.keys, state); err == nil && want != "" && c.id != want {
		err = &IdentityError{Want: want, Got: c.id}
	}
	if err != nil {
		c.raw.SetWriteDeadline(time.Now().Add(farewell))
	}
	return err
}

// keep notes an open connection, or closes it if the identity or the layer
// that it is for is closed.
func (s *identity) keep(raw net.Conn, layer *Layer) error {
	s.mu.Lock()
	closed := s.closed || layer != nil && s.layer != layer
	if !closed {
		s.conns[raw] = layer
	}
	s.mu.Unlock()
	if closed {
		s.forget(raw)
		raw.Close()
		return net.ErrClosed
	}
	return nil
}

// forget drops a connection that is closed, or about to be.
func (s *identity) forget(raw net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, raw)
}

// handshake dials addr and returns the connection once the node there has
// proved that it is want, or any one if want is empty. That it has let this
// node in is not known yet: in TLS 1.3 the dialer is done first.
func (s *identity) handshake(ctx context.Context, addr, want, protocol string) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.p.cfg.Dial)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	raw, err := s.p.cfg.Network.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	c := &conn{raw: &timed{Conn: socket.Conn(raw)}, self: s}
	config := s.tls.Clone()
	config.NextProtos = []string{protocol}
	config.VerifyConnection = func(state tls.ConnectionState) error { return c.verify(state, want) }
	c.Conn = tls.Client(c.raw, config)
	if err := s.keep(c.raw, nil); err != nil {
		return nil, err
	}
	if err := c.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, fmt.Errorf("handshake: %w", err)
	}
	return c, nil
}

// dial is handshake, and then tells the other node what the connection is for
// and waits until it has let this node in. Where an error is returned,
// nothing but the opening was sent.
//
// After the handshake each side says one thing; both have a length byte in
// front.
//
//	opening  length uint8, text: the cluster ID (huddle-raft/1) or the lane,
//	         "small" or "bulk" (huddle/1)
//	answer   length uint8, text: empty, or why the connection is refused
func (s *identity) dial(ctx context.Context, addr, want, protocol, opening string) (*conn, error) {
	if len(opening) > 255 {
		return nil, fmt.Errorf("opening of %d bytes is too long", len(opening))
	}
	ctx, cancel := context.WithTimeout(ctx, s.p.cfg.Dial)
	defer cancel()
	c, err := s.handshake(ctx, addr, want, protocol)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { c.raw.Close() })
	// The opening is written while the answer is read: a node that does not
	// take this one's certificate writes as well, and reads no more. Of a write
	// that went wrong the reading tells.
	var wg sync.WaitGroup
	wg.Go(func() { _ = writeText(c, opening) })
	answer, err := readText(c)
	if err != nil || answer != "" {
		c.Close()
	}
	wg.Wait()
	if err == nil && answer != "" {
		err = &refusal{text: answer}
	}
	if !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("being let in: %w", err)
	}
	return c, nil
}

// writeText and readText carry openings and answers.
func writeText(w io.Writer, text string) error {
	text = text[:min(len(text), 255)]
	_, err := w.Write(append([]byte{uint8(len(text))}, text...))
	return err
}

func readText(r io.Reader) (string, error) {
	var b [255]byte
	if _, err := io.ReadFull(r, b[:1]); err != nil {
		return "", err
	}
	text := b[:b[0]]
	_, err := io.ReadFull(r, text)
	return string(text), err
}

// receive is the life of an accepted connection on this side, up to the end
// of a huddle/1 connection, or until Raft has taken it.
func (s *identity) receive(accepted net.Conn) {
	raw := &timed{Conn: socket.Conn(accepted)}
	host, c, err := s.letIn(raw)
	s.p.known(accepted)
	if err != nil {
		s.p.cfg.Logger.Debug("connection of another node not accepted",
			slog.String("address", accepted.RemoteAddr().String()), slog.Any("error", err))
		s.forget(raw)
		raw.Close()
		return
	}
	host(c)
}

// letIn has the other side show who it is and say what it wants, within the
// time for it, and returns what is to be done with the connection.
func (s *identity) letIn(raw *timed) (host func(*conn), c *conn, err error) {
	if err := s.keep(raw, nil); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeoutCause(s.ctx, s.p.cfg.Handshake, errors.New("it took too long"))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer func() {
		if !stop() {
			err = context.Cause(ctx)
		}
	}()
	c = &conn{raw: raw, self: s}
	config := s.tls.Clone()
	config.NextProtos = []string{protocolRaft, protocolRPC}
	config.VerifyConnection = func(state tls.ConnectionState) error { return c.verify(state, "") }
	c.Conn = tls.Server(raw, config)
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, nil, fmt.Errorf("handshake: %w", err)
	}
	opening, err := readText(c)
	if err != nil {
		return nil, nil, fmt.Errorf("reading what it is for: %w", err)
	}
	if c.ConnectionState().NegotiatedProtocol == protocolRaft {
		host, err = s.hostRaft(c.id, opening)
	} else {
		host, err = s.hostCalls(opening)
	}
	if err != nil {
		_ = writeText(c, "refused: "+err.Error()) // it is shut out in any case
		return nil, nil, err
	}
	return host, c, writeText(c, "")
}

// timed is a network connection that, once idle is set, breaks when that time
// passes without a byte read, or with a write that gets nothing through. It
// is set before the connection is shared.
type timed struct {
	net.Conn
	idle time.Duration
}

func (t *timed) Read(b []byte) (int, error) {
	if t.idle > 0 {
		if err := t.SetReadDeadline(time.Now().Add(t.idle)); err != nil {
			return 0, err
		}
	}
	return t.Conn.Read(b)
}

func (t *timed) Write(b []byte) (int, error) {
	if t.idle > 0 {
		if err := t.SetWriteDeadline(time.Now().Add(t.idle)); err != nil {
			return 0, err
		}
	}
	return t.Conn.Write(b)
}
