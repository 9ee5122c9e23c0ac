package redis

import (
	"math"
	"strconv"
	"time"

	"github.com/huddlecache/huddle/counters"
	"github.com/huddlecache/huddle/server/resp"
)

func limitCommands() []command {
	return []command{
		{name: "cl.throttle", arity: -5, writes: true, idem: true, run: (*conn).throttle},
		{name: "limit.take", arity: -5, writes: true, idem: true, run: (*conn).limitTake},
	}
}

// limitTake answers LIMIT.TAKE name FIXED|SLIDING|BUCKET limit window-ms
// [BURST b] [COST c] with [allowed, limit, remaining, retry-ms, reset-ms]. A
// COST of 0 takes nothing and says how things are. Times are rounded up; retry
// is -1 where the cost is over what the limit ever has.
func (c *conn) limitTake(args [][]byte) {
	limit := counters.Limit{Name: string(args[1])}
	switch {
	case isWord(args[2], "fixed"):
		limit.Algorithm = counters.FixedWindow
	case isWord(args[2], "sliding"):
		limit.Algorithm = counters.SlidingWindow
	case isWord(args[2], "bucket"):
		limit.Algorithm = counters.TokenBucket
	default:
		c.fail("ERR unknown algorithm '" + string(clip(args[2], quotedBytes)) + "', there are FIXED, SLIDING and BUCKET")
		return
	}
	n, err := strconv.ParseInt(string(args[3]), 10, 64)
	if err != nil {
		c.fail(errNotInteger)
		return
	}
	window, ok := milliseconds(args[4])
	if !ok {
		c.fail("ERR the window is not a number of milliseconds over 0")
		return
	}
	limit.Limit, limit.Window = n, window
	isPeek, wrong := readLimitOptions(&limit, args[5:])
	if wrong != "" {
		c.fail(wrong)
		return
	}
	result, err := c.take(limit, isPeek)
	if err != nil {
		c.failCounting(err, true)
		return
	}
	allowed := int64(0)
	if result.Allowed {
		allowed = 1
	}
	retry := roundUp(result.RetryAfter, time.Millisecond)
	c.integers(allowed, result.Limit, result.Remaining, retry, roundUp(result.ResetAfter, time.Millisecond))
}

// readLimitOptions reads [BURST b] [COST c]. It returns the error to answer
// with, if there is one.
func readLimitOptions(limit *counters.Limit, args [][]byte) (isPeek bool, wrong string) {
	if len(args)%2 != 0 {
		return false, errSyntax
	}
	for i := 0; i < len(args); i += 2 {
		n, err := strconv.ParseInt(string(args[i+1]), 10, 64)
		switch {
		case err != nil:
			return false, errNotInteger
		case isWord(args[i], "burst") && n > 0:
			limit.Burst = n
		case isWord(args[i], "burst"):
			return false, "ERR the burst is not over 0"
		case isWord(args[i], "cost"):
			limit.Cost, isPeek = n, n == 0
		default:
			return false, errSyntax
		}
	}
	return isPeek, ""
}

// take takes from a limit, or only looks at it.
func (c *conn) take(limit counters.Limit, isPeek bool) (counters.Result, error) {
	call := func() ([]counters.Result, error) {
		return c.server.config.Counting.TakeAll(c.context(), counters.WriteOptions{Idem: c.idem}, limit)
	}
	if isPeek {
		call = func() ([]counters.Result, error) { return c.server.config.Counting.Peek(c.context(), limit) }
	}
	results, err := call()
	if err != nil {
		return counters.Result{}, err
	}
	return results[0], nil
}

// throttle answers CL.THROTTLE key max-burst count period [quantity] as
// redis-cell does (https://github.com/brandur/redis-cell): [limited, limit,
// remaining, retry, reset] in seconds, where retry is -1 if there is nothing to
// wait for. A quantity of 0 takes nothing. A key is the name of a limit, the
// same as in LIMIT.TAKE: a bucket that holds one more than max-burst.
func (c *conn) throttle(args [][]byte) {
	if len(args) > 6 {
		c.fail(wrongArity("cl.throttle"))
		return
	}
	numbers := [4]int64{3: 1}
	for i, arg := range args[2:] {
		n, err := strconv.ParseInt(string(arg), 10, 64)
		if err != nil {
			c.fail(errNotInteger)
			return
		}
		numbers[i] = n
	}
	burst, count, period, quantity := numbers[0], numbers[1], numbers[2], numbers[3]
	if burst < 0 || count < 1 || period < 1 || quantity < 0 || burst == math.MaxInt64 || period > math.MaxInt64/int64(time.Second) {
		c.fail("ERR max-burst and quantity must be 0 or more, count and period over 0")
		return
	}
	result, err := c.take(counters.Limit{
		Name: string(args[1]), Algorithm: counters.TokenBucket, Limit: count, Window: time.Duration(period) * time.Second,
		Burst: burst + 1, Cost: quantity,
	}, quantity == 0)
	if err != nil {
		c.failCounting(err, true)
		return
	}
	limited, retry := int64(0), int64(-1)
	if !result.Allowed && quantity > 0 {
		limited, retry = 1, roundUp(result.RetryAfter, time.Second)
	}
	c.integers(limited, result.Limit, result.Remaining, retry, roundUp(result.ResetAfter, time.Second))
}

func (c *conn) integers(list ...int64) {
	c.out = resp.AppendArray(c.out, len(list))
	for _, n := range list {
		c.out = resp.AppendInt(c.out, n)
	}
}

// roundUp gives a time in whole units, so that nobody comes back too early;
// what is negative stands for never, and is -1.
func roundUp(d, unit time.Duration) int64 {
	n := d / unit
	if d%unit > 0 {
		n++
	}
	if d < 0 {
		return -1
	}
	return int64(n)
}
