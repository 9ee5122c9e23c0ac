package keyspace

import (
	"math"
	"strconv"
)

// scanCommands are the commands of walks through a database.
func scanCommands() []Command {
	return []Command{
		{
			Name: "scan", Arity: -2,
			Flags: []string{"readonly"}, Group: "generic", Since: "2.8.0",
			Summary: "Incrementally iterate the keys space",
			run:     scan,
		},
		{
			Name: "keys", Arity: 2,
			Flags: []string{"readonly"}, Group: "generic", Since: "1.0.0",
			Summary: "Find all keys matching the given pattern",
			run:     keys,
		},
		{
			Name: "randomkey", Arity: 1,
			Flags: []string{"readonly"}, Group: "generic", Since: "1.0.0",
			Summary: "Return a random key from the keyspace",
			run:     randomKey,
		},
	}
}

// scan walks the database in the order of its tree. A cursor is the hash where
// the walk goes on, so it is good on every node and at any later time; keys of
// one hash are never parted, and a key that is there from the first call to
// the last is returned.
func scan(c *call) {
	cursor, ok := c.cursor(c.args[1])
	if !ok {
		return
	}
	o := scanOptions{count: 10, ofKeys: true}
	if !o.parse(c, c.args[2:]) {
		return
	}
	var keys []string
	var examined int64
	var last, next uint64
	c.db.tree.Ascend(item{hash: cursor}, func(it item) bool {
		if examined >= o.count && it.hash != last {
			next = last + 1
			return false
		}
		examined++
		last = it.hash
		if !it.entry.isOver(c.at.Lease) && o.matches(it.entry) {
			keys = append(keys, it.entry.key)
		}
		return true
	})
	c.reply.array(2)
	c.reply.bulkString(strconv.FormatUint(next, 10))
	c.replyKeys(keys)
}

// cursor reads a cursor, or answers that it is none.
func (c *call) cursor(arg []byte) (uint64, bool) {
	cursor, ok := parseCursor(arg)
	if !ok {
		c.reply.fail("ERR invalid cursor")
	}
	return cursor, ok
}

type scanOptions struct {
	ofKeys  bool   // TYPE may be said
	count   int64  // entries to look at
	pattern []byte // nil matches all
	typ     []byte // nil matches all
}

func (o *scanOptions) parse(c *call, args [][]byte) bool {
	for ; len(args) > 0; args = args[2:] {
		if len(args) == 1 {
			c.reply.fail(errSyntax)
			return false
		}
		switch word, arg := args[0], args[1]; {
		case isWord(word, "match"):
			o.pattern = arg
		case o.ofKeys && isWord(word, "type"):
			o.typ = arg
		case isWord(word, "count"):
			var ok bool
			if o.count, ok = parseInt(arg); !ok {
				c.reply.fail(errNotInteger)
				return false
			}
			if o.count < 1 {
				c.reply.fail(errSyntax)
				return false
			}
		default:
			c.reply.fail(errSyntax)
			return false
		}
	}
	return true
}

func (o *scanOptions) matches(e *entry) bool {
	if o.typ != nil && !isWord(o.typ, e.value.kind().String()) {
		return false
	}
	return o.takes(e.key)
}

// takes reports whether a name matches the pattern.
func (o *scanOptions) takes(name string) bool {
	return o.pattern == nil || isEverything(o.pattern) || matchGlob(o.pattern, name)
}

// isEverything reports whether a pattern is "*" alone, which Redis takes for
// all keys, the empty one too that it otherwise does not match.
func isEverything(pattern []byte) bool { return string(pattern) == "*" }

// parseCursor reads a cursor as C's strtoul does, as Redis has it: nothing at
// all is 0, and signs are allowed. What is behind the last position ends a scan.
func parseCursor(arg []byte) (uint64, bool) {
	if len(arg) == 0 {
		return 0, true
	}
	negative := arg[0] == '-'
	digits := arg
	if negative || arg[0] == '+' {
		digits = arg[1:]
	}
	n, err := strconv.ParseUint(string(digits), 10, 64)
	if err != nil {
		return 0, false
	}
	if negative {
		n = -n
	}
	return n, true
}

func keys(c *call) {
	o := scanOptions{count: math.MaxInt64, pattern: c.args[1]}
	var keys []string
	c.db.tree.Scan(func(it item) bool {
		if !it.entry.isOver(c.at.Lease) && o.matches(it.entry) {
			keys = append(keys, it.entry.key)
		}
		return true
	})
	c.replyKeys(keys)
}

func (c *call) replyKeys(keys []string) {
	c.reply.array(len(keys))
	for _, key := range keys {
		c.reply.bulkString(key)
	}
}

// randomKey chooses by the stamp: every node answers the same at the same
// place of the log, and an idle cluster the same key again until its time
// moves on.
func randomKey(c *call) {
	n := c.db.tree.Len()
	if n == 0 {
		c.reply.null()
		return
	}
	start := c.random(n)
	first, _ := c.db.tree.GetAt(start)
	var found *entry
	visit := func(it item) bool {
		if !it.entry.isOver(c.at.Lease) {
			found = it.entry
		}
		return found == nil
	}
	c.db.tree.Ascend(first, visit)
	if found == nil {
		c.db.tree.Scan(visit)
	}
	if found == nil {
		c.reply.null()
		return
	}
	c.reply.bulkString(found.key)
}
