package peer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
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
		a := w.open(t, peer.Config{ID: "a"})
		w.open(t, peer.Config{ID: "b"})
		if _, err := a.Call(t.Context(), "b", peer.Small, 1, nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		release := n.block()
		defer release()
		ask := func() chan error {
			done := make(chan error, 1)
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err := a.Call(ctx, "b", peer.Small, 1, nil)
				done <- err
			}()
			synctest.Wait()
			return done
		}
		if err := <-ask(); err != nil { // taken by the reads that were waiting already
			t.Fatal(err)
		}
		first, second := ask(), ask()
		if err := <-first; !errors.Is(err, peer.ErrLost) {
			t.Errorf("being written: got %v, want ErrLost", err)
		}
		if err := <-second; !errors.Is(err, peer.ErrNotSent) {
			t.Errorf("waiting behind it: got %v, want ErrNotSent", err)
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

// TestLostConnections breaks connections under many callers. Whatever a
// caller is told must be true of its request.
func TestLostConnections(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	synctest.Test(t, func(t *testing.T) {
		n := newPipes()
		w := newWorld(n)
		const callers, calls = 40, 50
		var handled [callers * calls]atomic.Int32
		a := w.open(t, peer.Config{ID: "a"})
		w.open(t, peer.Config{ID: "b", Handle: func(_ context.Context, _ string, _ uint8, body []byte) ([]byte, error) {
			i, err := strconv.Atoi(string(body))
			if err != nil {
				return nil, err
			}
			handled[i].Add(1)
			time.Sleep(time.Duration(i%5) * time.Millisecond)
			return body, nil
		}})
		var outcome [callers * calls]error
		var wg sync.WaitGroup
		for c := range callers {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(seed, uint64(c)))
				for k := range calls {
					i := c*calls + k
					body := strconv.Itoa(i)
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(r.IntN(20))*time.Millisecond)
					reply, err := a.Call(ctx, "b", peer.Small, 1, []byte(body))
					cancel()
					if err == nil && string(reply) != body {
						t.Errorf("request %s was answered %q", body, reply)
					}
					outcome[i] = err
					time.Sleep(time.Duration(r.IntN(10)) * time.Millisecond)
				}
			})
		}
		stop := make(chan struct{})
		go func() {
			r := rand.New(rand.NewPCG(seed, callers))
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Duration(r.IntN(30)) * time.Millisecond):
					n.cut()
				}
			}
		}()
		wg.Wait()
		close(stop)
		time.Sleep(time.Second) // whatever is still on its way arrives

		var done, notSent, lost int
		for i, err := range outcome {
			times := handled[i].Load()
			switch {
			case err == nil:
				done++
				if times != 1 {
					t.Errorf("request %d was answered and handled %d times", i, times)
				}
			case errors.Is(err, peer.ErrNotSent) && !errors.Is(err, peer.ErrLost):
				notSent++
				if times != 0 {
					t.Errorf("request %d was handled %d times: %v", i, times, err)
				}
			case errors.Is(err, peer.ErrLost) && !errors.Is(err, peer.ErrNotSent):
				lost++
				if times > 1 {
					t.Errorf("request %d was handled %d times: %v", i, times, err)
				}
			default:
				t.Errorf("request %d: %v", i, err)
			}
		}
		t.Logf("%d answered, %d not sent, %d lost", done, notSent, lost)
		if done == 0 || notSent == 0 || lost == 0 {
			t.Error("not all outcomes were seen")
		}
	})
}

// TestSilentPartition loses all that is sent: a call without a deadline must
// not wait for ever.
func TestSilentPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newPipes()
		w := newWorld(n)
		a := w.open(t, peer.Config{ID: "a"})
		w.open(t, peer.Config{ID: "b"})
		if _, err := a.Call(t.Context(), "b", peer.Small, 1, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour) // an idle connection stays
		if got := n.dialled(); got != 1 {
			t.Fatalf("%d dials, want 1", got)
		}
		if _, err := a.Call(t.Context(), "b", peer.Small, 1, nil); err != nil || n.dialled() != 1 {
			t.Errorf("after an idle hour: %v, %d dials, want 1", err, n.dialled())
		}
		n.mute.Store(true)
		start := time.Now()
		_, err := a.Call(t.Context(), "b", peer.Small, 1, nil)
		if !errors.Is(err, peer.ErrLost) {
			t.Errorf("got %v, want ErrLost", err)
		}
		if took := time.Since(start); took > 6*time.Second {
			t.Errorf("it took %v, want 6s at most", took)
		}
		n.mute.Store(false)
		if _, err := a.Call(t.Context(), "b", peer.Small, 1, nil); err != nil {
			t.Errorf("when the partition is over: %v", err)
		}
	})
}

func TestSlowHandlersKeepTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(newPipes())
		a := w.open(t, peer.Config{ID: "a"})
		w.open(t, peer.Config{ID: "b", Handle: func(_ context.Context, _ string, _ uint8, body []byte) ([]byte, error) {
			time.Sleep(time.Minute)
			return body, nil
		}})
		if _, err := a.Call(t.Context(), "b", peer.Small, 1, nil); err != nil {
			t.Error(err)
		}
	})
}

func TestDeadPeerCostsOneDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newPipes()
		w := newWorld(n)
		a := w.open(t, peer.Config{ID: "a"})
		w.move("b", "b")
		n.hang(true)
		askAll := func() time.Duration {
			start := time.Now()
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() {
					if _, err := a.Call(t.Context(), "b", peer.Small, 1, nil); !errors.Is(err, peer.ErrNotSent) {
						t.Errorf("got %v, want ErrNotSent", err)
					}
				})
			}
			wg.Wait()
			return time.Since(start)
		}
		if took := askAll(); took > 2*time.Second || n.dialled() != 1 {
			t.Errorf("100 callers: %d dials in %v, want 1 in 2s", n.dialled(), took)
		}
		if took := askAll(); took != 0 || n.dialled() != 1 {
			t.Errorf("100 more at once: %d dials in %v, want none more in no time", n.dialled(), took)
		}
		time.Sleep(time.Second)
		if took := askAll(); took > 250*time.Millisecond || n.dialled() != 2 {
			t.Errorf("a second later: %d dials in %v, want one more in 250ms", n.dialled(), took)
		}
		n.hang(false)
		w.open(t, peer.Config{ID: "b"})
		time.Sleep(4 * time.Second)
		if _, err := a.Call(t.Context(), "b", peer.Small, 1, nil); err != nil {
			t.Errorf("when it is back: %v", err)
		}
	})
}

func TestNewAddressIsDialledAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(newPipes())
		a := w.open(t, peer.Config{ID: "a"})
		for range 10 {
			w.move("b", "nowhere")
			if _, err := a.Call(t.Context(), "b", peer.Small, 1, nil); !errors.Is(err, peer.ErrNotSent) {
				t.Fatalf("got %v, want ErrNotSent", err)
			}
		}
		start := time.Now()
		b := w.open(t, peer.Config{ID: "b", Addr: "10.0.0.1:7947"})
		if _, err := a.Call(t.Context(), "b", peer.Small, 1, nil); err != nil {
			t.Errorf("at its new address: %v", err)
		}
		// It moves again: the old connection breaks, the new address is looked up.
		b.Close()
		b = w.open(t, peer.Config{ID: "b", Addr: "10.0.0.2:7947"})
		synctest.Wait()
		if _, err := a.Call(t.Context(), "b", peer.Small, 1, nil); err != nil {
			t.Errorf("at its third address: %v", err)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("it took %v", took)
		}
		if _, err := a.Call(t.Context(), "unheard-of", peer.Small, 1, nil); !errors.Is(err, peer.ErrNotSent) {
			t.Errorf("a node without an address: got %v, want ErrNotSent", err)
		}
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newPipes()
		w := newWorld(n)
		var running atomic.Int32
		a := w.open(t, peer.Config{ID: "a"})
		b := w.open(t, peer.Config{ID: "b", Handle: func(ctx context.Context, _ string, _ uint8, _ []byte) ([]byte, error) {
			running.Add(1)
			defer running.Add(-1)
			<-ctx.Done()
			time.Sleep(time.Second) // takes its time to stop
			return nil, nil
		}})
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if _, err := a.Call(t.Context(), "b", peer.Small, 1, nil); !errors.Is(err, peer.ErrLost) {
					t.Errorf("got %v, want ErrLost", err)
				}
			})
		}
		synctest.Wait()
		if got := running.Load(); got != 10 {
			t.Fatalf("%d handlers run, want 10", got)
		}
		for range 2 {
			if err := b.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			if got := running.Load(); got != 0 {
				t.Errorf("%d handlers run after Close", got)
			}
		}
		wg.Wait()
		if _, err := b.Call(t.Context(), "a", peer.Small, 1, nil); !errors.Is(err, peer.ErrNotSent) {
			t.Errorf("Call after Close: got %v, want ErrNotSent", err)
		}
		if err := b.SetIdentity("b2"); err == nil {
			t.Error("SetIdentity after Close: no error")
		}
		// A dial without an answer does not hold Close up.
		n.hang(true)
		wg.Go(func() {
			if _, err := a.Call(t.Context(), "b", peer.Bulk, 1, nil); !errors.Is(err, peer.ErrNotSent) {
				t.Errorf("during the dial: got %v, want ErrNotSent", err)
			}
		})
		synctest.Wait()
		start := time.Now()
		a.Close()
		wg.Wait()
		if took := time.Since(start); took != 0 {
			t.Errorf("Close during a dial took %v", took)
		}
	})
}
