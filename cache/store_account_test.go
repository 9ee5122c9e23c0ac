package cache

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"
)

// TestAccount checks that the bytes that a store counts are those it takes.
func TestAccount(t *testing.T) {
	for _, test := range []struct {
		name                string
		n, key, value, tags int
		isTagOwn            bool // no other entry has it
		bound               int64
		invalidations       int
	}{
		{name: "nothing but keys", n: 40_000},
		{name: "small values", n: 40_000, value: 8},
		{name: "middling values", n: 40_000, value: 100},
		{name: "odd values", n: 20_000, value: 1100},
		{name: "large values", n: 500, value: 40_000},
		{name: "long keys", n: 40_000, key: 200, value: 8},
		{name: "shared tags", n: 40_000, value: 8, tags: 2},
		{name: "own tags", n: 40_000, value: 8, tags: 1, isTagOwn: true},
		{name: "evicted", n: 80_000, value: 8, bound: 12 << 20},
		{name: "invalidations", n: 1, invalidations: 40_000},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := heap()
			if test.bound == 0 {
				test.bound = 1 << 30
			}
			s := newStore(test.bound)
			for i := range test.n {
				e := &entry{value: make([]byte, test.value)}
				for j := range test.tags {
					tag := fmt.Sprint("tag", i%10+j)
					if test.isTagOwn {
						tag = fmt.Sprint("tag", i)
					}
					e.tags = append(e.tags, tag)
				}
				s.put(place{"group", fmt.Sprint("key:", i, strings.Repeat("-", test.key))}, e)
			}
			for i := range test.invalidations {
				s.invalidate(1, "group", false, []string{fmt.Sprint("user:", i)}, nil)
			}
			taken := heap() - before
			counted := s.bytes()
			t.Logf("%d entries take %d bytes each, and %d are counted: %.3f", s.len(), taken/s.len(), counted/s.len(), float64(counted)/float64(taken))
			if diff := counted - taken; max(diff, -diff) > taken*15/100 {
				t.Errorf("%d bytes are counted, %d are taken", counted, taken)
			}
		})
	}
}

// TestMemoryIsGivenBack checks that a store that was large does not stay so.
func TestMemoryIsGivenBack(t *testing.T) {
	before := heap()
	s := newStore(1 << 30)
	for i := range 30_000 {
		s.put(place{"group", fmt.Sprint("key:", i)}, &entry{tags: []string{fmt.Sprint(i)}})
	}
	full := heap() - before
	s.keep(func(p place) bool { return strings.HasSuffix(p.key, "77") })
	if left := heap() - before; left > full/20 {
		t.Errorf("%d entries of 30,000 take %d bytes of %d", s.len(), left, full)
	}
	audit(t, s)
}

// heap returns the bytes in use, without what others have left in pools.
func heap() int64 {
	var m runtime.MemStats
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestEntryOverHalfTheBoundIsRefused(t *testing.T) {
	now := time.Now()
	s := newStore(64 << 10)
	s.put(home, &entry{value: []byte("v")})
	if s.put(home, &entry{value: make([]byte, 32<<10)}) {
		t.Error("half of the bound, and more, is taken")
	}
	if s.put(home, &entry{value: make([]byte, 10, 60<<10)}) {
		t.Error("a small part of a large array is taken for small")
	}
	if s.put(home, &entry{tags: []string{strings.Repeat("t", 32<<10)}}) {
		t.Error("a tag that takes half of the bound is taken")
	}
	if e, found := s.get(home, now); !found || string(e.value) != "v" {
		t.Errorf("what was there before is not: %+v, %v", e, found)
	}
	if got := s.counters(); got.oversized != 3 || got.puts != 1 {
		t.Errorf("counted %+v", got)
	}
	audit(t, s)
}

func TestBoundsAreHeld(t *testing.T) {
	const bound = 256 << 10
	s := newStore(bound)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 20_000 {
		size := random.IntN(200)
		if i/5000%2 == 1 {
			size = random.IntN(60 << 10)
		}
		p := place{"g", fmt.Sprint(random.IntN(3000))}
		if _, found := s.get(p, time.Time{}); !found {
			s.put(p, &entry{value: make([]byte, size), tags: []string{fmt.Sprint(random.IntN(300))}})
		}
		if random.IntN(10) == 0 {
			s.invalidate(uint64(i), "h", false, []string{strings.Repeat("x", random.IntN(5000))}, nil)
		}
		if got := s.bytes(); got > bound {
			t.Fatalf("the store takes %d bytes after %d puts, want %d at most", got, i, bound)
		}
	}
	audit(t, s)
	for _, b := range []int64{20 << 10, 1 << 10, 0} {
		if s.setBound(b); s.bytes() > b {
			t.Errorf("the store takes %d bytes, want %d at most", s.bytes(), b)
		}
		audit(t, s)
	}
	if s.put(home, &entry{}) {
		t.Error("something is taken where there is no room for anything")
	}
}

func TestWhatIsUsedOutlivesAScan(t *testing.T) {
	s := newStore(100 << 10)
	for i := range 10 {
		s.put(place{"g", fmt.Sprint("hot ", i)}, &entry{})
	}
	for i := range 10_000 {
		s.get(place{"g", fmt.Sprint("hot ", i%10)}, time.Time{})
		s.put(place{"g", fmt.Sprint("scanned ", i)}, &entry{})
	}
	for i := range 10 {
		if _, found := s.get(place{"g", fmt.Sprint("hot ", i)}, time.Time{}); !found {
			t.Errorf("hot entry %d was evicted", i)
		}
	}
	if got := s.counters(); got.evictions < 9000 || got.evictions+uint64(s.len()) != got.puts {
		t.Errorf("%d entries are left, counted %+v", s.len(), got)
	}
}

func TestCallersMemoryIsNotKept(t *testing.T) {
	s := newStore(1 << 20)
	name := []byte("group key tag")
	text := string(name)
	s.put(place{text[:5], text[6:9]}, &entry{tags: []string{text[10:]}})
	s.invalidate(1, text[:5], false, []string{text[6:8]}, nil)
	for p, e := range s.all(time.Now()) {
		if isWithin(p.group, text) || isWithin(p.key, text) || isWithin(e.tags[0], text) {
			t.Error("an entry keeps the memory of the request that stored it")
		}
	}
	for _, sub := range s.memory.subjects {
		if isWithin(sub.name.group, text) || isWithin(sub.name.name, text) {
			t.Errorf("%v keeps the memory of a request", sub.name)
		}
	}
}

func TestInvalidationsRememberedAreBounded(t *testing.T) {
	s := newStore(1 << 30)
	for i := range uint64(mostRemembered + 10) {
		s.invalidate(i+1, "g", false, []string{fmt.Sprint(i)}, nil)
	}
	if got := s.memory.count; got != mostRemembered {
		t.Errorf("%d invalidations are remembered, want %d", got, mostRemembered)
	}
	if s.put(home, &entry{born: 9}) || !s.put(home, &entry{born: 10}) {
		t.Errorf("the floor is at %d, want 10", s.memory.floor)
	}
	for range 5 {
		s.invalidate(mostRemembered+20, "g", false, []string{"same"}, nil)
	}
	if got := s.memory.floor; got != 11 {
		t.Errorf("five invalidations of one key take the floor to %d, want 11", got)
	}
	s.setBound(1 << 20)
	if got := s.bytes(); got > 1<<20 || s.memory.remembered > 1<<18 {
		t.Errorf("invalidations take %d bytes of %d in a store of a mebibyte", s.memory.remembered, got)
	}
}

// isWithin reports whether a string shares the memory of another.
func isWithin(part, all string) bool {
	from, at := uintptr(unsafe.Pointer(unsafe.StringData(all))), uintptr(unsafe.Pointer(unsafe.StringData(part)))
	return at >= from && at < from+uintptr(len(all))
}
