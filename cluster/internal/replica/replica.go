// Package replica is the replicated state of a cluster: the machines of all
// features, and the shell that owns what they share.
//
// The shell keeps time (stamps that never go back), the index of deadlines,
// the number source, the level, and the memory of origins that makes each
// batch take effect once. Like the machines it is deterministic: what an entry
// does depends on the entries before it and on nothing else. Whatever needs a
// clock, a network or a decision is outside, in package cluster.
package replica

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"github.com/tidwall/btree"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/cluster/machine/wire"
)

// shellID is the feature number of the shell's own deadlines and snapshot
// section.
const shellID = 0

// sweepPerEntry bounds how many deadlines one entry expires, so that no entry
// takes long because many sessions ended at once.
const sweepPerEntry = 256

// ErrFailed is the result of every entry after one that this release could not
// apply.
var ErrFailed = errors.New("the replica has stopped")

// A Factory makes the machine of one feature.
type Factory struct {
	ID  uint8 // from 1 up, below 254
	New func() machine.Machine
}

// Config describes a replica.
type Config struct {
	Features []Factory
	MaxLevel uint32      // the newest level that this release knows
	Fail     func(error) // called once, when an entry cannot be applied
	// Sooner is called when something has a deadline before all there were. It
	// must not block.
	Sooner func()
}

// Replica is one node's copy of the replicated state. It implements raft's
// BatchingFSM.
type Replica struct {
	cfg Config

	mu     sync.RWMutex // guards state and failed; held for writing while entries are applied
	state  state
	failed error

	due     time.Duration // the earliest deadline, 0 if there was none; the applying goroutine's own
	events  []event       // of the entries being applied; the applying goroutine's own
	applied atomic.Uint64
	told    atomic.Uint64 // index up to which all events have been delivered
	size    atomic.Int64
	subs    subscribers
	waiting waiters
}

// state is all that is replicated.
type state struct {
	stamp    machine.Stamp // of the last entry
	seed     [16]byte
	number   uint64
	members  map[string]bool    // server IDs of the last configuration in the log
	origins  map[uint64]*origin // by the index that opened them
	byServer map[string]uint64  // server ID -> its origin
	machines map[uint8]machine.Machine

	deadlines *btree.BTreeG[deadline]
	idem      *btree.BTreeG[remembered]
	staging   *staging // a backup that is about to be restored, or nil
	restored  restored // the last one that was
	own       int64    // bytes of the shell's part of the state
}

// A deadline is an entry of the index: when it comes, the machine is told.
type deadline struct {
	at      time.Duration
	feature uint8
	key     string
}

func deadlineLess(a, b deadline) bool {
	if a.at != b.at {
		return a.at < b.at
	}
	if a.feature != b.feature {
		return a.feature < b.feature
	}
	return a.key < b.key
}

// deadlineSize is what the size account takes for a deadline beside its key.
const deadlineSize = 64

// New returns an empty replica.
func New(cfg Config) *Replica {
	return &Replica{cfg: cfg, state: newState(cfg)}
}

func newState(cfg Config) state {
	s := state{
		members:   map[string]bool{},
		origins:   map[uint64]*origin{},
		byServer:  map[string]uint64{},
		machines:  map[uint8]machine.Machine{},
		deadlines: btree.NewBTreeGOptions(deadlineLess, btree.Options{NoLocks: true}),
		idem:      btree.NewBTreeGOptions(rememberedLess, btree.Options{NoLocks: true}),
	}
	for _, f := range cfg.Features {
		s.machines[f.ID] = f.New()
	}
	return s
}

// Apply implements raft.FSM.
func (r *Replica) Apply(l *raft.Log) any {
	return r.ApplyBatch([]*raft.Log{l})[0]
}

// ApplyBatch applies committed entries in order. The result of an entry is a
// BeginResult, WorkResult, OpenResult, RaiseResult or error.
func (r *Replica) ApplyBatch(logs []*raft.Log) []any {
	results := make([]any, len(logs))
	r.mu.Lock()
	for i, l := range logs {
		results[i] = r.applyLocked(l)
	}
	failed := r.failed
	events := r.events
	r.events = nil
	r.publishLocked()
	r.mu.Unlock()
	if failed != nil {
		return results
	}
	r.subs.deliver(events)
	r.tell()
	return results
}

// publishLocked makes what is read without the lock agree with the state.
func (r *Replica) publishLocked() {
	size := r.state.own
	for _, m := range r.state.machines {
		size += m.Size()
	}
	r.size.Store(size)
	r.applied.Store(r.state.stamp.Index)
	d, found := r.state.deadlines.Min()
	if found && (r.due == 0 || d.at < r.due) && r.cfg.Sooner != nil {
		r.cfg.Sooner()
	}
	r.due = d.at
}

func (r *Replica) applyLocked(l *raft.Log) any {
	if r.failed != nil {
		return ErrFailed
	}
	r.state.stamp.Index = l.Index
	r.state.stamp.Position = 0
	var result any
	if l.Type == raft.LogConfiguration {
		r.applyConfiguration(raft.DecodeConfiguration(l.Data))
	} else {
		result = r.applyEntry(l)
	}
	if r.failed != nil {
		return ErrFailed
	}
	return result
}

// applyConfiguration closes the origins of the servers that were removed.
func (r *Replica) applyConfiguration(c raft.Configuration) {
	clear(r.state.members)
	for _, s := range c.Servers {
		r.state.members[string(s.ID)] = true
	}
	for _, server := range slices.Sorted(maps.Keys(r.state.byServer)) {
		if !r.state.members[server] {
			r.closeOrigin(r.state.byServer[server])
		}
	}
}

func (r *Replica) applyEntry(l *raft.Log) any {
	rd := wire.NewReader(l.Data)
	version, kind, term := rd.Byte(), rd.Byte(), rd.Uvarint()
	if rd.Err() != nil || version != entryVersion {
		r.fail(fmt.Errorf("entry %d has version %d: %w", l.Index, version, machine.ErrUnknownCommand))
		return nil
	}
	isFresh := term == l.Term
	switch kind {
	case kindBegin:
		return r.applyBegin(rd, isFresh)
	case kindWork:
		return r.applyWork(rd, isFresh)
	case kindOpen:
		return r.applyOpen(rd)
	case kindRaise:
		return r.applyRaise(rd)
	}
	r.fail(fmt.Errorf("entry %d is of kind %d: %w", l.Index, kind, machine.ErrUnknownCommand))
	return nil
}

// BeginResult answers a Begin entry.
type BeginResult struct {
	Fresh bool          // it was appended in the term it was made in
	Stamp machine.Stamp // the last one, from which the leader's clock goes on
}

func (r *Replica) applyBegin(rd *wire.Reader, isFresh bool) any {
	s := &r.state
	if rd.Byte() == 1 {
		f := Founding{Cluster: rd.String()}
		copy(f.Seed[:], rd.Take(len(f.Seed)))
		f.Number, f.Wall, f.Level = rd.Uint64(), time.Duration(rd.Uint64()), uint32(rd.Uvarint())
		if s.stamp.Cluster == "" {
			s.stamp.Cluster, s.seed, s.number = f.Cluster, f.Seed, f.Number
			s.stamp.Wall, s.stamp.Level = f.Wall, f.Level
		}
	}
	if rd.Done() != nil {
		r.fail(errors.New("the log holds a malformed first entry of a term"))
	}
	return BeginResult{Fresh: isFresh, Stamp: s.stamp}
}

// RaiseResult answers a Raise entry with the level as it is now.
type RaiseResult struct{ Level uint32 }

func (r *Replica) applyRaise(rd *wire.Reader) any {
	level := uint32(rd.Uvarint())
	if level > r.cfg.MaxLevel {
		r.fail(fmt.Errorf("the cluster rose to level %d, this release knows %d: %w", level, r.cfg.MaxLevel, machine.ErrUnknownCommand))
		return nil
	}
	r.state.stamp.Level = max(r.state.stamp.Level, level)
	return RaiseResult{Level: r.state.stamp.Level}
}

// WorkResult answers a Work entry, batch by batch.
type WorkResult struct {
	Stamp   machine.Stamp
	Batches []BatchResult
}

func (r *Replica) applyWork(rd *wire.Reader, isFresh bool) any {
	s := &r.state
	lease, wall := time.Duration(rd.Uint64()), time.Duration(rd.Uint64())
	tx := &machine.Tx{Pressure: machine.Pressure(rd.Byte()), Seed: s.seed}
	if isFresh {
		s.stamp.Lease = max(s.stamp.Lease, lease)
		s.stamp.Wall = max(s.stamp.Wall, wall)
		r.sweep(tx)
	}
	var results []BatchResult
	for rd.Len() > 0 && r.failed == nil {
		b, err := ParseBatch(rd.Bytes())
		if err != nil {
			r.fail(fmt.Errorf("entry %d: %w", s.stamp.Index, err))
			break
		}
		results = append(results, r.applyBatch(tx, &b, isFresh))
	}
	stamp := s.stamp
	stamp.Position = 0
	return WorkResult{Stamp: stamp, Batches: results}
}

// sweep expires some of what is due.
func (r *Replica) sweep(tx *machine.Tx) {
	r.unstageLate()
	s := &r.state
	for range sweepPerEntry {
		d, found := s.deadlines.Min()
		if !found || d.at > s.stamp.Lease {
			return
		}
		s.deadlines.Delete(d)
		s.own -= deadlineSize + int64(len(d.key))
		if d.feature == shellID {
			r.forget(d.key)
			continue
		}
		if m := s.machines[d.feature]; m != nil {
			r.lend(tx, d.feature)
			m.Expire(tx, []byte(d.key))
		}
	}
}

// lend gives the transaction what the next command may use.
func (r *Replica) lend(tx *machine.Tx, feature uint8) {
	tx.Stamp = r.state.stamp
	tx.Shell = shell{r, feature}
}

// shell is what one machine sees of the replica while a command runs.
type shell struct {
	r       *Replica
	feature uint8
}

func (s shell) Number() uint64 {
	s.r.state.number++
	return s.r.state.number
}

func (s shell) Deadline(key []byte, was, at time.Duration) {
	s.r.setDeadline(s.feature, string(key), was, at)
}

func (r *Replica) setDeadline(feature uint8, key string, was, at time.Duration) {
	s := &r.state
	if was != 0 {
		if _, found := s.deadlines.Delete(deadline{was, feature, key}); found {
			s.own -= deadlineSize + int64(len(key))
		}
	}
	if at != 0 {
		if _, found := s.deadlines.Set(deadline{at, feature, key}); !found {
			s.own += deadlineSize + int64(len(key))
		}
	}
}

func (s shell) Emit(e machine.Event) {
	e.Index = s.r.state.stamp.Index
	s.r.events = append(s.r.events, event{s.feature, e})
}

func (s shell) Fail(err error) { s.r.fail(err) }

// fail stops the replica before it can differ from others.
func (r *Replica) fail(err error) {
	if r.failed == nil {
		r.failed = err
		if r.cfg.Fail != nil {
			go r.cfg.Fail(err) // not under the lock; the owner stops the node, and this with it
		}
	}
}

// Applied is the index of the last entry applied.
func (r *Replica) Applied() uint64 { return r.applied.Load() }

// Size is the number of bytes that the replicated state takes.
func (r *Replica) Size() int64 { return r.size.Load() }

// Stamp is the stamp of the last entry applied.
func (r *Replica) Stamp() machine.Stamp {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.state.stamp
}

// HasMember reports whether the last applied configuration has the server.
func (r *Replica) HasMember(server string) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.state.members[server]
}

// NextDeadline is the earliest deadline, that of a staged backup included.
func (r *Replica) NextDeadline() (at time.Duration, found bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	d, found := r.state.deadlines.Min()
	if st := r.state.staging; st != nil && (!found || st.until < d.at) {
		return st.until, true
	}
	return d.at, found
}

// tell wakes those who wait for what has been applied, once its events were
// delivered.
func (r *Replica) tell() {
	applied := r.applied.Load()
	r.told.Store(applied)
	r.waiting.wake(applied)
}

// Wait returns nil once an entry at index or later has been applied, and the
// events of all up to it have been delivered.
func (r *Replica) Wait(ctx context.Context, index uint64) error {
	if r.told.Load() >= index {
		return nil
	}
	return r.waiting.wait(ctx, index, &r.told)
}

// Subscribe calls fn for each event of the feature, in log order.
func (r *Replica) Subscribe(feature uint8, fn func(machine.Event)) (cancel func()) {
	return r.subs.add(feature, fn)
}

// A Query is a question for one feature's machine.
type Query struct {
	Feature uint8
	Data    []byte
}

// Read answers queries by the state as it is. The time now is used where it
// is later than the last stamp; if something would be hidden by that which the
// log does not know to have expired, nothing is answered and ok is false: a
// tick must be logged first, or the expired could come back after a failover.
// The query whose reply takes all of them past 8 MiB is the last one answered.
func (r *Replica) Read(now machine.Stamp, queries []Query) (replies []machine.Reply, at machine.Stamp, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	at = r.state.stamp
	if now.Lease > at.Lease {
		if r.dueLocked(at.Lease, now.Lease) {
			return nil, at, false
		}
		at.Lease = now.Lease
	}
	at.Wall = max(at.Wall, now.Wall)
	replies = make([]machine.Reply, 0, len(queries))
	for i, size := 0, 0; i < len(queries) && size <= maxReplies; i++ {
		replies = append(replies, r.queryLocked(at, queries[i]))
		size += len(replies[i].Data)
	}
	return replies, at, true
}

func (r *Replica) queryLocked(at machine.Stamp, q Query) machine.Reply {
	m := r.state.machines[q.Feature]
	if m == nil || r.failed != nil {
		return machine.Reply{Err: machine.ErrLoading}
	}
	return machine.Reply{Data: m.Query(at, q.Data)}
}

// dueLocked reports whether a deadline lies after one time and not after
// another.
func (r *Replica) dueLocked(after, until time.Duration) (found bool) {
	r.state.deadlines.Ascend(deadline{at: after + 1}, func(d deadline) bool {
		found = d.at <= until
		return false
	})
	return found
}

// Members returns the server IDs of the last applied configuration, sorted.
func (r *Replica) Members() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	ids := make([]string, 0, len(r.state.members))
	for id := range r.state.members {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
