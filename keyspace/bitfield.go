package keyspace

import "math"

// bitfieldCommands are BITFIELD and its form that only reads.
func bitfieldCommands() []Command {
	return []Command{
		{
			Name: "bitfield", Arity: -2, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "denyoom"}, Group: "bitmap", Since: "3.2.0",
			Summary: "Perform arbitrary bitfield integer operations on strings",
			run:     bitfield,
		},
		{
			Name: "bitfield_ro", Arity: -2, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly", "fast"}, Group: "bitmap", Since: "6.0.0",
			Summary: "Perform arbitrary bitfield integer operations on strings. Read-only variant of BITFIELD",
			run:     bitfieldRO,
		},
	}
}

// overflow says what becomes of a number that its bits cannot hold.
type overflow uint8

const (
	overflowWrap overflow = iota
	overflowSat
	overflowFail
)

// A bitOp is one operation of BITFIELD.
type bitOp struct {
	kind     byte // 'g'et, 's'et or 'i'ncrement
	at       int64
	bits     int
	isSigned bool
	overflow overflow
	n        int64 // to be set or added
}

// bitOps reads the operations of BITFIELD.
func (c *call) bitOps() (ops []bitOp, ok bool) {
	var how overflow
	for args := c.args[2:]; len(args) > 0; {
		op := bitOp{overflow: how}
		switch word := args[0]; {
		case isWord(word, "get") && len(args) >= 3:
			op.kind = 'g'
		case isWord(word, "set") && len(args) >= 4:
			op.kind = 's'
		case isWord(word, "incrby") && len(args) >= 4:
			op.kind = 'i'
		case isWord(word, "overflow") && len(args) >= 2:
			if how, ok = c.overflow(args[1]); !ok {
				return nil, false
			}
			args = args[2:]
			continue
		default:
			c.reply.fail(errSyntax)
			return nil, false
		}
		if op.isSigned, op.bits, ok = parseBitType(args[1]); !ok {
			c.reply.fail("ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.")
			return nil, false
		}
		if op.at, ok = c.bitOffset(args[2], op.bits); !ok {
			return nil, false
		}
		args = args[3:]
		if op.kind != 'g' {
			if op.n, ok = parseInt(args[0]); !ok {
				c.reply.fail(errNotInteger)
				return nil, false
			}
			args = args[1:]
		}
		ops = append(ops, op)
	}
	return ops, true
}

func (c *call) overflow(arg []byte) (how overflow, ok bool) {
	switch {
	case isWord(arg, "wrap"):
		return overflowWrap, true
	case isWord(arg, "sat"):
		return overflowSat, true
	case isWord(arg, "fail"):
		return overflowFail, true
	}
	c.reply.fail("ERR Invalid OVERFLOW type specified")
	return 0, false
}

// parseBitType reads a type like i16 or u8.
func parseBitType(arg []byte) (isSigned bool, width int, ok bool) {
	if len(arg) < 2 || arg[0] != 'i' && arg[0] != 'u' {
		return false, 0, false
	}
	isSigned = arg[0] == 'i'
	n, ok := parseInt(arg[1:])
	most := int64(63)
	if isSigned {
		most = 64
	}
	return isSigned, int(n), ok && n >= 1 && n <= most
}

func bitfield(c *call) {
	ops, ok := c.bitOps()
	if !ok {
		return
	}
	var size int64
	for _, op := range ops {
		if op.kind != 'g' {
			size = max(size, (op.at+int64(op.bits)-1)>>3+1)
		}
	}
	e := c.own(c.args[1])
	if !c.isText(e) {
		return
	}
	t := textOf(e)
	if size > 0 {
		if t, ok = c.extended(e, size); !ok {
			return
		}
	}
	c.reply.array(len(ops))
	for _, op := range ops {
		c.runBitOp(t, op)
	}
	if size > 0 {
		c.put(e, c.args[1], t, endOf(e))
	}
}

func bitfieldRO(c *call) {
	ops, ok := c.bitOps()
	if !ok {
		return
	}
	for _, op := range ops {
		if op.kind != 'g' {
			c.reply.fail("ERR BITFIELD_RO only supports the GET subcommand")
			return
		}
	}
	e := c.read(c.args[1])
	if !c.isText(e) {
		return
	}
	c.reply.array(len(ops))
	for _, op := range ops {
		c.runBitOp(textOf(e), op)
	}
}

// runBitOp executes one operation on t, which is long enough for it if it
// writes.
func (c *call) runBitOp(t text, op bitOp) {
	old := t.number(op)
	if op.kind == 'g' {
		c.reply.integer(old)
		return
	}
	base, add := old, op.n
	if op.kind == 's' {
		base, add = op.n, 0
	}
	fresh, isOver := op.sum(base, add)
	if isOver && op.overflow == overflowFail {
		c.reply.null()
		return
	}
	if op.kind == 's' {
		c.reply.integer(old)
	} else {
		c.reply.integer(fresh)
	}
	for i := range op.bits {
		t.setBit(op.at+int64(i), int(fresh>>(op.bits-1-i)&1))
	}
}

// number reads the field of an operation.
func (t text) number(op bitOp) int64 {
	var n uint64
	for i := range op.bits {
		n = n<<1 | uint64(t.bit(op.at+int64(i)))
	}
	if op.isSigned && op.bits < 64 && n>>(op.bits-1) == 1 {
		n |= math.MaxUint64 << op.bits
	}
	return int64(n)
}

// sum returns base and add together as the field holds it, and whether it
// cannot.
func (op bitOp) sum(base, add int64) (sum int64, isOver bool) {
	low, high := int64(0), int64(1)<<op.bits-1
	if op.isSigned {
		high = math.MaxInt64 >> (64 - op.bits)
		low = -high - 1
	}
	sum, fits := addInt(base, add)
	isBelow := fits && sum < low || !fits && add < 0
	isAbove := fits && sum > high || !fits && add > 0
	if !op.isSigned && op.kind == 's' && base < 0 {
		isBelow, isAbove = false, true // Redis reads it as a very large number
	}
	switch {
	case !isBelow && !isAbove:
		return sum, false
	case op.overflow == overflowSat && isBelow:
		return low, true
	case op.overflow == overflowSat:
		return high, true
	}
	return op.wrap(uint64(base) + uint64(add)), true
}

// wrap keeps of a number what fits.
func (op bitOp) wrap(n uint64) int64 {
	if op.bits == 64 {
		return int64(n)
	}
	n &= 1<<op.bits - 1
	if op.isSigned && n>>(op.bits-1) == 1 {
		n |= math.MaxUint64 << op.bits
	}
	return int64(n)
}
