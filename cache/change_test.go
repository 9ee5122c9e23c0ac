package cache_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cache"
	"github.com/huddlecache/huddle/cluster/clustertest"
)

// others are the addresses of all pods but one.
func (w *world) others(p *clustertest.Pod) (addrs []string) {
	for _, o := range w.cluster.Pods() {
		if o != p {
			addrs = append(addrs, o.Addr)
		}
	}
	return addrs
}

// A backup names who served when it was taken. Whoever serves at its
// restoration, and has not heard of it, is waited for like all others.
func TestRestoringForgetsNobodyWhoServes(t *testing.T) {
	inCluster(t, clustertest.Options{}, func(w *world) {
		var backup bytes.Buffer
		b, err := w.cluster.Pods()[0].Node.Backup(w.Context())
		if err == nil {
			_, err = b.WriteTo(&backup)
		}
		if err != nil {
			t.Fatal(err)
		}
		late := w.cluster.Add(1)[0]
		w.open(late)
		w.cluster.WaitReady(time.Minute)
		w.cluster.Wait(time.Minute, "the new node serves", func() bool { return w.on(3).Ready() == nil })
		key := ""
		for i := 0; w.caches[late].Len() == 0; i++ {
			key = fmt.Sprint("k", i)
			w.put(0, key, "old")
		}
		w.expect(3, key, "old")
		w.cluster.Net.Partition([]string{late.Addr}, w.others(late))
		if _, err := w.cluster.Pods()[0].Node.Restore(w.Context(), &backup); err != nil {
			t.Fatal(err)
		}
		if err := w.on(0).Invalidate(w.Context(), "g", cache.Keys(key)); err != nil {
			t.Fatal(err)
		}
		if item, err := w.on(3).Get(w.Context(), "g", key); err == nil {
			t.Errorf("%s is %q on a node that was cut off, and was invalidated", key, item.Value)
		}
	})
}

// What others have kept since before a node came is good on it too.
func TestANewNodeDoesNotMakeWhatIsThere(t *testing.T) {
	inCluster(t, clustertest.Options{}, func(w *world) {
		l := &counting{}
		const n = 50
		config := cache.GroupConfig{TTL: time.Hour}
		for i, p := range w.cluster.Pods() {
			g := w.group(p, l, config)
			for k := i; k < n; k += 3 {
				if _, err := g.Get(w.Context(), fmt.Sprint("k", k)); err != nil {
					t.Fatal(err)
				}
			}
		}
		added := w.cluster.Add(1)[0]
		w.open(added)
		w.cluster.WaitReady(time.Minute)
		w.cluster.Wait(time.Minute, "the new node serves", func() bool { return w.on(3).Ready() == nil })
		g := w.group(added, l, config)
		for k := range n {
			if _, err := g.Get(w.Context(), fmt.Sprint("k", k)); err != nil {
				t.Error(err)
			}
		}
		if calls := l.calls.Load(); calls != n {
			t.Errorf("made %d values, want only the %d of before", calls, n)
		}
	})
}

// A node that has given up its seat asks those who have one.
func TestALeavingNodeDoesNotMakeWhatIsThere(t *testing.T) {
	inCluster(t, clustertest.Options{}, func(w *world) {
		l := &counting{}
		const n = 50
		config := cache.GroupConfig{TTL: time.Hour}
		pods := w.cluster.Pods()
		for k := range n {
			if _, err := w.group(pods[0], l, config).Get(w.Context(), fmt.Sprint("k", k)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.on(1).Leave(w.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		for k := range n {
			if _, err := w.group(pods[1], l, config).Get(w.Context(), fmt.Sprint("k", k)); err != nil {
				t.Error(err)
			}
		}
		if calls := l.calls.Load(); calls != n {
			t.Errorf("made %d values, want only the %d of before", calls, n)
		}
	})
}

// Without a quorum each call makes its value, and does not wait for the owner
// until the loader's time is over.
func TestAMinorityDoesNotWaitForOwners(t *testing.T) {
	inCluster(t, clustertest.Options{}, func(w *world) {
		alone := w.cluster.Pods()[0]
		g := w.group(alone, &counting{}, cache.GroupConfig{})
		w.cluster.Net.Partition([]string{alone.Addr}, w.others(alone))
		time.Sleep(3 * time.Second)
		for k := range 10 {
			begun := time.Now()
			if _, err := g.Get(w.Context(), fmt.Sprint("k", k)); err != nil {
				t.Error(err)
			}
			if took := time.Since(begun); took > 6*time.Second {
				t.Errorf("k%d took %s", k, took)
			}
		}
	})
}

// A right to make a value is over when its key changes hands: what was put
// meanwhile is newer.
func TestARightDoesNotComeBackWithItsKey(t *testing.T) {
	inCluster(t, clustertest.Options{}, func(w *world) {
		const n = 60
		rights := make([]cache.Right, n)
		for i := range n {
			_, r, _ := w.on(0).GetOrClaim(w.Context(), "g", fmt.Sprint("k", i), time.Minute, false)
			if rights[i] = r; r.Number == 0 {
				t.Fatalf("no right to make k%d", i)
			}
		}
		added := w.cluster.Add(1)[0]
		w.open(added)
		w.cluster.WaitReady(time.Minute)
		w.cluster.Wait(time.Minute, "the new node serves", func() bool { return w.caches[added].Ready() == nil })
		w.fill(n, "new")
		w.stop(added)
		for i, r := range rights {
			// Refused where the key has been put since, whoever kept it.
			_ = w.on(1).Put(w.Context(), "g", fmt.Sprint("k", i), cache.Item{Value: []byte("old")}, r)
		}
		if found := w.count(n, "new"); found != n {
			t.Errorf("%d of %d are left", found, n)
		}
	})
}
