package cache

import (
	"bytes"
	"context"
	"time"
)

// noteWrittenLocked keeps what is on its way from replacing what is kept now.
func (c *Cache) noteWrittenLocked(p place) {
	if len(c.handover.arrivals) == 0 {
		return
	}
	self, _ := c.peers.Self()
	if a := c.handover.arrivals[c.handover.source(self, p.ringKey())]; a != nil {
		a.written[p] = struct{}{}
	}
}

// arrivalLocked returns who has still to hand over a key, and what is known of
// it; nil where nobody has, or something newer was kept here.
func (c *Cache) arrivalLocked(p place) (from string, a *arrival) {
	if len(c.handover.arrivals) == 0 {
		return "", nil
	}
	self, _ := c.peers.Self()
	from = c.handover.source(self, p.ringKey())
	if a = c.handover.arrivals[from]; a == nil {
		return "", nil
	}
	if _, isWritten := a.written[p]; isWritten {
		return "", nil
	}
	return from, a
}

// tidyArrivals gives up what will not come any more.
func (c *Cache) tidyArrivals(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, a := range c.handover.arrivals {
		if now.After(a.until) || c.peers.IsDead(id) {
			c.endArrivalLocked(id)
		}
	}
}

// expects reports whether a key may still come from another node.
func (c *Cache) expects(p place) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, a := c.arrivalLocked(p)
	return a != nil
}

// takeOver asks the former owner of a key that this node owns, or did, and has
// nothing of yet, and keeps what comes.
func (c *Cache) takeOver(ctx context.Context, r *ring, p place) {
	c.mu.Lock()
	from, a := c.arrivalLocked(p)
	c.mu.Unlock()
	if a == nil || c.peers.IsDead(from) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, takeWait)
	defer cancel()
	data, err := c.peers.Call(ctx, from, (&takeRequest{r.version, p}).encode())
	if err != nil {
		return
	}
	got, err := decodeAnswer(data)
	switch {
	case err != nil:
	case got.outcome == outHit:
		c.unwrap(r, from, gift{p, got.item})
	case got.outcome == outMoved:
		_ = c.awaitRing(ctx, got.version) // the caller asks again by that
	}
}

// unwrap keeps a gift, unless something newer was kept, or there is a later
// ring than the one it was given by.
func (c *Cache) unwrap(r *ring, by string, g gift) {
	c.mu.Lock()
	defer c.mu.Unlock()
	from, a := c.arrivalLocked(g.place)
	if a == nil || from != by || c.handover.present() != r {
		return
	}
	now := time.Now()
	c.store.add(g.place, g.item.entry(now), now)
}

// receive keeps what a former owner hands over.
func (c *Cache) receive(ctx context.Context, from string, m *giveRequest) answer {
	for {
		v := c.seat.view()
		r := v.ring()
		switch {
		case r != nil && r.version > m.version:
			return answer{outcome: outMoved, version: r.version}
		case r != nil && v.ready >= m.version:
			for _, g := range m.gifts {
				g.value = bytes.Clone(g.value) // or one of them would keep all of the request in memory
				c.unwrap(r, from, g)
			}
			c.arrived(r, from, m.isLast)
			return answer{outcome: outKept}
		}
		select {
		case <-v.changed:
		case <-ctx.Done():
			return answer{outcome: outNoSeat}
		}
	}
}

// arrived notes that another node is handing over, and whether it has done so.
func (c *Cache) arrived(r *ring, from string, isLast bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := &c.handover
	a := h.arrivals[from]
	switch {
	case a == nil || h.present() != r:
	case isLast:
		c.endArrivalLocked(from)
	default:
		a.until = time.Now().Add(arrivalMost)
	}
}

// endArrivalLocked expects nothing from a node any more.
func (c *Cache) endArrivalLocked(from string) {
	delete(c.handover.arrivals, from)
	c.progressLocked()
}

// progressLocked wakes those who wait for the hand-over.
func (c *Cache) progressLocked() {
	h := &c.handover
	h.trim()
	close(h.changed)
	h.changed = make(chan struct{})
}

// arrivalWait is how long a node that leaves waits for what is on its way to
// it.
const arrivalWait = 3 * time.Second

// isArriving reports whether something may still be on its way to this node.
func (c *Cache) isArriving() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.handover.arrivals) > 0
}

func (c *Cache) awaitArrivals(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, arrivalWait)
	defer cancel()
	for ctx.Err() == nil && c.isArriving() {
		pause(ctx, retryWait)
	}
}
