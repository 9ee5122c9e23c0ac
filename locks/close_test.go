package locks_test

import (
	"errors"
	"testing"
	"time"

	"github.com/huddlecache/huddle/locks"
)

// A lock that was acquired as the node stops.
func TestAcquireOnAClosedNodeLeavesNothing(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		l := locks.New(w.others()[0].Node.Log(feature))
		l.Close()
		if _, err := l.Acquire(t.Context(), "x", locks.Options{TTL: time.Minute}); !errors.Is(err, locks.ErrClosed) {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if info := w.info(w.Leader(), "x"); len(info.Holders) > 0 {
			t.Errorf("held by %+v though the call said ErrClosed", info.Holders)
		}
	})
}

// Those who wait as the node closes.
func TestCloseTakesWaitersBack(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		l := locks.New(w.others()[0].Node.Log(feature))
		w.acquire(w.Leader(), "x", locks.Options{})
		done := make(chan struct{}, 50)
		for range 50 {
			go func() {
				_, _ = l.AcquireLease(t.Context(), "x", locks.Options{Wait: time.Hour})
				done <- struct{}{}
			}()
		}
		time.Sleep(time.Second)
		l.Close()
		for range 50 {
			<-done
		}
		time.Sleep(5 * time.Second)
		if info := w.info(w.Leader(), "x"); info.Waiters > 0 {
			t.Errorf("%d wait on a closed node", info.Waiters)
		}
	})
}
