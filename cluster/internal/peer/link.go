package peer

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"time"
)

// A Lane is one of the two connections on which a node asks another one.
type Lane uint8

const (
	// Small is for what is short and urgent, agreement above all.
	Small Lane = iota
	// Bulk is for what is long.
	Bulk
)

func (l Lane) String() string {
	switch l {
	case Small:
		return "small"
	case Bulk:
		return "bulk"
	}
	return fmt.Sprintf("lane %d", l)
}

// limit returns the longest body on the lane.
func (l Lane) limit(cfg *Config) int {
	if l == Bulk {
		return cfg.MaxBulkFrame
	}
	return cfg.MaxFrame
}

const (
	backoffMin = 20 * time.Millisecond
	backoffMax = time.Second
	// patience is how long a caller waits for the dial to a node that could
	// not be reached the last time. The dial goes on without it.
	patience = 250 * time.Millisecond
	// linkAge is how long a link that is not used is remembered.
	linkAge = time.Minute
)

var errClosed = fmt.Errorf("this node has closed it: %w", net.ErrClosed)

// linkKey names a connection: the other node's server ID and the lane.
type linkKey struct {
	id   string
	lane Lane
}

// A link is the way to one node on one lane: a connection, or a dial that all
// callers share, or the memory of one that failed.
type link struct {
	client atomic.Pointer[client] // the last connection, perhaps over; nil before the first

	// guarded by identity.mu
	dialing  *dialing // in progress; nil if none is
	failures int      // dials that failed since the last good one
	failed   error    // why the last one did
	addr     string   // where it was to
	retry    time.Time
	used     time.Time
}

// living returns the connection if there is one that works.
func (l *link) living() *client {
	if cl := l.client.Load(); cl != nil && !cl.isOver() {
		return cl
	}
	return nil
}

// A dialing is one dial for all that wait for it.
type dialing struct {
	done   chan struct{} // closed when client or err is set
	before error         // why the last dial failed; nil if it did not
	client *client
	err    error
}

// client returns the connection to a node, dialling if there is none.
func (s *identity) client(ctx context.Context, key linkKey) (*client, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l := s.link(key)
	if cl := l.living(); cl != nil {
		return cl, nil
	}
	addr, err := s.p.cfg.Address(key.id)
	if err != nil {
		return nil, fmt.Errorf("looking up its address: %w", err)
	}
	d, err := s.dialing(l, key, addr)
	if err != nil {
		return nil, err
	}
	if d.before != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, patience, d.before)
		defer cancel()
	}
	select {
	case <-d.done:
		return d.client, d.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// link returns the link for key. Those not used for long, of nodes that are
// gone most likely, are dropped when a new one is made.
func (s *identity) link(key linkKey) *link {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.links[key]
	if l != nil && l.living() != nil {
		return l
	}
	now := time.Now()
	if l != nil {
		l.used = now
		return l
	}
	for k, old := range s.links {
		if old.dialing == nil && old.living() == nil && now.Sub(old.used) > linkAge {
			delete(s.links, k)
		}
	}
	l = &link{used: now}
	s.links[key] = l
	return l
}

// dialing returns the dial that is in progress, a new one to addr, or the
// last one's error if it is too early for another.
func (s *identity) dialing(l *link, key linkKey, addr string) (*dialing, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	l.used = now
	if l.dialing != nil {
		return l.dialing, nil
	}
	if cl := l.living(); cl != nil { // dialled by another caller just now
		d := &dialing{done: make(chan struct{}), client: cl}
		close(d.done)
		return d, nil
	}
	if l.failures > 0 && addr == l.addr && now.Before(l.retry) {
		return nil, l.failed
	}
	if s.closed {
		return nil, errClosed
	}
	d := &dialing{done: make(chan struct{}), before: l.failed}
	l.dialing, l.addr = d, addr
	s.p.wg.Go(func() { s.connect(l, d, key, addr) }) // ends with the time for a dial
	return d, nil
}

// connect dials for all that wait for d.
func (s *identity) connect(l *link, d *dialing, key linkKey, addr string) {
	c, err := s.dial(s.ctx, addr, key.id, protocolRPC, key.lane.String())
	if err == nil {
		d.client, err = newClient(c, key.lane)
	}
	d.err = err
	s.mu.Lock()
	l.dialing = nil
	l.failed = err
	if err == nil {
		l.failures = 0
		l.client.Store(d.client)
	} else {
		l.retry = time.Now().Add(min(backoffMin<<min(l.failures, 10), backoffMax))
		l.failures++
	}
	s.mu.Unlock()
	close(d.done)
}
