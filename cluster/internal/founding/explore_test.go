package founding_test

import (
	"os"
	"strconv"
	"strings"
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
			for seed := range seeds(t, 40) {
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
// there are two clusters in some runs. Once they see each other all of both
// say so, and nobody changes sides.
func TestLowExpectFindsTwo(t *testing.T) {
	t.Parallel()
	for _, s := range []setting{
		{pods: 4, expect: 2, kills: 3},
		{pods: 3, late: 2, expect: 2, kills: 3},
		{pods: 5, expect: 3, kills: 3},
	} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			two, n := 0, seeds(t, 100)
			for seed := range n {
				w := run(seed, s)
				if w.two {
					two++
					w.meet()
				}
				if w.bad != "" {
					w.report(t, seed)
					return
				}
			}
			t.Logf("two clusters in %d of %d runs", two, n)
			if two == 0 {
				t.Errorf("two clusters in none of %d runs", n)
			}
		})
	}
}

// meet lets two clusters see each other, and checks what comes of it.
func (w *world) meet() {
	sides := map[*pod]string{}
	for _, p := range w.pods {
		if p.up && p.core.Cluster() != "" {
			sides[p] = p.core.Cluster()
		}
	}
	w.bad = ""
	if w.heal(100); w.bad != "stuck" {
		w.bad = "two clusters became one"
		return
	}
	w.bad = ""
	for p, side := range sides {
		if p.up && (p.core.Cluster() != side || !w.conflict[p.ID]) {
			w.fault("%s of %s is in %s and reported it: %v", p.label, side, p.core.Cluster(), w.conflict[p.ID])
		}
	}
}

// TestPlantedFaults shows that the checker sees what the protocol prevents.
func TestPlantedFaults(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		s    setting
		want string // part of what the checker says
	}{
		{"answers run out", setting{pods: 3, expect: 2, kills: 3, forget: true}, "refused"},
		{"free only if all others are dead", setting{pods: 3, expect: 3, kills: 3, allDead: true}, "stuck"},
		{"no identity is given up", setting{pods: 2, expect: 2, kills: 3, keep: true}, "stuck"},
		{"restart in place goes unnoticed", setting{pods: 3, expect: 2, kills: 3, inPlace: true}, "stuck"},
		{"three of four vote with expect 4 of 6", setting{pods: 6, expect: 4, kills: 4, countVotes: oddVotes}, "two clusters"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(5000) {
				if w := run(seed, tt.s); strings.Contains(w.bad, tt.want) {
					t.Logf("seed %d: %s", seed, w.bad)
					return
				}
			}
			t.Error("not caught")
		})
	}
}

// oddVotes never lets an even number vote, but two.
func oddVotes(l founding.List) int {
	if l.Voters > 2 {
		return (l.Voters - 1) | 1
	}
	return l.Voters
}
