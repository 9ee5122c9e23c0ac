package keyspace

import "math"

// rangeCommands are the commands of ranges of sorted sets.
func rangeCommands() []Command {
	return []Command{
		{
			Name: "zcount", Arity: 4, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly", "fast"}, Group: "sorted-set", Since: "2.0.0",
			Summary: "Count the members in a sorted set with scores within the given values",
			run:     countRange(byScore),
		},
		{
			Name: "zlexcount", Arity: 4, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly", "fast"}, Group: "sorted-set", Since: "2.8.9",
			Summary: "Count the number of members in a sorted set between a given lexicographical range",
			run:     countRange(byLex),
		},
		{
			Name: "zrange", Arity: -4, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly"}, Group: "sorted-set", Since: "1.2.0",
			Summary: "Return a range of members in a sorted set",
			run:     rangeOf(rangeForm{}),
		},
		{
			Name: "zrangestore", Arity: -5, Writes: true, FirstKey: 1, LastKey: 2, Step: 1,
			Flags: []string{"write", "denyoom"}, Group: "sorted-set", Since: "6.2.0",
			Summary: "Store a range of members from sorted set into another key",
			run:     zrangestore,
		},
		{
			Name: "zrevrange", Arity: -4, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly"}, Group: "sorted-set", Since: "1.2.0",
			Summary: "Return a range of members in a sorted set, by index, with scores ordered from high to low",
			run:     rangeOf(rangeForm{byRank, true}),
		},
		{
			Name: "zrangebyscore", Arity: -4, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly"}, Group: "sorted-set", Since: "1.0.5",
			Summary: "Return a range of members in a sorted set, by score",
			run:     rangeOf(rangeForm{byScore, false}),
		},
		{
			Name: "zrevrangebyscore", Arity: -4, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly"}, Group: "sorted-set", Since: "2.2.0",
			Summary: "Return a range of members in a sorted set, by score, with scores ordered from high to low",
			run:     rangeOf(rangeForm{byScore, true}),
		},
		{
			Name: "zrangebylex", Arity: -4, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly"}, Group: "sorted-set", Since: "2.8.9",
			Summary: "Return a range of members in a sorted set, by lexicographical range",
			run:     rangeOf(rangeForm{byLex, false}),
		},
		{
			Name: "zrevrangebylex", Arity: -4, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly"}, Group: "sorted-set", Since: "2.8.9",
			Summary: "Return a range of members in a sorted set, by lexicographical range, ordered from higher to lower strings.",
			run:     rangeOf(rangeForm{byLex, true}),
		},
		{
			Name: "zremrangebyrank", Arity: 4, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write"}, Group: "sorted-set", Since: "2.0.0",
			Summary: "Remove all members in a sorted set within the given indexes",
			run:     removeRange(byRank), frees: always,
		},
		{
			Name: "zremrangebyscore", Arity: 4, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write"}, Group: "sorted-set", Since: "1.2.0",
			Summary: "Remove all members in a sorted set within the given scores",
			run:     removeRange(byScore), frees: always,
		},
		{
			Name: "zremrangebylex", Arity: 4, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write"}, Group: "sorted-set", Since: "2.8.9",
			Summary: "Remove all members in a sorted set between the given lexicographical range",
			run:     removeRange(byLex), frees: always,
		},
	}
}

// A rangeKind says by what a range is told.
type rangeKind uint8

const (
	byAny rangeKind = iota // as the options say
	byRank
	byScore
	byLex
)

// A rangeForm is what the name of a command says of its range.
type rangeForm struct {
	kind      rangeKind
	isReverse bool
}

// A rangeOrder is what one of the ZRANGE family is asked for.
type rangeOrder struct {
	rangeForm
	withScores    bool
	offset, count int64 // count below zero: all
}

// rangeOf returns the function of ZRANGE or one of its older forms.
func rangeOf(form rangeForm) func(*call) {
	return func(c *call) {
		o, ok := c.rangeOrder(form, c.args[4:], false)
		if !ok {
			return
		}
		limits, ok := c.limits(o.rangeForm, c.args[2], c.args[3])
		if !ok {
			return
		}
		z, ok := find[*zset](c, c.args[1])
		if !ok {
			return
		}
		start, end := o.cut(limits(z))
		c.reply.pairs(end-start, o.withScores)
		z.each(start, end, o.isReverse, func(r ranked) {
			c.reply.pair(o.withScores)
			c.reply.bulkString(r.name)
			if o.withScores {
				c.reply.double(r.score)
			}
		})
	}
}

func zrangestore(c *call) {
	o, ok := c.rangeOrder(rangeForm{}, c.args[5:], true)
	if !ok {
		return
	}
	limits, ok := c.limits(o.rangeForm, c.args[3], c.args[4])
	if !ok {
		return
	}
	z, ok := find[*zset](c, c.args[2])
	if !ok {
		return
	}
	start, end := o.cut(limits(z))
	if end > start && c.isTight(nil) {
		c.refuse()
		return
	}
	result := &zset{}
	z.each(start, end, o.isReverse, func(r ranked) { result.set(c.space, []byte(r.name), r.score) })
	c.replace(c.args[1], result)
	c.reply.integer(int64(result.len()))
}

// rangeOrder reads the options.
func (c *call) rangeOrder(form rangeForm, args [][]byte, toStore bool) (o rangeOrder, ok bool) {
	o = rangeOrder{rangeForm: form, count: -1}
	for i := 0; i < len(args); i++ {
		switch word := args[i]; {
		case !toStore && isWord(word, "withscores"):
			o.withScores = true
		case isWord(word, "limit") && i+2 < len(args):
			if o.offset, o.count, ok = c.interval(args[i+1], args[i+2]); !ok {
				return o, false
			}
			i += 2
		case form.kind == byAny && isWord(word, "rev"):
			o.isReverse = true
		case o.kind == byAny && isWord(word, "bylex"):
			o.kind = byLex
		case o.kind == byAny && isWord(word, "byscore"):
			o.kind = byScore
		default:
			c.reply.fail(errSyntax)
			return o, false
		}
	}
	if o.kind == byAny {
		o.kind = byRank
	}
	switch {
	case o.count != -1 && o.kind == byRank:
		c.reply.fail("ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX")
		return o, false
	case o.withScores && o.kind == byLex:
		c.reply.fail("ERR syntax error, WITHSCORES not supported in combination with BYLEX")
		return o, false
	}
	return o, true
}

// cut applies LIMIT to a range of ranks.
func (o *rangeOrder) cut(start, end int) (int, int) {
	if o.kind == byRank || start >= end {
		return start, end
	}
	n := int64(end - start)
	if o.offset < 0 || o.offset >= n {
		return 0, 0
	}
	n -= o.offset
	if o.count >= 0 {
		n = min(n, o.count)
	}
	if o.isReverse {
		end -= int(o.offset)
		return end - int(n), end
	}
	start += int(o.offset)
	return start, start + int(n)
}

// limits reads the two ends of a range. The function that it returns tells
// the ranks that the range has in a sorted set, from start up to but not end.
func (c *call) limits(form rangeForm, first, last []byte) (func(*zset) (start, end int), bool) {
	if form.kind == byRank {
		from, to, ok := c.interval(first, last)
		return func(z *zset) (int, int) {
			start, end := span(from, to, z.len())
			if form.isReverse {
				start, end = z.len()-end, z.len()-start
			}
			return start, end
		}, ok
	}
	if form.isReverse {
		first, last = last, first
	}
	if form.kind == byLex {
		low, okLow := parseLex(first)
		high, okHigh := parseLex(last)
		if !okLow || !okHigh {
			c.reply.fail("ERR min or max not valid string range item")
			return nil, false
		}
		return func(z *zset) (int, int) { return z.lexRange(low, high) }, true
	}
	low, okLow := parseBound(first)
	high, okHigh := parseBound(last)
	if !okLow || !okHigh {
		c.reply.fail("ERR min or max is not a float")
		return nil, false
	}
	return func(z *zset) (int, int) { return z.scoreRange(low, high) }, true
}

// A bound is an end of a range of scores.
type bound struct {
	score  float64
	isOpen bool // the score itself is out
}

func parseBound(arg []byte) (b bound, ok bool) {
	if len(arg) > 0 && arg[0] == '(' {
		b.isOpen, arg = true, arg[1:]
	}
	b.score, ok, _ = scanDouble(arg)
	return b, ok && !math.IsNaN(b.score)
}

// scoreRange returns the ranks of the scores between low and high.
func (z *zset) scoreRange(low, high bound) (start, end int) {
	if z == nil {
		return 0, 0
	}
	start, _, _ = z.byScore.Search(func(r ranked) bool {
		return r.score < low.score || low.isOpen && r.score == low.score
	})
	end, _, _ = z.byScore.Search(func(r ranked) bool {
		return r.score < high.score || !high.isOpen && r.score == high.score
	})
	return start, max(start, end)
}

// A lexBound is an end of a range of names.
type lexBound struct {
	name   string
	isOpen bool // the name itself is out
	end    int  // -1 before all names, 1 behind them
}

func parseLex(arg []byte) (b lexBound, ok bool) {
	if len(arg) == 0 {
		return b, false
	}
	rest := arg[1:]
	switch arg[0] {
	case '-':
		return lexBound{end: -1}, len(rest) == 0
	case '+':
		return lexBound{end: 1}, len(rest) == 0
	case '[':
		return lexBound{name: string(rest)}, true
	case '(':
		return lexBound{name: string(rest), isOpen: true}, true
	}
	return b, false
}

// lexRange returns the ranks of the names between low and high. It has a
// meaning where all scores are equal.
func (z *zset) lexRange(low, high lexBound) (start, end int) {
	if z == nil {
		return 0, 0
	}
	start, _, _ = z.byScore.Search(func(r ranked) bool {
		return low.end > 0 || low.end == 0 && (r.name < low.name || low.isOpen && r.name == low.name)
	})
	end, _, _ = z.byScore.Search(func(r ranked) bool {
		return high.end > 0 || high.end == 0 && (r.name < high.name || !high.isOpen && r.name == high.name)
	})
	return start, max(start, end)
}

// countRange returns the function of ZCOUNT or ZLEXCOUNT.
func countRange(kind rangeKind) func(*call) {
	return func(c *call) {
		limits, ok := c.limits(rangeForm{kind: kind}, c.args[2], c.args[3])
		if !ok {
			return
		}
		if z, ok := find[*zset](c, c.args[1]); ok {
			start, end := limits(z)
			c.reply.integer(int64(end - start))
		}
	}
}

// removeRange returns the function of ZREMRANGEBYRANK or one of its relatives.
func removeRange(kind rangeKind) func(*call) {
	return func(c *call) {
		limits, ok := c.limits(rangeForm{kind: kind}, c.args[2], c.args[3])
		if !ok {
			return
		}
		ed, ok := c.edit(c.args[1], kindZSet)
		if !ok {
			return
		}
		z := ed.value.(*zset)
		start, end := limits(z)
		for range end - start {
			z.removeRank(c.space, start)
		}
		c.commit(ed, end > start)
		c.reply.integer(int64(end - start))
	}
}
