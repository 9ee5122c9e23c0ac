package keyspace

import "math/bits"

// bitCommands are the commands of bits in strings.
func bitCommands() []Command {
	return []Command{
		{
			Name: "setbit", Arity: 4, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "denyoom"}, Group: "bitmap", Since: "2.2.0",
			Summary: "Sets or clears the bit at offset in the string value stored at key",
			run:     setbit,
		},
		{
			Name: "getbit", Arity: 3, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly", "fast"}, Group: "bitmap", Since: "2.2.0",
			Summary: "Returns the bit value at offset in the string value stored at key",
			run:     getbit,
		},
		{
			Name: "bitcount", Arity: -2, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly"}, Group: "bitmap", Since: "2.6.0",
			Summary: "Count set bits in a string",
			run:     bitcount,
		},
		{
			Name: "bitpos", Arity: -3, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly"}, Group: "bitmap", Since: "2.8.7",
			Summary: "Find first bit set or clear in a string",
			run:     bitpos,
		},
		{
			Name: "bitop", Arity: -4, Writes: true, FirstKey: 2, LastKey: -1, Step: 1,
			Flags: []string{"write", "denyoom"}, Group: "bitmap", Since: "2.6.0",
			Summary: "Perform bitwise operations between strings",
			run:     bitop,
		},
	}
}

const errBitOffset = "ERR bit offset is not an integer or out of range"

// bitOffset reads the position of a bit, from the highest of the first byte
// on. With a # in front, where width is not 0, it counts in fields of so many.
func (c *call) bitOffset(arg []byte, width int) (at int64, ok bool) {
	factor := int64(1)
	if width > 0 && len(arg) > 0 && arg[0] == '#' {
		arg, factor = arg[1:], int64(width)
	}
	at, ok = parseInt(arg)
	if !ok || at < 0 || at > maxText*8/factor || at*factor>>3 >= maxText {
		c.reply.fail(errBitOffset)
		return 0, false
	}
	return at * factor, true
}

func (t text) bit(at int64) int {
	if at>>3 >= int64(len(t)) {
		return 0
	}
	return int(t[at>>3] >> (7 - at&7) & 1)
}

func (t text) setBit(at int64, bit int) {
	mask := byte(1) << (7 - at&7)
	if bit == 0 {
		t[at>>3] &^= mask
	} else {
		t[at>>3] |= mask
	}
}

func setbit(c *call) {
	at, ok := c.bitOffset(c.args[2], 0)
	if !ok {
		return
	}
	bit, ok := parseInt(c.args[3])
	if !ok || bit&^1 != 0 {
		c.reply.fail("ERR bit is not an integer or out of range")
		return
	}
	e := c.own(c.args[1])
	if !c.isText(e) {
		return
	}
	t, ok := c.extended(e, at>>3+1)
	if !ok {
		return
	}
	c.reply.integer(int64(t.bit(at)))
	t.setBit(at, int(bit))
	c.put(e, c.args[1], t, endOf(e))
}

func getbit(c *call) {
	at, ok := c.bitOffset(c.args[2], 0)
	if !ok {
		return
	}
	if e := c.read(c.args[1]); c.isText(e) {
		c.reply.integer(int64(textOf(e).bit(at)))
	}
}

// unit reads BIT or BYTE.
func (c *call) unit(arg []byte) (isBit, ok bool) {
	switch {
	case isWord(arg, "bit"):
		return true, true
	case isWord(arg, "byte"):
		return false, true
	}
	c.reply.fail(errSyntax)
	return false, false
}

// bitRange returns the bits from start up to but not end that two indexes mean.
func (t text) bitRange(first, last int64, isBit bool) (start, end int64) {
	n, unit := len(t), int64(8)
	if isBit {
		n, unit = 8*n, 1
	}
	from, to := clamp(first, last, n)
	return int64(from) * unit, int64(to) * unit
}

func bitcount(c *call) {
	e := c.read(c.args[1])
	if e == nil {
		c.reply.integer(0)
		return
	}
	if !c.isText(e) {
		return
	}
	first, last, isBit := int64(0), int64(-1), false
	switch len(c.args) {
	case 2:
	case 4, 5:
		var ok bool
		if first, last, ok = c.interval(c.args[2], c.args[3]); !ok {
			return
		}
		if isInverted(first, last) {
			c.reply.integer(0) // whatever follows
			return
		}
		if len(c.args) == 5 {
			if isBit, ok = c.unit(c.args[4]); !ok {
				return
			}
		}
	default:
		c.reply.fail(errSyntax)
		return
	}
	t := textOf(e)
	start, end := t.bitRange(first, last, isBit)
	c.reply.integer(t.count(start, end))
}

// count returns how many bits are set from start up to but not end.
func (t text) count(start, end int64) (n int64) {
	for ; start < end && start&7 != 0; start++ {
		n += int64(t.bit(start))
	}
	for ; start+8 <= end; start += 8 {
		n += int64(bits.OnesCount8(t[start>>3]))
	}
	for ; start < end; start++ {
		n += int64(t.bit(start))
	}
	return n
}

func bitpos(c *call) {
	bit, ok := parseInt(c.args[2])
	if !ok {
		c.reply.fail(errNotInteger)
		return
	}
	if bit&^1 != 0 {
		c.reply.fail("ERR The bit argument must be 1 or 0.")
		return
	}
	e := c.read(c.args[1])
	if e == nil {
		c.reply.integer(-bit)
		return
	}
	if !c.isText(e) {
		return
	}
	first, last, isBit, ok := c.bitposRange()
	if !ok {
		return
	}
	t := textOf(e)
	start, end := t.bitRange(first, last, isBit)
	at := t.find(int(bit), start, end)
	if at < 0 && bit == 0 && start < end && len(c.args) < 5 {
		at = end // behind the string everything is 0
	}
	c.reply.integer(at)
}

func (c *call) bitposRange() (first, last int64, isBit, ok bool) {
	last, ok = -1, true
	args := c.args[3:]
	if len(args) > 3 {
		c.reply.fail(errSyntax)
		return 0, 0, false, false
	}
	if len(args) > 0 {
		first, ok = parseInt(args[0])
	}
	if ok && len(args) == 3 {
		if isBit, ok = c.unit(args[2]); !ok {
			return 0, 0, false, false
		}
	}
	if ok && len(args) > 1 {
		last, ok = parseInt(args[1])
	}
	if !ok {
		c.reply.fail(errNotInteger)
	}
	return first, last, isBit, ok
}

// find returns where the first such bit is from start up to but not end, or -1.
func (t text) find(bit int, start, end int64) int64 {
	skip := byte(0)
	if bit == 0 {
		skip = 0xff
	}
	for start < end {
		if start&7 == 0 && start+8 <= end && t[start>>3] == skip {
			start += 8
			continue
		}
		if t.bit(start) == bit {
			return start
		}
		start++
	}
	return -1
}

func bitop(c *call) {
	op := c.args[1]
	isAnd, isOr, isXor, isNot := isWord(op, "and"), isWord(op, "or"), isWord(op, "xor"), isWord(op, "not")
	switch {
	case !isAnd && !isOr && !isXor && !isNot:
		c.reply.fail(errSyntax)
		return
	case isNot && len(c.args) != 4:
		c.reply.fail("ERR BITOP NOT must be called with a single source key.")
		return
	}
	var sources []text
	size := 0
	for _, key := range c.args[3:] {
		e := c.read(key)
		if !c.isText(e) {
			return
		}
		sources = append(sources, textOf(e))
		size = max(size, len(textOf(e)))
	}
	result := make(text, size)
	copy(result, sources[0])
	for i := range result {
		for _, s := range sources[1:] {
			var b byte
			if i < len(s) {
				b = s[i]
			}
			switch {
			case isAnd:
				result[i] &= b
			case isOr:
				result[i] |= b
			case isXor:
				result[i] ^= b
			}
		}
		if isNot {
			result[i] = ^result[i]
		}
	}
	c.storeText(c.args[2], result)
}

// storeText makes t what key holds, without an end, and answers with its
// length; nothing at all removes the key.
func (c *call) storeText(key []byte, t text) {
	old := c.own(key)
	switch {
	case len(t) == 0 && old != nil:
		c.discard(old)
	case len(t) == 0:
	case c.isRefused(old, t.size(), expiry{}):
		return
	default:
		c.put(old, key, t, expiry{})
	}
	c.reply.integer(int64(len(t)))
}
