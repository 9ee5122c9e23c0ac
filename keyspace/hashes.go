package keyspace

import "strconv"

// hashCommands are the commands of the hashes.
func hashCommands() []Command {
	return []Command{
		{
			Name: "hset", Arity: -4, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "denyoom", "fast"}, Group: "hash", Since: "2.0.0",
			Summary: "Set the string value of a hash field",
			run:     hset,
		},
		{
			Name: "hsetnx", Arity: 4, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "denyoom", "fast"}, Group: "hash", Since: "2.0.0",
			Summary: "Set the value of a hash field, only if the field does not exist",
			run:     hsetnx,
		},
		{
			Name: "hmset", Arity: -4, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "denyoom", "fast"}, Group: "hash", Since: "2.0.0",
			Summary: "Set multiple hash fields to multiple values",
			run:     hmset,
		},
		{
			Name: "hget", Arity: 3, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly", "fast"}, Group: "hash", Since: "2.0.0",
			Summary: "Get the value of a hash field",
			run:     hget,
		},
		{
			Name: "hmget", Arity: -3, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly", "fast"}, Group: "hash", Since: "2.0.0",
			Summary: "Get the values of all the given hash fields",
			run:     hmget,
		},
		{
			Name: "hgetall", Arity: 2, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly"}, Group: "hash", Since: "2.0.0",
			Summary: "Get all the fields and values in a hash",
			run:     hgetall,
		},
		{
			Name: "hdel", Arity: -3, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "fast"}, Group: "hash", Since: "2.0.0",
			Summary: "Delete one or more hash fields",
			run:     hdel, frees: always,
		},
		{
			Name: "hexists", Arity: 3, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly", "fast"}, Group: "hash", Since: "2.0.0",
			Summary: "Determine if a hash field exists",
			run:     hexists,
		},
		{
			Name: "hlen", Arity: 2, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly", "fast"}, Group: "hash", Since: "2.0.0",
			Summary: "Get the number of fields in a hash",
			run:     hlen,
		},
		{
			Name: "hkeys", Arity: 2, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly"}, Group: "hash", Since: "2.0.0",
			Summary: "Get all the fields in a hash",
			run:     hkeys,
		},
		{
			Name: "hvals", Arity: 2, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly"}, Group: "hash", Since: "2.0.0",
			Summary: "Get all the values in a hash",
			run:     hvals,
		},
		{
			Name: "hincrby", Arity: 4, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "denyoom", "fast"}, Group: "hash", Since: "2.0.0",
			Summary: "Increment the integer value of a hash field by the given number",
			run:     hincrby,
		},
		{
			Name: "hincrbyfloat", Arity: 4, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "denyoom", "fast"}, Group: "hash", Since: "2.6.0",
			Summary: "Increment the float value of a hash field by the given amount",
			run:     hincrbyfloat,
		},
		{
			Name: "hstrlen", Arity: 3, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly", "fast"}, Group: "hash", Since: "3.2.0",
			Summary: "Get the length of the value of a hash field",
			run:     hstrlen,
		},
		{
			Name: "hrandfield", Arity: -2, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly"}, Group: "hash", Since: "6.2.0",
			Summary: "Get one or multiple random fields from a hash",
			run:     hrandfield,
		},
		{
			Name: "hscan", Arity: -3, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly"}, Group: "hash", Since: "2.8.0",
			Summary: "Incrementally iterate hash fields and associated values",
			run:     hscan,
		},
	}
}

// setFields is HSET and HMSET; it returns how many fields are new.
func (c *call) setFields() (added int64, ok bool) {
	pairs := c.args[2:]
	if len(pairs)%2 != 0 {
		c.failArity()
		return 0, false
	}
	ed, ok := c.edit(c.args[1], kindHash)
	if !ok {
		return 0, false
	}
	h := ed.value.(*hash)
	for i := 0; i < len(pairs); i += 2 {
		if h.set(c.space, pairs[i], pairs[i+1]) {
			added++
		}
	}
	c.commit(ed, true)
	return added, true
}

func hset(c *call) {
	if added, ok := c.setFields(); ok {
		c.reply.integer(added)
	}
}

func hmset(c *call) {
	if _, ok := c.setFields(); ok {
		c.reply.status("OK")
	}
}

func hsetnx(c *call) {
	ed, ok := c.edit(c.args[1], kindHash)
	if !ok {
		return
	}
	h := ed.value.(*hash)
	if _, found := h.get(c.space, c.args[2]); found {
		c.reply.integer(0)
		return
	}
	h.set(c.space, c.args[2], c.args[3])
	c.commit(ed, true)
	c.reply.integer(1)
}

func (c *call) replyField(h *hash, name []byte) {
	if val, found := h.get(c.space, name); found {
		c.reply.bulkString(val)
	} else {
		c.reply.null()
	}
}

func hget(c *call) {
	if h, ok := find[*hash](c, c.args[1]); ok {
		c.replyField(h, c.args[2])
	}
}

func hmget(c *call) {
	h, ok := find[*hash](c, c.args[1])
	if !ok {
		return
	}
	names := c.args[2:]
	c.reply.array(len(names))
	for _, name := range names {
		c.replyField(h, name)
	}
}

func hgetall(c *call) {
	h, ok := find[*hash](c, c.args[1])
	if !ok {
		return
	}
	c.reply.mapping(h.len())
	h.each(func(f field) {
		c.reply.bulkString(f.name)
		c.reply.bulkString(f.value)
	})
}

func hkeys(c *call) {
	h, ok := find[*hash](c, c.args[1])
	if !ok {
		return
	}
	c.reply.array(h.len())
	h.each(func(f field) { c.reply.bulkString(f.name) })
}

func hvals(c *call) {
	h, ok := find[*hash](c, c.args[1])
	if !ok {
		return
	}
	c.reply.array(h.len())
	h.each(func(f field) { c.reply.bulkString(f.value) })
}

// each calls visit for all fields, of which nil has none.
func (h *hash) each(visit func(field)) {
	if h == nil {
		return
	}
	h.fields.Ascend(0, func(f field) bool {
		visit(f)
		return true
	})
}

func hdel(c *call) {
	ed, ok := c.edit(c.args[1], kindHash)
	if !ok {
		return
	}
	h := ed.value.(*hash)
	var n int64
	for _, name := range c.args[2:] {
		if h.remove(c.space, name) {
			n++
		}
	}
	c.commit(ed, n > 0)
	c.reply.integer(n)
}

func hexists(c *call) {
	if h, ok := find[*hash](c, c.args[1]); ok {
		_, found := h.get(c.space, c.args[2])
		c.reply.boolean(found)
	}
}

func hlen(c *call) {
	if h, ok := find[*hash](c, c.args[1]); ok {
		c.reply.integer(int64(h.len()))
	}
}

func hstrlen(c *call) {
	if h, ok := find[*hash](c, c.args[1]); ok {
		val, _ := h.get(c.space, c.args[2])
		c.reply.integer(int64(len(val)))
	}
}

func hincrby(c *call) {
	n, ok := parseInt(c.args[3])
	if !ok {
		c.reply.fail(errNotInteger)
		return
	}
	ed, ok := c.edit(c.args[1], kindHash)
	if !ok {
		return
	}
	h := ed.value.(*hash)
	var sum int64
	if val, found := h.get(c.space, c.args[2]); found {
		if sum, ok = parseInt([]byte(val)); !ok {
			c.reply.fail("ERR hash value is not an integer")
			return
		}
	}
	if sum, ok = addInt(sum, n); !ok {
		c.reply.fail(errOverflow)
		return
	}
	h.set(c.space, c.args[2], strconv.AppendInt(nil, sum, 10))
	c.commit(ed, true)
	c.reply.integer(sum)
}

func hincrbyfloat(c *call) {
	n, ok := parseLong(c.args[3])
	if !ok {
		c.reply.fail(errNotFloat)
		return
	}
	if n.IsInf() {
		c.reply.fail("ERR value is NaN or Infinity")
		return
	}
	ed, ok := c.edit(c.args[1], kindHash)
	if !ok {
		return
	}
	h := ed.value.(*hash)
	sum := n
	if val, found := h.get(c.space, c.args[2]); found {
		if sum, ok = parseLong([]byte(val)); !ok {
			c.reply.fail("ERR hash value is not a float")
			return
		}
		ok = sum.add(n)
	}
	if !ok {
		c.reply.fail(errNotFinite)
		return
	}
	text := sum.text()
	h.set(c.space, c.args[2], text)
	c.commit(ed, true)
	c.reply.bulk(text)
}

func hscan(c *call) {
	cursor, ok := c.cursor(c.args[2])
	if !ok {
		return
	}
	h, ok := find[*hash](c, c.args[1])
	if !ok {
		return
	}
	if h == nil {
		c.replyNoScan()
		return
	}
	scanTree(c, cursor, &h.fields, h.encoding() == "listpack", func(fields []field) {
		c.reply.array(2 * len(fields))
		for _, f := range fields {
			c.reply.bulkString(f.name)
			c.reply.bulkString(f.value)
		}
	})
}

func hrandfield(c *call) {
	o, ok := c.picking("withvalues")
	if !ok {
		return
	}
	h, ok := find[*hash](c, c.args[1])
	if !ok {
		return
	}
	if h == nil {
		c.replyNoPick(o)
		return
	}
	replyPicks(c, o, &h.fields, func(f field, isPair bool) {
		c.reply.bulkString(f.name)
		if isPair {
			c.reply.bulkString(f.value)
		}
	})
}
