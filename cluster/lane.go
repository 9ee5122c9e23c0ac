package cluster

import (
	"context"
	"sync"
	"time"

	"github.com/huddlecache/huddle/cluster/internal/replica"
	"github.com/huddlecache/huddle/cluster/machine"
)

// Bounds of what waits on this node. Past them a call is ErrOverloaded.
const (
	callTime     = 3 * time.Second       // in which every call is answered
	batchSize    = 512 << 10             // at which a batch or an entry is sealed, in bytes
	largeItem    = 256 << 10             // items over it travel in a lane of their own
	queueMost    = 100_000               // calls that wait in a lane
	queueSize    = 128 << 20             // their bytes
	itemOverhead = 12                    // of an item in a batch, in bytes, at most
	retryWait    = 20 * time.Millisecond // between attempts that were refused
	noOrigin     = 0                     // an origin is the index of an entry, so never zero
)

// A call is one Do on its way through a lane.
type call struct {
	items   []replica.Item  // what goes into the log
	queries []replica.Query // those behind the last command
	size    int             // of all data
	expires time.Time

	applied int             // items that have had their reply
	replies []machine.Reply // to the items, then to the queries; the caller's once it is done
	stamp   machine.Stamp
	err     error
	done    chan struct{} // closed once the call is answered
	isDone  bool          // guarded by the lane's mu
}

// remaining are the items that have had no reply yet.
func (c *call) remaining() []replica.Item { return c.items[c.applied:] }

// A lane carries this node's commands to the leader, one batch at a time.
// What arrives while a batch is on its way becomes the next one.
//
// Whether a batch was applied may be unclear for a while: a connection broke,
// or the leader was deposed. Then the same batch, under the same number, is
// sent until an answer tells, and nothing else meanwhile.
type lane struct {
	node   *Node
	number uint8 // of the lane, in its origins

	wake chan struct{} // holds a token while the queue may have calls

	mu      sync.Mutex // guards all below
	queue   []*call    // wait to be sent
	company gathering  // of the queue
	size    int        // of the queue
	flight  []*call    // are on their way
	timer   *time.Timer
	closed  bool
}

func newLane(n *Node, number uint8) *lane {
	return &lane{node: n, number: number, wake: make(chan struct{}, 1)}
}

// do sends a call and waits until it is answered or the context ends.
func (l *lane) do(ctx context.Context, c *call) error {
	if err := l.enqueue(c); err != nil {
		return err
	}
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return l.abandon(c)
	}
}

func (l *lane) enqueue(c *call) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return machine.ErrLoading
	case len(l.queue) >= queueMost || l.size+c.size > queueSize:
		return machine.ErrOverloaded
	}
	c.expires = time.Now().Add(callTime)
	c.done = make(chan struct{})
	l.queue = append(l.queue, c)
	l.size += c.size
	l.armLocked()
	if l.company.isFull(len(l.queue)) {
		signal(l.wake)
	}
	return nil
}

// abandon ends a call whose caller waits no longer.
func (l *lane) abandon(c *call) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.isDone {
		return c.err
	}
	for i, queued := range l.queue {
		if queued == c {
			l.queue = append(l.queue[:i:i], l.queue[i+1:]...)
			l.size -= c.size
			l.finishLocked(c, machine.ErrNoQuorum)
			return c.err
		}
	}
	l.finishLocked(c, machine.ErrUnknown)
	return c.err
}

// armLocked makes sure that calls are answered when their time is over.
func (l *lane) armLocked() {
	if l.timer == nil {
		l.timer = time.AfterFunc(callTime, l.expire)
	}
}

// expire answers the calls whose time is over: what was never sent was
// certainly not applied, of what is on its way it cannot be known.
func (l *lane) expire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timer = nil
	now := time.Now()
	reason := l.node.unavailable()
	next := time.Time{}
	waiting := l.queue[:0:0]
	for _, c := range l.queue {
		if !now.Before(c.expires) {
			l.size -= c.size
			l.finishLocked(c, reason)
			continue
		}
		waiting = append(waiting, c)
		next = earlier(next, c.expires)
	}
	l.queue = waiting
	for _, c := range l.flight {
		switch {
		case c.isDone:
		case !now.Before(c.expires):
			l.finishLocked(c, machine.ErrUnknown)
		default:
			next = earlier(next, c.expires)
		}
	}
	if !next.IsZero() {
		l.timer = time.AfterFunc(next.Sub(now), l.expire)
	}
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// finishLocked answers a call. A call of which a part has replies has no error
// of its own: its other items have.
func (l *lane) finishLocked(c *call, err error) {
	if c.isDone {
		return
	}
	c.isDone = true
	if err != nil && len(c.replies) > 0 {
		for len(c.replies) < len(c.items)+len(c.queries) {
			c.replies = append(c.replies, machine.Reply{Err: err})
		}
		err = nil
	}
	c.err = err
	close(c.done)
}

// run carries batches until the context ends, and then answers what is left.
func (l *lane) run(ctx context.Context) {
	defer l.close()
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		}
		for l.waiting() && ctx.Err() == nil {
			l.send(ctx)
			gather(ctx, l.wake, l.isFull)
		}
	}
}

func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, c := range l.flight {
		l.finishLocked(c, machine.ErrUnknown)
	}
	for _, c := range l.queue {
		l.finishLocked(c, machine.ErrNoQuorum)
	}
	l.queue, l.flight, l.size = nil, nil, 0
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
}

func (l *lane) waiting() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		l.company.leave(0)
		return false
	}
	return true
}

func (l *lane) isFull() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.company.isFull(len(l.queue))
}

// send sends one batch, if there is somebody to send it to.
func (l *lane) send(ctx context.Context) {
	t, err := l.node.target(ctx)
	if err != nil {
		l.node.pause(ctx, retryWait)
		return
	}
	calls := l.take()
	if len(calls) == 0 {
		return
	}
	again := l.settle(ctx, t, calls)
	l.land(again)
	if len(again) > 0 {
		l.node.pause(ctx, retryWait)
	}
}

// take moves calls from the queue into flight, as many as one batch holds.
func (l *lane) take() []*call {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.company.leave(len(l.queue))
	size, n := 0, 0
	for n < len(l.queue) && (n == 0 || size+l.queue[n].size <= batchSize) {
		size += l.queue[n].size
		n++
	}
	l.flight = append(l.flight[:0:0], l.queue[:n]...)
	l.queue = l.queue[n:]
	if len(l.queue) == 0 {
		l.queue = nil // lets go of the calls taken before
	}
	l.size -= size
	return l.flight
}

// land ends the flight. Calls to be sent again go to the front of the queue.
func (l *lane) land(again []*call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.company.landed(len(l.flight)-len(again), len(l.queue))
	l.flight = nil
	for _, c := range again {
		l.size += c.size
	}
	if len(again) > 0 {
		l.queue = append(again, l.queue...)
		l.armLocked()
		signal(l.wake)
	}
}

// flight is one batch until its outcome is known.
type flight struct {
	lane  *lane
	to    target
	batch replica.Batch
	calls []*call
	first time.Time // when it was sent first
	lost  bool      // an attempt of this part was sent whose outcome is not known
}

// settle sends the calls as one batch until their outcome is known or cannot
// be. It returns those that were certainly not applied and may be sent again.
func (l *lane) settle(ctx context.Context, t target, calls []*call) (again []*call) {
	f := &flight{
		lane: l, to: t, calls: calls, first: time.Now(),
		batch: replica.Batch{Origin: t.origin, Lane: l.number, Number: t.life.nextBatch(l.number)},
	}
	f.fill()
	for {
		attemptCtx, cancel := context.WithDeadline(ctx, f.first.Add(callTime))
		a, certain := f.attempt(attemptCtx)
		cancel()
		switch {
		case a.status == statusDone && a.outcome == replica.Applied:
			f.lost = false
			if f.deliver(a) {
				return nil
			}
			continue
		case a.status == statusDone && a.outcome == replica.RefusedOrigin:
			t.life.dropOrigin(t.origin)
			if f.lost {
				f.finish(machine.ErrUnknown)
				return nil
			}
			return f.unanswered()
		case a.status == statusDone && a.outcome == replica.RefusedSequence:
			// Overtaken: it will not be applied any more, and may have been.
			f.finish(machine.ErrUnknown)
			return nil
		case a.status == statusOverloaded && !f.lost:
			f.finish(machine.ErrOverloaded)
			return nil
		case certain && !f.lost:
			return f.unanswered()
		case !certain:
			f.lost = true
		}
		if ctx.Err() != nil || time.Since(f.first) >= callTime || t.life.isOver() {
			f.finish(machine.ErrUnknown)
			return nil
		}
		l.node.pause(ctx, retryWait)
	}
}

// fill makes the part of the batch that is to be sent: all that has no reply.
func (f *flight) fill() {
	f.batch.Items = f.batch.Items[:0]
	for _, c := range f.calls {
		f.batch.Items = append(f.batch.Items, c.remaining()...)
	}
}

// attempt sends the part once. Certain means that this attempt had and will
// have no effect, unless it is done.
func (f *flight) attempt(ctx context.Context) (a answer, certain bool) {
	var queries []replica.Query
	for _, c := range f.calls {
		queries = append(queries, c.queries...)
	}
	encoded := f.batch.Append(make([]byte, 0, batchSize/16))
	return f.to.life.propose(ctx, proposeRequest{f.to.life.cluster, encoded, queries})
}

// deliver hands out the replies and reports whether all items have theirs. If
// the batch was cut, it becomes its next part.
func (f *flight) deliver(a answer) (complete bool) {
	l := f.lane
	l.mu.Lock()
	defer l.mu.Unlock()
	replies := a.replies
	for _, c := range f.calls {
		n := min(len(c.remaining()), len(replies))
		c.applied += n
		if !c.isDone {
			c.replies = append(c.replies, replies[:n]...)
			c.stamp = a.stamp
		}
		replies = replies[n:]
		if len(c.remaining()) > 0 {
			f.batch.Part++
			f.fill()
			return false
		}
	}
	queried := a.queried
	for _, c := range f.calls {
		n := min(len(c.queries), len(queried))
		if !c.isDone {
			c.replies = append(c.replies, queried[:n]...)
			l.finishLocked(c, nil)
		}
		queried = queried[n:]
	}
	return true
}

// unanswered are the calls that still wait for all or some of their replies.
func (f *flight) unanswered() (calls []*call) {
	f.lane.mu.Lock()
	defer f.lane.mu.Unlock()
	for _, c := range f.calls {
		switch {
		case c.isDone:
		case len(c.remaining()) == 0:
			f.lane.finishLocked(c, nil) // it lacks its queries only, which are asked elsewhere
		default:
			calls = append(calls, c)
		}
	}
	return calls
}

func (f *flight) finish(err error) {
	f.lane.mu.Lock()
	defer f.lane.mu.Unlock()
	for _, c := range f.calls {
		f.lane.finishLocked(c, err)
	}
}

// signal leaves a token in a channel that holds one.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
