// Package behaviour holds each feature to one set of tests, through all the
// doors that it has: the Go API in process, Redis' protocol, and HTTP, on any
// of three real nodes.
package behaviour

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/huddlecache/huddle"
	"github.com/huddlecache/huddle/internal/local"
	"github.com/huddlecache/huddle/internal/respclient"
)

// A world is a cluster of three nodes in this process.
type world struct{ nodes []*huddle.Node }

var shared struct {
	once  sync.Once
	world world
	err   error
}

// TestMain ends the cluster that the tests share.
func TestMain(m *testing.M) {
	code := m.Run()
	for _, n := range shared.world.nodes {
		n.Kill()
	}
	os.Exit(code)
}

// cluster returns the cluster that all tests of the package share. A test uses
// names of its own.
func cluster(t *testing.T) *world {
	t.Helper()
	shared.once.Do(func() { shared.world.nodes, shared.err = local.Cluster(context.Background(), 3) })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return &shared.world
}

// open starts a cluster of its own, to be ended by the caller.
func open(count int) (*world, error) {
	nodes, err := local.Cluster(context.Background(), count)
	return &world{nodes}, err
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
