package locks

import (
	"context"
	"fmt"
	"time"
)

// A Lock is held from when Acquire returns it, and renewed in the background,
// until it is released or lost.
type Lock struct {
	locks *Locks
	name  string
	lease uint64
	token uint64
	ttl   time.Duration
	life  context.Context // ends when the lock was released or lost, with ErrLost as its cause
	end   context.CancelCauseFunc

	// What follows is guarded by Locks.mu.
	until   time.Time   // when the lease may have run out; carries the monotonic clock
	renewal time.Time   // when it is to be renewed
	timer   *time.Timer // ends life
	isOver  bool        // it was released or lost
}

// Acquire acquires a lock and keeps it until it is released or lost. Errors
// are those of AcquireLease, and ErrClosed.
//
// A context that ends while Acquire waits gives up the place in the queue. It
// does not end the lock that was acquired before.
//
// A call that is repeated with its key on this node returns the Lock of the
// first one, with that one's context. Then releasing it once releases it for
// all that have it, and releasing it again is ErrLost.
func (l *Locks) Acquire(ctx context.Context, name string, o Options) (*Lock, error) {
	o = o.withDefaults()
	l.mu.Lock()
	isClosed := l.isClosed
	l.mu.Unlock()
	if isClosed {
		return nil, ErrClosed
	}
	lease, err := l.AcquireLease(ctx, name, o)
	if err != nil {
		return nil, err
	}
	lock := l.hold(ctx, lease, o.TTL)
	if lock == nil {
		l.discard(discard{lease: holding{name: name, lease: lease.ID}})
		return nil, ErrClosed
	}
	return lock, nil
}

// hold keeps a lease until it is released or lost. It returns nil if these
// locks are closed.
func (l *Locks) hold(ctx context.Context, lease Lease, ttl time.Duration) *Lock {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isClosed {
		return nil
	}
	if lock := l.held[lease.ID]; lock != nil {
		return lock
	}
	lock := &Lock{
		locks: l, name: lease.Name, lease: lease.ID, token: lease.Token, ttl: ttl.Truncate(time.Millisecond),
		until: lease.until,
	}
	lock.life, lock.end = context.WithCancelCause(context.WithoutCancel(ctx))
	lock.renewal = lease.asked.Add(lock.ttl / 3)
	lock.timer = time.AfterFunc(time.Until(lock.until), lock.expire)
	l.held[lock.lease] = lock
	if l.next.IsZero() || lock.renewal.Before(l.next) {
		l.signal() // else the keeper comes by in time, and need not look at all locks for each
	}
	return lock
}

// Context returns a context that ends when Lost is closed, with ErrLost as its
// cause. It has the values of the context that Acquire was called with.
func (k *Lock) Context() context.Context {
	k.Held()
	return k.life
}

func (k *Lock) holding() holding { return holding{name: k.name, lease: k.lease} }

// Name returns the lock's name.
func (k *Lock) Name() string { return k.name }

// Token returns the fencing token, which is higher than that of everyone who
// had the lock before.
func (k *Lock) Token() uint64 { return k.token }

// Lost returns a channel that is closed when the lock may be another's: when
// its lease may have run out, by this machine's monotonic clock and counted
// from before it was last asked for, or when it was released. That is never
// later than the cluster gives the lock to another; but a process that was
// paused must look before it can know, and the clock of a machine that was
// suspended stood still: what counts in the end is the token.
func (k *Lock) Lost() <-chan struct{} {
	k.Held()
	return k.life.Done()
}

// Held reports whether the lock is certainly still held.
func (k *Lock) Held() bool {
	k.locks.mu.Lock()
	defer k.locks.mu.Unlock()
	if !k.isOver && !time.Now().Before(k.until) {
		k.locks.loseLocked(k)
	}
	return !k.isOver
}

// Release gives the lock back. Where that cannot be agreed on now it returns
// the log's error, and goes on trying in the background. The error is ErrLost
// if the lock was lost or released before.
func (k *Lock) Release(ctx context.Context) error {
	l := k.locks
	l.mu.Lock()
	wasOver := k.isOver
	k.endLocked()
	l.mu.Unlock()
	if wasOver {
		return fmt.Errorf("releasing lock %q: %w", k.name, ErrLost)
	}
	wasHeld, err := l.Release(ctx, k.name, k.lease, "")
	switch {
	case err != nil:
		l.discard(discard{lease: k.holding()})
		return fmt.Errorf("releasing lock %q: %w", k.name, err)
	case !wasHeld:
		return fmt.Errorf("releasing lock %q: %w", k.name, ErrLost)
	}
	return nil
}

// endLocked ends the renewal.
func (k *Lock) endLocked() {
	if k.isOver {
		return
	}
	k.isOver = true
	k.timer.Stop()
	delete(k.locks.held, k.lease)
	k.end(ErrLost)
}

// loseLocked ends a lock that its holder must not count on any more. The
// cluster may hold it for a little longer, which helps nobody.
func (l *Locks) loseLocked(k *Lock) {
	if k.isOver {
		return
	}
	k.endLocked()
	l.discardLocked(discard{lease: k.holding()})
	l.signal()
}

// expire ends the lock when its lease may have run out.
func (k *Lock) expire() { k.Held() }

// renewedLocked takes the answer to a renewal.
func (l *Locks) renewedLocked(k *Lock, answer uint64, asked time.Time) {
	if k.isOver {
		return
	}
	if answer == isTooLong { // it ends as it would have, unless there is room by then
		k.renewal = asked.Add(k.ttl / 3)
		return
	}
	if answer < leftBase {
		k.endLocked()
		return
	}
	k.until = asked.Add(short(time.Duration(answer - leftBase)))
	k.renewal = asked.Add(k.ttl / 3)
	k.timer.Reset(time.Until(k.until))
}
