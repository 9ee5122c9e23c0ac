package lua

import (
	"math"
	"math/bits"
	"slices"
)

// A table is Lua 5.1's: an array for the keys from 1 on and, for the others,
// a hash with the chains inside its nodes. Sizes, places and growth are the
// same, so that the walk of pairs and the length of arrays with holes are too.
type table struct {
	array    []value
	nodes    []node // a power of two, or none
	lastFree int    // no node from here on is free
	meta     *table
	meter    *meter // counts what the table takes; nil in shared tables
	id       uint32
	readonly bool
}

// A node holds one pair. next is the index of the next node of the chain plus
// one, or 0.
type node struct {
	key, val value
	next     int32
}

const (
	maxBits     = 26 // of the array's size
	maxArray    = 1 << maxBits
	tableCost   = 128
	slotCost    = 24
	nodeCost    = 56
	manyNodes   = 4 // hops of a chain that cost nothing
	longCompare = 8 // a step for each 2^longCompare bytes compared
)

// newTable makes a table with room for arrays and pairs.
func newTable(m *meter, id uint32, array, pairs int) *table {
	t := &table{meter: m, id: id}
	m.take(tableCost)
	if array > 0 || pairs > 0 {
		t.resize(array, pairs)
	}
	return t
}

// get returns what key stands for, nil if there is none.
func (t *table) get(key value) value {
	switch k := key.ref.(type) {
	case *str:
		return t.getStr(k)
	case isNumber:
		if i := int(key.num); float64(i) == key.num {
			return t.getInt(i)
		}
	case nil:
		return value{}
	}
	if n := t.find(key); n != nil {
		return n.val
	}
	return value{}
}

func (t *table) getInt(i int) value {
	if uint(i-1) < uint(len(t.array)) {
		return t.array[i-1]
	}
	if len(t.nodes) == 0 {
		return value{}
	}
	if n := t.find(number(float64(i))); n != nil {
		return n.val
	}
	return value{}
}

func (t *table) getStr(key *str) value {
	if n := t.findStr(key); n != nil {
		return n.val
	}
	return value{}
}

func (t *table) findStr(key *str) *node {
	if len(t.nodes) == 0 {
		return nil
	}
	hash := key.hashed()
	at := int32(hash & uint32(len(t.nodes)-1))
	for hops := 0; ; hops++ {
		n := &t.nodes[at]
		if k, ok := n.key.ref.(*str); ok && (k == key || k.hash == hash && t.sameText(k, key)) {
			return n
		}
		if n.next == 0 {
			return nil
		}
		if at = n.next - 1; hops > manyNodes {
			t.meter.step(1)
		}
	}
}

func (t *table) sameText(a, b *str) bool {
	if len(a.s) != len(b.s) {
		return false
	}
	t.meter.step(len(a.s) >> longCompare)
	return a.s == b.s
}

// find returns the node of a key, nil if there is none.
func (t *table) find(key value) *node {
	if s, ok := key.ref.(*str); ok {
		return t.findStr(s)
	}
	if len(t.nodes) == 0 {
		return nil
	}
	at := t.place(key)
	for hops := 0; ; hops++ {
		n := &t.nodes[at]
		if n.key.equal(key) {
			return n
		}
		if n.next == 0 {
			return nil
		}
		if at = n.next - 1; hops > manyNodes {
			t.meter.step(1)
		}
	}
}

// place returns the node at which the chain of a key begins.
func (t *table) place(key value) int32 {
	size := uint32(len(t.nodes))
	odd := (size - 1) | 1
	switch k := key.ref.(type) {
	case *str:
		return int32(k.hashed() & (size - 1))
	case isBoolean:
		return int32(uint32(key.num) & (size - 1))
	case isNumber:
		if key.num == 0 {
			return 0
		}
		b := math.Float64bits(key.num)
		return int32((uint32(b) + uint32(b>>32)) % odd)
	case *table:
		return int32(k.id % odd)
	case *function:
		return int32(k.id % odd)
	}
	return 0
}

// set stores a pair. The key is neither nil nor NaN.
func (t *table) set(key, val value) {
	if _, ok := key.ref.(isNumber); ok {
		if i := int(key.num); float64(i) == key.num && uint(i-1) < uint(len(t.array)) {
			t.array[i-1] = val
			return
		}
	}
	if n := t.find(key); n != nil {
		n.val = val
		return
	}
	t.insert(key, val)
}

func (t *table) setInt(i int, val value) { t.set(number(float64(i)), val) }

func (t *table) setStr(key *str, val value) { t.set(value{ref: key}, val) }

// insert adds a pair whose key has no node. If the key's place is taken by a
// key that belongs elsewhere, that one moves to a free node, else the new one
// goes there.
func (t *table) insert(key, val value) {
	if s, ok := key.ref.(*str); ok {
		s.hashed()
	}
	if len(t.nodes) == 0 {
		t.rehash(key)
		t.set(key, val)
		return
	}
	at := t.place(key)
	if !t.nodes[at].val.isNil() {
		free := t.freeNode()
		if free < 0 {
			t.rehash(key)
			t.set(key, val)
			return
		}
		mine, other := &t.nodes[at], t.place(t.nodes[at].key)
		if other != at {
			for t.nodes[other].next-1 != at {
				other = t.nodes[other].next - 1
				t.meter.step(1)
			}
			t.nodes[other].next = free + 1
			t.nodes[free] = *mine
			mine.next = 0
		} else {
			t.nodes[free].next = mine.next
			mine.next = free + 1
			at = free
		}
	}
	t.nodes[at].key, t.nodes[at].val = key, val
}

func (t *table) freeNode() int32 {
	for t.lastFree > 0 {
		t.lastFree--
		if t.nodes[t.lastFree].key.isNil() {
			return int32(t.lastFree)
		}
	}
	return -1
}

// rehash gives a full table the sizes that suit its keys and one more: the
// array is the largest power of two of which more than half is in use.
func (t *table) rehash(extra value) {
	var counts [maxBits + 1]int // keys in (2^(i-1), 2^i]
	inArray := 0
	for i, v := range t.array {
		if !v.isNil() {
			counts[bits.Len(uint(i))]++
			inArray++
		}
	}
	total := inArray
	for i := range t.nodes {
		if !t.nodes[i].val.isNil() {
			inArray += countIndex(t.nodes[i].key, &counts)
			total++
		}
	}
	inArray += countIndex(extra, &counts)
	total++
	size, used := arraySize(&counts, inArray)
	t.resize(size, total-used)
}

func countIndex(key value, counts *[maxBits + 1]int) int {
	n, ok := key.asNumber()
	if i := int(n); ok && float64(i) == n && i > 0 && i <= maxArray {
		counts[bits.Len(uint(i-1))]++
		return 1
	}
	return 0
}

// arraySize returns the size for the array, and how many keys go there.
func arraySize(counts *[maxBits + 1]int, candidates int) (size, used int) {
	sum := 0
	for i, power := 0, 1; power/2 < candidates && i <= maxBits; i, power = i+1, power*2 {
		if counts[i] > 0 {
			sum += counts[i]
			if sum > power/2 {
				size, used = power, sum
			}
		}
		if sum == candidates {
			break
		}
	}
	return size, used
}

// resize moves all pairs into an array and nodes of new sizes.
func (t *table) resize(array, pairs int) {
	size := 0
	if pairs > 0 {
		size = 1 << bits.Len(uint(pairs-1))
	}
	t.meter.step((len(t.array) + array + len(t.nodes) + size) / 4)
	t.meter.take(array*slotCost + size*nodeCost)
	oldArray, oldNodes := t.array, t.nodes
	t.nodes, t.lastFree = nil, size
	if size > 0 {
		t.nodes = make([]node, size)
	}
	if array != len(oldArray) {
		t.array = make([]value, array)
		copy(t.array, oldArray)
	}
	for i := array; i < len(oldArray); i++ {
		if !oldArray[i].isNil() {
			t.setInt(i+1, oldArray[i])
		}
	}
	for _, n := range slices.Backward(oldNodes) {
		if !n.val.isNil() {
			t.set(n.key, n.val)
		}
	}
	t.meter.give(len(oldArray)*slotCost + len(oldNodes)*nodeCost)
}
