package s3fifo

// ghosts is the set of the hashes added last, of which it keeps the upper half:
// among a million, a hash is taken for another once in four thousand times,
// and all that comes of it is a place in the main queue that was not earned.
//
// It is a hash table of twelve bytes each, without pointers, whose slots are a
// ring in order of arrival:
//
//	first  [bucket] -> newest slot of the bucket
//	slots  [slot]   -> upper half of the hash, next older slot of its bucket
//
// Links hold a slot's number plus one; zero ends a chain. The slots in use are
// the count ones before head, the next to be filled. A slot whose hash was
// taken is out of its chain, and says so, but stays in the ring until its turn
// comes: the set is of the last additions, not of the last that are left.
type ghosts struct {
	first []uint32
	slots []ghost
	head  int
	count int
}

// A ghost is what a slot keeps of one addition.
type ghost struct {
	half uint32 // of the hash
	next uint32 // link, or taken
}

const (
	minGhosts  = 16         // slots of the smallest table
	ghostBytes = 4 + 8      // a bucket and a slot
	taken      = ^uint32(0) // in next: the hash is no longer in the set
)

// add remembers a hash, and forgets what was added before the last limit
// additions. It remembers one at least.
func (g *ghosts) add(hash uint64, limit int) {
	limit = max(limit, 1)
	if limit > len(g.slots) || limit < len(g.slots)/4 {
		g.rebuild(limit)
	}
	g.take(hash)
	for g.count >= limit {
		g.forget()
	}
	g.fill(uint32(hash >> 32))
}

// take removes a hash from the set and reports whether it was in it.
func (g *ghosts) take(hash uint64) bool {
	if g.count == 0 {
		return false
	}
	half := uint32(hash >> 32)
	for link := g.chain(half); *link != 0; link = &g.slots[*link-1].next {
		if slot := &g.slots[*link-1]; slot.half == half {
			*link, slot.next = slot.next, taken
			return true
		}
	}
	return false
}

// forget frees the oldest slot. Nothing in its chain is older, so the chain
// ends where it was.
func (g *ghosts) forget() {
	oldest := g.slot(0)
	g.count--
	if g.slots[oldest].next == taken {
		return
	}
	link := g.chain(g.slots[oldest].half)
	for int(*link) != oldest+1 {
		link = &g.slots[*link-1].next
	}
	*link = 0
}

// fill puts a hash into the next slot and into its chain.
func (g *ghosts) fill(half uint32) {
	link := g.chain(half)
	g.slots[g.head] = ghost{half: half, next: *link}
	*link = uint32(g.head + 1)
	g.advance()
}

// advance counts the slot at head as used.
func (g *ghosts) advance() {
	g.count++
	if g.head++; g.head == len(g.slots) {
		g.head = 0
	}
}

// rebuild makes a table for limit additions and an eighth more, so that a cache
// that grows slowly does not rebuild it often, and carries over the last ones.
func (g *ghosts) rebuild(limit int) {
	size := max(minGhosts, limit+limit/8)
	if size == len(g.slots) {
		return
	}
	next := ghosts{first: make([]uint32, size), slots: make([]ghost, size)}
	for i := max(0, g.count-limit); i < g.count; i++ {
		if old := g.slots[g.slot(i)]; old.next == taken {
			next.slots[next.head] = old
			next.advance()
		} else {
			next.fill(old.half)
		}
	}
	*g = next
}

// slot is the number of the slot filled after i others that are in use.
func (g *ghosts) slot(i int) int {
	s := g.head - g.count + i
	if s < 0 {
		s += len(g.slots)
	}
	return s
}

// chain is the start of the chain that a hash belongs to. Scaling, where a
// power of two would be masked, lets the table have any size.
func (g *ghosts) chain(half uint32) *uint32 {
	return &g.first[uint64(half)*uint64(len(g.first))>>32]
}

// footprint is the number of bytes that the table takes up.
func (g *ghosts) footprint() int64 {
	return int64(len(g.slots)) * ghostBytes
}
