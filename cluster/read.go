package cluster

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/huddlecache/huddle/cluster/internal/replica"
	"github.com/huddlecache/huddle/cluster/machine"
)

// readsMost is how many queries one message to the leader carries at most.
const readsMost = 4096

// A read is queries of one caller that wait for the leader.
type read struct {
	queries []replica.Query
	size    int
	expires time.Time

	replies []machine.Reply
	stamp   machine.Stamp
	err     error
	done    chan struct{} // closed once answered
	isDone  bool          // guarded by the reader's mu
}

// A reader carries this node's linearizable reads to the leader, all that wait
// in one message. Reads can be repeated at will, so that one is given up only
// when its time is over.
type reader struct {
	node *Node
	wake chan struct{} // holds a token while reads may wait

	mu      sync.Mutex // guards all below
	waiting []*read
	company gathering // of those that wait
	size    int
	timer   *time.Timer
	closed  bool
}

func newReader(n *Node) *reader {
	return &reader{node: n, wake: make(chan struct{}, 1)}
}

// do asks the leader and waits for its answer.
func (r *reader) do(ctx context.Context, q *read) error {
	if err := r.enqueue(q); err != nil {
		return err
	}
	select {
	case <-q.done:
		return q.err
	case <-ctx.Done():
		r.mu.Lock()
		defer r.mu.Unlock()
		r.finishLocked(q, machine.ErrNoQuorum)
		return q.err
	}
}

func (r *reader) enqueue(q *read) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed:
		return machine.ErrLoading
	case len(r.waiting) >= queueMost || r.size+q.size > queueSize:
		return machine.ErrOverloaded
	}
	q.expires = time.Now().Add(callTime)
	q.done = make(chan struct{})
	r.addLocked(q)
	return nil
}

func (r *reader) addLocked(reads ...*read) {
	for _, q := range reads {
		r.size += q.size
	}
	r.waiting = append(r.waiting, reads...)
	if r.timer == nil {
		r.timer = time.AfterFunc(callTime, r.expire)
	}
	if r.company.isFull(len(r.waiting)) {
		signal(r.wake)
	}
}

func (r *reader) isFull() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.company.isFull(len(r.waiting))
}

func (r *reader) finishLocked(q *read, err error) {
	if !q.isDone {
		q.isDone, q.err = true, err
		close(q.done)
	}
}

// expire gives up the reads whose time is over.
func (r *reader) expire() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.timer != nil {
		r.timer.Stop() // send calls this too
		r.timer = nil
	}
	now := time.Now()
	reason := r.node.unavailable()
	next := time.Time{}
	r.waiting = slices.DeleteFunc(r.waiting, func(q *read) bool {
		if !q.isDone && now.Before(q.expires) {
			next = earlier(next, q.expires)
			return false
		}
		r.size -= q.size
		r.finishLocked(q, reason)
		return true
	})
	if !next.IsZero() {
		r.timer = time.AfterFunc(next.Sub(now), r.expire)
	}
}

// run carries reads until the context ends.
func (r *reader) run(ctx context.Context) {
	defer r.close()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		}
		for reads := r.take(); len(reads) > 0 && ctx.Err() == nil; reads = r.take() {
			r.send(ctx, reads)
			gather(ctx, r.wake, r.isFull)
		}
	}
}

func (r *reader) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for _, q := range r.waiting {
		r.finishLocked(q, machine.ErrNoQuorum)
	}
	r.waiting, r.size = nil, 0
	if r.timer != nil {
		r.timer.Stop()
	}
}

func (r *reader) take() []*read {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.company.leave(len(r.waiting))
	size, count, n := 0, 0, 0
	for n < len(r.waiting) && (n == 0 || size+r.waiting[n].size <= batchSize && count < readsMost) {
		size += r.waiting[n].size
		count += len(r.waiting[n].queries)
		n++
	}
	reads := r.waiting[:n:n]
	r.waiting = r.waiting[n:]
	if len(r.waiting) == 0 {
		r.waiting = nil
	}
	r.size -= size
	return reads
}

// landed notes that reads have been answered.
func (r *reader) landed(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.company.landed(n, len(r.waiting))
}

// send asks the leader once. Reads that got no answer wait again.
func (r *reader) send(ctx context.Context, reads []*read) {
	var queries []replica.Query
	limit := time.Time{}
	for _, q := range reads {
		queries = append(queries, q.queries...)
		limit = earlier(limit, q.expires)
	}
	askCtx, cancel := context.WithDeadline(ctx, limit)
	a := r.node.query(askCtx, queries)
	cancel()
	if a.status == statusDone && len(a.queried) > 0 {
		sent := len(reads)
		reads = r.deliver(reads, a)
		r.landed(sent - len(reads))
		if len(reads) == 0 {
			return
		}
	}
	r.mu.Lock()
	unanswered := slices.DeleteFunc(reads, func(q *read) bool { return q.isDone })
	waiting := r.waiting
	r.waiting = nil
	r.addLocked(append(unanswered, waiting...)...)
	for _, q := range waiting {
		r.size -= q.size // they were counted before
	}
	r.mu.Unlock()
	r.expire()
	if a.status != statusDone {
		r.node.pause(ctx, retryWait)
	}
}

// deliver hands out the replies. It returns the reads that have not had all of
// theirs, because the answer was cut.
func (r *reader) deliver(reads []*read, a answer) (rest []*read) {
	r.mu.Lock()
	defer r.mu.Unlock()
	replies := a.queried
	for i, q := range reads {
		n := min(len(q.queries), len(replies))
		if n < len(q.queries) && i > 0 {
			return reads[i:] // so that a read whose replies have room together is of one state
		}
		if !q.isDone {
			q.replies, q.stamp = append(q.replies, replies[:n]...), a.stamp
		}
		q.queries, replies = q.queries[n:], replies[n:]
		if len(q.queries) > 0 {
			return reads[i:]
		}
		r.finishLocked(q, nil)
	}
	return nil
}

// query asks the leader, who may be this node, for linearizable answers.
func (n *Node) query(ctx context.Context, queries []replica.Query) answer {
	if l := n.current(); l != nil {
		return l.query(ctx, queries)
	}
	return answer{status: statusNotLeader}
}

func (l *life) query(ctx context.Context, queries []replica.Query) answer {
	leader, found := l.leader()
	if !found {
		return answer{status: statusNotLeader}
	}
	if leader == l.id {
		return l.read(ctx, queries)
	}
	m := queryRequest{l.cluster, queries}
	ctx, done := l.under(ctx, leader)
	defer done()
	asked := time.Now()
	body, err := l.ask(ctx, leader, laneSmall, kindQuery, m.append(nil))
	if err != nil {
		return answer{status: statusLost}
	}
	a, err := parseAnswer(l.cluster, body)
	if err != nil {
		return answer{status: statusLost}
	}
	l.hear(a, asked)
	return a
}

// read answers queries as the leader: it makes sure that it still leads, by a
// question that it sends after the queries arrived, and then executes them on
// its own state, which holds all that was acknowledged before.
func (l *life) read(ctx context.Context, queries []replica.Query) answer {
	reign := l.reigning()
	if reign == nil || !l.rounds.confirm(ctx, reign) {
		return answer{status: statusNotLeader}
	}
	now := reign.now()
	for {
		replies, stamp, ok := l.replica.Read(now, queries)
		if ok {
			return answer{status: statusDone, stamp: stamp, queried: replies}
		}
		// Something would be hidden that the log does not know to have expired.
		if r := l.proposer.tick(ctx); r.status != statusDone {
			return answer{status: statusNotLeader}
		}
	}
}

// rounds makes sure that a leader still leads. One round serves all who waited
// when it was sent.
type rounds struct {
	life *life
	wake chan struct{} // holds a token while somebody may wait

	mu      sync.Mutex // guards all below
	waiting []*confirmation
	company gathering // of those that wait
	closed  bool      // no round is made any more
	last    time.Time // when a round was last confirmed: the time of its sending
}

// confirmation is a wait for one round.
type confirmation struct {
	reign  *reign
	result chan bool // holds one
}

func newRounds(l *life) *rounds {
	return &rounds{life: l, wake: make(chan struct{}, 1)}
}

// confirm reports whether the reign went on after confirm was called.
func (r *rounds) confirm(ctx context.Context, reign *reign) bool {
	c := &confirmation{reign, make(chan bool, 1)}
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return false
	}
	r.waiting = append(r.waiting, c)
	if r.company.isFull(len(r.waiting)) {
		signal(r.wake)
	}
	r.mu.Unlock()
	select {
	case ok := <-c.result:
		return ok
	case <-ctx.Done():
		return false
	}
}

// run makes rounds until the context ends.
func (r *rounds) run(ctx context.Context) {
	defer r.close()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		}
		for waiting := r.take(); len(waiting) > 0; waiting = r.take() {
			r.round(ctx, waiting)
			gather(ctx, r.wake, r.isFull)
		}
	}
}

// close refuses those who wait, and whoever comes later at once.
func (r *rounds) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for _, c := range r.waiting {
		c.result <- false
	}
	r.waiting = nil
}

func (r *rounds) take() []*confirmation {
	r.mu.Lock()
	defer r.mu.Unlock()
	waiting := r.waiting
	r.waiting = nil
	r.company.leave(len(waiting))
	return waiting
}

func (r *rounds) isFull() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.company.isFull(len(r.waiting))
}

// round asks the voters and answers those who waited.
func (r *rounds) round(ctx context.Context, waiting []*confirmation) {
	sent := time.Now()
	term := r.life.raft.CurrentTerm()
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	ok := r.life.voters.majority(ctx, term)
	// The leader is asked last whether it still is one: what the others said
	// is worth nothing if it has stepped down meanwhile.
	ok = ok && r.life.raft.State() == raft.Leader && r.life.raft.CurrentTerm() == term
	if ok {
		r.mu.Lock()
		r.last = sent
		r.mu.Unlock()
	}
	r.mu.Lock()
	r.company.landed(len(waiting), len(r.waiting))
	r.mu.Unlock()
	for _, c := range waiting {
		c.result <- ok && c.reign.term == term
	}
}

// lastConfirmed is when the last confirmed round was sent.
func (r *rounds) lastConfirmed() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}
