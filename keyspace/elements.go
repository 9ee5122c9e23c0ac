package keyspace

import (
	"math"
	"strconv"

	"github.com/huddlecache/huddle/keyspace/internal/tree"
)

// maxPicks bounds how many elements may be drawn with repetition. Redis has no
// bound but its client's buffer; here one command must not fill memory.
const maxPicks = 1 << 20

const errOutOfRange = "ERR value is out of range"

// scanTree is HSCAN, SSCAN and ZSCAN: it walks the tree in its order, as scan
// does a database, and answers with what put writes. A collection that Redis
// would keep in one piece is returned whole: clients rely on it.
func scanTree[T named](c *call, cursor uint64, t *tree.Tree[T], isWhole bool, put func([]T)) {
	o := scanOptions{count: 10}
	if !o.parse(c, c.args[3:]) {
		return
	}
	if isWhole {
		o.count, cursor = math.MaxInt64, 0
	}
	from, _, _ := t.Search(func(item T) bool { return item.id().hash < cursor })
	var items []T
	var examined int64
	var last, next uint64
	t.Ascend(from, func(item T) bool {
		m := item.id()
		if examined >= o.count && m.hash != last {
			next = last + 1
			return false
		}
		examined++
		last = m.hash
		if o.takes(m.name) {
			items = append(items, item)
		}
		return true
	})
	c.reply.array(2)
	c.reply.bulkString(strconv.FormatUint(next, 10))
	put(items)
}

// replyNoScan answers a scan of what is not there.
func (c *call) replyNoScan() {
	c.reply.array(2)
	c.reply.bulkString("0")
	c.reply.array(0)
}

// A pickOrder is what HRANDFIELD and its relatives are asked for.
type pickOrder struct {
	hasCount  bool
	count     int64 // negative: elements may come more than once
	withPairs bool  // with the value or score
}

// picking reads the arguments behind the key. pairs is the option that asks
// for pairs, empty where there is none.
func (c *call) picking(pairs string) (o pickOrder, ok bool) {
	args := c.args[2:]
	if len(args) == 0 {
		return o, true
	}
	o.hasCount = true
	if o.count, ok = parseInt(args[0]); !ok {
		c.reply.fail(errNotInteger)
		return o, false
	}
	if o.count == math.MinInt64 {
		c.reply.fail("ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807")
		return o, false
	}
	if len(args) > 1 {
		if pairs == "" || len(args) > 2 || !isWord(args[1], pairs) {
			c.reply.fail(errSyntax)
			return o, false
		}
		o.withPairs = true
		if o.count < -(math.MaxInt64/2) || o.count > math.MaxInt64/2 {
			c.reply.fail(errOutOfRange)
			return o, false
		}
	}
	return o, true
}

// replyNoPick answers where there is nothing to pick from.
func (c *call) replyNoPick(o pickOrder) {
	if o.hasCount {
		c.reply.array(0)
	} else {
		c.reply.null()
	}
}

// replyPicks answers with random items of a tree that is not empty, each
// written by put: its name, and with isPair what belongs to it.
func replyPicks[T any](c *call, o pickOrder, t *tree.Tree[T], put func(item T, isPair bool)) {
	if !o.hasCount {
		put(t.At(c.random(t.Len())), false)
		return
	}
	if o.count < -maxPicks {
		c.reply.fail(errOutOfRange)
		return
	}
	n := int(min(max(o.count, -o.count), int64(t.Len())))
	if o.count < 0 {
		n = int(-o.count)
	}
	c.reply.pairs(n, o.withPairs)
	each := func(item T) bool {
		c.reply.pair(o.withPairs)
		put(item, o.withPairs)
		return true
	}
	switch {
	case o.count < 0:
		for range n {
			each(t.At(c.random(t.Len())))
		}
	case n == t.Len():
		t.Ascend(0, each)
	default:
		for _, i := range c.draw(t.Len(), n) {
			each(t.At(i))
		}
	}
}

// draw returns k different numbers below n (Floyd's algorithm: Bentley, A
// sample of brilliance, 1987).
func (c *call) draw(n, k int) []int {
	drawn := make([]int, 0, k)
	isDrawn := make(map[int]bool, k)
	for top := n - k; top < n; top++ {
		i := c.random(top + 1)
		if isDrawn[i] {
			i = top
		}
		isDrawn[i] = true
		drawn = append(drawn, i)
	}
	return drawn
}
