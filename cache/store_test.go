package cache

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

var home = place{"g", "k"}

func TestInvalidationHides(t *testing.T) {
	tagged := func(born uint64) *entry {
		return &entry{value: []byte("v"), born: born, tags: []string{"red", "green"}}
	}
	for _, test := range []struct {
		name       string
		invalidate func(*store)
		isHidden   bool
	}{
		{"its key", func(s *store) { s.invalidate(7, "g", false, []string{"a", "k"}, nil) }, true},
		{"its first tag", func(s *store) { s.invalidate(7, "g", false, nil, []string{"red"}) }, true},
		{"its second tag", func(s *store) { s.invalidate(7, "g", false, nil, []string{"blue", "green"}) }, true},
		{"its group", func(s *store) { s.invalidate(7, "g", true, nil, nil) }, true},
		{"all near copies", (*store).dropNear, false},
		{"another key", func(s *store) { s.invalidate(7, "g", false, []string{"red"}, nil) }, false},
		{"another tag", func(s *store) { s.invalidate(7, "g", false, nil, []string{"k", "blue"}) }, false},
		{"another group", func(s *store) { s.invalidate(7, "h", true, []string{"k"}, []string{"red"}) }, false},
		{"nothing", func(s *store) { s.invalidate(7, "g", false, nil, nil) }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, born := range []uint64{6, 7, 8} {
				isHidden := test.isHidden && born < 7
				for _, order := range []string{"before", "after"} {
					s := newStore(1 << 20)
					took := true
					if order == "before" {
						test.invalidate(s)
						took = s.put(home, tagged(born))
					} else {
						s.put(home, tagged(born))
						test.invalidate(s)
					}
					_, found := s.get(home, time.Now())
					if found == isHidden || order == "before" && took == isHidden {
						t.Errorf("put of what was born at %d, invalidated %s at 7: taken %v, found %v", born, order, took, found)
					}
				}
			}
		})
	}
}

func TestEntryIsForgottenAfterItsEnd(t *testing.T) {
	now := time.Now()
	s := newStore(1 << 20)
	s.put(home, &entry{value: []byte("v"), end: now.Add(time.Minute)})
	s.put(place{"g", "for ever"}, &entry{value: []byte("v")})
	if _, found := s.get(home, now.Add(time.Minute-1)); !found {
		t.Error("nothing found before the end")
	}
	if n := s.sweep(now.Add(time.Minute-1), 100); n != 0 {
		t.Errorf("%d entries swept before the end", n)
	}
	if n := s.sweep(now.Add(time.Minute), 100); n != 1 || s.len() != 1 {
		t.Errorf("%d entries swept at the end, %d left, want 1 and 1", n, s.len())
	}
	if got := s.counters().expirations; got != 1 {
		t.Errorf("%d expirations counted, want 1", got)
	}
}

func TestReaderDropsWhatHasEnded(t *testing.T) {
	now := time.Now()
	s := newStore(1 << 20)
	s.put(home, &entry{value: []byte("v"), end: now})
	s.mu.Lock() // a writer is busy
	_, found := s.get(home, now)
	s.mu.Unlock()
	if found || s.len() != 1 {
		t.Errorf("found: %v, %d entries left, want none found, and 1", found, s.len())
	}
	if _, found = s.get(home, now); found || s.len() != 0 {
		t.Errorf("found: %v, %d entries left, want none", found, s.len())
	}
}

func TestForgettingRaisesTheFloor(t *testing.T) {
	start := time.Now()
	s := newStore(1 << 20)
	s.put(home, &entry{value: []byte("v"), born: 1})
	s.invalidate(5, "g", false, []string{"other"}, nil)
	s.sweep(start, 1) // from now on it is known how old that is
	for _, test := range []struct {
		after time.Duration
		takes bool
	}{{rememberTime - 1, true}, {rememberTime, false}} {
		now := start.Add(test.after)
		s.sweep(now, 1)
		if got := s.put(place{"g", "young"}, &entry{born: 4}); got != test.takes {
			t.Errorf("after %v a put of what was born before is taken: %v, want %v", test.after, got, test.takes)
		}
		if !s.put(place{"g", "young"}, &entry{born: 5}) {
			t.Errorf("after %v a put of what was born at the floor is refused", test.after)
		}
		if _, found := s.get(home, now); !found {
			t.Errorf("after %v an entry that had not been invalidated is hidden", test.after)
		}
	}
}

func TestResetRefusesUntilThereIsAFloor(t *testing.T) {
	s := newStore(1 << 20)
	s.put(home, &entry{born: 100})
	s.invalidate(100, "g", true, nil, nil)
	s.setFloor(1 << 40) // there was no reset
	if _, found := s.get(home, time.Now()); !found || !s.put(home, &entry{born: 100}) {
		t.Error("a floor without a reset hides or refuses something")
	}
	s.reset()
	if _, found := s.get(home, time.Now()); found || s.len() != 0 || s.bytes() != 0 {
		t.Errorf("found: %v, %d entries, %d bytes after a reset, want none", found, s.len(), s.bytes())
	}
	if s.put(home, &entry{born: 1 << 50}) {
		t.Error("a put between reset and floor is taken")
	}
	s.invalidate(12, "g", false, []string{"k"}, nil)
	s.setFloor(10)
	if s.put(place{"g", "other"}, &entry{born: 9}) || !s.put(place{"g", "other"}, &entry{born: 10}) {
		t.Error("the floor is not at 10")
	}
	if s.put(home, &entry{born: 11}) || !s.put(home, &entry{born: 12}) {
		t.Error("what was invalidated before the floor was set is not remembered")
	}
}

func TestNearCopiesGoAtOnce(t *testing.T) {
	now := time.Now()
	s := newStore(1 << 20)
	own := place{"g", "own"}
	s.put(home, &entry{isNear: true, tags: []string{"t"}})
	s.put(own, &entry{})
	s.keep(func(p place) bool { return p == own })
	if _, found := s.get(home, now); !found {
		t.Error("keep has dropped a near copy")
	}
	if !s.add(home, &entry{value: []byte("v"), isNear: true}, now) || s.add(own, &entry{}, now) {
		t.Error("add does not replace near copies only")
	}
	s.dropNear()
	if _, found := s.get(home, now); found {
		t.Error("a near copy is found after they were dropped")
	}
	if _, found := s.get(own, now); !found {
		t.Error("an entry went with the near copies")
	}
	if !s.put(home, &entry{isNear: true}) {
		t.Error("a near copy is refused after others were dropped")
	}
	if _, found := s.get(home, now); !found {
		t.Error("a near copy is not found that was put after others were dropped")
	}
	audit(t, s)
}

func TestPlacesWithOneHashDisplaceEachOther(t *testing.T) {
	now := time.Now()
	s := newStore(1 << 20)
	s.put(home, &entry{value: []byte("v")})
	r := s.records[0]
	other := place{"g", "other"}
	delete(s.shard(r.hash).records, r.hash)
	r.hash = s.hash(other)
	s.shard(r.hash).records[r.hash] = r
	if _, found := s.get(other, now); found {
		t.Fatal("a place with the same hash is taken for another")
	}
	s.remove(other)
	s.invalidate(1, "g", false, []string{"other"}, nil)
	if s.len() != 1 {
		t.Fatal("what is done to one place happened to another with the same hash")
	}
	if !s.put(other, &entry{value: []byte("w"), born: 1}) || s.len() != 1 {
		t.Fatalf("%d entries after a put, want 1", s.len())
	}
	if e, found := s.get(other, now); !found || string(e.value) != "w" {
		t.Errorf("got %+v, %v", e, found)
	}
	audit(t, s)
}

func TestWalkSkipsWhatIsHiddenMeanwhile(t *testing.T) {
	now := time.Now()
	s := newStore(1 << 20)
	keys := []string{"a", "b", "c", "d"}
	for _, hide := range []func(key string){
		func(key string) { s.invalidate(1, "g", false, []string{key}, nil) },
		func(key string) { s.invalidate(1, "g", false, nil, []string{"tag " + key}) },
		func(key string) { s.remove(place{"g", key}) },
		func(string) { s.reset() },
	} {
		for _, key := range keys {
			s.put(place{"g", key}, &entry{tags: []string{"tag " + key}})
		}
		n := 0
		for p := range s.all(now) {
			n++
			for _, key := range keys {
				if key != p.key {
					hide(key)
				}
			}
		}
		if n != 1 {
			t.Errorf("a walk found %d entries, want the one that was not hidden", n)
		}
		s = newStore(1 << 20)
	}
}

func TestWalkMissesNothingThatStays(t *testing.T) {
	s := newStore(1 << 30)
	const n = 5000
	stays := func(i int) bool { return i%3 == 0 }
	at := func(i int) place { return place{"g", fmt.Sprint(i)} }
	for i := range n {
		s.put(at(i), &entry{})
	}
	random := rand.New(rand.NewPCG(3, 4))
	seen := map[string]bool{}
	for p := range s.all(time.Now()) {
		seen[p.key] = true
		for range 2 {
			if i := random.IntN(n); !stays(i) {
				s.remove(at(i))
			}
		}
	}
	for i := range n {
		if stays(i) && !seen[fmt.Sprint(i)] {
			t.Fatalf("a walk passed by %d", i)
		}
	}
}

func TestAddReplacesOnlyWhatIsNotVisible(t *testing.T) {
	now := time.Now()
	for _, test := range []struct {
		name  string
		there *entry
		hide  func(*store)
		want  string
	}{
		{"an entry", &entry{value: []byte("old")}, nil, "old"},
		{"one that has not ended", &entry{value: []byte("old"), end: now.Add(1)}, nil, "old"},
		{"one that has ended", &entry{value: []byte("old"), end: now}, nil, "new"},
		{"a near copy", &entry{value: []byte("old"), isNear: true}, nil, "new"},
		{"one whose group was invalidated", &entry{value: []byte("old")}, func(s *store) { s.invalidate(1, "g", true, nil, nil) }, "new"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newStore(1 << 20)
			s.put(home, test.there)
			if test.hide != nil {
				test.hide(s)
			}
			took := s.add(home, &entry{value: []byte("new"), born: 1}, now)
			e, found := s.get(home, now)
			if !found || string(e.value) != test.want || took != (test.want == "new") {
				t.Errorf("taken %v, found %v, %+v, want %q", took, found, e, test.want)
			}
			audit(t, s)
		})
	}
}

func TestReaderDropsNothingElse(t *testing.T) {
	now := time.Now()
	s := newStore(1 << 20)
	s.put(home, &entry{end: now})
	r := s.records[0]
	s.put(home, &entry{})
	s.bury(r, now) // it was renewed meanwhile
	if s.len() != 1 {
		t.Fatal("an entry is dropped for what it replaced")
	}
	s.put(home, &entry{end: now})
	s.remove(home)
	s.put(place{"g", "other"}, &entry{})
	s.bury(r, now) // it was dropped meanwhile
	if s.len() != 1 {
		t.Fatal("an entry is dropped for one that had its position")
	}
	audit(t, s)
}
