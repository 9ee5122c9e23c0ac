package redis

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/keyspace"
)

const (
	attendMost  = 1000                  // waiters in one command
	attendRetry = 50 * time.Millisecond // after a call of the log that failed
)

// A waiter is a command of one of this node's clients that waits for elements.
// The machine has one of the same ID.
type waiter struct {
	id      keyspace.WaiterID
	verdict chan verdict   // holds one, at most, when it waits no more
	unblock chan endOfWait // holds what CLIENT UNBLOCK wants, at most once

	// What follows is guarded by keeper.mu.
	isQueued  bool // the machine has it, and its connection waits for the verdict
	isDue     bool // it is to be attended to
	isLeaving bool // its connection wants it to be cancelled
}

// A verdict is how a wait ended: with the reply, in RESP; with an error, which
// says whether something may have been taken; or with neither, and then nothing
// was taken.
type verdict struct {
	reply []byte
	at    machine.Stamp
	err   error
}

// A keeper looks after the waiters of all connections. An element that the
// machine offers to one of them is taken by a command of the log that the
// keeper proposes, and only the keeper: one call at a time for all who are due,
// in the order in which they were offered something. A waiter that is to wait
// no more goes the same way, so that what was taken for it meanwhile is never
// lost: its connection gets one verdict.
type keeper struct {
	log     machine.Log
	blocked atomic.Int64  // connections that wait
	wake    chan struct{} // holds a token when somebody may be due
	done    chan struct{} // closed when keep has returned

	mu      sync.Mutex // guards what follows
	waiters map[keyspace.WaiterID]*waiter
	due     []*waiter           // in order; those whose isDue is set and whose isQueued is
	gone    []keyspace.WaiterID // that nobody waits for any more here, and the machine may have
	isEnded bool                // keep has returned
}

func newKeeper(log machine.Log) *keeper {
	return &keeper{
		log: log, wake: make(chan struct{}, 1), done: make(chan struct{}),
		waiters: map[keyspace.WaiterID]*waiter{},
	}
}

// hear gets the events of the log.
func (k *keeper) hear(e machine.Event) {
	isOffer := e.Kind == keyspace.EventOffer && len(e.Key) == len(keyspace.WaiterID{})
	if !e.Reset && !isOffer {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !e.Reset {
		if w := k.waiters[keyspace.WaiterID(e.Key)]; w != nil {
			k.noteLocked(w)
		}
		return
	}
	for _, w := range k.waiters {
		k.noteLocked(w)
	}
}

// noteLocked has a waiter attended to, once it is in the queue.
func (k *keeper) noteLocked(w *waiter) {
	if w.isDue {
		return
	}
	if w.isDue = true; w.isQueued {
		k.due = append(k.due, w)
		signal(k.wake)
	}
}

func signal(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// enlist lets events find a waiter, before the machine has it.
func (k *keeper) enlist(w *waiter) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.waiters[w.id] = w
}

// queued notes that the machine has the waiter. What was heard before counts
// now.
func (k *keeper) queued(w *waiter) {
	k.mu.Lock()
	defer k.mu.Unlock()
	w.isQueued = true
	if w.isDue {
		w.isDue = false
		k.noteLocked(w)
	}
}

// leave asks for the verdict on a waiter that is to wait no more.
func (k *keeper) leave(w *waiter) {
	k.mu.Lock()
	defer k.mu.Unlock()
	w.isLeaving = true
	if k.isEnded {
		k.tellLocked(w, verdict{err: machine.ErrNoQuorum})
		return
	}
	k.noteLocked(w)
}

// strike is the end of enlist, for a command that the machine did not make a
// waiter of. If that is not certain, the machine is told to forget it.
func (k *keeper) strike(w *waiter, isCertain bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.waiters, w.id)
	if !isCertain {
		k.forgetLocked(w.id)
	}
}

func (k *keeper) forgetLocked(id keyspace.WaiterID) {
	k.gone = append(k.gone, id)
	signal(k.wake)
}

// tellLocked gives the verdict on a waiter. It is not told twice: it is not
// known here any more.
func (k *keeper) tellLocked(w *waiter, v verdict) {
	if k.waiters[w.id] == w {
		delete(k.waiters, w.id)
		w.verdict <- v
	}
}

// keep attends to waiters until ctx ends. Whoever waits then is told that this
// node cannot go on.
func (k *keeper) keep(ctx context.Context) {
	defer close(k.done)
	for ctx.Err() == nil {
		due, gone := k.gather()
		if len(due)+len(gone) > 0 {
			k.attend(ctx, due, gone)
			continue
		}
		select {
		case <-k.wake:
		case <-ctx.Done():
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.isEnded = true
	for _, w := range k.waiters {
		if w.isLeaving {
			k.tellLocked(w, verdict{err: machine.ErrNoQuorum})
		}
	}
}

// An attention is what the log is asked to do about a waiter.
type attention struct {
	*waiter
	isCancel bool
}

// gather collects what is to be done, as much as one command may do.
func (k *keeper) gather() (due []attention, gone []keyspace.WaiterID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := min(len(k.due), attendMost)
	for _, w := range k.due[:n] {
		w.isDue = false
		if k.waiters[w.id] == w {
			due = append(due, attention{w, w.isLeaving})
		}
	}
	if k.due = k.due[n:]; len(k.due) == 0 {
		k.due = nil
	}
	n = min(len(k.gone), attendMost)
	gone = k.gone[:n:n]
	if k.gone = k.gone[n:]; len(k.gone) == 0 {
		k.gone = nil
	}
	return due, gone
}

// attend has the log take what waiters were offered, and forget the others.
func (k *keeper) attend(ctx context.Context, due []attention, gone []keyspace.WaiterID) {
	list := make([]keyspace.Attention, 0, len(due)+len(gone))
	for _, a := range due {
		list = append(list, keyspace.Attention{ID: a.id, Cancel: a.isCancel})
	}
	for _, id := range gone {
		list = append(list, keyspace.Attention{ID: id, Cancel: true})
	}
	replies, at, err := k.log.Do(ctx, machine.Item{Data: keyspace.AppendAttend(nil, list), Frees: true})
	var outcomes []keyspace.Outcome
	if err == nil {
		err = replies[0].Err
	}
	if err == nil {
		outcomes, err = keyspace.ReadOutcomes(replies[0].Data, len(list))
	}
	if err != nil {
		k.fail(due, gone, err)
		pause, cancel := context.WithTimeout(ctx, attendRetry)
		defer cancel()
		<-pause.Done()
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, a := range due {
		if o := outcomes[i]; !o.Waits {
			k.tellLocked(a.waiter, verdict{reply: o.Reply, at: at})
		}
	}
}

// fail notes that the log did not do it, or may not have. What certainly was
// not done is tried again for as long as somebody waits for it; a waiter that
// is to wait no more is told so, as certainly nothing was taken for it. For
// whom something may have been taken is told that.
func (k *keeper) fail(due []attention, gone []keyspace.WaiterID, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.gone = append(k.gone, gone...)
	for _, a := range due {
		switch {
		case a.isCancel && !isCertain(err):
			// Only the keeper takes, and it has taken nothing.
			k.tellLocked(a.waiter, verdict{err: machine.ErrNoQuorum})
		case a.isCancel, a.isLeaving, !isCertain(err):
			k.tellLocked(a.waiter, verdict{err: err})
		default:
			k.noteLocked(a.waiter)
			continue
		}
		k.forgetLocked(a.id)
	}
}

// isCertain reports whether an error of the log says that a command had no
// effect and never will.
func isCertain(err error) bool {
	for _, certain := range []error{
		machine.ErrNoQuorum, machine.ErrOverloaded, machine.ErrTooBig, machine.ErrFull, machine.ErrLoading,
	} {
		if errors.Is(err, certain) {
			return true
		}
	}
	return false
}
