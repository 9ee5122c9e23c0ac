package cluster

import (
	"context"
	"crypto/rand"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/huddlecache/huddle/cluster/internal/replica"
)

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

// A leader looks for what is due while nothing is written when the earliest
// deadline comes, but not more often than sweepLeast, and every sweepMost.
const (
	sweepLeast = 50 * time.Millisecond
	sweepMost  = time.Second
)

// sweep logs the time when something is due, so that it is removed also where
// no command comes. Where nothing is due it writes nothing.
//
// It also logs the time where the last entry is not committed when it looks
// again. Raft counts for a change of the configuration only what a new voter
// answers after the change has been noted, and the answer may come before
// (appendConfigurationEntry begins to replicate first). With another voter dead
// that one was needed, and Raft asks for it again only with the next entry:
// where nobody writes, no server would be removed or promoted any more.
func (l *life) sweep(ctx context.Context) {
	open := uint64(0) // the last entry, if it was not committed
	for ctx.Err() == nil {
		l.awaitDue(ctx)
		last := l.raft.LastIndex()
		switch {
		case last <= l.raft.CommitIndex():
			open = 0
		case last != open:
			open = last
		default:
			l.proposer.tick(ctx)
		}
		if l.isDue() {
			for l.isDue() && l.proposer.tick(ctx).status == statusDone {
			}
			l.node.pause(ctx, sweepLeast)
		}
	}
}

// awaitDue waits until the earliest deadline comes, sweepMost at most.
func (l *life) awaitDue(ctx context.Context) {
	for {
		wait := sweepMost
		at, found := l.replica.NextDeadline()
		if reign := l.reigning(); reign != nil && found {
			wait = min(wait, at-reign.now().Lease)
		}
		if wait <= 0 {
			return
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
			return
		case <-l.sooner:
			timer.Stop()
		}
	}
}

func (l *life) isDue() bool {
	reign := l.reigning()
	at, found := l.replica.NextDeadline()
	return reign != nil && found && at <= reign.now().Lease
}
