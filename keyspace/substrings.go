package keyspace

import (
	"bytes"
	"slices"
)

// substringCommands are the commands of parts of strings.
func substringCommands() []Command {
	return []Command{
		{
			Name: "setrange", Arity: 4, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "denyoom"}, Group: "string", Since: "2.2.0",
			Summary: "Overwrite part of a string at key starting at the specified offset",
			run:     setrange,
		},
		{
			Name: "getrange", Arity: 4, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly"}, Group: "string", Since: "2.4.0",
			Summary: "Get a substring of the string stored at a key",
			run:     getrange,
		},
		{
			Name: "substr", Arity: 4, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly"}, Group: "string", Since: "1.0.0",
			Summary: "Get a substring of the string stored at a key",
			run:     getrange,
		},
		{
			Name: "incrbyfloat", Arity: 3, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "denyoom", "fast"}, Group: "string", Since: "2.6.0",
			Summary: "Increment the float value of a key by the given amount",
			run:     incrbyfloat,
		},
		{
			Name: "lcs", Arity: -3, FirstKey: 1, LastKey: 2, Step: 1,
			Flags: []string{"readonly"}, Group: "string", Since: "7.0.0",
			Summary: "Find longest common substring",
			run:     lcs,
		},
	}
}

// maxGrowth bounds the zeros that one short command may put into a string.
// Redis has no bound but the length of the whole; here the string goes to
// every node.
const maxGrowth = 64 << 20

const errTooLong = "ERR string exceeds maximum allowed size (proto-max-bulk-len)"

// extended returns the string of e, nil if e is, with zeros behind it so that
// it has size bytes, to be changed in place and stored with put. It is false,
// and answered, where it must not grow.
func (c *call) extended(e *entry, size int64) (t text, ok bool) {
	old := textOf(e)
	length := int64(len(old))
	if size > maxText || size-length > maxGrowth {
		c.reply.fail(errTooLong)
		return nil, false
	}
	if c.isRefused(e, max(size, length), endOf(e)) {
		return nil, false
	}
	t = c.ownText(e)
	if size > length {
		t = append(t, make([]byte, size-length)...)
	}
	return t, true
}

// endOf returns when an entry ends, never if there is none.
func endOf(e *entry) expiry {
	if e == nil {
		return expiry{}
	}
	return e.expiry
}

func setrange(c *call) {
	offset, ok := parseInt(c.args[2])
	if !ok {
		c.reply.fail(errNotInteger)
		return
	}
	if offset < 0 {
		c.reply.fail("ERR offset is out of range")
		return
	}
	key, val := c.args[1], c.args[3]
	e := c.own(key)
	if !c.isText(e) {
		return
	}
	if len(val) == 0 {
		c.reply.integer(int64(len(textOf(e))))
		return
	}
	if offset > maxText {
		c.reply.fail(errTooLong)
		return
	}
	t, ok := c.extended(e, offset+int64(len(val)))
	if !ok {
		return
	}
	copy(t[offset:], val)
	c.put(e, key, t, endOf(e))
	c.reply.integer(int64(len(t)))
}

// getrange is GETRANGE and SUBSTR. An end that is still before the string when
// it was counted from behind is its first byte, as in Redis.
func getrange(c *call) {
	first, last, ok := c.interval(c.args[2], c.args[3])
	if !ok {
		return
	}
	e := c.read(c.args[1])
	if !c.isText(e) {
		return
	}
	t := textOf(e)
	start, end := clamp(first, last, len(t))
	if isInverted(first, last) {
		end = start
	}
	c.reply.bulk(t[start:end])
}

// isInverted reports whether two indexes that count from behind mean nothing,
// though clamp may make them equal.
func isInverted(first, last int64) bool { return first < 0 && last < 0 && first > last }

// clamp returns the positions from start up to but not end that two indexes
// mean in a string of n bytes or bits.
func clamp(first, last int64, n int) (start, end int) {
	if n == 0 {
		return 0, 0
	}
	size := int64(n)
	if first < 0 {
		first = max(first+size, 0)
	}
	if last < 0 {
		last = max(last+size, 0)
	}
	last = min(last, size-1)
	if first > last {
		return 0, 0
	}
	return int(first), int(last) + 1
}

func incrbyfloat(c *call) {
	key := c.args[1]
	e := c.own(key)
	if !c.isText(e) {
		return
	}
	sum, ok := &long{}, true
	if e != nil {
		sum, ok = parseLong(textOf(e))
	}
	n, isFloat := parseLong(c.args[2])
	if !ok || !isFloat {
		c.reply.fail(errNotFloat)
		return
	}
	sum.SetPrec(longPrecision)
	if !sum.add(n) {
		c.reply.fail(errNotFinite)
		return
	}
	val := text(sum.text())
	if c.isRefused(e, val.size(), endOf(e)) {
		return
	}
	c.put(e, key, val, endOf(e))
	c.reply.bulk(val)
}

// lcsOptions are the options of LCS.
type lcsOptions struct {
	length, indexes, withLength bool
	least                       int64 // shorter matches are not told
}

func (o *lcsOptions) parse(c *call, args [][]byte) bool {
	for i := 0; i < len(args); i++ {
		switch word := args[i]; {
		case isWord(word, "idx"):
			o.indexes = true
		case isWord(word, "len"):
			o.length = true
		case isWord(word, "withmatchlen"):
			o.withLength = true
		case isWord(word, "minmatchlen") && i+1 < len(args):
			i++
			var ok bool
			if o.least, ok = parseInt(args[i]); !ok {
				c.reply.fail(errNotInteger)
				return false
			}
		default:
			c.reply.fail(errSyntax)
			return false
		}
	}
	if o.length && o.indexes {
		c.reply.fail("ERR If you want both the length and indexes, please just use IDX.")
		return false
	}
	return true
}

// maxLCS bounds the table of LCS, in numbers of four bytes.
const maxLCS = 16 << 20

func lcs(c *call) {
	a, b := c.read(c.args[1]), c.read(c.args[2])
	for _, e := range []*entry{a, b} {
		if e != nil && e.value.kind() != kindString {
			c.reply.fail("ERR The specified keys must contain string values")
			return
		}
	}
	var o lcsOptions
	if !o.parse(c, c.args[3:]) {
		return
	}
	x, y := textOf(a), textOf(b)
	if int64(len(x)+1)*int64(len(y)+1) > maxLCS {
		c.reply.fail("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len")
		return
	}
	table := newLCS(x, y)
	switch {
	case o.length:
		c.reply.integer(int64(table.at(len(x), len(y))))
	case o.indexes:
		c.replyMatches(&o, table)
	default:
		var common []byte
		for _, m := range table.matches() {
			common = append(common, bytes.Clone(x[m.a:m.a+m.length])...)
		}
		c.reply.bulk(common)
	}
}

// An lcsTable holds the length of the longest common subsequence of each two
// beginnings of two strings.
type lcsTable struct {
	x, y    []byte
	lengths []uint32
}

func newLCS(x, y []byte) *lcsTable {
	t := &lcsTable{x: x, y: y, lengths: make([]uint32, (len(x)+1)*(len(y)+1))}
	width := len(y) + 1
	for i := range x {
		for j := range y {
			if x[i] == y[j] {
				t.lengths[(i+1)*width+j+1] = t.lengths[i*width+j] + 1
			} else {
				t.lengths[(i+1)*width+j+1] = max(t.lengths[i*width+j+1], t.lengths[(i+1)*width+j])
			}
		}
	}
	return t
}

func (t *lcsTable) at(i, j int) uint32 { return t.lengths[i*(len(t.y)+1)+j] }

// A match is a run of bytes that both strings have.
type match struct{ a, b, length int }

// matches returns the runs of a longest common subsequence from the first to
// the last. Which one, where there are several, is as in Redis.
func (t *lcsTable) matches() (all []match) {
	var run match
	for i, j := len(t.x), len(t.y); i > 0 && j > 0; {
		if t.x[i-1] == t.y[j-1] {
			i, j = i-1, j-1
			run = match{i, j, run.length + 1}
			if i > 0 && j > 0 {
				continue
			}
		} else if t.at(i-1, j) > t.at(i, j-1) {
			i--
		} else {
			j--
		}
		if run.length > 0 {
			all = append(all, run)
			run = match{}
		}
	}
	slices.Reverse(all)
	return all
}

// replyMatches tells the last match first.
func (c *call) replyMatches(o *lcsOptions, t *lcsTable) {
	matches := t.matches()
	n := 0
	for _, m := range matches {
		if int64(m.length) >= o.least {
			n++
		}
	}
	c.reply.mapping(2)
	c.reply.bulkString("matches")
	c.reply.array(n)
	for _, m := range slices.Backward(matches) {
		if int64(m.length) < o.least {
			continue
		}
		c.reply.array(2 + btoi(o.withLength))
		for _, start := range []int{m.a, m.b} {
			c.reply.array(2)
			c.reply.integer(int64(start))
			c.reply.integer(int64(start + m.length - 1))
		}
		if o.withLength {
			c.reply.integer(int64(m.length))
		}
	}
	c.reply.bulkString("len")
	c.reply.integer(int64(t.at(len(t.x), len(t.y))))
}
