package replica

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/huddlecache/huddle/cluster/machine"
)

// event is an event of one feature.
type event struct {
	feature uint8
	machine.Event
}

// subscribers are those who want the events of a feature.
type subscribers struct {
	mu   sync.Mutex // guards list
	list []*subscriber
}

type subscriber struct {
	feature uint8
	fn      func(machine.Event)
}

func (s *subscribers) add(feature uint8, fn func(machine.Event)) (cancel func()) {
	sub := &subscriber{feature, fn}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(slices.Clone(s.list), sub)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.list = slices.DeleteFunc(slices.Clone(s.list), func(o *subscriber) bool { return o == sub })
	}
}

func (s *subscribers) current() []*subscriber {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list
}

func (s *subscribers) deliver(events []event) {
	if len(events) == 0 {
		return
	}
	list := s.current()
	for _, e := range events {
		for _, sub := range list {
			if sub.feature == e.feature {
				sub.fn(e.Event)
			}
		}
	}
}

// reset tells all that anything may have changed.
func (s *subscribers) reset() {
	for _, sub := range s.current() {
		sub.fn(machine.Event{Reset: true})
	}
}

// waiters wait until an index has been applied.
type waiters struct {
	mu   sync.Mutex // guards list
	list []*waiter
	some atomic.Int32 // len(list), so that nobody waiting costs no lock
}

type waiter struct {
	index uint64
	done  chan struct{}
}

func (w *waiters) wait(ctx context.Context, index uint64, applied *atomic.Uint64) error {
	me := &waiter{index, make(chan struct{})}
	w.mu.Lock()
	w.list = append(w.list, me)
	w.some.Store(int32(len(w.list)))
	w.mu.Unlock()
	defer w.remove(me)
	// An entry applied before the list had us woke nobody; one applied after
	// it will find us.
	if applied.Load() >= index {
		return nil
	}
	select {
	case <-me.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *waiters) remove(me *waiter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = slices.DeleteFunc(w.list, func(o *waiter) bool { return o == me })
	w.some.Store(int32(len(w.list)))
}

// wake wakes all who wait for an index up to applied.
func (w *waiters) wake(applied uint64) {
	if w.some.Load() == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = slices.DeleteFunc(w.list, func(o *waiter) bool {
		if o.index > applied {
			return false
		}
		close(o.done)
		return true
	})
	w.some.Store(int32(len(w.list)))
}
