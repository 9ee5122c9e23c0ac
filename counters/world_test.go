package counters_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/counters"
)

// A world is a log that is always in agreement, and replicas that follow it as
// far as they are told to. Its lease time is the bubble's.
type world struct {
	t        testing.TB
	began    time.Time
	entries  []entry
	leader   *replica
	sweep    func() int // how many deadlines an entry expires
	pressure machine.Pressure
	idem     map[string]machine.Reply
	err      error // of Do
}

// An entry is one in the log.
type entry struct {
	stamp    machine.Stamp
	sweep    int
	pressure machine.Pressure
	data     []byte
	reply    machine.Reply
}

// A replica is a machine with the shell around it.
type replica struct {
	t       testing.TB
	machine machine.Machine
	at      machine.Stamp
	applied int // entries
	index   map[deadline]bool
	failed  error
}

type deadline struct {
	at  time.Duration
	key string
}

func newWorld(t testing.TB) *world {
	return &world{
		t: t, began: time.Now(), leader: newReplica(t), sweep: func() int { return 256 },
		idem: map[string]machine.Reply{},
	}
}

func newReplica(t testing.TB) *replica {
	return &replica{t: t, machine: counters.NewMachine(), index: map[deadline]bool{}}
}

// in runs test in a bubble, with a world that is an hour old.
func in(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		time.Sleep(time.Hour)
		test(t, w)
	})
}

func (w *world) lease() time.Duration { return time.Since(w.began) }

// append logs a command, and has the leader apply it.
func (w *world) append(data []byte) machine.Reply {
	e := entry{sweep: w.sweep(), pressure: w.pressure, data: bytes.Clone(data)}
	e.stamp = machine.Stamp{Cluster: "test", Index: uint64(len(w.entries)) + 1, Lease: w.lease()}
	e.reply = w.leader.apply(e)
	w.entries = append(w.entries, e)
	return e.reply
}

func (r *replica) tx(pressure machine.Pressure) *machine.Tx {
	return &machine.Tx{Stamp: r.at, Shell: r, Pressure: pressure}
}

func (r *replica) apply(e entry) machine.Reply {
	r.at = e.stamp
	r.applied++
	for range e.sweep {
		d, found := r.first()
		if !found || d.at > r.at.Lease {
			break
		}
		delete(r.index, d)
		r.machine.Expire(r.tx(e.pressure), []byte(d.key))
	}
	if e.data == nil {
		return machine.Reply{}
	}
	data := bytes.Clone(e.data)
	tx := r.tx(e.pressure)
	reply := r.machine.Apply(tx, data)
	clear(data) // it was borrowed
	return machine.Reply{Data: reply}
}

// follow has a replica apply all but the last few entries.
func (w *world) follow(r *replica, behind int) {
	w.t.Helper()
	for r.applied < len(w.entries)-behind {
		e := w.entries[r.applied]
		if got := r.apply(e); e.data != nil && !bytes.Equal(got.Data, e.reply.Data) {
			w.t.Errorf("entry %d: a replica replied %x, the leader %x", e.stamp.Index, got.Data, e.reply.Data)
		}
	}
}

func (r *replica) first() (deadline, bool) {
	var due []deadline
	for d := range r.index {
		due = append(due, d)
	}
	if len(due) == 0 {
		return deadline{}, false
	}
	return slices.MinFunc(due, func(a, b deadline) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.key, b.key))
	}), true
}

func (r *replica) Number() uint64     { panic("no numbers here") }
func (r *replica) Emit(machine.Event) {}
func (r *replica) Fail(err error)     { r.failed = err }

func (r *replica) Deadline(key []byte, was, at time.Duration) {
	if was != 0 && !r.index[deadline{was, string(key)}] {
		r.t.Errorf("Deadline(%q, %v, %v): was is not in the index", key, was, at)
	}
	delete(r.index, deadline{was, string(key)})
	if at != 0 {
		r.index[deadline{at, string(key)}] = true
	}
	clear(key)
}

// snapshot writes the state as it is.
func (r *replica) snapshot() []byte {
	r.t.Helper()
	return written(r.t, r.machine.Snapshot())
}

func written(t testing.TB, snap io.WriterTo) []byte {
	t.Helper()
	var b bytes.Buffer
	n, err := snap.WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		t.Fatalf("WriteTo = %d, %v, wrote %d", n, err, b.Len())
	}
	return b.Bytes()
}

// twin returns a replica that was restored from a snapshot.
func (r *replica) twin() *replica {
	r.t.Helper()
	twin := newReplica(r.t)
	if err := twin.machine.Restore(bytes.NewReader(r.snapshot())); err != nil {
		r.t.Fatal(err)
	}
	twin.at, twin.applied = r.at, r.applied
	for d := range r.index {
		twin.index[d] = true
	}
	return twin
}

// same fails the test unless two replicas are in one state.
func same(t testing.TB, what string, got, want *replica) {
	t.Helper()
	if !bytes.Equal(got.snapshot(), want.snapshot()) || got.machine.Size() != want.machine.Size() {
		t.Errorf("%s: got a state of %d, want %d\n%x\n%x", what, got.machine.Size(), want.machine.Size(), got.snapshot(), want.snapshot())
	}
	if fmt.Sprint(got.index) != fmt.Sprint(want.index) {
		t.Errorf("%s: got deadlines %v, want %v", what, got.index, want.index)
	}
}

// A node is the log as one node has it: it answers local queries by its own
// replica.
type node struct {
	*world
	own   *replica
	delay time.Duration // between a command's stamp and its reply, and before the stamp
	stuck bool          // the replica applies nothing
}

// node returns the counters of a node, whose replica follows behind by one
// entry as Raft's do.
func (w *world) node() (*counters.Counters, *node) {
	n := &node{world: w, own: newReplica(w.t)}
	return counters.New(n), n
}

// leading returns the counters of the leader.
func (w *world) leading() *counters.Counters {
	return counters.New(&node{world: w, own: w.leader})
}

func (n *node) Do(_ context.Context, items ...machine.Item) (replies []machine.Reply, at machine.Stamp, err error) {
	if n.err != nil {
		return nil, machine.Stamp{}, n.err
	}
	time.Sleep(n.delay)
	for _, item := range items {
		reply, found := n.idem[item.Idem]
		if !found || item.Idem == "" {
			reply = n.append(item.Data)
		}
		if item.Idem != "" {
			n.idem[item.Idem] = reply
		}
		replies = append(replies, reply)
	}
	at = n.leader.at
	if n.own != n.leader && !n.stuck {
		n.follow(n.own, 1)
	}
	time.Sleep(n.delay)
	return replies, at, nil
}

func (n *node) Query(_ context.Context, c machine.Consistency, query []byte) ([]byte, machine.Stamp, error) {
	if c.IsLocal() {
		return n.own.machine.Query(n.own.at, query), n.own.at, nil
	}
	time.Sleep(n.delay)
	at := n.leader.at
	at.Cluster, at.Lease = "test", n.lease()
	reply := n.leader.machine.Query(at, query)
	time.Sleep(n.delay)
	return reply, at, nil
}

func (n *node) Now() (time.Duration, bool)                    { return 1<<63 - 1, false }
func (n *node) Subscribe(func(machine.Event)) (cancel func()) { return func() {} }

// forSeeds runs a test with n seeds in parallel, or with that of HUDDLE_SEED.
func forSeeds(t *testing.T, n uint64, test func(t *testing.T, w *world, random *rand.Rand)) {
	t.Helper()
	first := uint64(1)
	if s := os.Getenv("HUDDLE_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("HUDDLE_SEED: %v", err)
		}
		first, n = seed, 1
	}
	for seed := first; seed < first+n; seed++ {
		t.Run(fmt.Sprintf("HUDDLE_SEED=%d", seed), func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T, w *world) { test(t, w, rand.New(rand.NewPCG(seed, 0))) })
		})
	}
}
