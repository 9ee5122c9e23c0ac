package keyspace

import "math"

// setOptions are what SET or GETEX was told beside key and value.
type setOptions struct {
	ifAbsent, ifPresent bool // NX, XX
	get                 bool
	keepTTL             bool
	persist             bool

	amount   []byte // of EX, PX, EXAT, PXAT; nil without
	seconds  bool   // amount is in seconds, not milliseconds
	absolute bool   // amount is a wall time, not a time to live
}

// hasTime reports whether something was said of the key's end.
func (o *setOptions) hasTime() bool { return o.amount != nil || o.keepTTL || o.persist }

// parse reads the options of SET or, if it is not of SET, of GETEX. Which of
// them exclude each other is as odd as in Redis: EX may come twice, and the
// last one counts.
func (o *setOptions) parse(args [][]byte, ofSet bool) bool {
	for i := 0; i < len(args); i++ {
		switch word := args[i]; {
		case ofSet && isWord(word, "nx") && !o.ifPresent:
			o.ifAbsent = true
		case ofSet && isWord(word, "xx") && !o.ifAbsent:
			o.ifPresent = true
		case ofSet && isWord(word, "get"):
			o.get = true
		case ofSet && isWord(word, "keepttl") && o.amount == nil:
			o.keepTTL = true
		case !ofSet && isWord(word, "persist") && o.amount == nil:
			o.persist = true
		default:
			if i++; i == len(args) || !o.parseTime(word, args[i]) {
				return false
			}
		}
	}
	return true
}

func (o *setOptions) parseTime(word, amount []byte) bool {
	unit := setOptions{amount: amount}
	switch {
	case isWord(word, "ex"):
		unit.seconds = true
	case isWord(word, "px"):
	case isWord(word, "exat"):
		unit.seconds, unit.absolute = true, true
	case isWord(word, "pxat"):
		unit.absolute = true
	default:
		return false
	}
	isOther := o.seconds != unit.seconds || o.absolute != unit.absolute
	if o.keepTTL || o.persist || o.amount != nil && isOther {
		return false
	}
	o.amount, o.seconds, o.absolute = amount, unit.seconds, unit.absolute
	return true
}

// end returns what amount says, or answers what is wrong with it.
func (c *call) end(o *setOptions) (expiry, bool) {
	n, ok := parseInt(o.amount)
	if !ok {
		c.reply.fail(errNotInteger)
		return expiry{}, false
	}
	if n <= 0 || o.seconds && n > math.MaxInt64/1000 {
		c.failExpiry()
		return expiry{}, false
	}
	if o.seconds {
		n *= 1000
	}
	if o.absolute {
		return c.until(n), true
	}
	x, ok := c.in(n)
	if !ok {
		c.failExpiry()
	}
	return x, ok
}
