package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// cacheCallers is how many connections to each node fill the cache and read it.
const cacheCallers = 16

// A cacheRun keeps entries in the cache and looks for them again.
type cacheRun struct {
	w     *world
	count int // of entries
	told  tally
}

func cacheKey(i int) string { return "entry:" + strconv.Itoa(i) }

// cacheValue is what an entry has, as long as a small fragment of a page.
func cacheValue(i int) string { return strings.Repeat(strconv.Itoa(i)+" ", 100/len(strconv.Itoa(i))) }

// start takes new nodes into service once they are ready, and returns how long
// that took. When they are told to stop they lose no time with clients that have
// not heard of it: those of a test have.
func (r *cacheRun) start(count int) time.Duration {
	begin := time.Now()
	var nodes []*node
	for range count {
		nodes = append(nodes, r.w.add("HUDDLE_DRAIN=200ms"))
	}
	for _, n := range nodes {
		n.waitReady(60 * time.Second)
		r.w.serve(n)
	}
	return time.Since(begin)
}

// surely repeats a command until it is answered.
func (r *cacheRun) surely(c *caller, n *node, args ...string) any {
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		reply, err := c.on(n, args...)
		r.told.add(err)
		if err == nil {
			return reply
		}
		if time.Since(begin) > 30*time.Second {
			r.w.t.Errorf("%v through %s is not answered: %v", args[:3], n.name, err)
			return nil
		}
	}
}

// each calls fn for every entry, with a connection and the node that is next
// in turn.
func (r *cacheRun) each(turn int, fn func(c *caller, n *node, i int)) time.Duration {
	begin, nodes := time.Now(), r.w.inService()
	var wg sync.WaitGroup
	var next atomic.Int64
	for range cacheCallers {
		wg.Go(func() {
			c := newCaller(r.w, 0)
			defer c.close()
			for i := int(next.Add(1)) - 1; i < r.count; i = int(next.Add(1)) - 1 {
				fn(c, nodes[(i+turn)%len(nodes)], i)
			}
		})
	}
	wg.Wait()
	return time.Since(begin)
}

// fill writes all entries, each through the node that is next.
func (r *cacheRun) fill() time.Duration {
	return r.each(0, func(c *caller, n *node, i int) {
		if reply := r.surely(c, n, "CACHE.SET", "g", cacheKey(i), cacheValue(i)); reply != "OK" {
			r.w.t.Errorf("%s is not kept: %v", cacheKey(i), reply)
		}
	})
}

// look reads all entries, each through another node than the last time, and
// returns how many are missing.
func (r *cacheRun) look(turn int) (missing int, took time.Duration) {
	var none atomic.Int64
	took = r.each(turn, func(c *caller, n *node, i int) {
		switch reply := r.surely(c, n, "CACHE.GET", "g", cacheKey(i)); reply {
		case cacheValue(i):
		case nil:
			none.Add(1)
		default:
			r.w.t.Errorf("%s is %.40v through %s", cacheKey(i), reply, n.name)
		}
	})
	return int(none.Load()), took
}

// use reads and writes entries until done is closed. None may be missing, and
// what was written is read through another node.
func (r *cacheRun) use(id int, done chan struct{}, calls, missing *atomic.Int64) {
	c := newCaller(r.w, id)
	defer c.close()
	for seq := 0; ; seq++ {
		select {
		case <-done:
			return
		case <-time.After(time.Millisecond):
		}
		nodes := r.w.inService()
		n, other := nodes[(id+seq)%len(nodes)], nodes[(id+seq+1)%len(nodes)]
		if r.surely(c, n, "CACHE.GET", "g", cacheKey(rand.IntN(r.count))) == nil {
			missing.Add(1)
		}
		key, value := fmt.Sprintf("written:%d:%d", id, seq%50), strconv.Itoa(seq)
		r.surely(c, n, "CACHE.SET", "g", key, value)
		if got := r.surely(c, other, "CACHE.GET", "g", key); got != value {
			r.w.t.Errorf("%s is %v through %s after %s was written through %s", key, got, other.name, value, n.name)
			missing.Add(1)
		}
		calls.Add(3)
	}
}

// A cacheRing is what /v1/cluster says of who serves the cache.
type cacheRing struct {
	Settled bool
	Members []struct {
		ID    string
		Share float64
	}
}

func (n *node) ring() (id string, r cacheRing, err error) {
	_, body, err := get(n.url() + "/v1/cluster")
	if err != nil {
		return "", r, err
	}
	var answer struct {
		Node string
		Ring cacheRing
	}
	err = json.Unmarshal([]byte(body), &answer)
	return answer.Node, answer.Ring, err
}

// awaitRing waits until all nodes in service know that they, and no others,
// serve.
func (w *world) awaitRing() time.Duration {
	w.t.Helper()
	begin, nodes := time.Now(), w.inService()
	eventually(w.t, 30*time.Second, func() error {
		for _, n := range nodes {
			if _, r, err := n.ring(); err != nil || !r.Settled || len(r.Members) != len(nodes) {
				return fmt.Errorf("%s knows of %+v, %w", n.name, r, err)
			}
		}
		return nil
	})
	return time.Since(begin)
}

// TestTheCacheOutlivesItsNodes fills the cache of three nodes, and looks at it
// through others, while a fourth joins, while all are replaced in order, and
// after one was killed.
func TestTheCacheOutlivesItsNodes(t *testing.T) {
	t.Parallel()
	r := &cacheRun{w: newWorld(t, false), count: 20_000}
	r.start(3)
	if long() {
		r.count = 100_000
	}
	filled := r.fill()
	missing, took := r.look(1)
	if missing > 0 {
		t.Errorf("%d of %d entries are missing on another node than they were written on", missing, r.count)
	}
	t.Logf("%d entries written in %v, read on other nodes in %v: %d missing", r.count,
		filled.Round(time.Millisecond), took.Round(time.Millisecond), missing)
	r.joinUnderLoad(t)
	r.replaceAll(t)
	r.killOne(t)
	if others := r.told.except("ok", "CLUSTERDOWN", "TRYAGAIN", "LOADING"); len(others) > 0 {
		t.Errorf("clients were told %q", others)
	}
	t.Logf("answers: %v", &r.told)
}

// joinUnderLoad adds a node, and misses nothing meanwhile.
func (r *cacheRun) joinUnderLoad(t *testing.T) {
	t.Helper()
	done := make(chan struct{})
	var calls, missing atomic.Int64
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() { r.use(i, done, &calls, &missing) })
	}
	time.Sleep(300 * time.Millisecond)
	ready := r.start(1)
	time.Sleep(time.Second)
	close(done)
	wg.Wait()
	gone, _ := r.look(2)
	if missing.Load() > 0 || gone > 0 {
		t.Errorf("%d of %d calls missed an entry while a node joined, and %d entries are gone", missing.Load(), calls.Load(), gone)
	}
	nodes := r.w.inService()
	id, ring, err := nodes[3].ring()
	share := 0.0
	for _, m := range ring.Members {
		if m.ID == id {
			share = m.Share
		}
	}
	if err != nil || len(ring.Members) != 4 || share < 0.1 {
		t.Errorf("the new node has %.2f of %+v, %v", share, ring, err)
	}
	t.Logf("a fourth node was ready after %v with %.0f%% of the keys: %d calls meanwhile, %d missed; %d entries gone",
		ready.Round(time.Millisecond), 100*share, calls.Load(), missing.Load(), gone)
}

// replaceAll replaces every node by a new one.
func (r *cacheRun) replaceAll(t *testing.T) {
	t.Helper()
	old := r.w.inService()
	stopped := r.w.stop(old[3])
	begin := time.Now()
	for _, n := range old[:3] {
		r.start(1)
		stopped = max(stopped, r.w.stop(n))
	}
	took := time.Since(begin)
	missing, _ := r.look(0)
	if kept := r.count - missing; kept*100 < r.count*95 {
		t.Errorf("%d of %d entries are left after all nodes were replaced, want 95%%", kept, r.count)
	}
	t.Logf("three nodes replaced in order in %v (slowest stop %v): %d of %d entries missing",
		took.Round(time.Millisecond), stopped.Round(time.Millisecond), missing, r.count)
	r.fill()
}

// killOne kills a node, and loses what it had.
func (r *cacheRun) killOne(t *testing.T) {
	t.Helper()
	r.w.awaitRing()
	victim := r.w.inService()[0]
	id, ring, err := victim.ring()
	if err != nil {
		t.Fatal(err)
	}
	share := 0.0
	for _, m := range ring.Members {
		if m.ID == id {
			share = m.Share
		}
	}
	r.w.kill(victim)
	known := r.w.awaitRing()
	missing, _ := r.look(0)
	lost := float64(missing) / float64(r.count)
	if lost > share+0.03 || lost < share-0.03 {
		t.Errorf("%.1f%% of the entries are gone with a node that had %.1f%%", 100*lost, 100*share)
	}
	t.Logf("a node with %.1f%% of the keys was killed: %.1f%% of the entries gone; the others agreed on that after %v",
		100*share, 100*lost, known.Round(time.Millisecond))
}
