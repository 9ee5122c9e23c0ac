package locks_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster/clustertest"
	"github.com/huddlecache/huddle/locks"
)

func TestALockIsHeldByOne(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		pods := w.Pods()
		first := w.acquire(pods[0], "x", locks.Options{TTL: 2 * time.Second, Owner: "first"})
		_, err := w.at(pods[1]).Acquire(t.Context(), "x", locks.Options{})
		wantNotAcquired(t, err, "first")

		time.Sleep(10 * time.Second) // it is renewed meanwhile
		if isLost(first) {
			t.Error("a lock that is renewed was lost")
		}
		start := time.Now()
		_, err = w.at(pods[2]).Acquire(t.Context(), "x", locks.Options{Wait: 3 * time.Second})
		wantNotAcquired(t, err, "first")
		if took := time.Since(start); took < 3*time.Second || took > 3100*time.Millisecond {
			t.Errorf("gave up after %s, want 3s", took)
		}
		release(t, first)
		if !isLost(first) {
			t.Error("Lost of a released lock is not closed")
		}
		if err := first.Release(t.Context()); !errors.Is(err, locks.ErrLost) {
			t.Errorf("releasing again: %v, want ErrLost", err)
		}
		second := w.acquire(pods[1], "x", locks.Options{})
		if second.Token() <= first.Token() {
			t.Errorf("token %d after %d", second.Token(), first.Token())
		}
	})
}

func TestWaitersAreServedInOrderAcrossNodes(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		pods := w.Pods()
		holder := w.acquire(pods[0], "x", locks.Options{})
		var mu sync.Mutex
		var order []int
		var calls []*call
		for i := range 12 {
			c := w.wait(t.Context(), pods[i%3], "x", locks.Options{Wait: time.Minute})
			calls = append(calls, c)
			go func() {
				<-c.done
				mu.Lock()
				defer mu.Unlock()
				order = append(order, i)
			}()
		}
		if got := w.info(pods[1], "x").Waiters; got != 12 {
			t.Errorf("%d wait, want 12", got)
		}
		last := holder
		for i := range calls {
			start := time.Now()
			release(t, last)
			next := calls[i].got(t, 100*time.Millisecond)
			if took := time.Since(start); took > 100*time.Millisecond {
				t.Errorf("handing over took %s", took)
			}
			if next.Token() <= last.Token() {
				t.Errorf("token %d after %d", next.Token(), last.Token())
			}
			synctest.Wait()
			last = next
		}
		release(t, last)
		if !slices.IsSorted(order) || len(order) != len(calls) {
			t.Errorf("served in the order %v", order)
		}
	})
}

// sweepTime is how late a leader notices that something has ended, while
// nobody asks for anything.
const sweepTime = 100 * time.Millisecond

func TestAHolderWhoseNodeDiesIsFollowedWithinItsTTL(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		const ttl = 3 * time.Second
		for _, who := range []string{"another", "the leader"} {
			victim := w.others()[0]
			if who == "the leader" {
				victim = w.Leader()
			}
			w.acquire(victim, "x", locks.Options{TTL: ttl})
			// A call of the same node stands in front.
			w.wait(t.Context(), victim, "x", locks.Options{Wait: time.Minute})
			survivors := slices.DeleteFunc(w.Pods(), func(p *clustertest.Pod) bool { return p == victim })
			next := w.wait(t.Context(), survivors[0], "x", locks.Options{Wait: time.Minute})
			start := time.Now()
			w.Kill(victim)
			lock := next.got(t, time.Minute)
			took := time.Since(start)
			t.Logf("%s died: the next had the lock after %s", who, took)
			most := ttl + time.Second + 2*sweepTime
			if who == "the leader" {
				most += 3 * time.Second // nothing expires while nobody leads
			}
			if took > most {
				t.Errorf("%s died: the next had the lock after %s, want at most %s", who, took, most)
			}
			release(t, lock)
			w.Add(1)
			w.WaitReady(time.Minute)
		}
	})
}

func TestAPlannedLeaderChangeLosesNoLockAndOvertakesNobody(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		others := w.others()
		holder := w.acquire(others[0], "x", locks.Options{TTL: 2 * time.Second})
		var calls []*call
		for i := range 6 {
			calls = append(calls, w.wait(t.Context(), others[i%2], "x", locks.Options{Wait: time.Minute}))
		}
		w.Stop(w.Leader())
		if isLost(holder) {
			t.Error("the lock was lost")
		}
		last := holder
		for i, c := range calls {
			for _, later := range calls[i:] {
				if later.isDone() {
					t.Fatalf("call %d or a later one has the lock too early", i)
				}
			}
			release(t, last)
			last = c.got(t, time.Second)
		}
		release(t, last)
	})
}

func TestSharedHoldersAndAFairWriter(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		pods := w.Pods()
		shared := locks.Options{Shared: true, Wait: time.Minute}
		a, b := w.acquire(pods[0], "x", shared), w.acquire(pods[1], "x", shared)
		writer := w.wait(t.Context(), pods[2], "x", locks.Options{Wait: time.Minute})
		if _, err := w.at(pods[0]).Acquire(t.Context(), "x", locks.Options{Shared: true}); !errors.Is(err, locks.ErrNotAcquired) {
			t.Errorf("a reader came past a writer that waits: %v", err)
		}
		c, d := w.wait(t.Context(), pods[0], "x", shared), w.wait(t.Context(), pods[1], "x", shared)
		release(t, a)
		if writer.isDone() {
			t.Error("the writer has the lock beside a reader")
		}
		release(t, b)
		held := writer.got(t, time.Second)
		if c.isDone() || d.isDone() {
			t.Error("a reader has the lock beside the writer")
		}
		release(t, held)
		c.got(t, time.Second)
		d.got(t, time.Second)
		if got := len(w.info(pods[2], "x").Holders); got != 2 {
			t.Errorf("%d hold the lock, want 2", got)
		}
	})
}

func TestSlots(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		pods := w.Pods()
		var held []*locks.Lock
		for i := range 3 {
			held = append(held, w.acquire(pods[i], "x", locks.Options{Slots: 3}))
		}
		if _, err := w.at(pods[0]).Acquire(t.Context(), "x", locks.Options{Slots: 3}); !errors.Is(err, locks.ErrNotAcquired) {
			t.Errorf("a fourth one of three: %v", err)
		}
		alone := w.wait(t.Context(), pods[0], "x", locks.Options{Wait: time.Minute})
		one := w.wait(t.Context(), pods[1], "x", locks.Options{Slots: 3, Wait: time.Minute})
		for _, lock := range held {
			if alone.isDone() || one.isDone() {
				t.Error("served too early")
			}
			release(t, lock)
		}
		release(t, alone.got(t, time.Second))
		one.got(t, time.Second)
	})
}

func TestWhoeverGivesUpDoesNotGetTheLock(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		pods := w.Pods()
		holder := w.acquire(pods[0], "x", locks.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		gone := w.wait(ctx, pods[1], "x", locks.Options{Wait: locks.Forever})
		next := w.wait(t.Context(), pods[2], "x", locks.Options{Wait: locks.Forever})
		cancel()
		<-gone.done
		if !errors.Is(gone.err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", gone.err)
		}
		w.Wait(time.Second, "the place to be given up", func() bool { return w.info(pods[0], "x").Waiters == 1 })
		release(t, holder)
		next.got(t, 100*time.Millisecond)

		// At the very moment in which the lock is handed over.
		for i := range 50 {
			name := fmt.Sprint("y", i)
			holder := w.acquire(pods[0], name, locks.Options{})
			ctx, cancel := context.WithCancel(t.Context())
			c := w.wait(ctx, pods[1+i%2], name, locks.Options{TTL: time.Hour, Wait: locks.Forever})
			if i%4 < 2 {
				go cancel()
			}
			release(t, holder)
			cancel()
			<-c.done
			if c.err == nil {
				release(t, c.lock)
			}
			w.Wait(time.Second, "the lock to be free", func() bool {
				info := w.info(pods[0], name)
				return len(info.Holders)+info.Waiters == 0
			})
		}
	})
}

func TestAPausedHolderKnowsWhenItMayHaveLostTheLock(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		victim, other := w.others()[0], w.others()[1]
		var fence locks.Fence
		old := w.acquire(victim, "x", locks.Options{TTL: 2 * time.Second})
		if err := fence.Admit(old.Token()); err != nil {
			t.Fatal(err)
		}
		next := w.wait(t.Context(), other, "x", locks.Options{Wait: time.Minute})
		w.Net.Pause(victim.Addr)
		lost := time.Now()
		select {
		case <-old.Lost():
		case <-next.done:
			t.Fatal("the lock is another's before Lost is closed")
		}
		t.Logf("lost after %s", time.Since(lost))
		lock := next.got(t, time.Minute)
		if err := fence.Admit(lock.Token()); err != nil {
			t.Fatal(err)
		}
		w.Net.Resume(victim.Addr)
		if err := fence.Admit(old.Token()); !errors.Is(err, locks.ErrFenced) {
			t.Errorf("the fence admits an old token: %v", err)
		}
		if got := fence.Highest(); got != lock.Token() {
			t.Errorf("highest token %d, want %d", got, lock.Token())
		}
		if old.Held() {
			t.Error("Held after Lost")
		}
	})
}

func TestASilentNodeKeepsItsPlace(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		victim, other := w.others()[0], w.others()[1]
		holder := w.acquire(other, "x", locks.Options{})
		first := w.wait(t.Context(), victim, "x", locks.Options{Wait: time.Minute})
		second := w.wait(t.Context(), other, "x", locks.Options{Wait: time.Minute})
		third := w.wait(t.Context(), other, "x", locks.Options{Wait: time.Minute})
		w.Net.Pause(victim.Addr)
		start := time.Now()
		release(t, holder)
		lock := second.got(t, 2*time.Second)
		if took := time.Since(start); took < time.Second || took > time.Second+sweepTime {
			t.Errorf("the node that does not answer was passed over after %s, want 1s", took)
		}
		w.Net.Resume(victim.Addr)
		time.Sleep(3 * time.Second)
		release(t, lock)
		lock = first.got(t, time.Second)
		if third.isDone() {
			t.Error("it was overtaken")
		}
		release(t, lock)
		third.got(t, time.Second)
	})
}

func TestClosingReleasesEverything(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		pods := w.Pods()
		held := w.acquire(pods[0], "x", locks.Options{TTL: time.Hour})
		other := w.acquire(pods[1], "y", locks.Options{})
		waits := w.wait(t.Context(), pods[0], "y", locks.Options{Wait: locks.Forever})
		w.at(pods[0]).Close()
		if !isLost(held) {
			t.Error("Lost of a lock of a closed node is not closed")
		}
		if waits.isDone(); !errors.Is(waits.err, locks.ErrClosed) {
			t.Errorf("waiting: %v, want ErrClosed", waits.err)
		}
		w.acquire(pods[1], "x", locks.Options{})
		if got := w.info(pods[1], "y").Waiters; got != 0 {
			t.Errorf("%d wait, want none", got)
		}
		release(t, other)
		lease, err := w.at(pods[0]).AcquireLease(t.Context(), "y", locks.Options{})
		if err != nil {
			t.Fatalf("a lease at once from a closed node: %v", err)
		}
		if _, err := w.at(pods[0]).Release(t.Context(), "y", lease.ID, ""); err != nil {
			t.Error(err)
		}
		if _, err := w.at(pods[0]).Acquire(t.Context(), "y", locks.Options{}); !errors.Is(err, locks.ErrClosed) {
			t.Errorf("acquiring from a closed node: %v", err)
		}
	})
}
