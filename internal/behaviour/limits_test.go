package behaviour

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/counters"
)

var limitAlgorithms = []counters.Algorithm{counters.FixedWindow, counters.SlidingWindow, counters.TokenBucket}

// longLimit is a limit of which nothing comes back during a test.
func longLimit(name string, a counters.Algorithm, limit int64) counters.Limit {
	l := counters.Limit{Name: name + a.String(), Algorithm: a, Limit: limit, Window: 240 * time.Hour}
	if a == counters.TokenBucket {
		l.Limit, l.Burst = 1, limit
	}
	return l
}

// TestExactlyFiftyOfTwoHundred makes 200 calls from 50 connections to three
// nodes against a limit of 50.
func TestExactlyFiftyOfTwoHundred(t *testing.T) {
	forCountingDoors(t, func(t *testing.T, door countingDoor, name string) {
		for _, a := range limitAlgorithms {
			limit := longLimit(name, a, 50)
			var admitted, unknown atomic.Int64
			var running sync.WaitGroup
			for i := range 50 {
				conn := door(i)
				running.Go(func() {
					for range 4 {
						switch result, err := takeOnce(conn, limit); {
						case errors.Is(err, machine.ErrUnknown):
							unknown.Add(1)
						case err != nil:
							t.Error(err)
						case result.Allowed:
							admitted.Add(1)
						}
					}
				})
			}
			running.Wait()
			if got := admitted.Load(); got > 50 || got+unknown.Load() < 50 {
				t.Errorf("%s: %d admitted and %d unknown, want 50", a, got, unknown.Load())
			}
		}
	})
}

// takeOnce repeats a call that was certainly not applied.
func takeOnce(conn countingConn, limit counters.Limit) (result counters.Result, err error) {
	for start := time.Now(); time.Since(start) < 30*time.Second; time.Sleep(50 * time.Millisecond) {
		result, err = conn.take(limit, "")
		if !errors.Is(err, machine.ErrNoQuorum) && !errors.Is(err, machine.ErrOverloaded) {
			break
		}
	}
	return result, err
}

func mustTake(t *testing.T, conn countingConn, limit counters.Limit) counters.Result {
	t.Helper()
	result, err := takeOnce(conn, limit)
	if err != nil {
		t.Fatalf("%+v: %v", limit, err)
	}
	return result
}

func TestLimitsTellHowTheyAre(t *testing.T) {
	forCountingDoors(t, func(t *testing.T, door countingDoor, name string) {
		for _, a := range limitAlgorithms {
			limit := longLimit(name, a, 10)
			first := mustTake(t, door(0), limit)
			if !first.Allowed || first.Limit != 10 || first.Remaining != 9 || first.RetryAfter != 0 || first.ResetAfter <= 0 || first.ResetAfter > limit.Window {
				t.Errorf("%s: the first: got %+v", a, first)
			}
			limit.Cost = 9
			if all := mustTake(t, door(1), limit); !all.Allowed || all.Remaining != 0 {
				t.Errorf("%s: all that remains: got %+v", a, all)
			}
			denied := mustTake(t, door(2), limit)
			if most := 10 * limit.Window; denied.Allowed || denied.Remaining != 0 || denied.RetryAfter <= 0 || denied.RetryAfter > most {
				t.Errorf("%s: one more: got %+v", a, denied)
			}
			limit.Cost = 11
			if never := mustTake(t, door(0), limit); never.Allowed || never.RetryAfter != counters.Never {
				t.Errorf("%s: more than there is: got %+v", a, never)
			}
		}
	})
}

// TestARepeatedCallIsAdmittedAfterItsRetryAfter waits as long as it is told,
// through another node.
func TestARepeatedCallIsAdmittedAfterItsRetryAfter(t *testing.T) {
	forCountingDoors(t, func(t *testing.T, door countingDoor, name string) {
		for i, a := range limitAlgorithms {
			limit := counters.Limit{Name: name + a.String(), Algorithm: a, Limit: 3, Window: 700 * time.Millisecond, Cost: 3}
			if !mustTake(t, door(i), limit).Allowed {
				t.Fatal("the first was denied")
			}
			limit.Cost = 1
			denied := mustTake(t, door(i+1), limit)
			if denied.Allowed {
				continue // it took longer than the window
			}
			if most := limit.Window + max(door(0).resolution(), 50*time.Millisecond); denied.RetryAfter <= 0 || denied.RetryAfter > most {
				t.Errorf("%s: got %+v", a, denied)
			}
			time.Sleep(denied.RetryAfter)
			if again := mustTake(t, door(i+2), limit); !again.Allowed {
				t.Errorf("%s: after %s: got %+v", a, denied.RetryAfter, again)
			}
		}
	})
}

// TestAResetIsFeltEverywhereWithinASecond has every node deny by itself.
func TestAResetIsFeltEverywhereWithinASecond(t *testing.T) {
	forCountingDoors(t, func(t *testing.T, door countingDoor, name string) {
		limit := longLimit(name, counters.SlidingWindow, 3)
		conns := []countingConn{door(0), door(1), door(2)}
		for range 30 {
			for _, conn := range conns {
				mustTake(t, conn, limit)
			}
		}
		if err := retryCounting(func() error { return conns[0].reset(limit.Name) }); err != nil {
			t.Fatal(err)
		}
		done := time.Now()
		for i := range conns {
			for {
				asked := time.Now()
				result := mustTake(t, conns[i], limit)
				if result.Allowed {
					break
				}
				if late := asked.Sub(done); late > time.Second {
					t.Fatalf("node %d still denies %s after the reset: %+v", i, late, result)
				}
				time.Sleep(10 * time.Millisecond)
			}
		}
	})
}

func TestLimitsStartAnewUnderAnotherRule(t *testing.T) {
	forCountingDoors(t, func(t *testing.T, door countingDoor, name string) {
		for i, a := range limitAlgorithms {
			for _, limit := range []int64{2, 3} {
				l := longLimit("", a, limit)
				l.Name, l.Cost = name, limit
				if r := mustTake(t, door(i), l); !r.Allowed {
					t.Errorf("%s of %d: got %+v, want a new one", a, limit, r)
				}
				if r := mustTake(t, door(i+1), l); r.Allowed {
					t.Errorf("%s of %d, again: got %+v, want it used up", a, limit, r)
				}
			}
		}
	})
}

func TestLimitsTakeAKeyOnce(t *testing.T) {
	forCountingDoors(t, func(t *testing.T, door countingDoor, name string) {
		limit := longLimit(name, counters.TokenBucket, 2)
		for i := range 4 {
			var result counters.Result
			err := retryCounting(func() (err error) { result, err = door(i).take(limit, name); return err })
			if err != nil || !result.Allowed || result.Remaining != 1 {
				t.Errorf("got %+v, %v, want the reply of the first", result, err)
			}
		}
		if last := mustTake(t, door(0), limit); !last.Allowed || last.Remaining != 0 {
			t.Errorf("without a key: got %+v", last)
		}
	})
}

func TestLimitsThatThereCannotBeAreRefused(t *testing.T) {
	forCountingDoors(t, func(t *testing.T, door countingDoor, name string) {
		good := longLimit(name, counters.FixedWindow, 3)
		for what, change := range map[string]func(*counters.Limit){
			"no limit":                 func(l *counters.Limit) { l.Limit = 0 },
			"too long a window":        func(l *counters.Limit) { l.Window = counters.MaxWindow + time.Hour },
			"too long a name":          func(l *counters.Limit) { l.Name = strings.Repeat("x", counters.MaxName+1) },
			"a negative cost":          func(l *counters.Limit) { l.Cost = -1 },
			"an unknown algorithm":     func(l *counters.Limit) { l.Algorithm = 9 },
			"a burst without a bucket": func(l *counters.Limit) { l.Burst = 1 },
			"too many tokens a second": func(l *counters.Limit) { l.Algorithm, l.Limit, l.Window = counters.TokenBucket, 2_000_000, time.Second },
		} {
			bad := good
			change(&bad)
			if _, err := door(0).take(bad, ""); !errors.Is(err, counters.ErrInvalid) {
				t.Errorf("%s: got %v, want ErrInvalid", what, err)
			}
		}
		if r := mustTake(t, door(0), good); r.Remaining != 2 {
			t.Errorf("afterwards: got %+v", r)
		}
	})
}

// TestSeveralLimitsAllOrNone is for the doors that have it: Go and HTTP.
func TestSeveralLimitsAllOrNone(t *testing.T) {
	w := cluster(t)
	doors := map[string]func(t *testing.T, i int, limits ...counters.Limit) bool{
		"go": func(t *testing.T, i int, limits ...counters.Limit) bool {
			results, err := w.nodes[i].Counters().TakeAll(t.Context(), counters.WriteOptions{}, limits...)
			if err != nil {
				t.Fatal(err)
			}
			return counters.Admitted(results)
		},
		"http": func(t *testing.T, i int, limits ...counters.Limit) bool {
			var list []map[string]any
			for _, l := range limits {
				in := limitBody(l)
				in["name"] = l.Name
				list = append(list, in)
			}
			var out struct{ Allowed bool }
			if err := newHTTPCounting(t, w.url(i)).do("POST", "/v1/limits", "", "", map[string]any{"limits": list}, &out); err != nil {
				t.Fatal(err)
			}
			return out.Allowed
		},
	}
	for name, take := range doors {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			name := newName(t)
			few := longLimit(name+"few", counters.FixedWindow, 3)
			many := longLimit(name+"many", counters.SlidingWindow, 10)
			got := ""
			for i := range 6 {
				got += fmt.Sprint(take(t, i%3, few, many), " ")
			}
			if want := "true true true false false false "; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			many.Cost = 7 // the three that were denied have taken nothing
			if !take(t, 0, many) {
				t.Error("something was taken by a call that was denied")
			}
		})
	}
}
