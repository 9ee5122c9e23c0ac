package redis

import (
	"context"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/keyspace"
)

const (
	// Copies of what was read here are good for vouchTime after the leader was
	// asked, if it has answered and this node has heard of all changes that the
	// answer may know of. For a change that was acknowledged later there is time
	// until then, and so none is missed for longer.
	vouchTime = 1500 * time.Millisecond

	askEvery = 500 * time.Millisecond // the leader, while somebody tracks
	askAgain = 100 * time.Millisecond // where it did not answer
	askTime  = time.Second            // how long it has
)

// isVouched reports whether the leader has vouched for what is read now.
func (t *tracking) isVouched() bool {
	return int64(time.Since(t.server.since)) < t.until.Load()
}

// keep has the leader vouch for copies, until nobody has any or the server
// closes.
func (t *tracking) keep() {
	pause := askEvery
	for {
		timer := time.NewTimer(pause)
		select {
		case <-t.ctx.Done():
		case <-t.wake:
		case <-timer.C:
		}
		timer.Stop()
		t.mu.Lock()
		if len(t.trackers) == 0 || t.ctx.Err() != nil {
			t.isKept = false
			t.mu.Unlock()
			return
		}
		t.mu.Unlock()
		if pause = askEvery; !t.ask(t.ctx) {
			pause = askAgain
		}
	}
}

// ask has the leader vouch once. All that was acknowledged before it is asked is
// before the index of its answer; once this node has got there, and has given
// out the events, the copies that are left are as the leader would have them.
func (t *tracking) ask(ctx context.Context) (done bool) {
	asked := time.Now()
	t.mu.Lock()
	resets := t.resets
	t.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	log, question := t.server.config.Log, keyspace.AppendWatch(nil, nil)
	_, at, err := log.Query(ctx, machine.Linearizable, question)
	if err != nil || t.server.config.Reach(ctx, at.Cluster, at.Index) != nil {
		return false
	}
	// This node may be ahead of the leader, and what it has told of before
	// somebody tracked was not looked at.
	_, here, err := log.Query(ctx, machine.Local, question)
	if err != nil || here.Cluster != at.Cluster {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.resets != resets || len(t.trackers) == 0 {
		return false
	}
	if !t.isSure || t.cluster != at.Cluster {
		if t.isSure { // another cluster, and nobody said so
			t.dropAllLocked()
		}
		t.isSure, t.cluster, t.index = true, at.Cluster, max(t.index, here.Index)
	}
	until := asked.Add(vouchTime).Sub(t.server.since)
	if until > time.Duration(t.until.Load()) {
		t.until.Store(int64(until))
		t.lapse.Reset(until - time.Since(t.server.since))
	}
	return t.isVouched()
}

// giveUp invalidates everything, unless the leader has vouched for more.
func (t *tracking) giveUp() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.isVouched() {
		t.dropAllLocked()
	}
}

// close ends the goroutine.
func (t *tracking) close() {
	t.cancel()
	t.lapse.Stop()
}
