package cluster

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/huddlecache/huddle/cluster/internal/replica"
	"github.com/huddlecache/huddle/cluster/machine"
)

// enqueueTime bounds how long an entry waits to be taken by Raft.
const enqueueTime = time.Second

// proposeMost bounds the batches that wait at the leader. Each lane of each
// node has one on its way, so that it is reached only if origins come and go.
const proposeMost = 1024

// A proposal is a batch that waits for its place in the log.
type proposal struct {
	batch  []byte
	result chan proposed // holds one
}

// proposed is what became of a proposal.
type proposed struct {
	status uint8
	replica.BatchResult
	stamp machine.Stamp
}

// A proposer is the leader's writer: it stamps what waits, and appends it as
// one entry. It has one entry on its way at a time: an entry costs a leader and
// its followers a wait for their disks each, however much is in it. Batches
// that are long in themselves have a proposer of their own.
type proposer struct {
	life *life
	wake chan struct{} // holds a token while proposals may wait

	mu      sync.Mutex  // guards what follows
	waiting []*proposal // in the order they came
	company gathering   // of those that wait
	ticks   []chan proposed
	isBusy  bool // an entry is on its way
	closed  bool // nothing is taken any more
}

func newProposer(l *life) *proposer {
	return &proposer{life: l, wake: make(chan struct{}, 1)}
}

// propose puts a batch into the log and waits for what becomes of it.
func (p *proposer) propose(ctx context.Context, batch []byte) proposed {
	prop := &proposal{batch: batch, result: make(chan proposed, 1)}
	if status := p.enqueue(prop); status != statusDone {
		return proposed{status: status}
	}
	return await(ctx, prop.result)
}

func (p *proposer) enqueue(prop *proposal) (status uint8) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return statusNotLeader
	case len(p.waiting) >= proposeMost:
		return statusOverloaded
	}
	p.waiting = append(p.waiting, prop)
	if !p.isBusy && p.company.isFull(len(p.waiting)) {
		signal(p.wake)
	}
	return statusDone
}

// tick logs the present time, together with whatever else waits.
func (p *proposer) tick(ctx context.Context) proposed {
	result := make(chan proposed, 1)
	p.mu.Lock()
	isClosed := p.closed
	if !isClosed {
		p.ticks = append(p.ticks, result)
	}
	p.mu.Unlock()
	if isClosed {
		return proposed{status: statusNotLeader}
	}
	signal(p.wake)
	return await(ctx, result)
}

func await(ctx context.Context, result chan proposed) proposed {
	select {
	case r := <-result:
		return r
	case <-ctx.Done():
		return proposed{status: statusLost}
	}
}

// run appends what waits until the context ends.
func (p *proposer) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			p.close()
			return
		case <-p.wake:
		}
		gather(ctx, p.wake, p.isFull)
		if p.isDue() {
			p.appendEntry(p.take())
		}
	}
}

// isFull reports whether there is no reason to wait any longer.
func (p *proposer) isFull() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.isBusy || len(p.ticks) > 0 || p.company.isFull(len(p.waiting))
}

// isDue reports whether an entry may be made, and there is something for it.
func (p *proposer) isDue() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.isBusy && len(p.waiting)+len(p.ticks) == 0 {
		p.company.leave(0)
		signal(p.life.news.wake) // nothing follows that would tell it
	}
	return !p.isBusy && len(p.waiting)+len(p.ticks) > 0
}

// landed notes that an entry of n batches is no longer on its way.
func (p *proposer) landed(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.isBusy = false
	p.company.landed(n, len(p.waiting))
	signal(p.wake)
}

// close answers all that waits, and whatever comes later at once.
func (p *proposer) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	answerAll(p.waiting, p.ticks, statusNotLeader)
	p.waiting, p.ticks = nil, nil
}

// take returns what fits into one entry.
func (p *proposer) take() (batches []*proposal, ticks []chan proposed) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.isBusy = true
	p.company.leave(len(p.waiting))
	size, n := 0, 0
	for n < len(p.waiting) && (n == 0 || size+len(p.waiting[n].batch) <= batchSize) {
		size += len(p.waiting[n].batch)
		n++
	}
	batches, p.waiting = p.waiting[:n:n], p.waiting[n:]
	if len(p.waiting) == 0 {
		p.waiting = nil
	}
	ticks, p.ticks = p.ticks, nil
	return batches, ticks
}

// appendEntry stamps batches and hands them to Raft.
func (p *proposer) appendEntry(batches []*proposal, ticks []chan proposed) {
	l := p.life
	reign := l.reigning()
	if reign == nil {
		answerAll(batches, ticks, statusNotLeader)
		p.landed(0)
		return
	}
	now := reign.now()
	work := replica.Work{Term: reign.term, Lease: now.Lease, Wall: now.Wall, Pressure: l.pressure()}
	size := 64
	for _, prop := range batches {
		work.Batches = append(work.Batches, prop.batch)
		size += len(prop.batch) + 8
	}
	data := work.Append(make([]byte, 0, size))
	l.inFlight.Add(int64(len(data)))
	future, answered, err := l.append(data)
	if err != nil {
		l.inFlight.Add(-int64(len(data)))
		answerAll(batches, ticks, statusOf(err))
		p.landed(0)
		return
	}
	l.work.Go(func() {
		p.conclude(future, batches, ticks)
		p.landed(len(batches))
		l.inFlight.Add(-int64(len(data)))
		answered()
	})
}

// conclude waits until an entry is applied, or is known not to be, or neither.
func (p *proposer) conclude(future raft.ApplyFuture, batches []*proposal, ticks []chan proposed) {
	if err := future.Error(); err != nil {
		answerAll(batches, ticks, statusOf(err))
		return
	}
	result, ok := future.Response().(replica.WorkResult)
	if !ok || len(result.Batches) != len(batches) {
		answerAll(batches, ticks, statusLost)
		return
	}
	for i, prop := range batches {
		prop.result <- proposed{statusDone, result.Batches[i], result.Stamp}
	}
	for _, tick := range ticks {
		tick <- proposed{status: statusDone, stamp: result.Stamp}
	}
}

// statusOf tells what Raft's error says of the entry.
func statusOf(err error) uint8 {
	switch {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return statusNotLeader
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return statusOverloaded
	}
	return statusLost
}

func answerAll(batches []*proposal, ticks []chan proposed, status uint8) {
	for _, prop := range batches {
		prop.result <- proposed{status: status}
	}
	for _, tick := range ticks {
		tick <- proposed{status: status}
	}
}

// pressure says how full the state is, what is on its way included.
func (l *life) pressure() machine.Pressure {
	used, limit := l.replica.Size()+l.inFlight.Load(), l.node.cfg.StateBytes
	switch {
	case used > limit:
		return machine.PressureFull
	case used > limit/5*4:
		return machine.PressureHigh
	}
	return machine.PressureNone
}

// lead executes a batch and the queries behind it as the leader.
func (l *life) lead(ctx context.Context, m proposeRequest) answer {
	if l.reigning() == nil {
		return answer{status: statusNotLeader}
	}
	if !l.admits(m.batch) {
		return answer{status: statusMalformed}
	}
	proposer := l.proposer
	if len(m.batch) > batchSize {
		proposer = l.bulk
	}
	r := proposer.propose(ctx, m.batch)
	a := answer{status: r.status, outcome: r.Outcome, stamp: r.stamp, replies: r.Replies}
	if r.status == statusDone && r.Outcome == replica.Applied && len(m.queries) > 0 {
		var seen machine.Stamp
		a.queried, seen = l.peek(m.queries)
		a.stamp.Index = max(a.stamp.Index, seen.Index)
	}
	return a
}

// peek answers queries by the last applied stamp. It needs no confirmation
// behind a batch that was just committed.
func (l *life) peek(queries []replica.Query) ([]machine.Reply, machine.Stamp) {
	replies, stamp, _ := l.replica.Read(machine.Stamp{}, queries)
	return replies, stamp
}

// admits reports whether a batch may enter the log.
func (l *life) admits(batch []byte) bool {
	b, err := replica.ParseBatch(batch)
	return err == nil && len(b.Items) > 0 && l.knows(b.Items)
}

// knows reports whether this node knows what all items are for: a feature, or
// the state's own shell.
func (l *life) knows(items []replica.Item) bool {
	for i := range items {
		if !l.node.hasFeature(items[i].Feature) && !replica.KnowsShell(&items[i]) {
			return false
		}
	}
	return true
}

// propose sends a batch to the leader, who may be this node.
func (l *life) propose(ctx context.Context, m proposeRequest) (a answer, certain bool) {
	leader, found := l.leader()
	if !found {
		return answer{status: statusNotLeader}, true
	}
	if leader == l.id {
		a = l.lead(ctx, m)
		return a, a.status != statusLost
	}
	ctx, done := l.under(ctx, leader)
	defer done()
	asked := time.Now()
	body, err := l.ask(ctx, leader, laneOf(len(m.batch)), kindPropose, m.append(nil))
	if err != nil {
		return answer{status: statusLost}, notSent(err)
	}
	a, err = parseAnswer(l.cluster, body)
	if err != nil {
		return answer{status: statusLost}, false
	}
	l.hear(a, asked)
	return a, a.status != statusLost
}
