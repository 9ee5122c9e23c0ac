// Package peer is the one TCP port between nodes: connections that prove who
// they are, requests and replies over them, and the streams that Raft runs on.
//
// All that a node needs to be let in is a cluster key. From it every node
// derives the same certificate authority, signs itself a certificate with its
// server ID in it, and accepts whoever shows one of that authority; whoever
// dials names the ID that it expects. TLS 1.3 negotiates one of two protocols:
// huddle-raft/1 is handed to Raft as it is (see [Layer]), huddle/1 carries
// frames, many requests at once, in any order of replies (see [Peer.Call]).
//
// A Peer has one identity at a time. [Peer.SetIdentity] gives it another one
// and keeps the listener: everything of the former identity is closed.
package peer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// The protocols that TLS negotiates, versioned by their names: nothing else
// is negotiated.
const (
	protocolRaft = "huddle-raft/1"
	protocolRPC  = "huddle/1"
)

// maxHandshakes is how many accepted connections may be busy showing who they
// are. Past it the one that has taken longest is closed: a true one needs
// milliseconds, so a flood of silent ones cannot shut it out.
const maxHandshakes = 256

// A Peer is one node's end of the port between nodes. Its methods may be
// called by many goroutines at once.
type Peer struct {
	cfg      Config
	keys     []clusterKey
	listener net.Listener
	wg       sync.WaitGroup // every goroutine of every identity
	done     chan struct{}  // closed by Close
	self     atomic.Pointer[identity]

	mu         sync.Mutex // guards what follows
	closed     bool
	handshakes []net.Conn // accepted and not known yet, oldest first
}

// Open listens on cfg.Addr as the node cfg.ID.
func Open(cfg Config) (*Peer, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	p := &Peer{cfg: cfg, done: make(chan struct{})}
	for _, key := range cfg.Keys {
		p.keys = append(p.keys, newClusterKey(key))
	}
	self, err := newIdentity(p, cfg.ID)
	if err != nil {
		return nil, err
	}
	p.self.Store(self)
	if p.listener, err = cfg.Network.Listen(cfg.Addr); err != nil {
		return nil, fmt.Errorf("listening for other nodes: %w", err)
	}
	p.wg.Go(p.accept)
	return p, nil
}

// Close closes the listener and all connections, ends the contexts of the
// handlers, and waits for them and all other goroutines. Calls that wait end
// as if their connection had broken. It must not be called by a handler.
func (p *Peer) Close() error {
	p.mu.Lock()
	first := !p.closed
	p.closed = true
	p.mu.Unlock()
	var err error
	if first {
		close(p.done)
		err = p.listener.Close()
		p.self.Load().close()
	}
	p.wg.Wait()
	return err
}

// ID returns the server ID that the node has now.
func (p *Peer) ID() string { return p.self.Load().id }

// Addr returns the address that the peer listens on.
func (p *Peer) Addr() net.Addr { return p.listener.Addr() }

// SetIdentity gives the node another server ID. The listener stays; the
// connections and the Raft layer of the former identity are closed, and the
// contexts of its handlers end. It does not wait for those handlers, so that
// one of them may call it.
func (p *Peer) SetIdentity(id string) error {
	next, err := newIdentity(p, id)
	if err != nil {
		return err
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		next.close()
		return net.ErrClosed
	}
	former := p.self.Swap(next)
	p.mu.Unlock()
	former.close()
	return nil
}

// accept takes connections until Close closes the listener.
func (p *Peer) accept() {
	for {
		raw, err := p.listener.Accept()
		if err == nil {
			p.admit(raw)
			continue
		}
		select {
		case <-p.done:
			return
		default:
		}
		if errors.Is(err, net.ErrClosed) {
			p.cfg.Logger.Error("the listener for other nodes was closed", slog.Any("error", err))
			return
		}
		// Out of descriptors, most likely: what is there goes on.
		p.cfg.Logger.Warn("accepting a connection of another node", slog.Any("error", err))
		select {
		case <-p.done:
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// admit lets a new connection show who it is, on a goroutine of its own.
func (p *Peer) admit(raw net.Conn) {
	p.mu.Lock()
	var oldest net.Conn
	if len(p.handshakes) >= maxHandshakes {
		oldest = p.handshakes[0]
		p.handshakes = slices.Delete(p.handshakes, 0, 1)
	}
	p.handshakes = append(p.handshakes, raw)
	p.mu.Unlock()
	if oldest != nil {
		oldest.Close()
	}
	self := p.self.Load()
	if !self.start(func() { self.receive(raw) }) {
		p.known(raw)
		raw.Close()
	}
}

// known ends the time in which raw counts as not known.
func (p *Peer) known(raw net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.handshakes, raw); i >= 0 {
		p.handshakes = slices.Delete(p.handshakes, i, i+1)
	}
}

// Identity returns the server ID of the node that listens on addr. Only the
// handshake is done, which proves it. An address that answers with the ID
// asked for is alive; one that answers with another has a new node behind it;
// the caller's own ID says that the address is its own.
func (p *Peer) Identity(ctx context.Context, addr string) (string, error) {
	c, err := p.self.Load().handshake(ctx, addr, "", protocolRPC)
	if err != nil {
		return "", fmt.Errorf("asking who is at %s: %w", addr, err)
	}
	defer c.Close()
	return c.id, nil
}
