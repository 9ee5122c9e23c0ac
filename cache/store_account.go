package cache

import (
	"maps"
	"math/bits"
	"slices"
)

// storeCounts says what has happened in a store.
type storeCounts struct {
	hits        uint64 // gets that found something
	misses      uint64 // gets that did not
	puts        uint64 // entries stored
	outdated    uint64 // puts refused because of an invalidation, or of the floor
	oversized   uint64 // puts refused because of their size
	evictions   uint64 // entries dropped to make room
	expirations uint64 // entries dropped after their end
	voided      uint64 // entries dropped after they, or all near copies, were invalidated
	removals    uint64 // entries dropped because it was asked for
}

// bytes returns what the store takes.
func (s *store) bytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytesLocked()
}

func (s *store) bytesLocked() int64 {
	return s.index.Bytes() + s.index.Overhead() + s.memory.bytes
}

// len returns how many entries there are, those included that are not visible
// any more but not yet dropped.
func (s *store) len() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(len(s.records))
}

// counters returns what has happened until now.
func (s *store) counters() storeCounts {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.counts
	for i := range s.shards {
		c.hits += s.shards[i].hits.Load()
		c.misses += s.shards[i].misses.Load()
	}
	return c
}

// What is taken for a record with its version, and for a subject, beside the
// names and the value: themselves, and their share of the maps and lists that
// they are in. Measured on amd64 (see TestAccount).
const (
	recordSize  = 320
	subjectSize = 216
)

// entrySize returns the bytes that an entry takes, but for what it shares.
func entrySize(p place, v *version) int64 {
	return recordSize + heapSize(len(p.key)) + heapSize(cap(v.value)) + heapSize(len(v.mediaType)) +
		heapSize(16*len(v.tags)) + heapSize(8*len(v.more))
}

// size returns the bytes that a subject takes.
func (sub *subject) size() int64 {
	return subjectSize + heapSize(len(sub.name.group)) + heapSize(len(sub.name.name))
}

// weight returns the bytes that the subjects of a version take, shared or not.
func (v *version) weight() int64 {
	n := v.group.size()
	for _, sub := range v.more {
		n += sub.size()
	}
	return n
}

// heapSize returns about how many bytes the allocator takes for n: it has a
// size for each sixteen up to 256, eight sizes or so for each doubling above,
// and whole pages from 32 KiB.
func heapSize(n int) int64 {
	const page = 8 << 10
	switch {
	case n == 0:
		return 0
	case n <= 8:
		return 8
	case n > 32<<10:
		return roundUp(n, page)
	default:
		return roundUp(n, max(16, 1<<bits.Len(uint(n-1))>>4))
	}
}

func roundUp(n, step int) int64 { return int64((n + step - 1) / step * step) }

// rebuilt returns a copy of a map, for one that is deleted from stays as large
// as it was.
func rebuilt[K comparable, V any](m map[K]V) map[K]V {
	c := make(map[K]V, len(m))
	maps.Copy(c, m)
	return c
}

// shrunk returns a list without the room that it used to need.
func shrunk[E any](list []E) []E {
	if len(list) > 1024 && len(list) < cap(list)/4 {
		return slices.Clip(slices.Clone(list))
	}
	return list
}
