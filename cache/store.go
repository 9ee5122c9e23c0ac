package cache

import (
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/huddlecache/huddle/cache/internal/s3fifo"
)

// A place is where an entry is.
type place struct{ group, key string }

// An entry is what is stored at a place. It is never changed once it is: a put
// replaces it.
type entry struct {
	value      []byte    // it should own its memory: what else it keeps alive is not accounted for
	mediaType  string    // of the value; empty for any bytes
	born       uint64    // index of the log up to which invalidations were known before the value was made
	fresh, end time.Time // until when it is served without, and with, being renewed; a zero end never comes
	tags       []string  // by each of which it can be invalidated, in its group
	isNegative bool      // the loader has said that there is none
	isNear     bool      // a copy of what another node owns
}

// shardCount is how many parts the entries are in, so that readers seldom
// meet. It is a power of two.
const shardCount = 16

// A store holds entries in bounded memory: this node's share of the cache, and
// near copies of what others own. It has no clock and no goroutine; whoever
// owns it calls sweep every second.
//
// An entry is visible until it ends, or something that it depends on (its
// group, one of its tags, its key) is invalidated at an index over the one it
// was born at. One thread changes the store at a time, under mu. Readers don't
// wait for it: they take the lock of one shard for as long as it takes to look
// there, and read the indices of what the entry depends on, which are atomic.
// An invalidation that has returned hides from every later get what it is of,
// for
//
//  1. each version points to the subjects that it depends on, and as long as
//     one does there is one subject of that name only. Its index is raised
//     before the invalidation returns, and read by every get after the entry
//     was found;
//  2. what is stored at a key is taken out of its shard, under the shard's
//     lock, before the invalidation returns;
//  3. a put checks and stores in one hold of mu. What was put before the
//     invalidation is hidden by 1 or 2. What is put after it, and is older,
//     finds the index raised, or it has been forgotten and the floor is at
//     least as high, or there was a reset, and then a floor that is.
type store struct {
	seed   maphash.Seed
	shards [shardCount]shard

	mu      sync.Mutex // guards all below, and every change above; taken before a shard's lock
	memory  memory
	index   *s3fifo.Index[*record]
	records []*record // all, each at its position
	next    int       // the position that sweep looks at next
	bound   int64     // bytes
	counts  storeCounts
}

// A shard has the records with some hashes.
type shard struct {
	mu           sync.RWMutex // guards records, and held in each of them, against those who don't hold store.mu
	records      map[uint64]*record
	peak         int // the most records since the map was made
	hits, misses atomic.Uint64
	_            [64]byte // keeps the next shard's lock out of this one's cache line
}

// A record is a place at which something is stored. Places with the same hash,
// of which there are none in practice, displace each other.
type record struct {
	node     s3fifo.Node[*record]
	place    place
	hash     uint64
	position int // in store.records
	held     *version
}

// A version is an entry, and what can invalidate it beside its key.
type version struct {
	entry
	group *subject
	more  []*subject // its tags, and nearCopies for one
}

// newStore returns a store of at most bound bytes, that takes entries born at
// any index.
func newStore(bound int64) *store {
	s := &store{seed: maphash.MakeSeed(), bound: bound}
	s.clearLocked()
	return s
}

// get returns the entry at a place if it is visible, and counts it as used.
func (s *store) get(p place, now time.Time) (*entry, bool) {
	h := s.hash(p)
	sh := s.shard(h)
	var v *version
	sh.mu.RLock()
	r := sh.records[h]
	if r != nil {
		v = r.held
	}
	sh.mu.RUnlock()
	if r == nil || r.place != p {
		sh.misses.Add(1)
		return nil, false
	}
	if v.isOver(now) || v.isVoid() {
		sh.misses.Add(1)
		s.bury(r, now)
		return nil, false
	}
	r.node.Used()
	sh.hits.Add(1)
	return &v.entry, true
}

// put stores a copy of an entry, that shares its value, and reports whether it
// did. It refuses, and changes nothing visible, what is known to be outdated,
// what is so old that this is not known any more, everything between a reset
// and the floor after it, and what would take over half of the bound.
func (s *store) put(p place, e *entry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.putLocked(p, e)
}

// add is put where nothing is visible but a near copy: what is handed over
// never replaces what was written meanwhile.
func (s *store) add(p place, e *entry, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.findLocked(p); r != nil && !r.held.isNear && !r.held.isDead(now) {
		return false
	}
	return s.putLocked(p, e)
}

func (s *store) putLocked(p place, e *entry) bool {
	v := s.memory.link(p.group, e)
	size := entrySize(p, v)
	switch {
	case s.memory.isOutdated(p, v):
		s.memory.unlink(v)
		s.counts.outdated++
		return false
	case size+v.weight() > s.bound/2:
		s.memory.unlink(v)
		s.counts.oversized++
		return false
	}
	h := s.hash(p)
	r := s.shard(h).records[h]
	if r != nil && r.place != p {
		s.dropLocked(r)
		s.counts.evictions++
		r = nil
	}
	if r = s.makeRoomLocked(r, size); r != nil {
		s.replaceLocked(r, v, size)
	} else {
		s.insertLocked(&record{place: place{v.group.name.group, strings.Clone(p.key)}, hash: h, held: v}, size)
	}
	s.counts.puts++
	return true
}

// insertLocked takes in a new record.
func (s *store) insertLocked(r *record, size int64) {
	r.node.Value = r
	r.position = len(s.records)
	s.records = append(s.records, r)
	if !s.index.Added(&r.node, r.hash, size) {
		panic("cache: an entry is stored for which there is no room")
	}
	sh := s.shard(r.hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.records[r.hash] = r
	sh.peak = max(sh.peak, len(sh.records))
}

// replaceLocked stores another version at a place.
func (s *store) replaceLocked(r *record, v *version, size int64) {
	old := r.held
	sh := s.shard(r.hash)
	sh.mu.Lock()
	r.held = v
	sh.mu.Unlock()
	s.index.Resized(&r.node, size)
	s.memory.unlink(old)
}

// makeRoomLocked evicts until an entry of a size fits at a record, which may
// be nil for none. It returns the record, nil if that was evicted.
func (s *store) makeRoomLocked(r *record, size int64) *record {
	for {
		need := size
		if r != nil {
			need -= r.node.Size()
		}
		victim := s.victimLocked(need)
		if victim == nil {
			return r
		}
		if victim == r {
			r = nil
		}
		s.dropLocked(victim)
		s.counts.evictions++
	}
}

// victimLocked returns an entry to be evicted, if there is no room for more
// bytes. What is no entry takes from the bound too: invalidations, which are
// forgotten where they take over a quarter of it, and the memory of evictions.
// As an entry takes half of it at most, there is room for it when all others
// are gone.
func (s *store) victimLocked(need int64) *record {
	s.memory.forgetOver(s.bound / 4)
	left := max(0, s.bound-s.memory.bytes-s.index.Overhead())
	s.index.SetBound(left)
	if n := s.index.Victim(min(need, left)); n != nil {
		return n.Value
	}
	if s.index.Len() == 0 && s.bytesLocked()+need > s.bound {
		s.index = s3fifo.New[*record](s.bound - s.memory.bytes) // of which nothing is remembered
	}
	return nil
}

// dropLocked takes a record out.
func (s *store) dropLocked(r *record) {
	sh := s.shard(r.hash)
	sh.mu.Lock()
	delete(sh.records, r.hash)
	if len(sh.records) < sh.peak/4 {
		sh.records = rebuilt(sh.records)
		sh.peak = len(sh.records)
	}
	sh.mu.Unlock()
	last := len(s.records) - 1
	s.records[r.position] = s.records[last]
	s.records[r.position].position = r.position
	s.records[last] = nil
	s.records = shrunk(s.records[:last])
	s.index.Removed(&r.node)
	s.memory.unlink(r.held)
}

// remove drops what is stored at a place.
func (s *store) remove(p place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.findLocked(p); r != nil {
		s.dropLocked(r)
		s.counts.removals++
	}
}

// invalidate hides what is older than an index of the log: all of a group, or
// some of its keys and tags. It takes as long as there are names in it, however
// many entries have them; those of a group or tag are dropped later.
func (s *store) invalidate(index uint64, group string, all bool, keys, tags []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if all {
		s.memory.void(subjectName{kind: ofGroup, group: group}, index)
	}
	for _, tag := range tags {
		s.memory.void(subjectName{ofTag, group, tag}, index)
	}
	for _, key := range keys {
		s.memory.void(subjectName{ofKey, group, key}, index)
		if r := s.findLocked(place{group, key}); r != nil && r.held.born < index {
			s.dropLocked(r)
			s.counts.voided++
		}
	}
	s.makeRoomLocked(nil, 0)
}

// reset drops everything, for it is not known what was invalidated. All puts
// are refused until there is a floor.
func (s *store) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clearLocked()
	s.memory.isClosed = true
}

// setFloor ends a reset: what was invalidated up to an index does not matter
// to what is born there or later, and what is older is refused. Where there
// was no reset it does nothing.
func (s *store) setFloor(index uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.memory.isClosed {
		s.memory.isClosed = false
		s.memory.floor = max(s.memory.floor, index)
	}
}

func (s *store) clearLocked() {
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		sh.records, sh.peak = map[uint64]*record{}, 0
		sh.mu.Unlock()
	}
	s.memory = newMemory()
	s.index = s3fifo.New[*record](s.bound)
	s.records = nil
}

// setBound changes how many bytes the store may take.
func (s *store) setBound(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bound = n
	s.makeRoomLocked(nil, 0)
}

// findLocked returns the record of a place, nil where there is none.
func (s *store) findLocked(p place) *record {
	h := s.hash(p)
	if r := s.shard(h).records[h]; r != nil && r.place == p {
		return r
	}
	return nil
}

func (s *store) hash(p place) uint64 { return maphash.Comparable(s.seed, p) }

func (s *store) shard(hash uint64) *shard { return &s.shards[hash%shardCount] }

// isOver reports whether the entry has ended.
func (e *entry) isOver(now time.Time) bool { return !e.end.IsZero() && !now.Before(e.end) }

// isVoid reports whether something that the entry depends on was invalidated
// after it was born, its key aside: then it is not stored any more.
func (v *version) isVoid() bool {
	if v.group.last.Load() > v.born {
		return true
	}
	for _, sub := range v.more {
		if sub.last.Load() > v.born {
			return true
		}
	}
	return false
}

// isDead reports whether the entry is not visible any more.
func (v *version) isDead(now time.Time) bool { return v.isOver(now) || v.isVoid() }
