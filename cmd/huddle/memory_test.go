package main

import (
	"math"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

const mebi = 1 << 20

// settled returns the limit, and what the caches may take, after as many equal
// collections as it takes for both to settle.
func settled(bound int64, u usage, between time.Duration, allocated int64) (limit, caches int64) {
	l := &memoryLimit{bound: bound, set: func(n int64) { limit = n }, squeeze: func(n int64) { caches = n }}
	caches = bound
	for range 100 {
		u.at = u.at.Add(between)
		u.allocated += allocated
		l.update(u)
	}
	return limit, caches
}

func TestMemoryLimit(t *testing.T) {
	for _, test := range []struct {
		name                        string
		bound, cached, live, beside int64 // MiB
		taken, allocated            int64 // MiB
		between                     time.Duration
		least, most, caches         int64 // MiB
	}{
		{"an idle node", 256, 0, 6, 8, 30, 6, time.Minute, 30, 40, 256},
		{"a full cache", 256, 256, 264, 10, 310, 32, time.Second, 310, 335, 256},
		{"a large state", 256, 0, 1000, 20, 2000, 1000, time.Second, 2000, 2100, 256},
		{"a large state and a full cache", 256, 256, 1256, 20, 2300, 1000, time.Second, 2280, 2400, 256},
		{"a limit that leaves no room", 256, 256, 264, 10, 300, 1, time.Millisecond, 450, math.MaxInt32, 256},
		{"an idle node that is collected all the same", 256, 256, 264, 10, 300, 0, 2 * time.Minute, 310, 335, 256},
		{"memory in pieces", 256, 256, 264, 10, 420, 32, time.Second, 310, 335, 128},
	} {
		t.Run(test.name, func(t *testing.T) {
			u := usage{
				at: time.Now(), cached: test.cached * mebi, live: test.live * mebi,
				beside: test.beside * mebi, taken: test.taken * mebi,
			}
			limit, caches := settled(test.bound*mebi, u, test.between, test.allocated*mebi)
			if limit < test.least*mebi || limit > test.most*mebi || caches != test.caches*mebi {
				t.Errorf("got a limit of %d MiB, caches of %d, want %d to %d and %d",
					limit/mebi, caches/mebi, test.least, test.most, test.caches)
			}
		})
	}
}

// TestAStateLargerThanTheLimitIsNotCollectedAllTheTime holds much that is not
// cached, and makes garbage.
func TestAStateLargerThanTheLimitIsNotCollectedAllTheTime(t *testing.T) {
	stop := followUsage(4*mebi, func() int64 { return 0 }, func(int64) {})
	defer stop()
	var state [][]byte
	for range 96 {
		state = append(state, make([]byte, mebi))
	}
	collections := func() uint64 {
		s := []metrics.Sample{{Name: "/gc/cycles/total:gc-cycles"}}
		metrics.Read(s)
		return s[0].Value.Uint64()
	}
	before := collections()
	for range 4096 {
		state[0] = make([]byte, mebi/4)
	}
	// With as much garbage as state it would be ten.
	if n := collections() - before; n > 40 {
		t.Errorf("%d collections for 1 GiB beside %d MiB", n, len(state))
	}
}

func TestTheOperatorsOwnLimitHolds(t *testing.T) {
	for _, test := range []struct {
		env  environ
		sets bool
	}{
		{environ{"GOMEMLIMIT": "1GiB"}, false},
		{environ{"GOGC": "200"}, false},
		{environ{"GOMEMLIMIT": ""}, true},
		{environ{}, true},
	} {
		before := debug.SetMemoryLimit(-1)
		stop := limitMemory(test.env, 256*mebi)
		if got := debug.SetMemoryLimit(-1) != before; got != test.sets {
			t.Errorf("%v: the limit is set: got %v, want %v", test.env, got, test.sets)
		}
		stop()
		if got := debug.SetMemoryLimit(-1); got != before {
			t.Errorf("%v: after stop the limit is %d, want the former %d", test.env, got, before)
		}
	}
}
