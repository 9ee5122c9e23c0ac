package cache

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A rush is many who use one store at once. The log's index counts up; an
// invalidation notes its own where everybody sees it once it has returned, and
// whoever sees that must not find what is older.
type rush struct {
	store   *store
	index   atomic.Uint64
	groups  [2]atomic.Uint64
	tags    [2][3]atomic.Uint64
	keys    [2][20]atomic.Uint64
	isStale atomic.Int64
	found   atomic.Int64
}

func TestNothingIsFoundThatIsOlderThanAnInvalidationThatHasReturned(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	x := &rush{store: newStore(24 << 10)}
	x.index.Store(1000) // so that it matters that there is a floor
	var wg sync.WaitGroup
	for i := range uint64(8) {
		random := rand.New(rand.NewPCG(seed, i))
		wg.Go(func() {
			for range 5000 {
				x.act(random)
			}
		})
	}
	wg.Wait()
	if got := x.isStale.Load(); got > 0 {
		t.Errorf("%d of %d entries found were older than their invalidation", got, x.found.Load())
	}
	if got := x.found.Load(); got < 1000 {
		t.Errorf("no more than %d entries were found", got)
	}
	audit(t, x.store)
}

func (x *rush) act(random *rand.Rand) {
	switch n := random.IntN(20); {
	case n < 10:
		x.get(random)
	case n < 16:
		x.put(random)
	case n < 19:
		x.invalidate(random)
	default:
		x.tend(random)
	}
}

// at names a place of the rush, and the tag that all entries at it have.
func (x *rush) at(group, key int) (place, string) {
	return place{fmt.Sprint(group), fmt.Sprint(key)}, fmt.Sprint(key % 3)
}

func (x *rush) get(random *rand.Rand) {
	g, k := random.IntN(2), random.IntN(20)
	p, _ := x.at(g, k)
	least := max(x.groups[g].Load(), x.tags[g][k%3].Load(), x.keys[g][k].Load())
	e, found := x.store.get(p, time.Time{})
	if found {
		x.found.Add(1)
	}
	if found && e.born < least {
		x.isStale.Add(1)
	}
}

// put stores what it takes some time to make.
func (x *rush) put(random *rand.Rand) {
	p, tag := x.at(random.IntN(2), random.IntN(20))
	e := &entry{born: x.index.Load(), tags: []string{tag}, value: make([]byte, random.IntN(300))}
	for range random.IntN(3) {
		runtime.Gosched()
	}
	if random.IntN(5) == 0 {
		e.end = time.Time{}.Add(time.Nanosecond)
	}
	x.store.put(p, e)
}

func (x *rush) invalidate(random *rand.Rand) {
	g, k := random.IntN(2), random.IntN(20)
	p, tag := x.at(g, k)
	index := x.index.Add(1)
	switch random.IntN(10) {
	case 0:
		x.store.invalidate(index, p.group, true, nil, nil)
		raise(&x.groups[g], index)
	case 1, 2, 3:
		x.store.invalidate(index, p.group, false, nil, []string{tag})
		raise(&x.tags[g][k%3], index)
	default:
		x.store.invalidate(index, p.group, false, []string{p.key}, nil)
		raise(&x.keys[g][k], index)
	}
}

// tend does what is done seldom.
func (x *rush) tend(random *rand.Rand) {
	switch random.IntN(100) {
	case 0:
		x.store.reset()
		index := x.index.Load()
		x.store.setFloor(index)
		for g := range x.groups {
			raise(&x.groups[g], index)
		}
	case 1:
		x.store.keep(func(p place) bool { return p.key < "5" })
	case 2:
		for range x.store.all(time.Time{}) {
			x.found.Add(1)
		}
	case 3:
		x.store.mu.Lock()
		x.store.memory.most = 1 + random.IntN(30)
		x.store.memory.forgetOver(0)
		x.store.mu.Unlock()
	default:
		x.store.sweep(time.Time{}, 10)
	}
}

func raise(to *atomic.Uint64, index uint64) {
	for old := to.Load(); old < index && !to.CompareAndSwap(old, index); old = to.Load() {
	}
}
