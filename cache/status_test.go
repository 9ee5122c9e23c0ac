package cache

import (
	"fmt"
	"math"
	"testing"
)

func TestSharesAreWhatTheRingDoes(t *testing.T) {
	for count := range 6 {
		r := roster{version: 7}
		for i := range count {
			r.members = append(r.members, member{id: fmt.Sprintf("node-%d", i)})
		}
		g := newRing(&r, nil)
		const keys = 100_000
		owned := map[string]int{}
		for i := range keys {
			owned[g.owner(fmt.Sprintf("group\x00key %d", i))]++
		}
		shares, sum := g.shares(), 0.0
		for id, share := range shares {
			sum += share
			if got := float64(owned[id]) / keys; math.Abs(got-share) > 0.01 {
				t.Errorf("%d members: %s owns %.3f of all keys, and is said to own %.3f", count, id, got, share)
			}
		}
		if want := min(float64(count), 1); len(shares) != count || math.Abs(sum-want) > 1e-9 {
			t.Errorf("%d members: got %d shares of %.6f together, want %.0f", count, len(shares), sum, want)
		}
	}
}
