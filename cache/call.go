package cache

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/huddlecache/huddle/cluster/machine/wire"
)

// Kinds of requests between nodes, their first byte.
const (
	askReach uint8 = 1 // have you applied the entry at an index?
	askGet   uint8 = 2 // the value of a key that you own
	askPut   uint8 = 3 // keep a value of a key that you own
	askRight uint8 = 4 // a right to make a value is to last longer, or is given back
	askTake  uint8 = 5 // the value of a key that was yours until a ring
	askGive  uint8 = 6 // values that were mine until a ring
)

// encodeReach asks for an answer once an entry has been applied. The answer
// is empty.
//
//	byte 1, cluster string, index uvarint
func encodeReach(cluster string, index uint64) []byte {
	return binary.AppendUvarint(wire.AppendString([]byte{askReach}, cluster), index)
}

// A getRequest asks for a value. Where there is none, or one that is due to be
// renewed, and a claim was made, the asker gets the right to make it, or waits
// for whoever has that right.
//
//	byte 2, version uvarint, group string, key string, stale 1 byte, claim
//	uvarint (milliseconds, 0: none), wait uvarint (milliseconds)
type getRequest struct {
	version uint64 // of the ring by which the asked node is the owner
	place
	mayBeStale bool          // a value that is due to be renewed will do, if somebody makes another
	claim      time.Duration // how long the right is wanted
	wait       time.Duration // most that the owner may wait
}

func (m *getRequest) encode() []byte {
	b := appendPlace(binary.AppendUvarint([]byte{askGet}, m.version), m.place)
	b = wire.AppendBool(b, m.mayBeStale)
	return appendMillis(appendMillis(b, m.claim), m.wait)
}

func readGet(r *wire.Reader) (m getRequest) {
	m.version, m.place = r.Uvarint(), readPlace(r)
	m.mayBeStale = r.Bool()
	m.claim, m.wait = readMillis(r), readMillis(r)
	return m
}

// A putRequest brings a value:
//
//	byte 3, version uvarint, group string, key string, right uvarint, item
type putRequest struct {
	version uint64
	place
	right uint64 // to compute it; 0 where the value was not claimed
	item  item
}

func (m *putRequest) encode() []byte {
	b := appendPlace(binary.AppendUvarint([]byte{askPut}, m.version), m.place)
	return m.item.append(binary.AppendUvarint(b, m.right))
}

func readPut(r *wire.Reader) (m putRequest) {
	m.version, m.place, m.right = r.Uvarint(), readPlace(r), r.Uvarint()
	m.item = readItem(r)
	return m
}

// A rightRequest makes a right last from now on, or gives it back where it is
// to last no time:
//
//	byte 4, group string, key string, right uvarint, claim uvarint (milliseconds)
type rightRequest struct {
	place
	right uint64
	claim time.Duration
}

func (m *rightRequest) encode() []byte {
	b := binary.AppendUvarint(appendPlace([]byte{askRight}, m.place), m.right)
	return appendMillis(b, m.claim)
}

func readRight(r *wire.Reader) rightRequest {
	return rightRequest{readPlace(r), r.Uvarint(), readMillis(r)}
}

// A takeRequest asks the former owner of a key. The answer is a hit or a miss.
//
//	byte 5, version uvarint, group string, key string
type takeRequest struct {
	version uint64 // of the ring by which the asker is the owner
	place
}

func (m *takeRequest) encode() []byte {
	return appendPlace(binary.AppendUvarint([]byte{askTake}, m.version), m.place)
}

func readTake(r *wire.Reader) takeRequest { return takeRequest{r.Uvarint(), readPlace(r)} }

// A giveRequest brings what was the sender's. The answer is kept, or moved
// where there is a later ring.
//
//	byte 6, version uvarint, last 1 byte, number uvarint, of each: group string,
//	key string, item
type giveRequest struct {
	version uint64 // of the ring by which the asked node is the owner
	isLast  bool   // nothing will follow
	gifts   []gift
	size    int // about how long they are; not sent
}

// A gift is a value that is handed over.
type gift struct {
	place
	item
}

func (m *giveRequest) encode() []byte {
	size := 64
	for i := range m.gifts {
		size += giftSize(&m.gifts[i])
	}
	b := binary.AppendUvarint(append(make([]byte, 0, size), askGive), m.version)
	b = binary.AppendUvarint(wire.AppendBool(b, m.isLast), uint64(len(m.gifts)))
	for i := range m.gifts {
		b = m.gifts[i].item.append(appendPlace(b, m.gifts[i].place))
	}
	return b
}

// giftSize is about how long a gift is.
func giftSize(g *gift) int { return len(g.group) + len(g.key) + len(g.value) + 64 }

func readGive(r *wire.Reader) (m giveRequest) {
	m.version, m.isLast = r.Uvarint(), r.Bool()
	m.gifts = make([]gift, r.Count(8))
	for i := range m.gifts {
		m.gifts[i] = gift{readPlace(r), readItem(r)}
	}
	return m
}

// An outcome is how an owner answers.
type outcome uint8

const (
	outHit      outcome = 0 // here it is
	outMiss     outcome = 1 // there is none
	outClaimed  outcome = 2 // there is none, and the right to make it is the asker's
	outMoved    outcome = 3 // another node owns the key, by a later ring
	outKept     outcome = 4 // the value is kept
	outConflict outcome = 5 // it is not: something was invalidated meanwhile, or the right has run out
	outTooBig   outcome = 6 // it is not: it is larger than the cache
	outNoSeat   outcome = 7 // this node has no lease, or does not serve
	outUnsure   outcome = 8 // it may be kept, but the lease was over by then
)

// An answer is what an owner answers:
//
//	outcome 1 byte
//	hit:     item
//	claimed: right uvarint, born uvarint, left uvarint (milliseconds), stale 1
//	         byte, and if it is 1 an item
//	moved:   version uvarint
type answer struct {
	outcome outcome
	item    item
	isStale bool          // with outClaimed: item is a value that is due to be renewed, but may be served
	right   uint64        // to make the value
	born    uint64        // index up to which it must know of invalidations
	left    time.Duration // of the right
	version uint64        // of the later ring
}

func (a *answer) encode() []byte {
	b := []byte{byte(a.outcome)}
	switch a.outcome {
	case outHit:
		b = a.item.append(append(make([]byte, 0, len(a.item.value)+64), b...))
	case outClaimed:
		b = binary.AppendUvarint(binary.AppendUvarint(b, a.right), a.born)
		b = wire.AppendBool(appendMillis(b, a.left), a.isStale)
		if a.isStale {
			b = a.item.append(b)
		}
	case outMoved:
		b = binary.AppendUvarint(b, a.version)
	}
	return b
}

func decodeAnswer(data []byte) (a answer, err error) {
	r := wire.NewReader(data)
	a.outcome = outcome(r.Byte())
	switch a.outcome {
	case outHit:
		a.item = readItem(r)
	case outClaimed:
		a.right, a.born = r.Uvarint(), r.Uvarint()
		a.left, a.isStale = readMillis(r), r.Bool()
		if a.isStale {
			a.item = readItem(r)
		}
	case outMoved:
		a.version = r.Uvarint()
	}
	return a, r.Done()
}

// An item is a value on its way between nodes. Times are what is left of them,
// so that no two clocks are compared. Whoever receives it counts from before
// it asked, so that nothing lives longer for having travelled.
//
//	negative 1 byte, born uvarint, fresh uvarint, end uvarint (milliseconds, 0:
//	without end), tags: number uvarint, each a string, media type string, value
//	byte string
type item struct {
	value      []byte
	mediaType  string
	isNegative bool
	born       uint64        // index up to which invalidations were known before it was made
	fresh, end time.Duration // how long it is served without, and with, being renewed; 0: always
	tags       []string
}

// itemOf returns what is left of an entry.
func itemOf(e *entry, now time.Time) item {
	left := func(t time.Time) time.Duration {
		if t.IsZero() {
			return 0
		}
		return max(t.Sub(now), time.Millisecond)
	}
	return item{e.value, e.mediaType, e.isNegative, e.born, left(e.fresh), left(e.end), e.tags}
}

// entry returns what an item is from a time on.
func (i *item) entry(from time.Time) *entry {
	at := func(d time.Duration) (t time.Time) {
		if d > 0 {
			t = from.Add(d)
		}
		return t
	}
	return &entry{value: i.value, mediaType: i.mediaType, isNegative: i.isNegative, born: i.born, fresh: at(i.fresh), end: at(i.end), tags: i.tags}
}

func (i *item) append(b []byte) []byte {
	b = binary.AppendUvarint(wire.AppendBool(b, i.isNegative), i.born)
	b = appendMillis(appendMillis(b, i.fresh), i.end)
	return wire.AppendBytes(wire.AppendString(appendStrings(b, i.tags), i.mediaType), i.value)
}

func readItem(r *wire.Reader) (i item) {
	i.isNegative, i.born = r.Bool(), r.Uvarint()
	i.fresh, i.end = readMillis(r), readMillis(r)
	i.tags, i.mediaType, i.value = readStrings(r), r.String(), r.Bytes()
	return i
}

func appendPlace(b []byte, p place) []byte {
	return wire.AppendString(wire.AppendString(b, p.group), p.key)
}

func readPlace(r *wire.Reader) place { return place{r.String(), r.String()} }

// appendMillis rounds up: what has begun is not over.
func appendMillis(b []byte, d time.Duration) []byte {
	return binary.AppendUvarint(b, uint64((max(d, 0)+time.Millisecond-1)/time.Millisecond))
}

func readMillis(r *wire.Reader) time.Duration {
	return time.Duration(min(r.Uvarint(), math.MaxInt64/uint64(time.Millisecond))) * time.Millisecond
}
