package locks

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
)

// An attempt is one call that asks for a lock. Calls that are repeated with one
// key ask for the same request, which stays for as long as one of them wants it.
type attempt struct {
	acquisition
	idem   string
	number uint64       // tells it from others for the same request; 0 without a key, where there are none
	began  time.Time    // when the call began
	result chan outcome // holds what it came to; nil where it does not wait

	// What follows is guarded by Locks.mu.
	isQueued bool // the request is in the queue, and its attempt waits for the result
	isDue    bool // something may have happened to it
	isTold   bool // result was given
}

func (a *attempt) claim() claim { return claim{a.id, a.number} }

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
		if o.Idem != "" {
			a.number = rand.Uint64()
		}
		s, err := l.try(ctx, a)
		switch {
		case err != nil:
			return Lease{}, err
		case s.condition == isHolding:
			return leaseOf(name, s), nil
		}
		if o.Idem != "" {
			// It may have been had and released by the same call, made elsewhere.
			return Lease{}, &NotAcquiredError{Name: name}
		}
		// The request has vanished before its time: its node has been removed
		// from the cluster and taken in again, or a backup was restored. It
		// waits again, as a new one.
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
	until := s.asked.Add(short(s.left))
	return Lease{Name: name, ID: s.lease, Token: s.token, Left: max(time.Until(until), 0), asked: s.asked, until: until}
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
	case s.condition == isCrowded:
		return s, machine.ErrOverloaded
	case s.condition == isWaiting && a.wait == 0, s.condition == isGone && a.wait == 0:
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
		items = append(items, machine.Item{Data: encodeClaims(kindAttend, []claim{a.claim()}), Frees: true})
	}
	replies, _, err := l.log.Do(ctx, items...)
	if err != nil {
		return outcome{}, err
	}
	first, err := standingIn(replies[0])
	if err != nil || a.idem == "" || first.condition != isHolding && first.condition != isWaiting {
		return outcome{first, asked}, err
	}
	now, err := standingIn(replies[1])
	if err == nil && (now.condition == isGone || first.condition == isHolding && now.condition != isHolding) {
		err = &NotAcquiredError{Name: a.name} // what the first call had, or waited for, has ended
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
	a.result = make(chan outcome, 1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isClosed {
		return ErrClosed
	}
	l.waiting[a.id] = append(l.waiting[a.id], a)
	return nil
}

// strike is the end of enlist. By then it was noted if the attempt is to be
// taken back.
func (l *Locks) strike(a *attempt) {
	if a.result == nil {
		return
	}
	l.mu.Lock()
	rest := slices.DeleteFunc(l.waiting[a.id], func(o *attempt) bool { return o == a })
	if l.waiting[a.id] = rest; len(rest) == 0 {
		delete(l.waiting, a.id)
	}
	isLast := l.isClosed && len(l.waiting) == 0
	l.mu.Unlock()
	if isLast {
		l.signal() // the keeper waits for that
	}
}

// takeBack has a request forgotten that no other attempt wants, and its lock
// released if it has it.
func (l *Locks) takeBack(a *attempt) { l.discard(discard{claim: a.claim()}) }

// queued notes that the result may come. What was heard before counts now.
func (l *Locks) queued(a *attempt) {
	l.mu.Lock()
	a.isQueued = true
	isDue := a.isDue
	l.mu.Unlock()
	if isDue {
		l.signal()
	}
}

// wait waits until the lock is this attempt's, or its time is over.
func (l *Locks) wait(ctx context.Context, a *attempt) (outcome, error) {
	l.queued(a)
	var end <-chan time.Time // never, if there is no limit
	if a.wait != forever {
		timer := time.NewTimer(a.wait - time.Since(a.began))
		defer timer.Stop()
		end = timer.C
	}
	select {
	case s := <-a.result:
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
	replies, _, err := l.log.Do(ctx,
		machine.Item{Data: encodeClaims(kindCancel, []claim{a.claim()}), Frees: true},
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
