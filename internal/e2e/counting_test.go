package e2e

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/huddlecache/huddle/internal/respclient"
)

// counting is what 50 connections know of two counters.
type counting struct {
	ids            atomic.Int64 // each counted once by IDEM, however often it was sent
	acked, unknown atomic.Int64 // of plain INCR
	told           tally
	wait           gap
}

// TestCountingWhileLeadersDie counts through all nodes while leaders are
// killed. With IDEM and retries until answered nothing is counted twice or
// lost; without, only what was unknown is in doubt.
func TestCountingWhileLeadersDie(t *testing.T) {
	for _, durable := range []bool{false, true} {
		name, kills := "ephemeral, replaced", 3
		if durable {
			name = "durable, restarted"
		}
		pause := 20 * time.Millisecond
		if long() {
			// IDEM remembers 100,000 ids at once.
			kills, pause = 10, 80*time.Millisecond
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := startNodes(t, 3, durable)
			var c counting
			done := make(chan struct{})
			var wg sync.WaitGroup
			for i := range 50 {
				wg.Go(func() { c.run(newCaller(w, i), i, pause, done) })
			}
			for range kills {
				time.Sleep(time.Second)
				w.replaceLeader()
			}
			time.Sleep(time.Second)
			close(done)
			wg.Wait()
			c.check(t, w)
		})
	}
}

// replaceLeader kills the leader and, when clients have met that for a
// second, brings it back if it is durable, else another in its place.
func (w *world) replaceLeader() {
	w.t.Helper()
	n := w.leader(20 * time.Second)
	w.kill(n)
	time.Sleep(time.Second)
	if !w.durable {
		w.replacement()
		return
	}
	w.dns.add(n.addr)
	n.start()
	n.waitReady(60 * time.Second)
	w.serve(n)
}

// run counts until done is closed, and then until its last id is answered.
func (c *counting) run(client *caller, worker int, pause time.Duration, done chan struct{}) {
	defer client.close()
	for seq := 0; ; seq++ {
		select {
		case <-done:
			return
		case <-time.After(pause):
		}
		id := fmt.Sprintf("%d-%d", worker, seq)
		begin := time.Now()
		for {
			_, err := client.do("IDEM", id, "INCR", "exact")
			c.told.add(err)
			if err == nil {
				break
			}
			if time.Since(begin) > time.Minute {
				c.told.add(respclient.Error("GAVEUP after a minute"))
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		c.ids.Add(1)
		c.wait.saw(time.Since(begin))

		_, err := client.do("INCR", "bounded")
		c.told.add(err)
		switch respclient.OutcomeOf(err) {
		case respclient.Unknown:
			c.unknown.Add(1)
		case respclient.Answered:
			if err == nil {
				c.acked.Add(1)
			}
		}
	}
}

func (c *counting) check(t *testing.T, w *world) {
	t.Helper()
	exact, bounded := readCounter(t, w, "exact"), readCounter(t, w, "bounded")
	ids, acked, unknown := c.ids.Load(), c.acked.Load(), c.unknown.Load()
	if exact != ids {
		t.Errorf("with IDEM: got %d, want %d, the number of ids", exact, ids)
	}
	if bounded < acked || bounded > acked+unknown {
		t.Errorf("plain INCR: got %d, want %d to %d", bounded, acked, acked+unknown)
	}
	if others := c.told.except("ok", "UNAVAILABLE", "CLUSTERDOWN", "TRYAGAIN", "LOADING", "broken", "not connected"); len(others) > 0 {
		t.Errorf("clients were told %q", others)
	}
	t.Logf("IDEM: %d ids, counter %d; INCR: %d acknowledged, %d unknown, counter %d; answers: %v; longest wait %v",
		ids, exact, acked, unknown, bounded, &c.told, c.wait.longest.Round(time.Millisecond))
}

// readCounter reads a counter through every node, which must agree.
func readCounter(t *testing.T, w *world, key string) int64 {
	t.Helper()
	var values []int64
	client := newCaller(w, 0)
	defer client.close()
	for _, n := range w.inService() {
		eventually(t, 10*time.Second, func() error {
			reply, err := client.on(n, "INCRBY", key, "0")
			if err != nil {
				return err
			}
			value, ok := reply.(int64)
			if !ok {
				return errors.New("INCRBY answers no number")
			}
			values = append(values, value)
			return nil
		})
	}
	for _, v := range values {
		if v != values[0] {
			t.Errorf("%s: nodes answer %v, want equal values", key, values)
		}
	}
	return values[0]
}
