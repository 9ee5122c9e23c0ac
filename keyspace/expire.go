package keyspace

import (
	"cmp"
	"math"
)

// expiryCommands are the commands of the ends of keys.
func expiryCommands() []Command {
	return []Command{
		{
			Name: "expire", Arity: -3, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "fast"}, Group: "generic", Since: "1.0.0",
			Summary: "Set a key's time to live in seconds",
			run:     expire(timeForm{seconds: true}), frees: isPast,
		},
		{
			Name: "pexpire", Arity: -3, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "fast"}, Group: "generic", Since: "2.6.0",
			Summary: "Set a key's time to live in milliseconds",
			run:     expire(timeForm{}), frees: isPast,
		},
		{
			Name: "expireat", Arity: -3, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "fast"}, Group: "generic", Since: "1.2.0",
			Summary: "Set the expiration for a key as a UNIX timestamp",
			run:     expire(timeForm{seconds: true, absolute: true}), frees: isPast,
		},
		{
			Name: "pexpireat", Arity: -3, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "fast"}, Group: "generic", Since: "2.6.0",
			Summary: "Set the expiration for a key as a UNIX timestamp specified in milliseconds",
			run:     expire(timeForm{absolute: true}), frees: isPast,
		},
		{
			Name: "ttl", Arity: 2, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly", "fast"}, Group: "generic", Since: "1.0.0",
			Summary: "Get the time to live for a key in seconds",
			run:     tell(timeForm{seconds: true}),
		},
		{
			Name: "pttl", Arity: 2, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly", "fast"}, Group: "generic", Since: "2.6.0",
			Summary: "Get the time to live for a key in milliseconds",
			run:     tell(timeForm{}),
		},
		{
			Name: "expiretime", Arity: 2, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly", "fast"}, Group: "generic", Since: "7.0.0",
			Summary: "Get the expiration Unix timestamp for a key",
			run:     tell(timeForm{seconds: true, absolute: true}),
		},
		{
			Name: "pexpiretime", Arity: 2, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly", "fast"}, Group: "generic", Since: "7.0.0",
			Summary: "Get the expiration Unix timestamp for a key in milliseconds",
			run:     tell(timeForm{absolute: true}),
		},
		{
			Name: "persist", Arity: 2, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "fast"}, Group: "generic", Since: "2.2.0",
			Summary: "Remove the expiration from a key",
			run:     persist,
		},
	}
}

// A timeForm is how a command of the EXPIRE family gives or tells time.
type timeForm struct {
	seconds  bool // or milliseconds
	absolute bool // wall time, or a time to live
}

// expireConditions are the options of EXPIRE.
type expireConditions struct{ nx, xx, gt, lt bool }

func (o *expireConditions) parse(c *call, args [][]byte) bool {
	for _, arg := range args {
		switch {
		case isWord(arg, "nx"):
			o.nx = true
		case isWord(arg, "xx"):
			o.xx = true
		case isWord(arg, "gt"):
			o.gt = true
		case isWord(arg, "lt"):
			o.lt = true
		default:
			c.reply.fail("ERR Unsupported option " + string(arg))
			return false
		}
	}
	switch {
	case o.nx && (o.xx || o.gt || o.lt):
		c.reply.fail("ERR NX and XX, GT or LT options at the same time are not compatible")
		return false
	case o.gt && o.lt:
		c.reply.fail("ERR GT and LT options at the same time are not compatible")
		return false
	}
	return true
}

// hold reports whether an end may become another one. Never is later than any.
func (o *expireConditions) hold(old, until expiry) bool {
	switch {
	case o.nx && old.isSet(), o.xx && !old.isSet():
		return false
	case o.gt:
		return old.isSet() && until.compare(old) > 0
	case o.lt:
		return !old.isSet() || until.compare(old) < 0
	}
	return true
}

// compare orders ends that are set. Lease time decides, so that GT never
// shortens what is left and LT never lengthens it; but equal wall times are
// equal, though the two clocks drift.
func (x expiry) compare(y expiry) int {
	if x.wall == y.wall && x.deadline > 0 {
		return 0
	}
	return cmp.Or(cmp.Compare(x.deadline, y.deadline), cmp.Compare(x.wall, y.wall))
}

// expire returns the function of EXPIRE or one of its relatives.
func expire(form timeForm) func(*call) {
	return func(c *call) {
		var o expireConditions
		if !o.parse(c, c.args[3:]) {
			return
		}
		until, ok := c.parseEnd(c.args[2], form)
		if !ok {
			return
		}
		e := c.own(c.args[1])
		if e == nil || !o.hold(e.expiry, until) {
			c.reply.integer(0)
			return
		}
		if c.isRefused(e, e.value.size(), until) {
			return
		}
		c.expire(e, until)
		c.reply.integer(1)
	}
}

// parseEnd reads a time that, unlike those of SET, may have passed.
func (c *call) parseEnd(arg []byte, form timeForm) (expiry, bool) {
	n, ok := parseInt(arg)
	if !ok {
		c.reply.fail(errNotInteger)
		return expiry{}, false
	}
	if form.seconds {
		if n > math.MaxInt64/1000 || n < math.MinInt64/1000 {
			c.failExpiry()
			return expiry{}, false
		}
		n *= 1000
	}
	if form.absolute {
		return c.until(n), true
	}
	x, ok := c.in(n)
	if !ok {
		c.failExpiry()
	}
	return x, ok
}

// isPast reports whether EXPIRE's argument deletes the key wherever the clock
// stands.
func isPast(args [][]byte) bool {
	n, ok := parseInt(args[2])
	return ok && n <= 0
}

// tell returns the function of TTL or one of its relatives: -2 where there is
// no key, -1 where it has no end.
func tell(form timeForm) func(*call) {
	return func(c *call) {
		e := c.read(c.args[1])
		switch {
		case e == nil:
			c.reply.integer(-2)
			return
		case !e.isSet():
			c.reply.integer(-1)
			return
		}
		millis := e.wall
		if !form.absolute {
			millis = c.left(e.expiry)
		}
		if form.seconds {
			millis = (millis + 500) / 1000
		}
		c.reply.integer(millis)
	}
}

// left returns the milliseconds until x. One that has begun counts whole: who
// waits so long finds the key gone, and a key that is there has one at least.
func (c *call) left(x expiry) int64 {
	if x.deadline == maxDeadline {
		return x.wall - c.wallMillis()
	}
	const milli = 1e6
	return int64((x.deadline - c.at.Lease + milli - 1) / milli)
}

func persist(c *call) {
	e := c.own(c.args[1])
	if e == nil || !e.isSet() {
		c.reply.integer(0)
		return
	}
	if c.isRefused(e, e.value.size(), expiry{}) {
		return
	}
	c.expire(e, expiry{})
	c.reply.integer(1)
}
