package store

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// health is the state of one life: well, failed, or stopped. It never gets
// better; a new life begins well.
type health struct {
	failed chan struct{} // closed by the first failure
	halted chan struct{} // closed by stop

	mu  sync.Mutex // guards err and the closing of both channels
	err error
}

func newHealth() *health {
	return &health{failed: make(chan struct{}), halted: make(chan struct{})}
}

// fail remembers the first failure.
func (h *health) fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil {
		h.err = err
		close(h.failed)
	}
}

func (h *health) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-h.halted:
	default:
		close(h.halted)
	}
}

func (h *health) cause() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}

// stopped returns ErrStopped once the life has ended.
func (h *health) stopped() error {
	select {
	case <-h.halted:
		return ErrStopped
	default:
		return nil
	}
}

// refuse returns why nothing may be written, or nil.
func (h *health) refuse() error {
	if err := h.stopped(); err != nil {
		return err
	}
	if err := h.cause(); err != nil {
		return fmt.Errorf("an earlier write failed: %w", err)
	}
	return nil
}

// A stall knows how long writes have been in progress. Few go on at once, so
// each takes one of a few slots; one that finds none free is not watched, but
// then as many others are.
type stall struct {
	origin time.Time
	slots  [8]atomic.Int64 // nanoseconds from origin to a write's beginning, plus one; 0 is free
}

func newStall() *stall { return &stall{origin: time.Now()} }

// A write in progress.
type write struct{ slot *atomic.Int64 }

func (s *stall) begin() write {
	now := int64(time.Since(s.origin)) + 1
	for i := range s.slots {
		if s.slots[i].CompareAndSwap(0, now) {
			return write{&s.slots[i]}
		}
	}
	return write{}
}

func (w write) end() {
	if w.slot != nil {
		w.slot.Store(0)
	}
}

func (s *stall) longest() time.Duration {
	var first int64
	for i := range s.slots {
		if at := s.slots[i].Load(); at != 0 && (first == 0 || at < first) {
			first = at
		}
	}
	if first == 0 {
		return 0
	}
	return time.Since(s.origin) - time.Duration(first-1)
}
