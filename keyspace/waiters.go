package keyspace

import (
	"slices"
	"time"

	"github.com/tidwall/btree"

	"github.com/huddlecache/huddle/cluster/machine"
)

// EventOffer is the kind of the event that tells a waiter, whose WaiterID is
// the Key, that it is to be attended to: there is an element for it, or it is
// asked whether it still waits, or it has been forgotten. It is for the node that the waiter came
// through, which then proposes what AppendAttend makes.
const EventOffer = 5

const (
	// An element that was offered to a waiter is promised to it for so long.
	// Its node may be dead: then the next one's turn comes.
	offerTime = time.Second

	// A waiter that has been there for so long is asked whether it still
	// waits, and gone if no answer comes in answerTime. So none stays for ever
	// that its node has forgotten.
	askTime    = time.Hour
	answerTime = 10 * time.Second

	// A timeout is kept by the node. A waiter is gone anyhow so long after it.
	waiterGrace = 5 * time.Second
)

// What Size counts for a waiter besides the bytes of its command and its keys,
// for each of its keys besides these, as measured by BenchmarkWaiterFootprint,
// and for a silent origin.
const (
	waiterCost = 300
	spotCost   = 150
	silentCost = 16
)

// A WaiterID names a waiter. The node that it comes through makes it up, at
// random.
type WaiterID [16]byte

// A spot is where elements are waited for: a key, and the kind that it must
// be of. Who waits for a list does not care whether the key becomes a string.
type spot struct {
	db   int
	kind kind
	key  string
}

// A waiterState says what a waiter's deadline is for. Its number is in
// snapshots.
type waiterState uint8

const (
	stateWaiting waiterState = iota // until it is asked, or gone
	stateAsked                      // until it is gone, unless its node answers
	stateOffered                    // until the element is offered to the next one
)

// A waiter is a command that waits for elements. It is never changed: another
// one is put in its place.
type waiter struct {
	id      WaiterID
	number  uint64 // its place in line, by the cluster's number source
	origin  uint64 // of the node that it came through
	command []byte // as AppendCommand has it

	// What the command asks for.
	db    int
	kind  kind
	keys  []string
	count int

	state   waiterState
	offered int           // position of the key whose element it was offered
	end     time.Duration // lease time at which it is gone anyhow; 0: never
	until   time.Duration // lease time at which its state ends
}

func (w *waiter) spot(i int) spot { return spot{w.db, w.kind, w.keys[i]} }

func (w *waiter) size() int64 {
	n := waiterCost + int64(len(w.command))
	for _, key := range w.keys {
		n += spotCost + int64(len(key))
	}
	return n
}

// wait makes the waiter one that waits from now on.
func (w *waiter) wait(now time.Duration) {
	w.state, w.offered = stateWaiting, 0
	if w.until = now + askTime; w.end != 0 {
		w.until = min(w.until, w.end)
	}
}

// waiters are those who wait, in the order in which they came.
//
// Whenever a command, a transaction or a script has been executed, as many
// elements of each key as there are have been offered to the first in line for
// it; so whoever finds more than were promised may take them. An offer is an
// event and a note here, the element stays where it is until the waiter's node
// proposes to take it: if that node is dead it is offered to the next one a
// second later. Others may take it meanwhile, those that do not wait; the
// waiter then has its old place. A node that has let an offer pass is silent:
// its waiters keep their places, but are passed over until it is heard. So a
// dead node delays a key by one second, however many wait through it.
type waiters struct {
	all    *btree.BTreeG[*waiter] // by number
	silent []uint64               // origins that let an offer pass, ascending; replaced, never changed
	size   int64

	// What follows from all, and is not in snapshots.
	ids      map[WaiterID]uint64         // numbers
	lines    map[spot]*btree.Set[uint64] // numbers of those who wait there and have no offer
	promised map[spot]int                // elements that are offered

	// What a command has noted. Both are empty between commands.
	ready   []spot // may have elements that are not promised and somebody waits for
	isReady map[spot]bool
}

func newWaiters() waiters {
	before := func(a, b *waiter) bool { return a.number < b.number }
	return waiters{
		all:      btree.NewBTreeGOptions(before, btree.Options{NoLocks: true}),
		ids:      map[WaiterID]uint64{},
		lines:    map[spot]*btree.Set[uint64]{},
		promised: map[spot]int{},
		isReady:  map[spot]bool{},
	}
}

func (q *waiters) at(number uint64) *waiter {
	w, _ := q.all.Get(&waiter{number: number})
	return w
}

func (q *waiters) named(id WaiterID) *waiter {
	if number, found := q.ids[id]; found {
		return q.at(number)
	}
	return nil
}

func (q *waiters) enter(w *waiter) {
	q.all.Set(w)
	q.ids[w.id] = w.number
	q.size += w.size()
	if w.state == stateOffered {
		q.promised[w.spot(w.offered)] += w.count
		return
	}
	for i := range w.keys {
		p := w.spot(i)
		if q.lines[p] == nil {
			q.lines[p] = &btree.Set[uint64]{}
		}
		q.lines[p].Insert(w.number)
	}
}

func (q *waiters) leave(w *waiter) {
	q.all.Delete(w)
	delete(q.ids, w.id)
	q.size -= w.size()
	if w.state == stateOffered {
		p := w.spot(w.offered)
		if q.promised[p] -= w.count; q.promised[p] == 0 {
			delete(q.promised, p)
		}
		return
	}
	for i := range w.keys {
		p := w.spot(i)
		if line := q.lines[p]; line != nil { // nil where the key is named twice
			if line.Delete(w.number); line.Len() == 0 {
				delete(q.lines, p)
			}
		}
	}
}

// replace puts by in the place of w; either may be nil. What was promised to w
// is to be had by others, and what there is elsewhere by w, if it is in line
// again.
func (q *waiters) replace(tx *machine.Tx, w, by *waiter) {
	var was, at time.Duration
	if w != nil {
		was = w.until
		q.leave(w)
	}
	number := uint64(0)
	if by != nil {
		at, number = by.until, by.number
		q.enter(by)
	} else {
		number = w.number
	}
	if was != at {
		tx.Deadline(waiterKey(number), was, at)
	}
	if w != nil && w.state == stateOffered {
		for i := range w.keys {
			q.note(w.spot(i))
		}
	}
}

// note remembers that there may be an element for somebody, if somebody waits.
func (q *waiters) note(p spot) {
	if _, isWaitedFor := q.lines[p]; isWaitedFor && !q.isReady[p] {
		q.ready, q.isReady[p] = append(q.ready, p), true
	}
}

// signal is called for each entry that is put somewhere or has been changed:
// the one place where it is seen that there are elements.
func (c *call) signal(e *entry) {
	if q := &c.space.waiters; len(q.lines) > 0 {
		q.note(spot{c.index, e.value.kind(), e.key})
	}
}

// signalDatabase is signal for all that is in a database, in the order in which
// it is waited for.
func (c *call) signalDatabase(index int) {
	q := &c.space.waiters
	q.all.Scan(func(w *waiter) bool {
		for i := range w.keys {
			if w.db == index {
				q.note(w.spot(i))
			}
		}
		return true
	})
}

// free returns how many elements there are that are promised to nobody; it may
// be less than none.
func (s *Space) free(p spot, now time.Duration) int {
	e := s.dbs[p.db].find(s.hashString(p.key), []byte(p.key))
	if e == nil || e.isOver(now) || e.value.kind() != p.kind {
		return 0
	}
	return e.value.(collection).len() - s.waiters.promised[p]
}

// settle offers what a command has left.
func (s *Space) settle(tx *machine.Tx) {
	q := &s.waiters
	if len(q.ready) == 0 {
		return
	}
	for _, p := range q.ready {
		s.advance(tx, p)
	}
	q.ready = nil
	clear(q.isReady)
}

// advance offers the elements of a key to the first in line for it.
func (s *Space) advance(tx *machine.Tx, p spot) {
	q := &s.waiters
	line, n := q.lines[p], s.free(p, tx.Lease)
	if line == nil || n <= 0 {
		return
	}
	var first []*waiter
	line.Scan(func(number uint64) bool {
		if w := q.at(number); !q.isSilent(w.origin) {
			first = append(first, w)
			n -= w.count
		}
		return n > 0
	})
	for _, w := range first {
		offer := *w
		offer.state, offer.offered = stateOffered, slices.Index(w.keys, p.key)
		offer.until = tx.Lease + offerTime
		q.replace(tx, w, &offer)
		tx.Emit(machine.Event{Kind: EventOffer, Key: w.id[:]})
	}
}

func (q *waiters) isSilent(origin uint64) bool {
	_, isSilent := slices.BinarySearch(q.silent, origin)
	return isSilent
}

// hush notes that an origin has let an offer pass.
func (q *waiters) hush(origin uint64) {
	if i, isSilent := slices.BinarySearch(q.silent, origin); !isSilent {
		q.silent = slices.Insert(slices.Clone(q.silent), i, origin)
		q.size += silentCost
	}
}

// hear notes that an origin lives: what it was passed over for it may have now,
// if there still is any.
func (s *Space) hear(tx *machine.Tx) {
	q := &s.waiters
	if len(q.silent) == 0 || !q.unhush(tx.Origin) {
		return
	}
	q.all.Scan(func(w *waiter) bool {
		if w.origin == tx.Origin {
			for i := range w.keys {
				q.note(w.spot(i))
			}
		}
		return true
	})
	s.settle(tx)
}

func (q *waiters) unhush(origin uint64) (wasSilent bool) {
	i, wasSilent := slices.BinarySearch(q.silent, origin)
	if wasSilent {
		q.silent = slices.Delete(slices.Clone(q.silent), i, i+1)
		q.size -= silentCost
	}
	return wasSilent
}

var _ machine.OriginWatcher = (*Space)(nil)

// OriginClosed forgets those who waited through a node that has left.
func (s *Space) OriginClosed(tx *machine.Tx, origin uint64) {
	q := &s.waiters
	q.unhush(origin)
	var gone []*waiter
	q.all.Scan(func(w *waiter) bool {
		if w.origin == origin {
			gone = append(gone, w)
		}
		return true
	})
	for _, w := range gone {
		s.dismiss(tx, w)
	}
	s.settle(tx)
}

// dismiss forgets a waiter, and tells its node, which may still be there.
func (s *Space) dismiss(tx *machine.Tx, w *waiter) {
	s.waiters.replace(tx, w, nil)
	tx.Emit(machine.Event{Kind: EventOffer, Key: w.id[:]})
}

// expireWaiter ends the state of a waiter whose time has come.
func (s *Space) expireWaiter(tx *machine.Tx, number uint64) {
	q := &s.waiters
	w := q.at(number)
	if w == nil || w.until > tx.Lease {
		return
	}
	next := *w
	isOver := w.end != 0 && w.end <= tx.Lease
	switch {
	case w.state == stateOffered:
		q.hush(w.origin)
		next.wait(tx.Lease)
	case w.state == stateWaiting && !isOver:
		next.state, next.until = stateAsked, tx.Lease+answerTime
		tx.Emit(machine.Event{Kind: EventOffer, Key: w.id[:]})
	default:
		isOver = true
	}
	gone := *w
	gone.until = 0 // the index has it no more
	q.all.Set(&gone)
	if isOver {
		s.dismiss(tx, &gone)
	} else {
		q.replace(tx, &gone, &next)
	}
	s.settle(tx)
}
