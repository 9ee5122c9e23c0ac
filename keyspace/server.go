package keyspace

import (
	"strconv"
	"time"
)

// serverCommands are the commands of whole databases, and the clock.
func serverCommands() []Command {
	return []Command{
		{
			Name: "dbsize", Arity: 1,
			Flags: []string{"readonly", "fast"}, Group: "server", Since: "1.0.0",
			Summary: "Return the number of keys in the selected database",
			run:     dbsize,
		},
		{
			Name: "flushdb", Arity: -1, Writes: true,
			Flags: []string{"write"}, Group: "server", Since: "1.0.0",
			Summary: "Remove all keys from the current database",
			run:     flushdb, frees: always,
		},
		{
			Name: "flushall", Arity: -1, Writes: true,
			Flags: []string{"write"}, Group: "server", Since: "1.0.0",
			Summary: "Remove all keys from all databases",
			run:     flushall, frees: always,
		},
		{
			Name: "time", Arity: 1,
			Flags: []string{"loading", "stale", "fast"}, Group: "server", Since: "2.6.0",
			Summary: "Return the current server time",
			run:     clock,
		},
	}
}

// dbsize counts, as in Redis, what is kept: keys whose time has come are in it
// until they are removed, shortly after.
func dbsize(c *call) { c.reply.integer(int64(c.db.tree.Len())) }

// flushdb empties the database. ASYNC and SYNC are the same.
func flushdb(c *call) {
	if !isFlush(c) {
		return
	}
	c.flush(c.index)
	c.reply.status("OK")
}

func flushall(c *call) {
	if !isFlush(c) {
		return
	}
	for i := range c.space.dbs {
		c.flush(i)
	}
	c.reply.status("OK")
}

func isFlush(c *call) bool {
	options := c.args[1:]
	if len(options) == 0 || len(options) == 1 && (isWord(options[0], "async") || isWord(options[0], "sync")) {
		return true
	}
	c.reply.fail(errSyntax)
	return false
}

// flush puts an empty tree in place of a database's, and takes its deadlines out of
// the shell's index one by one: left there they would be harmless, but a cache
// that is cleared often would fill memory that nobody counts with deadlines of
// keys long gone.
func (c *call) flush(index int) {
	db := c.space.dbs[index]
	if db.tree.Len() > 0 {
		c.flushed(index)
	}
	db.tree.Scan(func(it item) bool {
		c.space.size -= it.entry.size()
		return true
	})
	c.eachDeadline(index, func(key []byte, e *entry) { c.tx.Deadline(key, e.deadline, 0) })
	db.tree = newTree()
	db.removed = c.change()
}

// clock is TIME: the cluster's wall time, in seconds and the microseconds past
// them.
func clock(c *call) {
	seconds, rest := c.at.Wall/time.Second, c.at.Wall%time.Second
	c.reply.array(2)
	c.reply.bulkString(strconv.FormatInt(int64(seconds), 10))
	c.reply.bulkString(strconv.FormatInt(int64(rest/time.Microsecond), 10))
}
