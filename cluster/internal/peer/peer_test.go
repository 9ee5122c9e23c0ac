package peer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/internal/peer"
)

const timeLimit = 10 * time.Second

// key returns the cluster key number n.
func key(n byte) []byte { return bytes.Repeat([]byte{n}, 32) }

// A world is a network with an address book, for the peers of one test.
type world struct {
	peer.Network

	mu    sync.Mutex // guards addrs
	addrs map[string]string
}

func newWorld(n peer.Network) *world {
	return &world{Network: n, addrs: make(map[string]string)}
}

// move says where the node id is from now on.
func (w *world) move(id, addr string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.addrs[id] = addr
}

func (w *world) address(id string) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if addr, ok := w.addrs[id]; ok {
		return addr, nil
	}
	return "", fmt.Errorf("no node %q", id)
}

// open opens a peer that listens on an address equal to its ID, with key 1
// and a handler that echoes, as far as cfg does not say otherwise.
func (w *world) open(t testing.TB, cfg peer.Config) *peer.Peer {
	t.Helper()
	cfg.Network = w.Network
	if cfg.Addr == "" {
		cfg.Addr = cfg.ID
	}
	if cfg.Keys == nil {
		cfg.Keys = [][]byte{key(1)}
	}
	cfg.Address = w.address
	if cfg.Handle == nil {
		cfg.Handle = echo
	}
	p, err := peer.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	w.move(cfg.ID, p.Addr().String())
	return p
}

func echo(_ context.Context, _ string, _ uint8, body []byte) ([]byte, error) { return body, nil }

// loopback is the machine's loopback device, with ports that are free.
type loopback struct{}

func (loopback) Listen(string) (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }

func (loopback) Dial(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addr)
}

// loopbackPair opens a and b on the loopback device.
func loopbackPair(t testing.TB) (w *world, a, b *peer.Peer) {
	t.Helper()
	w = newWorld(loopback{})
	a = w.open(t, peer.Config{ID: "a"})
	b = w.open(t, peer.Config{ID: "b"})
	return w, a, b
}

// A pipes is a network of net.Pipe connections: writes wait for their
// readers, and nothing takes time.
type pipes struct {
	mu        sync.Mutex // guards what follows
	listeners map[string]*pipeListener
	conns     []net.Conn // both ends of all
	dials     int
	hung      bool                          // dials get no answer
	mute      atomic.Bool                   // what is written is lost
	gate      atomic.Pointer[chan struct{}] // if set, reads wait until it is closed
}

func newPipes() *pipes { return &pipes{listeners: make(map[string]*pipeListener)} }

func (n *pipes) Listen(addr string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := &pipeListener{n: n, addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
	n.listeners[addr] = l
	return l, nil
}

func (n *pipes) Dial(ctx context.Context, addr string) (net.Conn, error) {
	n.mu.Lock()
	n.dials++
	l, hung := n.listeners[addr], n.hung
	n.mu.Unlock()
	if hung {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if l == nil {
		return nil, errors.New("connection refused")
	}
	near, far := net.Pipe()
	here, there := faultyConn{near, n}, faultyConn{far, n}
	select {
	case l.conns <- there:
		n.mu.Lock()
		n.conns = append(n.conns, here, there)
		n.mu.Unlock()
		return here, nil
	case <-l.done:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// cut breaks every connection.
func (n *pipes) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.conns {
		c.Close()
	}
	n.conns = nil
}

// block has every read that begins from now on wait for the release. Each end
// still finishes the read in which it is.
func (n *pipes) block() (release func()) {
	gate := make(chan struct{})
	n.gate.Store(&gate)
	return func() {
		n.gate.Store(nil)
		close(gate)
	}
}

func (n *pipes) dialled() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dials
}

func (n *pipes) hang(hung bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hung = hung
}

// A faultyConn does what its network says.
type faultyConn struct {
	net.Conn
	n *pipes
}

func (c faultyConn) Read(b []byte) (int, error) {
	if gate := c.n.gate.Load(); gate != nil {
		<-*gate
	}
	return c.Conn.Read(b)
}

func (c faultyConn) Write(b []byte) (int, error) {
	if c.n.mute.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

type pipeListener struct {
	n     *pipes
	addr  string
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() {
		l.n.mu.Lock()
		delete(l.n.listeners, l.addr)
		l.n.mu.Unlock()
		close(l.done)
	})
	return nil
}

func (l *pipeListener) Addr() net.Addr { return pipeAddr(l.addr) }

type pipeAddr string

func (pipeAddr) Network() string  { return "pipe" }
func (a pipeAddr) String() string { return string(a) }
