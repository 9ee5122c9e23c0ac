package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/huddlecache/huddle/internal/respclient"
)

// A sessionRecorder collects what clients do with sessions.
type sessionRecorder struct {
	recorder // its clock, its choice of nodes and its tally

	guard   sync.Mutex // guards history
	history sessionHistory
}

// A sessionClient is one client of sessions.
type sessionClient struct {
	r      *sessionRecorder
	caller *caller
	id     int
	random *rand.Rand
}

func (c *sessionClient) any() *node { return c.r.choose(c.random, c.caller.w) }

// do sends a command, notes what became of it, and returns the reply.
func (c *sessionClient) do(o *sessionOp, n *node, args ...string) (any, error) {
	if o.call == 0 {
		o.call = time.Since(c.r.begin)
	}
	reply, err := c.caller.on(n, args...)
	o.ret = time.Since(c.r.begin)
	o.outcome = respclient.OutcomeOf(err)
	c.r.told.add(err)
	if err == nil {
		err = o.read(reply)
		if err != nil {
			c.r.told.add(respclient.Error("MALFORMED " + err.Error()))
		}
	}
	c.r.guard.Lock()
	defer c.r.guard.Unlock()
	c.r.history = append(c.r.history, o)
	return reply, err
}

// read takes a version, or a session and its version, from a reply.
func (o *sessionOp) read(reply any) error {
	switch o.kind {
	case "merge", "set":
		version, ok := reply.(int64)
		if !ok || version <= 0 {
			return fmt.Errorf("got %v for a version", reply)
		}
		o.version = version
	case "get", "gone":
		if reply == nil {
			return nil
		}
		o.found = true
		_, err := scan(reply, &o.data, &o.version)
		return err
	}
	return nil
}

// surely repeats a command, under one key, until it is answered. It may have
// taken effect at any time since it was first sent.
func (c *sessionClient) surely(o sessionOp, args ...string) (any, error) {
	o.call = time.Since(c.r.begin)
	idem := []string{"IDEM", fmt.Sprintf("session-%d-%d", c.id, c.random.Uint64())}
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		try := o
		reply, err := c.do(&try, c.any(), slices.Concat(idem, args)...)
		if err == nil || time.Since(begin) > time.Minute {
			return reply, err
		}
	}
}

// mergedID is a session into which many clients merge at a time. There is
// another one every few seconds, as a merge takes time with what there is.
func mergedID(at time.Duration) string { return "merged:" + strconv.Itoa(int(at/(4*time.Second))) }

// TestSessionsUnderFaults has clients merge fields of their own into the same
// sessions, destroy sessions and make them again, and log users out
// everywhere, while leaders are killed and replaced.
func TestSessionsUnderFaults(t *testing.T) {
	t.Parallel()
	w := startNodes(t, 3, false)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := &sessionRecorder{recorder: recorder{begin: time.Now()}}
	kills := 1
	if long() {
		kills = 10
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	var logouts atomic.Int64
	for i, run := range slices.Concat(
		slices.Repeat([]func(*sessionClient){(*sessionClient).merge}, 12),
		slices.Repeat([]func(*sessionClient){(*sessionClient).rebuild}, 4),
		slices.Repeat([]func(*sessionClient){func(c *sessionClient) { c.logout(&logouts) }}, 4),
	) {
		c := &sessionClient{r: r, caller: newCaller(w, i), id: i, random: rand.New(rand.NewPCG(seed, uint64(i)))}
		wg.Go(func() {
			defer c.caller.close()
			for {
				select {
				case <-done:
					return
				case <-time.After(time.Duration(c.random.IntN(60)) * time.Millisecond):
					run(c)
				}
			}
		})
	}
	for range kills {
		time.Sleep(time.Second)
		w.replaceLeader()
	}
	time.Sleep(time.Second)
	close(done)
	wg.Wait()
	r.readAtEnd(t, w)
	if others := r.told.except("ok", "UNAVAILABLE", "CLUSTERDOWN", "TRYAGAIN", "LOADING", "broken", "not connected"); len(others) > 0 {
		t.Errorf("clients were told %q", others)
	}
	for _, wrong := range r.history.check() {
		t.Error(wrong)
	}
	merged := len(r.history.of("merge"))
	t.Logf("%d fields merged, %d sessions saved, %d reads, %d users logged out; answers: %v",
		merged, len(r.history.of("set")), len(r.history.of("get", "gone")), logouts.Load(), &r.told)
	if merged < 50 || logouts.Load() < 5 {
		t.Error("too little was done to show anything")
	}
}

// merge adds a field that no other merge adds, and now and then reads.
func (c *sessionClient) merge() {
	id := mergedID(time.Since(c.r.begin))
	field := fmt.Sprintf("f%d-%d", c.id, c.random.Uint32())
	c.do(&sessionOp{kind: "merge", id: id, field: field}, c.any(), "SESSION.MERGE", id, fmt.Sprintf(`{"%s":1}`, field), "PX", "600000")
	if c.random.IntN(20) == 0 {
		_ = c.readMerged(c.any(), id) // told
	}
}

// readMerged reads a session into which all merge.
func (c *sessionClient) readMerged(n *node, id string) error {
	o := &sessionOp{kind: "get", id: id, fields: make(map[string]bool)}
	if _, err := c.do(o, n, "SESSION.GET", id); err != nil || !o.found {
		return err
	}
	var members map[string]int
	if err := json.Unmarshal([]byte(o.data), &members); err != nil {
		return err
	}
	for field := range members {
		o.fields[field] = true
	}
	return nil
}

// rebuild saves, destroys or reads a session that all its like use.
func (c *sessionClient) rebuild() {
	const id = "rebuilt"
	switch c.random.IntN(3) {
	case 0:
		data := strconv.FormatUint(c.random.Uint64(), 10)
		c.do(&sessionOp{kind: "set", id: id, data: data}, c.any(), "SESSION.SET", id, data, "PX", "600000")
	case 1:
		c.do(&sessionOp{kind: "del", id: id}, c.any(), "SESSION.DEL", id)
	default:
		c.do(&sessionOp{kind: "get", id: id}, c.any(), "SESSION.GET", id)
	}
}

// logout saves sessions of a user through several nodes, destroys all of them
// and looks for them at every node.
func (c *sessionClient) logout(count *atomic.Int64) {
	user := fmt.Sprintf("u%d-%d", c.id, c.random.Uint32())
	ids := []string{user + ":1", user + ":2", user + ":3"}
	for _, id := range ids {
		if _, err := c.surely(sessionOp{kind: "set", id: id, user: user, data: id}, "SESSION.SET", id, id, "PX", "600000", "USER", user); err != nil {
			return // told, which fails the test if that must not be
		}
	}
	gone, err := c.surely(sessionOp{kind: "logout", user: user}, "SESSION.DELALL", "USER", user)
	if err != nil {
		return
	}
	if gone != int64(len(ids)) {
		c.r.told.add(respclient.Error(fmt.Sprintf("WRONG %v sessions were destroyed, want %d", gone, len(ids))))
	}
	count.Add(1)
	for _, n := range c.caller.w.inService() {
		id := ids[c.random.IntN(len(ids))]
		c.do(&sessionOp{kind: "gone", id: id, user: user}, n, "SESSION.GET", id)
		reply, err := c.caller.on(n, "SESSION.LIST", "USER", user)
		c.r.told.add(err)
		if list, isList := reply.([]any); err == nil && (!isList || len(list) > 0) {
			c.r.told.add(respclient.Error(fmt.Sprintf("WRONG %v are listed after the logout", reply)))
		}
	}
}

// readAtEnd reads the merged sessions through every node.
func (r *sessionRecorder) readAtEnd(t *testing.T, w *world) {
	t.Helper()
	c := &sessionClient{r: r, caller: newCaller(w, 0), random: rand.New(rand.NewPCG(0, 0))}
	defer c.caller.close()
	merged := make(map[string]bool)
	for _, o := range r.history.of("merge") {
		merged[o.id] = true
	}
	for _, n := range w.inService() {
		for id := range merged {
			eventually(t, time.Minute, func() error { return c.readMerged(n, id) })
		}
	}
}
