package founding_test

import (
	"os"
	"strconv"
	"testing"

	"github.com/huddlecache/huddle/cluster/internal/founding"
)

// seeds returns how many runs to make of each setting: HUDDLE_SEEDS, or n.
func seeds(t *testing.T, n int) uint64 {
	t.Helper()
	s := os.Getenv("HUDDLE_SEEDS")
	if s == "" {
		return uint64(n)
	}
	v, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("HUDDLE_SEEDS: %v", err)
	}
	return v
}

// TestExplore: with EXPECT as demanded there are never two clusters, and
// always one in the end.
func TestExplore(t *testing.T) {
	t.Parallel()
	var settings []setting
	for _, s := range []setting{
		{pods: 2, expect: 2},
		{pods: 3, expect: 2},
		{pods: 3, expect: 3},
		{pods: 4, expect: 3},
		{pods: 5, expect: 4},
		{pods: 6, expect: 4},
		{pods: 7, expect: 5},
		{pods: 3, late: 1, expect: 3},
		{pods: 4, late: 2, expect: 4},
		{pods: 5, late: 2, expect: 5},
		{pods: 5, expect: 4, voters: 3},
	} {
		for _, durable := range []float64{0, 1, 0.5} {
			s.durable, s.kills = durable, 6
			settings = append(settings, s)
		}
	}
	for _, s := range settings {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			ends := map[string]int{}
			for seed := range seeds(t, 100) {
				w := run(seed, s)
				if w.bad != "" {
					w.report(t, seed)
					return
				}
				end := "recover"
				if w.done() {
					end = "one"
				}
				ends[end]++
			}
			t.Log(ends)
		})
	}
}

// TestLowExpectFindsTwo shows that the checker can fail: with EXPECT too low
// there are two clusters in some runs, and once they see each other both
// sides say so.
func TestLowExpectFindsTwo(t *testing.T) {
	t.Parallel()
	for _, s := range []setting{
		{pods: 4, expect: 2, kills: 3},
		{pods: 3, late: 2, expect: 2, kills: 3},
		{pods: 5, expect: 3, kills: 3},
	} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			two := 0
			n := 10 * seeds(t, 300)
			for seed := range n {
				w := run(seed, s)
				if w.bad != "two clusters" {
					if w.bad != "" {
						w.report(t, seed)
						return
					}
					continue
				}
				two++
				w.bad = ""
				w.heal()
				for _, l := range w.lists {
					reported := !w.lives(l)
					for _, m := range l.Members {
						reported = reported || w.conflict[m.ID]
					}
					if !reported {
						w.bad = "nobody of " + l.Cluster + " reports two clusters"
						w.report(t, seed)
						return
					}
				}
			}
			t.Logf("two clusters in %d of %d runs", two, n)
			if two == 0 {
				t.Errorf("two clusters in none of %d runs", n)
			}
		})
	}
}

// TestPlantedFaults shows that the checker sees what the protocol prevents.
func TestPlantedFaults(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		s    setting
		want string
	}{
		{"answers run out", setting{pods: 6, expect: 4, kills: 3, forget: true}, "two clusters"},
		{"free only if all others are dead", setting{pods: 3, expect: 3, kills: 3, allDead: true}, "stuck"},
		{"no identity is given up", setting{pods: 2, expect: 2, kills: 3, keep: true}, "stuck"},
		{"restart in place goes unnoticed", setting{pods: 3, expect: 2, kills: 3, inPlace: true}, "stuck"},
		{"three of four vote with expect 4 of 6", setting{
			pods: 6, expect: 4, kills: 4,
			countVotes: func(l founding.List) int {
				if l.Voters == 4 {
					return 3
				}
				return l.Voters
			},
		}, "two clusters"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(20_000) {
				w := run(seed, tt.s)
				if w.bad == tt.want {
					t.Logf("seed %d: %s", seed, w.bad)
					return
				}
			}
			t.Error("not caught")
		})
	}
}
