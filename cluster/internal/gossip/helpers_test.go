package gossip_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/clustertest"
	"github.com/huddlecache/huddle/cluster/internal/gossip"
)

const (
	port = 7946
	name = "huddle.default.svc"
)

// A node is one gossip under test, and what it has logged.
type node struct {
	*gossip.Gossip
	host string
	id   string
	logs *buffer
}

// config is that of a node which joins by name.
func config(n *clustertest.Network, host, id string) gossip.Config {
	return gossip.Config{
		Network: n.Host(host),
		Port:    port,
		Keys:    [][]byte{key(1)},
		Label:   "test",
		Join:    []string{name},
		Meta:    gossip.Meta{ID: id, Name: "pod-" + id, PeerPort: 7947, Version: "0.1.0", Level: 1},
	}
}

func open(t *testing.T, n *clustertest.Network, host, id string) *node {
	t.Helper()
	return openWith(t, config(n, host, id))
}

func openWith(t *testing.T, cfg gossip.Config) *node {
	t.Helper()
	logs := new(buffer)
	cfg.Logger = slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	g, err := gossip.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Errorf("closing %s: %v", cfg.Meta.ID, err)
		}
	})
	return &node{Gossip: g, host: g.Addr().Addr().String(), id: cfg.Meta.ID, logs: logs}
}

// openAll opens nodes n1, n2, … at 10.0.0.1, 10.0.0.2, …, all named by DNS,
// and waits until they see each other.
func openAll(t *testing.T, n *clustertest.Network, count int) []*node {
	t.Helper()
	var nodes []*node
	var hosts []string
	for i := range count {
		hosts = append(hosts, fmt.Sprintf("10.0.0.%d", i+1))
		nodes = append(nodes, open(t, n, hosts[i], fmt.Sprintf("n%d", i+1)))
	}
	n.SetDNS(name, hosts...)
	within(t, 3*time.Second, "all see each other", func() bool { return allSee(nodes) })
	return nodes
}

// allSee reports whether every node sees exactly all of them alive.
func allSee(nodes []*node) bool {
	for _, one := range nodes {
		for _, other := range nodes {
			if !one.sees(other.id, gossip.Alive) {
				return false
			}
		}
		if one.count(gossip.Alive) != len(nodes) {
			return false
		}
	}
	return true
}

func (n *node) sees(id string, want gossip.State) bool {
	m, found := n.Member(id)
	return found && m.State == want
}

func (n *node) count(state gossip.State) (count int) {
	for _, m := range n.Members() {
		if m.State == state {
			count++
		}
	}
	return count
}

// within waits in virtual time until something holds, and returns how long
// that took.
func within(t *testing.T, most time.Duration, what string, holds func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !holds() {
		if time.Since(start) > most {
			t.Fatalf("not within %v: %s", most, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(start)
}

// throughout checks that something goes on to hold.
func throughout(t *testing.T, span time.Duration, what string, holds func() bool) {
	t.Helper()
	for start := time.Now(); time.Since(start) < span; time.Sleep(100 * time.Millisecond) {
		if !holds() {
			t.Fatalf("no longer after %v: %s", time.Since(start), what)
		}
	}
}

func key(fill byte) []byte { return bytes.Repeat([]byte{fill}, 32) }

func addrPort(host string) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(host), port)
}

// A buffer is written by many.
type buffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) count(s string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Count(b.b.Bytes(), []byte(s))
}

func (b *buffer) contains(s string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Contains(b.b.Bytes(), []byte(s))
}
