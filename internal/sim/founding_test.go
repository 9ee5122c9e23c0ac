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
	two, list := 0, seeds(t, 3)
	for _, seed := range list {
		size := [][2]int{{4, 2}, {5, 2}}[seed%2]
		f := sim.Found(t, sim.FoundingOptions{Seed: seed, Pods: size[0], Expect: size[1], Split: true})
		judgeFounding(t, f, sim.CheckNotBridged)
		if sim.CheckOneCluster(f) != nil {
			two++
		}
	}
	if two == 0 && len(list) > 2 {
		t.Error("no seed has founded two clusters, so that nothing was checked")
	}
}

func TestFoundingCheckersCatchPlantedFaults(t *testing.T) {
	one := map[string]string{"pod-1": "a", "pod-2": "a"}
	two := map[string]string{"pod-1": "a", "pod-2": "b"}
	for _, tt := range []struct {
		fault string
		check func(*sim.Founding) error
		f     sim.Founding
	}{
		{"two clusters for a while", sim.CheckOneCluster, sim.Founding{Clusters: one, Conflicts: []string{"a and b"}}},
		{"two clusters at the end", sim.CheckOneCluster, sim.Founding{Clusters: two}},
		{"a pod in none", sim.CheckOneCluster, sim.Founding{Clusters: map[string]string{"pod-1": "a", "pod-2": ""}}},
		{"a pod that went over", sim.CheckNotBridged, sim.Founding{Clusters: two, Warned: true, Bridged: []string{"pod-1"}}},
		{"two clusters without a word", sim.CheckNotBridged, sim.Founding{Clusters: two}},
	} {
		if tt.check(&tt.f) == nil {
			t.Errorf("%s: not caught", tt.fault)
		}
	}
	for _, check := range []func(*sim.Founding) error{sim.CheckOneCluster, sim.CheckNotBridged} {
		if err := check(&sim.Founding{Clusters: one}); err != nil {
			t.Errorf("one cluster: %v", err)
		}
	}
}
