package cache

import (
	"iter"
	"time"
)

// stride is how many records are looked at in one hold of the lock.
const stride = 256

// all walks over the entries that are visible. Each that is there all the time
// comes once at least, and one that is hidden before its turn does not come.
// No lock is held while the caller looks at one.
func (s *store) all(now time.Time) iter.Seq2[place, *entry] {
	return func(yield func(place, *entry) bool) {
		for r, v := range s.walk() {
			if !v.isDead(now) && s.holds(r, v) && !yield(r.place, &v.entry) {
				return
			}
		}
	}
}

// keep drops what a function says is not to be kept, near copies aside. What
// is put meanwhile it may miss.
func (s *store) keep(isKept func(place) bool) {
	for r, v := range s.walk() {
		if !v.isNear && !isKept(r.place) {
			s.discard(r)
		}
	}
}

func (s *store) discard(r *record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isInLocked(r) && !r.held.isNear {
		s.dropLocked(r)
		s.counts.removals++
	}
}

// dropNear hides all near copies at once. They are dropped later.
func (s *store) dropNear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.memory.voidNear()
}

// walk goes over the records downwards. As the last one fills the place of one
// that is dropped, a record may come twice but is not passed by.
func (s *store) walk() iter.Seq2[*record, *version] {
	return func(yield func(*record, *version) bool) {
		type step struct {
			record *record
			held   *version
		}
		steps := make([]step, 0, stride)
		for at := s.len(); at > 0; {
			steps = steps[:0]
			s.mu.Lock()
			at = min(at, int64(len(s.records)))
			for ; at > 0 && len(steps) < stride; at-- {
				r := s.records[at-1]
				steps = append(steps, step{r, r.held})
			}
			s.mu.Unlock()
			for _, x := range steps {
				if !yield(x.record, x.held) {
					return
				}
			}
		}
	}
}

// sweep drops what is hidden among the next n entries, in turn, and forgets
// invalidations that are old enough, n at most. It returns how many entries it
// has dropped.
func (s *store) sweep(now time.Time, n int) (dropped int) {
	s.age(now, n)
	for isDone := false; n > 0 && !isDone; n -= stride {
		var d int
		d, isDone = s.sweepSome(now, min(n, stride))
		dropped += d
	}
	return dropped
}

func (s *store) age(now time.Time, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.memory.age(now, n)
}

// sweepSome sweeps in one hold of the lock, and reports whether it has come to
// the end.
func (s *store) sweepSome(now time.Time, n int) (dropped int, isDone bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ; n > 0 && s.next < len(s.records); n-- {
		if s.dropDeadLocked(s.records[s.next], now) {
			dropped++
		} else {
			s.next++
		}
	}
	if s.next < len(s.records) {
		return dropped, false
	}
	s.next = 0
	return dropped, true
}

// bury drops a record that a reader has found hidden, unless it would have to
// wait for that.
func (s *store) bury(r *record, now time.Time) {
	if s.mu.TryLock() {
		defer s.mu.Unlock()
		if s.isInLocked(r) {
			s.dropDeadLocked(r, now)
		}
	}
}

// dropDeadLocked drops a record if what it holds is hidden.
func (s *store) dropDeadLocked(r *record, now time.Time) bool {
	switch {
	case r.held.isVoid():
		s.counts.voided++
	case r.held.isOver(now):
		s.counts.expirations++
	default:
		return false
	}
	s.dropLocked(r)
	return true
}

// isInLocked reports whether a record has not been dropped.
func (s *store) isInLocked(r *record) bool {
	return r.position < len(s.records) && s.records[r.position] == r
}

// holds reports whether a version is still what its record holds.
func (s *store) holds(r *record, v *version) bool {
	sh := s.shard(r.hash)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.records[r.hash] == r && r.held == v
}
