package redis_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/keyspace"
	"github.com/huddlecache/huddle/server/redis"
	"github.com/huddlecache/huddle/server/resp"
)

// A memory is a log of one node that agrees with itself, with a real keyspace
// behind it.
type memory struct {
	mu      sync.Mutex // guards what follows
	space   *keyspace.Space
	at      machine.Stamp
	numbers uint64
	calls   [][]machine.Item      // of Do
	asked   []machine.Consistency // of Query
	replies []machine.Reply       // if set, what Do answers
	err     error                 // of Do and Query
	delay   time.Duration         // before Do and Query answer; they keep to their context
	heard   func(machine.Event)   // of who has subscribed
	events  []machine.Event       // of the call that is executed
}

func newMemory() *memory {
	return &memory{space: keyspace.New(), at: machine.Stamp{
		Cluster: "test", Index: 7, Lease: time.Hour, Wall: 1_700_000_000 * time.Second,
	}}
}

func (m *memory) Do(ctx context.Context, items ...machine.Item) ([]machine.Reply, machine.Stamp, error) {
	if err := m.wait(ctx); err != nil {
		return nil, machine.Stamp{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls = append(m.calls, items)
	if m.err != nil {
		return nil, machine.Stamp{}, m.err
	}
	if m.replies != nil {
		return m.replies, m.at, nil
	}
	m.at.Index++
	replies := make([]machine.Reply, len(items))
	for i, item := range items {
		if item.Query {
			replies[i].Data = m.space.Query(m.at, item.Data)
		} else {
			replies[i].Data = m.space.Apply(&machine.Tx{Stamp: m.at, Shell: m, Seed: [16]byte{1}}, item.Data)
		}
	}
	for _, e := range m.events {
		if e.Index = m.at.Index; m.heard != nil {
			m.heard(e)
		}
	}
	m.events = nil
	return replies, m.at, nil
}

func (m *memory) Query(ctx context.Context, c machine.Consistency, query []byte) ([]byte, machine.Stamp, error) {
	if err := m.wait(ctx); err != nil {
		return nil, machine.Stamp{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = append(m.asked, c)
	if m.err != nil {
		return nil, machine.Stamp{}, m.err
	}
	return m.space.Query(m.at, query), m.at, nil
}

func (m *memory) wait(ctx context.Context) error {
	m.mu.Lock()
	delay := m.delay
	m.mu.Unlock()
	if delay == 0 {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(delay):
		return nil
	}
}

func (m *memory) Subscribe(fn func(machine.Event)) (cancel func()) {
	m.set(func() { m.heard = fn })
	return func() { m.set(func() { m.heard = nil }) }
}

func (m *memory) Now() (time.Duration, bool)                    { return m.at.Lease, true }
func (m *memory) Number() uint64                                { m.numbers++; return m.numbers }
func (m *memory) Deadline([]byte, time.Duration, time.Duration) {}
func (m *memory) Emit(e machine.Event)                          { m.events = append(m.events, e) }
func (m *memory) Fail(err error)                                { panic(err) }

func (m *memory) set(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
}

func (m *memory) takeCalls() (calls [][]machine.Item) {
	m.set(func() { calls, m.calls = m.calls, nil })
	return calls
}

func (m *memory) takeAsked() (asked []machine.Consistency) {
	m.set(func() { asked, m.asked = m.asked, nil })
	return asked
}

// A place listens in memory.
type place struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPlace() *place { return &place{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *place) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *place) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *place) Addr() net.Addr { return tcp("10.1.2.3:6379") }

// An addressed connection says that it is one over TCP.
type addressed struct {
	net.Conn
	local, remote net.Addr
}

func (a addressed) LocalAddr() net.Addr  { return a.local }
func (a addressed) RemoteAddr() net.Addr { return a.remote }

func tcp(addr string) net.Addr {
	a, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		panic(err)
	}
	return a
}

// A world is a server and its log, in a bubble.
type world struct {
	t      *testing.T
	log    *memory
	server *redis.Server
	place  *place
	port   int
}

// in runs test in a bubble of its own.
func in(t *testing.T, config redis.Config, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, log: newMemory(), place: newPlace(), port: 40000}
		config.Log, config.Listeners = w.log, []net.Listener{w.place}
		var err error
		if w.server, err = redis.Open(config); err != nil {
			t.Fatal(err)
		}
		defer w.server.Close()
		test(w)
	})
}

// A client keeps all that it is sent, and never makes the server wait unless
// it is told to.
type client struct {
	w      *world
	socket net.Conn
	mu     sync.Mutex // guards what follows
	got    bytes.Buffer
	isOver bool
	gate   chan struct{} // closed when it is to read again; nil while it does
}

// pause makes the client read no more, but for what it is about to get.
func (c *client) pause() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gate = make(chan struct{})
}

func (c *client) resume() {
	c.mu.Lock()
	close(c.gate)
	c.gate = nil
	c.mu.Unlock()
	synctest.Wait()
}

func (w *world) connect() *client {
	w.t.Helper()
	ours, theirs := net.Pipe()
	w.port++
	remote := &net.TCPAddr{IP: net.IPv4(10, 9, 9, 9), Port: w.port}
	w.place.conns <- addressed{theirs, w.place.Addr(), remote}
	c := &client{w: w, socket: ours}
	w.t.Cleanup(func() { ours.Close() })
	go c.listen()
	synctest.Wait()
	return c
}

func (c *client) listen() {
	buf := make([]byte, 64<<10)
	for {
		n, err := c.socket.Read(buf)
		c.mu.Lock()
		c.got.Write(buf[:n])
		c.isOver = err != nil
		gate := c.gate
		c.mu.Unlock()
		if err != nil {
			return
		}
		if gate != nil {
			<-gate
		}
	}
}

// sent sends bytes as they are and returns what came back once all is quiet;
// CLOSED is at its end where the server has closed.
func (c *client) sent(raw string) string {
	c.send(raw)
	synctest.Wait()
	return c.heard()
}

func (c *client) heard() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	got := c.got.String()
	c.got.Reset()
	if c.isOver {
		got += "CLOSED"
	}
	return got
}

// send sends bytes, and does not wait until they are taken.
func (c *client) send(raw string) { send(c.socket, raw) }

// send does not care whether the server closes before it has read all.
func send(socket net.Conn, raw string) {
	go func() { _, _ = io.WriteString(socket, raw) }()
}

// do sends one command as a line, and returns the reply.
func (c *client) do(line string) string { return c.sent(line + "\r\n") }

// pipe sends commands, which are lines, at once as arrays of bulk strings.
func (c *client) pipe(lines ...string) string {
	var raw []byte
	for _, line := range lines {
		raw = resp.AppendCommand(raw, strings.Fields(line)...)
	}
	return c.sent(string(raw))
}

// want fails the test unless the line gets the reply, which is RESP.
func (c *client) want(line, reply string) {
	c.w.t.Helper()
	if got := c.do(line); got != reply {
		c.w.t.Errorf("%s:\n got %q\nwant %q", line, got, reply)
	}
}

// wantPrefix is want for what the reply begins with.
func (c *client) wantPrefix(line, reply string) {
	c.w.t.Helper()
	if got := c.do(line); !strings.HasPrefix(got, reply) {
		c.w.t.Errorf("%s:\n got %q\nwant %q…", line, got, reply)
	}
}

// shapes says what the calls of Do were made of: w for a command that writes,
// r for a query.
func shapes(calls [][]machine.Item) (shapes []string) {
	for _, items := range calls {
		var b strings.Builder
		for _, item := range items {
			if item.Query {
				b.WriteByte('r')
			} else {
				b.WriteByte('w')
			}
		}
		shapes = append(shapes, b.String())
	}
	return shapes
}

func equal[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
