package cache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
)

const (
	giftBytes   = 256 << 10              // about as much is handed over at a time
	giftPause   = 2 * time.Millisecond   // then others come first
	giftWait    = 3 * time.Second        // for a node to take a gift
	takeWait    = 500 * time.Millisecond // for a former owner to answer
	arrivalMost = 30 * time.Second       // after which nothing is expected any more
	passMost    = 10 * time.Second       // how long what is to be handed on is waited for
	ringsMost   = 16                     // so many are remembered; what was on its way by older ones is lost
)

// turn begins what a new ring means for this node: what it gains comes from
// the former owners, and what it loses goes to the new ones. It is called in
// the order of rings, while nothing is kept by either.
func (c *Cache) turn(r *ring) {
	self, _ := c.peers.Self()
	c.mu.Lock()
	for p, right := range c.rights {
		if r.owner(p.ringKey()) != self {
			c.endLocked(p, right) // whoever waits asks the new owner
		}
	}
	h := &c.handover
	if len(h.rings) == 0 && r.prev != nil {
		h.rings = append(h.rings, r.prev)
	}
	h.rings = append(h.rings, r)
	h.rings = h.rings[max(0, len(h.rings)-ringsMost):]
	until := time.Now().Add(arrivalMost)
	if r.prev != nil && r.find(self) >= 0 {
		for _, m := range r.prev.members {
			if a := h.arrivals[m.id]; a != nil {
				a.until = until
			} else if m.id != self {
				h.arrivals[m.id] = &arrival{until, map[place]struct{}{}}
			}
		}
	}
	c.progressLocked() // ends the hand-over by the ring before
	c.mu.Unlock()
	c.work.begin(func(ctx context.Context) { c.handOver(ctx, r, self) })
}

// lose forgets what was on its way, and who has a right: what has happened
// meanwhile is not known.
func (c *Cache) lose() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handover.rings = nil
	clear(c.handover.arrivals)
	for p, r := range c.rights {
		c.endLocked(p, r)
	}
	c.progressLocked()
}

// part answers who owned a key after this node.
func (c *Cache) part(ctx context.Context, from string, m *takeRequest) answer {
	if c.awaitRing(ctx, m.version) != nil {
		return answer{outcome: outNoSeat}
	}
	self, _ := c.peers.Self()
	r := c.seat.view().ring()
	switch {
	case r == nil:
		return answer{outcome: outNoSeat}
	case r.version > m.version:
		return answer{outcome: outMoved, version: r.version}
	case c.heir(self, m.place) != from:
		return answer{outcome: outMiss}
	}
	isExpected := c.expects(m.place) // before the store is looked at
	i, found := c.survivor(m.place, time.Now())
	if !found && isExpected {
		c.takeOver(ctx, r, m.place)
		i, found = c.survivor(m.place, time.Now())
	}
	if !found {
		return answer{outcome: outMiss}
	}
	return answer{item: i}
}

// survivor returns what is kept at a place, as known to be good up to what
// this node knows of: whoever takes it may not know what was invalidated before.
func (c *Cache) survivor(p place, now time.Time) (i item, found bool) {
	index := c.seat.view().index // before the store is looked at
	e, found := c.store.get(p, now)
	if !found || e.isNear {
		return i, false
	}
	i = itemOf(e, now)
	i.born = max(i.born, index)
	return i, true
}

// errLater ends a hand-over that a later ring has made void.
var errLater = errors.New("there is a later ring")

// handOver gives what is another node's by a ring to the next owners, and drops
// it then. It ends with the next ring, whose own goes on with it.
func (c *Cache) handOver(ctx context.Context, r *ring, self string) {
	if c.awaitReady(ctx, r.version) != nil {
		return
	}
	limit, cancel := context.WithTimeout(ctx, passMost)
	defer cancel()
	for isAll := false; !isAll; {
		next, isLast := c.isComplete(self)
		if c.giveAll(ctx, r, self) != nil {
			return
		}
		if isAll = isLast || limit.Err() != nil; !isAll {
			select {
			case <-next:
			case <-limit.Done():
			}
		}
	}
	if c.sayLast(ctx, r, self) == nil {
		c.given(r, self)
	}
}

// isComplete reports whether nothing is on its way any more that this node
// would have to hand on, and returns what is closed when that may have changed.
func (c *Cache) isComplete(self string) (next <-chan struct{}, isComplete bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := &c.handover
	for from := range h.arrivals {
		if h.passesOn(self, from) {
			return h.changed, false
		}
	}
	return h.changed, true
}

// giveAll gives all that this node has and another one is to have. It is
// errLater where a later ring has made that void.
func (c *Cache) giveAll(ctx context.Context, r *ring, self string) error {
	gifts := map[string]*giveRequest{} // by who gets them
	send := func(to string) error {
		m := gifts[to]
		delete(gifts, to)
		if err := c.give(ctx, r, to, m); errors.Is(err, errLater) {
			return err
		}
		pause(ctx, giftPause)
		return ctx.Err()
	}
	for p := range c.store.all(time.Now()) {
		to := c.heir(self, p)
		if to == "" {
			continue
		}
		i, found := c.survivor(p, time.Now())
		if !found {
			continue
		}
		m := gifts[to]
		if m == nil {
			m = &giveRequest{version: r.version}
			gifts[to] = m
		}
		m.gifts = append(m.gifts, gift{p, i})
		if m.size += giftSize(&m.gifts[len(m.gifts)-1]); m.size < giftBytes {
			continue
		}
		if err := send(to); err != nil {
			return err
		}
	}
	for to := range gifts {
		if err := send(to); err != nil {
			return err
		}
	}
	return nil
}

// sayLast tells all who may expect something that nothing will follow.
func (c *Cache) sayLast(ctx context.Context, r *ring, self string) error {
	var wg sync.WaitGroup
	var isLate atomic.Bool
	for _, id := range c.recipients(self) {
		wg.Go(func() { // ends within giftWait
			if errors.Is(c.give(ctx, r, id, &giveRequest{version: r.version, isLast: true}), errLater) {
				isLate.Store(true)
			}
		})
	}
	wg.Wait()
	if isLate.Load() {
		return errLater
	}
	return ctx.Err()
}

// recipients are the other members, and those who have gone so soon after
// another change that they may still have to hand on what this node gives.
func (c *Cache) recipients(self string) (ids []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := &c.handover
	for i, r := range h.rings {
		for _, m := range r.members {
			if m.id != self && (i == len(h.rings)-1 || len(h.rings) > 2 && !c.peers.IsDead(m.id)) && !slices.Contains(ids, m.id) {
				ids = append(ids, m.id)
			}
		}
	}
	return ids
}

func (c *Cache) heir(self string, p place) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.handover.heir(self, p.ringKey())
}

// given notes that everything has been handed over, and drops it here.
func (c *Cache) given(r *ring, self string) {
	c.store.keep(func(p place) bool { return r.owner(p.ringKey()) == self || c.seat.view().ring() != r })
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handover.given = max(c.handover.given, r.version)
	c.progressLocked()
}

// give has a node take what is its own now.
func (c *Cache) give(ctx context.Context, r *ring, to string, m *giveRequest) error {
	ctx, cancel := context.WithTimeout(ctx, giftWait)
	defer cancel()
	request := m.encode()
	for {
		if c.seat.view().ring() != r {
			return errLater
		}
		data, err := c.peers.Call(ctx, to, request)
		if err == nil {
			a, err := decodeAnswer(data)
			switch {
			case err == nil && a.outcome == outKept:
				return nil
			case err == nil && a.outcome == outMoved:
				return errLater
			}
		}
		if pause(ctx, retryWait); ctx.Err() != nil || c.peers.IsDead(to) {
			return cmp.Or(ctx.Err(), machine.ErrUnreachable)
		}
	}
}

// awaitReady waits until the store is ready for a ring. It is errLater where
// there is a later one.
func (c *Cache) awaitReady(ctx context.Context, version uint64) error {
	for {
		v := c.seat.view()
		switch r := v.ring(); {
		case r == nil || r.version > version:
			return errLater
		case v.ready >= version:
			return nil
		}
		select {
		case <-v.changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// parted waits until everything that was this node's has been handed over.
func (c *Cache) parted(ctx context.Context) error {
	for {
		c.mu.Lock()
		given, next := c.handover.given, c.handover.changed
		c.mu.Unlock()
		r := c.seat.view().ring()
		self, _ := c.peers.Self()
		if r == nil || len(r.members) == 0 || r.find(self) < 0 && given >= r.version {
			return nil
		}
		select {
		case <-next:
		case <-time.After(retryWait): // the ring may have changed without a hand-over
		case <-ctx.Done():
			return fmt.Errorf("handing over the cache: %w", ctx.Err())
		}
	}
}
