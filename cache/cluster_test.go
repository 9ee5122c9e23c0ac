package cache_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cache"
	"github.com/huddlecache/huddle/cluster"
	"github.com/huddlecache/huddle/cluster/clustertest"
)

const feature = 1

// A world is a cluster in a bubble, with a cache on each node.
type world struct {
	*testing.T
	cluster *clustertest.Cluster
	caches  map[*clustertest.Pod]*cache.Cache
}

func inCluster(t *testing.T, o clustertest.Options, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o.Features = []cluster.Feature{{ID: feature, New: cache.NewMachine}}
		w := &world{T: t, cluster: clustertest.New(t, o), caches: map[*clustertest.Pod]*cache.Cache{}}
		w.open(w.cluster.Add(3)...)
		w.cluster.WaitReady(time.Minute)
		time.Sleep(5 * time.Second)
		test(w)
		for _, c := range w.caches {
			c.Close()
		}
	})
}

func (w *world) open(pods ...*clustertest.Pod) {
	for _, p := range pods {
		w.caches[p] = cache.New(p.Node.Log(feature), p.Node.Peers(feature), cache.Config{Bytes: 8 << 20})
	}
}

// on returns the cache of a pod.
func (w *world) on(i int) *cache.Cache { return w.caches[w.cluster.Pods()[i]] }

func (w *world) put(i int, key, value string, tags ...string) {
	w.Helper()
	err := w.on(i).Put(w.Context(), "g", key, cache.Item{Value: []byte(value), Tags: tags}, cache.Right{})
	if err != nil {
		w.Fatalf("putting %s through pod %d: %v", key, i, err)
	}
}

func (w *world) expect(i int, key, want string) {
	w.Helper()
	item, err := w.on(i).Get(w.Context(), "g", key)
	switch {
	case want == "" && !errors.Is(err, cache.ErrNotFound):
		w.Errorf("pod %d: %s is %q, %v, want none", i, key, item.Value, err)
	case want != "" && (err != nil || string(item.Value) != want):
		w.Errorf("pod %d: %s is %q, %v, want %q", i, key, item.Value, err, want)
	}
}

func TestEveryNodeReadsWhatAnyWrote(t *testing.T) {
	inCluster(t, clustertest.Options{}, func(w *world) {
		for i := range 300 {
			w.put(i%3, fmt.Sprint("k", i), fmt.Sprint("v", i))
		}
		total := int64(0)
		for i := range 3 {
			if n := w.on(i).Len(); n < 40 {
				t.Errorf("pod %d keeps %d of 300: the ring is lopsided", i, n)
			}
			total += w.on(i).Len()
		}
		if total != 300 {
			t.Errorf("%d values are kept, want each once", total)
		}
		for i := range 300 {
			w.expect((i+1)%3, fmt.Sprint("k", i), fmt.Sprint("v", i))
			w.expect((i+2)%3, fmt.Sprint("k", i), fmt.Sprint("v", i))
		}
	})
}

func TestInvalidationsReachEveryNode(t *testing.T) {
	inCluster(t, clustertest.Options{}, func(w *world) {
		for i := range 30 {
			w.put(i%3, fmt.Sprint("k", i), "old", fmt.Sprint("t", i%5))
		}
		for i, s := range []cache.Scope{cache.Keys("k0", "k1"), cache.Tags("t2"), cache.All()} {
			if err := w.on(i).Invalidate(w.Context(), "g", s); err != nil {
				t.Fatal(err)
			}
			for k := range 30 {
				want := "old"
				if k < 2 || i >= 1 && k%5 == 2 || i == 2 {
					want = ""
				}
				for pod := range 3 {
					w.expect(pod, fmt.Sprint("k", k), want)
				}
			}
		}
	})
}

// counting is a loader that counts its calls.
type counting struct {
	calls atomic.Int64
	takes time.Duration
}

func (l *counting) Load(ctx context.Context, key string) (cache.Value, error) {
	n := l.calls.Add(1)
	select {
	case <-time.After(l.takes):
	case <-ctx.Done():
		return cache.Value{}, ctx.Err()
	}
	return cache.Value{Bytes: fmt.Appendf(nil, "%s made %d", key, n), Tags: []string{"t"}}, nil
}

func (w *world) group(p *clustertest.Pod, l cache.Loader, c cache.GroupConfig) *cache.Group {
	w.Helper()
	c.Loader = l
	g, err := w.caches[p].Group("made", c)
	if err != nil {
		w.Fatal(err)
	}
	return g
}

func TestOneMakesForAll(t *testing.T) {
	inCluster(t, clustertest.Options{}, func(w *world) {
		l := &counting{takes: time.Second}
		var all sync.WaitGroup
		for _, p := range w.cluster.Pods() {
			g := w.group(p, l, cache.GroupConfig{})
			for range 70 {
				all.Go(func() {
					if got, err := g.Get(w.Context(), "cold"); err != nil || string(got) != "cold made 1" {
						t.Errorf("got %q, %v", got, err)
					}
				})
			}
		}
		all.Wait()
		if n := l.calls.Load(); n != 1 {
			t.Errorf("made %d times, want once", n)
		}
	})
}
