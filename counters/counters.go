// Package counters counts and limits for all nodes of a cluster at once: every
// call that changes something is one command in the replicated log, so that a
// limit of ten admits ten calls in the whole cluster, also while its nodes are
// replaced.
//
//	result, err := counting.Take(ctx, counters.Limit{
//		Name: "login:" + user, Algorithm: counters.SlidingWindow, Limit: 5, Window: time.Minute,
//	})
//	switch {
//	case err != nil: // not agreed: nothing is known of the limit
//	case !result.Allowed: // come again after result.RetryAfter
//	}
//
// A denial changes nothing. So a node that has heard from the leader within the
// last second, and whose replica has caught up with what it heard, answers a
// call that is denied even at the latest time that it can be by itself, at the
// speed of memory; see [Counters.TakeAll] for what that means to resets.
//
// All times are the cluster's lease time, which stands still while there is no
// leader: then nothing is admitted, and no window passes either.
package counters

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
)

// MaxName is the length of the longest name of a counter or limit, in bytes. A
// name is any bytes, at least one. Counters and limits have their names apart.
const MaxName = 1024

// MaxTTL is the longest TTL of a counter.
const MaxTTL = 100 * 366 * 24 * time.Hour

var (
	// ErrInvalid means that a name, a TTL or a limit is not one that there can
	// be. The error says which, and what is possible.
	ErrInvalid = errors.New("invalid")
	// ErrOverflow means that a counter would have left the range of int64. It
	// has kept its value.
	ErrOverflow = errors.New("the counter would overflow")
)

// Counters are the counters and limits of a cluster, as one of its nodes
// reaches them. They may be used from many goroutines, and need no closing.
type Counters struct {
	log  machine.Log
	seen atomic.Pointer[sightings] // nil until the log has answered
	did  tally
}

// A tally counts what a Counters did.
type tally struct {
	local  atomic.Uint64
	logged atomic.Uint64
}

// Stats says how often this node was asked to take from limits.
type Stats struct {
	Logged uint64 // calls that went through the log
	Local  uint64 // calls that were denied by this node alone
}

// New returns the counters and limits behind a log.
func New(log machine.Log) *Counters { return &Counters{log: log} }

// Stats returns what has been counted since New.
func (c *Counters) Stats() Stats {
	return Stats{Logged: c.did.logged.Load(), Local: c.did.local.Load()}
}

// WriteOptions go with a call that changes something.
type WriteOptions struct {
	// Idem, if set, makes the call take effect once within ten minutes,
	// however often it is sent with this key: later ones get the first one's
	// reply. Another call with the same key is machine.ErrReused.
	Idem string
}

// AddOptions go with Add.
type AddOptions struct {
	// TTL, if set, ends a counter that has no end yet: the one that this call
	// creates, as a rule. An end that is set stays where it is, so that a
	// counter with a TTL counts what happens in a window that begins with its
	// first call. It is rounded up to a millisecond.
	TTL  time.Duration
	Idem string // as in WriteOptions
}

// Add adds n, which may be negative, and returns the new value. A counter that
// does not exist has the value 0. The error is ErrOverflow or ErrInvalid, both
// without effect, or one of the log's.
func (c *Counters) Add(ctx context.Context, name string, n int64, o AddOptions) (value int64, err error) {
	if err := checkName(name); err != nil {
		return 0, err
	}
	if o.TTL < 0 || o.TTL > MaxTTL {
		return 0, fmt.Errorf("%w: a TTL of %s is not from 0 to %s", ErrInvalid, o.TTL, MaxTTL)
	}
	ttl := ceil(o.TTL, time.Millisecond) * time.Millisecond
	reply, err := c.do(ctx, machine.Item{Data: appendAdd(nil, name, n, ttl), Idem: o.Idem})
	if err != nil {
		return 0, err
	}
	return reply.varint(), reply.done()
}

// A Counter is what there is of one.
type Counter struct {
	Value int64
	TTL   time.Duration // time left; 0 where the counter has no end
}

// Get returns a counter. It sees everything acknowledged before.
func (c *Counters) Get(ctx context.Context, name string) (counter Counter, found bool, err error) {
	if err := checkName(name); err != nil {
		return Counter{}, false, err
	}
	reply, err := c.query(ctx, appendGet(nil, name))
	if err != nil {
		return Counter{}, false, err
	}
	if found = reply.bool(); found {
		counter = Counter{Value: reply.varint(), TTL: reply.duration()}
	}
	return counter, found, reply.done()
}

// Delete removes a counter, and reports whether there was one.
func (c *Counters) Delete(ctx context.Context, name string, o WriteOptions) (found bool, err error) {
	return c.remove(ctx, name, kindDelete, o)
}

// Reset makes a limit as new, and reports whether anything had been taken from
// it. This node denies nothing by what it knew before; others do so for less
// than a second.
func (c *Counters) Reset(ctx context.Context, name string, o WriteOptions) (found bool, err error) {
	return c.remove(ctx, name, kindReset, o)
}

func (c *Counters) remove(ctx context.Context, name string, kind byte, o WriteOptions) (found bool, err error) {
	if err := checkName(name); err != nil {
		return false, err
	}
	item := machine.Item{Data: appendRemove(nil, kind, name), Frees: true, Idem: o.Idem}
	reply, heard, err := c.execute(ctx, item)
	if err != nil {
		return false, err
	}
	if kind == kindReset {
		c.seen.Store(&sightings{next: heard})
	}
	return reply.bool(), reply.done()
}

// Take takes the limit's cost from it, if there is so much left, and says what
// there is then. Of a call that was not answered it is not known whether it
// was admitted: use TakeAll with an idempotency key where that matters.
func (c *Counters) Take(ctx context.Context, limit Limit) (Result, error) {
	results, err := c.TakeAll(ctx, WriteOptions{}, limit)
	if err != nil {
		return Result{}, err
	}
	return results[0], nil
}

// TakeAll takes from several limits, up to MaxLimits of different names: from
// all of them if each has enough, else from none. The results are in the order
// of the limits, each with what holds for that limit alone: the call as a whole
// was admitted if [Admitted] says so, and should be repeated after the longest
// RetryAfter.
//
// A call without an idempotency key that is certainly denied is answered by
// this node alone. It knows then of everything that was acknowledged a second
// before, so that a reset elsewhere is felt within a second; what others took
// within that second may be missing in RetryAfter and the rest.
func (c *Counters) TakeAll(ctx context.Context, o WriteOptions, limits ...Limit) ([]Result, error) {
	calls, err := callsOf(limits)
	if err != nil {
		return nil, err
	}
	if o.Idem == "" {
		if results := c.deny(ctx, calls); results != nil {
			c.did.local.Add(1)
			return results, nil
		}
	}
	c.did.logged.Add(1)
	reply, err := c.do(ctx, machine.Item{Data: takeCommand(calls), Idem: o.Idem})
	if err != nil {
		return nil, err
	}
	return reply.results(len(calls))
}

// Peek says of each limit whether a call would be admitted, and what there is,
// and takes nothing. It sees everything acknowledged before.
func (c *Counters) Peek(ctx context.Context, limits ...Limit) ([]Result, error) {
	calls, err := callsOf(limits)
	if err != nil {
		return nil, err
	}
	reply, err := c.query(ctx, appendPeek(nil, calls))
	if err != nil {
		return nil, err
	}
	return reply.results(len(calls))
}

// Admitted reports whether a call with these results was admitted.
func Admitted(results []Result) bool {
	for _, r := range results {
		if !r.Allowed {
			return false
		}
	}
	return true
}

// do has one command executed and returns the reply behind its status.
func (c *Counters) do(ctx context.Context, item machine.Item) (*decoder, error) {
	reply, heard, err := c.execute(ctx, item)
	if err != nil {
		return nil, err
	}
	c.note(heard)
	return reply, nil
}

func (c *Counters) execute(ctx context.Context, item machine.Item) (*decoder, *sighting, error) {
	sent := time.Now()
	replies, at, err := c.log.Do(ctx, item)
	if err == nil {
		err = replies[0].Err
	}
	if err != nil {
		return nil, nil, err
	}
	reply, err := opened(replies[0].Data)
	return reply, newSighting(sent, at), err
}

// query asks the leader's state and returns the reply behind its status.
func (c *Counters) query(ctx context.Context, data []byte) (*decoder, error) {
	sent := time.Now()
	reply, at, err := c.log.Query(ctx, machine.Linearizable, data)
	if err != nil {
		return nil, err
	}
	c.note(newSighting(sent, at))
	return opened(reply)
}

func checkName(name string) error {
	if len(name) == 0 || len(name) > MaxName {
		return fmt.Errorf("%w: a name of %d bytes is not from 1 to %d", ErrInvalid, len(name), MaxName)
	}
	return nil
}

// ceil divides and rounds up; d is not negative.
func ceil(d, unit time.Duration) time.Duration {
	n := d / unit
	if d%unit > 0 {
		n++
	}
	return n
}
