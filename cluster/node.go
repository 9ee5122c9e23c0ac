package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/huddlecache/huddle/cluster/internal/replica"
	"github.com/huddlecache/huddle/cluster/machine"
)

// A Node is one member of a cluster, or about to become one.
//
// Over its time it may take several identities: one that its cluster has
// removed is never used again. What a node is under one identity is a
// presence; what it is in its cluster, a life.
type Node struct {
	cfg      Config
	features map[uint8]bool

	presence atomic.Pointer[presence]
	life     atomic.Pointer[life] // nil while in no cluster
	lanes    [2]*lane
	reader   *reader
	subs     subscriptions
	servers  servers

	stop     context.CancelFunc // ends everything
	work     sync.WaitGroup
	draining atomic.Bool
	started  atomic.Bool // was ready once
	closing  sync.Once
	drained  sync.Once

	restoring sync.Mutex // held while this node takes a backup into the log

	done chan struct{} // closed when the node has stopped by itself or was closed
	err  error         // why; set before done is closed
	once sync.Once     // guards closing done
}

// Errors of Ready.
var (
	errJoining  = errors.New("joining: not part of a cluster yet")
	errCatching = errors.New("joining: not caught up yet")
	errDraining = errors.New("draining: about to stop")
	errCutOff   = errors.New("cut off: none of the other nodes can be reached")
)

// Open starts a node. It returns once the node listens; founding or joining a
// cluster goes on behind, and Ready tells when it is done.
func Open(ctx context.Context, cfg Config) (*Node, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, features: map[uint8]bool{}, done: make(chan struct{})}
	for _, f := range cfg.Features {
		n.features[f.ID] = true
	}
	n.lanes = [2]*lane{newLane(n, replica.LaneNormal), newLane(n, replica.LaneLarge)}
	n.reader = newReader(n)
	runCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	n.stop = stop
	first, err := n.appear(runCtx)
	if err != nil {
		stop()
		return nil, err
	}
	for _, l := range n.lanes {
		n.work.Go(func() { l.run(runCtx) })
	}
	n.work.Go(func() { n.reader.run(runCtx) })
	n.work.Go(func() { n.run(runCtx, first) })
	return n, nil
}

// run lives through one identity after another until the context ends.
func (n *Node) run(ctx context.Context, p *presence) {
	for {
		reason := p.exist(ctx)
		renewed, isRenewal := errors.AsType[*renewal](reason)
		closeErr := p.close(isRenewal)
		n.presence.Store(nil)
		n.started.Store(false)
		switch {
		case ctx.Err() != nil:
			n.end(closeErr)
			return
		case !isRenewal:
			n.end(reason)
			return
		}
		n.cfg.Logger.Warn("taking a new identity", slog.String("id", p.id), slog.String("reason", renewed.reason))
		next, err := n.reappear(ctx)
		if err != nil {
			n.end(err)
			return
		}
		p = next
	}
}

// reappear opens the next identity. The ports of the last one may take a
// moment to be free.
func (n *Node) reappear(ctx context.Context) (p *presence, err error) {
	for range 50 {
		if p, err = n.appear(ctx); err == nil || ctx.Err() != nil {
			return p, err
		}
		n.pause(ctx, 100*time.Millisecond)
	}
	return nil, err
}

// end notes why the node has stopped.
func (n *Node) end(err error) {
	n.once.Do(func() {
		n.err = err
		close(n.done)
	})
}

// Done is closed when the node has stopped, by itself or by Close.
func (n *Node) Done() <-chan struct{} { return n.done }

// Err says why the node stopped by itself, once Done is closed.
func (n *Node) Err() error {
	select {
	case <-n.done:
		return n.err
	default:
		return nil
	}
}

// A node that leaves in order takes at most leaveMost for it, its drain time
// included, and closeMost to stop after that.
const (
	leaveMost = 16 * time.Second
	closeMost = 8 * time.Second // gossip alone waits up to 5 s for its last probe where it is slow
)

// Close leaves the cluster in order: it stops being ready, goes on for the
// configured drain time, moves leadership, has an ephemeral node removed, and
// stops. What is left of that after 16 s, or when the context ends, is
// skipped. A disk that hangs may keep the node from stopping: then Close
// returns an error 8 s later.
func (n *Node) Close(ctx context.Context) error {
	n.closing.Do(func() {
		ctx, cancel := context.WithTimeout(ctx, leaveMost)
		defer cancel()
		n.Drain(ctx)
		if l := n.life.Load(); l != nil && ctx.Err() == nil {
			l.leave(ctx)
		}
		n.stop()
	})
	stopped := make(chan struct{})
	go func() { // ends with the node's work
		n.work.Wait()
		n.end(nil)
		close(stopped)
	}()
	select {
	case <-stopped:
		return nil
	case <-time.After(closeMost):
		return errors.New("closing: the disk has not finished a write")
	}
}

// Drain says that the node is about to stop, and waits while its Service
// forgets it. The node works on meanwhile. Close does it where it was not done.
func (n *Node) Drain(ctx context.Context) {
	n.drained.Do(func() {
		n.draining.Store(true)
		if p := n.presence.Load(); p != nil {
			p.announce()
		}
		n.pause(ctx, n.cfg.Drain)
	})
}

// Kill stops the node at once, as if its process had been killed.
func (n *Node) Kill() {
	n.closing.Do(func() {
		n.draining.Store(true)
		if p := n.presence.Load(); p != nil {
			p.killed.Store(true)
		}
		n.stop()
	})
	n.work.Wait()
	n.end(nil)
}

// ID is the identity that the node has now; empty between two.
func (n *Node) ID() string {
	if p := n.presence.Load(); p != nil {
		return p.id
	}
	return ""
}

// Leader is the ID of the leader as this node knows it; empty if it knows none.
func (n *Node) Leader() string {
	if l := n.life.Load(); l != nil {
		id, _ := l.leader()
		return id
	}
	return ""
}

// Usage is what this node knows without asking anybody.
type Usage struct {
	Cluster    string // cluster ID; empty while the node is in none
	StateBytes int64  // what the replicated state takes
	StateLimit int64  // what it may take
}

// Usage returns what this node knows without asking anybody.
func (n *Node) Usage() Usage {
	u := Usage{StateLimit: n.cfg.StateBytes}
	if l := n.life.Load(); l != nil {
		u.Cluster, u.StateBytes = l.cluster, l.replica.Size()
	}
	return u
}

// Ready returns nil, or why the node should not be sent clients: it is
// joining, draining, or cut off from all others. A lost quorum is no reason:
// every pod would leave its Service, and the application with it.
func (n *Node) Ready() error {
	p, l := n.presence.Load(), n.life.Load()
	switch {
	case n.draining.Load():
		return errDraining
	case p == nil || l == nil:
		return errJoining
	case !n.started.Load():
		if !l.settled.Load() {
			return errCatching
		}
		n.started.Store(true)
	}
	if p.isCutOff() {
		return errCutOff
	}
	return nil
}

// Log returns the log as the feature sees it.
func (n *Node) Log(feature uint8) machine.Log { return featureLog{n, feature} }

func (n *Node) hasFeature(id uint8) bool { return n.features[id] }

// current is the node's life in its cluster, nil if it is in none.
func (n *Node) current() *life { return n.life.Load() }

// unavailable is why nothing can be done now.
func (n *Node) unavailable() error {
	if n.life.Load() == nil {
		return machine.ErrLoading
	}
	return machine.ErrNoQuorum
}

// target is where a batch goes: a life with an origin and a leader.
type target struct {
	life   *life
	origin uint64
}

// target returns where to send a batch, or an error if there is nowhere.
func (n *Node) target(ctx context.Context) (target, error) {
	l := n.current()
	if l == nil {
		return target{}, machine.ErrLoading
	}
	origin, err := l.origin(ctx)
	return target{l, origin}, err
}

// ownWall is this node's wall clock, nanoseconds since 1970.
func (n *Node) ownWall() time.Duration { return time.Duration(n.cfg.WallTime().UnixNano()) }

// pause waits, or until the context ends.
func (n *Node) pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// featureLog is the machine.Log of one feature.
type featureLog struct {
	node    *Node
	feature uint8
}

// Do implements machine.Log.
func (f featureLog) Do(ctx context.Context, items ...machine.Item) ([]machine.Reply, machine.Stamp, error) {
	last := len(items) - 1
	for last >= 0 && items[last].Query {
		last--
	}
	if last < 0 {
		return f.read(ctx, items)
	}
	c := &call{items: make([]replica.Item, last+1), queries: f.queries(items[last+1:])}
	lane := f.node.lanes[replica.LaneNormal]
	for i, it := range items {
		if i <= last {
			c.items[i] = replica.Item{Feature: f.feature, Item: it}
		}
		c.size += len(it.Data) + len(it.Idem) + itemOverhead
		if len(it.Data) > largeItem {
			lane = f.node.lanes[replica.LaneLarge]
		}
	}
	if c.size > f.node.cfg.maxCall() {
		return nil, machine.Stamp{}, machine.ErrTooBig
	}
	if c.size > batchSize {
		lane = f.node.lanes[replica.LaneLarge]
	}
	if err := lane.do(ctx, c); err != nil {
		return nil, c.stamp, err
	}
	if rest := items[min(len(c.replies), len(items)):]; len(rest) > 0 {
		return f.readRest(ctx, c, rest)
	}
	return c.replies, c.stamp, nil
}

// readRest asks the queries behind the commands for which the answer to these
// had no room.
func (f featureLog) readRest(ctx context.Context, c *call, rest []machine.Item) ([]machine.Reply, machine.Stamp, error) {
	replies, stamp, err := f.read(ctx, rest)
	for len(replies) < len(rest) {
		replies = append(replies, machine.Reply{Err: err})
	}
	return append(c.replies, replies...), stamp, nil
}

func (f featureLog) queries(items []machine.Item) []replica.Query {
	if len(items) == 0 {
		return nil
	}
	queries := make([]replica.Query, len(items))
	for i, it := range items {
		queries[i] = replica.Query{Feature: f.feature, Data: it.Data}
	}
	return queries
}

func (f featureLog) read(ctx context.Context, items []machine.Item) ([]machine.Reply, machine.Stamp, error) {
	q := &read{queries: f.queries(items)}
	for _, it := range items {
		q.size += len(it.Data)
	}
	if len(items) == 0 {
		return nil, machine.Stamp{}, nil
	}
	if err := f.node.reader.do(ctx, q); err != nil {
		return nil, machine.Stamp{}, err
	}
	return q.replies, q.stamp, nil
}

// localWait is how long a read waits until this node has reached an index.
const localWait = 100 * time.Millisecond

// Query implements machine.Log.
func (f featureLog) Query(ctx context.Context, c machine.Consistency, query []byte) ([]byte, machine.Stamp, error) {
	if l := f.node.current(); l != nil && c.IsLocal() && l.hasReached(ctx, c) {
		replies, stamp := l.peek([]replica.Query{{Feature: f.feature, Data: query}})
		return replies[0].Data, stamp, replies[0].Err
	}
	replies, stamp, err := f.read(ctx, []machine.Item{{Data: query, Query: true}})
	if err != nil {
		return nil, stamp, err
	}
	return replies[0].Data, stamp, replies[0].Err
}

// hasReached reports whether this node's replica may answer.
func (l *life) hasReached(ctx context.Context, c machine.Consistency) bool {
	cluster, index := c.Position()
	if index == 0 {
		return l.caughtUp.Load()
	}
	if cluster != l.cluster {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, localWait)
	defer cancel()
	return l.replica.Wait(ctx, index) == nil
}

// Now implements machine.Log.
func (f featureLog) Now() (latest time.Duration, fresh bool) {
	if l := f.node.current(); l != nil {
		return l.horizon()
	}
	return math.MaxInt64, false
}

// Subscribe implements machine.Log.
func (f featureLog) Subscribe(fn func(machine.Event)) (cancel func()) {
	return f.node.subs.add(f.feature, fn)
}

// subscriptions outlive the replicas whose events they get.
type subscriptions struct {
	mu  sync.Mutex // guards changes of all
	all atomic.Pointer[[]*subscription]
}

type subscription struct {
	feature uint8
	fn      func(machine.Event)
}

func (s *subscriptions) add(feature uint8, fn func(machine.Event)) (cancel func()) {
	sub := &subscription{feature, fn}
	s.change(func(all []*subscription) []*subscription { return append(all, sub) })
	return func() {
		s.change(func(all []*subscription) []*subscription {
			return slices.DeleteFunc(all, func(o *subscription) bool { return o == sub })
		})
	}
}

// change replaces the list, which is never changed itself.
func (s *subscriptions) change(edit func([]*subscription) []*subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := edit(slices.Clone(s.current()))
	s.all.Store(&all)
}

func (s *subscriptions) current() []*subscription {
	if all := s.all.Load(); all != nil {
		return *all
	}
	return nil
}

// deliver passes an event on to the subscribers of a feature.
func (s *subscriptions) deliver(feature uint8, e machine.Event) {
	for _, sub := range s.current() {
		if sub.feature == feature {
			sub.fn(e)
		}
	}
}

// reset tells all subscribers that anything may have changed.
func (s *subscriptions) reset() {
	for _, sub := range s.current() {
		sub.fn(machine.Event{Reset: true})
	}
}

// renewal ends an identity and asks for another one.
type renewal struct{ reason string }

func (r *renewal) Error() string { return fmt.Sprintf("this identity is over: %s", r.reason) }
