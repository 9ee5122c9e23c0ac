package keyspace

import "math"

// insideCommands are the commands of what is in a list.
func insideCommands() []Command {
	return []Command{
		{
			Name: "llen", Arity: 2, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly", "fast"}, Group: "list", Since: "1.0.0",
			Summary: "Get the length of a list",
			run:     llen,
		},
		{
			Name: "lrange", Arity: 4, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly"}, Group: "list", Since: "1.0.0",
			Summary: "Get a range of elements from a list",
			run:     lrange,
		},
		{
			Name: "lindex", Arity: 3, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly"}, Group: "list", Since: "1.0.0",
			Summary: "Get an element from a list by its index",
			run:     lindex,
		},
		{
			Name: "lset", Arity: 4, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "denyoom"}, Group: "list", Since: "1.0.0",
			Summary: "Set the value of an element in a list by its index",
			run:     lset,
		},
		{
			Name: "linsert", Arity: 5, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "denyoom"}, Group: "list", Since: "2.2.0",
			Summary: "Insert an element before or after another element in a list",
			run:     linsert,
		},
		{
			Name: "lrem", Arity: 4, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write"}, Group: "list", Since: "1.0.0",
			Summary: "Remove elements from a list",
			run:     lrem, frees: always,
		},
		{
			Name: "ltrim", Arity: 4, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write"}, Group: "list", Since: "1.0.0",
			Summary: "Trim a list to the specified range",
			run:     ltrim, frees: always,
		},
		{
			Name: "lpos", Arity: -3, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly"}, Group: "list", Since: "6.0.6",
			Summary: "Return the index of matching elements on a list",
			run:     lpos,
		},
	}
}

func llen(c *call) {
	if l, ok := find[*list](c, c.args[1]); ok {
		c.reply.integer(int64(l.len()))
	}
}

// interval reads two indexes.
func (c *call) interval(first, last []byte) (start, end int64, ok bool) {
	if start, ok = parseInt(first); ok {
		end, ok = parseInt(last)
	}
	if !ok {
		c.reply.fail(errNotInteger)
	}
	return start, end, ok
}

func lrange(c *call) {
	first, last, ok := c.interval(c.args[2], c.args[3])
	if !ok {
		return
	}
	l, ok := find[*list](c, c.args[1])
	if !ok {
		return
	}
	start, end := span(first, last, l.len())
	c.reply.array(end - start)
	if start == end {
		return
	}
	left := end - start
	l.items.Ascend(start, func(s string) bool {
		c.reply.bulkString(s)
		left--
		return left > 0
	})
}

// index returns the position that one of Redis' indexes means, if it is in a
// sequence of n.
func index(at int64, n int) (i int, ok bool) {
	if at < 0 {
		at += int64(n)
	}
	return int(at), at >= 0 && at < int64(n)
}

func lindex(c *call) {
	l, ok := find[*list](c, c.args[1])
	if !ok {
		return
	}
	if l == nil {
		c.reply.null()
		return
	}
	at, ok := parseInt(c.args[2])
	if !ok {
		c.reply.fail(errNotInteger)
		return
	}
	if i, ok := index(at, l.len()); ok {
		c.reply.bulkString(l.items.At(i))
	} else {
		c.reply.null()
	}
}

func lset(c *call) {
	l, ok := find[*list](c, c.args[1])
	if !ok {
		return
	}
	if l == nil {
		c.reply.fail(errNoKey)
		return
	}
	at, ok := parseInt(c.args[2])
	if !ok {
		c.reply.fail(errNotInteger)
		return
	}
	i, ok := index(at, l.len())
	if !ok {
		c.reply.fail(errRange)
		return
	}
	ed, ok := c.edit(c.args[1], kindList)
	if !ok {
		return
	}
	l = ed.value.(*list)
	val := string(c.args[3])
	l.bytes += int64(len(val) - len(l.items.At(i)))
	l.items.Set(i, val)
	c.commit(ed, true)
	c.reply.status("OK")
}

func linsert(c *call) {
	isBehind := isWord(c.args[2], "after")
	if !isBehind && !isWord(c.args[2], "before") {
		c.reply.fail(errSyntax)
		return
	}
	l, ok := find[*list](c, c.args[1])
	if !ok {
		return
	}
	if l == nil {
		c.reply.integer(0)
		return
	}
	at := -1
	l.walk(false, func(i int, s string) bool {
		if s == string(c.args[3]) {
			at = i
		}
		return at < 0
	})
	if at < 0 {
		c.reply.integer(-1)
		return
	}
	ed, ok := c.edit(c.args[1], kindList)
	if !ok {
		return
	}
	if isBehind {
		at++
	}
	l = ed.value.(*list)
	l.insert(at, string(c.args[4]))
	c.commit(ed, true)
	c.reply.integer(int64(l.len()))
}

// lrem removes the first elements that are equal to one, or the last where
// the count is negative, or all where it is zero.
func lrem(c *call) {
	count, ok := parseInt(c.args[2])
	if !ok {
		c.reply.fail(errNotInteger)
		return
	}
	ed, ok := c.edit(c.args[1], kindList)
	if !ok {
		return
	}
	l := ed.value.(*list)
	most := count
	switch {
	case count == 0:
		most = math.MaxInt64
	case count < 0 && count != math.MinInt64:
		most = -count
	case count < 0:
		most = math.MaxInt64
	}
	var found []int
	l.walk(count < 0, func(i int, s string) bool {
		if s == string(c.args[3]) {
			found = append(found, i)
		}
		return int64(len(found)) < most
	})
	for k, i := range found {
		if count >= 0 {
			i -= k // so many before it are gone
		}
		l.removeAt(i)
	}
	c.commit(ed, len(found) > 0)
	c.reply.integer(int64(len(found)))
}

func ltrim(c *call) {
	first, last, ok := c.interval(c.args[2], c.args[3])
	if !ok {
		return
	}
	ed, ok := c.edit(c.args[1], kindList)
	if !ok {
		return
	}
	l := ed.value.(*list)
	start, end := span(first, last, l.len())
	for l.len() > end {
		l.pop(false)
	}
	for range start {
		l.pop(true)
	}
	c.commit(ed, !ed.isNew) // a change for WATCH, as in Redis, whether it was one or not
	c.reply.status("OK")
}

// A posOrder is what LPOS is asked for.
type posOrder struct {
	rank   int64 // the first match that counts, below zero from the end
	count  int64 // matches, 0 for all
	maxlen int64 // elements to be compared, 0 for all
	isMany bool  // COUNT was said
}

func (o *posOrder) parse(c *call, args [][]byte) bool {
	for ; len(args) > 0; args = args[2:] {
		if len(args) == 1 {
			c.reply.fail(errSyntax)
			return false
		}
		n, ok := parseInt(args[1])
		switch word := args[0]; {
		case isWord(word, "rank"):
			if !ok {
				c.reply.fail(errNotInteger)
				return false
			}
			if n == 0 {
				c.reply.fail("ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list")
				return false
			}
			o.rank = n
		case isWord(word, "count"):
			if !ok || n < 0 {
				c.reply.fail("ERR COUNT can't be negative")
				return false
			}
			o.count, o.isMany = n, true
		case isWord(word, "maxlen"):
			if !ok || n < 0 {
				c.reply.fail("ERR MAXLEN can't be negative")
				return false
			}
			o.maxlen = n
		default:
			c.reply.fail(errSyntax)
			return false
		}
	}
	return true
}

func lpos(c *call) {
	o := posOrder{rank: 1, count: 1}
	if !o.parse(c, c.args[3:]) {
		return
	}
	l, ok := find[*list](c, c.args[1])
	if !ok {
		return
	}
	skip := o.rank - 1
	if o.rank < 0 {
		skip = -(o.rank + 1)
	}
	var found []int64
	var compared int64
	l.walk(o.rank < 0, func(i int, s string) bool {
		if s == string(c.args[2]) {
			if skip--; skip < 0 {
				found = append(found, int64(i))
			}
		}
		compared++
		return compared != o.maxlen && (o.count == 0 || int64(len(found)) < o.count)
	})
	switch {
	case o.isMany:
		c.reply.array(len(found))
		for _, i := range found {
			c.reply.integer(i)
		}
	case len(found) > 0:
		c.reply.integer(found[0])
	default:
		c.reply.null()
	}
}
