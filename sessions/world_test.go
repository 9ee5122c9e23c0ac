package sessions_test

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/sessions"
)

// reporter is what helpers need of a test, rapid's included.
type reporter interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// A deadline is an entry of the shell's index.
type deadline struct {
	at  time.Duration
	key string
}

// A world is a log of one node, with a small shell that minds the order of its
// index, and a time that moves when it is told to.
type world struct {
	t        reporter
	m        machine.Machine
	s        *sessions.Sessions
	stamp    machine.Stamp
	lag      time.Duration // by which the time of the local replica is behind
	pressure machine.Pressure
	number   uint64
	index    map[deadline]bool

	asked     []machine.Consistency // by queries
	items     []machine.Item        // of commands
	refused   bool                  // the last command was, for want of room
	queryErr  error                 // what queries get
	doErr     error                 // what commands get
	isStale   bool                  // nothing was heard of the leader
	isStrange bool                  // the index is not that of the machine
	failed    error                 // of Tx.Fail
}

func newWorld(t reporter) *world {
	w := &world{t: t, m: sessions.NewMachine(), index: map[deadline]bool{}, number: 1_700_000_000_000_000}
	w.stamp = machine.Stamp{Cluster: "c1", Index: 5, Lease: time.Hour, Wall: 1_700_000_000 * time.Second}
	w.s = sessions.New(w, sessions.Config{MaxValue: 1000})
	return w
}

func (w *world) sleep(d time.Duration) { w.stamp.Lease += d }

func (w *world) tx() *machine.Tx {
	return &machine.Tx{Stamp: w.stamp, Shell: w, Pressure: w.pressure}
}

func (w *world) Do(_ context.Context, items ...machine.Item) ([]machine.Reply, machine.Stamp, error) {
	w.items = append(w.items, items...)
	if w.doErr != nil {
		return nil, machine.Stamp{}, w.doErr
	}
	var replies []machine.Reply
	for _, item := range items {
		w.stamp.Index++
		tx := w.tx()
		replies = append(replies, machine.Reply{Data: w.m.Apply(tx, item.Data)})
		w.refused = tx.Refused
		clear(item.Data) // it was borrowed
	}
	return replies, w.stamp, nil
}

func (w *world) Query(_ context.Context, c machine.Consistency, query []byte) ([]byte, machine.Stamp, error) {
	w.asked = append(w.asked, c)
	if w.queryErr != nil {
		return nil, machine.Stamp{}, w.queryErr
	}
	at := w.stamp
	if c.IsLocal() {
		at.Lease -= w.lag
	}
	reply := w.m.Query(at, query)
	clear(query)
	return reply, at, nil
}

func (w *world) Now() (time.Duration, bool)                    { return w.stamp.Lease, !w.isStale }
func (w *world) Subscribe(func(machine.Event)) (cancel func()) { return func() {} }
func (w *world) Number() uint64                                { w.number++; return w.number }
func (w *world) Emit(machine.Event)                            {}
func (w *world) Fail(err error)                                { w.failed = err }

func (w *world) Deadline(key []byte, was, at time.Duration) {
	if was != 0 {
		if !w.index[deadline{was, string(key)}] && !w.isStrange {
			w.t.Errorf("Deadline(%q, %v, %v): was is not in the index", key, was, at)
		}
		delete(w.index, deadline{was, string(key)})
	}
	if at != 0 {
		w.index[deadline{at, string(key)}] = true
	}
	clear(key) // ours to keep or to spoil
}

// expire has at most n due entries removed, the first due first.
func (w *world) expire(n int) (expired []string) {
	var due []deadline
	for d := range w.index {
		if d.at <= w.stamp.Lease {
			due = append(due, d)
		}
	}
	slices.SortFunc(due, func(a, b deadline) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.key, b.key))
	})
	for _, d := range due[:min(n, len(due))] {
		delete(w.index, d)
		w.m.Expire(w.tx(), []byte(d.key))
		expired = append(expired, d.key)
	}
	return expired
}

// snapshot writes the state as it is.
func (w *world) snapshot() []byte { w.t.Helper(); return written(w.t, w.m) }

func written(t reporter, m machine.Machine) []byte {
	t.Helper()
	return frozen(t, m)()
}

// frozen takes a snapshot and returns what writes it.
func frozen(t reporter, m machine.Machine) func() []byte {
	snap := m.Snapshot()
	return func() []byte {
		t.Helper()
		var b bytes.Buffer
		n, err := snap.WriteTo(&b)
		if err != nil || n != int64(b.Len()) {
			t.Fatalf("WriteTo = %d, %v, wrote %d", n, err, b.Len())
		}
		return b.Bytes()
	}
}

// restored is a machine made of a snapshot.
func restored(t reporter, data []byte) machine.Machine {
	t.Helper()
	m := sessions.NewMachine()
	if err := m.Restore(bytes.NewReader(data)); err != nil {
		t.Fatalf("restoring: %v", err)
	}
	return m
}

// save saves, and returns the version.
func (w *world) save(id, data string, o sessions.SaveOptions) uint64 {
	w.t.Helper()
	saved, err := w.s.Save(context.Background(), id, []byte(data), o)
	if err != nil {
		w.t.Fatalf("Save(%q): %v", id, err)
	}
	return saved.Version
}

// load loads, and returns the zero Session where there is none.
func (w *world) load(id string, o sessions.LoadOptions) sessions.Session {
	w.t.Helper()
	got, err := w.s.Load(context.Background(), id, o)
	if err != nil && err != sessions.ErrNotFound {
		w.t.Fatalf("Load(%q): %v", id, err)
	}
	return got
}

// has reports whether a session is there.
func (w *world) has(id string) bool {
	w.t.Helper()
	return w.load(id, sessions.LoadOptions{}).Version != 0
}
