package e2e

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/huddlecache/huddle/internal/respclient"
)

// caller is one client of the service, for one goroutine: a connection to
// each node, used in turn.
type caller struct {
	w       *world
	conns   map[string]*respclient.Client // address -> connection
	next    int
	timeout time.Duration
}

// newCaller returns a client that begins with the given node in service.
func newCaller(w *world, first int) *caller {
	return &caller{w: w, conns: make(map[string]*respclient.Client), next: first, timeout: clientTimeout}
}

// do sends one command to the next node in service.
func (c *caller) do(args ...string) (any, error) {
	nodes := c.w.inService()
	if len(nodes) == 0 {
		return nil, respclient.ErrUnsent
	}
	n := nodes[c.next%len(nodes)]
	c.next++
	return c.on(n, args...)
}

// on sends one command to the given node.
func (c *caller) on(n *node, args ...string) (any, error) {
	addr := n.redisAddr()
	conn := c.conns[addr]
	if conn == nil {
		conn = respclient.New(addr, c.timeout)
		c.conns[addr] = conn
	}
	return conn.Do(args...)
}

func (c *caller) close() {
	for _, conn := range c.conns {
		conn.Close()
	}
}

// tally counts what clients were told, by kind of error.
type tally struct {
	mu    sync.Mutex // guards what follows
	kinds map[string]int
	text  map[string]string // kind -> an example
}

// kindOf names an error by its reply's prefix, or by what broke.
func kindOf(err error) string {
	var reply respclient.Error
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &reply):
		return reply.Prefix()
	case errors.Is(err, respclient.ErrUnsent):
		return "not connected"
	case errors.Is(err, respclient.ErrProtocol):
		return "malformed"
	default:
		return "broken"
	}
}

func (y *tally) add(err error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.kinds == nil {
		y.kinds, y.text = make(map[string]int), make(map[string]string)
	}
	kind := kindOf(err)
	y.kinds[kind]++
	if err != nil {
		y.text[kind] = err.Error()
	}
}

// except returns the kinds counted that are not among the given ones, with an
// example of each.
func (y *tally) except(kinds ...string) []string {
	y.mu.Lock()
	defer y.mu.Unlock()
	var others []string
	for _, kind := range slices.Sorted(maps.Keys(y.kinds)) {
		if !slices.Contains(kinds, kind) {
			others = append(others, fmt.Sprintf("%d %s (%s)", y.kinds[kind], kind, y.text[kind]))
		}
	}
	return others
}

func (y *tally) String() string {
	y.mu.Lock()
	defer y.mu.Unlock()
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(y.kinds)) {
		parts = append(parts, fmt.Sprintf("%d %s", y.kinds[kind], kind))
	}
	return strings.Join(parts, ", ")
}

// gap keeps the longest time between two answers to any one client.
type gap struct {
	mu      sync.Mutex // guards longest
	longest time.Duration
}

func (g *gap) saw(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.longest = max(g.longest, d)
}
