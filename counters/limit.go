package counters

import (
	"fmt"
	"time"
)

// An Algorithm says what a limit's Limit and Window mean. All of them work in
// whole nanoseconds of lease time and in whole units of cost.
type Algorithm uint8

const (
	// FixedWindow admits Limit in a window of length Window, which begins with
	// the first call that is admitted when there is none. What was taken at the
	// end of one window and at the beginning of the next may come to twice
	// Limit within less than Window.
	FixedWindow Algorithm = iota + 1

	// SlidingWindow admits Limit in any window of length Window, wherever it is
	// laid. Up to a Limit of 1,000 every admitted call is remembered until it
	// has left the window, exactly. Above, calls are remembered together, in
	// slots of a hundredth of the window, and each counts until all of its slot
	// has left: still never more than Limit in any window, and what was taken
	// comes back up to a hundredth of the window late.
	SlidingWindow

	// TokenBucket admits what is in a bucket of Burst tokens, which begins full
	// and is filled at the rate of Limit in each Window: at most Burst plus
	// that rate times its length in any time. It is GCRA (ITU-T I.371), in
	// which a token comes every Window/Limit, rounded up to a nanosecond.
	TokenBucket
)

// String returns the name that HTTP has for the algorithm.
func (a Algorithm) String() string {
	switch a {
	case FixedWindow:
		return "fixed-window"
	case SlidingWindow:
		return "sliding-window"
	case TokenBucket:
		return "token-bucket"
	}
	return fmt.Sprintf("algorithm %d", uint8(a))
}

// ParseAlgorithm returns the algorithm of a name, as String has it. The error
// is ErrInvalid.
func ParseAlgorithm(name string) (Algorithm, error) {
	for a := FixedWindow; a <= TokenBucket; a++ {
		if a.String() == name {
			return a, nil
		}
	}
	return 0, fmt.Errorf("%w: algorithm %q is none of %s, %s, %s", ErrInvalid, name, FixedWindow, SlidingWindow, TokenBucket)
}

// Bounds of a Limit, so that no arithmetic overflows and no state is endless.
const (
	MaxLimits = 64   // limits of one call
	MaxLimit  = 1e12 // of Limit, Burst and Cost
	MinWindow = time.Millisecond
	MaxWindow = 366 * 24 * time.Hour // also of the time in which an empty bucket fills, ten times over
	MinToken  = time.Microsecond     // between two tokens of a bucket: a million a second
	exactMost = 1000                 // the largest limit of a sliding window that is exact
	slots     = 100                  // of a larger one
	maxFill   = 10 * MaxWindow
)

// Never is the RetryAfter of a call whose cost is over what the limit ever has.
const Never time.Duration = -1

// A Limit is what a call asks of a limit, which has no other definition: a call
// that gives another algorithm, limit, window or burst than the one before, and
// is admitted, starts the limit anew.
type Limit struct {
	Name      string
	Algorithm Algorithm
	Limit     int64         // from 1 to MaxLimit
	Window    time.Duration // from MinWindow to MaxWindow
	Burst     int64         // size of a token bucket, from 1 to MaxLimit, Limit if zero; else zero
	Cost      int64         // what the call takes, 1 if zero, at most MaxLimit
}

// A Result is what a limit says to a call.
type Result struct {
	Allowed   bool  // there is enough, as far as this limit goes
	Limit     int64 // what there can be at most: Limit, or a bucket's Burst
	Remaining int64 // what there is, after the call

	// RetryAfter is when there will be enough if nobody else takes any: zero
	// where there is, Never where the cost is over Limit. It is exact, or too
	// long by the time that an answer takes; whoever rounds it must round up.
	RetryAfter time.Duration
	// ResetAfter is when all will be there again if nobody takes any.
	ResetAfter time.Duration
}

// A rule is what of a Limit is remembered with what was taken.
type rule struct {
	algorithm Algorithm
	limit     int64
	window    time.Duration
	burst     int64 // 0 but for buckets
}

// A call is a Limit as it is in the log, checked.
type call struct {
	name string
	rule rule
	cost int64 // from 1 to MaxLimit
}

func callsOf(limits []Limit) ([]call, error) {
	if len(limits) == 0 || len(limits) > MaxLimits {
		return nil, fmt.Errorf("%w: %d limits are not from 1 to %d", ErrInvalid, len(limits), MaxLimits)
	}
	calls := make([]call, len(limits))
	for i, l := range limits {
		calls[i] = l.call()
	}
	return calls, checkCalls(calls)
}

// Check returns nil, or an ErrInvalid that says why a call with this limit
// would be refused.
func (l Limit) Check() error {
	_, err := callsOf([]Limit{l})
	return err
}

func (l Limit) call() call {
	if l.Cost == 0 {
		l.Cost = 1
	}
	if l.Algorithm == TokenBucket && l.Burst == 0 {
		l.Burst = l.Limit
	}
	return call{l.Name, rule{l.Algorithm, l.Limit, l.Window, l.Burst}, l.Cost}
}

func checkCalls(calls []call) error {
	for i, c := range calls {
		if err := c.check(); err != nil {
			return err
		}
		for _, other := range calls[:i] {
			if other.name == c.name {
				return fmt.Errorf("%w: limit %q twice in one call", ErrInvalid, c.name)
			}
		}
	}
	return nil
}

func (c call) check() error {
	if err := checkName(c.name); err != nil {
		return err
	}
	if c.cost < 1 || c.cost > MaxLimit {
		return fmt.Errorf("%w: a cost of %d is not from 1 to %d", ErrInvalid, c.cost, int64(MaxLimit))
	}
	return c.rule.check()
}

func (r rule) check() error {
	switch {
	case r.algorithm < FixedWindow || r.algorithm > TokenBucket:
		return fmt.Errorf("%w: %s is unknown", ErrInvalid, r.algorithm)
	case r.limit < 1 || r.limit > MaxLimit:
		return fmt.Errorf("%w: a limit of %d is not from 1 to %d", ErrInvalid, r.limit, int64(MaxLimit))
	case r.window < MinWindow || r.window > MaxWindow:
		return fmt.Errorf("%w: a window of %s is not from %s to %s", ErrInvalid, r.window, MinWindow, MaxWindow)
	case r.algorithm != TokenBucket && r.burst != 0:
		return fmt.Errorf("%w: only a %s has a burst", ErrInvalid, TokenBucket)
	case r.algorithm != TokenBucket:
		return nil
	case r.burst < 1 || r.burst > MaxLimit:
		return fmt.Errorf("%w: a burst of %d is not from 1 to %d", ErrInvalid, r.burst, int64(MaxLimit))
	case r.window < time.Duration(r.limit)*MinToken:
		return fmt.Errorf("%w: %d in %s is more than one each %s", ErrInvalid, r.limit, r.window, MinToken)
	case r.burst > int64(maxFill/r.token()):
		return fmt.Errorf("%w: a bucket of %d that gets one each %s is not full within %s", ErrInvalid, r.burst, r.token(), maxFill)
	}
	return nil
}

// token is the time in which a bucket gets one more.
func (r rule) token() time.Duration { return ceil(r.window, time.Duration(r.limit)) }

// capacity is the most that there can be.
func (r rule) capacity() int64 {
	if r.algorithm == TokenBucket {
		return r.burst
	}
	return r.limit
}
