package cache

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
)

const (
	// leaseTime is how long a node may rely on what it knows, from the moment
	// in which it asked. It gives up a tenth of it, for its clock may be slow.
	leaseTime = 2 * time.Second
	// leaseUse is how long it does rely on it.
	leaseUse = leaseTime * 9 / 10
	// leaseEarly is how old a lease gets before another one is asked for
	// while it is still used.
	leaseEarly = leaseTime / 2
	// refusalTime is how long a lease that was refused keeps others from
	// waiting for one.
	refusalTime = 200 * time.Millisecond
)

// errNoSeat means that this node does not serve: it is joining or leaving.
var errNoSeat = errors.New("this node does not serve the cache")

// A seat is this node's place among those who serve: what it knows of them,
// and how long it may rely on that.
//
// It learns who serves from the log, in order, like every node, but perhaps
// late, or never again. So it serves under a lease only. A lease begins when
// the node asks the leader who serves, by a linearizable read, and holds for
// leaseUse from then on, provided that the node has applied all that the
// leader had. What happens in the log after a lease has begun may stay unknown
// to its holder; whoever acts on it must therefore
//
//  1. know that the leader has applied it, for then every later lease knows
//     of it too, and
//  2. wait for each other node, until that says that it has applied it, or
//     leaseTime has passed since 1: whatever lease it had is then over.
//
// Two things are acted on so: a change of the ring, before a node serves keys
// that it did not own (see settle), and an invalidation, before it is answered
// (see Cache.Invalidate).
type seat struct {
	log   machine.Log
	peers machine.Peers
	store *store

	now  atomic.Pointer[view] // never nil; replaced under mu
	wake chan struct{}        // has a token when the keeper should look
	tidy func(now time.Time)  // called each second by the keeper
	turn func(r *ring)        // called under mu for each new ring
	lose func()               // called under mu when everything is forgotten

	work *background // its renewals

	isLeaving atomic.Bool   // the seat is not to be taken again
	taking    chan struct{} // has a token while the seat is not being taken

	gate   sync.RWMutex  // held for reading while a value is kept by a ring, and for writing while the ring changes
	resets atomic.Uint64 // how often everything may have changed; raised under gate and mu

	mu      sync.Mutex // guards replacing now, and what follows
	failed  time.Time  // when a lease was refused last
	failure error      // and why
	isOpen  bool       // the store takes values again since
	renewal *renewal   // the one under way, or nil
}

// A view is what a node knows at one moment. It is never changed.
type view struct {
	rings   []*ring       // the last one that is settled, and those after it; the last is the present one
	settled bool          // whether the first of rings is
	lease   time.Time     // until when this node may rely on it
	asked   time.Time     // when the lease was asked for
	index   uint64        // of the last entry that this node knows of
	leased  uint64        // of the last entry that the leader had applied when it was asked for a lease
	ready   uint64        // version of the ring that the store is ready for, see prepare
	changed chan struct{} // closed when there is another view
}

// ring returns the present ring, nil where none is known.
func (v *view) ring() *ring {
	if len(v.rings) == 0 {
		return nil
	}
	return v.rings[len(v.rings)-1]
}

// isLeased reports whether the node may rely on what it knows.
func (v *view) isLeased(now time.Time) bool { return now.Before(v.lease) }

// owns reports whether a key is a node's alone: in the present ring, and in
// each since the last one that everybody knows of.
func (v *view) owns(self, key string) bool {
	if !v.settled {
		return false
	}
	for _, r := range v.rings {
		if r.owner(key) != self {
			return false
		}
	}
	return true
}

func newSeat(log machine.Log, peers machine.Peers, s *store, work *background) *seat {
	seat := &seat{log: log, peers: peers, store: s, work: work, wake: make(chan struct{}, 1), taking: make(chan struct{}, 1)}
	seat.taking <- struct{}{}
	seat.now.Store(&view{changed: make(chan struct{})})
	return seat
}

// view returns what is known now.
func (s *seat) view() *view { return s.now.Load() }

// replaceLocked puts another view in place of the present one.
func (s *seat) replaceLocked(change func(*view)) {
	old := s.now.Load()
	next := *old
	next.rings = slices.Clone(old.rings)
	next.changed = make(chan struct{})
	change(&next)
	s.now.Store(&next)
	close(old.changed)
	s.signal()
}

func (s *seat) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// reset forgets everything: what happened in the log meanwhile is not known.
func (s *seat) reset() {
	s.gate.Lock()
	defer s.gate.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resets.Add(1)
	s.isOpen = false
	s.store.reset()
	s.lose()
	s.replaceLocked(func(v *view) { *v = view{changed: v.changed} })
}

// hearRing takes a roster that the log tells of.
func (s *seat) hearRing(index uint64, key []byte) {
	r, err := decodeRoster(key)
	if err != nil {
		return // of a later release, at whose level this one has stopped
	}
	s.gate.Lock()
	defer s.gate.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replaceLocked(func(v *view) {
		s.learnLocked(v, &r)
		v.index = max(v.index, index)
	})
}

// hearInvalidation drops what is void from now on.
func (s *seat) hearInvalidation(index uint64, key []byte) {
	c, err := decodeScope(key)
	if err != nil {
		return
	}
	s.store.invalidate(index, c.group, c.all, c.keys, c.tags)
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.now.Load()
	next := *old // nobody waits for this
	next.index = max(next.index, index)
	s.now.Store(&next)
}

// learnLocked adds a ring to a view if it is newer than those known.
func (s *seat) learnLocked(v *view, r *roster) {
	if known := v.ring(); known == nil || known.version < r.version {
		v.rings = append(v.rings, newRing(r, known))
		s.turn(v.ring())
	}
}

// A renewal is a lease being asked for, by one caller for all.
type renewal struct {
	done chan struct{} // closed when it has ended
	err  error         // set before that
}

// lease returns a view under a lease, and asks for one where there is none.
// One that will soon be over is renewed behind the caller's back.
func (s *seat) lease(ctx context.Context) (*view, error) {
	v := s.view()
	now := time.Now()
	if v.isLeased(now) {
		if now.Sub(v.asked) > leaseEarly {
			s.renew()
		}
		return v, nil
	}
	for {
		if err := s.refusal(now); err != nil {
			return nil, err // before another one is asked for: whoever tries again when the view changes would never rest
		}
		r := s.renew()
		select {
		case <-r.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if v := s.view(); v.isLeased(time.Now()) {
			return v, nil
		}
		if r.err != nil {
			return nil, r.err
		}
	}
}

// refusal is why a lease was refused a moment ago: whoever comes then need not
// wait to hear the same.
func (s *seat) refusal(now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.failed) < refusalTime {
		return s.failure
	}
	return nil
}

// renew asks for a lease, or returns the renewal that is under way.
func (s *seat) renew() *renewal {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.renewal != nil {
		return s.renewal
	}
	r := &renewal{done: make(chan struct{})}
	s.renewal = r
	resets := s.resets.Load()
	isBegun := s.work.begin(func(ctx context.Context) { // ends after leaseTime at most
		ctx, cancel := context.WithTimeout(ctx, leaseTime)
		defer cancel()
		r.err = s.ask(ctx, resets)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.renewal = nil
		if r.err != nil {
			s.failed, s.failure = time.Now(), r.err
		}
		close(r.done)
	})
	if !isBegun {
		r.err = errNoSeat
		s.renewal = nil
		close(r.done)
	}
	return r
}

// ask asks for a lease.
func (s *seat) ask(ctx context.Context, resets uint64) error {
	asked := time.Now()
	data, at, err := s.log.Query(ctx, machine.Linearizable, command{op: opRing}.encode())
	if err != nil {
		return err
	}
	r, err := decodeRoster(data)
	if err != nil {
		return err
	}
	if err := s.peers.Reach(ctx, at.Cluster, at.Index); err != nil {
		return errors.Join(machine.ErrLoading, err)
	}
	known, err := s.known(ctx, at)
	if err != nil {
		return err
	}
	id, _ := s.peers.Self()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.resets.Load() != resets {
		return machine.ErrLoading
	}
	if !s.isOpen {
		s.store.setFloor(known)
		s.isOpen = true
	}
	s.replaceLocked(func(v *view) {
		s.learnLocked(v, &r)
		v.index, v.leased = max(v.index, at.Index), max(v.leased, at.Index)
		if r.find(id) >= 0 {
			v.lease, v.asked = asked.Add(leaseUse), asked
		}
	})
	if r.find(id) < 0 {
		return errNoSeat
	}
	return nil
}

// known returns an index up to which nothing was heard before the last reset:
// this node may have been ahead of the leader, who answered at a stamp, and
// what it was told then of invalidations is forgotten.
func (s *seat) known(ctx context.Context, at machine.Stamp) (uint64, error) {
	_, here, err := s.log.Query(ctx, machine.Local, command{op: opRing}.encode())
	switch {
	case err != nil:
		return 0, err
	case here.Cluster != at.Cluster:
		return 0, machine.ErrLoading
	}
	return max(at.Index, here.Index), nil
}

// settle waits until everybody knows of the present ring, or cannot rely on
// another one any more, so that this node alone serves what it owns by it.
func (s *seat) settle(ctx context.Context) error {
	v := s.view()
	for v.ring() == nil || v.leased < v.ring().version || !v.isLeased(time.Now()) {
		r := s.renew()
		select {
		case <-r.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if r.err != nil {
			return r.err
		}
		if v = s.view(); v.ring() != nil && v.leased < v.ring().version {
			pause(ctx, retryWait) // the leader is behind this node
		}
	}
	target := v.ring()
	if v.ready < target.version {
		return nil // it has come since the store was made ready: the keeper looks again
	}
	self, cluster := s.peers.Self()
	s.tell(ctx, target.roster.others(self), cluster, target.version)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.view().rings, target); i >= 0 {
		s.replaceLocked(func(v *view) { v.rings, v.settled = v.rings[i:], true })
	}
	return nil
}
