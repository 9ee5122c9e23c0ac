package cluster_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster/clustertest"
	"github.com/huddlecache/huddle/cluster/machine"
)

// Callers who call again as soon as they are answered share each log entry,
// from whichever node they come: each entry costs a majority's disks a wait.
func TestCallersShareEntries(t *testing.T) {
	const callers, rounds = 30, 50
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(t, clustertest.Options{Features: features})
		c.Add(3)
		c.WaitReady(20 * time.Second)
		for _, from := range c.Pods() {
			for _, to := range c.Pods() {
				c.Net.Delay(from.Addr, to.Addr, 200*time.Microsecond, 200*time.Microsecond)
			}
		}
		before := c.Leader().Node.Status(t.Context()).Index
		var calling sync.WaitGroup
		for i := range callers {
			log := c.Pods()[i%3].Node.Log(1)
			calling.Go(func() {
				time.Sleep(time.Duration(i) * 100 * time.Microsecond) // not in step
				for range rounds {
					if _, _, err := log.Do(t.Context(), machine.Item{Data: []byte("1")}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		calling.Wait()
		entries := c.Leader().Node.Status(t.Context()).Index - before
		if entries > rounds*3/2 {
			t.Errorf("%d rounds of %d callers took %d entries, want %d at most", rounds, callers, entries, rounds*3/2)
		}
	})
}

// A caller alone, and one whose neighbours have fallen silent, is not kept
// waiting for company.
func TestNobodyWaitsForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(t, clustertest.Options{Features: features})
		c.Add(3)
		c.WaitReady(20 * time.Second)
		var calling sync.WaitGroup
		for i := range 30 {
			calling.Go(func() { add(t, c.Pods()[i%3], "1") })
		}
		calling.Wait()
		for range 100 {
			time.Sleep(10 * time.Millisecond)
			start := time.Now()
			add(t, c.Pods()[0], "1")
			// At most a wait at the node and one at the leader; messages take no
			// time here.
			if took := time.Since(start); took > 2*time.Millisecond {
				t.Fatalf("a call took %s, want 2ms at most", took)
			}
		}
	})
}
