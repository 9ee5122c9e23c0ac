package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/huddlecache/huddle/internal/respclient"
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
	r := &cacheRun{w: startNodes(t, 3, false), count: 20_000}
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
	ready := r.w.replacement()
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
		r.w.replacement()
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

// A coldKey is one value that many want.
type coldKey struct {
	w    *world
	path string
	made atomic.Int64 // how often somebody had the lease to make it
	work time.Duration
	told tally
}

// do sends one request to a node.
func (k *coldKey) do(n *node, method, query, body, lease string) (r *http.Response, content string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, n.url()+k.path+query, strings.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	if lease != "" {
		request.Header.Set("Huddle-Lease", lease)
	}
	if r, err = http.DefaultClient.Do(request); err != nil {
		return nil, "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	return r, string(b), err
}

// want gets the value, or makes it, through whichever node answers.
func (k *coldKey) want(i int) error {
	var last error
	for begin := time.Now(); time.Since(begin) < time.Minute; i++ {
		nodes := k.w.inService()
		r, body, err := k.do(nodes[i%len(nodes)], http.MethodGet, "?lease=20s", "", "")
		if err != nil {
			last = err
			time.Sleep(20 * time.Millisecond)
			continue
		}
		lease := r.Header.Get("Huddle-Lease")
		switch {
		case r.StatusCode == http.StatusOK && body == "made":
			return nil
		case r.StatusCode == http.StatusNotFound && lease != "":
			k.made.Add(1)
			time.Sleep(k.work)
			k.put(i, lease)
		default:
			last = fmt.Errorf("%s %s", r.Status, body)
			time.Sleep(20 * time.Millisecond)
		}
	}
	return errors.Join(errors.New("no value within a minute"), last)
}

// put brings what was made, once more where it was certainly not kept.
func (k *coldKey) put(i int, lease string) {
	for begin := time.Now(); time.Since(begin) < 20*time.Second; i++ {
		nodes := k.w.inService()
		r, _, err := k.do(nodes[i%len(nodes)], http.MethodPut, "", "made", lease)
		if err == nil && r.StatusCode != http.StatusServiceUnavailable {
			k.told.add(respclient.Error("PUT:" + strconv.Itoa(r.StatusCode)))
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// owner finds out which node keeps the key, by keeping something there. Nothing
// is there afterwards.
func (k *coldKey) owner() *node {
	k.w.t.Helper()
	puts := func() (counts []int) {
		for _, n := range k.w.inService() {
			_, body, err := get(n.url() + "/metrics")
			at := strings.Index(body, "\nhuddle_cache_puts_total ")
			if err != nil || at < 0 {
				k.w.t.Fatalf("the metrics of %s lack huddle_cache_puts_total: %v", n.name, err)
			}
			count, _ := strconv.Atoi(strings.Fields(body[at:])[1])
			counts = append(counts, count)
		}
		return counts
	}
	before := puts()
	for _, method := range []string{http.MethodPut, http.MethodDelete} {
		eventually(k.w.t, 20*time.Second, func() error {
			r, _, err := k.do(k.w.inService()[0], method, "", "probe", "")
			if err == nil && r.StatusCode != http.StatusNoContent {
				err = errors.New(r.Status)
			}
			return err
		})
	}
	after := puts()
	for i, n := range k.w.inService() {
		if after[i] > before[i] {
			return n
		}
	}
	k.w.t.Fatalf("nobody has kept it: %v, %v", before, after)
	return nil
}

// all has 200 callers want the value, and returns how long that took.
func (k *coldKey) all(amid func()) time.Duration {
	begin := time.Now()
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			if err := k.want(i); err != nil {
				k.w.t.Error(err)
			}
		})
	}
	amid()
	wg.Wait()
	return time.Since(begin)
}

// TestOneCallerWorksForAll has 200 callers over three nodes ask for one key
// that is not there, and then for another one whose owner is killed while it is
// being made.
func TestOneCallerWorksForAll(t *testing.T) {
	t.Parallel()
	w := startNodes(t, 3, false)
	w.awaitRing()
	once := &coldKey{w: w, path: "/v1/cache/g/cold", work: 300 * time.Millisecond}
	took := once.all(func() {})
	if n := once.made.Load(); n != 1 {
		t.Errorf("the work was done %d times, want once", n)
	}
	t.Logf("200 callers had the value after %v; the work was done %d times; %v", took.Round(time.Millisecond), once.made.Load(), &once.told)

	killed := &coldKey{w: w, path: "/v1/cache/g/owned", work: time.Second}
	owner := killed.owner()
	took = killed.all(func() {
		eventually(t, 20*time.Second, func() error {
			if killed.made.Load() == 0 {
				return errors.New("nobody makes it")
			}
			return nil
		})
		w.kill(owner)
	})
	if n := killed.made.Load(); n < 1 || n > 2 {
		t.Errorf("the work was done %d times though the key's owner was killed but once, want two at most", n)
	}
	if slices.Contains(w.inService(), owner) {
		t.Error("the owner is still there")
	}
	t.Logf("with the owner killed: 200 callers had the value after %v; the work was done %d times; %v",
		took.Round(time.Millisecond), killed.made.Load(), &killed.told)
}
