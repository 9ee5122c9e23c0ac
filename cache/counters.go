package cache

// Counters says what has happened on this node, and how much it keeps. What is
// counted are looks at its own memory: a call that is answered by another node
// counts there.
type Counters struct {
	Hits        uint64 // looks that found a value, near copies included
	Misses      uint64 // looks that found none
	Puts        uint64 // values taken in: written, handed over, or copied from their owner
	Refused     uint64 // values not taken in: outdated by an invalidation, or too large
	Evictions   uint64 // values dropped to make room
	Expirations uint64 // values dropped after their end
	Invalidated uint64 // values dropped because they were made void
	Removals    uint64 // values dropped because they are another node's now
	Loads       uint64 // runs of loaders

	Entries int64 // values kept
	Bytes   int64 // memory that they take, with all that is kept beside them
	Bound   int64 // most bytes that they may take
}

// Counters returns what has happened until now.
func (c *Cache) Counters() Counters {
	n := c.store.counters()
	return Counters{
		Hits: n.hits, Misses: n.misses, Puts: n.puts, Refused: n.outdated + n.oversized,
		Evictions: n.evictions, Expirations: n.expirations, Invalidated: n.voided, Removals: n.removals,
		Loads: c.loads.Load(), Entries: c.Len(), Bytes: c.Bytes(), Bound: c.store.limit(),
	}
}

// limit returns how many bytes the store may take.
func (s *store) limit() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bound
}
