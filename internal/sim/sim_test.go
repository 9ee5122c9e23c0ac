package sim_test

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"testing"

	"github.com/huddlecache/huddle/internal/sim"
)

// seeds are the seeds to run: n, or as HUDDLE_SEED (one) and HUDDLE_SEEDS (how
// many) say.
func seeds(t *testing.T, n int) (list []uint64) {
	t.Helper()
	if s := os.Getenv("HUDDLE_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("HUDDLE_SEED: %v", err)
		}
		return []uint64{seed}
	}
	if s := os.Getenv("HUDDLE_SEEDS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatalf("HUDDLE_SEEDS: %v", err)
		}
	}
	for seed := range n {
		list = append(list, uint64(seed)+1)
	}
	return list
}

func forSeeds(t *testing.T, n int, run func(t *testing.T, seed uint64)) {
	t.Helper()
	for _, seed := range seeds(t, n) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			run(t, seed)
		})
	}
}

// judge fails the test for each promise that a history breaks, and tells how.
func judge(t *testing.T, h *sim.History) {
	t.Helper()
	t.Logf("%d operations in %d terms and %d entries: %v", len(h.Ops), h.Term, h.Idle[0], h.Tally())
	for _, check := range sim.Checks {
		if err := check(h); err != nil {
			story := ""
			if v, found := errors.AsType[*sim.Violation](err); found && v.Key != "" {
				story = h.Story(v.Key)
			}
			t.Errorf("HUDDLE_SEED=%d: %v\n%s", h.Seed, err, story)
		}
	}
}

// TestClustersUnderFaults runs ephemeral clusters with odd seeds and durable
// ones with even seeds; of every eight one each has five pods. HUDDLE_SEEDS
// says how many, HUDDLE_SEED which one.
func TestClustersUnderFaults(t *testing.T) {
	forSeeds(t, 40, func(t *testing.T, seed uint64) {
		o := sim.Options{Seed: seed, Pods: 3, Durable: seed%2 == 0, Hurry: seed%4 > 1}
		if seed%8 > 5 {
			o.Pods = 5
		}
		o.Lost = seed%5 == 1 && !o.Durable
		if os.Getenv("HUDDLE_SEEDS") != "" {
			o.Rounds, o.Hurry = 8, false
		}
		judge(t, sim.Run(t, o))
	})
}
