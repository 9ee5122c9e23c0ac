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
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

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

	proposer *proposer // of batches of usual length
	bulk     *proposer // of long ones
	rounds   *rounds
	voters   *voters
	news     *announcer
	office   atomic.Pointer[reign]  // of this node, if it leads
	inFlight atomic.Int64           // bytes of entries that are not applied yet
	pending  atomic.Int64           // entries that Raft has not answered yet
	heard    atomic.Pointer[heard]  // what the leader said last
	keeper   atomic.Pointer[keeper] // while this node leads
	began    time.Time
	tenure   atomic.Pointer[tenure]
	caughtUp atomic.Bool
	hasTold  atomic.Bool // subscribers know that they may have missed what came before that
	settled  atomic.Bool // see judgeSettled

	compacting, inquiring, judging atomic.Bool // are being done
	reloading                      sync.Mutex  // serialises changes of Raft's settings

	opening  chan struct{} // holds a token while nobody asks for an origin
	originID atomic.Uint64
	nonce    atomic.Uint64
	batches  [2]atomic.Uint64 // number of the last batch of each lane

	sooner chan struct{} // holds a token when something is due sooner than all else
	full   chan struct{} // holds a token when the log takes too much room
	over   chan error    // why the life ends; holds one
	gone   chan struct{} // closed when Raft has shut down
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
		opening: make(chan struct{}, 1), over: make(chan error, 1), full: make(chan struct{}, 1), sooner: make(chan struct{}, 1), gone: make(chan struct{}),
	}
	l.opening <- struct{}{}
	l.nonce.Store(randomNumber())
	l.proposer, l.bulk = newProposer(l), newProposer(l)
	l.rounds, l.voters = newRounds(l), newVoters(l)
	l.news = newAnnouncer(l)
	l.replica = replica.New(replica.Config{
		Features: factories(n.cfg.Features),
		MaxLevel: n.cfg.Level,
		Fail:     func(err error) { l.end(err) },
		Sooner:   func() { signal(l.sooner) },
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
	l.work.Go(func() { l.bulk.run(ctx) })
	l.work.Go(func() { l.watchLeader(ctx) })
	l.work.Go(func() { l.introduce(ctx) })
	l.work.Go(func() { l.rounds.run(ctx) })
	l.work.Go(func() { l.news.run(ctx) })
	l.work.Go(func() { l.catchUp(ctx) })
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
	l.raft = r
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

// leader is the ID of the leader as this node knows it.
func (l *life) leader() (id string, found bool) {
	_, leader := l.raft.LeaderWithID()
	return string(leader), leader != ""
}

// catchUp waits until this node has applied all that was acknowledged when its
// life began. Before that its state is no answer, and what happens in it is of
// the past.
func (l *life) catchUp(ctx context.Context) {
	for ctx.Err() == nil {
		asking, cancel := context.WithTimeout(ctx, callTime)
		a := l.query(asking, nil)
		cancel()
		if a.status == statusDone && l.replica.Wait(ctx, a.stamp.Index) == nil {
			l.caughtUp.Store(true)
			l.node.subs.reset()
			l.hasTold.Store(true)
			return
		}
		l.node.pause(ctx, retryWait)
	}
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
