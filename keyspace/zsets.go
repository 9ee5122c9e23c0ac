package keyspace

import "math"

// zsetCommands are the commands of single members of sorted sets.
func zsetCommands() []Command {
	return []Command{
		{
			Name: "zadd", Arity: -4, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "denyoom", "fast"}, Group: "sorted-set", Since: "1.2.0",
			Summary: "Add one or more members to a sorted set, or update its score if it already exists",
			run:     zadd,
		},
		{
			Name: "zincrby", Arity: 4, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "denyoom", "fast"}, Group: "sorted-set", Since: "1.2.0",
			Summary: "Increment the score of a member in a sorted set",
			run:     zincrby,
		},
		{
			Name: "zrem", Arity: -3, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "fast"}, Group: "sorted-set", Since: "1.2.0",
			Summary: "Remove one or more members from a sorted set",
			run:     zrem, frees: always,
		},
		{
			Name: "zscore", Arity: 3, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly", "fast"}, Group: "sorted-set", Since: "1.2.0",
			Summary: "Get the score associated with the given member in a sorted set",
			run:     zscore,
		},
		{
			Name: "zmscore", Arity: -3, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly", "fast"}, Group: "sorted-set", Since: "6.2.0",
			Summary: "Get the score associated with the given members in a sorted set",
			run:     zmscore,
		},
		{
			Name: "zcard", Arity: 2, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly", "fast"}, Group: "sorted-set", Since: "1.2.0",
			Summary: "Get the number of members in a sorted set",
			run:     zcard,
		},
		{
			Name: "zrank", Arity: 3, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly", "fast"}, Group: "sorted-set", Since: "2.0.0",
			Summary: "Determine the index of a member in a sorted set",
			run:     rank(false),
		},
		{
			Name: "zrevrank", Arity: 3, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly", "fast"}, Group: "sorted-set", Since: "2.0.0",
			Summary: "Determine the index of a member in a sorted set, with scores ordered from high to low",
			run:     rank(true),
		},
		{
			Name: "zpopmin", Arity: -2, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "fast"}, Group: "sorted-set", Since: "5.0.0",
			Summary: "Remove and return members with the lowest scores in a sorted set",
			run:     popRanked(false), frees: always,
		},
		{
			Name: "zpopmax", Arity: -2, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "fast"}, Group: "sorted-set", Since: "5.0.0",
			Summary: "Remove and return members with the highest scores in a sorted set",
			run:     popRanked(true), frees: always,
		},
		{
			Name: "zmpop", Arity: -4, Writes: true,
			Flags: []string{"write", "movablekeys"}, Group: "sorted-set", Since: "7.0.0",
			Summary: "Remove and return members with scores in a sorted set",
			run:     zmpop, frees: always, keys: numberedKeys(1),
		},
		{
			Name: "zrandmember", Arity: -2, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly"}, Group: "sorted-set", Since: "6.2.0",
			Summary: "Get one or multiple random elements from a sorted set",
			run:     zrandmember,
		},
		{
			Name: "zscan", Arity: -3, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly"}, Group: "sorted-set", Since: "2.8.0",
			Summary: "Incrementally iterate sorted sets elements and associated scores",
			run:     zscan,
		},
	}
}

// addOptions are the options of ZADD.
type addOptions struct {
	nx, xx, gt, lt bool
	ch, incr       bool
}

// parse reads the options and returns what follows.
func (o *addOptions) parse(args [][]byte) (rest [][]byte) {
	for i, arg := range args {
		switch {
		case isWord(arg, "nx"):
			o.nx = true
		case isWord(arg, "xx"):
			o.xx = true
		case isWord(arg, "gt"):
			o.gt = true
		case isWord(arg, "lt"):
			o.lt = true
		case isWord(arg, "ch"):
			o.ch = true
		case isWord(arg, "incr"):
			o.incr = true
		default:
			return args[i:]
		}
	}
	return nil
}

// fault returns what is wrong with the options for so many arguments.
func (o *addOptions) fault(args int) string {
	switch {
	case args == 0 || args%2 != 0:
		return errSyntax
	case o.nx && o.xx:
		return "ERR XX and NX options at the same time are not compatible"
	case o.gt && o.nx, o.lt && o.nx, o.gt && o.lt:
		return "ERR GT, LT, and/or NX options at the same time are not compatible"
	case o.incr && args > 2:
		return "ERR INCR option supports a single increment-element pair"
	}
	return ""
}

func zadd(c *call) {
	var o addOptions
	pairs := o.parse(c.args[2:])
	if fault := o.fault(len(pairs)); fault != "" {
		c.reply.fail(fault)
		return
	}
	c.addScores(&o, pairs)
}

func zincrby(c *call) { c.addScores(&addOptions{incr: true}, c.args[2:]) }

// addScores is ZADD with its options read.
func (c *call) addScores(o *addOptions, pairs [][]byte) {
	scores := make([]float64, 0, 4)
	for i := 0; i < len(pairs); i += 2 {
		score, ok := parseDouble(pairs[i])
		if !ok {
			c.reply.fail(errNotFloat)
			return
		}
		scores = append(scores, score)
	}
	ed, ok := c.edit(c.args[1], kindZSet)
	if !ok {
		return
	}
	z := ed.value.(*zset)
	var added, updated int64
	for i, score := range scores {
		switch c.addScore(z, o, pairs[2*i+1], score) {
		case scoreAdded:
			added++
		case scoreUpdated:
			updated++
		}
	}
	c.commit(ed, added+updated > 0)
	if o.ch {
		added += updated
	}
	if !o.incr {
		c.reply.integer(added)
	}
}

// A scoreChange is what became of one member of ZADD.
type scoreChange uint8

const (
	scoreSame scoreChange = iota
	scoreAdded
	scoreUpdated
)

// addScore is ZADD of one member. With INCR it answers.
func (c *call) addScore(z *zset, o *addOptions, name []byte, score float64) scoreChange {
	old, found := z.score(c.space, name)
	if found && o.incr {
		score = old + score
	}
	if math.IsNaN(score) {
		c.reply.fail("ERR resulting score is not a number (NaN)")
		return scoreSame
	}
	mayBe := !o.xx
	if found {
		mayBe = !o.nx && !(o.lt && score >= old) && !(o.gt && score <= old)
	}
	switch {
	case o.incr && mayBe:
		c.reply.double(score)
	case o.incr:
		c.reply.null()
	}
	if !mayBe || found && score == old {
		return scoreSame
	}
	z.set(c.space, name, score)
	if found {
		return scoreUpdated
	}
	return scoreAdded
}

func zrem(c *call) {
	ed, ok := c.edit(c.args[1], kindZSet)
	if !ok {
		return
	}
	z := ed.value.(*zset)
	var n int64
	for _, name := range c.args[2:] {
		if z.remove(c.space, name) {
			n++
		}
	}
	c.commit(ed, n > 0)
	c.reply.integer(n)
}

func (c *call) replyScore(z *zset, name []byte) {
	if score, found := z.score(c.space, name); found {
		c.reply.double(score)
	} else {
		c.reply.null()
	}
}

func zscore(c *call) {
	if z, ok := find[*zset](c, c.args[1]); ok {
		c.replyScore(z, c.args[2])
	}
}

func zmscore(c *call) {
	z, ok := find[*zset](c, c.args[1])
	if !ok {
		return
	}
	names := c.args[2:]
	c.reply.array(len(names))
	for _, name := range names {
		c.replyScore(z, name)
	}
}

func zcard(c *call) {
	if z, ok := find[*zset](c, c.args[1]); ok {
		c.reply.integer(int64(z.len()))
	}
}

// rank returns the function of ZRANK or ZREVRANK.
func rank(isReverse bool) func(*call) {
	return func(c *call) {
		z, ok := find[*zset](c, c.args[1])
		if !ok {
			return
		}
		score, found := z.score(c.space, c.args[2])
		if !found {
			c.reply.null()
			return
		}
		i := z.rank(score, string(c.args[2]))
		if isReverse {
			i = z.len() - 1 - i
		}
		c.reply.integer(int64(i))
	}
}

// popRanked returns the function of ZPOPMIN or ZPOPMAX.
func popRanked(isMax bool) func(*call) {
	return func(c *call) {
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
		ed, ok := c.edit(c.args[1], kindZSet)
		if !ok {
			return
		}
		n = min(n, ed.value.(*zset).len())
		if hasCount {
			c.reply.pairs(n, true)
		} else {
			c.reply.array(2 * n)
		}
		c.popScores(ed, isMax, n, hasCount)
	}
}

// popScores takes n members out of a sorted set that has so many, and writes
// them as pairs.
func (c *call) popScores(ed edit, isMax bool, n int, isPair bool) {
	z := ed.value.(*zset)
	for range n {
		rank := 0
		if isMax {
			rank = z.len() - 1
		}
		c.reply.pair(isPair)
		r := z.removeRank(c.space, rank)
		c.reply.bulkString(r.name)
		c.reply.double(r.score)
	}
	c.commit(ed, n > 0)
}

func zmpop(c *call) {
	keys, where, options, ok := c.popMany(c.args)
	if !ok {
		return
	}
	isMax, ok := c.extreme(where)
	if !ok {
		return
	}
	count, ok := c.popOptions(options)
	if !ok {
		return
	}
	for _, key := range keys {
		if c.popScoresOf(key, isMax, count) {
			return
		}
	}
	c.reply.nullArray()
}

func zrandmember(c *call) {
	o, ok := c.picking("withscores")
	if !ok {
		return
	}
	z, ok := find[*zset](c, c.args[1])
	if !ok {
		return
	}
	if z == nil {
		c.replyNoPick(o)
		return
	}
	replyPicks(c, o, &z.byScore, func(r ranked, isPair bool) {
		c.reply.bulkString(r.name)
		if isPair {
			c.reply.double(r.score)
		}
	})
}

func zscan(c *call) {
	cursor, ok := c.cursor(c.args[2])
	if !ok {
		return
	}
	z, ok := find[*zset](c, c.args[1])
	if !ok {
		return
	}
	if z == nil {
		c.replyNoScan()
		return
	}
	scanTree(c, cursor, &z.byName, z.encoding() == "listpack", func(members []scored) {
		c.reply.array(2 * len(members))
		for _, m := range members {
			c.reply.bulkString(m.name)
			c.reply.bulk(appendDouble(nil, m.score))
		}
	})
}
