package e2e

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// A limitRule is a limit as it is sent.
type limitRule struct {
	name      string
	algorithm string // FIXED, SLIDING or BUCKET
	limit     int64
	window    time.Duration
	burst     int64 // of a bucket
}

// An admission is a call that was admitted, at some time from when it was sent
// until it was answered.
type admission struct{ call, ret time.Duration }

// check returns an error if more was admitted than the algorithm allows.
//
// The cluster judges by lease time, which stands still while nobody leads and
// never runs faster than the test's clock. So what was sent and answered within
// some time was admitted within as much lease time at most, and what holds for
// any lease time holds for it.
func (l limitRule) check(admitted []admission) error {
	byCall := slices.SortedFunc(slices.Values(admitted), func(a, b admission) int { return cmp.Compare(a.call, b.call) })
	for i, begin := range byCall {
		rets := make([]time.Duration, 0, len(byCall)-i)
		for _, a := range byCall[i:] {
			rets = append(rets, a.ret)
		}
		slices.Sort(rets)
		for j, ret := range rets {
			within := ret - begin.call
			if count, most := int64(j+1), l.most(within); count > most {
				return fmt.Errorf("%s: %d calls admitted from %v to %v, in %v, want at most %d", l.name, count, begin.call, ret, within, most)
			}
		}
	}
	return nil
}

// most is how many calls an algorithm admits at most in a stretch of time,
// wherever it begins.
func (l limitRule) most(within time.Duration) int64 {
	switch l.algorithm {
	case "FIXED": // a window ends with the stretch's begin, another begins at each window's end
		return l.limit * (int64(within/l.window) + 2)
	case "SLIDING": // a window that ends where it began does not hold both
		return l.limit * (int64(within/l.window) + 1)
	default:
		return l.burst + l.limit*int64(within)/int64(l.window)
	}
}

// TestLimitChecksCatchPlantedFaults admits calls of which the last is one too
// many, or just not.
func TestLimitChecksCatchPlantedFaults(t *testing.T) {
	const s, ms = time.Second, time.Millisecond
	at := func(times ...time.Duration) (list []admission) {
		for _, at := range times {
			list = append(list, admission{at, at + 10*ms})
		}
		return list
	}
	fixed := limitRule{name: "fixed", algorithm: "FIXED", limit: 2, window: s}
	sliding := limitRule{name: "sliding", algorithm: "SLIDING", limit: 2, window: s}
	bucket := limitRule{name: "bucket", algorithm: "BUCKET", limit: 2, window: s, burst: 3}
	for _, test := range []struct {
		rule     limitRule
		admitted []admission
		want     bool // that there is one too many
	}{
		{fixed, at(0, 900*ms, s, 1900*ms, 2*s), false},
		{fixed, at(0, 500*ms, 600*ms, 700*ms), false},
		{fixed, at(0, 500*ms, 600*ms, 700*ms, 800*ms), true},
		{sliding, at(0, 500*ms, s, 1500*ms, 2*s), false},
		{sliding, at(0, 500*ms, 980*ms), true},
		{sliding, []admission{{0, 500 * ms}, {0, 500 * ms}, {900 * ms, 1000 * ms}}, false}, // the third may have been late
		{sliding, []admission{{0, 10 * ms}, {980 * ms, 999 * ms}, {500 * ms, 700 * ms}}, true},
		{bucket, at(0, 10*ms, 20*ms, 520*ms, 1020*ms), false},
		{bucket, at(0, 10*ms, 20*ms, 460*ms), true},
		{bucket, at(5*s, 5*s, 5*s, 5*s), true},
	} {
		err := test.rule.check(test.admitted)
		if (err != nil) != test.want {
			t.Errorf("%s %v: got %v, want one too many: %v", test.rule.name, test.admitted, err, test.want)
		}
		if err != nil && !strings.Contains(err.Error(), test.rule.name) {
			t.Errorf("%s: got %q, want its name in it", test.rule.name, err)
		}
	}
}

// TestCountOfTenIsChecked shows that one too many, one too few and one that
// nobody knows of are told apart.
func TestCountOfTenIsChecked(t *testing.T) {
	for _, test := range []struct {
		admitted, unknown int64
		want              bool
	}{
		{10, 0, true},
		{9, 0, false},
		{11, 0, false},
		{9, 1, true},
		{11, 3, false},
	} {
		err := exactly(10, test.admitted, test.unknown)
		if (err == nil) != test.want {
			t.Errorf("%d admitted, %d unknown: got %v, want it right: %v", test.admitted, test.unknown, err, test.want)
		}
	}
}

// exactly returns an error unless as many calls were admitted as there should
// be. Those of which the outcome is unknown may have been.
func exactly(want, admitted, unknown int64) error {
	if admitted > want || admitted+unknown < want {
		return fmt.Errorf("%d calls were admitted, and of %d more it is not known, want %d", admitted, unknown, want)
	}
	return nil
}
