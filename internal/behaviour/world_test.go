// Package behaviour holds each feature to one set of tests, through all the
// doors that it has: the Go API in process, Redis' protocol, and HTTP, on any
// of three real nodes.
package behaviour

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/huddlecache/huddle"
	"github.com/huddlecache/huddle/internal/respclient"
)

// A world is a cluster of three nodes in this process, on loopback addresses.
type world struct{ nodes []*huddle.Node }

var shared struct {
	once  sync.Once
	world *world
	err   error
}

// TestMain ends the cluster that the tests share.
func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if shared.world != nil {
		for _, n := range shared.world.nodes {
			n.Kill()
		}
	}
	os.Exit(code)
}

// cluster returns the cluster that all tests of the package share. A test uses
// names of its own.
func cluster(t *testing.T) *world {
	t.Helper()
	shared.once.Do(func() { shared.world, shared.err = open(3) })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.world
}

// open starts nodes that found a cluster, and waits until all are ready.
func open(count int) (*world, error) {
	w := &world{}
	gossip, peers, err := freePorts(count)
	if err != nil {
		return w, err
	}
	var join []string
	for _, port := range gossip {
		join = append(join, fmt.Sprintf("127.0.0.1:%d", port))
	}
	loopback := netip.MustParseAddr("127.0.0.1")
	for i := range count {
		n, err := huddle.Open(context.Background(), huddle.Config{
			Name: fmt.Sprintf("node-%d", i+1), Join: join, Expect: count, Keys: [][]byte{make([]byte, 32)},
			Bind: loopback, Advertise: loopback, GossipPort: gossip[i], PeerPort: peers[i],
			RedisAddr: "127.0.0.1:0", HTTPAddr: "127.0.0.1:0", Drain: -1,
		})
		if err != nil {
			return w, err
		}
		w.nodes = append(w.nodes, n)
	}
	for _, n := range w.nodes {
		for start := time.Now(); n.Ready() != nil; time.Sleep(10 * time.Millisecond) {
			if time.Since(start) > time.Minute {
				return w, fmt.Errorf("not ready after a minute: %w", n.Ready())
			}
		}
	}
	return w, nil
}

// freePorts returns ports that were free a moment ago, for TCP and UDP.
func freePorts(count int) (gossip, peers []int, err error) {
	for range 2 * count {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, nil, err
		}
		defer ln.Close() //nolint:errcheck // nothing was written
		port := ln.Addr().(*net.TCPAddr).Port
		if len(gossip) < count {
			gossip = append(gossip, port)
		} else {
			peers = append(peers, port)
		}
	}
	return gossip, peers, nil
}

// redis returns a connection to node i, counted from any number, for the time
// of the test.
func (w *world) redis(t *testing.T, i int) *respclient.Client {
	t.Helper()
	c := respclient.New(w.nodes[i%len(w.nodes)].RedisAddrs()[0].String(), 10*time.Second)
	t.Cleanup(c.Close)
	return c
}

// url returns the address of node i's HTTP API, counted from any number.
func (w *world) url(i int) string {
	return "http://" + w.nodes[i%len(w.nodes)].HTTPAddr().String()
}
