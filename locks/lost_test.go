package locks_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/locks"
)

// A badLog has some of its answers lost on the way.
type badLog struct {
	machine.Log

	mu    sync.Mutex // guards what follows
	lose  int        // how many answers more are lost
	err   error      // what is said instead
	items int        // how many commands were given
	size  int        // of the largest call
}

func (l *badLog) Do(ctx context.Context, items ...machine.Item) ([]machine.Reply, machine.Stamp, error) {
	l.mu.Lock()
	isLost, err := l.lose > 0, l.err
	l.lose = max(l.lose-1, 0)
	l.items += len(items)
	size := 0
	for _, item := range items {
		size += len(item.Data)
	}
	l.size = max(l.size, size)
	l.mu.Unlock()
	if isLost && !errors.Is(err, machine.ErrUnknown) {
		return nil, machine.Stamp{}, err // certainly not applied
	}
	replies, stamp, failed := l.Log.Do(ctx, items...)
	if isLost {
		return nil, machine.Stamp{}, err
	}
	return replies, stamp, failed
}

func (l *badLog) next(n int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lose, l.err, l.items = n, err, 0
}

// inBadWorld is inWorld with locks whose answers can be lost.
func inBadWorld(t *testing.T, run func(t *testing.T, w *world, log *badLog, l *locks.Locks)) {
	t.Helper()
	inWorld(t, func(t *testing.T, w *world) {
		log := &badLog{Log: w.others()[0].Node.Log(feature)}
		l := locks.New(log)
		t.Cleanup(l.Close)
		run(t, w, log, l)
	})
}

func TestAnAnswerThatWasLostLeavesNoLockBehind(t *testing.T) {
	inBadWorld(t, func(t *testing.T, w *world, log *badLog, l *locks.Locks) {
		isFree := func() bool {
			info := w.info(w.Leader(), "x")
			return len(info.Holders)+info.Waiters == 0
		}
		for _, lost := range []int{1, 2, 5} {
			log.next(lost, machine.ErrUnknown)
			if _, err := l.Acquire(t.Context(), "x", locks.Options{TTL: time.Hour}); !errors.Is(err, machine.ErrUnknown) {
				t.Errorf("got %v, want ErrUnknown", err)
			}
			w.Wait(time.Second, "the lock to be taken back", isFree)

			log.next(0, nil)
			lock, err := l.Acquire(t.Context(), "x", locks.Options{TTL: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			log.next(lost, machine.ErrNoQuorum)
			if err := lock.Release(t.Context()); !errors.Is(err, machine.ErrNoQuorum) {
				t.Errorf("got %v, want ErrNoQuorum", err)
			}
			w.Wait(time.Second, "the lock to be released", isFree)

			// One that waits, and that nobody waits for.
			holder := w.acquire(w.Leader(), "x", locks.Options{})
			log.next(lost, machine.ErrUnknown)
			if _, err := l.Acquire(t.Context(), "x", locks.Options{Wait: time.Hour}); !errors.Is(err, machine.ErrUnknown) {
				t.Errorf("got %v, want ErrUnknown", err)
			}
			w.Wait(time.Second, "the place to be given up", func() bool { return w.info(w.Leader(), "x").Waiters == 0 })
			release(t, holder)
		}
	})
}

func TestAnOfferIsConfirmedThoughAnswersAreLost(t *testing.T) {
	inBadWorld(t, func(t *testing.T, w *world, log *badLog, l *locks.Locks) {
		for _, err := range []error{machine.ErrUnknown, machine.ErrNoQuorum} {
			holder := w.acquire(w.Leader(), "x", locks.Options{})
			done := make(chan *locks.Lock)
			go func() {
				lock, err := l.Acquire(t.Context(), "x", locks.Options{TTL: 2 * time.Second, Wait: time.Minute})
				if err != nil {
					t.Error(err)
				}
				done <- lock
			}()
			w.Wait(time.Second, "the call to wait", func() bool { return w.info(w.Leader(), "x").Waiters == 1 })
			log.next(3, err)
			release(t, holder)
			lock := <-done
			// The lease began when it was confirmed first, and not when that
			// was heard.
			if info := w.info(w.Leader(), "x"); len(info.Holders) != 1 || info.Holders[0].Token != lock.Token() {
				t.Errorf("held by %+v, want token %d", info, lock.Token())
			}
			time.Sleep(4 * time.Second)
			if isLost(lock) {
				t.Error("lost, though it is renewed")
			}
			release(t, lock)
		}
	})
}

func TestManyLocksAreRenewedTogether(t *testing.T) {
	inBadWorld(t, func(t *testing.T, w *world, log *badLog, l *locks.Locks) {
		var held []*locks.Lock
		for i := range 100 {
			lock, err := l.Acquire(t.Context(), fmt.Sprint("x", i), locks.Options{TTL: 6 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, lock)
		}
		log.next(0, nil)
		time.Sleep(20 * time.Second)
		log.mu.Lock()
		commands := log.items
		log.mu.Unlock()
		if commands < 9 || commands > 40 {
			t.Errorf("%d commands renewed 100 locks ten times", commands)
		}
		for _, lock := range held {
			if isLost(lock) {
				t.Fatal("one was lost")
			}
		}
	})
}

// Calls of more than 256 KiB travel apart from others, so that what they take
// back could come before it was asked for.
func TestManyLocksWithLongNamesTravelWithAllOthers(t *testing.T) {
	inBadWorld(t, func(t *testing.T, _ *world, log *badLog, l *locks.Locks) {
		const count = 300
		var held []*locks.Lock
		for i := range count {
			name := fmt.Sprintf("%0*d", locks.MaxName, i)
			lock, err := l.Acquire(t.Context(), name, locks.Options{TTL: 6 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, lock)
		}
		time.Sleep(20 * time.Second)
		for _, lock := range held {
			if isLost(lock) {
				t.Fatal("one was lost")
			}
		}
		l.Close()
		log.mu.Lock()
		defer log.mu.Unlock()
		if most := 200 << 10; log.size > most || log.size < most/2 {
			t.Errorf("%d bytes in one call to renew or release %d locks, want at most %d, and not one at a time", log.size, count, most)
		}
	})
}

func TestALockThatCannotBeRenewedIsLostInTime(t *testing.T) {
	inBadWorld(t, func(t *testing.T, w *world, log *badLog, l *locks.Locks) {
		lock, err := l.Acquire(t.Context(), "x", locks.Options{TTL: 3 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		log.next(1_000_000, machine.ErrNoQuorum)
		start := time.Now()
		<-lock.Lost()
		if took := time.Since(start); took < 2900*time.Millisecond || took > 2997*time.Millisecond {
			t.Errorf("lost after %s, want 3s less a thousandth since it was asked for", took)
		}
		if !errors.Is(context.Cause(lock.Context()), locks.ErrLost) {
			t.Errorf("cause %v, want ErrLost", context.Cause(lock.Context()))
		}
		log.next(0, nil)
		synctest.Wait()

		// Released behind the holder's back.
		lock, err = l.Acquire(t.Context(), "x", locks.Options{TTL: 3 * time.Second, Wait: 10 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		w.breakLock("x", lock.Token())
		start = time.Now()
		<-lock.Lost()
		if took := time.Since(start); took > time.Second+50*time.Millisecond {
			t.Errorf("lost after %s, want at the next renewal", took)
		}
	})
}

// breakLock releases a lock that another holds, by its lease: the number drawn
// before or after the token.
func (w *world) breakLock(name string, token uint64) {
	w.t.Helper()
	for lease := token - 1; lease > token-100; lease-- {
		wasHeld, err := w.at(w.Leader()).Release(w.t.Context(), name, lease, "")
		if err != nil {
			w.t.Fatal(err)
		}
		if wasHeld {
			return
		}
	}
	w.t.Fatal("no such lease")
}
