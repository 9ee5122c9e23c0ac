package counters

import (
	"fmt"
	"io"
	"time"

	"github.com/tidwall/btree"

	"github.com/huddlecache/huddle/cluster/machine"
)

// What the size account takes for a counter or a limit beside its name, and
// for what a sliding window remembers.
const (
	counterSize = 128
	limitSize   = 224
	takenSize   = 24
)

// longKept is what is not taken in any more while the state is nearly full.
const longKept = 24 * time.Hour

// lookEvery is how long after its time an idle limit is removed, so that one in
// use, whose time moves with every call, is looked at once in a while only.
const lookEvery = time.Second

// keys of deadlines begin with what they belong to.
const (
	deadlineCounter = 'c'
	deadlineLimit   = 'l'
)

// A state is the replicated counters and limits. Their values are never
// changed, only replaced, so that a snapshot may share them.
type state struct {
	counters *btree.BTreeG[*counter] // by name
	limits   *btree.BTreeG[*limit]   // by name
	size     int64                   // of all of them
}

// A counter is one, until its end.
type counter struct {
	name  string
	value int64
	end   time.Duration // 0: none
}

// A limit is what was taken under a rule.
type limit struct {
	name  string
	rule  rule
	usage usage
	due   time.Duration // its deadline in the index; not before the usage is idle, unless it was taken from since
}

func (c *counter) isOver(now time.Duration) bool { return c.end != 0 && c.end <= now }
func (c *counter) size() int64                   { return counterSize + int64(len(c.name)) }

func (l *limit) size() int64 {
	return limitSize + int64(len(l.name)) + takenSize*int64(len(l.usage.log))
}

// NewMachine returns the state machine of a cluster without counters or limits.
func NewMachine() machine.Machine { return newState() }

func newState() *state {
	options := btree.Options{NoLocks: true}
	return &state{
		counters: btree.NewBTreeGOptions(func(a, b *counter) bool { return a.name < b.name }, options),
		limits:   btree.NewBTreeGOptions(func(a, b *limit) bool { return a.name < b.name }, options),
	}
}

// Apply implements machine.Machine.
func (s *state) Apply(tx *machine.Tx, cmd []byte) []byte {
	c, err := parse(cmd)
	if err != nil {
		tx.Fail(fmt.Errorf("%w: %w", machine.ErrUnknownCommand, err))
		return nil
	}
	switch c.kind {
	case kindAdd:
		return s.add(tx, &c)
	case kindDelete:
		return s.deleteCounter(tx, c.name)
	case kindTake:
		return s.take(tx, c.calls)
	case kindReset:
		return s.reset(tx, c.name)
	}
	tx.Fail(fmt.Errorf("%w: a query was sent as a command", machine.ErrUnknownCommand))
	return nil
}

// Query implements machine.Machine.
func (s *state) Query(at machine.Stamp, query []byte) []byte {
	c, err := parse(query)
	switch {
	case err != nil:
	case c.kind == kindGet:
		return s.get(at.Lease, c.name)
	case c.kind == kindPeek:
		return s.peek(at.Lease, c.calls)
	case c.kind == kindDeny:
		return s.deny(at.Lease, c.bounds, c.calls)
	}
	return []byte{statusUnknown}
}

// Expire implements machine.Machine. It removes a counter, or a limit that is
// idle; one that was taken from since its deadline was set gets another.
func (s *state) Expire(tx *machine.Tx, key []byte) {
	if len(key) == 0 {
		return
	}
	kind, name := key[0], string(key[1:])
	if kind == deadlineCounter {
		if c, found := s.counters.Get(&counter{name: name}); found && c.isOver(tx.Lease) {
			s.counters.Delete(c)
			s.size -= c.size()
		}
		return
	}
	l, found := s.limits.Get(&limit{name: name})
	if !found || l.due > tx.Lease {
		return
	}
	if idle := l.rule.idle(l.usage); idle > tx.Lease {
		again := *l
		again.due = idle + lookEvery
		s.limits.Set(&again)
		tx.Deadline(deadlineKey(deadlineLimit, name), 0, again.due)
		return
	}
	s.limits.Delete(l)
	s.size -= l.size()
}

// Size implements machine.Machine.
func (s *state) Size() int64 { return s.size }

func (s *state) add(tx *machine.Tx, cmd *command) []byte {
	old, found := s.counters.Get(&counter{name: cmd.name})
	next := &counter{name: cmd.name, value: cmd.n}
	if found && !old.isOver(tx.Lease) {
		next.value, next.end = old.value+cmd.n, old.end
		if (next.value > old.value) != (cmd.n > 0) && cmd.n != 0 {
			return []byte{statusOverflow}
		}
	}
	if next.end == 0 && cmd.ttl > 0 {
		next.end = tx.Lease + cmd.ttl
	}
	isNew := !found || old.isOver(tx.Lease)
	if isNew && isLongKept(tx, next.end) {
		return refuse(tx)
	}
	s.setCounter(tx, old, next)
	return appendVarint([]byte{statusOK}, next.value)
}

// setCounter puts a counter in the place of old, which may be nil.
func (s *state) setCounter(tx *machine.Tx, old, next *counter) {
	was := time.Duration(0)
	if old != nil {
		was = old.end
		s.size -= old.size()
	}
	if was != next.end {
		tx.Deadline(deadlineKey(deadlineCounter, next.name), was, next.end)
	}
	s.counters.Set(next)
	s.size += next.size()
}

func (s *state) deleteCounter(tx *machine.Tx, name string) []byte {
	old, found := s.counters.Delete(&counter{name: name})
	if !found {
		return []byte{statusOK, 0}
	}
	s.size -= old.size()
	if old.end != 0 {
		tx.Deadline(deadlineKey(deadlineCounter, name), old.end, 0)
	}
	return appendBool([]byte{statusOK}, !old.isOver(tx.Lease))
}

func (s *state) get(now time.Duration, name string) []byte {
	c, found := s.counters.Get(&counter{name: name})
	if !found || c.isOver(now) {
		return []byte{statusOK, 0}
	}
	left := time.Duration(0)
	if c.end != 0 {
		left = c.end - now
	}
	return appendUvarint(appendVarint([]byte{statusOK, 1}, c.value), left)
}

// take takes from all limits or from none.
func (s *state) take(tx *machine.Tx, calls []call) []byte {
	old := s.find(calls)
	results, isDenied := judge(old, tx.Lease, tx.Lease, calls)
	if isDenied {
		tx.Refused = true // nothing was done: the idempotency key is still free
		return appendResults(results)
	}
	next := make([]*limit, len(calls))
	for i, c := range calls {
		next[i] = after(old[i], tx.Lease, c)
		grows := old[i] == nil || next[i].size() > old[i].size()
		if grows && isLongKept(tx, c.rule.idle(next[i].usage)) {
			return refuse(tx)
		}
	}
	for i, l := range next {
		s.setLimit(tx, old[i], l)
		results[i] = l.rule.describe(l.usage, tx.Lease)
		results[i].Allowed = true
	}
	return appendResults(results)
}

// find returns the limits that calls name, nil for those that there are not.
func (s *state) find(calls []call) []*limit {
	found := make([]*limit, len(calls))
	for i, c := range calls {
		found[i], _ = s.limits.Get(&limit{name: c.name})
	}
	return found
}

// judge says what each limit says to its call, without taking anything. A call
// is denied if it does not fit at the latest time that it can be; what is said
// of it is what holds at the earliest, when no less is to be waited for.
func judge(limits []*limit, earliest, latest time.Duration, calls []call) (results []Result, isDenied bool) {
	results = make([]Result, len(calls))
	for i, c := range calls {
		u := usageOf(limits[i], c.rule)
		results[i] = c.rule.describe(u, earliest)
		results[i].RetryAfter, results[i].Allowed = c.rule.fits(u, earliest, c.cost)
		if _, ok := c.rule.fits(u, latest, c.cost); !ok {
			isDenied = true
		}
	}
	return results, isDenied
}

// usageOf is what was taken under a rule: nothing, where it was another one.
func usageOf(l *limit, r rule) usage {
	if l != nil && l.rule == r {
		return l.usage
	}
	return usage{}
}

// after is the limit after a call that fits.
func after(old *limit, now time.Duration, c call) *limit {
	next := &limit{name: c.name, rule: c.rule, usage: c.rule.take(usageOf(old, c.rule), now, c.cost)}
	if old != nil && old.rule == c.rule {
		next.due = old.due
	} else {
		next.due = c.rule.idle(next.usage) + lookEvery
	}
	return next
}

// setLimit puts a limit in the place of old, which may be nil.
func (s *state) setLimit(tx *machine.Tx, old, next *limit) {
	was := time.Duration(0)
	if old != nil {
		was = old.due
		s.size -= old.size()
	}
	if was != next.due {
		tx.Deadline(deadlineKey(deadlineLimit, next.name), was, next.due)
	}
	s.limits.Set(next)
	s.size += next.size()
}

func (s *state) reset(tx *machine.Tx, name string) []byte {
	old, found := s.limits.Delete(&limit{name: name})
	if !found {
		return []byte{statusOK, 0}
	}
	s.size -= old.size()
	tx.Deadline(deadlineKey(deadlineLimit, name), old.due, 0)
	return appendBool([]byte{statusOK}, old.rule.idle(old.usage) > tx.Lease)
}

// peek says what each limit would say to its call.
func (s *state) peek(now time.Duration, calls []call) []byte {
	results, _ := judge(s.find(calls), now, now, calls)
	return appendResults(results)
}

// deny answers calls that are denied at any time within bounds, which is never
// before that of the state. All others are the log's.
func (s *state) deny(now time.Duration, within bounds, calls []call) []byte {
	results, isDenied := judge(s.find(calls), max(within.earliest, now), max(within.latest, now), calls)
	if !isDenied {
		return []byte{statusAsk}
	}
	return appendResults(results)
}

// isLongKept reports whether there is no room for what is kept until end.
func isLongKept(tx *machine.Tx, end time.Duration) bool {
	return tx.Pressure >= machine.PressureHigh && (end == 0 || end-tx.Lease > longKept)
}

func refuse(tx *machine.Tx) []byte {
	tx.Refused = true
	return []byte{statusFull}
}

func deadlineKey(kind byte, name string) []byte { return append([]byte{kind}, name...) }

// Snapshot implements machine.Machine; see snapshot.WriteTo for what it writes.
func (s *state) Snapshot() io.WriterTo {
	return &snapshot{counters: s.counters.Copy(), limits: s.limits.Copy()}
}
