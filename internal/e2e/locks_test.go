package e2e

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// lockTTL is that of the leases under faults: pauses and cuts are longer.
const lockTTL = 2 * time.Second

// TestLocksUnderFaults has clients hold a few locks, exclusive, shared and for
// some at a time, while leaders are killed and replaced, paused for longer
// than the leases last, and cut off.
func TestLocksUnderFaults(t *testing.T) {
	t.Parallel()
	needsProcesses(t)
	cutter, why := newCutter(t)
	if cutter == nil {
		t.Logf("SKIPPED: partitions: %s", why)
	}
	w := startNodes(t, 3, false)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rounds := 1
	if long() {
		rounds = 6
	}
	r := newLockRecorder()
	done := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 24 {
		wg.Go(func() { r.use(r.client(w, i, seed), done) })
	}
	wg.Go(func() { r.watchLocks(r.client(w, 24, seed), done) })
	for range rounds {
		r.hurtLocks(w, cutter)
	}
	close(done)
	wg.Wait()
	if others := r.told.except("ok", "UNAVAILABLE", "CLUSTERDOWN", "TRYAGAIN", "LOADING", "broken", "not connected"); len(others) > 0 {
		t.Errorf("clients were told %q", others)
	}
	begin := time.Now()
	for _, wrong := range r.history.check() {
		t.Error(wrong)
	}
	r.report(t)
	t.Logf("checked in %v", time.Since(begin).Round(time.Millisecond))
	if len(r.history.holds) < 50 {
		t.Errorf("got %d locks held, want at least 50, or nothing is shown", len(r.history.holds))
	}
}

// hurtLocks does to leaders, one after another, what can happen to them.
// Without a cutter none is cut off.
func (r *lockRecorder) hurtLocks(w *world, cutter *cutter) {
	w.t.Helper()
	const longer = lockTTL * 3 / 2
	time.Sleep(500 * time.Millisecond)
	w.replaceLeader()
	time.Sleep(500 * time.Millisecond)

	w.waitWhole(time.Minute)
	paused := w.leader(20 * time.Second)
	r.disturbed.Store(paused)
	paused.pause()
	time.Sleep(longer)
	r.disturbed.Store(nil)
	paused.resume()
	w.t.Logf("whole again %v after a pause", w.waitWhole(time.Minute).Round(time.Millisecond))

	if cutter != nil {
		lost := w.leader(20 * time.Second)
		r.disturbed.Store(lost)
		cutter.cut(lost, w.inService())
		time.Sleep(longer)
		r.disturbed.Store(nil)
		cutter.heal()
		w.t.Logf("whole again %v after a cut", w.waitWhole(time.Minute).Round(time.Millisecond))
	}
	time.Sleep(500 * time.Millisecond)
}

// wishes are what clients want: two exclusive locks, one that is shared or
// not, and one for three.
func (c *lockClient) wish() wish {
	o := wish{ttl: lockTTL}
	if c.random.IntN(2) == 0 {
		o.wait = time.Duration(1+c.random.IntN(3)) * lockTTL
	}
	switch c.random.IntN(6) {
	case 0, 1:
		o.name, o.slots = "exclusive:1", 1
	case 2:
		o.name, o.slots = "exclusive:2", 1
	case 3:
		o.name = "mixed"
		if c.random.IntN(5) == 0 {
			o.slots = 1
		}
	default:
		o.name, o.slots = "slots", 3
	}
	return o
}

// use acquires locks, writes to what they protect, and releases them, until
// done is closed.
func (r *lockRecorder) use(c *lockClient, done chan struct{}) {
	defer c.caller.close()
	for {
		select {
		case <-done:
			return
		case <-time.After(time.Duration(c.random.IntN(50)) * time.Millisecond):
		}
		o := c.wish()
		h := c.acquire(c.any(), o)
		if h == nil {
			continue
		}
		if o.wait > 0 {
			// The lease may be as old as the question. Renewing it tells
			// how long it lasts at least.
			c.renew(c.any(), h, o.ttl)
		}
		c.work(h, o)
	}
}

// work is what a client does with a lock that it has been given. One in thirty
// sleeps until long after its lease has ended, and does not notice; one makes
// use of nearly all of it.
func (c *lockClient) work(h *hold, o wish) {
	isExclusive := o.name == "exclusive:1" || o.name == "exclusive:2"
	for range 1 + c.random.IntN(3) {
		if isExclusive {
			c.r.write(h)
		}
		time.Sleep(time.Duration(c.random.IntN(15)) * time.Millisecond)
	}
	switch c.random.IntN(30) {
	case 0:
		time.Sleep(o.ttl + o.ttl/2)
		if isExclusive {
			c.r.write(h)
		}
		c.renew(c.any(), h, o.ttl)
	case 1:
		time.Sleep(h.end - c.r.now() - o.ttl/4)
		if isExclusive {
			c.r.write(h)
		}
		c.renew(c.any(), h, o.ttl)
	case 2, 3:
		c.renew(c.any(), h, o.ttl)
		if isExclusive {
			c.r.write(h)
		}
	}
	if h.deniedBefore == 0 {
		c.release(c.any(), h)
	}
}

// watchLocks looks at all locks until done is closed.
func (r *lockRecorder) watchLocks(c *lockClient, done chan struct{}) {
	defer c.caller.close()
	for {
		for _, name := range []string{"exclusive:1", "exclusive:2", "mixed", "slots"} {
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
			}
			c.look(c.any(), name)
		}
	}
}

// report logs how much was seen.
func (r *lockRecorder) report(t *testing.T) {
	t.Helper()
	held, late, refused, denied := make(map[string]int), 0, 0, 0
	for _, h := range r.history.holds {
		held[h.name]++
		if h.from >= h.until() {
			late++
		}
		if h.deniedBefore > 0 {
			denied++
		}
	}
	for _, w := range r.history.writes {
		if !w.accepted {
			refused++
		}
	}
	t.Logf("held %v, %d of them never for certain, %d told that they are over; %d writes, %d refused for an old token; %d looks; answers: %v",
		held, late, denied, len(r.history.writes), refused, len(r.history.sightings), &r.told)
}
