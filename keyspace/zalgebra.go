package keyspace

import (
	"cmp"
	"math"
	"slices"
)

// zalgebraCommands are the commands that put sorted sets together.
func zalgebraCommands() []Command {
	return []Command{
		{
			Name: "zunion", Arity: -3,
			Flags: []string{"readonly", "movablekeys"}, Group: "sorted-set", Since: "6.2.0",
			Summary: "Add multiple sorted sets",
			run:     zcombine((*zcombination).union, zform{}), keys: numberedKeys(1),
		},
		{
			Name: "zinter", Arity: -3,
			Flags: []string{"readonly", "movablekeys"}, Group: "sorted-set", Since: "6.2.0",
			Summary: "Intersect multiple sorted sets",
			run:     zcombine((*zcombination).inter, zform{}), keys: numberedKeys(1),
		},
		{
			Name: "zdiff", Arity: -3,
			Flags: []string{"readonly", "movablekeys"}, Group: "sorted-set", Since: "6.2.0",
			Summary: "Subtract multiple sorted sets",
			run:     zcombine((*zcombination).diff, zform{isDiff: true}), keys: numberedKeys(1),
		},
		{
			Name: "zunionstore", Arity: -4, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "denyoom", "movablekeys"}, Group: "sorted-set", Since: "2.0.0",
			Summary: "Add multiple sorted sets and store the resulting sorted set in a new key",
			run:     zcombineInto((*zcombination).union, zform{}), keys: numberedKeys(2),
		},
		{
			Name: "zinterstore", Arity: -4, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "denyoom", "movablekeys"}, Group: "sorted-set", Since: "2.0.0",
			Summary: "Intersect multiple sorted sets and store the resulting sorted set in a new key",
			run:     zcombineInto((*zcombination).inter, zform{}), keys: numberedKeys(2),
		},
		{
			Name: "zdiffstore", Arity: -4, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "denyoom", "movablekeys"}, Group: "sorted-set", Since: "6.2.0",
			Summary: "Subtract multiple sorted sets and store the resulting sorted set in a new key",
			run:     zcombineInto((*zcombination).diff, zform{isDiff: true}), keys: numberedKeys(2),
		},
		{
			Name: "zintercard", Arity: -3,
			Flags: []string{"readonly", "movablekeys"}, Group: "sorted-set", Since: "7.0.0",
			Summary: "Intersect multiple sorted sets and return the cardinality of the result",
			run:     zintercard, keys: numberedKeys(1),
		},
	}
}

// A source is a set or sorted set that goes into another: at most one of both
// is there. The members of a set have the score 1.
type source struct {
	zset   *zset
	set    *set
	weight float64
}

func (s *source) len() int { return max(s.zset.len(), s.set.len()) }

// each calls visit for all members, as long as it returns true.
func (s *source) each(visit func(m member, score float64) bool) {
	if s.zset != nil {
		s.zset.byName.Ascend(0, func(m scored) bool { return visit(m.member, m.score) })
	}
	s.set.each(func(m member) bool { return visit(m, 1) })
}

func (s *source) score(m member) (float64, bool) {
	if s.zset != nil {
		return s.zset.scoreOf(m)
	}
	return 1, s.set.has(m)
}

// weigh returns a score as it counts: what is no number is zero.
func (s *source) weigh(score float64) float64 {
	weighed := float64(s.weight * score) // rounded, so that no machine adds in the same step
	if math.IsNaN(weighed) {
		return 0
	}
	return weighed
}

// An aggregate makes one score of two.
type aggregate func(a, b float64) float64

func aggregateSum(a, b float64) float64 {
	sum := a + b
	if math.IsNaN(sum) {
		return 0 // of two infinities
	}
	return sum
}

func aggregateMin(a, b float64) float64 {
	if b < a {
		return b
	}
	return a
}

func aggregateMax(a, b float64) float64 {
	if b > a {
		return b
	}
	return a
}

// A zcombination is what ZUNION or one of its relatives is asked for.
type zcombination struct {
	sources    []source
	aggregate  aggregate
	withScores bool
	limit      int64
}

// A zform is what the name of a command says of its options.
type zform struct {
	isDiff  bool // neither WEIGHTS nor AGGREGATE
	isStore bool // no WITHSCORES
	isCard  bool // LIMIT alone
}

// combination reads the arguments from position at on, where the number of
// keys is.
func (c *call) combination(at int, form zform) (z zcombination, ok bool) {
	n, ok := parseInt(c.args[at])
	rest := c.args[at+1:]
	switch {
	case !ok:
		c.reply.fail(errNotInteger)
		return z, false
	case n < 1:
		c.reply.fail("ERR at least 1 input key is needed for '" + c.cmd.Name + "' command")
		return z, false
	case n > int64(len(rest)):
		c.reply.fail(errSyntax)
		return z, false
	}
	for _, key := range rest[:n] {
		s := source{weight: 1}
		if e := c.read(key); e != nil {
			s.zset, _ = e.value.(*zset)
			s.set, _ = e.value.(*set)
			if s.zset == nil && s.set == nil {
				c.reply.fail(errWrongType)
				return z, false
			}
		}
		z.sources = append(z.sources, s)
	}
	z.aggregate = aggregateSum
	for args := rest[n:]; len(args) > 0; {
		var fault string
		if args, fault = z.option(args, form); fault != "" {
			c.reply.fail(fault)
			return z, false
		}
	}
	return z, true
}

// option reads one option, and returns what follows or what is wrong.
func (z *zcombination) option(args [][]byte, form zform) (rest [][]byte, fault string) {
	isFold := !form.isDiff && !form.isCard
	switch word := args[0]; {
	case isFold && isWord(word, "weights") && len(args) > len(z.sources):
		for i := range z.sources {
			weight, ok := parseDouble(args[i+1])
			if !ok {
				return nil, "ERR weight value is not a float"
			}
			z.sources[i].weight = weight
		}
		return args[len(z.sources)+1:], ""
	case isFold && isWord(word, "aggregate") && len(args) > 1:
		switch how := args[1]; {
		case isWord(how, "sum"):
			z.aggregate = aggregateSum
		case isWord(how, "min"):
			z.aggregate = aggregateMin
		case isWord(how, "max"):
			z.aggregate = aggregateMax
		default:
			return nil, errSyntax
		}
		return args[2:], ""
	case !form.isStore && !form.isCard && isWord(word, "withscores"):
		z.withScores = true
		return args[1:], ""
	case form.isCard && isWord(word, "limit") && len(args) > 1:
		var ok bool
		if z.limit, ok = parseInt(args[1]); !ok || z.limit < 0 {
			return nil, "ERR LIMIT can't be negative"
		}
		return args[2:], ""
	}
	return nil, errSyntax
}

// sort puts the smallest source first, as Redis does: sums of floating-point
// numbers depend on the order.
func (z *zcombination) sort() {
	slices.SortStableFunc(z.sources, func(a, b source) int { return cmp.Compare(a.len(), b.len()) })
}

func (z *zcombination) union() *zset {
	z.sort()
	result := &zset{}
	for i := range z.sources {
		s := &z.sources[i]
		s.each(func(m member, score float64) bool {
			score = s.weigh(score)
			if old, found := result.scoreOf(m); found {
				score = z.aggregate(old, score)
			}
			result.put(m.hash, []byte(m.name), score)
			return true
		})
	}
	return result
}

// intersect calls visit for what is in all sources, as long as it returns true.
func (z *zcombination) intersect(visit func(m member, score float64) bool) {
	z.sort()
	first := &z.sources[0]
	first.each(func(m member, score float64) bool {
		sum := first.weigh(score)
		for i := range z.sources[1:] {
			other := &z.sources[i+1]
			score, found := other.score(m)
			if !found {
				return true
			}
			sum = z.aggregate(sum, float64(other.weight*score))
		}
		return visit(m, sum)
	})
}

func (z *zcombination) inter() *zset {
	result := &zset{}
	z.intersect(func(m member, score float64) bool {
		result.put(m.hash, []byte(m.name), score)
		return true
	})
	return result
}

func (z *zcombination) diff() *zset {
	result := &zset{}
	z.sources[0].each(func(m member, score float64) bool {
		for i := range z.sources[1:] {
			if _, found := z.sources[i+1].score(m); found {
				return true
			}
		}
		result.put(m.hash, []byte(m.name), score)
		return true
	})
	return result
}

// zcombine returns the function of ZUNION or one of its relatives.
func zcombine(with func(*zcombination) *zset, form zform) func(*call) {
	return func(c *call) {
		z, ok := c.combination(1, form)
		if !ok {
			return
		}
		result := with(&z)
		c.reply.pairs(result.len(), z.withScores)
		result.each(0, result.len(), false, func(r ranked) {
			c.reply.pair(z.withScores)
			c.reply.bulkString(r.name)
			if z.withScores {
				c.reply.double(r.score)
			}
		})
	}
}

// zcombineInto returns the function of ZUNIONSTORE or one of its relatives.
func zcombineInto(with func(*zcombination) *zset, form zform) func(*call) {
	form.isStore = true
	return func(c *call) {
		z, ok := c.combination(2, form)
		if !ok {
			return
		}
		result := with(&z)
		if result.len() > 0 && c.isTight(nil) {
			c.refuse()
			return
		}
		c.replace(c.args[1], result)
		c.reply.integer(int64(result.len()))
	}
}

func zintercard(c *call) {
	z, ok := c.combination(1, zform{isCard: true})
	if !ok {
		return
	}
	var n int64
	z.intersect(func(member, float64) bool {
		n++
		return n != z.limit
	})
	c.reply.integer(n)
}
