package locks

import (
	"bytes"
	"cmp"
	"time"

	"github.com/tidwall/btree"
)

// A state of a request. Each ends by itself at a time.
type state uint8

const (
	// waiting requests are in the queue, in the order of their leases. Theirs
	// ends with the time that they wait.
	waiting state = 1
	// offered requests have the lock if their node confirms it in time.
	offered state = 2
	// held requests have the lock. Theirs ends with the lease.
	held state = 3
)

// An entry is one request for a lock, from its coming until the lock is
// released or lost. It is replaced, never changed, so that it can be in
// snapshots and in several trees.
type entry struct {
	lease  uint64 // grows with each request: the order of the queue
	id     requestID
	name   string
	owner  string
	origin uint64 // of the node that has asked for it last; 0 where that has left

	// attempts are those that have a claim to it, in the order in which they
	// made it; none where it cannot be repeated, and whoever knows its id has.
	attempts []uint64

	slots uint32 // how many may hold the lock at a time, 0 where it is shared
	ttl   time.Duration
	until time.Duration // lease time until which it waits
	state state
	token uint64        // of the holder; 0 for the others
	end   time.Duration // lease time at which the state ends
}

// entrySize is what the size account takes for a request beside its texts.
const entrySize = 384

// attemptsMost is how many attempts at a request are noted at a time. A request
// that has had as many is not cancelled any more.
const attemptsMost = 16

func (e *entry) size() int64 { return entrySize + int64(len(e.name)+len(e.owner)+8*len(e.attempts)) }

// isGranted reports whether nobody may have the lock whom e excludes.
func (e *entry) isGranted() bool { return e.state != waiting }

// isOver reports whether the entry's state has ended.
func (e *entry) isOver(now time.Duration) bool { return e.end <= now }

// requests are all requests, in the orders in which they are looked for.
type requests struct {
	byLease  *btree.BTreeG[*entry]
	byID     *btree.BTreeG[*entry]
	byName   *btree.BTreeG[*entry] // by name, those that are granted first, then by lease
	byEnd    *btree.BTreeG[*entry] // by name, then by the end of the state
	byOrigin *btree.BTreeG[*entry]
	waiting  map[string]int // by name: how many wait for a lock, where some do
	size     int64
}

func newRequests() requests {
	tree := func(less func(a, b *entry) bool) *btree.BTreeG[*entry] {
		return btree.NewBTreeGOptions(less, btree.Options{NoLocks: true})
	}
	return requests{
		waiting: map[string]int{},
		byLease: tree(func(a, b *entry) bool { return a.lease < b.lease }),
		byID:    tree(func(a, b *entry) bool { return bytes.Compare(a.id[:], b.id[:]) < 0 }),
		byName: tree(func(a, b *entry) bool {
			return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(rank(a), rank(b)), cmp.Compare(a.lease, b.lease)) < 0
		}),
		byEnd: tree(func(a, b *entry) bool {
			return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.end, b.end), cmp.Compare(a.lease, b.lease)) < 0
		}),
		byOrigin: tree(func(a, b *entry) bool {
			return cmp.Or(cmp.Compare(a.origin, b.origin), cmp.Compare(a.lease, b.lease)) < 0
		}),
	}
}

func rank(e *entry) int {
	if e.isGranted() {
		return 0
	}
	return 1
}

func (r *requests) add(e *entry) {
	r.byLease.Set(e)
	r.byID.Set(e)
	r.byName.Set(e)
	r.byEnd.Set(e)
	r.byOrigin.Set(e)
	r.size += e.size()
	if e.state == waiting {
		r.waiting[e.name]++
	}
}

func (r *requests) remove(e *entry) {
	r.byLease.Delete(e)
	r.byID.Delete(e)
	r.byName.Delete(e)
	r.byEnd.Delete(e)
	r.byOrigin.Delete(e)
	r.size -= e.size()
	if e.state != waiting {
		return
	}
	if r.waiting[e.name]--; r.waiting[e.name] == 0 {
		delete(r.waiting, e.name)
	}
}

// leased returns the request that has a lease, nil where there is none.
func (r *requests) leased(lease uint64) *entry {
	e, _ := r.byLease.Get(&entry{lease: lease})
	return e
}

// named returns the request of an id, nil where there is none.
func (r *requests) named(id requestID) *entry {
	e, _ := r.byID.Get(&entry{id: id})
	return e
}

// granted calls fn for those who hold a lock or have been offered it, in the
// order of the queue.
func (r *requests) granted(name string, fn func(*entry) bool) {
	r.byName.Ascend(&entry{name: name, state: held}, func(e *entry) bool {
		return e.name == name && e.isGranted() && fn(e)
	})
}

// queue calls fn for those who wait for a lock, in the order of the queue.
func (r *requests) queue(name string, fn func(*entry) bool) {
	r.byName.Ascend(&entry{name: name, state: waiting}, func(e *entry) bool {
		return e.name == name && fn(e)
	})
}

// ending returns the request for a lock whose state ends first.
func (r *requests) ending(name string) (first *entry) {
	r.byEnd.Ascend(&entry{name: name}, func(e *entry) bool {
		if e.name == name {
			first = e
		}
		return false
	})
	return first
}

// of returns the requests of an origin.
func (r *requests) of(origin uint64) (list []*entry) {
	r.byOrigin.Ascend(&entry{origin: origin}, func(e *entry) bool {
		if e.origin != origin {
			return false
		}
		list = append(list, e)
		return true
	})
	return list
}

// fits reports whether e may have its lock beside those who have it already:
// never more than any of them allows, and no shared with any other.
func (r *requests) fits(e *entry) bool {
	count, most, fits := uint32(0), e.slots, true
	r.granted(e.name, func(g *entry) bool {
		if e.slots == 0 || g.slots == 0 {
			// All who share have the same kind: one tells for all.
			fits = e.slots == g.slots
			return false
		}
		count++
		most = min(most, g.slots)
		fits = count < most
		return fits
	})
	return fits
}

// after returns the lease time that is d from now.
func after(now, d time.Duration) time.Duration {
	if d > forever-now {
		return forever
	}
	return now + d
}
