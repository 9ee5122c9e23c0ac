package keyspace

import (
	"math"
	"math/big"
	"time"
)

// blockingCommands are the commands that pop, and wait where there is nothing.
// They wait only where AppendWait has put them into the log: within a
// transaction or a script they answer at once that there is nothing, as in
// Redis. Those that Redis keeps from scripts have the flag "noscript".
func blockingCommands() []Command {
	return []Command{
		{
			Name: "blpop", Arity: -3, Writes: true, FirstKey: 1, LastKey: -2, Step: 1,
			Flags: []string{"write", "noscript", "blocking"}, Group: "list", Since: "2.0.0",
			Summary: "Remove and get the first element in a list, or block until one is available",
			run:     popOrNothing, asks: askForEnd(true), frees: always,
		},
		{
			Name: "brpop", Arity: -3, Writes: true, FirstKey: 1, LastKey: -2, Step: 1,
			Flags: []string{"write", "noscript", "blocking"}, Group: "list", Since: "2.0.0",
			Summary: "Remove and get the last element in a list, or block until one is available",
			run:     popOrNothing, asks: askForEnd(false), frees: always,
		},
		{
			Name: "blmove", Arity: 6, Writes: true, FirstKey: 1, LastKey: 2, Step: 1,
			Flags: []string{"write", "denyoom", "noscript", "blocking"}, Group: "list", Since: "6.2.0",
			Summary: "Pop an element from a list, push it to another list and return it; or block until one is available",
			run:     popOrNothing, asks: askBLMove,
		},
		{
			Name: "brpoplpush", Arity: 4, Writes: true, FirstKey: 1, LastKey: 2, Step: 1,
			Flags: []string{"write", "denyoom", "noscript", "blocking"}, Group: "list", Since: "2.2.0",
			Summary: "Pop an element from a list, push it to another list and return it; or block until one is available",
			run:     popOrNothing, asks: func(c *call) (request, bool) { return c.askForMove(false, true) },
		},
		{
			Name: "blmpop", Arity: -5, Writes: true,
			Flags: []string{"write", "blocking", "movablekeys"}, Group: "list", Since: "7.0.0",
			Summary: "Pop elements from a list, or block until one is available",
			run:     popOrNothing, asks: askBLMPop, frees: always, keys: keysBehindTimeout,
		},
		{
			Name: "bzpopmin", Arity: -3, Writes: true, FirstKey: 1, LastKey: -2, Step: 1,
			Flags: []string{"write", "noscript", "blocking", "fast"}, Group: "sorted-set", Since: "5.0.0",
			Summary: "Remove and return the member with the lowest score from one or more sorted sets, or block until one is available",
			run:     popOrNothing, asks: askForRank(false), frees: always,
		},
		{
			Name: "bzpopmax", Arity: -3, Writes: true, FirstKey: 1, LastKey: -2, Step: 1,
			Flags: []string{"write", "noscript", "blocking", "fast"}, Group: "sorted-set", Since: "5.0.0",
			Summary: "Remove and return the member with the highest score from one or more sorted sets, or block until one is available",
			run:     popOrNothing, asks: askForRank(true), frees: always,
		},
		{
			Name: "bzmpop", Arity: -5, Writes: true,
			Flags: []string{"write", "blocking", "movablekeys"}, Group: "sorted-set", Since: "7.0.0",
			Summary: "Remove and return members with scores in a sorted set or block until one is available",
			run:     popOrNothing, asks: askBZMPop, frees: always, keys: keysBehindTimeout,
		},
	}
}

// A request is what a blocking command asks for: elements of the first of its
// keys that has some.
type request struct {
	timeout time.Duration // 0: for ever
	kind    kind
	keys    [][]byte
	count   int              // elements that it takes at most
	pop     func(key []byte) // takes from a key that has elements, and answers
	isMove  bool             // answers with an element, not with an array
}

// mostTaken is the most that count says, so that sums of it are numbers. No key
// has as many elements.
const mostTaken = 1 << 32

// popOrNothing executes a blocking command without waiting.
func popOrNothing(c *call) {
	r, ok := c.cmd.asks(c)
	if !ok || c.serve(r, false) {
		return
	}
	if r.isMove {
		c.reply.null()
	} else {
		c.reply.nullArray()
	}
}

// serve answers a request at once, if it can be. With isPolite it leaves the
// elements that have been promised to those who wait.
func (c *call) serve(r request, isPolite bool) (done bool) {
	for _, key := range r.keys {
		e := c.own(key)
		switch {
		case e == nil:
		case e.value.kind() != r.kind:
			c.reply.fail(errWrongType)
			return true
		case isPolite && c.space.free(spot{c.index, r.kind, e.key}, c.at.Lease) <= 0:
		default:
			r.pop(key)
			return true
		}
	}
	return false
}

// askForEnd returns what BLPOP or BRPOP asks for.
func askForEnd(isLeft bool) func(*call) (request, bool) {
	return func(c *call) (request, bool) {
		keys, timeout, ok := c.keysAndTimeout()
		return request{timeout: timeout, kind: kindList, keys: keys, count: 1, pop: func(key []byte) {
			if ed, ok := c.edit(key, kindList); ok {
				c.reply.array(2)
				c.reply.bulk(key)
				c.reply.bulkString(ed.value.(*list).pop(isLeft))
				c.commit(ed, true)
			}
		}}, ok
	}
}

func askBLMove(c *call) (r request, ok bool) {
	fromLeft, ok := c.side(c.args[3])
	if !ok {
		return r, false
	}
	toLeft, ok := c.side(c.args[4])
	if !ok {
		return r, false
	}
	return c.askForMove(fromLeft, toLeft)
}

// askForMove is what BLMOVE asks for, and BRPOPLPUSH. If the target holds
// something else the answer is an error, as soon as there is an element.
func (c *call) askForMove(fromLeft, toLeft bool) (request, bool) {
	timeout, ok := c.timeout(c.args[len(c.args)-1])
	return request{timeout: timeout, kind: kindList, keys: c.args[1:2], count: 1, isMove: true, pop: func([]byte) {
		c.moveElement(fromLeft, toLeft)
	}}, ok
}

func askBLMPop(c *call) (r request, ok bool) {
	keys, side, options, ok := c.popMany(c.args[1:])
	if !ok {
		return r, false
	}
	isLeft, ok := c.side(side)
	if !ok {
		return r, false
	}
	count, ok := c.popOptions(options)
	if !ok {
		return r, false
	}
	timeout, ok := c.timeout(c.args[1])
	return request{timeout: timeout, kind: kindList, keys: keys, count: min(count, mostTaken), pop: func(key []byte) {
		c.popListOf(key, isLeft, count)
	}}, ok
}

// askForRank returns what BZPOPMIN or BZPOPMAX asks for.
func askForRank(isMax bool) func(*call) (request, bool) {
	return func(c *call) (request, bool) {
		keys, timeout, ok := c.keysAndTimeout()
		return request{timeout: timeout, kind: kindZSet, keys: keys, count: 1, pop: func(key []byte) {
			if ed, ok := c.edit(key, kindZSet); ok {
				c.reply.array(3)
				c.reply.bulk(key)
				c.popScores(ed, isMax, 1, false)
			}
		}}, ok
	}
}

func askBZMPop(c *call) (r request, ok bool) {
	keys, where, options, ok := c.popMany(c.args[1:])
	if !ok {
		return r, false
	}
	isMax, ok := c.extreme(where)
	if !ok {
		return r, false
	}
	count, ok := c.popOptions(options)
	if !ok {
		return r, false
	}
	timeout, ok := c.timeout(c.args[1])
	return request{timeout: timeout, kind: kindZSet, keys: keys, count: min(count, mostTaken), pop: func(key []byte) {
		c.popScoresOf(key, isMax, count)
	}}, ok
}

// extreme reads MIN or MAX.
func (c *call) extreme(arg []byte) (isMax, ok bool) {
	isMax = isWord(arg, "max")
	if !isMax && !isWord(arg, "min") {
		c.reply.fail(errSyntax)
		return false, false
	}
	return isMax, true
}

// popScoresOf answers with a key and at most count members of its sorted set.
// It is false where there is none, and nothing is answered.
func (c *call) popScoresOf(key []byte, isMax bool, count int) (done bool) {
	ed, ok := c.edit(key, kindZSet)
	switch {
	case !ok:
		return true
	case ed.isNew:
		return false
	}
	c.reply.array(2)
	c.reply.bulk(key)
	n := min(count, ed.value.(*zset).len())
	c.reply.array(n)
	for range n {
		c.reply.array(2)
		c.popScores(c.open(ed.entry, key, kindZSet), isMax, 1, false)
	}
	return true
}

func (c *call) keysAndTimeout() (keys [][]byte, timeout time.Duration, ok bool) {
	last := len(c.args) - 1
	timeout, ok = c.timeout(c.args[last])
	return c.args[1:last], timeout, ok
}

// timeout reads the seconds that a command waits.
func (c *call) timeout(arg []byte) (time.Duration, bool) {
	timeout, fault := parseTimeout(arg)
	if fault != "" {
		c.reply.fail(fault)
	}
	return timeout, fault == ""
}

// parseTimeout reads seconds, which may have a fraction. Milliseconds count,
// and one that has begun counts whole; what is longer than time can tell is
// for ever, as 0 is. The fault of a number that is too large is that of Redis.
func parseTimeout(arg []byte) (timeout time.Duration, fault string) {
	const negative = "ERR timeout is negative"
	x, ok := parseLong(arg)
	if !ok {
		return 0, "ERR timeout is not a float or out of range"
	}
	if x.IsInf() {
		return 0, negative
	}
	x.Mul(&x.Float, big.NewFloat(1000))
	if x.MantExp(nil) > 63 {
		return 0, negative
	}
	millis, isBelow := x.Int64()
	if isBelow < 0 {
		millis++
	}
	switch {
	case millis < 0:
		return 0, negative
	case millis > math.MaxInt64/int64(time.Millisecond):
		return 0, ""
	}
	return time.Duration(millis) * time.Millisecond, ""
}

// Patience returns how long a command that blocks waits, with these arguments,
// which it accepts: 0 is for ever.
func (c *Command) Patience(args [][]byte) time.Duration {
	arg := args[len(args)-1]
	if c.keys != nil { // the others have it behind their keys
		arg = args[1]
	}
	timeout, _ := parseTimeout(arg)
	return timeout
}

// keysBehindTimeout is numberedKeys where a timeout is ahead of the number.
func keysBehindTimeout(args [][]byte) []int {
	keys := numberedKeys(1)(args[1:])
	for i := range keys {
		keys[i]++
	}
	return keys
}
