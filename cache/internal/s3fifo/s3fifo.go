// Package s3fifo decides which entry a bounded cache gives up next. It stores
// no values: the owner keeps a Node per entry, tells the Index what happens to
// it, and asks for victims until there is room.
//
// The policy is S3-FIFO (Yang, Zhang, Qiu, Yue, Rashmi: "FIFO queues are all
// you need for cache eviction", SOSP 2023). An entry starts in a small queue
// that has a tenth of the bytes. When it is the oldest there, it moves on to
// the main queue if it was used at least twice; otherwise it is evicted and
// only its hash is remembered, in the ghosts. An entry that comes back while
// its hash is remembered goes straight into the main queue. The oldest of the
// main queue is evicted if it was not used since it got there; otherwise it
// goes round once more for one use less. So what is asked for once leaves
// early and pushes nothing useful out, and a hit moves nothing: it raises a
// counter that stops at three.
//
// Three things the paper leaves to the reader are settled here:
//
//   - Entries differ in size. Queues are measured in bytes, as the owner counts
//     them. An entry larger than the small queue's share is admitted there like
//     any other: it is held as long as there is room, and it and what is older
//     in that queue are the next to go, unless they were used twice by then. An
//     entry larger than the whole bound is not admitted, and costs no other
//     entry its place.
//
//   - The ghosts are as many as the index has entries, the last ones evicted
//     from the small queue. They are counted, not weighed: a ghost costs the
//     same memory whatever it was once worth, so their cost stays in proportion
//     to the number of entries however sizes are mixed. The paper takes the
//     main queue's number; that is nine tenths of ours once the cache is warm,
//     but nothing at all in a cache whose main queue is still empty, which
//     would then never learn that its entries come back.
//
//   - A search for a victim is short. Where everything was used, the paper's
//     goes round the main queue up to three times, which in a cache of a million
//     entries keeps its owner waiting for 15 ms and more. Here it spares a
//     thousand entries and then takes the next, after less than 0.1 ms. Measured
//     hit ratios are the same, but for loops, which lose two tenths of a point.
//
// What always holds between two calls:
//
//  1. A node is in the small queue, in the main queue, or in neither; the
//     index's bytes and length are the sums over its two queues.
//  2. Bytes is at most the bound, if the owner asked Victim for room before
//     each Added, Resized and after each SetBound.
//  3. A counter is between zero and maxUses, and starts at zero in each of the
//     two queues.
//  4. A hash is in the ghosts at most once, and leaves them when its entry is
//     added again; the ghosts are at most as many as there were entries at the
//     last eviction from the small queue.
//  5. Victim ends: each step takes a node out, or moves one from the small to
//     the main queue, where it stays, or lowers a counter in the main queue.
//     Those were paid for by an Added and a Used each, so that an operation
//     takes constant time on average; and after patience steps it ends in any
//     case.
package s3fifo

import "sync/atomic"

const (
	maxUses    = 3    // where a counter stops
	promoteAt  = 2    // uses that take an entry from the small to the main queue
	smallShare = 10   // the small queue's part of the bound is one in smallShare
	patience   = 1000 // entries that one Victim spares because they were used
)

// A Node is one entry as the index sees it. Its zero value is ready to be
// added, and once it was removed or evicted it may be added again. It must not
// be copied while it is in an index.
type Node[V any] struct {
	// Value is the owner's: the key, the entry, or a pointer to either.
	Value V

	older, newer *Node[V] // neighbours in the queue
	hash         uint64
	size         int64
	uses         atomic.Uint32 // since it came into this queue, less its further rounds
	in           place
}

// Used counts a hit. It is safe for concurrent use, with every method of the
// index too, so that an owner may call it under a read lock. When several
// callers meet, at least one of them is counted.
func (n *Node[V]) Used() {
	if u := n.uses.Load(); u < maxUses {
		n.uses.CompareAndSwap(u, u+1)
	}
}

// Size is what the owner last gave as the entry's size.
func (n *Node[V]) Size() int64 { return n.size }

// place says which queue holds a node.
type place uint8

const (
	nowhere place = iota
	inSmall
	inMain
)

// An Index orders the entries of one cache for eviction. It has no lock:
// except for Node.Used, calls must not overlap.
type Index[V any] struct {
	bound  int64
	small  queue[V]
	main   queue[V]
	ghosts ghosts
}

// New returns an empty index for at most bound bytes.
func New[V any](bound int64) *Index[V] {
	return &Index[V]{bound: max(bound, 0)}
}

// Added takes in a new entry of size bytes, and reports whether it did: an
// entry larger than the bound is not admitted, and its owner should not keep
// it. hash stands for the key after the entry is gone; it must be the same
// whenever the key is, well mixed in all bits, and unknown to whoever chooses
// keys. Added makes no room: the owner calls Victim(size) until that returns
// nil, before or after. Before is better, for then the entry cannot be its own
// victim. Added panics if the node is already in an index.
func (x *Index[V]) Added(n *Node[V], hash uint64, size int64) bool {
	if n.in != nowhere || size < 0 {
		panic("s3fifo: node added twice, or of negative size")
	}
	if size > x.bound {
		return false
	}
	n.hash, n.size = hash, size
	n.uses.Store(0)
	if x.ghosts.take(hash) {
		x.push(n, inMain)
	} else {
		x.push(n, inSmall)
	}
	return true
}

// Resized gives an entry a new size and leaves it where it is. It reports
// whether the entry is in the index afterwards: one that has outgrown the
// bound is taken out, and its owner should drop it. A growing entry needs
// room as a new one does, and may be the victim that makes it.
func (x *Index[V]) Resized(n *Node[V], size int64) bool {
	if size < 0 {
		panic("s3fifo: negative size")
	}
	if n.in == nowhere {
		return false
	}
	if size > x.bound {
		x.Removed(n)
		return false
	}
	x.queue(n.in).bytes += size - n.size
	n.size = size
	return true
}

// Removed takes an entry out that its owner has deleted. It is not remembered
// among the ghosts: that it is gone says nothing of how often it was wanted.
// A node that is in no index, such as a victim, is left alone.
func (x *Index[V]) Removed(n *Node[V]) {
	if n.in != nowhere {
		x.unlink(n)
	}
}

// Victim takes out the entry to give up next and returns it, if the index has
// not room for need more bytes. It returns nil if it has, and if it cannot
// have, because need is more than the bound.
func (x *Index[V]) Victim(need int64) *Node[V] {
	if need > x.bound || x.Bytes() <= x.bound-need {
		return nil
	}
	for steps := 0; x.Len() > 0; steps++ {
		if n := x.step(steps < patience); n != nil {
			return n
		}
	}
	return nil
}

// step takes the oldest entry out of the queue whose turn it is, and returns
// it if that makes it the victim. Otherwise, and only if used entries are
// spared, it is in the main queue afterwards.
func (x *Index[V]) step(spareUsed bool) *Node[V] {
	if x.small.bytes > x.bound/smallShare || x.main.len == 0 {
		return x.leaveSmall(spareUsed)
	}
	return x.leaveMain(spareUsed)
}

// leaveSmall is a step of the small queue.
func (x *Index[V]) leaveSmall(spareUsed bool) *Node[V] {
	n := x.small.oldest
	if spareUsed && n.uses.Load() >= promoteAt {
		x.unlink(n)
		n.uses.Store(0)
		x.push(n, inMain)
		return nil
	}
	x.ghosts.add(n.hash, x.Len())
	x.unlink(n)
	return n
}

// leaveMain is a step of the main queue. Sparing an entry takes one of its uses.
func (x *Index[V]) leaveMain(spareUsed bool) *Node[V] {
	n := x.main.oldest
	x.unlink(n)
	if spareUsed && n.uses.Load() > 0 {
		n.uses.Add(^uint32(0))
		x.push(n, inMain)
		return nil
	}
	return n
}

// SetBound changes the bound; less than zero is zero. After it was lowered the
// owner calls Victim(0) until that returns nil. An entry that is larger than
// the new bound leaves when its turn comes, as do all whose turn is earlier.
func (x *Index[V]) SetBound(bound int64) { x.bound = max(bound, 0) }

// Bound is the number of bytes the index keeps within.
func (x *Index[V]) Bound() int64 { return x.bound }

// Bytes is the sum of the sizes of all entries.
func (x *Index[V]) Bytes() int64 { return x.small.bytes + x.main.bytes }

// Len is the number of entries.
func (x *Index[V]) Len() int { return x.small.len + x.main.len }

// Overhead is the number of bytes that the ghosts take up: twelve each, and an
// eighth more while the cache's length is steady. It is no part of Bytes; an
// owner that accounts for all of its memory lowers the bound by it. Nodes are
// part of the owner's entries, and of the sizes it gives.
func (x *Index[V]) Overhead() int64 { return x.ghosts.footprint() }

func (x *Index[V]) queue(p place) *queue[V] {
	if p == inSmall {
		return &x.small
	}
	return &x.main
}

func (x *Index[V]) push(n *Node[V], p place) {
	n.in = p
	x.queue(p).push(n)
}

func (x *Index[V]) unlink(n *Node[V]) {
	x.queue(n.in).unlink(n)
	n.in = nowhere
}
