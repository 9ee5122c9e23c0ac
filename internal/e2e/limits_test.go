package e2e

import (
	"errors"
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

// A limitRecorder collects what clients were admitted under one rule.
type limitRecorder struct {
	rule limitRule
	told *tally

	asked, denied, unknown atomic.Int64

	mu       sync.Mutex // guards admitted
	admitted []admission
}

// errNotTake means that a reply is none of LIMIT.TAKE.
var errNotTake = errors.New("the reply is not one of LIMIT.TAKE")

// take sends one call to a node, with an idempotency key unless that is empty,
// and reports whether it was answered. Before is when the call was first sent;
// 0 if that is now.
func (l *limitRecorder) take(c *caller, begin time.Time, before time.Duration, n *node, idem string) (isAnswered bool) {
	var args []string
	if idem != "" {
		args = append(args, "IDEM", idem)
	}
	args = append(args, "LIMIT.TAKE", l.rule.name, l.rule.algorithm, strconv.FormatInt(l.rule.limit, 10), millis(l.rule.window))
	if l.rule.burst > 0 {
		args = append(args, "BURST", strconv.FormatInt(l.rule.burst, 10))
	}
	a := admission{call: before}
	if before == 0 {
		a.call = time.Since(begin)
	}
	reply, err := c.on(n, args...)
	a.ret = time.Since(begin)
	var allowed, limit, remaining, retry, reset int64
	if err == nil {
		if _, wrong := scan(reply, &allowed, &limit, &remaining, &retry, &reset); wrong != nil {
			err = respclient.Error(fmt.Sprintf("MALFORMED %v: %v", errNotTake, wrong))
		}
	}
	l.told.add(err)
	switch {
	case respclient.OutcomeOf(err) == respclient.Unknown:
		l.unknown.Add(1)
	case err != nil:
	case allowed == 1:
		l.mu.Lock()
		defer l.mu.Unlock()
		l.admitted = append(l.admitted, a)
	default:
		l.denied.Add(1)
	}
	return err == nil
}

// surely repeats a call under one key until it is answered.
func (l *limitRecorder) surely(w *world, c *caller, begin time.Time, id string) {
	l.asked.Add(1)
	first := time.Since(begin)
	for i := 0; ; i++ {
		nodes := w.inService()
		if len(nodes) > 0 && l.take(c, begin, first, nodes[(c.next+i)%len(nodes)], l.rule.name+id) {
			c.next++
			return
		}
		if time.Since(begin)-first > time.Minute {
			l.told.add(respclient.Error("GAVEUP after a minute"))
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// TestLimitOverConnections sends 200 calls by 50 connections over three nodes
// against limits of 50.
func TestLimitOverConnections(t *testing.T) {
	t.Parallel()
	w := startNodes(t, 3, false)
	begin := time.Now()
	for _, rule := range []limitRule{
		{name: "fixed:50", algorithm: "FIXED", limit: 50, window: time.Hour},
		{name: "sliding:50", algorithm: "SLIDING", limit: 50, window: time.Hour},
		{name: "bucket:50", algorithm: "BUCKET", limit: 50, window: 1000 * time.Hour, burst: 50},
	} {
		l, nodes := &limitRecorder{rule: rule, told: &tally{}}, w.inService()
		var wg sync.WaitGroup
		start := make(chan struct{})
		for i := range 50 {
			wg.Go(func() {
				c := newCaller(w, 0)
				defer c.close()
				<-start
				for j := range 4 {
					l.take(c, begin, 0, nodes[(i+j)%len(nodes)], "")
				}
			})
		}
		sent := time.Now()
		close(start)
		wg.Wait()
		took, admitted := time.Since(sent), int64(len(l.admitted))
		if err := exactly(50, admitted, l.unknown.Load()); err != nil {
			t.Errorf("%s: %v; answers: %v", rule.name, err, l.told)
		}
		t.Logf("%s: %d admitted, %d denied of 200 in %v; answers: %v", rule.name, admitted, l.denied.Load(), took.Round(time.Millisecond), l.told)
	}
}

// A limitRun takes from limits while nodes are replaced.
type limitRun struct {
	w     *world
	begin time.Time
	told  tally

	atOnce []*limitRecorder // of ten for good, used up at once and asked all the time
	amid   []*limitRecorder // of ten for good, used up while a node is killed
	slowly []*limitRecorder // of ten for good, used up when all nodes have been replaced
	short  []*limitRecorder // there again every second

	caller *caller // of slowly
	calls  int     // of each that is used up slowly
}

func newLimitRun(w *world) *limitRun {
	r := &limitRun{w: w, begin: time.Now(), caller: newCaller(w, 0)}
	for _, algorithm := range []string{"FIXED", "SLIDING", "BUCKET"} {
		ten := limitRule{algorithm: algorithm, limit: 10, window: 1000 * time.Hour}
		five := limitRule{name: "short:" + algorithm, algorithm: algorithm, limit: 5, window: time.Second}
		if algorithm == "BUCKET" {
			ten.burst, five.burst = 10, 8
		}
		lasting := func(name string) *limitRecorder {
			ten.name = name + ":" + algorithm
			return &limitRecorder{rule: ten, told: &r.told}
		}
		r.atOnce, r.slowly = append(r.atOnce, lasting("at once")), append(r.slowly, lasting("slowly"))
		for i := range 7 {
			r.amid = append(r.amid, lasting(fmt.Sprintf("amid %d", i)))
		}
		r.short = append(r.short, &limitRecorder{rule: five, told: &r.told})
	}
	return r
}

// hammer takes from two limits until done is closed.
func (r *limitRun) hammer(i int, done chan struct{}) {
	lasting, short := r.atOnce[i%len(r.atOnce)], r.short[i%len(r.short)]
	c := newCaller(r.w, i)
	defer c.close()
	for seq := 0; ; seq++ {
		select {
		case <-done:
			return
		case <-time.After(30 * time.Millisecond):
		}
		lasting.surely(r.w, c, r.begin, fmt.Sprintf(" %d-%d", i, seq))
		nodes := r.w.inService()
		short.asked.Add(1)
		short.take(c, r.begin, 0, nodes[(seq+i)%len(nodes)], "")
	}
}

// take takes a few times from each limit that is to last.
func (r *limitRun) take(count int) {
	for range count {
		r.calls++
		for _, l := range r.slowly {
			l.surely(r.w, r.caller, r.begin, fmt.Sprintf(" %d", r.calls))
		}
	}
}

// killAmid kills a node while clients send it calls. Of those that are on their
// way then, the answer is lost of such as were admitted and of such as were
// not. Each limit is about half used up at that time.
func (r *limitRun) killAmid(n *node) {
	at := slices.Index(r.w.inService(), n)
	var wg, connected sync.WaitGroup
	for i := range 84 {
		connected.Add(1)
		wg.Go(func() {
			c := newCaller(r.w, at)
			defer c.close()
			c.on(n, "PING")
			connected.Done()
			connected.Wait()
			for j := range 3 {
				time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
				c.next = at
				r.amid[(i+j*7)%len(r.amid)].surely(r.w, c, r.begin, fmt.Sprintf(" %d.%d", i, j))
			}
		})
	}
	connected.Wait()
	time.Sleep(15 * time.Millisecond)
	r.w.kill(n)
	wg.Wait()
}

// TestLimitsWhileAllNodesAreReplaced replaces three nodes one after another,
// in order and killed, while clients take from limits. Of those of ten for
// longer than that exactly ten are admitted, whether they were used up at once,
// when a node was killed, or a few after each node; of those that are there
// again every second, never more than the algorithm allows.
func TestLimitsWhileAllNodesAreReplaced(t *testing.T) {
	t.Parallel()
	w := startNodes(t, 3, false)
	r := newLimitRun(w)
	defer r.caller.close()
	done := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 9 {
		wg.Go(func() { r.hammer(i, done) })
	}
	r.take(3)
	leader := w.leader(time.Minute)
	others := slices.DeleteFunc(w.inService(), func(n *node) bool { return n == leader })
	for _, old := range []*node{others[0], leader, others[1]} {
		if old == others[0] {
			r.killAmid(old)
			r.take(2)
			w.replacement()
		} else {
			w.replacement()
			r.take(1)
			w.stop(old)
		}
		r.take(1)
	}
	if long() {
		for range 4 {
			for _, old := range w.inService() {
				w.kill(old)
				w.replacement()
			}
		}
	}
	close(done)
	wg.Wait()
	r.take(10)
	r.check(t)
}

func (r *limitRun) check(t *testing.T) {
	t.Helper()
	for _, l := range slices.Concat(r.atOnce, r.amid, r.slowly) {
		if got := int64(len(l.admitted)); got != 10 || l.denied.Load() != l.asked.Load()-10 {
			t.Errorf("%s: %d calls admitted and %d denied of %d, want exactly 10 admitted", l.rule.name, got, l.denied.Load(), l.asked.Load())
		}
	}
	lost := int64(0)
	for _, l := range r.amid {
		lost += l.unknown.Load()
	}
	t.Logf("exactly ten of %d, of %d and of %d; %d answers lost by a kill amid them",
		r.atOnce[0].asked.Load(), r.slowly[0].asked.Load(), r.amid[0].asked.Load(), lost)
	for _, l := range r.short {
		if err := l.rule.check(l.admitted); err != nil {
			t.Error(err)
		}
		t.Logf("%s: %d admitted, %d denied of %d", l.rule.name, len(l.admitted), l.denied.Load(), l.asked.Load())
	}
	if others := r.told.except("ok", "UNAVAILABLE", "CLUSTERDOWN", "TRYAGAIN", "LOADING", "broken", "not connected"); len(others) > 0 {
		t.Errorf("clients were told %q", others)
	}
	t.Logf("answers: %v", &r.told)
}
