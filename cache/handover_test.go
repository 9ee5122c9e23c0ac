package cache_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cache"
	"github.com/huddlecache/huddle/cluster/clustertest"
)

// count returns how many of n values are found, each asked for through the
// next pod, and complains of wrong ones.
func (w *world) count(n int, want string) (found int) {
	w.Helper()
	for i := range n {
		item, err := w.on(i%len(w.cluster.Pods())).Get(w.Context(), "g", fmt.Sprint("k", i))
		if err != nil {
			continue
		}
		found++
		if string(item.Value) != want {
			w.Errorf("k%d is %q, want %q", i, item.Value, want)
		}
	}
	return found
}

func (w *world) fill(n int, value string) {
	w.Helper()
	for i := range n {
		w.put(i%len(w.cluster.Pods()), fmt.Sprint("k", i), value)
	}
}

// stop stops a pod in order.
func (w *world) stop(p *clustertest.Pod) {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := w.caches[p].Leave(ctx); err != nil {
		w.Errorf("%s: %v", p.Name, err)
	}
	w.caches[p].Close()
	delete(w.caches, p)
	w.cluster.Stop(p)
}

func TestANewNodeIsHandedItsShare(t *testing.T) {
	inCluster(t, clustertest.Options{}, func(w *world) {
		const n = 2000
		w.fill(n, "v")
		var misses, reads atomic.Int64
		over, done := make(chan struct{}), make(chan struct{})
		reader := w.on(0)
		go func() { // reads all the while
			defer close(done)
			for i := 0; ; i++ {
				select {
				case <-over:
					return
				default:
				}
				reads.Add(1)
				if _, err := reader.Get(w.Context(), "g", fmt.Sprint("k", i%n)); err != nil {
					misses.Add(1)
				}
				time.Sleep(time.Millisecond)
			}
		}()
		added := w.cluster.Add(1)
		w.open(added...)
		w.cluster.WaitReady(time.Minute)
		time.Sleep(5 * time.Second)
		close(over)
		<-done
		if misses.Load() > 0 {
			t.Errorf("%d of %d reads found nothing while a node joined", misses.Load(), reads.Load())
		}
		if share := w.caches[added[0]].Len(); share < n/8 {
			t.Errorf("the new node has %d of %d", share, n)
		}
		if found := w.count(n, "v"); found != n {
			t.Errorf("%d of %d are left", found, n)
		}
	})
}

func TestRollingReplacementKeepsTheCache(t *testing.T) {
	inCluster(t, clustertest.Options{}, func(w *world) {
		const n = 2000
		w.fill(n, "v")
		for _, old := range w.cluster.Pods() {
			w.open(w.cluster.Add(1)...)
			w.cluster.WaitReady(time.Minute)
			w.cluster.Wait(time.Minute, "the new node has its share", func() bool { return w.on(3).Ready() == nil })
			w.stop(old)
		}
		time.Sleep(5 * time.Second)
		if found := w.count(n, "v"); found < n*99/100 {
			t.Errorf("%d of %d are left", found, n)
		}
	})
}

// A ring that changes before everything is in its place loses little.
func TestHurriedReplacementKeepsTheCache(t *testing.T) {
	inCluster(t, clustertest.Options{}, func(w *world) {
		const n = 2000
		w.fill(n, "v")
		for _, old := range w.cluster.Pods() {
			w.open(w.cluster.Add(1)...)
			w.cluster.WaitReady(time.Minute)
			w.stop(old)
		}
		time.Sleep(5 * time.Second)
		found := w.count(n, "v")
		t.Logf("%d of %d are left", found, n)
		if found < n*3/4 {
			t.Errorf("%d of %d are left", found, n)
		}
	})
}

func TestACrashLosesOneShare(t *testing.T) {
	inCluster(t, clustertest.Options{}, func(w *world) {
		const n = 2000
		w.fill(n, "v")
		killed := w.cluster.Pods()[1]
		share := w.caches[killed].Len()
		w.caches[killed].Close()
		delete(w.caches, killed)
		w.cluster.Kill(killed)
		time.Sleep(30 * time.Second)
		if found := w.count(n, "v"); found != n-int(share) {
			t.Errorf("%d of %d are left, want all but the %d of the killed node", found, n, share)
		}
	})
}

// What is written while a key changes hands is never replaced by what arrives.
func TestArrivalsReplaceNothingNewer(t *testing.T) {
	inCluster(t, clustertest.Options{}, func(w *world) {
		const n = 500
		w.fill(n, "old")
		for _, a := range w.cluster.Pods() {
			for _, b := range w.cluster.Pods() {
				if a != b {
					w.cluster.Net.Delay(a.Addr, b.Addr, 5*time.Millisecond, 30*time.Millisecond)
				}
			}
		}
		w.open(w.cluster.Add(1)...)
		w.cluster.Wait(time.Minute, "the new node keeps something", func() bool { return w.on(3).Len() > 0 })
		for i := range n {
			w.put(i%4, fmt.Sprint("k", i), "new")
		}
		if err := w.on(1).Invalidate(w.Context(), "g", cache.Keys("k1", "k2", "k3")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		for i := range n {
			want := "new"
			if i >= 1 && i <= 3 {
				want = ""
			}
			w.expect(i%4, fmt.Sprint("k", i), want)
		}
	})
}
