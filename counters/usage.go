package counters

import (
	"slices"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
)

// A usage is what was taken from a limit. It is immutable: its log shares
// memory with that of the usage before it, which is shorter. The zero usage is
// that of a limit from which nothing was taken.
//
// The functions below are the only place where anything is decided, in the log
// and by a node's own replica alike. They depend on their arguments only, and
// promise that
//
//   - a call that does not fit at some time did not fit at any time before:
//     while nothing is taken, what there is only grows;
//   - the call fits once fits' wait is over, and not sooner;
//   - from idle on a usage is not to be told from the zero one.
type usage struct {
	used int64         // of fixed and sliding windows: what is in it
	mark time.Duration // a fixed window's begin; when a bucket will be full: GCRA's theoretical arrival time
	log  []taken       // of a sliding window, oldest first
}

// A taken is what a sliding window remembers of the calls of one moment, or of
// one slot, at whose end it is.
type taken struct {
	at   time.Duration
	cost int64
}

// fits reports whether cost can be taken at a time, or how long not.
func (r rule) fits(u usage, now time.Duration, cost int64) (wait time.Duration, ok bool) {
	if cost > r.capacity() {
		return Never, false
	}
	switch r.algorithm {
	case FixedWindow:
		if r.held(u, now)+cost <= r.limit {
			return 0, true
		}
		return u.mark + r.window - now, false
	case SlidingWindow:
		return r.fitsSliding(u, now, cost)
	default:
		wait = r.debt(u, now) - time.Duration(r.burst-cost)*r.token()
		return max(wait, 0), wait <= 0
	}
}

// fitsSliding looks for the call after whose leaving there is enough.
func (r rule) fitsSliding(u usage, now time.Duration, cost int64) (wait time.Duration, ok bool) {
	missing := u.used + cost - r.limit
	if missing <= 0 {
		return 0, true
	}
	for _, t := range u.log {
		if missing -= t.cost; missing <= 0 {
			wait = t.at + r.window - now
			break
		}
	}
	return max(wait, 0), wait <= 0
}

// take returns the usage after a cost that fits was taken.
func (r rule) take(u usage, now time.Duration, cost int64) usage {
	switch r.algorithm {
	case FixedWindow:
		if used := r.held(u, now); used > 0 {
			return usage{used: used + cost, mark: u.mark}
		}
		return usage{used: cost, mark: now}
	case SlidingWindow:
		return r.takeSliding(u, now, cost)
	default:
		return usage{mark: now + r.debt(u, now) + time.Duration(cost)*r.token()}
	}
}

// takeSliding forgets what has left the window. Room behind a log is written
// to once, for a usage has one successor at most that is kept; but the last
// element may be in use, and is replaced in a new log.
func (r rule) takeSliding(u usage, now time.Duration, cost int64) usage {
	gone, freed := r.gone(u, now)
	next := usage{used: u.used - freed + cost, log: u.log[gone:]}
	if last := len(next.log) - 1; last >= 0 && next.log[last].at >= r.slot(now) {
		newest := next.log[last]
		newest.cost += cost
		next.log = append(slices.Clone(next.log[:last]), newest)
		return next
	}
	next.log = append(next.log, taken{r.slot(now), cost})
	return next
}

// slot is the moment at which a sliding window remembers a call.
func (r rule) slot(now time.Duration) time.Duration {
	if r.limit <= exactMost {
		return now
	}
	width := ceil(r.window, slots)
	return ceil(now, width) * width
}

// describe tells what there is.
func (r rule) describe(u usage, now time.Duration) Result {
	result := Result{Limit: r.capacity(), ResetAfter: max(r.idle(u)-now, 0)}
	if r.algorithm == TokenBucket {
		full := time.Duration(r.burst) * r.token()
		result.Remaining = int64(max(full-r.debt(u, now), 0) / r.token())
	} else {
		result.Remaining = max(r.limit-r.held(u, now), 0)
	}
	return result
}

// idle is the time from which on nothing of the usage counts any more.
func (r rule) idle(u usage) time.Duration {
	switch {
	case r.algorithm == FixedWindow && u.used > 0:
		return u.mark + r.window
	case r.algorithm == SlidingWindow && len(u.log) > 0:
		return u.log[len(u.log)-1].at + r.window
	}
	return u.mark
}

// held is what a window holds.
func (r rule) held(u usage, now time.Duration) int64 {
	switch {
	case r.algorithm == SlidingWindow:
		_, freed := r.gone(u, now)
		return u.used - freed
	case u.mark+r.window > now:
		return u.used
	}
	return 0
}

// gone counts what has left a sliding window, and what it cost.
func (r rule) gone(u usage, now time.Duration) (n int, freed int64) {
	for n < len(u.log) && u.log[n].at+r.window <= now {
		freed += u.log[n].cost
		n++
	}
	return n, freed
}

// debt is how long a bucket needs until it is full.
func (r rule) debt(u usage, now time.Duration) time.Duration { return max(u.mark-now, 0) }

// moved is a usage of the past, brought to the present. What was before the
// beginning of time is taken for something of its first moment.
func (u usage) moved(shift time.Duration) usage {
	next := usage{used: u.used, mark: machine.Shift(u.mark, shift)}
	for _, t := range u.log {
		t.at = machine.Shift(t.at, shift)
		if last := len(next.log) - 1; last >= 0 && next.log[last].at == t.at {
			next.log[last].cost += t.cost
		} else {
			next.log = append(next.log, t)
		}
	}
	return next
}
