package locks

import (
	"encoding/binary"
	"errors"
	"math"
	"time"
)

// formatVersion is the first byte of every command and query in the log.
const formatVersion = 1

// Kinds of commands, the second byte.
const (
	kindAcquire = 1
	kindAttend  = 2
	kindRenew   = 3
	kindRelease = 4
	kindCancel  = 5
	kindInfo    = 6 // a query
)

var errMalformed = errors.New("malformed command")

// A requestID names one call of Acquire. Its caller chooses it, so that it can
// ask what became of a call whose answer was lost, and take it back.
type requestID [16]byte

// An acquisition asks for a lock.
//
//	byte    1, the version of this format
//	byte    1, acquire
//	16 byte request id
//	uvarint slots: how many may hold the lock at a time, 0 where it is shared
//	uvarint time to live in milliseconds, from 1 up
//	uvarint 0 to wait for as long as the origin lives, else the milliseconds
//	        to wait plus 1
//	uvarint length of the name
//	bytes   name
//	uvarint length of the owner
//	bytes   owner
//
// The reply is a standing.
type acquisition struct {
	id          requestID
	slots       uint32
	ttl         time.Duration
	wait        time.Duration // forever where there is no limit
	name, owner string
}

// longest bounds every duration that is asked for, so that none overflows.
const longest = time.Duration(math.MaxInt64 / 4)

// forever stands for no limit, in durations and points of lease time.
const forever = time.Duration(math.MaxInt64)

func (a *acquisition) encode() []byte {
	b := []byte{formatVersion, kindAcquire}
	b = append(b, a.id[:]...)
	b = binary.AppendUvarint(b, uint64(a.slots))
	b = binary.AppendUvarint(b, uint64(a.ttl.Milliseconds()))
	if a.wait == forever {
		b = append(b, 0)
	} else {
		b = binary.AppendUvarint(b, uint64(a.wait.Milliseconds())+1)
	}
	return appendString(appendString(b, a.name), a.owner)
}

func (r *reader) acquisition() (a acquisition) {
	a.id = r.id()
	slots := r.uvarint()
	a.ttl = r.millis()
	if wait := r.uvarint(); wait == 0 {
		a.wait = forever
	} else {
		a.wait = r.duration(wait - 1)
	}
	a.name, a.owner = r.string(), r.string()
	if slots > MaxSlots || a.ttl == 0 || len(a.name) > MaxName || len(a.owner) > MaxOwner {
		r.fail()
	}
	a.slots = uint32(slots)
	return a
}

// A claim is one attempt's to a request: to attend to it, or to cancel it.
// Attending says that the node that waits for it lives: what was offered to it
// is confirmed, and it is heard of in the answer; and from then on the request
// is this attempt's too. A cancellation ends the attempt's claim, and with the
// last one the request; where there is another claim the request stays. The
// reply has the standing of each request, in the same order; for a cancellation
// the one it had.
//
//	byte    1, the version of this format
//	byte    2, attend; 5, cancel
//	uvarint number of claims
//	for each:
//	  16 byte request id
//	  uvarint number of the attempt, chosen at random; 0 of one that is not
//	          repeated, whose claim is that it knows the id
type claim struct {
	id      requestID
	attempt uint64
}

// claimSize is at least what a claim takes in a command, and what a holding
// does beside its name.
const claimSize = len(requestID{}) + binary.MaxVarintLen64

func encodeClaims(kind byte, claims []claim) []byte {
	b := []byte{formatVersion, kind}
	b = binary.AppendUvarint(b, uint64(len(claims)))
	for _, c := range claims {
		b = append(b, c.id[:]...)
		b = binary.AppendUvarint(b, c.attempt)
	}
	return b
}

func (r *reader) claims() []claim {
	claims := make([]claim, r.count(len(requestID{})+1))
	for i := range claims {
		claims[i] = claim{r.id(), r.uvarint()}
	}
	return claims
}

// A holding names a lease to be renewed or released.
//
//	byte    1, the version of this format
//	byte    3, renew; 4, release
//	uvarint number of leases
//	for each:
//	  uvarint lease
//	  uvarint time to live in milliseconds; 0 in a release
//	  uvarint length of the name
//	  bytes   name
//
// The reply has for each lease, in the same order: a uvarint of the
// nanoseconds that are left plus 3; 2 where it is held, but there is no room to
// keep it for as long; 1 where it was released; 0 where it is not held under
// that name.
type holding struct {
	name  string
	lease uint64
	ttl   time.Duration
}

// Answers to a holding below those that tell what is left.
const (
	notHeld    = 0
	isReleased = 1
	isTooLong  = 2
	leftBase   = 3
)

func encodeHoldings(kind byte, holdings ...holding) []byte {
	b := []byte{formatVersion, kind}
	b = binary.AppendUvarint(b, uint64(len(holdings)))
	for _, h := range holdings {
		b = binary.AppendUvarint(b, h.lease)
		b = binary.AppendUvarint(b, uint64(h.ttl.Milliseconds()))
		b = appendString(b, h.name)
	}
	return b
}

func (r *reader) holdings() []holding {
	holdings := make([]holding, r.count(3))
	for i := range holdings {
		holdings[i] = holding{lease: r.uvarint(), ttl: r.millis(), name: r.string()}
	}
	return holdings
}

// encodeInfo makes the query that asks about a lock. The reply is a survey.
//
//	byte    1, the version of this format
//	byte    6, info
//	uvarint length of the name
//	bytes   name
func encodeInfo(name string) []byte {
	return appendString([]byte{formatVersion, kindInfo}, name)
}

// Conditions of a request.
const (
	isGone    = 0 // there is no such request, or not any more
	isWaiting = 1
	isHolding = 2
	isRefused = 3 // the lock was not to be had at once
	isFull    = 4 // the replicated state has no room for it
	isCrowded = 5 // MaxWaiters wait for the lock
)

// A standing is what became of a request:
//
//	byte    condition
//	holding:
//	  uvarint lease
//	  uvarint token
//	  uvarint nanoseconds that are left
//	refused:
//	  a holder, see Holder
type standing struct {
	condition byte
	lease     uint64
	token     uint64
	left      time.Duration
	holder    Holder
}

func (s *standing) append(b []byte) []byte {
	b = append(b, s.condition)
	switch s.condition {
	case isHolding:
		b = binary.AppendUvarint(b, s.lease)
		b = binary.AppendUvarint(b, s.token)
		b = binary.AppendUvarint(b, uint64(s.left))
	case isRefused:
		b = s.holder.append(b)
	}
	return b
}

func (r *reader) standing() (s standing) {
	s.condition = r.byte()
	switch s.condition {
	case isGone, isWaiting, isFull, isCrowded:
	case isHolding:
		s.lease, s.token, s.left = r.uvarint(), r.uvarint(), r.nanos()
	case isRefused:
		s.holder = r.holder()
	default:
		r.fail()
	}
	return s
}

// append appends a holder as replies have it:
//
//	uvarint token
//	uvarint slots, 0 where the lock is shared
//	uvarint nanoseconds that are left
//	uvarint length of the owner
//	bytes   owner
func (h *Holder) append(b []byte) []byte {
	b = binary.AppendUvarint(b, h.Token)
	b = binary.AppendUvarint(b, uint64(h.Slots))
	b = binary.AppendUvarint(b, uint64(h.Left))
	return appendString(b, h.Owner)
}

func (r *reader) holder() (h Holder) {
	h.Token = r.uvarint()
	slots := r.uvarint()
	if slots > MaxSlots {
		r.fail()
	}
	h.Slots, h.Shared = int(slots), slots == 0
	h.Left, h.Owner = r.nanos(), r.string()
	return h
}

// encode makes a survey, the reply to an info query:
//
//	uvarint number of requests that wait
//	uvarint number of holders that are listed, at most listedMost
//	for each: a holder, see Holder
func (i *Info) encode() []byte {
	b := binary.AppendUvarint(nil, uint64(i.Waiters))
	b = binary.AppendUvarint(b, uint64(len(i.Holders)))
	for n := range i.Holders {
		b = i.Holders[n].append(b)
	}
	return b
}

func (r *reader) info() (i Info) {
	i.Waiters = int(r.uvarint())
	i.Holders = make([]Holder, r.count(4))
	for n := range i.Holders {
		i.Holders[n] = r.holder()
	}
	return i
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// A reader takes bytes apart. After the first error everything reads as zero.
type reader struct {
	data []byte
	err  error
}

func (r *reader) fail() { r.data, r.err = nil, errMalformed }

// done returns the error, which it is too if something is left.
func (r *reader) done() error {
	if r.err == nil && len(r.data) > 0 {
		r.fail()
	}
	return r.err
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.data)) {
		r.fail()
		return nil
	}
	b := r.data[:n]
	r.data = r.data[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

// uvarint reads a number in its shortest form.
func (r *reader) uvarint() uint64 {
	n, size := binary.Uvarint(r.data)
	if size <= 0 || size > 1 && r.data[size-1] == 0 {
		r.fail()
		return 0
	}
	r.data = r.data[size:]
	return n
}

// count reads how many elements follow, each of at least size bytes: that
// bounds what is allocated.
func (r *reader) count(size int) int {
	n := r.uvarint()
	if n > uint64(len(r.data)/size) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reader) string() string { return string(r.take(r.uvarint())) }

func (r *reader) id() (id requestID) {
	copy(id[:], r.take(uint64(len(id))))
	return id
}

func (r *reader) millis() time.Duration { return r.duration(r.uvarint()) }

// duration makes a duration of milliseconds.
func (r *reader) duration(millis uint64) time.Duration {
	if millis > uint64(longest/time.Millisecond) {
		r.fail()
		return 0
	}
	return time.Duration(millis) * time.Millisecond
}

func (r *reader) nanos() time.Duration {
	n := r.uvarint()
	if n > math.MaxInt64 {
		r.fail()
		return 0
	}
	return time.Duration(n)
}
