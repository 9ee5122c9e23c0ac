package sim_test

import (
	"testing"

	"github.com/huddlecache/huddle/internal/sim"
)

// sizes are numbers of pods and how many of them found a cluster, as
// HUDDLE_EXPECT must be set: at least two thirds.
var sizes = [][2]int{{2, 2}, {3, 2}, {3, 3}, {4, 3}, {5, 4}, {6, 4}, {7, 5}}

func judgeFounding(t *testing.T, f *sim.Founding, checks ...func(*sim.Founding) error) {
	t.Helper()
	for _, check := range checks {
		if err := check(f); err != nil {
			t.Errorf("HUDDLE_SEED=%d: %v\n%s", f.Seed, err, f.Story())
		}
	}
}

func TestPodsFoundOneCluster(t *testing.T) {
	forSeeds(t, 20, func(t *testing.T, seed uint64) {
		size := sizes[seed%uint64(len(sizes))]
		f := sim.Found(t, sim.FoundingOptions{Seed: seed, Pods: size[0], Expect: size[1], Durable: seed%5 == 0})
		judgeFounding(t, f, sim.CheckOneCluster, sim.CheckNotBridged)
	})
}

// With a lower Expect than it must be there may be two clusters. They are
// never made one, and never kept quiet about.
func TestTwoClustersStayTwo(t *testing.T) {
	two := 0
	t.Run("seeds", func(t *testing.T) {
		for _, seed := range seeds(t, 4) {
			size := [][2]int{{4, 2}, {5, 2}}[seed%2]
			f := sim.Found(t, sim.FoundingOptions{Seed: seed, Pods: size[0], Expect: size[1], Split: true})
			judgeFounding(t, f, sim.CheckNotBridged)
			if sim.CheckOneCluster(f) != nil {
				two++
			}
		}
	})
	if two == 0 {
		t.Error("no seed has founded two clusters")
	}
}
