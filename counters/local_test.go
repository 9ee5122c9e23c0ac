package counters_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/huddlecache/huddle/counters"
)

// one is a limit of one an hour.
var one = counters.Limit{Name: "l", Algorithm: counters.FixedWindow, Limit: 1, Window: time.Hour}

func reset(t *testing.T, c *counters.Counters, name string) {
	t.Helper()
	if _, err := c.Reset(t.Context(), name, counters.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
}

// TestDenialsNeedNoLog asks a thousand times in ten seconds: the log is asked
// about once a second, on the leader and elsewhere.
func TestDenialsNeedNoLog(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		follower, n := w.node()
		n.delay = time.Millisecond
		for what, c := range map[string]*counters.Counters{"leader": w.leading(), "follower": follower} {
			take(t, c, one)
			before := len(w.entries)
			for range 1000 {
				equal(t, what+" admits", take(t, c, one).Allowed, false)
				time.Sleep(10 * time.Millisecond)
			}
			if got := len(w.entries) - before; got < 9 || got > 24 {
				t.Errorf("%s: got %d entries for ten seconds of denials, want one or two a second", what, got)
			}
			if got := c.Stats(); got.Local < 970 || got.Local+got.Logged != 1001 {
				t.Errorf("%s: got %+v, want nearly all of 1001 local", what, got)
			}
		}
	})
}

// TestAResetIsFeltWithinASecond resets a limit at the leader, while another
// node goes on denying, whose replica does not hear of it for long.
func TestAResetIsFeltWithinASecond(t *testing.T) {
	for _, isStuck := range []bool{false, true} {
		t.Run(fmt.Sprintf("stuck=%t", isStuck), func(t *testing.T) {
			in(t, func(t *testing.T, w *world) {
				leader := w.leading()
				c, n := w.node()
				take(t, c, one)
				for range 10 {
					equal(t, "admitted", take(t, c, one).Allowed, false)
				}
				if c.Stats().Local == 0 {
					t.Fatal("nothing was denied locally")
				}
				n.stuck = isStuck
				reset(t, leader, "l")
				done := time.Now()
				for !take(t, c, one).Allowed {
					time.Sleep(time.Millisecond)
					if late := time.Since(done); late > time.Second {
						t.Fatalf("still denied %s after the reset", late)
					}
				}
			})
		})
	}
}

// TestAResetIsFeltAtOnceWhereItWasMade has the node's replica behind.
func TestAResetIsFeltAtOnceWhereItWasMade(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		c, n := w.node()
		for range 5 {
			take(t, c, one)
		}
		n.stuck = true
		reset(t, c, "l")
		equal(t, "admitted", take(t, c, one).Allowed, true)
		equal(t, "admitted twice", take(t, c, one).Allowed, false)
	})
}

// TestAnOlderReplicaIsNotAsked gives a node a new replica, as when it starts
// again within its process, which has not got as far as the one before.
func TestAnOlderReplicaIsNotAsked(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		c, n := w.node()
		take(t, c, one)
		w.follow(n.own, 0)
		older := n.own.twin()
		reset(t, w.leading(), "l")
		other := one
		other.Name = "another"
		for range 5 {
			take(t, c, other) // so that the node knows of the reset
		}
		if c.Stats().Local == 0 {
			t.Fatal("nothing was denied locally")
		}
		n.own = older
		equal(t, "admitted", take(t, c, one).Allowed, true)
	})
}

// TestLocalDenialsAreTheLogs takes from many limits through nodes that are slow
// and whose replicas are behind. Whenever a node denies by itself, the log would
// have denied as well at that moment. What the node says of the limit is true
// of the state that it knows: where that is the newest one, the log would say
// no more of what remains and no less of the time to wait, and when that is
// over the call is admitted.
func TestLocalDenialsAreTheLogs(t *testing.T) {
	forSeeds(t, 40, func(t *testing.T, w *world, random *rand.Rand) {
		w.sweep = func() int { return random.IntN(3) }
		all, behind := []*counters.Counters{w.leading()}, []*replica{w.leader}
		for i := range 2 {
			c, n := w.node()
			n.delay = time.Duration(i*random.IntN(20)) * time.Millisecond
			all, behind = append(all, c), append(behind, n.own)
		}
		limits := make([]counters.Limit, 3)
		for i := range limits {
			limits[i] = randomLimit(random, fmt.Sprint(i))
		}
		local, newest := 0, 0
		for range 600 {
			i, l := random.IntN(len(all)), limits[random.IntN(len(limits))]
			l.Cost = costOf(random, l)
			time.Sleep(time.Duration(random.Int64N(int64(l.Window)/16 + 1)))
			if i > 0 && random.IntN(2) == 0 {
				w.follow(behind[i], 0)
			}
			before := all[i].Stats().Local
			got := take(t, all[i], l)
			if all[i].Stats().Local == before {
				continue
			}
			local++
			isNewest := behind[i] == w.leader || behind[i].applied == len(w.entries)
			isTrue(t, w, l, got, isNewest)
			if isNewest && got.RetryAfter != counters.Never {
				newest++
				time.Sleep(got.RetryAfter)
				equal(t, "admitted after RetryAfter", take(t, all[i], l).Allowed, true)
			}
		}
		if local == 0 || newest == 0 {
			t.Errorf("%d were denied locally, %d of them by the newest state", local, newest)
		}
	})
}

// isTrue compares a local denial with what the log would say.
func isTrue(t *testing.T, w *world, l counters.Limit, got counters.Result, isNewest bool) {
	t.Helper()
	results, err := w.leading().Peek(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	want := results[0]
	if got.Allowed || want.Allowed || got.Limit != want.Limit || (got.RetryAfter == counters.Never) != (want.RetryAfter == counters.Never) {
		t.Fatalf("%+v: a node said %+v, the log would say %+v", l, got, want)
	}
	if isNewest && (got.RetryAfter < want.RetryAfter || got.ResetAfter < want.ResetAfter || got.Remaining > want.Remaining) {
		t.Fatalf("%+v: a node said %+v of the newest state, the log would say %+v", l, got, want)
	}
	if late := got.RetryAfter - want.RetryAfter; isNewest && late > 25*time.Millisecond {
		t.Fatalf("%+v: a node said %s more to wait than the log would", l, late)
	}
}
