package keyspace

// renameCommands are the commands that put keys elsewhere.
func renameCommands() []Command {
	return []Command{
		{
			Name: "rename", Arity: 3, Writes: true, FirstKey: 1, LastKey: 2, Step: 1,
			Flags: []string{"write"}, Group: "generic", Since: "1.0.0",
			Summary: "Rename a key",
			run:     renameKey(false),
		},
		{
			Name: "renamenx", Arity: 3, Writes: true, FirstKey: 1, LastKey: 2, Step: 1,
			Flags: []string{"write", "fast"}, Group: "generic", Since: "1.0.0",
			Summary: "Rename a key, only if the new key does not exist",
			run:     renameKey(true),
		},
		{
			Name: "copy", Arity: -3, Writes: true, FirstKey: 1, LastKey: 2, Step: 1,
			Flags: []string{"write", "denyoom"}, Group: "generic", Since: "6.2.0",
			Summary: "Copy a key",
			run:     copyKey,
		},
		{
			Name: "move", Arity: 3, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "fast"}, Group: "generic", Since: "1.0.0",
			Summary: "Move a key to another database",
			run:     moveKey,
		},
		{
			Name: "swapdb", Arity: 3, Writes: true,
			Flags: []string{"write", "fast"}, Group: "server", Since: "4.0.0",
			Summary: "Swaps two Redis databases",
			run:     swapdb,
		},
	}
}

const (
	errSameObject = "ERR source and destination objects are the same"
	errNoDatabase = "ERR DB index is out of range"
)

// within runs do as if the database at index were selected.
func (c *call) within(index int, do func()) {
	was := c.index
	c.index, c.db = index, c.space.dbs[index]
	do()
	c.index, c.db = was, c.space.dbs[was]
}

// renameKey returns the function of RENAME or, with ifAbsent, RENAMENX.
func renameKey(ifAbsent bool) func(*call) {
	return func(c *call) {
		from := c.own(c.args[1])
		if from == nil {
			c.reply.fail(errNoKey)
			return
		}
		isMoved := string(c.args[1]) != string(c.args[2])
		if to := c.own(c.args[2]); isMoved && to != nil {
			if isMoved = !ifAbsent; isMoved {
				c.remove(to)
			}
		}
		if isMoved {
			c.remove(from)
			other := *from
			other.key = string(c.args[2])
			c.place(nil, &other)
			c.notify(noticeRenameFrom, c.args[1])
			c.notify(noticeRenameTo, c.args[2])
		}
		if ifAbsent {
			c.reply.boolean(isMoved)
		} else {
			c.reply.status("OK")
		}
	}
}

// database reads the index of a database.
func (c *call) database(arg []byte) (index int, ok bool) {
	n, ok := parseInt(arg)
	switch {
	case !ok:
		c.reply.fail(errNotInteger)
	case n < 0 || n >= Databases:
		c.reply.fail(errNoDatabase)
		ok = false
	}
	return int(n), ok
}

func copyKey(c *call) {
	index, isReplace := c.index, false
	for args := c.args[3:]; len(args) > 0; {
		switch {
		case isWord(args[0], "replace"):
			isReplace, args = true, args[1:]
		case isWord(args[0], "db") && len(args) > 1:
			var ok bool
			if index, ok = c.database(args[1]); !ok {
				return
			}
			args = args[2:]
		default:
			c.reply.fail(errSyntax)
			return
		}
	}
	if index == c.index && string(c.args[1]) == string(c.args[2]) {
		c.reply.fail(errSameObject)
		return
	}
	from := c.own(c.args[1])
	if from == nil {
		c.reply.integer(0)
		return
	}
	c.within(index, func() {
		to := c.own(c.args[2])
		if to != nil && !isReplace {
			c.reply.integer(0)
			return
		}
		if c.isRefused(to, from.value.size(), from.expiry) {
			return
		}
		c.put(to, c.args[2], from.value.copy(), from.expiry)
		c.notify(noticeCopyTo, c.args[2])
		c.reply.integer(1)
	})
}

func moveKey(c *call) {
	index, ok := c.database(c.args[2])
	if !ok {
		return
	}
	if index == c.index {
		c.reply.fail(errSameObject)
		return
	}
	from := c.own(c.args[1])
	isMoved := false
	c.within(index, func() { isMoved = from != nil && c.own(c.args[1]) == nil })
	if isMoved {
		c.remove(from)
		other := *from
		c.notify(noticeMoveFrom, c.args[1])
		c.within(index, func() {
			c.place(nil, &other)
			c.notify(noticeMoveTo, c.args[1])
		})
	}
	c.reply.boolean(isMoved)
}

func swapdb(c *call) {
	a, ok := parseInt(c.args[1])
	if !ok {
		c.reply.fail("ERR invalid first DB index")
		return
	}
	b, ok := parseInt(c.args[2])
	if !ok {
		c.reply.fail("ERR invalid second DB index")
		return
	}
	if min(a, b) < 0 || max(a, b) >= Databases {
		c.reply.fail(errNoDatabase)
		return
	}
	if a != b {
		c.swap(int(a), int(b))
	}
	c.reply.status("OK")
}

// swap exchanges two databases. Their deadlines are known to the shell by the
// database, so all of them are taken out, and put in again: one by one a key
// of one database would take out that of the other.
func (c *call) swap(a, b int) {
	dbs := &c.space.dbs
	c.eachDeadline(a, func(key []byte, e *entry) { c.tx.Deadline(key, e.deadline, 0) })
	c.eachDeadline(b, func(key []byte, e *entry) { c.tx.Deadline(key, e.deadline, 0) })
	dbs[a], dbs[b] = dbs[b], dbs[a]
	c.eachDeadline(a, func(key []byte, e *entry) { c.tx.Deadline(key, 0, e.deadline) })
	c.eachDeadline(b, func(key []byte, e *entry) { c.tx.Deadline(key, 0, e.deadline) })
	dbs[a].swapped, dbs[b].swapped = c.change(), c.change()
	c.flushed(a)
	c.flushed(b)
	c.signalDatabase(a)
	c.signalDatabase(b)
	c.db = dbs[c.index]
}

// eachDeadline calls visit for all keys of a database that have an end, each
// as the shell knows it.
func (c *call) eachDeadline(index int, visit func(key []byte, e *entry)) {
	c.space.dbs[index].tree.Scan(func(it item) bool {
		if it.entry.isSet() {
			visit(deadlineKey(index, it.entry.key), it.entry)
		}
		return true
	})
}
