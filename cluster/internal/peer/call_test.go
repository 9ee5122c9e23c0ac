package peer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster/internal/peer"
)

func TestManyCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { testManyCalls(t, newWorld(newPipes())) })
}

func TestManyCallsOverTCP(t *testing.T) { testManyCalls(t, newWorld(loopback{})) }

// testManyCalls has two nodes ask each other on both lanes: every caller must
// have the reply to its own request.
func testManyCalls(t *testing.T, w *world) {
	t.Helper()
	answer := func(_ context.Context, from string, kind uint8, body []byte) ([]byte, error) {
		if kind == 2 {
			return nil, errors.New(from + ": " + string(body[:8]))
		}
		return append([]byte(from), body...), nil
	}
	peers := map[string]*peer.Peer{
		"a": w.open(t, peer.Config{ID: "a", Handle: answer}),
		"b": w.open(t, peer.Config{ID: "b", Handle: answer}),
	}
	var wg sync.WaitGroup
	for i := range 200 {
		from, to, lane := "a", "b", peer.Small
		if i%2 == 1 {
			from, to = to, from
		}
		size := 8 + i
		if i%7 == 0 {
			lane, size = peer.Bulk, 8+i*1500
		}
		wg.Go(func() {
			for j := range 10 {
				body := bytes.Repeat(fmt.Appendf(nil, "%04d%04d", i, j), size/8)
				reply, err := peers[from].Call(t.Context(), to, lane, 1, body)
				if err != nil || !bytes.Equal(reply, append([]byte(from), body...)) {
					t.Errorf("call %d of caller %d: got %d bytes, %v", j, i, len(reply), err)
				}
				_, err = peers[from].Call(t.Context(), to, lane, 2, body)
				var remote *peer.RemoteError
				if !errors.As(err, &remote) || remote.Text != from+": "+string(body[:8]) {
					t.Errorf("call %d of caller %d: got %v, want the handler's error", j, i, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestDeadlineTravels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(newPipes())
		ended := make(chan time.Time, 1)
		a := w.open(t, peer.Config{ID: "a"})
		w.open(t, peer.Config{ID: "b", Handle: func(ctx context.Context, _ string, kind uint8, _ []byte) ([]byte, error) {
			if kind == 1 {
				<-ctx.Done()
				ended <- time.Now()
				return nil, ctx.Err()
			}
			deadline, ok := ctx.Deadline()
			return fmt.Appendf(nil, "%v %v", ok, time.Until(deadline)), nil
		}})
		reply, err := a.Call(t.Context(), "b", peer.Small, 2, nil)
		if err != nil || !strings.HasPrefix(string(reply), "false") {
			t.Errorf("without a deadline the handler saw %q, %v", reply, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		reply, err = a.Call(ctx, "b", peer.Small, 2, nil)
		if err != nil || string(reply) != "true 1.5s" {
			t.Errorf("with 1.5s left the handler saw %q, %v", reply, err)
		}
		start := time.Now()
		_, err = a.Call(ctx, "b", peer.Small, 1, nil)
		if !errors.Is(err, peer.ErrLost) && !errors.As(err, new(*peer.RemoteError)) {
			t.Errorf("a handler that waits: got %v, want ErrLost or the handler's error", err)
		}
		if got := (<-ended).Sub(start); got != 1500*time.Millisecond {
			t.Errorf("the handler's context ended after %v, want 1.5s", got)
		}
	})
}

func TestContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newPipes()
		w := newWorld(n)
		var handled atomic.Int32
		a := w.open(t, peer.Config{ID: "a"})
		w.open(t, peer.Config{ID: "b", Handle: func(ctx context.Context, _ string, _ uint8, _ []byte) ([]byte, error) {
			handled.Add(1)
			<-ctx.Done()
			return nil, nil
		}})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			time.Sleep(time.Second)
			cancel()
		}()
		_, err := a.Call(ctx, "b", peer.Small, 1, nil)
		if !errors.Is(err, peer.ErrLost) || !errors.Is(err, context.Canceled) {
			t.Errorf("after it was sent: got %v, want ErrLost and Canceled", err)
		}
		if _, err = a.Call(ctx, "b", peer.Small, 1, nil); !errors.Is(err, peer.ErrNotSent) || !errors.Is(err, context.Canceled) {
			t.Errorf("before the call: got %v, want ErrNotSent and Canceled", err)
		}
		n.hang(true)
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err = a.Call(ctx, "b", peer.Bulk, 1, nil); !errors.Is(err, peer.ErrNotSent) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("during the dial: got %v, want ErrNotSent and DeadlineExceeded", err)
		}
		if got := handled.Load(); got != 1 {
			t.Errorf("%d requests were handled, want 1", got)
		}
	})
}

// TestWhatIsQueuedIsNotSent fills a connection that nobody reads: what waits
// behind a write was certainly not sent when its context ends.
func TestWhatIsQueuedIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newPipes()
		w := newWorld(n)
		var mu sync.Mutex // guards handled
		var handled string
		a := w.open(t, peer.Config{ID: "a"})
		w.open(t, peer.Config{ID: "b", Handle: func(_ context.Context, _ string, _ uint8, body []byte) ([]byte, error) {
			mu.Lock()
			defer mu.Unlock()
			handled += string(body)
			return nil, nil
		}})
		if _, err := a.Call(t.Context(), "b", peer.Small, 1, nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		release := n.block()
		ask := func(ctx context.Context, body string) chan error {
			done := make(chan error, 1)
			go func() {
				_, err := a.Call(ctx, "b", peer.Small, 1, []byte(body))
				done <- err
			}()
			synctest.Wait()
			return done
		}
		deadline, end := context.WithTimeout(t.Context(), time.Second)
		defer end()
		cancelled, cancel := context.WithCancel(t.Context())
		if err := <-ask(t.Context(), "1"); err != nil { // taken by the reads that were waiting already
			t.Fatal(err)
		}
		written, late, given, patient := ask(deadline, "2"), ask(deadline, "3"), ask(cancelled, "4"), ask(t.Context(), "5")
		time.Sleep(2 * time.Second)
		cancel()
		if err := <-written; !errors.Is(err, peer.ErrLost) {
			t.Errorf("being written: got %v, want ErrLost", err)
		}
		if err := <-late; !errors.Is(err, peer.ErrNotSent) {
			t.Errorf("waiting behind it, past its deadline: got %v, want ErrNotSent", err)
		}
		if err := <-given; !errors.Is(err, peer.ErrNotSent) {
			t.Errorf("waiting behind it, given up: got %v, want ErrNotSent", err)
		}
		release()
		if err := <-patient; err != nil {
			t.Errorf("waiting until the end: %v", err)
		}
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if !slices.Contains([]string{"125", "152"}, handled) {
			t.Errorf("requests %s were handled, want 1, 2 and 5", handled)
		}
	})
}

func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(newPipes())
		var handled atomic.Int32
		release := make(chan struct{})
		handle := func(_ context.Context, _ string, kind uint8, _ []byte) ([]byte, error) {
			if kind == 2 {
				return nil, fmt.Errorf("my own queue: %w", peer.ErrBusy)
			}
			handled.Add(1)
			<-release
			return nil, nil
		}
		for _, c := range []struct {
			name              string
			ofCaller, ofOther int // MaxInFlight
		}{{"a", 2, 100}, {"b", 100, 2}} {
			asker := w.open(t, peer.Config{ID: c.name, MaxInFlight: c.ofCaller})
			w.open(t, peer.Config{ID: c.name + "2", MaxInFlight: c.ofOther, Handle: handle})
			handled.Store(0)
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() {
					if _, err := asker.Call(t.Context(), c.name+"2", peer.Small, 1, nil); err != nil {
						t.Errorf("%s: within the limit: %v", c.name, err)
					}
				})
			}
			synctest.Wait()
			for range 10 {
				if _, err := asker.Call(t.Context(), c.name+"2", peer.Small, 1, nil); !errors.Is(err, peer.ErrBusy) {
					t.Errorf("%s: past the limit: got %v, want ErrBusy", c.name, err)
				}
			}
			close(release)
			wg.Wait()
			if got := handled.Load(); got != 2 {
				t.Errorf("%s: %d requests were handled, want 2", c.name, got)
			}
			if _, err := asker.Call(t.Context(), c.name+"2", peer.Small, 2, nil); !errors.Is(err, peer.ErrBusy) {
				t.Errorf("%s: handler's own ErrBusy: got %v", c.name, err)
			}
			release = make(chan struct{})
		}
	})
}

// TestBytesInFlightAreBounded sends more large bodies than a connection may
// hold at once.
func TestBytesInFlightAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(newPipes())
		var handled atomic.Int32
		release := make(chan struct{})
		a := w.open(t, peer.Config{ID: "a", MaxFrame: 1000})
		w.open(t, peer.Config{ID: "b", MaxFrame: 1000, Handle: func(context.Context, string, uint8, []byte) ([]byte, error) {
			handled.Add(1)
			<-release
			return nil, nil
		}})
		var busy atomic.Int32
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if _, err := a.Call(t.Context(), "b", peer.Small, 1, make([]byte, 1000)); errors.Is(err, peer.ErrBusy) {
					busy.Add(1)
				} else if err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		close(release)
		wg.Wait()
		if handled.Load() != 4 || busy.Load() != 6 {
			t.Errorf("%d were handled and %d refused, want 4 and 6", handled.Load(), busy.Load())
		}
		if _, err := a.Call(t.Context(), "b", peer.Small, 1, make([]byte, 1000)); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

func TestFramesOverTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { testFramesOverTheLimit(t, newWorld(newPipes())) })
}

func TestFramesOverTheLimitOverTCP(t *testing.T) { testFramesOverTheLimit(t, newWorld(loopback{})) }

func testFramesOverTheLimit(t *testing.T, w *world) {
	t.Helper()
	var handled atomic.Int32
	a := w.open(t, peer.Config{ID: "a", MaxFrame: 1 << 20})
	w.open(t, peer.Config{ID: "b", MaxFrame: 1000, Handle: func(_ context.Context, _ string, kind uint8, body []byte) ([]byte, error) {
		handled.Add(1)
		if kind == 2 {
			return make([]byte, 1001), nil
		}
		return body, nil
	}})
	if _, err := a.Call(t.Context(), "b", peer.Small, 1, make([]byte, 1<<20+1)); !errors.Is(err, peer.ErrTooBig) || !errors.Is(err, peer.ErrNotSent) {
		t.Errorf("over the own limit: got %v, want ErrTooBig and ErrNotSent", err)
	}
	if _, err := a.Call(t.Context(), "b", peer.Small, 1, make([]byte, 1000)); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	if _, err := a.Call(t.Context(), "b", peer.Small, 1, make([]byte, 1<<20)); !errors.Is(err, peer.ErrLost) || !strings.Contains(err.Error(), "over the limit of") {
		t.Errorf("over the other's limit: got %v, want ErrLost that says why", err)
	}
	if _, err := a.Call(t.Context(), "b", peer.Small, 2, nil); !errors.As(err, new(*peer.RemoteError)) || !strings.Contains(err.Error(), "reply of 1001 bytes") {
		t.Errorf("reply over the limit: got %v, want a RemoteError that says so", err)
	}
	if got := handled.Load(); got != 2 {
		t.Errorf("%d requests were handled, want 2", got)
	}
}
