package locks_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/locks"
)

// A call whose answer was lost is repeated with its key at once. It is told
// that it has the lock; then the taking back of the first one takes it away.
func TestACallRepeatedAfterALostAnswerKeepsItsLock(t *testing.T) {
	inBadWorld(t, func(t *testing.T, w *world, log *badLog, l *locks.Locks) {
		o := locks.Options{TTL: time.Minute, Idem: "k"}
		// Answers of the acquire and of the keeper's first try to take it back
		// are lost; the keeper pauses for 50 ms.
		log.next(1, machine.ErrUnknown)
		_, err := l.AcquireLease(t.Context(), "x", o)
		if !errors.Is(err, machine.ErrUnknown) {
			t.Fatal(err)
		}
		log.next(1, machine.ErrNoQuorum) // keeper's try fails, it waits 50 ms
		synctest.Wait()
		var lease locks.Lease
		for range 20 {
			lease, err = l.AcquireLease(t.Context(), "x", o)
			if err == nil {
				break
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		second, err := w.at(w.Leader()).AcquireLease(t.Context(), "x", locks.Options{TTL: time.Minute})
		if err == nil {
			t.Errorf("two holders: lease %d, with %s left, and lease %d", lease.ID, lease.Left-time.Second, second.ID)
		}
	})
}

// Two calls with one key on one node: the first is still waiting when the
// second has the lock.
func TestTheFirstOfTwoCallsWithOneKeyDoesNotReleaseForTheSecond(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		l := w.at(w.others()[0])
		holder := w.acquire(w.Leader(), "x", locks.Options{})
		o := locks.Options{TTL: time.Minute, Wait: 5 * time.Second, Idem: "k"}
		first := make(chan error, 1)
		go func() {
			_, err := l.AcquireLease(t.Context(), "x", o)
			first <- err
		}()
		time.Sleep(time.Second)
		second := make(chan error, 1)
		var lease locks.Lease
		go func() {
			var err error
			lease, err = l.AcquireLease(t.Context(), "x", o)
			second <- err
		}()
		time.Sleep(time.Second)
		release(t, holder)
		if err := <-second; err != nil {
			t.Fatal("second:", err)
		}
		<-first
		time.Sleep(time.Second)
		other, err := w.at(w.Leader()).AcquireLease(t.Context(), "x", locks.Options{TTL: time.Minute})
		if err == nil {
			t.Errorf("two holders: lease %d of a minute, and lease %d", lease.ID, other.ID)
		}
	})
}

// A waiting call that was granted and released is repeated with its key.
func TestARepeatedWaiterGetsNoSecondLease(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		l := w.at(w.others()[0])
		holder := w.acquire(w.Leader(), "x", locks.Options{})
		o := locks.Options{TTL: time.Minute, Wait: 5 * time.Second, Idem: "k"}
		first := make(chan locks.Lease, 1)
		go func() {
			lease, err := l.AcquireLease(t.Context(), "x", o)
			if err != nil {
				t.Error(err)
			}
			first <- lease
		}()
		time.Sleep(time.Second)
		release(t, holder)
		lease := <-first
		if _, err := l.Release(t.Context(), "x", lease.ID, ""); err != nil {
			t.Fatal(err)
		}
		again, err := l.AcquireLease(t.Context(), "x", o)
		if !errors.Is(err, locks.ErrNotAcquired) {
			t.Errorf("got %+v, %v, want ErrNotAcquired: the lease of that call has ended", again, err)
		}
	})
}

// Two calls of Acquire with one key on one node have one lock, which is renewed
// once and released once.
func TestTwoCallsWithOneKeyHaveOneLock(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		l := w.at(w.others()[0])
		o := locks.Options{TTL: 3 * time.Second, Idem: "k"}
		first, err := l.Acquire(t.Context(), "x", o)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second / 2)
		second, err := l.Acquire(t.Context(), "x", o)
		if err != nil || second != first {
			t.Fatalf("got %p, %v, want the same lock, %p", second, err, first)
		}
		time.Sleep(10 * time.Second)
		if !second.Held() {
			t.Error("lost, though it is renewed")
		}
		release(t, first)
		if err := second.Release(t.Context()); !errors.Is(err, locks.ErrLost) {
			t.Errorf("released again: %v, want ErrLost", err)
		}
	})
}

// A call that waited may count on what is left when it returns.
func TestWhatIsLeftCountsFromTheAnswer(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		holder := w.acquire(w.Leader(), "x", locks.Options{})
		got := make(chan locks.Lease, 1)
		go func() {
			lease, err := w.at(w.others()[0]).AcquireLease(t.Context(), "x", locks.Options{TTL: 2 * time.Second, Wait: time.Minute})
			if err != nil {
				t.Error(err)
			}
			got <- lease
		}()
		time.Sleep(10 * time.Second)
		release(t, holder)
		lease := <-got
		if lease.Left < 1500*time.Millisecond {
			t.Errorf("%s left of two seconds", lease.Left)
		}
		time.Sleep(lease.Left - time.Millisecond)
		if info := w.info(w.Leader(), "x"); len(info.Holders) != 1 {
			t.Error("it ended before that")
		}
	})
}
