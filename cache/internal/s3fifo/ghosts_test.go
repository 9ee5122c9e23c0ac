package s3fifo

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// A remembered hash of the obvious ghosts: a slice, oldest first.
type remembered struct {
	hash  uint64
	taken bool
}

// runGhosts adds and takes hashes as the bytes say, in the table and in a
// slice, which must agree. Three bytes are a step: what to do, the hash and
// the limit.
func runGhosts(t *testing.T, acts []byte) {
	t.Helper()
	var got ghosts
	var want []remembered
	take := func(hash uint64) bool {
		i := slices.Index(want, remembered{hash, false})
		if i >= 0 {
			want[i].taken = true
		}
		return i >= 0
	}
	limit := 50
	for ; len(acts) >= 3; acts = acts[3:] {
		hash := chained(acts[1])
		switch {
		case acts[0] < 8:
			limit = int(acts[2]) * 4
		case acts[0] < 80:
			if got, want := got.take(hash), take(hash); got != want {
				t.Fatalf("got %#x taken %v, want %v", hash, got, want)
			}
		default:
			got.add(hash, limit)
			take(hash)
			want = append(want, remembered{hash, false})
			want = want[max(0, len(want)-max(limit, 1)):]
		}
		if got.count != len(want) {
			t.Fatalf("got %d additions remembered, want %d", got.count, len(want))
		}
	}
	for i := range 256 {
		hash := chained(byte(i))
		if got, want := got.take(hash), take(hash); got != want {
			t.Fatalf("at the end: got %#x taken %v, want %v", hash, got, want)
		}
	}
}

// chained is a hash of its own for every i, in one of eight places of a table.
func chained(i byte) uint64 { return uint64(i)%8<<61 | uint64(i)<<32 }

func randomGhostActs(seed uint64, n int) []byte {
	rng := rand.New(rand.NewPCG(seed, 2))
	acts := make([]byte, 3*n)
	for i := range acts {
		acts[i] = byte(rng.Uint32())
	}
	return acts
}

func TestGhostsAreTheLastAdditions(t *testing.T) {
	for seed := range uint64(50) {
		t.Logf("seed %d", seed)
		runGhosts(t, randomGhostActs(seed, 3000))
	}
}

func FuzzGhostsAreTheLastAdditions(f *testing.F) {
	for seed := range uint64(5) {
		f.Add(randomGhostActs(seed, 200))
	}
	f.Fuzz(runGhosts)
}

func TestGhostsGiveMemoryBack(t *testing.T) {
	var g ghosts
	for hash := range uint64(10_000) {
		g.add(hash<<45, 10_000)
	}
	if got := g.footprint(); got != 135_000 {
		t.Errorf("got %d bytes for 10,000 ghosts, want twelve each and an eighth more", got)
	}
	g.add(1<<32, 100)
	if got := g.footprint(); got > 1_400 {
		t.Errorf("got %d bytes for 100 ghosts, want at most 14 each", got)
	}
	if !g.take(1<<32) || !g.take(9_999<<45) || g.take(9_900<<45) {
		t.Error("shrinking did not keep exactly the last additions")
	}
}
