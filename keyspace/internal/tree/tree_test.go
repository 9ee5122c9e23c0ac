package tree_test

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/huddlecache/huddle/keyspace/internal/tree"
)

// A copied is a copy taken at some time, with what it must hold for ever.
type copied struct {
	tree *tree.Tree[int]
	want []int
}

// TestIsASlice does the same to a tree, some copies of it, and slices.
func TestIsASlice(t *testing.T) {
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 0))
		all := []copied{{tree: &tree.Tree[int]{}}}
		var frozen []copied
		for step := range 20_000 {
			c := &all[rng.IntN(len(all))]
			change(rng, c, seed%2 == 0 == (step < 10_000))
			switch {
			case step%3000 == 0 && len(all) < 4:
				other := c.tree.Copy()
				all = append(all, copied{&other, slices.Clone(c.want)})
			case step%1700 == 0:
				other := c.tree.Copy()
				frozen = append(frozen, copied{c.tree, slices.Clone(c.want)})
				c.tree = &other
			}
			if step%2500 == 0 {
				for _, c := range slices.Concat(all, frozen) {
					check(t, seed, c)
				}
			}
		}
		for _, c := range slices.Concat(all, frozen) {
			check(t, seed, c)
		}
	}
}

// change inserts more than it deletes, or the other way round.
func change(rng *rand.Rand, c *copied, grows bool) {
	n := len(c.want)
	switch what := rng.IntN(10); {
	case n > 0 && what == 0:
		i := rng.IntN(n)
		c.want = slices.Clone(c.want)
		c.want[i] = rng.Int()
		c.tree.Set(i, c.want[i])
	case n == 0 || what < 7 == grows:
		i, item := rng.IntN(n+1), rng.Int()
		if rng.IntN(3) == 0 {
			i = n
		}
		c.want = slices.Insert(c.want, i, item)
		c.tree.Insert(i, item)
	default:
		i := rng.IntN(n)
		if rng.IntN(3) == 0 {
			i = 0
		}
		if got := c.tree.Delete(i); got != c.want[i] {
			panic("another item was deleted")
		}
		c.want = slices.Delete(c.want, i, i+1)
	}
}

func check(t *testing.T, seed uint64, c copied) {
	t.Helper()
	if c.tree.Len() != len(c.want) {
		t.Fatalf("seed %d: length %d, want %d", seed, c.tree.Len(), len(c.want))
	}
	for i := 0; i <= len(c.want); i += 1 + len(c.want)/37 {
		var up, down []int
		c.tree.Ascend(i, func(item int) bool {
			up = append(up, item)
			return len(up) < 200
		})
		c.tree.Descend(i-1, func(item int) bool {
			down = append(down, item)
			return len(down) < 200
		})
		slices.Reverse(down)
		if want := c.want[i:min(i+200, len(c.want))]; !slices.Equal(up, want) {
			t.Fatalf("seed %d: up from %d of %d: %v, want %v", seed, i, len(c.want), up, want)
		}
		if want := c.want[max(0, i-200):i]; !slices.Equal(down, want) {
			t.Fatalf("seed %d: down from %d of %d: %v, want %v", seed, i-1, len(c.want), down, want)
		}
		if i < len(c.want) && c.tree.At(i) != c.want[i] {
			t.Fatalf("seed %d: at %d: %d, want %d", seed, i, c.tree.At(i), c.want[i])
		}
	}
}

// TestSearch keeps a sorted sequence.
func TestSearch(t *testing.T) {
	for seed := range uint64(4) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var sorted tree.Tree[int]
		var want []int
		for range 20_000 {
			item := rng.IntN(5000) * 2
			wantAt, isThere := slices.BinarySearch(want, item)
			at, got, found := sorted.Search(func(other int) bool { return cmp.Less(other, item) })
			if at != wantAt || found != (at < len(want)) || found && got != want[at] {
				t.Fatalf("seed %d: Search(%d) = %d, %d, %v, want %d", seed, item, at, got, found, wantAt)
			}
			if isThere {
				sorted.Delete(at)
				want = slices.Delete(want, at, at+1)
			} else {
				sorted.Insert(at, item)
				want = slices.Insert(want, at, item)
			}
		}
	}
}

func BenchmarkSearch(b *testing.B) {
	var t tree.Tree[int]
	for i := range 1_000_000 {
		t.Append(i)
	}
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		i = (i + 7919) % 1_000_000
		t.Search(func(other int) bool { return other < i })
	}
}

func BenchmarkInsertDelete(b *testing.B) {
	var t tree.Tree[int]
	for i := range 100_000 {
		t.Append(i)
	}
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		i = (i + 7919) % 100_000
		t.Insert(i, t.Delete(100_000-1-i))
	}
}
