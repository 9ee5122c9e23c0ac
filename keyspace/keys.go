package keyspace

// keyCommands are the commands of keys of any kind.
func keyCommands() []Command {
	return []Command{
		{
			Name: "del", Arity: -2, Writes: true, FirstKey: 1, LastKey: -1, Step: 1,
			Flags: []string{"write"}, Group: "generic", Since: "1.0.0",
			Summary: "Delete a key",
			run:     del, frees: always,
		},
		{
			Name: "unlink", Arity: -2, Writes: true, FirstKey: 1, LastKey: -1, Step: 1,
			Flags: []string{"write", "fast"}, Group: "generic", Since: "4.0.0",
			Summary: "Delete a key asynchronously in another thread. Otherwise it is just as DEL, but non blocking.",
			run:     del, frees: always,
		},
		{
			Name: "exists", Arity: -2, FirstKey: 1, LastKey: -1, Step: 1,
			Flags: []string{"readonly", "fast"}, Group: "generic", Since: "1.0.0",
			Summary: "Determine if a key exists",
			run:     exists,
		},
		{
			Name: "touch", Arity: -2, FirstKey: 1, LastKey: -1, Step: 1,
			Flags: []string{"readonly", "fast"}, Group: "generic", Since: "3.2.1",
			Summary: "Alters the last access time of a key(s). Returns the number of existing keys specified.",
			run:     exists,
		},
		{
			Name: "type", Arity: 2, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly", "fast"}, Group: "generic", Since: "1.0.0",
			Summary: "Determine the type stored at key",
			run:     typeOf,
		},
	}
}

// del is DEL and UNLINK: values are freed by Go's collector, so neither waits
// for it.
func del(c *call) {
	var n int64
	for _, key := range c.args[1:] {
		if e := c.own(key); e != nil {
			c.discard(e)
			n++
		}
	}
	c.reply.integer(n)
}

// exists is EXISTS and TOUCH: nothing is evicted, so there is no time of last
// use to renew. A key that is named twice counts twice.
func exists(c *call) {
	var n int64
	for _, key := range c.args[1:] {
		if c.read(key) != nil {
			n++
		}
	}
	c.reply.integer(n)
}

func typeOf(c *call) {
	e := c.read(c.args[1])
	if e == nil {
		c.reply.status("none")
		return
	}
	c.reply.status(e.value.kind().String())
}
