package keyspace

import (
	"cmp"
	"slices"
)

// algebraCommands are the commands that put sets together.
func algebraCommands() []Command {
	return []Command{
		{
			Name: "sinter", Arity: -2, FirstKey: 1, LastKey: -1, Step: 1,
			Flags: []string{"readonly"}, Group: "set", Since: "1.0.0",
			Summary: "Intersect multiple sets",
			run:     combine(inter),
		},
		{
			Name: "sinterstore", Arity: -3, Writes: true, FirstKey: 1, LastKey: -1, Step: 1,
			Flags: []string{"write", "denyoom"}, Group: "set", Since: "1.0.0",
			Summary: "Intersect multiple sets and store the resulting set in a key",
			run:     combineInto(inter),
		},
		{
			Name: "sintercard", Arity: -3,
			Flags: []string{"readonly", "movablekeys"}, Group: "set", Since: "7.0.0",
			Summary: "Intersect multiple sets and return the cardinality of the result",
			run:     sintercard, keys: numberedKeys(1),
		},
		{
			Name: "sunion", Arity: -2, FirstKey: 1, LastKey: -1, Step: 1,
			Flags: []string{"readonly"}, Group: "set", Since: "1.0.0",
			Summary: "Add multiple sets",
			run:     combine(union),
		},
		{
			Name: "sunionstore", Arity: -3, Writes: true, FirstKey: 1, LastKey: -1, Step: 1,
			Flags: []string{"write", "denyoom"}, Group: "set", Since: "1.0.0",
			Summary: "Add multiple sets and store the resulting set in a key",
			run:     combineInto(union),
		},
		{
			Name: "sdiff", Arity: -2, FirstKey: 1, LastKey: -1, Step: 1,
			Flags: []string{"readonly"}, Group: "set", Since: "1.0.0",
			Summary: "Subtract multiple sets",
			run:     combine(diff),
		},
		{
			Name: "sdiffstore", Arity: -3, Writes: true, FirstKey: 1, LastKey: -1, Step: 1,
			Flags: []string{"write", "denyoom"}, Group: "set", Since: "1.0.0",
			Summary: "Subtract multiple sets and store the resulting set in a key",
			run:     combineInto(diff),
		},
	}
}

// sets returns the sets of keys, nil where there is none. All of them must be
// sets, also where the first is enough to tell the answer.
func (c *call) sets(keys [][]byte) (all []*set, ok bool) {
	for _, key := range keys {
		v, ok := find[*set](c, key)
		if !ok {
			return nil, false
		}
		all = append(all, v)
	}
	return all, true
}

// intersect calls visit for what is in all sets, as long as it returns true.
func intersect(all []*set, visit func(member) bool) {
	smallest := slices.MinFunc(all, func(a, b *set) int { return cmp.Compare(a.len(), b.len()) })
	smallest.each(func(m member) bool {
		for _, v := range all {
			if !v.has(m) {
				return true
			}
		}
		return visit(m)
	})
}

func inter(all []*set) *set {
	result := &set{}
	intersect(all, func(m member) bool {
		result.insert(result.len(), m)
		return true
	})
	return result
}

func union(all []*set) *set {
	result := &set{}
	for _, v := range all {
		v.each(func(m member) bool {
			result.include(m)
			return true
		})
	}
	return result
}

func diff(all []*set) *set {
	result := &set{}
	all[0].each(func(m member) bool {
		if !slices.ContainsFunc(all[1:], func(v *set) bool { return v.has(m) }) {
			result.insert(result.len(), m)
		}
		return true
	})
	return result
}

// combine returns the function of SINTER or one of its relatives.
func combine(with func([]*set) *set) func(*call) {
	return func(c *call) {
		if all, ok := c.sets(c.args[1:]); ok {
			c.replyMembers(with(all))
		}
	}
}

// combineInto returns the function of SINTERSTORE or one of its relatives.
func combineInto(with func([]*set) *set) func(*call) {
	return func(c *call) {
		all, ok := c.sets(c.args[2:])
		if !ok {
			return
		}
		result := with(all)
		if result.len() > 0 && c.isTight(nil) {
			c.refuse()
			return
		}
		c.replace(c.args[1], result)
		c.reply.integer(int64(result.len()))
	}
}

func sintercard(c *call) {
	keys, options, ok := c.numbered(1)
	if !ok {
		return
	}
	limit, ok := c.limit(options)
	if !ok {
		return
	}
	all, ok := c.sets(keys)
	if !ok {
		return
	}
	var n int64
	intersect(all, func(member) bool {
		n++
		return n != limit
	})
	c.reply.integer(n)
}

// numbered parts the arguments from position at on, where the number of keys
// is, into keys and what follows.
func (c *call) numbered(at int) (keys, options [][]byte, ok bool) {
	n, ok := parseInt(c.args[at])
	rest := c.args[at+1:]
	switch {
	case !ok || n < 1:
		c.reply.fail("ERR numkeys should be greater than 0")
	case n > int64(len(rest)):
		c.reply.fail("ERR Number of keys can't be greater than number of args")
	default:
		return rest[:n], rest[n:], true
	}
	return nil, nil, false
}

// limit reads LIMIT, which may be said again; 0 is none.
func (c *call) limit(options [][]byte) (limit int64, ok bool) {
	for ; len(options) > 0; options = options[2:] {
		if len(options) < 2 || !isWord(options[0], "limit") {
			c.reply.fail(errSyntax)
			return 0, false
		}
		if limit, ok = parseInt(options[1]); !ok || limit < 0 {
			c.reply.fail("ERR LIMIT can't be negative")
			return 0, false
		}
	}
	return limit, true
}
