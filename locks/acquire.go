package locks

import (
	"context"
	"errors"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
)

// An attempt is one request for a lock.
type attempt struct {
	acquisition
	idem   string
	began  time.Time // when the call began
	waiter *waiter   // nil where it does not wait
}

// A waiter is an attempt that waits in a queue of the cluster.
type waiter struct {
	result chan outcome // holds what it came to
	isDue  bool         // something may have happened to it; guarded by Locks.mu
}

// An outcome is what became of an attempt, and when that was asked.
type outcome struct {
	standing
	asked time.Time
}

// acquire asks for a lock, and waits for it where that is wanted.
func (l *Locks) acquire(ctx context.Context, name string, o Options) (Lease, error) {
	began := time.Now()
	for {
		a := &attempt{acquisition: o.request(name), idem: o.Idem, began: began}
		s, err := l.try(ctx, a)
		switch {
		case err != nil:
			return Lease{}, err
		case s.condition == isHolding:
			return leaseOf(name, s), nil
		}
		// The request has vanished before its time. Either its node has been
		// removed from the cluster and taken in again, or it is one that is
		// repeated after it was taken back. It waits again, as a new one.
		o.Idem = ""
		if o.Wait > 0 {
			o.Wait -= time.Since(began)
			began = time.Now()
		}
		if o.Wait < 0 && a.wait != forever {
			return Lease{}, &NotAcquiredError{Name: name}
		}
	}
}

func leaseOf(name string, s outcome) Lease {
	left := short(s.left)
	return Lease{Name: name, ID: s.lease, Token: s.token, Left: left, until: s.asked.Add(left)}
}

// try makes one attempt. Without an error it holds the lock, or is gone.
func (l *Locks) try(ctx context.Context, a *attempt) (outcome, error) {
	if err := l.enlist(a); err != nil {
		return outcome{}, err
	}
	defer l.strike(a)
	s, err := l.request(ctx, a)
	if err != nil {
		if !isCertain(err) {
			l.takeBack(a)
		}
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return s, err
	}
	switch {
	case s.condition == isFull:
		return s, machine.ErrFull
	case s.condition == isRefused:
		return s, &NotAcquiredError{Name: a.name, Holder: s.holder}
	case s.condition == isWaiting && a.waiter == nil, s.condition == isGone && a.waiter == nil:
		return s, &NotAcquiredError{Name: a.name}
	case s.condition == isWaiting:
		return l.wait(ctx, a)
	}
	return s, nil
}

// request puts a request into the log. One that may be a repetition is asked
// after in the same go: what is remembered of its first answer may be over.
func (l *Locks) request(ctx context.Context, a *attempt) (outcome, error) {
	asked := time.Now()
	items := []machine.Item{{Data: a.encode(), Idem: a.idem}}
	if a.idem != "" {
		items = append(items, machine.Item{Data: encodeIDs(kindAttend, []requestID{a.id}), Frees: true})
	}
	replies, _, err := l.log.Do(ctx, items...)
	if err != nil {
		return outcome{}, err
	}
	first, err := standingIn(replies[0])
	if err != nil || a.idem == "" || first.condition == isRefused || first.condition == isFull {
		return outcome{first, asked}, err
	}
	now, err := standingIn(replies[1])
	if err == nil && first.condition == isHolding && now.condition != isHolding {
		err = &NotAcquiredError{Name: a.name} // the lease of the first call has ended
	}
	return outcome{now, asked}, err
}

func standingIn(reply machine.Reply) (standing, error) {
	if reply.Err != nil {
		return standing{}, reply.Err
	}
	r := &reader{data: reply.Data}
	s := r.standing()
	return s, r.done()
}

// isCertain reports whether an error says that a command had no effect.
func isCertain(err error) bool {
	for _, certain := range []error{
		ErrNotAcquired, machine.ErrNoQuorum, machine.ErrOverloaded, machine.ErrTooBig, machine.ErrFull,
		machine.ErrLoading, machine.ErrReused,
	} {
		if errors.Is(err, certain) {
			return true
		}
	}
	return false
}

// enlist lets events find an attempt that is willing to wait.
func (l *Locks) enlist(a *attempt) error {
	if a.wait == 0 {
		return nil
	}
	a.waiter = &waiter{result: make(chan outcome, 1)}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isClosed {
		return ErrClosed
	}
	l.waiting[a.id] = a.waiter
	return nil
}

// strike is the end of enlist.
func (l *Locks) strike(a *attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a.waiter != nil && l.waiting[a.id] == a.waiter {
		delete(l.waiting, a.id)
	}
}

// isRepeated reports whether a later call on this node is the same one, and
// waits for its request now.
func (l *Locks) isRepeated(a *attempt) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.waiting[a.id]
	return w != nil && w != a.waiter
}

// takeBack has a request forgotten, and its lock released if it has it.
func (l *Locks) takeBack(a *attempt) {
	if !l.isRepeated(a) {
		l.discard(discard{id: a.id})
	}
}

// wait waits until the lock is this attempt's, or its time is over.
func (l *Locks) wait(ctx context.Context, a *attempt) (outcome, error) {
	var end <-chan time.Time // never, if there is no limit
	if a.wait != forever {
		timer := time.NewTimer(a.wait - time.Since(a.began))
		defer timer.Stop()
		end = timer.C
	}
	select {
	case s := <-a.waiter.result:
		return s, nil
	case <-end:
		return outcome{}, l.giveUp(ctx, a)
	case <-ctx.Done():
		l.takeBack(a)
		return outcome{}, ctx.Err()
	case <-l.closing:
		l.takeBack(a)
		return outcome{}, ErrClosed
	}
}

// giveUp takes a request back, and says who has the lock. If it was granted at
// the last moment it is released.
func (l *Locks) giveUp(ctx context.Context, a *attempt) error {
	failure := &NotAcquiredError{Name: a.name}
	if l.isRepeated(a) {
		return failure
	}
	replies, _, err := l.log.Do(ctx,
		machine.Item{Data: encodeIDs(kindCancel, []requestID{a.id}), Frees: true},
		machine.Item{Data: encodeInfo(a.name), Query: true})
	if err != nil || replies[0].Err != nil {
		l.takeBack(a)
		return failure
	}
	r := &reader{data: replies[1].Data}
	if info := r.info(); replies[1].Err == nil && r.done() == nil && len(info.Holders) > 0 {
		failure.Holder = info.Holders[0]
	}
	return failure
}
