package e2e

import (
	"sync"
	"testing"
	"time"
)

// A watch tells whether this machine had time for the nodes while it ran:
// whether each of them answered, and this process itself woke, without delay.
// What is promised in time is judged only where that was so.
type watch struct {
	stop    func()
	longest gap
}

// promptly is what a machine that is not starved answers in. It is below the
// 500 ms after which a leader is called missing, and well below the second in
// which a waiter must confirm what it is offered.
const promptly = 400 * time.Millisecond

// startWatch watches until stop, or the end of the test. Nodes that are not in
// service are not watched, and may be slow.
func startWatch(w *world) *watch {
	w.t.Helper()
	done := make(chan struct{})
	v := &watch{}
	var wg sync.WaitGroup
	wg.Go(func() { // until stop
		client := newCaller(w, 0)
		defer client.close()
		for last := time.Now(); ; last = time.Now() {
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
			}
			v.longest.saw(time.Since(last))
			for _, n := range w.inService() {
				begin := time.Now()
				if _, err := client.on(n, "PING"); err == nil {
					v.longest.saw(time.Since(begin))
				}
			}
		}
	})
	v.stop = sync.OnceFunc(func() {
		close(done)
		wg.Wait()
	})
	w.t.Cleanup(v.stop)
	return v
}

// late ends the watch. It returns the longest delay, and whether that was too
// long for anything to be judged by time.
func (v *watch) late() (longest time.Duration, isStarved bool) {
	v.stop()
	v.longest.mu.Lock()
	defer v.longest.mu.Unlock()
	return v.longest.longest, v.longest.longest > promptly
}

// term returns the term that a node in service knows.
func (w *world) term(t *testing.T) uint64 {
	t.Helper()
	return w.inService()[0].knows().Term
}
