package keyspace

// setCommands are the commands of one set. Those of several are in algebra.go.
func setCommands() []Command {
	return []Command{
		{
			Name: "sadd", Arity: -3, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "denyoom", "fast"}, Group: "set", Since: "1.0.0",
			Summary: "Add one or more members to a set",
			run:     sadd,
		},
		{
			Name: "srem", Arity: -3, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "fast"}, Group: "set", Since: "1.0.0",
			Summary: "Remove one or more members from a set",
			run:     srem, frees: always,
		},
		{
			Name: "sismember", Arity: 3, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly", "fast"}, Group: "set", Since: "1.0.0",
			Summary: "Determine if a given value is a member of a set",
			run:     sismember,
		},
		{
			Name: "smismember", Arity: -3, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly", "fast"}, Group: "set", Since: "6.2.0",
			Summary: "Returns the membership associated with the given elements for a set",
			run:     smismember,
		},
		{
			Name: "smembers", Arity: 2, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly"}, Group: "set", Since: "1.0.0",
			Summary: "Get all the members in a set",
			run:     smembers,
		},
		{
			Name: "scard", Arity: 2, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly", "fast"}, Group: "set", Since: "1.0.0",
			Summary: "Get the number of members in a set",
			run:     scard,
		},
		{
			Name: "spop", Arity: -2, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "fast"}, Group: "set", Since: "1.0.0",
			Summary: "Remove and return one or multiple random members from a set",
			run:     spop, frees: always,
		},
		{
			Name: "srandmember", Arity: -2, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly"}, Group: "set", Since: "1.0.0",
			Summary: "Get one or multiple random members from a set",
			run:     srandmember,
		},
		{
			Name: "smove", Arity: 4, Writes: true, FirstKey: 1, LastKey: 2, Step: 1,
			Flags: []string{"write", "fast"}, Group: "set", Since: "1.0.0",
			Summary: "Move a member from one set to another",
			run:     smove,
		},
		{
			Name: "sscan", Arity: -3, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly"}, Group: "set", Since: "2.8.0",
			Summary: "Incrementally iterate Set elements",
			run:     sscan,
		},
	}
}

func sadd(c *call) {
	ed, ok := c.edit(c.args[1], kindSet)
	if !ok {
		return
	}
	v := ed.value.(*set)
	var n int64
	for _, name := range c.args[2:] {
		if v.add(c.space, name) {
			n++
		}
	}
	c.commit(ed, n > 0)
	c.reply.integer(n)
}

func srem(c *call) {
	ed, ok := c.edit(c.args[1], kindSet)
	if !ok {
		return
	}
	v := ed.value.(*set)
	var n int64
	for _, name := range c.args[2:] {
		if v.remove(c.space, name) {
			n++
		}
	}
	c.commit(ed, n > 0)
	c.reply.integer(n)
}

func sismember(c *call) {
	if v, ok := find[*set](c, c.args[1]); ok {
		c.reply.boolean(v.contains(c.space, c.args[2]))
	}
}

func smismember(c *call) {
	v, ok := find[*set](c, c.args[1])
	if !ok {
		return
	}
	names := c.args[2:]
	c.reply.array(len(names))
	for _, name := range names {
		c.reply.boolean(v.contains(c.space, name))
	}
}

func smembers(c *call) {
	if v, ok := find[*set](c, c.args[1]); ok {
		c.replyMembers(v)
	}
}

func (c *call) replyMembers(v *set) {
	c.reply.set(v.len())
	v.each(func(m member) bool {
		c.reply.bulkString(m.name)
		return true
	})
}

func scard(c *call) {
	if v, ok := find[*set](c, c.args[1]); ok {
		c.reply.integer(int64(v.len()))
	}
}

// popCount reads how many elements a pop may take.
func (c *call) popCount(arg []byte) (int, bool) {
	n, ok := parseInt(arg)
	if !ok || n < 0 {
		c.reply.fail("ERR value is out of range, must be positive")
		return 0, false
	}
	return int(n), true
}

func spop(c *call) {
	if len(c.args) > 3 {
		c.reply.fail(errSyntax)
		return
	}
	hasCount, n := len(c.args) == 3, 1
	if hasCount {
		var ok bool
		if n, ok = c.popCount(c.args[2]); !ok {
			return
		}
	}
	ed, ok := c.edit(c.args[1], kindSet)
	if !ok {
		return
	}
	v := ed.value.(*set)
	n = min(n, v.len())
	switch {
	case hasCount:
		c.reply.set(n)
	case n == 0:
		c.reply.null()
	}
	for range n {
		c.reply.bulkString(v.removeAt(c.random(v.len())).name)
	}
	c.commit(ed, n > 0)
}

func srandmember(c *call) {
	if len(c.args) > 3 {
		c.reply.fail(errSyntax)
		return
	}
	o, ok := c.picking("")
	if !ok {
		return
	}
	v, ok := find[*set](c, c.args[1])
	if !ok {
		return
	}
	if v == nil {
		c.replyNoPick(o)
		return
	}
	replyPicks(c, o, &v.members, func(m member, _ bool) { c.reply.bulkString(m.name) })
}

func smove(c *call) {
	from := c.own(c.args[1])
	if from == nil {
		c.reply.integer(0)
		return
	}
	to := c.own(c.args[2])
	if from.value.kind() != kindSet || to != nil && to.value.kind() != kindSet {
		c.reply.fail(errWrongType)
		return
	}
	v, name := from.value.(*set), c.args[3]
	isMember := v.contains(c.space, name)
	c.reply.boolean(isMember)
	if !isMember || from == to {
		return
	}
	ed := c.open(from, c.args[1], kindSet)
	ed.value.(*set).remove(c.space, name)
	c.commit(ed, true)
	ed = c.open(to, c.args[2], kindSet)
	c.commit(ed, ed.value.(*set).add(c.space, name))
}

func sscan(c *call) {
	cursor, ok := c.cursor(c.args[2])
	if !ok {
		return
	}
	v, ok := find[*set](c, c.args[1])
	if !ok {
		return
	}
	if v == nil {
		c.replyNoScan()
		return
	}
	scanTree(c, cursor, &v.members, v.encoding() == "intset", func(members []member) {
		c.reply.array(len(members))
		for _, m := range members {
			c.reply.bulkString(m.name)
		}
	})
}
