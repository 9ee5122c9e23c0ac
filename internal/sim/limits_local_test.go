package sim_test

import (
	"context"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/clustertest"
	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/counters"
)

// A sentLog keeps what it is sent and answers nothing.
type sentLog struct{ data []byte }

func (l *sentLog) Do(_ context.Context, items ...machine.Item) ([]machine.Reply, machine.Stamp, error) {
	l.data = items[0].Data
	return nil, machine.Stamp{}, machine.ErrNoQuorum
}

func (l *sentLog) Query(context.Context, machine.Consistency, []byte) ([]byte, machine.Stamp, error) {
	return nil, machine.Stamp{}, machine.ErrNoQuorum
}

func (l *sentLog) Now() (time.Duration, bool)                    { return 0, false }
func (l *sentLog) Subscribe(func(machine.Event)) (cancel func()) { return func() {} }

// exhausted has every node deny calls of a limit by itself.
func exhausted(t *testing.T, w *limitsWorld, l counters.Limit) {
	t.Helper()
	for _, seat := range w.seats {
		began := time.Now()
		for seat.counters.Stats().Local < 50 {
			if _, err := seat.counters.Take(t.Context(), l); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
			if time.Since(began) > 10*time.Second {
				t.Fatalf("%s denied only %+v by itself", seat.pod, seat.counters.Stats())
			}
		}
	}
}

// TestNodesDenyByThemselves counts what of ten seconds of denials the log has
// to do with.
func TestNodesDenyByThemselves(t *testing.T) {
	runLimits(t, limitsOptions{seed: 1}, func(t *testing.T, w *limitsWorld) {
		l := ten(counters.SlidingWindow)
		exhausted(t, w, l)
		for _, seat := range w.seats {
			before := seat.counters.Stats()
			for range 1000 {
				if r, err := seat.counters.Take(t.Context(), l); err != nil || r.Allowed {
					t.Fatal(r, err)
				}
				time.Sleep(10 * time.Millisecond)
			}
			if got := seat.counters.Stats().Logged - before.Logged; got > 30 {
				t.Errorf("%s: %d of 1000 denials went through the log, want three a second at most", seat.pod, got)
			}
		}
	})
}

// TestResetsAreFeltByLocalDenials resets a limit through each node in turn.
// Every other node admits a call within a second of the answer.
func TestResetsAreFeltByLocalDenials(t *testing.T) {
	runLimits(t, limitsOptions{seed: 1}, func(t *testing.T, w *limitsWorld) {
		l := ten(counters.FixedWindow)
		for i := range w.seats {
			exhausted(t, w, l)
			if found, err := w.seats[i].counters.Reset(t.Context(), l.Name, counters.WriteOptions{}); err != nil || !found {
				t.Fatal(found, err)
			}
			done := time.Now()
			isFelt := make([]bool, len(w.seats))
			for j := 0; j < len(w.seats); {
				r, err := w.seats[j].counters.Take(t.Context(), l)
				if err != nil {
					t.Fatal(err)
				}
				if isFelt[j] = r.Allowed; r.Allowed {
					j++
				} else if late := time.Since(done); late > time.Second {
					t.Fatalf("%s still denies %s after a reset through %s", w.seats[j].pod, late, w.seats[i].pod)
				}
				time.Sleep(5 * time.Millisecond)
			}
		}
	})
}

// TestACutOffNodeDoesNotGoOnDenying cuts a node from all others, and resets the
// limit there. The node may deny for a second; then it knows nothing.
func TestACutOffNodeDoesNotGoOnDenying(t *testing.T) {
	for _, who := range []string{"leader", "follower"} {
		t.Run(who, func(t *testing.T) {
			runLimits(t, limitsOptions{seed: 1}, func(t *testing.T, w *limitsWorld) { cutOff(t, w, who == "leader") })
		})
	}
}

func cutOff(t *testing.T, w *limitsWorld, isLeader bool) {
	t.Helper()
	l := ten(counters.FixedWindow)
	exhausted(t, w, l)
	var lost *clustertest.Pod
	var others []string
	for _, p := range w.cluster.Pods() {
		if lost == nil && (p == w.cluster.Leader()) == isLeader {
			lost = p
		} else {
			others = append(others, p.Addr)
		}
	}
	var inside, outside *counters.Counters
	for _, seat := range w.seats {
		if seat.pod == lost.Name {
			inside = seat.counters
		} else {
			outside = seat.counters
		}
	}
	w.cluster.Net.Partition([]string{lost.Addr}, others)
	cut := time.Now()
	for {
		_, err := outside.Reset(t.Context(), l.Name, counters.WriteOptions{})
		if err == nil {
			break
		}
		if time.Since(cut) > 30*time.Second {
			t.Fatal(err)
		}
	}
	done := time.Now()
	for time.Since(done) < 5*time.Second {
		_, err := inside.Take(t.Context(), l)
		if err == nil && time.Since(done) > time.Second {
			t.Fatalf("the cut-off node still denies %s after the reset", time.Since(done))
		}
		time.Sleep(10 * time.Millisecond)
	}
}
