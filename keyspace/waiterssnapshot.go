package keyspace

import (
	"math"
	"slices"
	"time"
)

// waiters writes those who wait, if there are any.
func (w *saver) waiters(q *waiters) {
	if q.all.Len() == 0 && len(q.silent) == 0 {
		return
	}
	w.byte(waitersOfSnapshot)
	w.uvarint(uint64(len(q.silent)))
	for _, origin := range q.silent {
		w.uvarint(origin)
	}
	w.uvarint(uint64(q.all.Len()))
	q.all.Scan(func(one *waiter) bool {
		w.waiter(one)
		return w.err == nil
	})
}

func (w *saver) waiter(one *waiter) {
	w.uvarint(one.number)
	w.raw(one.id[:])
	w.uvarint(one.origin)
	w.bytes(one.command)
	w.uvarint(uint64(one.end))
	w.byte(byte(one.state))
	w.uvarint(uint64(one.until))
	if one.state == stateOffered {
		w.uvarint(uint64(one.offered))
	}
}

// waiters reads those who wait.
func (l *loader) waiters(s *Space) {
	q := &s.waiters
	silent := l.Uvarint()
	for i := uint64(0); i < silent && l.Err() == nil; i++ {
		origin := l.Uvarint()
		if i > 0 && origin <= q.silent[i-1] {
			l.Corrupt("origin out of place")
		}
		q.silent = append(q.silent, origin)
		q.size += silentCost
	}
	count, last := l.Uvarint(), uint64(0)
	if silent+count == 0 || !s.seeded {
		l.Corrupt("nobody waits")
	}
	for i := uint64(0); i < count && l.Err() == nil; i++ {
		w := l.waiter(s)
		if w == nil || l.Err() != nil {
			return
		}
		if w.number <= last || q.named(w.id) != nil {
			l.Corrupt("waiter out of place")
			return
		}
		last = w.number
		q.enter(w)
	}
}

// waiter reads one who waits, whose command says what for. It returns nil where
// that is none that waits.
func (l *loader) waiter(s *Space) *waiter {
	number := l.Uvarint()
	var id WaiterID
	copy(id[:], l.Take(uint64(len(id))))
	origin, command := l.Uvarint(), l.Bytes()
	end := l.Uvarint()
	state, until := waiterState(l.Byte()), l.Uvarint()
	if l.Err() != nil {
		return nil
	}
	c := call{space: s}
	if err := c.prepare(command); err != nil || !c.cmd.Blocks || !c.cmd.Accepts(len(c.args)) {
		l.Corrupt("a waiter that cannot be one")
		return nil
	}
	r, ok := c.cmd.asks(&c)
	if !ok || state > stateOffered || end > math.MaxInt64 || until == 0 || until > math.MaxInt64 {
		l.Corrupt("a waiter that cannot be one")
		return nil
	}
	w := newWaiter(c.index, r)
	w.id, w.number, w.origin, w.command = id, number, origin, command
	w.end, w.state, w.until = time.Duration(end), state, time.Duration(until)
	if state == stateOffered {
		offered := l.Uvarint()
		if offered >= uint64(len(w.keys)) || offered > 0 && w.isNamedBefore(int(offered)) {
			l.Corrupt("an offer that cannot be one")
			return nil
		}
		w.offered = int(offered)
	}
	return w
}

// isNamedBefore reports whether the key at a position is one of those before.
func (w *waiter) isNamedBefore(i int) bool { return slices.Contains(w.keys[:i], w.keys[i]) }
