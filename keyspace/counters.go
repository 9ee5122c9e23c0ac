package keyspace

import (
	"math"
	"strconv"
)

// counterCommands are the commands of numbers in strings.
func counterCommands() []Command {
	return []Command{
		{
			Name: "incr", Arity: 2, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "denyoom", "fast"}, Group: "string", Since: "1.0.0",
			Summary: "Increment the integer value of a key by one",
			run:     incr,
		},
		{
			Name: "decr", Arity: 2, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "denyoom", "fast"}, Group: "string", Since: "1.0.0",
			Summary: "Decrement the integer value of a key by one",
			run:     decr,
		},
		{
			Name: "incrby", Arity: 3, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "denyoom", "fast"}, Group: "string", Since: "1.0.0",
			Summary: "Increment the integer value of a key by the given amount",
			run:     incrby,
		},
		{
			Name: "decrby", Arity: 3, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "denyoom", "fast"}, Group: "string", Since: "1.0.0",
			Summary: "Decrement the integer value of a key by the given number",
			run:     decrby,
		},
	}
}

// incrBy is INCR with its relatives: it adds n to the number that key holds,
// or to 0, and keeps the time to live.
func (c *call) incrBy(n int64) {
	key := c.args[1]
	old := c.own(key)
	if !c.isText(old) {
		return
	}
	var sum int64
	var until expiry
	if old != nil {
		var ok bool
		if sum, ok = parseInt(textOf(old)); !ok {
			c.reply.fail(errNotInteger)
			return
		}
		until = old.expiry
	}
	sum, ok := addInt(sum, n)
	if !ok {
		c.reply.fail(errOverflow)
		return
	}
	val := text(strconv.AppendInt(nil, sum, 10))
	if c.isRefused(old, val.size(), until) {
		return
	}
	c.put(old, key, val, until)
	c.reply.integer(sum)
}

const (
	errOverflow  = "ERR increment or decrement would overflow"
	errNotFinite = "ERR increment would produce NaN or Infinity"
)

// addInt returns the sum, if it has one.
func addInt(a, b int64) (sum int64, ok bool) {
	if b < 0 && a < math.MinInt64-b || b > 0 && a > math.MaxInt64-b {
		return 0, false
	}
	return a + b, true
}

func incr(c *call) { c.incrBy(1) }

func decr(c *call) { c.incrBy(-1) }

func incrby(c *call) {
	n, ok := parseInt(c.args[2])
	if !ok {
		c.reply.fail(errNotInteger)
		return
	}
	c.incrBy(n)
}

func decrby(c *call) {
	n, ok := parseInt(c.args[2])
	if !ok {
		c.reply.fail(errNotInteger)
		return
	}
	if n == math.MinInt64 {
		c.reply.fail("ERR decrement would overflow")
		return
	}
	c.incrBy(-n)
}

// parseInt reads a decimal number of 64 bits in the one form that Redis writes:
// no sign but a minus, no spaces, no needless zeros.
func parseInt(b []byte) (int64, bool) {
	const longest = len("-9223372036854775808")
	if len(b) == 0 || len(b) > longest {
		return 0, false
	}
	digits := b
	if b[0] == '-' {
		digits = b[1:]
	}
	if len(digits) == 0 || digits[0] == '0' && len(b) > 1 {
		return 0, false
	}
	var n uint64
	for _, d := range digits {
		if d < '0' || d > '9' {
			return 0, false
		}
		n = n*10 + uint64(d-'0') // 20 digits at most, checked below before they wrap
	}
	switch {
	case len(digits) > 19:
		return 0, false
	case len(digits) < len(b):
		return -int64(n), n <= -math.MinInt64
	default:
		return int64(n), n <= math.MaxInt64
	}
}
