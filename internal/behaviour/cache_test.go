package behaviour

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cache"
	"github.com/huddlecache/huddle/cluster/machine"
)

func mustPut(t *testing.T, d cacheDoor, i int, group, key, value string, tags ...string) {
	t.Helper()
	if err := d.put(i, group, key, cache.Item{Value: []byte(value), Tags: tags}, ""); err != nil {
		t.Fatalf("putting %.60q through node %d: %v", key, i%3, err)
	}
}

// expectCached fails the test unless all nodes have the value; missing where it
// is none.
func expectCached(t *testing.T, d cacheDoor, group, key, want string) {
	t.Helper()
	for i := range 3 {
		got, err := d.get(i, group, key)
		if want == missing && errors.Is(err, cache.ErrNotFound) || err == nil && got == want {
			continue
		}
		t.Errorf("node %d: %.60q is %.60q, %v, want %.60q", i, key, got, err, want)
	}
}

const missing = "(none)"

func TestAnyNodeReadsWhatAnyNodeWrote(t *testing.T) {
	forCacheDoors(t, func(t *testing.T, d cacheDoor, group string) {
		expectCached(t, d, group, "k0", missing)
		for i := range 12 {
			key := fmt.Sprint("k", i)
			mustPut(t, d, i, group, key, "first")
			mustPut(t, d, i+1, group, key, fmt.Sprint("second ", i))
			expectCached(t, d, group, key, fmt.Sprint("second ", i))
		}
		expectCached(t, d, group+"'", "k0", missing)
	})
}

func TestNamesAndValuesAreAnyBytes(t *testing.T) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	forCacheDoors(t, func(t *testing.T, d cacheDoor, group string) {
		for i, name := range []string{
			string(all), "//", "/a", "a/b//c", "%", "%2F", "a%2Fb", "..", ".", "../x", "?a=b", "#", " ", "+", "é😀", "\xff\xfe", "\x00",
			"*", "invalidate", "a\r\nb", strings.Repeat("k", 1024),
		} {
			mustPut(t, d, i, group, name, "value of "+name, "tag")
			expectCached(t, d, group, name, "value of "+name)
			other := name[:min(len(name), 900)] + fmt.Sprint(group[len(group)-12:])
			mustPut(t, d, i, other, "k", name)
			expectCached(t, d, other, "k", name)
			if err := d.invalidate(i, other, cache.Keys("k")); err != nil {
				t.Errorf("invalidating in group %.60q: %v", other, err)
			}
			expectCached(t, d, other, "k", missing)
		}
		for _, value := range []string{"", "\x00", string(all), strings.Repeat("\xff\x00", 1<<19)} {
			mustPut(t, d, 1, group, "v", value)
			expectCached(t, d, group, "v", value)
		}
	})
}

func TestCachedValuesEnd(t *testing.T) {
	forCacheDoors(t, func(t *testing.T, d cacheDoor, group string) {
		const ttl, rounding = 1500 * time.Millisecond, 10 * time.Millisecond
		mustPut(t, d, 0, group, "lasting", "v")
		for i := range 3 {
			key := fmt.Sprint("short ", i)
			began := time.Now()
			if err := d.put(i, group, key, cache.Item{Value: []byte("v"), TTL: ttl}, ""); err != nil {
				t.Fatal(err)
			}
			put := time.Now()
			for isThere := true; isThere; time.Sleep(20 * time.Millisecond) {
				asked := time.Now()
				value, err := d.get(i+1, group, key)
				isThere = !errors.Is(err, cache.ErrNotFound)
				switch {
				case !isThere && time.Since(began) < ttl:
					t.Errorf("gone after %s, want %s", time.Since(began), ttl)
				case isThere && (err != nil || value != "v"):
					t.Fatalf("got %q, %v", value, err)
				case isThere && asked.Sub(put) > ttl+rounding:
					t.Fatalf("still there %s after it was put, want %s", asked.Sub(put), ttl)
				}
			}
		}
		expectCached(t, d, group, "lasting", "v")
	})
}

// TestInvalidationsAreSeenByAll invalidates in many ways, each through another
// node, and looks everywhere as soon as that is answered.
func TestInvalidationsAreSeenByAll(t *testing.T) {
	forCacheDoors(t, func(t *testing.T, d cacheDoor, group string) {
		other := group + " other"
		for round, test := range []struct {
			scope cache.Scope
			gone  func(i int) bool
		}{
			{cache.Keys("k0"), func(i int) bool { return i == 0 }},
			{cache.Keys("k1", "k2", "none"), func(i int) bool { return i == 1 || i == 2 }},
			{cache.Tags("t é/%1"), func(i int) bool { return i%3 == 1 }},
			{cache.Tags("all", "none"), func(int) bool { return true }},
			{cache.Tags("none"), func(int) bool { return false }},
			{cache.All(), func(int) bool { return true }},
			{cache.Scope{Keys: []string{"k0"}, Tags: []string{"t é/%2"}}, func(i int) bool { return i == 0 || i%3 == 2 }},
		} {
			for i := range 6 {
				key := fmt.Sprint("k", i)
				mustPut(t, d, i, group, key, fmt.Sprint(round), "all", fmt.Sprint("t é/%", i%3))
				mustPut(t, d, i, other, key, "kept", "all")
			}
			if err := d.invalidate(round, group, test.scope); err != nil {
				t.Fatal(err)
			}
			for i := range 6 {
				want := fmt.Sprint(round)
				if test.gone(i) {
					want = missing
				}
				expectCached(t, d, group, fmt.Sprint("k", i), want)
				expectCached(t, d, other, fmt.Sprint("k", i), "kept")
			}
		}
	})
}

func TestCacheLimits(t *testing.T) {
	forCacheDoors(t, func(t *testing.T, d cacheDoor, group string) {
		long, tags := strings.Repeat("n", 1025), make([]string, 65)
		for i := range tags {
			tags[i] = fmt.Sprint("tag ", i)
		}
		item := func(tags ...string) cache.Item { return cache.Item{Value: []byte("v"), Tags: tags} }
		for what, err := range map[string]error{
			"a long group":             d.put(0, long, "k", item(), ""),
			"a long key":               d.put(1, group, long, item(), ""),
			"a long tag":               d.put(2, group, "k", item(long), ""),
			"65 tags":                  d.put(0, group, "k", item(tags...), ""),
			"what is no lease":         d.put(1, group, "k", item(), "none"),
			"reading a long key":       second(d.get(2, group, long)),
			"invalidating a long key":  d.invalidate(0, group, cache.Keys("k", long)),
			"invalidating a long tag":  d.invalidate(1, group, cache.Tags(long)),
			"invalidating a long name": d.invalidate(2, long, cache.All()),
		} {
			if !errors.Is(err, cache.ErrInvalid) {
				t.Errorf("%s: got %v, want %v", what, err, cache.ErrInvalid)
			}
		}
		if err := d.put(0, group, "k", item(tags[1:]...), ""); err != nil {
			t.Errorf("64 tags: %v", err)
		}
		expectCached(t, d, group, "k", "v")
		const most = 8 << 20 // HUDDLE_MAX_VALUE
		big := cache.Item{Value: bytes.Repeat([]byte("b"), most)}
		if err := d.put(1, group, "big", big, ""); err != nil {
			t.Errorf("a value as large as it may be: %v", err)
		}
		if got, err := d.get(2, group, "big"); err != nil || len(got) != most {
			t.Errorf("got %d bytes, %v, want %d", len(got), err, most)
		}
		big.Value = append(big.Value, 'b')
		if err := d.put(1, group, "k", big, ""); !errors.Is(err, cache.ErrTooBig) && !errors.Is(err, machine.ErrTooBig) {
			t.Errorf("a value that is too large: got %v", err)
		}
		expectCached(t, d, group, "k", "v")
	})
}

func second(_ string, err error) error { return err }

// patient is how long a client waits that does not hang up.
const patient = 30 * time.Second

// TestOneCallerMakesIt has 60 callers over three nodes ask for what is not
// there.
func TestOneCallerMakesIt(t *testing.T) {
	forCacheDoors(t, func(t *testing.T, d cacheDoor, group string) {
		for round := range 2 {
			key := fmt.Sprint("cold ", round)
			var made atomic.Int64
			var all sync.WaitGroup
			for i := range 60 {
				all.Go(func() {
					value, lease, err := d.claim(i, group, key, 10*time.Second, patient)
					switch {
					case err == nil && value == "made":
					case errors.Is(err, cache.ErrNotFound) && lease != "":
						made.Add(1)
						time.Sleep(200 * time.Millisecond)
						if err := d.put(i+1, group, key, cache.Item{Value: []byte("made")}, lease); err != nil {
							t.Errorf("putting with the lease %s: %v", lease, err)
						}
					default:
						t.Errorf("got %q, lease %q, %v, want the value or a lease", value, lease, err)
					}
				})
			}
			all.Wait()
			if n := made.Load(); n != 1 {
				t.Errorf("made %d times, want once", n)
			}
		}
	})
}

func mustClaim(t *testing.T, d cacheDoor, i int, group, key string, lasts time.Duration) (lease string) {
	t.Helper()
	value, lease, err := d.claim(i, group, key, lasts, patient)
	if !errors.Is(err, cache.ErrNotFound) || lease == "" {
		t.Fatalf("got %q, lease %q, %v, want a lease", value, lease, err)
	}
	return lease
}

// TestALeaseIsVoidAfterAnInvalidation invalidates what is being made.
func TestALeaseIsVoidAfterAnInvalidation(t *testing.T) {
	forCacheDoors(t, func(t *testing.T, d cacheDoor, group string) {
		for i, scope := range []cache.Scope{cache.Keys("k0"), cache.Tags("t"), cache.All()} {
			key := fmt.Sprint("k", i)
			lease := mustClaim(t, d, i, group, key, 20*time.Second)
			if err := d.invalidate(i+1, group, scope); err != nil {
				t.Fatal(err)
			}
			old := cache.Item{Value: []byte("old"), Tags: []string{"t"}}
			if err := d.put(i+2, group, key, old, lease); !errors.Is(err, cache.ErrConflict) {
				t.Errorf("%+v: got %v, want %v", scope, err, cache.ErrConflict)
			}
			expectCached(t, d, group, key, missing)
			lease = mustClaim(t, d, i+1, group, key, 20*time.Second) // the next one may
			if err := d.put(i, group, key, cache.Item{Value: []byte("new")}, lease); err != nil {
				t.Errorf("putting what is newer: %v", err)
			}
			expectCached(t, d, group, key, "new")
			if err := d.put(i, group, key, old, lease); !errors.Is(err, cache.ErrConflict) {
				t.Errorf("a lease that was used: got %v, want %v", err, cache.ErrConflict)
			}
			expectCached(t, d, group, key, "new")
		}
	})
}

// TestALeaseThatRunsOutIsHandedOn has a caller never put.
func TestALeaseThatRunsOutIsHandedOn(t *testing.T) {
	forCacheDoors(t, func(t *testing.T, d cacheDoor, group string) {
		const short = time.Second
		began := time.Now()
		lost := mustClaim(t, d, 0, group, "k", short)
		var next, late atomic.Int64
		var all sync.WaitGroup
		for i := range 9 {
			all.Go(func() {
				value, lease, err := d.claim(i, group, "k", 10*time.Second, patient)
				switch {
				case lease != "":
					next.Add(1)
					if took := time.Since(began); took < short {
						t.Errorf("handed on after %s, want %s", took, short)
					}
					if err := d.put(1, group, "k", cache.Item{Value: []byte("late")}, lost); !errors.Is(err, cache.ErrConflict) {
						t.Errorf("the lease that ran out: got %v, want %v", err, cache.ErrConflict)
					}
					if err := d.put(2, group, "k", cache.Item{Value: []byte("v")}, lease); err != nil {
						t.Error(err)
					}
				case err == nil && value == "v":
					late.Add(1)
				default:
					t.Errorf("got %q, %v, want the value", value, err)
				}
			})
		}
		all.Wait()
		if next.Load() != 1 || late.Load() != 8 {
			t.Errorf("the lease was handed on to %d, and %d got the value, want 1 and 8", next.Load(), late.Load())
		}
	})
}

// TestWhoeverHangsUpGetsNoLease has clients wait, on every node, and go. The
// lease must then be for one that is still there.
func TestWhoeverHangsUpGetsNoLease(t *testing.T) {
	forCacheDoors(t, func(t *testing.T, d cacheDoor, group string) {
		mustClaim(t, d, 0, group, "k", 2*time.Second)
		began := time.Now()
		var all sync.WaitGroup
		for i := range 9 {
			all.Go(func() {
				if value, lease, err := d.claim(i, group, "k", 40*time.Second, 500*time.Millisecond); !errors.Is(err, errHungUp) {
					t.Errorf("got %q, lease %q, %v, want nothing in time", value, lease, err)
				}
			})
		}
		all.Wait()
		lease := mustClaim(t, d, 1, group, "k", 20*time.Second)
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("the lease was had after %s: somebody had it who had gone", took)
		}
		if err := d.put(2, group, "k", cache.Item{Value: []byte("v")}, lease); err != nil {
			t.Error(err)
		}
		expectCached(t, d, group, "k", "v")
	})
}
