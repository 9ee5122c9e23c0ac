package cache

import (
	"context"
	"slices"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
)

const (
	// lookWait is how long the keeper waits until it looks again by itself.
	lookWait = time.Second
	// doWait bounds one of its calls of the log.
	doWait = 3 * time.Second
)

// keep takes this node's seat, settles each change of the ring, and has dead
// nodes lose theirs, until the context ends.
func (s *seat) keep(ctx context.Context) {
	timer := time.NewTimer(lookWait)
	defer timer.Stop()
	for ctx.Err() == nil {
		if s.look(ctx) != nil {
			pause(ctx, 5*retryWait)
		}
		s.tidy(time.Now())
		timer.Reset(lookWait)
		select {
		case <-s.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
}

// look does what is to be done now.
func (s *seat) look(ctx context.Context) error {
	self, _ := s.peers.Self()
	if self == "" {
		return nil // a reset will come
	}
	s.prepare(self)
	if s.isLeaving.Load() {
		return nil
	}
	v := s.view()
	switch r := v.ring(); {
	case r == nil || r.find(self) < 0:
		return s.join(ctx, self)
	case !v.settled || len(v.rings) > 1:
		return s.settle(ctx)
	default:
		return s.bury(ctx, r, self)
	}
}

// prepare makes the store ready for the present ring: what this node had of
// keys that have become its own may be older than what their last owner has.
func (s *seat) prepare(self string) {
	v := s.view()
	target := v.ring()
	if target == nil || v.ready == target.version {
		return
	}
	s.store.keep(func(p place) bool {
		key := p.ringKey()
		for _, r := range v.rings {
			if r.version > v.ready && r.gains(self, key) {
				return false
			}
		}
		return true
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Contains(s.view().rings, target) {
		s.replaceLocked(func(v *view) { v.ready = target.version })
	}
}

// join takes a seat. It learns first who has one, for those will hand over
// what becomes this node's.
func (s *seat) join(ctx context.Context, self string) error {
	ctx, cancel := context.WithTimeout(ctx, doWait)
	defer cancel()
	<-s.taking // at once, but for the moment in which somebody refrains
	defer func() { s.taking <- struct{}{} }()
	if s.isLeaving.Load() {
		return errNoSeat
	}
	if s.view().ring() == nil {
		r := s.renew()
		<-r.done
		if s.view().ring() == nil {
			return r.err
		}
	}
	_, at, err := s.log.Do(ctx, machine.Item{Data: command{op: opJoin, id: self}.encode()})
	if err != nil {
		return err
	}
	return s.peers.Reach(ctx, at.Cluster, at.Index)
}

// bury has dead members lose their seats. The first of the living does it. A
// node that is wrongly called dead takes its seat again.
func (s *seat) bury(ctx context.Context, r *ring, self string) error {
	var dead []machine.Item
	first := ""
	for _, m := range r.members {
		switch {
		case s.peers.IsDead(m.id):
			gone := command{op: opLeave, id: m.id, origin: m.origin}
			dead = append(dead, machine.Item{Data: gone.encode(), Frees: true})
		case first == "":
			first = m.id
		}
	}
	if len(dead) == 0 || first != self {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, doWait)
	defer cancel()
	_, _, err := s.log.Do(ctx, dead...)
	return err
}

// refrain has the seat not be taken any more. One that is being taken is taken
// first, for it could not be given up.
func (s *seat) refrain(ctx context.Context) error {
	s.isLeaving.Store(true)
	select {
	case <-s.taking:
		s.taking <- struct{}{}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// leave gives the seat up, so that others serve what was this node's.
func (s *seat) leave(ctx context.Context) error {
	self, _ := s.peers.Self()
	r := s.view().ring()
	if self == "" || r == nil {
		return nil
	}
	i := r.find(self)
	if i < 0 {
		return nil
	}
	gone := command{op: opLeave, id: self, origin: r.members[i].origin}
	_, _, err := s.log.Do(ctx, machine.Item{Data: gone.encode(), Frees: true})
	return err
}
