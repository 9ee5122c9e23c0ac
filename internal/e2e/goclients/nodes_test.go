package goclients

import (
	"context"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// service is the nodes behind one name, dialled in turn.
type service struct {
	nodes []string // host:port
	dials atomic.Uint64
	run   string // makes keys that no other run uses
}

// newService returns the nodes that the environment names.
func newService(t *testing.T) *service {
	t.Helper()
	nodes := os.Getenv("REDIS_NODES")
	if nodes == "" {
		t.Skip("SKIPPED: REDIS_NODES names no nodes; TestGoClients of internal/e2e starts some")
	}
	run := t.Name() + ":" + strconv.FormatInt(time.Now().UnixNano(), 36) + ":"
	return &service{nodes: strings.Split(nodes, ","), run: run}
}

func (s *service) key(name string) string { return s.run + name }

// dial connects to the node whose turn it is, whatever the address, as a
// Kubernetes Service does.
func (s *service) dial(ctx context.Context) (net.Conn, error) {
	node := s.nodes[int(s.dials.Add(1)-1)%len(s.nodes)]
	return new(net.Dialer).DialContext(ctx, "tcp", node)
}

// must returns the value, or fails the test at once where there is none. It is
// curried so that a call with two results can be its argument.
func must[T any](value T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// eventually waits until check returns true, 10 s at most.
func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if check() {
			return
		}
	}
	t.Fatalf("not within 10 s: %s", what)
}
