package locks_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/huddlecache/huddle/locks"
)

func TestARepeatedCallIsTheSameCall(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		pods := w.Pods()
		o := locks.Options{TTL: 5 * time.Second, Idem: "k1"}
		first, err := w.at(pods[0]).AcquireLease(t.Context(), "x", o)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		again, err := w.at(pods[1]).AcquireLease(t.Context(), "x", o)
		if err != nil || again.ID != first.ID || again.Token != first.Token {
			t.Errorf("got %+v, %v, want %+v", again, err, first)
		}
		if most := short(4 * time.Second); again.Left > most {
			t.Errorf("%s left, want at most %s", again.Left, most)
		}
		if wasHeld, err := w.at(pods[2]).Release(t.Context(), "x", first.ID, "k2"); err != nil || !wasHeld {
			t.Errorf("released %v, %v", wasHeld, err)
		}
		if wasHeld, err := w.at(pods[0]).Release(t.Context(), "x", first.ID, "k2"); err != nil || !wasHeld {
			t.Errorf("released again with the same key: %v, %v, want the same answer", wasHeld, err)
		}
		if _, err := w.at(pods[1]).AcquireLease(t.Context(), "x", o); !errors.Is(err, locks.ErrNotAcquired) {
			t.Errorf("repeated after the release: %v", err)
		}

		// A call that waits, and whose client asks another node again.
		holder := w.acquire(pods[0], "y", locks.Options{})
		o = locks.Options{Wait: time.Minute, Idem: "k3"}
		ctx, hangUp := context.WithCancel(t.Context())
		w.wait(ctx, pods[1], "y", o)
		repeated := &call{done: make(chan struct{})}
		go func() {
			defer close(repeated.done)
			repeated.lock, repeated.err = w.at(pods[2]).Acquire(t.Context(), "y", o)
		}()
		time.Sleep(100 * time.Millisecond)
		hangUp()
		time.Sleep(100 * time.Millisecond)
		if got := w.info(pods[0], "y").Waiters; got != 1 {
			t.Errorf("%d wait, want 1", got)
		}
		release(t, holder)
		repeated.got(t, time.Second)
	})
}

func short(d time.Duration) time.Duration { return d - d/1000 }

func TestLeasesAreRenewedByWhoeverHoldsThem(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		pods := w.Pods()
		lease, err := w.at(pods[0]).AcquireLease(t.Context(), "x", locks.Options{TTL: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if want := short(time.Second); lease.Left != want {
			t.Errorf("%s left, want %s", lease.Left, want)
		}
		for i := range 4 {
			time.Sleep(700 * time.Millisecond)
			left, err := w.at(pods[i%3]).Renew(t.Context(), "x", lease.ID, time.Second)
			if err != nil || left != short(time.Second) {
				t.Fatalf("renewing: %s, %v", left, err)
			}
		}
		if _, err := w.at(pods[0]).Renew(t.Context(), "y", lease.ID, time.Second); !errors.Is(err, locks.ErrLost) {
			t.Errorf("renewing under another name: %v", err)
		}
		time.Sleep(1100 * time.Millisecond)
		if _, err := w.at(pods[1]).Renew(t.Context(), "x", lease.ID, time.Second); !errors.Is(err, locks.ErrLost) {
			t.Errorf("renewing too late: %v", err)
		}
		if wasHeld, err := w.at(pods[1]).Release(t.Context(), "x", lease.ID, ""); err != nil || wasHeld {
			t.Errorf("releasing too late: %v, %v", wasHeld, err)
		}
		if info := w.info(pods[2], "x"); len(info.Holders) != 0 {
			t.Errorf("held by %v", info.Holders)
		}
	})
}

func TestInvalidOptions(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		l := w.at(w.Pods()[0])
		for _, o := range []locks.Options{
			{TTL: -1},
			{TTL: time.Microsecond},
			{TTL: 2 * locks.MaxTTL},
			{Wait: 2 * locks.MaxTTL},
			{Slots: -1},
			{Slots: locks.MaxSlots + 1},
			{Slots: 2, Shared: true},
			{Owner: string(make([]byte, locks.MaxOwner+1))},
		} {
			if _, err := l.Acquire(t.Context(), "x", o); !errors.Is(err, locks.ErrInvalid) {
				t.Errorf("%+v: %v, want ErrInvalid", o, err)
			}
		}
		for _, name := range []string{"", string(make([]byte, locks.MaxName+1))} {
			if _, err := l.Info(t.Context(), name); !errors.Is(err, locks.ErrInvalid) {
				t.Errorf("a name of %d bytes: %v, want ErrInvalid", len(name), err)
			}
		}
	})
}
