package redis

import (
	"errors"
	"math"
	"strconv"
	"time"

	"github.com/huddlecache/huddle/counters"
	"github.com/huddlecache/huddle/server/resp"
)

// errOverflow is what Redis answers to an INCR that goes too far.
const errOverflow = "ERR increment or decrement would overflow"

func counterCommands() []command {
	return []command{
		{name: "counter.add", arity: -3, writes: true, idem: true, run: (*conn).counterAdd},
		{name: "counter.del", arity: 2, writes: true, idem: true, run: (*conn).counterDel},
		{name: "counter.get", arity: 2, run: (*conn).counterGet},
	}
}

// counterAdd answers COUNTER.ADD name n [PX ms] with the new value.
func (c *conn) counterAdd(args [][]byte) {
	n, err := strconv.ParseInt(string(args[2]), 10, 64)
	if err != nil {
		c.fail(errNotInteger)
		return
	}
	o := counters.AddOptions{Idem: c.idem}
	switch {
	case len(args) == 3:
	case len(args) == 5 && isWord(args[3], "px"):
		ttl, ok := milliseconds(args[4])
		if !ok {
			c.fail("ERR invalid expire time in 'counter.add' command")
			return
		}
		o.TTL = ttl
	default:
		c.fail(errSyntax)
		return
	}
	value, err := c.server.config.Counting.Add(c.context(), string(args[1]), n, o)
	if err != nil {
		c.failCounting(err, true)
		return
	}
	c.out = resp.AppendInt(c.out, value)
}

// counterGet answers COUNTER.GET name with the value, or nil.
func (c *conn) counterGet(args [][]byte) {
	counter, found, err := c.server.config.Counting.Get(c.context(), string(args[1]))
	switch {
	case err != nil:
		c.failCounting(err, false)
	case found:
		c.out = resp.AppendInt(c.out, counter.Value)
	default:
		c.out = resp.AppendNull(c.out, c.proto)
	}
}

// counterDel answers COUNTER.DEL name with how many there were.
func (c *conn) counterDel(args [][]byte) {
	found, err := c.server.config.Counting.Delete(c.context(), string(args[1]), counters.WriteOptions{Idem: c.idem})
	switch {
	case err != nil:
		c.failCounting(err, true)
	case found:
		c.out = resp.AppendInt(c.out, 1)
	default:
		c.out = resp.AppendInt(c.out, 0)
	}
}

// failCounting answers with an error of counters and limits: their own, which
// say that nothing was done, or one of the log.
func (c *conn) failCounting(err error, isWrite bool) {
	switch {
	case errors.Is(err, counters.ErrOverflow):
		c.fail(errOverflow)
	case errors.Is(err, counters.ErrInvalid):
		c.fail("ERR " + err.Error())
	default:
		c.failWith(err, isWrite)
	}
}

// milliseconds reads a time that is more than none.
func milliseconds(arg []byte) (d time.Duration, ok bool) {
	n, err := strconv.ParseInt(string(arg), 10, 64)
	return time.Duration(n) * time.Millisecond, err == nil && n > 0 && n <= math.MaxInt64/int64(time.Millisecond)
}
