package locks

import (
	"context"
	"errors"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
)

// A Leadership is the office of the one who was elected: an exclusive lock.
type Leadership struct{ lock *Lock }

// campaignWait is the time between two attempts to stand for election while
// the cluster cannot agree.
const campaignWait = time.Second

// Campaign stands for election under a name, and returns when it has been
// won. Options.Wait bounds that where it is set, else only the context does:
// while no quorum is reached the campaign goes on. Whoever stands later is
// elected later.
func (l *Locks) Campaign(ctx context.Context, name string, o Options) (*Leadership, error) {
	if o.Wait == 0 {
		o.Wait = Forever
	}
	o.Shared, o.Slots = false, 1
	lock, err := l.Acquire(ctx, name, o)
	for err != nil && o.Wait < 0 && isPassing(err) {
		if err := sleep(ctx, campaignWait); err != nil {
			return nil, err
		}
		lock, err = l.Acquire(ctx, name, o)
	}
	if err != nil {
		return nil, err
	}
	return &Leadership{lock}, nil
}

// isPassing reports whether an error is of the cluster's present state.
func isPassing(err error) bool {
	return errors.Is(err, machine.ErrNoQuorum) || errors.Is(err, machine.ErrOverloaded) ||
		errors.Is(err, machine.ErrLoading) || errors.Is(err, machine.ErrUnknown)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Context returns a context that ends when the leadership may have ended, with
// ErrLost as its cause. It has the values of the context of the campaign, and
// outlives it.
func (e *Leadership) Context() context.Context { return e.lock.Context() }

// Token returns the fencing token of the leadership, higher than that of every
// leader before.
func (e *Leadership) Token() uint64 { return e.lock.Token() }

// Resign ends the leadership. Its errors are those of Lock.Release.
func (e *Leadership) Resign(ctx context.Context) error { return e.lock.Release(ctx) }

// Lead stands for election, again and again, and calls lead each time it is
// elected, with a context that ends when the leadership may have ended or ctx
// does. When lead returns while it still leads, Lead resigns and returns its
// error; when the leadership was lost it stands again. It also returns when
// the campaign fails.
func (l *Locks) Lead(ctx context.Context, name string, o Options, lead func(ctx context.Context, token uint64) error) error {
	for {
		office, err := l.Campaign(ctx, name, o)
		if err != nil {
			return err
		}
		err = office.hold(ctx, lead)
		wasLost := !office.lock.Held()
		// Where it cannot be agreed on now it is tried on in the background.
		_ = office.Resign(ctx)
		if !wasLost || ctx.Err() != nil {
			return err
		}
	}
}

// hold calls lead while the leadership and ctx last.
func (e *Leadership) hold(ctx context.Context, lead func(ctx context.Context, token uint64) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	office := e.Context()
	stop := context.AfterFunc(office, func() { cancel(context.Cause(office)) })
	defer stop()
	return lead(ctx, e.Token())
}
