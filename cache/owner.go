package cache

import (
	"context"
	"time"

	"github.com/huddlecache/huddle/cluster/machine/wire"
)

// A right is what a caller has who makes a value for all: until it is over,
// nobody else in the cluster gets one for the same key. It ends with the
// value, by being given back, or by its time.
type right struct {
	number uint64
	until  time.Time
	over   chan struct{} // closed when it has ended
}

// ownerWait is how long an owner waits for its own lease, or for a ring that
// the asker knows of already.
const ownerWait = leaseTime

// answer answers another node.
func (c *Cache) answer(ctx context.Context, from string, request []byte) ([]byte, error) {
	r := wire.NewReader(request)
	var a answer
	switch r.Byte() {
	case askReach:
		cluster, index := r.String(), r.Uvarint()
		if err := r.Done(); err != nil {
			return nil, err
		}
		return nil, c.peers.Reach(ctx, cluster, index)
	case askGet:
		m := readGet(r)
		if r.Done() == nil {
			a = c.ownGet(ctx, &m)
		}
	case askPut:
		m := readPut(r)
		if r.Done() == nil {
			a = c.ownPut(ctx, &m)
		}
	case askRight:
		m := readRight(r)
		if r.Done() == nil {
			a = c.ownRight(&m)
		}
	case askTake:
		m := readTake(r)
		if r.Done() == nil {
			a = c.part(ctx, from, &m)
		}
	case askGive:
		m := readGive(r)
		if r.Done() == nil {
			a = c.receive(ctx, from, &m)
		}
	default:
		return nil, wire.ErrMalformed
	}
	if err := r.Done(); err != nil {
		return nil, err
	}
	return a.encode(), nil
}

// seated waits until this node knows of a ring and may serve a key. Where it
// may not, the answer says why.
func (c *Cache) seated(ctx context.Context, version uint64, p place) (v *view, a answer, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, ownerWait)
	defer cancel()
	for {
		v, err := c.seat.lease(ctx)
		if err != nil {
			return nil, answer{outcome: outNoSeat}, false
		}
		self, _ := c.peers.Self()
		r := v.ring()
		switch {
		case r == nil, r.version < version:
		case r.owner(p.ringKey()) != self:
			return nil, answer{outcome: outMoved, version: r.version}, false
		case v.owns(self, p.ringKey()):
			return v, a, true
		}
		select {
		case <-v.changed:
		case <-ctx.Done():
			return nil, answer{outcome: outNoSeat}, false
		}
	}
}

// ownGet answers for a key that this node owns.
func (c *Cache) ownGet(ctx context.Context, m *getRequest) answer {
	ctx, cancel := context.WithTimeout(ctx, m.wait)
	defer cancel()
	var asked *ring // by which what is missing was asked for
	for {
		v, a, ok := c.seated(ctx, m.version, m.place)
		if !ok {
			return a
		}
		// What is not expected any more, but has come, is found in the store:
		// the other order would miss what comes between the two.
		isExpected := asked != v.ring() && c.expects(m.place)
		// Whatever was invalidated before the lease was looked at is gone from
		// the store: the other order would serve it.
		now := time.Now()
		e, found := c.store.get(m.place, now)
		switch {
		case found && e.isFresh(now), found && m.claim == 0 && m.mayBeStale:
			return answer{item: v.itemOf(e, now)}
		case !found && isExpected:
			asked = v.ring()
			c.takeOver(ctx, asked, m.place)
			continue
		case m.claim == 0:
			return answer{outcome: outMiss}
		}
		mine, other := c.claim(m.place, m.claim, now)
		switch {
		case mine != nil:
			a := answer{outcome: outClaimed, right: mine.number, born: v.index, left: m.claim}
			if a.isStale = found && m.mayBeStale; a.isStale {
				a.item = v.itemOf(e, now)
			}
			return a
		case found && m.mayBeStale:
			return answer{item: v.itemOf(e, now)}
		}
		if !other.wait(ctx) {
			return answer{outcome: outMiss}
		}
	}
}

// itemOf returns what is left of an entry that was found after the view was
// looked at: nothing that the view knows of has made it void. Whoever gets it
// may not remember what was invalidated since it was made, and judges it by
// what has been since.
func (v *view) itemOf(e *entry, now time.Time) item {
	i := itemOf(e, now)
	i.born = max(i.born, v.index)
	return i
}

// isFresh reports whether an entry is not due to be renewed.
func (e *entry) isFresh(now time.Time) bool { return e.fresh.IsZero() || now.Before(e.fresh) }

// wait waits until a right is over. It is false where the context ends first.
func (r *right) wait(ctx context.Context) bool {
	timer := time.NewTimer(time.Until(r.until))
	defer timer.Stop()
	select {
	case <-r.over:
	case <-timer.C:
	case <-ctx.Done():
		return false
	}
	return true
}

// claim returns a new right, or the one that somebody else has.
func (c *Cache) claim(p place, lasts time.Duration, now time.Time) (mine, other *right) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.rights[p]; r != nil {
		if now.Before(r.until) {
			return nil, r
		}
		c.endLocked(p, r)
	}
	c.lastRight++
	r := &right{number: c.lastRight, until: now.Add(lasts), over: make(chan struct{})}
	c.rights[p] = r
	return r, nil
}

func (c *Cache) endLocked(p place, r *right) {
	delete(c.rights, p)
	close(r.over)
}

// ownRight makes a right last longer, or ends it.
func (c *Cache) ownRight(m *rightRequest) answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.rights[m.place]
	switch {
	case r == nil || r.number != m.right:
		return answer{outcome: outConflict}
	case m.claim == 0:
		c.endLocked(m.place, r)
	default:
		// Whoever waits has a timer of the former end, and looks again then.
		next := *r
		next.until = time.Now().Add(m.claim)
		c.rights[m.place] = &next
	}
	return answer{outcome: outKept}
}

// ownPut keeps a value of a key that this node owns. One that was made with a
// right is kept only while the right lasts.
func (c *Cache) ownPut(ctx context.Context, m *putRequest) answer {
	isUnsure := false
	for {
		v, a, ok := c.seated(ctx, m.version, m.place)
		switch {
		case !ok && isUnsure:
			return answer{outcome: outUnsure}
		case !ok:
			return a
		}
		if a, done := c.keep(v, m); done {
			return a
		} else if a.outcome == outUnsure {
			isUnsure = true
		}
	}
}

// keep puts a value into the store, unless there is another view than v by
// now. The gate is shut while the ring changes: once this node has told
// another one that it knows of the change, it keeps nothing by the former ring.
func (c *Cache) keep(v *view, m *putRequest) (a answer, done bool) {
	c.seat.gate.RLock()
	defer c.seat.gate.RUnlock()
	if now := c.seat.view(); now.ring() != v.ring() {
		return a, false
	}
	i := m.item
	if m.right == 0 {
		i.born = v.index
	}
	c.mu.Lock()
	r := c.rights[m.place]
	if m.right != 0 && (r == nil || r.number != m.right || !time.Now().Before(r.until)) {
		c.mu.Unlock()
		return answer{outcome: outConflict}, true
	}
	c.noteWrittenLocked(m.place)
	e := i.entry(time.Now())
	isKept := c.store.put(m.place, e)
	isLeased := v.isLeased(time.Now())
	if r != nil && isLeased {
		c.endLocked(m.place, r)
	}
	c.mu.Unlock()
	switch {
	case !isLeased:
		return answer{outcome: outUnsure}, false // another node may own the key: kept or not, it does not count
	case isKept:
		return answer{outcome: outKept}, true
	case c.store.allows(m.place, e):
		return answer{outcome: outTooBig}, true
	}
	return answer{outcome: outConflict}, true
}
