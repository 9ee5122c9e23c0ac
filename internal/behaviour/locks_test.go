package behaviour

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/huddlecache/huddle/internal/respclient"
	"github.com/huddlecache/huddle/locks"
)

// lockName returns a name that no other run of the test has.
func lockName(t *testing.T) string { return t.Name() + rand.Text() }

// lease acquires a lock that is to be had.
func lease(t *testing.T, d lockDoor, i int, name string, o locks.Options) locks.Lease {
	t.Helper()
	if o.TTL == 0 {
		o.TTL = time.Minute
	}
	l, err := d.acquire(t.Context(), i, name, o)
	if err != nil {
		t.Fatalf("acquiring %s through node %d: %v", name, i, err)
	}
	return l
}

func info(t *testing.T, d lockDoor, i int, name string) locks.Info {
	t.Helper()
	got, err := d.info(i, name)
	if err != nil {
		t.Fatalf("looking at %s through node %d: %v", name, i, err)
	}
	return got
}

func wantErr(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for start := time.Now(); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Since(start) > 20*time.Second {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestLocksAreHeldByOneOverAllNodes(t *testing.T) {
	t.Parallel()
	forLockDoors(t, func(t *testing.T, d lockDoor) {
		for _, plain := range []string{"plain", "a/b", "..", "%2F", "é ?#&=+;", "a b"} {
			name := plain + lockName(t)
			first := lease(t, d, 0, name, locks.Options{TTL: time.Minute, Owner: "first"})
			if first.Left > 59940*time.Millisecond || first.Left < 59*time.Second {
				t.Errorf("%s left, want a minute less a thousandth", first.Left)
			}
			_, err := d.acquire(t.Context(), 1, name, locks.Options{TTL: time.Minute})
			wantErr(t, "a second holder", err, locks.ErrNotAcquired)
			if failure, found := errors.AsType[*locks.NotAcquiredError](err); found && failure.Holder.Owner != "first" {
				t.Errorf("held by %+v, want first", failure.Holder)
			}
			got := info(t, d, 2, name)
			if len(got.Holders) != 1 || got.Waiters != 0 || got.Holders[0].Owner != "first" || got.Holders[0].Token != first.Token || got.Holders[0].Left > time.Minute {
				t.Errorf("got %+v, want the holder %+v", got, first)
			}
			wantErr(t, "renewing a lease that is not", d.renew(1, name, first.ID+1000, time.Minute), locks.ErrLost)
			wantErr(t, "releasing a lease that is not", d.release(1, name, first.ID+1000, ""), locks.ErrLost)
			wantErr(t, "renewing", d.renew(1, name, first.ID, time.Minute), nil)
			wantErr(t, "releasing", d.release(2, name, first.ID, ""), nil)
			wantErr(t, "releasing again", d.release(2, name, first.ID, ""), locks.ErrLost)
			second := lease(t, d, 1, name, locks.Options{})
			if second.Token <= first.Token {
				t.Errorf("token %d after %d", second.Token, first.Token)
			}
			wantErr(t, "releasing", d.release(0, name, second.ID, ""), nil)
		}
	})
}

func TestLocksEndByThemselves(t *testing.T) {
	t.Parallel()
	forLockDoors(t, func(t *testing.T, d lockDoor) {
		name := lockName(t)
		first := lease(t, d, 0, name, locks.Options{TTL: 300 * time.Millisecond})
		start := time.Now()
		second := lease(t, d, 1, name, locks.Options{Wait: 8 * time.Second})
		if took := time.Since(start); took < first.Left/2 || took > 5*time.Second {
			t.Errorf("the next had it after %s", took)
		}
		wantErr(t, "renewing what has ended", d.renew(2, name, first.ID, time.Minute), locks.ErrLost)
		wantErr(t, "releasing", d.release(0, name, second.ID, ""), nil)
	})
}

func TestLocksAreServedInTheOrderOfComing(t *testing.T) {
	t.Parallel()
	forLockDoors(t, func(t *testing.T, d lockDoor) {
		name := lockName(t)
		holder := lease(t, d, 0, name, locks.Options{})
		var mu sync.Mutex
		var order []string
		var all sync.WaitGroup
		for i := range 9 {
			owner := fmt.Sprint("waiter ", i)
			all.Go(func() {
				l, err := d.acquire(t.Context(), i, name, locks.Options{TTL: time.Minute, Wait: 9 * time.Second, Owner: owner})
				if err != nil {
					t.Errorf("waiting: %v", err)
					return
				}
				mu.Lock()
				order = append(order, owner)
				mu.Unlock()
				wantErr(t, "releasing", d.release(i+1, name, l.ID, ""), nil)
			})
			eventually(t, "the call to wait", func() bool { return info(t, d, 0, name).Waiters == i+1 })
		}
		wantErr(t, "releasing", d.release(1, name, holder.ID, ""), nil)
		all.Wait()
		if !slices.IsSorted(order) || len(order) != 9 {
			t.Errorf("served in the order %q", order)
		}
	})
}

func TestLocksAreSharedOrHaveSlots(t *testing.T) {
	t.Parallel()
	forLockDoors(t, func(t *testing.T, d lockDoor) {
		name := lockName(t)
		shared := locks.Options{TTL: time.Minute, Shared: true}
		a, b := lease(t, d, 0, name, shared), lease(t, d, 1, name, shared)
		got := info(t, d, 2, name)
		if len(got.Holders) != 2 || !got.Holders[0].Shared || got.Holders[0].Slots != 0 {
			t.Errorf("got %+v, want two that share", got)
		}
		written := make(chan locks.Lease)
		go func() { written <- lease(t, d, 2, name, locks.Options{Wait: 9 * time.Second}) }()
		eventually(t, "the writer to wait", func() bool { return info(t, d, 0, name).Waiters == 1 })
		_, err := d.acquire(t.Context(), 0, name, shared)
		wantErr(t, "a reader past a writer that waits", err, locks.ErrNotAcquired)
		wantErr(t, "releasing", d.release(0, name, a.ID, ""), nil)
		wantErr(t, "releasing", d.release(0, name, b.ID, ""), nil)
		writer := <-written
		wantErr(t, "releasing", d.release(0, name, writer.ID, ""), nil)

		three := locks.Options{TTL: time.Minute, Slots: 3}
		var held []locks.Lease
		for i := range 3 {
			held = append(held, lease(t, d, i, name, three))
		}
		_, err = d.acquire(t.Context(), 0, name, three)
		wantErr(t, "a fourth one of three", err, locks.ErrNotAcquired)
		wantErr(t, "releasing", d.release(0, name, held[1].ID, ""), nil)
		lease(t, d, 1, name, three)
	})
}

func TestLocksAreNotForThoseWhoHaveGone(t *testing.T) {
	t.Parallel()
	forLockDoors(t, func(t *testing.T, d lockDoor) {
		name := lockName(t)
		holder := lease(t, d, 0, name, locks.Options{})
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if _, err := d.acquire(ctx, 1, name, locks.Options{TTL: time.Hour, Wait: 30 * time.Second}); err == nil {
			t.Fatal("a lock that another holds was acquired")
		}
		eventually(t, "the client's going to be noticed", func() bool { return info(t, d, 2, name).Waiters == 0 })
		wantErr(t, "releasing", d.release(0, name, holder.ID, ""), nil)
		next := lease(t, d, 2, name, locks.Options{})
		wantErr(t, "releasing", d.release(0, name, next.ID, ""), nil)

		holder = lease(t, d, 0, name, locks.Options{})
		start := time.Now()
		_, err := d.acquire(t.Context(), 1, name, locks.Options{TTL: time.Minute, Wait: 400 * time.Millisecond})
		wantErr(t, "waiting in vain", err, locks.ErrNotAcquired)
		if took := time.Since(start); took < 400*time.Millisecond {
			t.Errorf("gave up after %s", took)
		}
		if got := info(t, d, 0, name); got.Waiters != 0 || len(got.Holders) != 1 {
			t.Errorf("got %+v, want the holder alone", got)
		}
		wantErr(t, "releasing", d.release(0, name, holder.ID, ""), nil)
	})
}

func TestLocksAreAcquiredOnceForAKey(t *testing.T) {
	t.Parallel()
	forLockDoors(t, func(t *testing.T, d lockDoor) {
		name := lockName(t)
		o := locks.Options{TTL: time.Minute, Idem: name + "1"}
		first := lease(t, d, 0, name, o)
		if again := lease(t, d, 1, name, o); again.ID != first.ID || again.Token != first.Token {
			t.Errorf("got %+v, want %+v", again, first)
		}
		wantErr(t, "releasing", d.release(0, name, first.ID, name+"2"), nil)
		wantErr(t, "releasing with the same key", d.release(1, name, first.ID, name+"2"), nil)
		wantErr(t, "releasing without", d.release(1, name, first.ID, ""), locks.ErrLost)
	})
}

func TestLocksThatCannotBe(t *testing.T) {
	t.Parallel()
	forLockDoors(t, func(t *testing.T, d lockDoor) {
		for _, o := range []locks.Options{
			{TTL: -time.Second},
			{TTL: 2 * locks.MaxTTL},
			{TTL: time.Second, Slots: locks.MaxSlots + 1},
			{TTL: time.Second, Slots: 2, Shared: true},
			{TTL: time.Second, Owner: strings.Repeat("x", locks.MaxOwner+1)},
		} {
			_, err := d.acquire(t.Context(), 0, t.Name(), o)
			wantErr(t, fmt.Sprintf("%.60v", o), err, locks.ErrInvalid)
		}
		_, err := d.acquire(t.Context(), 0, strings.Repeat("x", locks.MaxName+1), locks.Options{TTL: time.Second})
		wantErr(t, "a name too long", err, locks.ErrInvalid)
	})
}

func TestLocksDoNotLoseWhatIsSentMeanwhile(t *testing.T) {
	t.Parallel()
	w := cluster(t)
	d := lockRESP{w}
	name := lockName(t)
	holder := lease(t, d, 0, name, locks.Options{})
	conn := dialRedis(t, w, 1)
	var sent []byte
	sent = respclient.AppendCommand(sent, "ECHO", "before")
	sent = respclient.AppendCommand(sent, "LOCK.ACQUIRE", name, "PX", "60000", "WAIT", "9000")
	sent = respclient.AppendCommand(sent, "ECHO", "behind")
	if _, err := conn.Write(sent); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the command to wait", func() bool { return info(t, d, 0, name).Waiters == 1 })
	later := respclient.AppendCommand(nil, "ECHO", "later")
	for _, half := range [][]byte{later[:7], later[7:]} {
		if _, err := conn.Write(half); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	wantErr(t, "releasing", d.release(2, name, holder.ID, ""), nil)
	want := "$6\r\nbefore\r\n*3\r\n"
	got := readUntil(t, conn, "$5\r\nlater\r\n")
	if !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "$6\r\nbehind\r\n$5\r\nlater\r\n") {
		t.Errorf("got %q", got)
	}
}

// dialRedis opens a connection to node i for the time of the test.
func dialRedis(t *testing.T, w *world, i int) net.Conn {
	t.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", w.nodes[i].RedisAddrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(answerTime)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// readUntil reads until what has come ends with a text.
func readUntil(t *testing.T, conn net.Conn, end string) string {
	t.Helper()
	var got []byte
	buf := make([]byte, 4096)
	for !strings.HasSuffix(string(got), end) {
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatalf("after %q: %v", got, err)
		}
		got = append(got, buf[:n]...)
	}
	return string(got)
}
