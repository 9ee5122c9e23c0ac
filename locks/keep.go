package locks

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
)

const (
	retryWait    = 50 * time.Millisecond // after a call of the log that failed
	togetherMost = 1000                  // requests or leases in one command
	togetherSize = 128 << 10             // bytes of one call of the log, so that it travels with all others and none overtakes another
	discardMost  = 100_000               // that are remembered while there is no quorum; the oldest go first
)

// A discard is a request or a lease that nobody wants any more. It is sent to
// the log until that has answered, for it would keep others waiting until its
// time to live has passed.
type discard struct {
	claim claim   // to a request, or zero
	lease holding // else
}

// size is about what it takes in a command.
func (d discard) size() int { return claimSize + len(d.lease.name) }

// discard has something taken back in the background; where there is no keeper
// any more, at once.
func (l *Locks) discard(d discard) {
	l.mu.Lock()
	isEnded := l.isEnded
	if !isEnded {
		l.discardLocked(d)
	}
	l.mu.Unlock()
	if !isEnded {
		l.signal()
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	w := work{discarded: []discard{d}}
	// Where that fails it ends by itself: the node is closing.
	_, _, _ = l.log.Do(ctx, w.items()...)
}

func (l *Locks) discardLocked(d discard) {
	if len(l.discarded) >= discardMost {
		l.discarded = l.discarded[1:]
	}
	l.discarded = append(l.discarded, d)
}

// signal leaves a token for the keeper.
func (l *Locks) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// hear gets the events of the log.
//
// Nobody asks how the queue stands without being told to. An offer is told by
// the leader at once, and again when this node applies its entry; a node that
// may have missed something is told to look at everything. If none of that
// reaches it in time the offer is void, and is made again as soon as it does.
func (l *Locks) hear(e machine.Event) {
	l.mu.Lock()
	isSome := false
	if e.Reset {
		for _, attempts := range l.waiting {
			for _, a := range attempts {
				a.isDue, isSome = true, true
			}
		}
		for _, lock := range l.held { // a backup that was restored has no holders
			lock.renewal, isSome = time.Time{}, true
		}
	} else if len(e.Key) == len(requestID{}) {
		for _, a := range l.waiting[requestID(e.Key)] {
			a.isDue, isSome = true, true
		}
	}
	l.mu.Unlock()
	if isSome {
		l.signal()
	}
}

// work is what one call of the log does for all locks of this node.
type work struct {
	attended  []*attempt
	renewed   []*Lock
	discarded []discard
	next      time.Time // when something is to be renewed; zero if nothing is held
}

// keep confirms what this node is offered, renews what it holds and takes back
// what it wants no more, until Close and nothing of that is left to be done.
func (l *Locks) keep() {
	defer l.ends(true)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		w := l.gather()
		if items := w.items(); len(items) > 0 {
			if !l.perform(w, items) {
				return
			}
			continue
		}
		if l.ends(false) {
			return
		}
		timer.Stop()
		if !w.next.IsZero() {
			timer.Reset(time.Until(w.next))
		}
		select {
		case <-timer.C:
		case <-l.wake:
		case <-l.ctx.Done():
		}
	}
}

// ends reports whether the keeper has come to its end, which it has anyhow if
// it must.
func (l *Locks) ends(must bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	isDone := l.isClosed && (l.ctx.Err() != nil || len(l.waiting)+len(l.discarded) == 0)
	l.isEnded = must || isDone
	return l.isEnded
}

func (l *Locks) isClosing() bool {
	select {
	case <-l.closing:
		return true
	default:
		return false
	}
}

// perform has the log do all of w. It reports whether it is worth going on.
func (l *Locks) perform(w work, items []machine.Item) bool {
	asked := time.Now()
	replies, _, err := l.log.Do(l.ctx, items...)
	isDone := err == nil
	if isDone {
		isDone = l.settle(w, replies, asked)
	}
	if isDone {
		return true
	}
	l.restore(w)
	if l.isClosing() && (l.ctx.Err() != nil || errors.Is(err, machine.ErrLoading)) {
		return false // the node has gone already, and with it whoever could take it back
	}
	pause, cancel := context.WithTimeout(l.ctx, retryWait)
	defer cancel()
	<-pause.Done()
	return true
}

// gather collects what is due. What is to be renewed soon is renewed along
// with what is due now.
func (l *Locks) gather() (w work) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, attempts := range l.waiting {
		for _, a := range attempts {
			if a.isDue && a.isQueued && !a.isTold && len(w.attended) < togetherMost {
				a.isDue = false
				w.attended = append(w.attended, a)
			}
		}
	}
	size := claimSize * len(w.attended)
	now := time.Now()
	isDue := false
	l.next = time.Time{}
	for _, lock := range l.held {
		isDue = isDue || !now.Before(lock.renewal)
		if l.next.IsZero() || lock.renewal.Before(l.next) {
			l.next = lock.renewal
		}
	}
	w.next = l.next
	for _, lock := range l.held {
		if isDue && lock.renewal.Sub(now) < lock.ttl/12 && len(w.renewed) < togetherMost && size < togetherSize {
			w.renewed = append(w.renewed, lock)
			size += claimSize + len(lock.name)
		}
	}
	n := 0
	for ; n < min(len(l.discarded), togetherMost) && size < togetherSize; n++ {
		size += l.discarded[n].size()
	}
	w.discarded = slices.Clone(l.discarded[:n])
	if l.discarded = l.discarded[n:]; len(l.discarded) == 0 {
		l.discarded = nil
	}
	return w
}

// items are the commands that do w. Their order is that of settle.
func (w *work) items() (items []machine.Item) {
	add := func(data []byte) { items = append(items, machine.Item{Data: data, Frees: true}) }
	if len(w.attended) > 0 {
		var claims []claim
		for _, a := range w.attended {
			claims = append(claims, a.claim())
		}
		add(encodeClaims(kindAttend, claims))
	}
	if len(w.renewed) > 0 {
		var holdings []holding
		for _, lock := range w.renewed {
			holdings = append(holdings, holding{lock.name, lock.lease, lock.ttl})
		}
		add(encodeHoldings(kindRenew, holdings...))
	}
	var claims []claim
	var leases []holding
	for _, d := range w.discarded {
		if d.lease.lease != 0 {
			leases = append(leases, d.lease)
		} else {
			claims = append(claims, d.claim)
		}
	}
	if len(claims) > 0 {
		add(encodeClaims(kindCancel, claims))
	}
	if len(leases) > 0 {
		add(encodeHoldings(kindRelease, leases...))
	}
	return items
}

// settle takes the replies to the items of w. It reports whether all of them
// have had theirs.
func (l *Locks) settle(w work, replies []machine.Reply, asked time.Time) (isDone bool) {
	for _, reply := range replies {
		if reply.Err != nil {
			return false // everything that is done may be done again
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(w.attended) > 0 {
		r := &reader{data: replies[0].Data}
		for _, a := range w.attended {
			a.tellLocked(outcome{r.standing(), asked})
		}
		replies = replies[1:]
	}
	if len(w.renewed) > 0 {
		r := &reader{data: replies[0].Data}
		for _, lock := range w.renewed {
			l.renewedLocked(lock, r.uvarint(), asked)
		}
	}
	return true
}

// tellLocked tells an attempt what became of it, unless it waits on. If it has
// stopped waiting it takes its request back.
func (a *attempt) tellLocked(s outcome) {
	if a.isTold || s.condition == isWaiting {
		return
	}
	a.isTold = true
	a.result <- s
}

// restore notes what could not be done, to be done later.
func (l *Locks) restore(w work) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range w.attended {
		a.isDue = true
	}
	for _, d := range w.discarded {
		l.discardLocked(d)
	}
}
