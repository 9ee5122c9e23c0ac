package s3fifo_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/huddlecache/huddle/cache/internal/s3fifo"
)

// A twin is the policy written down without a thought for speed. Queues are
// slices, oldest first.
type twin struct {
	bound       int64
	small, main []*twinEntry
	ghosts      []twinGhost
}

type twinEntry struct {
	key  byte
	size int64
	uses int
}

type twinGhost struct {
	hash  uint64
	taken bool
}

func sum(queue []*twinEntry) (bytes int64) {
	for _, e := range queue {
		bytes += e.size
	}
	return bytes
}

func (w *twin) bytes() int64 { return sum(w.small) + sum(w.main) }

func (w *twin) len() int { return len(w.small) + len(w.main) }

func (w *twin) takeGhost(hash uint64) bool {
	i := slices.Index(w.ghosts, twinGhost{hash, false})
	if i >= 0 {
		w.ghosts[i].taken = true
	}
	return i >= 0
}

func (w *twin) add(e *twinEntry) bool {
	if e.size > w.bound {
		return false
	}
	if w.takeGhost(modelHash(e.key)) {
		w.main = append(w.main, e)
	} else {
		w.small = append(w.small, e)
	}
	return true
}

func (w *twin) remove(e *twinEntry) {
	other := func(o *twinEntry) bool { return o == e }
	w.small = slices.DeleteFunc(w.small, other)
	w.main = slices.DeleteFunc(w.main, other)
}

func (w *twin) victim(need int64) *twinEntry {
	if need > w.bound || w.bytes()+need <= w.bound {
		return nil
	}
	for steps := 0; ; steps++ {
		if sum(w.small) > w.bound/10 || len(w.main) == 0 {
			entries := w.len()
			e := w.small[0]
			w.small = w.small[1:]
			if e.uses > 1 && steps < 1000 {
				e.uses = 0
				w.main = append(w.main, e)
				continue
			}
			w.takeGhost(modelHash(e.key))
			w.ghosts = append(w.ghosts, twinGhost{modelHash(e.key), false})
			w.ghosts = w.ghosts[max(0, len(w.ghosts)-entries):]
			return e
		}
		e := w.main[0]
		w.main = w.main[1:]
		if e.uses == 0 || steps >= 1000 {
			return e
		}
		e.uses--
		w.main = append(w.main, e)
	}
}

// modelHash gives some keys the same hash.
func modelHash(key byte) uint64 { return mix(uint32(key % 250)) }

// A pair is an index and its twin, which must agree.
type pair struct {
	t     *testing.T
	index *s3fifo.Index[byte]
	twin  *twin
	nodes [256]*s3fifo.Node[byte] // those in the index
	twins [256]*twinEntry
	spare [256]*s3fifo.Node[byte] // all there ever were, to be added again
}

// evict makes room in both, and checks that the same entries go for it.
func (p *pair) evict(need int64) {
	p.t.Helper()
	for {
		got, want := p.index.Victim(need), p.twin.victim(need)
		if got == nil && want == nil {
			return
		}
		if got == nil || want == nil || got.Value != want.key {
			p.t.Fatalf("got victim %+v, want %+v", got, want)
		}
		p.nodes[want.key], p.twins[want.key] = nil, nil
	}
}

func (p *pair) add(key byte, size int64) {
	n, e := p.spare[key], &twinEntry{key: key, size: size}
	if n == nil {
		n = &s3fifo.Node[byte]{Value: key}
		p.spare[key] = n
	}
	n.Used() // by a reader that found it just before it was evicted
	got, want := p.index.Added(n, modelHash(key), size), p.twin.add(e)
	if got != want {
		p.t.Fatalf("got admitted %v, want %v: %d of %d bytes", got, want, size, p.twin.bound)
	}
	if want {
		p.nodes[key], p.twins[key] = n, e
	}
}

func (p *pair) use(key byte) {
	p.nodes[key].Used()
	p.twins[key].uses = min(p.twins[key].uses+1, 3)
}

func (p *pair) resize(key byte, size int64) {
	got, want := p.index.Resized(p.nodes[key], size), size <= p.twin.bound
	if got != want {
		p.t.Fatalf("got kept %v, want %v: %d of %d bytes", got, want, size, p.twin.bound)
	}
	p.twins[key].size = size
	if !want {
		p.remove(key)
	}
}

func (p *pair) remove(key byte) {
	p.index.Removed(p.nodes[key])
	p.twin.remove(p.twins[key])
	p.nodes[key], p.twins[key] = nil, nil
}

func (p *pair) check() {
	p.t.Helper()
	if got, want := p.index.Bytes(), p.twin.bytes(); got != want {
		p.t.Fatalf("got %d bytes, want %d", got, want)
	}
	if got, want := p.index.Len(), p.twin.len(); got != want {
		p.t.Fatalf("got %d entries, want %d", got, want)
	}
}

// sizeFrom makes a size of a random byte: mostly small, sometimes none,
// sometimes a good part of the bound, sometimes more than it.
func (p *pair) sizeFrom(b byte) int64 {
	switch {
	case b < 10:
		return 0
	case b < 240:
		return int64(b % 32)
	case b < 253:
		return p.twin.bound * int64(b-239) / 14
	default:
		return p.twin.bound + int64(b-252)
	}
}

// step does what three bytes say, to both.
func (p *pair) step(act, key, amount byte) {
	p.t.Helper()
	size := p.sizeFrom(amount)
	live := p.nodes[key] != nil
	switch {
	case act == 0:
		p.index.SetBound(int64(amount) * 8)
		p.twin.bound = int64(amount) * 8
		p.evict(0)
	case act < 20 && live:
		p.remove(key)
	case act < 40 && live: // grow first, make room then
		p.resize(key, size)
		p.evict(0)
	case act < 40: // add first, make room then
		p.add(key, size)
		p.evict(0)
	case live:
		p.use(key)
	default:
		p.evict(size)
		p.add(key, size)
	}
	p.check()
	if got := p.index.Bytes(); got > p.twin.bound {
		p.t.Fatalf("got %d bytes, want at most %d", got, p.twin.bound)
	}
}

// runPair does what the bytes say and then empties both.
func runPair(t *testing.T, acts []byte) {
	t.Helper()
	p := &pair{t: t, index: s3fifo.New[byte](1000), twin: &twin{bound: 1000}}
	for ; len(acts) >= 3; acts = acts[3:] {
		p.step(acts[0], acts[1], acts[2])
	}
	p.index.SetBound(0)
	p.twin.bound = 0
	p.evict(0)
	p.check()
}

// randomActs are n random steps. Keys are squeezed together to one in spread,
// so that there are hits.
func randomActs(seed uint64, n int, spread byte) []byte {
	rng := rand.New(rand.NewPCG(seed, 1))
	acts := make([]byte, 0, 3*n)
	for range n {
		key := byte(rng.Uint32()) / spread
		if rng.IntN(3) == 0 {
			key /= 8 // the popular ones
		}
		acts = append(acts, byte(rng.Uint32()), key, byte(rng.Uint32()))
	}
	return acts
}

func TestIndexAgreesWithItsTwin(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		t.Logf("seed %d", seed)
		runPair(t, randomActs(seed, 2000, byte(1+seed%3)))
	}
}

func FuzzIndexAgreesWithItsTwin(f *testing.F) {
	for seed := range uint64(5) {
		f.Add(randomActs(seed, 200, 1))
	}
	f.Fuzz(func(t *testing.T, acts []byte) { runPair(t, acts) })
}
