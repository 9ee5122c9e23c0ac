package lua

import "math"

// length returns a border of t, as the operator # does: an n such that t[n]
// is there and t[n+1] is not, or 0.
func (t *table) length() int {
	high := len(t.array)
	if high > 0 && t.array[high-1].isNil() {
		low := 0
		for high-low > 1 {
			if mid := (low + high) / 2; t.array[mid-1].isNil() {
				high = mid
			} else {
				low = mid
			}
		}
		return low
	}
	if len(t.nodes) == 0 {
		return high
	}
	low := high
	high++
	for !t.getInt(high).isNil() {
		low = high
		if high > math.MaxInt32/2 {
			return t.countUp()
		}
		high *= 2
	}
	for high-low > 1 {
		if mid := (low + high) / 2; t.getInt(mid).isNil() {
			high = mid
		} else {
			low = mid
		}
	}
	return low
}

// countUp is the length of a table made to mislead the search.
func (t *table) countUp() int {
	n := 1
	for !t.getInt(n).isNil() {
		n++
		t.meter.step(1)
	}
	return n - 1
}

// next returns the pair that follows key, or the first one after nil. The
// last pair is followed by nil. It reports false for a key that is not there.
func (t *table) next(key value) (k, v value, ok bool) {
	at, ok := t.index(key)
	if !ok {
		return value{}, value{}, false
	}
	begin := at
	for ; at < len(t.array); at++ {
		if !t.array[at].isNil() {
			t.meter.step((at - begin) >> 3)
			return number(float64(at + 1)), t.array[at], true
		}
	}
	for ; at < len(t.array)+len(t.nodes); at++ {
		if n := &t.nodes[at-len(t.array)]; !n.val.isNil() {
			t.meter.step((at - begin) >> 3)
			return n.key, n.val, true
		}
	}
	t.meter.step((at - begin) >> 3)
	return value{}, value{}, true
}

// index returns the place in the walk that follows key.
func (t *table) index(key value) (int, bool) {
	if key.isNil() {
		return 0, true
	}
	if n, ok := key.asNumber(); ok {
		if i := int(n); float64(i) == n && uint(i-1) < uint(len(t.array)) {
			return i, true
		}
	}
	if len(t.nodes) == 0 {
		return 0, false
	}
	// As find, but with the index of the node.
	at := t.place(key)
	for hops := 0; ; hops++ {
		if t.nodes[at].key.equal(key) {
			return len(t.array) + int(at) + 1, true
		}
		if t.nodes[at].next == 0 {
			return 0, false
		}
		if at = t.nodes[at].next - 1; hops > manyNodes {
			t.meter.step(1)
		}
	}
}
