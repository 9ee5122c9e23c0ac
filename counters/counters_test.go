package counters_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/counters"
)

func add(t *testing.T, c *counters.Counters, name string, n int64, ttl time.Duration) int64 {
	t.Helper()
	value, err := c.Add(t.Context(), name, n, counters.AddOptions{TTL: ttl})
	if err != nil {
		t.Fatalf("Add(%s, %d): %v", name, n, err)
	}
	return value
}

func get(t *testing.T, c *counters.Counters, name string) (counters.Counter, bool) {
	t.Helper()
	counter, found, err := c.Get(t.Context(), name)
	if err != nil {
		t.Fatalf("Get(%s): %v", name, err)
	}
	return counter, found
}

func take(t *testing.T, c *counters.Counters, limit counters.Limit) counters.Result {
	t.Helper()
	result, err := c.Take(t.Context(), limit)
	if err != nil {
		t.Fatalf("Take(%+v): %v", limit, err)
	}
	return result
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %+v, want %+v", what, got, want)
	}
}

func TestATTLIsSetOnceAndStays(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		c := w.leading()
		add(t, c, "window", 1, time.Minute)
		time.Sleep(40 * time.Second)
		equal(t, "with a TTL again", add(t, c, "window", 2, time.Minute), 3)
		counter, _ := get(t, c, "window")
		equal(t, "the counter", counter, counters.Counter{Value: 3, TTL: 20 * time.Second})
		time.Sleep(20 * time.Second)
		_, found := get(t, c, "window")
		equal(t, "found after its end", found, false)
		equal(t, "after its end", add(t, c, "window", 5, 0), 5)

		time.Sleep(time.Hour)
		counter, _ = get(t, c, "window")
		equal(t, "without a TTL", counter, counters.Counter{Value: 5})
		add(t, c, "window", 1, time.Microsecond) // rounded up
		counter, _ = get(t, c, "window")
		equal(t, "a TTL where there was none", counter, counters.Counter{Value: 6, TTL: time.Millisecond})
	})
}

func TestOverflowHasNoEffect(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		c := w.leading()
		for _, test := range []struct{ start, n int64 }{
			{math.MaxInt64, 1}, {math.MaxInt64 - 5, math.MaxInt64}, {math.MinInt64, -1}, {-2, math.MinInt64 + 1},
		} {
			add(t, c, "n", test.start, 0)
			if _, err := c.Add(t.Context(), "n", test.n, counters.AddOptions{TTL: time.Hour}); !errors.Is(err, counters.ErrOverflow) {
				t.Errorf("%d + %d: got %v, want ErrOverflow", test.start, test.n, err)
			}
			counter, _ := get(t, c, "n")
			equal(t, "afterwards", counter, counters.Counter{Value: test.start})
			if _, err := c.Delete(t.Context(), "n", counters.WriteOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		equal(t, "to the edge", add(t, c, "edge", math.MinInt64, 0), math.MinInt64)
		equal(t, "and back", add(t, c, "edge", math.MaxInt64, 0), -1)
	})
}

func TestIdempotentCallsTakeEffectOnce(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		c := w.leading()
		for range 3 {
			value, err := c.Add(t.Context(), "n", 2, counters.AddOptions{Idem: "a"})
			if err != nil || value != 2 {
				t.Errorf("got %d, %v, want 2", value, err)
			}
		}
		limit := counters.Limit{Name: "l", Algorithm: counters.FixedWindow, Limit: 1, Window: time.Hour}
		for range 3 {
			// The first one has used the limit up, which a repeated one must
			// not be told.
			results, err := c.TakeAll(t.Context(), counters.WriteOptions{Idem: "b"}, limit)
			if err != nil || !counters.Admitted(results) {
				t.Errorf("got %+v, %v, want admitted", results, err)
			}
		}
		equal(t, "another", take(t, c, limit).Allowed, false)
	})
}

func TestAllOrNone(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		c := w.leading()
		second := counters.Limit{Name: "second", Algorithm: counters.FixedWindow, Limit: 2, Window: time.Second}
		hour := counters.Limit{Name: "hour", Algorithm: counters.SlidingWindow, Limit: 3, Window: time.Hour}
		bucket := counters.Limit{Name: "bucket", Algorithm: counters.TokenBucket, Limit: 1, Window: time.Hour, Burst: 9, Cost: 2}
		both := func() []counters.Result {
			results, err := c.TakeAll(t.Context(), counters.WriteOptions{}, second, hour, bucket)
			if err != nil {
				t.Fatal(err)
			}
			return results
		}
		for range 2 {
			equal(t, "admitted", counters.Admitted(both()), true)
		}
		results := both()
		equal(t, "admitted by two of three", counters.Admitted(results), false)
		equal(t, "second", results[0], counters.Result{Limit: 2, RetryAfter: time.Second, ResetAfter: time.Second})
		equal(t, "hour", results[1], counters.Result{Allowed: true, Limit: 3, Remaining: 1, ResetAfter: time.Hour})
		equal(t, "bucket", results[2], counters.Result{Allowed: true, Limit: 9, Remaining: 5, ResetAfter: 4 * time.Hour})
		equal(t, "retry", counters.RetryAfter(results), time.Second)
		time.Sleep(time.Second)
		equal(t, "admitted later", counters.Admitted(both()), true)
		equal(t, "after that", counters.RetryAfter(both()), time.Hour-time.Second)
	})
}

func TestAnotherRuleStartsAnew(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		c := w.leading()
		first := counters.Limit{Name: "l", Algorithm: counters.FixedWindow, Limit: 3, Window: time.Hour, Cost: 3}
		others := map[string]counters.Limit{
			"algorithm": {Name: "l", Algorithm: counters.SlidingWindow, Limit: 3, Window: time.Hour, Cost: 3},
			"limit":     {Name: "l", Algorithm: counters.FixedWindow, Limit: 4, Window: time.Hour, Cost: 4},
			"window":    {Name: "l", Algorithm: counters.FixedWindow, Limit: 3, Window: time.Minute, Cost: 3},
			"bucket":    {Name: "l", Algorithm: counters.TokenBucket, Limit: 3, Window: time.Hour, Burst: 4, Cost: 4},
		}
		for what, other := range others {
			take(t, c, first)
			equal(t, "the first, used up", take(t, c, first).Allowed, false)
			equal(t, "another "+what, take(t, c, other).Allowed, true)
			equal(t, "another "+what+", used up", take(t, c, other).Allowed, false)
		}
		tooMuch := first
		tooMuch.Window, tooMuch.Cost = time.Second, 4
		take(t, c, first)
		equal(t, "another that is denied", take(t, c, tooMuch), counters.Result{Limit: 3, Remaining: 3, RetryAfter: counters.Never})
		equal(t, "the first, untouched", take(t, c, first).Allowed, false)
	})
}

func TestResetAndPeek(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		c := w.leading()
		limit := counters.Limit{Name: "l", Algorithm: counters.TokenBucket, Limit: 10, Window: time.Minute}
		peek := func() counters.Result {
			results, err := c.Peek(t.Context(), limit)
			if err != nil {
				t.Fatal(err)
			}
			return results[0]
		}
		reset := func() bool {
			found, err := c.Reset(t.Context(), "l", counters.WriteOptions{})
			if err != nil {
				t.Fatal(err)
			}
			return found
		}
		equal(t, "new", peek(), counters.Result{Allowed: true, Limit: 10, Remaining: 10})
		equal(t, "reset of nothing", reset(), false)
		take(t, c, limit)
		for range 2 {
			equal(t, "after one", peek(), counters.Result{Allowed: true, Limit: 10, Remaining: 9, ResetAfter: 6 * time.Second})
		}
		equal(t, "reset", reset(), true)
		equal(t, "after the reset", peek(), counters.Result{Allowed: true, Limit: 10, Remaining: 10})
		take(t, c, limit)
		time.Sleep(6 * time.Second)
		equal(t, "reset of what is full again", reset(), false)
	})
}

func TestWhatIsRefused(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		c := w.leading()
		good := counters.Limit{Name: "l", Algorithm: counters.SlidingWindow, Limit: 1, Window: time.Second}
		for what, change := range map[string]func(*counters.Limit){
			"limit of 0 is":                func(l *counters.Limit) { l.Limit = 0 },
			"limit of 1000000000001":       func(l *counters.Limit) { l.Limit = counters.MaxLimit + 1 },
			"window of 0s":                 func(l *counters.Limit) { l.Window = 0 },
			"window of 8784h":              func(l *counters.Limit) { l.Window = counters.MaxWindow + 1 },
			"name of 0 bytes":              func(l *counters.Limit) { l.Name = "" },
			"name of 1025 bytes":           func(l *counters.Limit) { l.Name = strings.Repeat("x", counters.MaxName+1) },
			"cost of -1":                   func(l *counters.Limit) { l.Cost = -1 },
			"algorithm 0":                  func(l *counters.Limit) { l.Algorithm = 0 },
			"only a token-bucket":          func(l *counters.Limit) { l.Burst = 1 },
			"burst of -1":                  func(l *counters.Limit) { l.Algorithm, l.Burst = counters.TokenBucket, -1 },
			"more than one each 1µs":       func(l *counters.Limit) { l.Algorithm, l.Limit = counters.TokenBucket, 1_000_001 },
			"a bucket of 11 that gets one": func(l *counters.Limit) { l.Algorithm, l.Window, l.Burst = counters.TokenBucket, counters.MaxWindow, 11 },
		} {
			bad := good
			change(&bad)
			_, err := c.Take(t.Context(), bad)
			if !errors.Is(err, counters.ErrInvalid) || !strings.Contains(err.Error(), what) {
				t.Errorf("%+v: got %v, want ErrInvalid with %q", bad, err, what)
			}
			equal(t, "Check", bad.Check() != nil, true)
		}
		if _, err := c.TakeAll(t.Context(), counters.WriteOptions{}, good, good); !errors.Is(err, counters.ErrInvalid) {
			t.Errorf("one limit twice: got %v, want ErrInvalid", err)
		}
		if _, err := c.TakeAll(t.Context(), counters.WriteOptions{}); !errors.Is(err, counters.ErrInvalid) {
			t.Errorf("no limits: got %v, want ErrInvalid", err)
		}
		if _, err := c.Add(t.Context(), "n", 1, counters.AddOptions{TTL: -1}); !errors.Is(err, counters.ErrInvalid) {
			t.Errorf("a TTL of -1: got %v, want ErrInvalid", err)
		}
		if _, err := counters.ParseAlgorithm("leaky"); !errors.Is(err, counters.ErrInvalid) {
			t.Errorf("an unknown algorithm: got %v, want ErrInvalid", err)
		}
		equal(t, "entries in the log", len(w.entries), 0)
	})
}

// TestTheLargestLimits looks that nothing overflows at the bounds.
func TestTheLargestLimits(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		c := w.leading()
		for _, l := range []counters.Limit{
			{Algorithm: counters.FixedWindow, Limit: counters.MaxLimit, Window: counters.MaxWindow},
			{Algorithm: counters.SlidingWindow, Limit: counters.MaxLimit, Window: counters.MaxWindow},
			{Algorithm: counters.SlidingWindow, Limit: 1000, Window: counters.MaxWindow},
			{Algorithm: counters.TokenBucket, Limit: 1, Window: counters.MaxWindow, Burst: 10},
			{Algorithm: counters.TokenBucket, Limit: 1_000_000, Window: time.Second, Burst: 10 * 366 * 86400 * 1_000_000 / 1000},
			{Algorithm: counters.TokenBucket, Limit: counters.MaxLimit, Window: time.Duration(counters.MaxLimit) * counters.MinToken},
		} {
			l.Name = "large"
			l.Cost = max(l.Limit, l.Burst)
			if err := l.Check(); err != nil {
				t.Errorf("%+v: %v", l, err)
				continue
			}
			equal(t, "all at once", take(t, c, l).Allowed, true)
			l.Cost = 1
			denied := take(t, c, l)
			equal(t, "one more", denied.Allowed || denied.RetryAfter <= 0, false)
			l.Cost = counters.MaxLimit
			equal(t, "far too many", take(t, c, l).Allowed, false)
		}
	})
}

func TestLittleRoomIsForWhatEnds(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		c := w.leading()
		day := 24 * time.Hour
		limit := func(name string, window time.Duration) counters.Limit {
			return counters.Limit{Name: name, Algorithm: counters.SlidingWindow, Limit: 100, Window: window}
		}
		add(t, c, "old", 1, 0)
		take(t, c, limit("old", 2*day))
		time.Sleep(time.Second)
		w.pressure = machine.PressureHigh
		size := w.leader.machine.Size()
		for what, call := range map[string]func() error{
			"a counter for ever": func() error { _, err := c.Add(t.Context(), "new", 1, counters.AddOptions{}); return err },
			"a counter for long": func() error { _, err := c.Add(t.Context(), "new", 1, counters.AddOptions{TTL: day + 1}); return err },
			"a limit for long":   func() error { _, err := c.Take(t.Context(), limit("new", 2*day)); return err },
			"a limit's growth":   func() error { _, err := c.Take(t.Context(), limit("old", 2*day)); return err },
		} {
			if err := call(); !errors.Is(err, machine.ErrFull) {
				t.Errorf("%s: got %v, want ErrFull", what, err)
			}
		}
		equal(t, "size", w.leader.machine.Size(), size)
		equal(t, "an old counter", add(t, c, "old", 1, 0), 2)
		equal(t, "a counter for a day", add(t, c, "new", 1, day), 1)
		equal(t, "a limit for a day", take(t, c, limit("new", day)).Allowed, true)
		_, err := c.TakeAll(t.Context(), counters.WriteOptions{}, limit("new", day), limit("newer", 2*day))
		if !errors.Is(err, machine.ErrFull) {
			t.Errorf("one of two limits for long: got %v, want ErrFull", err)
		}
		equal(t, "taken from the other", take(t, c, limit("new", day)).Remaining, 98)
	})
}

func TestErrorsOfTheLogArePassedOn(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		c := w.leading()
		w.err = machine.ErrUnknown
		limit := counters.Limit{Name: "l", Algorithm: counters.FixedWindow, Limit: 1, Window: time.Hour}
		if _, err := c.Take(t.Context(), limit); !errors.Is(err, machine.ErrUnknown) {
			t.Errorf("got %v, want ErrUnknown", err)
		}
		if _, err := c.Add(t.Context(), "n", 1, counters.AddOptions{}); !errors.Is(err, machine.ErrUnknown) {
			t.Errorf("got %v, want ErrUnknown", err)
		}
	})
}
