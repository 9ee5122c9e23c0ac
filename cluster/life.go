package cluster

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"reflect"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/huddlecache/huddle/cluster/internal/founding"
	"github.com/huddlecache/huddle/cluster/internal/peer"
	"github.com/huddlecache/huddle/cluster/internal/replica"
	"github.com/huddlecache/huddle/cluster/machine"
)

// A life is what a node is in its cluster: its copy of the log and the state,
// and its part in keeping them. It ends with its identity, or when the disk
// fails, and then the next one begins from what is on the disk.
type life struct {
	node    *Node
	on      *presence
	id      string
	cluster string

	ctx  context.Context // ends with the life
	stop context.CancelFunc
	work sync.WaitGroup // all goroutines of the life

	raft      *raft.Raft
	transport *raft.NetworkTransport
	replica   *replica.Replica
	loads     snapshotLoads

	proposer *proposer
	rounds   *rounds
	voters   *voters
	office   atomic.Pointer[reign]  // of this node, if it leads
	inFlight atomic.Int64           // bytes of entries that are not applied yet
	pending  atomic.Int64           // entries that Raft has not answered yet
	heard    atomic.Pointer[heard]  // what the leader said last
	keeper   atomic.Pointer[keeper] // while this node leads
	began    time.Time
	tenure   atomic.Pointer[tenure]
	caughtUp atomic.Bool
	settled  atomic.Bool // see judgeSettled

	compacting, inquiring, judging atomic.Bool // are being done
	reloading                      sync.Mutex  // serialises changes of Raft's settings

	lastAtStart uint64 // index of the last log entry when the life began

	opening  chan struct{} // holds a token while nobody asks for an origin
	originID atomic.Uint64
	nonce    atomic.Uint64
	batches  [2]atomic.Uint64 // number of the last batch of each lane

	full chan struct{} // holds a token when the log takes too much room
	over chan error    // why the life ends; holds one
	gone chan struct{} // closed when Raft has shut down
}

// heard is a sign of life of the leader: its lease time cannot have been
// later than lease when the question was sent, plus what has passed since.
type heard struct {
	lease time.Duration
	asked time.Time
}

// start begins a life in a cluster. The founders are the first configuration,
// nil if there is a log already or a leader is going to send one.
func (p *presence) start(cluster string, founders *raft.Configuration) (*life, error) {
	n := p.node
	ctx, stop := context.WithCancel(context.Background())
	l := &life{
		node: n, on: p, id: p.id, cluster: cluster, ctx: ctx, stop: stop, began: time.Now(),
		opening: make(chan struct{}, 1), over: make(chan error, 1), full: make(chan struct{}, 1), gone: make(chan struct{}),
	}
	l.opening <- struct{}{}
	l.nonce.Store(randomNumber())
	l.proposer, l.rounds, l.voters = newProposer(l), newRounds(l), newVoters(l)
	l.replica = replica.New(replica.Config{
		Features: factories(n.cfg.Features),
		MaxLevel: n.cfg.Level,
		Fail:     func(err error) { l.end(err) },
	})
	for _, f := range n.cfg.Features {
		l.replica.Subscribe(f.ID, func(e machine.Event) {
			if l.caughtUp.Load() { // what comes before is of the past
				n.subs.deliver(f.ID, e)
			}
		})
	}
	notify := make(chan bool, 64)
	if err := l.startRaft(founders, notify); err != nil {
		stop()
		return nil, err
	}
	l.work.Go(func() { l.proposer.run(ctx) })
	l.work.Go(func() { l.watchLeader(ctx) })
	l.work.Go(func() { l.introduce(ctx) })
	l.work.Go(func() { l.rounds.run(ctx) })
	l.work.Go(func() { l.govern(ctx, notify) })
	l.work.Go(func() { l.attend(ctx) })
	return l, nil
}

func factories(features []Feature) []replica.Factory {
	list := make([]replica.Factory, len(features))
	for i, f := range features {
		list[i] = replica.Factory(f)
	}
	return list
}

// startRaft starts the log.
func (l *life) startRaft(founders *raft.Configuration, notify chan bool) error {
	p := l.on
	l.transport = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream:  p.raftLayer(l.cluster),
		MaxPool: 3,
		Timeout: l.node.raftTime(4 * time.Second),
		Logger:  raftLogger(l.node.cfg.Logger),
	})
	cfg := l.node.raftConfig(p.id)
	cfg.NotifyCh = notify
	if founders != nil && len(founders.Servers) == 1 {
		cfg.HeartbeatTimeout = l.node.raftTime(foundingTime)
		cfg.ElectionTimeout, cfg.LeaderLeaseTimeout = cfg.HeartbeatTimeout, cfg.HeartbeatTimeout
	}
	logs, stable, snapshots := p.store.Logs(), p.store.Stable(), p.store.Snapshots()
	if founders != nil {
		err := raft.BootstrapCluster(cfg, logs, stable, snapshots, l.transport, *founders)
		if err != nil && !errors.Is(err, raft.ErrCantBootstrap) {
			return errors.Join(fmt.Errorf("founding the log: %w", err), l.transport.Close())
		}
	}
	r, err := raft.NewRaft(cfg, fsm{l.replica, l}, logs, stable, snapshots, pipelined{l.transport})
	if err != nil {
		return errors.Join(fmt.Errorf("opening the log: %w", err), l.transport.Close())
	}
	l.raft, l.lastAtStart = r, r.LastIndex()
	return nil
}

// pace sets Raft's time-outs for heartbeats and elections, which must not be
// shorter. A leader sends one at most every
// fifth of it, so that an idle leader, which needs none of its own, wakes half
// as often with twice the usual.
func (l *life) pace(heartbeat time.Duration) {
	l.reloading.Lock()
	defer l.reloading.Unlock()
	config := l.raft.ReloadableConfig()
	config.HeartbeatTimeout, config.ElectionTimeout = heartbeat, heartbeat
	if err := l.raft.ReloadConfig(config); err != nil {
		l.node.cfg.Logger.Warn("changing the log's time-outs", slog.Any("error", err))
	}
}

// raftTime is a time-out of Raft's on this machine.
func (n *Node) raftTime(d time.Duration) time.Duration {
	return d * time.Duration(n.cfg.RaftPace)
}

func (n *Node) raftConfig(id string) *raft.Config {
	cfg := raft.DefaultConfig()
	cfg.LocalID = raft.ServerID(id)
	cfg.HeartbeatTimeout = n.raftTime(electionTime)
	cfg.ElectionTimeout = n.raftTime(electionTime)
	cfg.LeaderLeaseTimeout = n.raftTime(leaseTime)
	cfg.CommitTimeout = 500 * time.Millisecond
	// Entries are handed over one by one: what is in a buffer when Raft shuts
	// down is never answered. The proposer gathers meanwhile what comes.
	cfg.BatchApplyCh = false
	cfg.SnapshotThreshold = uint64(n.cfg.Snapshots)
	cfg.TrailingLogs = cfg.SnapshotThreshold / trailingPart
	cfg.SnapshotInterval = min(30*time.Second, time.Duration(n.cfg.Snapshots)*lookAtLog)
	cfg.Logger = raftLogger(n.cfg.Logger)
	return cfg
}

// Raft's time-outs, which the configured pace multiplies. The lease only bounds
// for how long a leader that is cut off does not know it: reads are confirmed
// otherwise.
const (
	electionTime = 500 * time.Millisecond
	leaseTime    = 400 * time.Millisecond
	foundingTime = 250 * time.Millisecond // of a node that founds its cluster alone
)

// Of the entries between two snapshots so many are kept behind the last one,
// for followers that are a little late; and so often, per entry, the log is
// looked at.
const (
	trailingPart = 8
	lookAtLog    = 10 * time.Millisecond
)

// fsm is the replica as Raft sees it.
type fsm struct {
	*replica.Replica
	life *life
}

// Restore implements raft.FSM.
func (f fsm) Restore(r io.ReadCloser) error {
	if err := f.Replica.Restore(r); err != nil {
		if errors.Is(err, machine.ErrUnknownCommand) {
			f.life.end(err)
		}
		return err
	}
	f.life.loads.note(f.Applied(), f.life)
	return nil
}

// snapshotLoads notices a follower that is sent one snapshot again and again,
// because its log contradicts the leader's (hashicorp/raft#697).
type snapshotLoads struct {
	index uint64 // Raft's FSM goroutine's own
	count int
}

// sameSnapshots is how often one snapshot may be loaded.
const sameSnapshots = 3

func (s *snapshotLoads) note(index uint64, l *life) {
	if s.index != index {
		s.index, s.count = index, 0
	}
	if s.count++; s.count >= sameSnapshots && index > 0 {
		l.end(&renewal{"its log contradicts the leader's"})
	}
}

// end ends the life for the first reason given, and reports whether it is this
// one.
func (l *life) end(reason error) bool {
	select {
	case l.over <- reason:
		return true
	default:
		return false
	}
}

// isOver reports whether the life is ending or has ended.
func (l *life) isOver() bool { return l.ctx.Err() != nil }

// close stops everything. It closes the network first: a leader whose disk
// hangs must not go on keeping others from being elected.
func (l *life) close(isDisk bool) error {
	l.stop()
	if isDisk {
		l.on.store.Interrupt()
	}
	err := l.transport.Close()
	l.pending.Add(1)
	go func() { // ends with the life's goroutines, some of which wait for Raft
		l.work.Wait()
		l.pending.Add(-1)
	}()
	l.settle()
	shutdownErr := l.raft.Shutdown().Error()
	close(l.gone)
	l.transport.CloseStreams()
	l.work.Wait()
	return errors.Join(err, shutdownErr)
}

// settleTime bounds how long a life that ends waits for its entries.
const settleTime = 2 * time.Second

// settle waits until Raft has answered everything: what is on its way to the
// state when Raft shuts down is never answered. A leader that is cut off gives
// up within its lease.
func (l *life) settle() {
	wait, cancel := context.WithTimeout(context.Background(), l.node.raftTime(settleTime))
	defer cancel()
	for l.pending.Load() > 0 && wait.Err() == nil {
		l.node.pause(wait, retryWait/4)
	}
}

// append gives an entry to Raft. Its future must be waited for, and answered
// called then. Once the life has ended nothing is appended any more.
func (l *life) append(data []byte) (future raft.ApplyFuture, answered func(), err error) {
	l.pending.Add(1) // before the look: settle looks after the end
	answered = func() { l.pending.Add(-1) }
	if l.isOver() {
		answered()
		return nil, nil, raft.ErrNotLeader
	}
	future = l.raft.ApplyLog(raft.Log{Data: data}, enqueueTime)
	bound(future, l.gone)
	return future, answered, nil
}

// bound makes a future of Raft end when gone is closed. Raft's futures have a
// field for that, which it sets for some of its own only: those of entries that
// are on their way when Raft shuts down would never end.
func bound(future raft.Future, gone chan struct{}) {
	v := reflect.Indirect(reflect.ValueOf(future))
	if v.Kind() != reflect.Struct {
		return
	}
	if field := v.FieldByName("ShutdownCh"); field.IsValid() && field.CanSet() && field.IsNil() {
		field.Set(reflect.ValueOf(gone))
	}
}

// log appends an entry and waits for what the state answers.
func (l *life) log(data []byte) (response any, err error) {
	future, answered, err := l.append(data)
	if err != nil {
		return nil, err
	}
	defer answered()
	if err := future.Error(); err != nil {
		return nil, err
	}
	return future.Response(), nil
}

// change makes a change of the configuration and waits for it.
func (l *life) change(begin func() raft.IndexFuture) error {
	l.pending.Add(1)
	defer l.pending.Add(-1)
	if l.isOver() {
		return raft.ErrNotLeader
	}
	future := begin()
	bound(future, l.gone)
	return future.Error()
}

// leader is the ID of the leader as this node knows it.
func (l *life) leader() (id string, found bool) {
	_, leader := l.raft.LeaderWithID()
	return string(leader), leader != ""
}

// A tenure is the time in which this node takes another one for the leader.
type tenure struct {
	leader string
	ctx    context.Context // ends with the tenure
}

// watchLeader ends what was asked of a leader once it is one no more: it may
// never answer.
func (l *life) watchLeader(ctx context.Context) {
	changes := make(chan raft.Observation, 16)
	observer := raft.NewObserver(changes, false, func(o *raft.Observation) bool {
		_, isLeader := o.Data.(raft.LeaderObservation)
		return isLeader
	})
	l.raft.RegisterObserver(observer)
	defer l.raft.DeregisterObserver(observer)
	for ctx.Err() == nil {
		l.serveUnder(ctx, changes)
	}
}

// serveUnder keeps one tenure, until the leader changes or the life ends.
func (l *life) serveUnder(ctx context.Context, changes <-chan raft.Observation) {
	ctx, end := context.WithCancel(ctx)
	defer end()
	leader, _ := l.leader()
	l.tenure.Store(&tenure{leader, ctx})
	select {
	case <-changes:
	case <-ctx.Done():
	}
}

// under returns a context that also ends when the leader is another one.
func (l *life) under(ctx context.Context, leader string) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	t := l.tenure.Load()
	if t == nil || t.leader != leader {
		return ctx, cancel
	}
	stop := context.AfterFunc(t.ctx, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// hasCaughtUp reports whether the node has once applied all that its leader
// had committed: before that its state is no answer.
func (l *life) hasCaughtUp() bool {
	if l.caughtUp.Load() {
		return true
	}
	_, found := l.leader()
	applied := l.raft.AppliedIndex()
	isLate := !found || applied < max(l.raft.CommitIndex(), l.lastAtStart) || l.replica.Stamp().Cluster == ""
	if !isLate && l.caughtUp.CompareAndSwap(false, true) {
		l.node.subs.reset()
	}
	return !isLate
}

// configuration is the latest configuration, committed or not.
func (l *life) configuration() raft.Configuration {
	// This future is always done.
	future := l.raft.GetConfiguration()
	if future.Error() != nil {
		return raft.Configuration{}
	}
	return future.Configuration()
}

// isSole reports whether this node is the only member.
func (l *life) isSole() bool { return len(l.configuration().Servers) <= 1 }

// reigning is this node's reign, nil if it does not lead or has not applied
// an entry of its term yet.
func (l *life) reigning() *reign {
	r := l.office.Load()
	if r == nil || l.raft.State() != raft.Leader || l.raft.CurrentTerm() != r.term {
		return nil
	}
	return r
}

// govern begins a reign whenever this node is elected, until the life ends.
func (l *life) govern(ctx context.Context, notify <-chan bool) {
	var rule sync.WaitGroup
	defer rule.Wait()
	resign := func() {}
	defer func() { resign() }()
	for {
		select {
		case <-ctx.Done():
			return
		case isLeader := <-notify:
			resign()
			rule.Wait()
			if isLeader {
				resign = l.take(ctx, &rule)
			}
		}
	}
}

// take begins to rule and returns what ends it.
func (l *life) take(ctx context.Context, rule *sync.WaitGroup) (resign context.CancelFunc) {
	ctx, resign = context.WithCancel(ctx)
	rule.Go(func() { l.rule(ctx) })
	return resign
}

// rule does what a leader does beside answering, until it is deposed.
func (l *life) rule(ctx context.Context) {
	for !l.begin(ctx) {
		if ctx.Err() != nil {
			return
		}
		l.node.pause(ctx, retryWait)
	}
	l.node.cfg.Logger.Info("leading", slog.Uint64("term", l.office.Load().term))
	defer l.office.Store(nil)
	l.pace(l.node.raftTime(2 * electionTime))
	defer l.pace(l.node.raftTime(electionTime))
	var duties sync.WaitGroup
	duties.Go(func() { l.sweep(ctx) })
	duties.Go(func() { l.keepMembers(ctx) })
	duties.Wait()
}

// begin logs the first command entry of the term and starts the clock when it
// is applied.
func (l *life) begin(ctx context.Context) bool {
	term := l.raft.CurrentTerm()
	entry := replica.Begin{Term: term}
	if l.replica.Stamp().Cluster == "" {
		clocks, ok := l.voters.clocks(ctx, term)
		if !ok {
			return false
		}
		entry.Founding = l.founding(lowerMedian(clocks))
	}
	response, err := l.log(entry.Append(nil))
	result, ok := response.(replica.BeginResult)
	if err != nil || !ok || !result.Fresh {
		return false
	}
	clocks, ok := l.voters.clocks(ctx, term)
	if !ok {
		return false
	}
	l.office.Store(newReign(term, result.Stamp, lowerMedian(clocks), l.node.cfg.WallTime))
	return true
}

// founding is what a new cluster is given.
func (l *life) founding(wall time.Duration) *replica.Founding {
	f := &replica.Founding{Cluster: l.cluster, Wall: wall, Level: lowestLevel}
	f.Number = uint64(max(f.Wall/time.Microsecond, 0))
	rand.Read(f.Seed[:])
	return f
}

// sweepEvery is how often a leader looks for what is due while nothing is
// written.
const (
	sweepEvery = 250 * time.Millisecond
	sweepIdle  = time.Second // where nothing has a deadline
)

// sweep logs the time when something is due, so that it is removed also where
// no command comes. Where nothing is due it writes nothing.
func (l *life) sweep(ctx context.Context) {
	for ctx.Err() == nil {
		wait := sweepIdle
		if _, found := l.replica.NextDeadline(); found {
			wait = sweepEvery
		}
		l.node.pause(ctx, wait)
		for l.isDue() && l.proposer.tick(ctx).status == statusDone {
		}
	}
}

func (l *life) isDue() bool {
	reign := l.reigning()
	at, found := l.replica.NextDeadline()
	return reign != nil && found && at <= reign.now().Lease
}

// origin returns the origin under which this node's batches go now, and asks
// the leader for one if there is none.
func (l *life) origin(ctx context.Context) (uint64, error) {
	if id := l.originID.Load(); id != noOrigin {
		return id, nil
	}
	select {
	case <-ctx.Done():
		return noOrigin, ctx.Err()
	case <-l.opening:
	}
	defer func() { l.opening <- struct{}{} }()
	if id := l.originID.Load(); id != noOrigin {
		return id, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	id, err := l.openOrigin(ctx)
	if err == nil {
		l.originID.Store(id)
	}
	return id, err
}

// introduce asks for an origin before there is a command to send: with it the
// leader learns whether this node keeps its state.
func (l *life) introduce(ctx context.Context) {
	for ctx.Err() == nil {
		if _, err := l.origin(ctx); err == nil {
			return
		}
		l.node.pause(ctx, time.Second)
	}
}

// dropOrigin forgets an origin that is closed. The next one is asked for as a
// new one.
func (l *life) dropOrigin(id uint64) {
	if l.originID.CompareAndSwap(id, noOrigin) {
		l.nonce.Store(randomNumber())
	}
}

func (l *life) nextBatch(lane uint8) uint64 { return l.batches[lane].Add(1) }

func (l *life) openOrigin(ctx context.Context) (uint64, error) {
	leader, found := l.leader()
	if !found {
		return noOrigin, machine.ErrNoQuorum
	}
	m := openRequest{l.cluster, l.nonce.Load(), l.on.store.Durable()}
	if leader == l.id {
		return l.grantOrigin(l.id, m)
	}
	body, err := l.ask(ctx, leader, peer.Small, kindOpen, m.append(nil))
	if err != nil {
		return noOrigin, err
	}
	return parseOrigin(body)
}

// grantOrigin opens an origin for a server, as the leader.
func (l *life) grantOrigin(server string, m openRequest) (uint64, error) {
	entry := replica.Open{Term: l.raft.CurrentTerm(), Server: server, Nonce: m.nonce, Durable: m.isDurable}
	response, err := l.log(entry.Append(nil))
	if err != nil {
		return noOrigin, fmt.Errorf("opening an origin: %w", err)
	}
	result, ok := response.(replica.OpenResult)
	if !ok || result.Origin == noOrigin {
		return noOrigin, errNotMember
	}
	return result.Origin, nil
}

var errNotMember = errors.New("this node is not a member of the cluster")

// horizon is the latest that the lease time can be now.
func (l *life) horizon() (latest time.Duration, fresh bool) {
	if r := l.reigning(); r != nil {
		return r.now().Lease, time.Since(l.rounds.lastConfirmed()) < time.Second
	}
	h := l.heard.Load()
	if h == nil {
		return math.MaxInt64, false
	}
	passed := time.Since(h.asked)
	return h.lease + passed + passed/1000, passed < time.Second
}

// hear notes the leader's time as an answer tells it.
func (l *life) hear(a answer, asked time.Time) {
	if a.status == statusDone && (a.outcome == replica.Applied || len(a.queried) > 0) {
		l.heard.Store(&heard{a.stamp.Lease, asked})
	}
}

// ask sends a request to another member.
func (l *life) ask(ctx context.Context, id string, lane peer.Lane, kind uint8, body []byte) ([]byte, error) {
	if l.on.peer == nil {
		return nil, peer.ErrNotSent
	}
	return l.on.peer.Call(ctx, id, lane, kind, body)
}

// laneOf chooses the connection by the size of what is sent.
func laneOf(size int) peer.Lane {
	if size > batchSize {
		return peer.Bulk
	}
	return peer.Small
}

const laneSmall = peer.Small

// notSent reports whether a request was certainly not handled.
func notSent(err error) bool {
	return errors.Is(err, peer.ErrNotSent) || errors.Is(err, peer.ErrBusy)
}

func randomNumber() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.BigEndian.Uint64(b[:])
}

// lastTerm is the term of the last log entry.
func (l *life) lastTerm() uint64 {
	term, err := strconv.ParseUint(l.raft.Stats()["last_log_term"], 10, 64)
	if err != nil {
		return 0
	}
	return term
}

// judgeSettled looks whether a node that was never ready is: it votes, or as
// many voters answer as there should be, and enough would still if the next one
// were stopped. Were it ready sooner, a roll-out would stop that one too soon.
// The voters are asked: gossip learns of a death seconds later.
func (l *life) judgeSettled(ctx context.Context) {
	if !l.hasCaughtUp() {
		return
	}
	progress := l.survey(ctx)
	voters, answering, living := 0, 0, 0
	isVoter := false
	for _, s := range l.configuration().Servers {
		id := string(s.ID)
		_, answers := progress[id]
		if answers {
			living++
		}
		if s.Suffrage != raft.Voter {
			continue
		}
		voters++
		if answers {
			answering++
		}
		isVoter = isVoter || id == l.id
	}
	isSafe := answering == voters || answering-1 > voters/2
	if isVoter || isSafe && answering >= founding.Voters(living, l.node.cfg.Voters, l.node.cfg.Expect) {
		l.settled.Store(true)
	}
}
