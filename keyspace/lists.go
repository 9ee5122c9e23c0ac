package keyspace

// listCommands are the commands of the ends of lists. Those of what is between
// are in listinside.go.
func listCommands() []Command {
	return []Command{
		{
			Name: "lpush", Arity: -3, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "denyoom", "fast"}, Group: "list", Since: "1.0.0",
			Summary: "Prepend one or multiple elements to a list",
			run:     push(true, false),
		},
		{
			Name: "rpush", Arity: -3, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "denyoom", "fast"}, Group: "list", Since: "1.0.0",
			Summary: "Append one or multiple elements to a list",
			run:     push(false, false),
		},
		{
			Name: "lpushx", Arity: -3, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "denyoom", "fast"}, Group: "list", Since: "2.2.0",
			Summary: "Prepend an element to a list, only if the list exists",
			run:     push(true, true),
		},
		{
			Name: "rpushx", Arity: -3, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "denyoom", "fast"}, Group: "list", Since: "2.2.0",
			Summary: "Append an element to a list, only if the list exists",
			run:     push(false, true),
		},
		{
			Name: "lpop", Arity: -2, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "fast"}, Group: "list", Since: "1.0.0",
			Summary: "Remove and get the first elements in a list",
			run:     pop(true), frees: always,
		},
		{
			Name: "rpop", Arity: -2, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "fast"}, Group: "list", Since: "1.0.0",
			Summary: "Remove and get the last elements in a list",
			run:     pop(false), frees: always,
		},
		{
			Name: "lmove", Arity: 5, Writes: true, FirstKey: 1, LastKey: 2, Step: 1,
			Flags: []string{"write", "denyoom"}, Group: "list", Since: "6.2.0",
			Summary: "Pop an element from a list, push it to another list and return it",
			run:     lmove,
		},
		{
			Name: "rpoplpush", Arity: 3, Writes: true, FirstKey: 1, LastKey: 2, Step: 1,
			Flags: []string{"write", "denyoom"}, Group: "list", Since: "1.2.0",
			Summary: "Remove the last element in a list, prepend it to another list and return it",
			run:     rpoplpush,
		},
		{
			Name: "lmpop", Arity: -4, Writes: true,
			Flags: []string{"write", "movablekeys"}, Group: "list", Since: "7.0.0",
			Summary: "Pop elements from a list",
			run:     lmpop, frees: always, keys: numberedKeys(1),
		},
	}
}

// push returns the function of LPUSH or one of its relatives. With ifThere
// nothing is pushed where there is no list.
func push(isLeft, ifThere bool) func(*call) {
	return func(c *call) {
		if ifThere {
			if l, ok := find[*list](c, c.args[1]); !ok || l == nil {
				if ok {
					c.reply.integer(0)
				}
				return
			}
		}
		ed, ok := c.edit(c.args[1], kindList)
		if !ok {
			return
		}
		l := ed.value.(*list)
		for _, s := range c.args[2:] {
			l.push(string(s), isLeft)
		}
		c.commit(ed, true)
		c.reply.integer(int64(l.len()))
	}
}

// pop returns the function of LPOP or RPOP.
func pop(isLeft bool) func(*call) {
	return func(c *call) {
		if len(c.args) > 3 {
			c.failArity()
			return
		}
		hasCount, n := len(c.args) == 3, 1
		if hasCount {
			var ok bool
			if n, ok = c.popCount(c.args[2]); !ok {
				return
			}
		}
		ed, ok := c.edit(c.args[1], kindList)
		if !ok {
			return
		}
		l := ed.value.(*list)
		switch {
		case l.len() == 0 && hasCount:
			c.reply.nullArray()
		case l.len() == 0:
			c.reply.null()
		case hasCount:
			c.popList(ed, isLeft, n)
		default:
			c.reply.bulkString(l.pop(isLeft))
			c.commit(ed, true)
		}
	}
}

// popList answers with at most n elements, which it takes out.
func (c *call) popList(ed edit, isLeft bool, n int) {
	l := ed.value.(*list)
	n = min(n, l.len())
	c.reply.array(n)
	for range n {
		c.reply.bulkString(l.pop(isLeft))
	}
	c.commit(ed, n > 0)
}

// side reads LEFT or RIGHT.
func (c *call) side(arg []byte) (isLeft, ok bool) {
	switch {
	case isWord(arg, "left"):
		return true, true
	case isWord(arg, "right"):
		return false, true
	}
	c.reply.fail(errSyntax)
	return false, false
}

func lmove(c *call) {
	fromLeft, ok := c.side(c.args[3])
	if !ok {
		return
	}
	toLeft, ok := c.side(c.args[4])
	if !ok {
		return
	}
	c.moveElement(fromLeft, toLeft)
}

func rpoplpush(c *call) { c.moveElement(false, true) }

// moveElement is LMOVE. Both keys may be one.
func (c *call) moveElement(fromLeft, toLeft bool) {
	from, to := c.own(c.args[1]), c.own(c.args[2])
	switch {
	case from == nil:
		c.reply.null()
		return
	case from.value.kind() != kindList || to != nil && to.value.kind() != kindList:
		c.reply.fail(errWrongType)
		return
	case from != to && c.isTight(to):
		c.refuse()
		return
	}
	source := c.open(from, c.args[1], kindList)
	l := source.value.(*list)
	s := l.pop(fromLeft)
	c.reply.bulkString(s)
	if from == to {
		l.push(s, toLeft)
		c.commit(source, true)
		return
	}
	c.commit(source, true)
	target := c.open(to, c.args[2], kindList)
	target.value.(*list).push(s, toLeft)
	c.commit(target, true)
}

// lmpop pops from the first of the lists that is there.
func lmpop(c *call) {
	keys, side, options, ok := c.popMany(c.args)
	if !ok {
		return
	}
	isLeft, ok := c.side(side)
	if !ok {
		return
	}
	count, ok := c.popOptions(options)
	if !ok {
		return
	}
	for _, key := range keys {
		if c.popListOf(key, isLeft, count) {
			return
		}
	}
	c.reply.nullArray()
}

// popListOf answers with a key and at most count elements of its list. It is
// false where there is none, and nothing is answered.
func (c *call) popListOf(key []byte, isLeft bool, count int) (done bool) {
	ed, ok := c.edit(key, kindList)
	switch {
	case !ok:
		return true
	case ed.isNew:
		return false
	}
	c.reply.array(2)
	c.reply.bulk(key)
	c.popList(ed, isLeft, count)
	return true
}

// popMany parts the arguments of LMPOP and ZMPOP into the keys, the word
// behind them, and the options.
func (c *call) popMany(args [][]byte) (keys [][]byte, where []byte, options [][]byte, ok bool) {
	n, ok := parseInt(args[1])
	rest := args[2:]
	switch {
	case !ok || n < 1:
		c.reply.fail("ERR numkeys should be greater than 0")
	case n >= int64(len(rest)):
		c.reply.fail(errSyntax)
	default:
		return rest[:n], rest[n], rest[n+1:], true
	}
	return nil, nil, nil, false
}

// popOptions reads COUNT, which may be said once.
func (c *call) popOptions(options [][]byte) (count int, ok bool) {
	switch {
	case len(options) == 0:
		return 1, true
	case len(options) == 1 || !isWord(options[0], "count"):
		c.reply.fail(errSyntax)
		return 0, false
	}
	n, ok := parseInt(options[1])
	switch {
	case !ok || n < 1:
		c.reply.fail("ERR count should be greater than 0")
		return 0, false
	case len(options) > 2:
		c.reply.fail(errSyntax)
		return 0, false
	}
	return int(n), true
}
