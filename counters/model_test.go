package counters_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/huddlecache/huddle/counters"
)

// An admitted call is what a model remembers of it, for ever.
type admitted struct {
	at   time.Duration
	cost int64
}

// A model is a limit as its documentation describes it, judged by all that was
// ever admitted under it.
type model struct {
	limit counters.Limit
	calls []admitted
}

// admits returns whether a call must and whether it may be admitted.
func (m *model) admits(now time.Duration, cost int64) (must, may bool) {
	switch l := m.limit; l.Algorithm {
	case counters.FixedWindow:
		ok := m.inFixed(now)+cost <= l.Limit
		return ok, ok
	case counters.SlidingWindow:
		may = m.since(now-l.Window)+cost <= l.Limit
		if l.Limit <= 1000 {
			return may, may
		}
		return m.since(now-l.Window-l.Window/100-time.Nanosecond)+cost <= l.Limit, may
	default:
		ok := m.inBucket(now, cost)
		return ok, ok
	}
}

// inFixed lays windows, each from the first call outside the one before.
func (m *model) inFixed(now time.Duration) (sum int64) {
	begin := time.Duration(-1)
	for _, c := range m.calls {
		if begin < 0 || c.at >= begin+m.limit.Window {
			begin, sum = c.at, 0
		}
		sum += c.cost
	}
	if begin < 0 || now >= begin+m.limit.Window {
		return 0
	}
	return sum
}

// since sums what was admitted after a time.
func (m *model) since(after time.Duration) (sum int64) {
	for _, c := range m.calls {
		if c.at > after {
			sum += c.cost
		}
	}
	return sum
}

// inBucket looks at every interval that ends now: burst plus rate.
func (m *model) inBucket(now time.Duration, cost int64) bool {
	token := (m.limit.Window + time.Duration(m.limit.Limit) - 1) / time.Duration(m.limit.Limit)
	sum := cost
	if sum > m.limit.Burst {
		return false
	}
	for _, c := range slices.Backward(m.calls) {
		sum += c.cost
		if time.Duration(sum)*token > time.Duration(m.limit.Burst)*token+now-c.at {
			return false
		}
	}
	return true
}

// randomLimit makes limits that are small enough to be reached.
func randomLimit(random *rand.Rand, name string) counters.Limit {
	l := counters.Limit{
		Name: name, Algorithm: counters.Algorithm(1 + random.IntN(3)), Limit: 1 + random.Int64N(20),
		Window: time.Millisecond + time.Duration(random.Int64N(int64(10*time.Second))),
	}
	switch {
	case l.Algorithm == counters.TokenBucket:
		l.Burst = 1 + random.Int64N(30)
		l.Window = max(l.Window, time.Duration(l.Limit)*counters.MinToken)
	case l.Algorithm == counters.SlidingWindow && random.IntN(2) == 0:
		l.Limit = 1001 + random.Int64N(500)
	}
	return l
}

// costOf makes costs that use a limit up in some ten calls, and now and then
// one that is more than there ever is.
func costOf(random *rand.Rand, l counters.Limit) int64 {
	most := max(l.Limit, l.Burst)
	return 1 + random.Int64N(1+most/int64(1+random.IntN(10)))
}

// step is a time that is often short, and now and then ends a window exactly.
func step(random *rand.Rand, l counters.Limit) time.Duration {
	switch random.IntN(8) {
	case 0:
		return 0
	case 1:
		return l.Window
	case 2:
		return l.Window - 1
	case 3:
		return time.Duration(random.Int64N(int64(2 * l.Window)))
	default:
		return time.Duration(random.Int64N(int64(l.Window)/8 + 1))
	}
}

// TestLimitsAgainstTheirModel takes from limits at random times and with random
// costs. What is admitted is what the model says, and a denied call is admitted
// after its RetryAfter, not a nanosecond sooner.
func TestLimitsAgainstTheirModel(t *testing.T) {
	forSeeds(t, 60, func(t *testing.T, w *world, random *rand.Rand) {
		w.sweep = func() int { return random.IntN(3) }
		m := &model{limit: randomLimit(random, "l")}
		c := w.leading()
		for range 300 {
			time.Sleep(step(random, m.limit))
			l := m.limit
			l.Cost = costOf(random, l)
			result := takeChecked(t, w, c, m, l)
			if result.Allowed || result.RetryAfter == counters.Never || random.IntN(2) == 0 {
				continue
			}
			time.Sleep(result.RetryAfter - 1)
			if takeChecked(t, w, c, m, l).Allowed {
				t.Fatalf("%+v: admitted sooner than after %s", l, result.RetryAfter)
			}
			time.Sleep(time.Nanosecond)
			if !takeChecked(t, w, c, m, l).Allowed {
				t.Fatalf("%+v: denied after %s", l, result.RetryAfter)
			}
		}
		if t.Failed() {
			t.Logf("limit %+v", m.limit)
		}
		isEmptyInTheEnd(t, w)
	})
}

// takeChecked takes, and compares with the model. It uses an idempotency key,
// so that the log is asked.
func takeChecked(t *testing.T, w *world, c *counters.Counters, m *model, l counters.Limit) counters.Result {
	t.Helper()
	results, err := c.TakeAll(t.Context(), counters.WriteOptions{Idem: fmt.Sprint(len(w.entries))}, l)
	if err != nil {
		t.Fatalf("%+v: %v", l, err)
	}
	now := w.leader.at.Lease
	must, may := m.admits(now, l.Cost)
	if got := results[0]; got.Allowed && !may || !got.Allowed && must {
		t.Fatalf("%+v at %s: got %+v, want admitted: %t; of %v", l, now, got, may, m.calls)
	}
	if results[0].Allowed {
		m.calls = append(m.calls, admitted{now, l.Cost})
	}
	return checked(t, m, now, results[0])
}

// checked looks whether Remaining and ResetAfter say what the model would do.
func checked(t *testing.T, m *model, now time.Duration, r counters.Result) counters.Result {
	t.Helper()
	if r.Remaining > 0 {
		if _, may := m.admits(now, r.Remaining); !may {
			t.Errorf("%d remain at %s, and may not be taken", r.Remaining, now)
		}
	}
	if must, _ := m.admits(now, r.Remaining+1); must {
		t.Errorf("%d remain at %s, and one more would be admitted", r.Remaining, now)
	}
	if must, _ := m.admits(now+r.ResetAfter, r.Limit); !must && m.limit.Limit <= 1000 {
		t.Errorf("all is there after %s, and may not be taken", r.ResetAfter)
	}
	return r
}

// isEmptyInTheEnd waits until nothing counts any more, and looks that nothing
// is left.
func isEmptyInTheEnd(t *testing.T, w *world) {
	t.Helper()
	w.sweep = func() int { return 1000 }
	time.Sleep(24 * time.Hour)
	w.append(nil)
	time.Sleep(24 * time.Hour)
	w.append(nil)
	if size, left := w.leader.machine.Size(), len(w.leader.index); size != 0 || left != 0 {
		t.Errorf("idle: got %d bytes and %d deadlines, want none", size, left)
	}
}

// TestReplicasAgree does everything at random, on a leader, on a replica that
// follows, and on one that is now and then restored from a snapshot. A snapshot
// is not changed by what comes after it.
func TestReplicasAgree(t *testing.T) {
	forSeeds(t, 20, func(t *testing.T, w *world, random *rand.Rand) {
		w.sweep = func() int { return random.IntN(3) }
		c, follower := w.leading(), newReplica(t)
		twin := newReplica(t)
		snapshots := map[int]func() []byte{}
		frozen := map[int][]byte{}
		for i := range 400 {
			randomCall(t, w, c, random)
			if i%40 == 17 {
				w.follow(twin, 0)
				twin = twin.twin()
				snap := w.leader.machine.Snapshot()
				snapshots[i] = func() []byte { return written(t, snap) }
				frozen[i] = snapshots[i]()
			}
		}
		w.follow(follower, 0)
		w.follow(twin, 0)
		same(t, "a follower", follower, w.leader)
		same(t, "a restored replica", twin, w.leader)
		for _, i := range slices.Sorted(maps.Keys(snapshots)) {
			if string(snapshots[i]()) != string(frozen[i]) {
				t.Errorf("the snapshot after call %d has changed", i)
			}
		}
		isEmptyInTheEnd(t, w)
	})
}

// randomCall does one thing of all that can be done.
func randomCall(t *testing.T, w *world, c *counters.Counters, random *rand.Rand) {
	t.Helper()
	name := func() string { return fmt.Sprintf("n%d", random.IntN(6)) }
	var err error
	switch random.IntN(10) {
	case 0, 1:
		_, err = c.Add(t.Context(), name(), random.Int64N(100)-50, counters.AddOptions{
			TTL: time.Duration(1+random.IntN(5000)) * time.Millisecond,
		})
	case 2:
		_, err = c.Delete(t.Context(), name(), counters.WriteOptions{})
	case 3:
		_, err = c.Reset(t.Context(), name(), counters.WriteOptions{})
	case 4:
		time.Sleep(time.Duration(random.Int64N(int64(8 * time.Second))))
	default:
		limits := make([]counters.Limit, 1+random.IntN(3))
		for i, n := range random.Perm(6)[:len(limits)] {
			// Half of the time the rule is that of the name, else any other.
			rule := random
			if random.IntN(2) == 0 {
				rule = rand.New(rand.NewPCG(uint64(n), 1))
			}
			limits[i] = randomLimit(rule, fmt.Sprintf("n%d", n))
			limits[i].Cost = costOf(random, limits[i])
		}
		_, err = c.TakeAll(t.Context(), counters.WriteOptions{}, limits...)
	}
	if err != nil {
		t.Fatal(err)
	}
	if w.leader.failed != nil {
		t.Fatal(w.leader.failed)
	}
}

// TestCountersAgainstTheirModel adds, looks and deletes at random.
func TestCountersAgainstTheirModel(t *testing.T) {
	type model struct {
		value int64
		end   time.Duration
	}
	forSeeds(t, 20, func(t *testing.T, w *world, random *rand.Rand) {
		w.sweep = func() int { return random.IntN(2) }
		c, all := w.leading(), map[string]model{}
		for range 500 {
			time.Sleep(time.Duration(random.IntN(500)) * time.Millisecond)
			name := fmt.Sprint(random.IntN(4))
			m, isThere := all[name]
			if isThere && m.end > 0 && m.end <= w.lease() {
				m, isThere = model{}, false
				delete(all, name)
			}
			switch random.IntN(6) {
			case 0:
				found, err := c.Delete(t.Context(), name, counters.WriteOptions{})
				if err != nil || found != isThere {
					t.Fatalf("Delete(%s) = %t, %v, want %t", name, found, err, isThere)
				}
				delete(all, name)
			case 1:
				want := counters.Counter{Value: m.value}
				if m.end > 0 {
					want.TTL = m.end - w.lease()
				}
				got, found, err := c.Get(t.Context(), name)
				if err != nil || found != isThere || got != want {
					t.Fatalf("Get(%s) = %+v, %t, %v, want %+v, %t", name, got, found, err, want, isThere)
				}
			default:
				n, ttl := random.Int64N(200)-100, time.Duration(random.IntN(2)*(1+random.IntN(4000)))*time.Millisecond
				got, err := c.Add(t.Context(), name, n, counters.AddOptions{TTL: ttl})
				if m.value += n; err != nil || got != m.value {
					t.Fatalf("Add(%s, %d) = %d, %v, want %d", name, n, got, err, m.value)
				}
				if m.end == 0 && ttl > 0 {
					m.end = w.lease() + ttl
				}
				all[name] = m
			}
		}
	})
}
