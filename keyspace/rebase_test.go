package keyspace_test

import (
	"bytes"
	"maps"
	"testing"
	"time"

	"github.com/huddlecache/huddle/keyspace"
)

// rebased is a world with the state of w, as it would be after a restore at a
// lease time.
func rebased(t *testing.T, w *world, lease time.Duration) *world {
	t.Helper()
	now := newWorld(t)
	now.stamp.Wall = w.stamp.Wall
	now.stamp.Lease = lease
	now.space = keyspace.New()
	if err := now.space.Restore(bytes.NewReader(w.snapshot())); err != nil {
		t.Fatal(err)
	}
	now.space.Rebase(now.tx(), lease-w.stamp.Lease)
	return now
}

func TestRebaseKeepsWhatIsLeft(t *testing.T) {
	for _, lease := range []time.Duration{time.Second, time.Hour, 1000 * time.Hour} {
		w := newWorld(t)
		w.want("set ever v", "+OK")
		w.want("set soon v px 600000", "+OK")
		w.db = 3
		w.want("set soon w ex 30", "+OK")
		w.want("set far x pxat 9223372036854775807", "+OK")
		wall := visible(w.do("pexpiretime", "soon"))
		far := visible(w.do("pttl", "far"))
		w.db = 0

		now := rebased(t, w, lease)
		now.want("pttl soon", ":600000")
		now.want("pttl ever", ":-1")
		now.db = 3
		now.want("pttl soon", ":30000")
		now.want("pexpiretime soon", wall)
		now.want("pttl far", far)
		if got, want := now.space.Size(), w.space.Size(); got != want {
			t.Errorf("size is %d after the rebase, %d before", got, want)
		}
		now.sleep(30 * time.Second)
		now.want("get soon", "$-1")
		if got := now.shell.expire(10); len(got) != 1 || got[0] != "\x03soon" {
			t.Errorf("at lease time %s, expired %q", now.stamp.Lease, got)
		}
		now.db = 0
		now.want("persist soon", ":1") // its deadline is where the state says
		now.sleep(time.Hour)
		if got := now.shell.expire(10); len(got) > 0 {
			t.Errorf("expired %q", got)
		}
	}
}

// What had expired by the clock, and was not removed yet, is not there again.
func TestRebaseBringsNothingBack(t *testing.T) {
	w := newWorld(t)
	w.want("set k v px 1000", "+OK")
	w.sleep(2 * time.Second)
	for _, lease := range []time.Duration{time.Nanosecond, time.Second, time.Hour, 24 * time.Hour} {
		now := rebased(t, w, lease)
		now.want("get k", "$-1")
		if got := now.shell.expire(10); len(got) != 1 {
			t.Errorf("at lease time %s, expired %q", lease, got)
		}
		now.want("dbsize", ":0")
	}
}

// A rebase by nothing changes nothing, and the index is that of the state.
func TestRebaseByNothing(t *testing.T) {
	w := newWorld(t)
	w.want("set a v px 1000", "+OK")
	w.want("set b v px 2000", "+OK")
	w.want("set c v", "+OK")
	now := rebased(t, w, w.stamp.Lease)
	if !bytes.Equal(now.snapshot(), w.snapshot()) {
		t.Error("the state differs")
	}
	if !maps.Equal(now.shell.index, w.shell.index) {
		t.Errorf("the index is %v, want %v", now.shell.index, w.shell.index)
	}
}
