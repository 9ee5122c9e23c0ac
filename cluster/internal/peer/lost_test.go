package peer_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster/internal/peer"
)

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

func TestHandlersEndWithTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newPipes()
		w := newWorld(n)
		ended := make(chan struct{})
		a := w.open(t, peer.Config{ID: "a"})
		w.open(t, peer.Config{ID: "b", Handle: func(ctx context.Context, _ string, _ uint8, _ []byte) ([]byte, error) {
			select {
			case <-ctx.Done():
			case <-time.After(time.Minute):
				t.Error("the handler's context goes on")
			}
			close(ended)
			return nil, nil
		}})
		go func() {
			time.Sleep(time.Second)
			n.cut()
		}()
		if _, err := a.Call(t.Context(), "b", peer.Small, 1, nil); !errors.Is(err, peer.ErrLost) {
			t.Errorf("got %v, want ErrLost", err)
		}
		<-ended
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
		w.open(t, peer.Config{ID: "b", Addr: "10.0.0.2:7947"})
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
