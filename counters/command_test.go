package counters_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/counters"
)

// commands are what all calls of the API send.
func commands(t testing.TB) (list [][]byte) {
	t.Helper()
	limit := counters.Limit{Name: "l", Algorithm: counters.TokenBucket, Limit: 10, Window: time.Minute, Burst: 300, Cost: 2}
	log := &recorder{}
	c := counters.New(log)
	_, _ = c.Add(t.Context(), "n", -5, counters.AddOptions{TTL: time.Hour})
	_, _ = c.Delete(t.Context(), "n", counters.WriteOptions{})
	_, _ = c.Reset(t.Context(), "n", counters.WriteOptions{})
	_, _, _ = c.Get(t.Context(), "n")
	_, _ = c.Peek(t.Context(), limit)
	_, _ = c.Take(t.Context(), limit)
	another := limit
	another.Name, another.Algorithm, another.Burst = "m", counters.SlidingWindow, 0
	_, _ = c.TakeAll(t.Context(), counters.WriteOptions{}, limit, another)
	return log.sent
}

// A recorder is a log that has never had anything in it.
type recorder struct{ sent [][]byte }

func (r *recorder) Do(_ context.Context, items ...machine.Item) ([]machine.Reply, machine.Stamp, error) {
	r.sent = append(r.sent, items[0].Data)
	return []machine.Reply{{Data: []byte{0, 0}}}, machine.Stamp{Cluster: "test"}, nil
}

func (r *recorder) Query(_ context.Context, _ machine.Consistency, query []byte) ([]byte, machine.Stamp, error) {
	r.sent = append(r.sent, query)
	return nil, machine.Stamp{}, machine.ErrNoQuorum
}

func (r *recorder) Now() (time.Duration, bool)                    { return 0, false }
func (r *recorder) Subscribe(func(machine.Event)) (cancel func()) { return func() {} }

func FuzzCommand(f *testing.F) {
	for _, data := range commands(f) {
		f.Add(data)
		f.Add(data[:len(data)-1])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		again, err := counters.Reencode(data)
		if err == nil && !bytes.Equal(again, data) {
			t.Errorf("%x became %x", data, again)
		}
		// A query answers anything, and a command that is none stops the node.
		r := newReplica(t)
		if reply := r.machine.Query(r.at, data); len(reply) == 0 {
			t.Errorf("query %x has no reply", data)
		}
		reply := r.apply(entry{data: data}).Data
		if (r.failed == nil) != (len(reply) > 0) || err != nil && !errors.Is(r.failed, machine.ErrUnknownCommand) {
			t.Errorf("command %x: reply %x, failed with %v", data, reply, r.failed)
		}
	})
}

func TestEveryCommandIsRead(t *testing.T) {
	kinds := map[byte]bool{}
	defer func() { equal(t, "kinds", len(kinds), 7) }()
	for _, data := range commands(t) {
		again, err := counters.Reencode(data)
		if err != nil || !bytes.Equal(again, data) {
			t.Errorf("%x became %x, %v", data, again, err)
		}
		for n := range data {
			if _, err := counters.Reencode(data[:n]); err == nil {
				t.Errorf("%x was read", data[:n])
			}
		}
		if _, err := counters.Reencode(append(bytes.Clone(data), 0)); err == nil {
			t.Errorf("%x00 was read", data)
		}
		later := bytes.Clone(data)
		later[0]++
		kinds[data[1]] = true
		r := newReplica(t)
		if r.apply(entry{data: later}); !errors.Is(r.failed, machine.ErrUnknownCommand) {
			t.Errorf("a command of a later version: got %v, want ErrUnknownCommand", r.failed)
		}
	}
}

// FuzzRestore looks that what is restored is what would be saved.
func FuzzRestore(f *testing.F) {
	w := newWorld(f)
	f.Add(w.leader.snapshot())
	for _, data := range commands(f) {
		if again, _ := counters.Reencode(data); again[1] < 5 { // no query
			w.append(data)
			f.Add(w.leader.snapshot())
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := newReplica(t)
		if err := r.machine.Restore(bytes.NewReader(data)); err != nil {
			if !errors.Is(err, counters.ErrCorrupt) {
				t.Errorf("got %v, want ErrCorrupt", err)
			}
			return
		}
		if got := r.snapshot(); !bytes.Equal(got, data) {
			t.Errorf("%x became %x", data, got)
		}
	})
}

func TestACorruptSnapshotChangesNothing(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		c := w.leading()
		for _, name := range []string{"a", "b", "c"} {
			add(t, c, name, 7, time.Hour)
			take(t, c, counters.Limit{Name: name, Algorithm: counters.SlidingWindow, Limit: 5, Window: time.Minute})
		}
		data := w.leader.snapshot()
		bad := [][]byte{append(bytes.Clone(data), 0)}
		for n := range data {
			bad = append(bad, data[:n])
		}
		for _, b := range bad {
			if err := w.leader.machine.Restore(bytes.NewReader(b)); !errors.Is(err, counters.ErrCorrupt) {
				t.Errorf("%x: got %v, want ErrCorrupt", b, err)
			}
		}
		if !bytes.Equal(w.leader.snapshot(), data) {
			t.Error("a refused snapshot changed the state")
		}
	})
}

// TestABackupIsMovedToThePresent restores a state in a cluster that is older
// and in one that is younger than the state is.
func TestABackupIsMovedToThePresent(t *testing.T) {
	for _, shift := range []time.Duration{24 * time.Hour, -time.Hour + time.Second} {
		in(t, func(t *testing.T, w *world) {
			limits := []counters.Limit{
				{Name: "bucket", Algorithm: counters.TokenBucket, Limit: 1, Window: time.Minute, Burst: 5, Cost: 5},
				{Name: "fixed", Algorithm: counters.FixedWindow, Limit: 5, Window: time.Minute, Cost: 5},
				{Name: "sliding", Algorithm: counters.SlidingWindow, Limit: 5, Window: time.Minute, Cost: 5},
				{Name: "coarse", Algorithm: counters.SlidingWindow, Limit: 5000, Window: time.Minute, Cost: 5000},
			}
			half := counters.Limit{Name: "half", Algorithm: counters.SlidingWindow, Limit: 5000, Window: time.Minute, Cost: 2500}
			time.Sleep(100 * time.Millisecond) // into a slot of the coarse ones
			c := w.leading()
			take(t, c, half)
			add(t, c, "ends", 7, time.Minute)
			add(t, c, "stays", 7, 0)
			for _, l := range limits {
				take(t, c, l)
			}
			want, err := c.Peek(t.Context(), limits...)
			if err != nil {
				t.Fatal(err)
			}

			moved := newWorld(t)
			restored(t, w, moved, shift)
			c = moved.leading()
			got, err := c.Peek(t.Context(), limits...)
			if err != nil {
				t.Fatal(err)
			}
			for i := range limits {
				equal(t, limits[i].Name, got[i], want[i])
			}
			counter, _ := get(t, c, "ends")
			equal(t, "ends", counter, counters.Counter{Value: 7, TTL: time.Minute})
			counter, _ = get(t, c, "stays")
			equal(t, "stays", counter, counters.Counter{Value: 7})
			for _, l := range limits {
				l.Cost = 1
				equal(t, l.Name+", used up", take(t, c, l).Allowed, false)
			}
			equal(t, "half, the other half", take(t, c, half).Remaining, 0)
			same(t, "a twin", moved.leader.twin(), moved.leader)
			time.Sleep(5*time.Minute + 10*time.Second)
			moved.append(nil)
			equal(t, "deadlines left", len(moved.leader.index), 0)
			for _, l := range limits {
				equal(t, l.Name+", later", take(t, c, l).Allowed, true)
			}
			reset(t, c, "bucket")
			if _, err := c.Delete(t.Context(), "stays", counters.WriteOptions{}); err != nil {
				t.Fatal(err)
			}
			isEmptyInTheEnd(t, moved)
		})
	}
}

// restored puts the state of one world into another, whose lease time is
// ahead by shift.
func restored(t *testing.T, from, to *world, shift time.Duration) {
	t.Helper()
	to.began = time.Now().Add(-from.lease() - shift)
	if err := to.leader.machine.Restore(bytes.NewReader(from.leader.snapshot())); err != nil {
		t.Fatal(err)
	}
	to.leader.at.Lease = to.lease()
	to.leader.machine.(machine.Rebaser).Rebase(to.leader.tx(machine.PressureNone), shift)
}
