package e2e

import (
	"testing"
	"time"
)

// TestRollingReplacement replaces all three ephemeral nodes under load, by
// new ones with another name, address and identity.
func TestRollingReplacement(t *testing.T) {
	times := 2
	if long() {
		times = 10
	}
	t.Run("stopped in order", func(t *testing.T) {
		t.Parallel()
		testRolling(t, times, func(w *world, old *node) (ready, stopped time.Duration) {
			ready = w.replacement()
			return ready, w.stop(old)
		}, "ok")
	})
	t.Run("killed", func(t *testing.T) {
		t.Parallel()
		testRolling(t, times, func(w *world, old *node) (ready, stopped time.Duration) {
			w.kill(old)
			return w.replacement(), 0
		}, "ok", "UNAVAILABLE", "CLUSTERDOWN", "TRYAGAIN", "broken", "not connected")
	})
}

// testRolling fails if clients are told anything but what is allowed. A
// connection to a killed node breaks or is refused; all else is said by the
// others.
func testRolling(t *testing.T, times int, replace func(w *world, old *node) (ready, stopped time.Duration), allowed ...string) {
	w := startNodes(t, 3, false)
	l := startLoad(w)
	time.Sleep(time.Second)
	var slowest, longest time.Duration
	for range times {
		for _, old := range w.inService() {
			ready, stopped := replace(w, old)
			slowest, longest = max(slowest, ready), max(longest, stopped)
		}
	}
	time.Sleep(time.Second)
	l.stop()
	if others := l.told.except(allowed...); len(others) > 0 {
		t.Errorf("clients were told %q, want only %q", others, allowed)
	}
	nodes := w.inService()
	if got, want := len(nodes), 3; got != want {
		t.Fatalf("got %d nodes, want %d", got, want)
	}
	for _, n := range nodes {
		l.check(t, n)
	}
	t.Logf("%d nodes replaced, %d commands; answers: %v; longest gap %v; slowest new node ready after %v, slowest stop %v",
		3*times, l.ops.Load(), &l.told, l.wait.longest.Round(time.Millisecond), slowest.Round(time.Millisecond), longest.Round(time.Millisecond))
}
