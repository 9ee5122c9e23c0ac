package keyspace

import (
	"bytes"
	"math"
)

// stringCommands are the commands of the strings.
func stringCommands() []Command {
	return []Command{
		{
			Name: "get", Arity: 2, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly", "fast"}, Group: "string", Since: "1.0.0",
			Summary: "Get the value of a key",
			run:     get,
		},
		{
			Name: "set", Arity: -3, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "denyoom"}, Group: "string", Since: "1.0.0",
			Summary: "Set the string value of a key",
			run:     set,
		},
		{
			Name: "getex", Arity: -2, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "fast"}, Group: "string", Since: "6.2.0",
			Summary: "Get the value of a key and optionally set its expiration",
			run:     getex,
		},
		{
			Name: "getdel", Arity: 2, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "fast"}, Group: "string", Since: "6.2.0",
			Summary: "Get the value of a key and delete the key",
			run:     getdel, frees: always,
		},
		{
			Name: "getset", Arity: 3, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "denyoom", "fast"}, Group: "string", Since: "1.0.0",
			Summary: "Set the string value of a key and return its old value",
			run:     getset,
		},
		{
			Name: "setex", Arity: 4, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "denyoom"}, Group: "string", Since: "2.0.0",
			Summary: "Set the value and expiration of a key",
			run:     setex,
		},
		{
			Name: "psetex", Arity: 4, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "denyoom"}, Group: "string", Since: "2.6.0",
			Summary: "Set the value and expiration in milliseconds of a key",
			run:     psetex,
		},
		{
			Name: "setnx", Arity: 3, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "denyoom", "fast"}, Group: "string", Since: "1.0.0",
			Summary: "Set the value of a key, only if the key does not exist",
			run:     setnx,
		},
		{
			Name: "mget", Arity: -2, FirstKey: 1, LastKey: -1, Step: 1,
			Flags: []string{"readonly", "fast"}, Group: "string", Since: "1.0.0",
			Summary: "Get the values of all the given keys",
			run:     mget,
		},
		{
			Name: "mset", Arity: -3, Writes: true, FirstKey: 1, LastKey: -1, Step: 2,
			Flags: []string{"write", "denyoom"}, Group: "string", Since: "1.0.1",
			Summary: "Set multiple keys to multiple values",
			run:     mset,
		},
		{
			Name: "msetnx", Arity: -3, Writes: true, FirstKey: 1, LastKey: -1, Step: 2,
			Flags: []string{"write", "denyoom"}, Group: "string", Since: "1.0.1",
			Summary: "Set multiple keys to multiple values, only if none of the keys exist",
			run:     msetnx,
		},
		{
			Name: "append", Arity: 3, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "denyoom", "fast"}, Group: "string", Since: "2.0.0",
			Summary: "Append a value to a key",
			run:     grow,
		},
		{
			Name: "strlen", Arity: 2, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly", "fast"}, Group: "string", Since: "2.2.0",
			Summary: "Get the length of the value stored in a key",
			run:     strlen,
		},
	}
}

// maxText is the longest string that APPEND makes: Redis' proto-max-bulk-len.
const maxText = 512 << 20

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

// textOf returns what a key holds, which is nothing where there is none.
func textOf(e *entry) text {
	if e == nil {
		return nil
	}
	t, _ := e.value.(text)
	return t
}

func (c *call) replyText(e *entry) {
	if e == nil {
		c.reply.null()
		return
	}
	c.reply.bulk(textOf(e))
}

// A setReply says how one of the SET family answers.
type setReply uint8

const (
	replyOK      setReply = iota // OK, or null where a condition forbids
	replyBoolean                 // whether it was set
)

// set is SET and its older forms.
func (c *call) set(key, val []byte, o *setOptions, answer setReply) {
	var until expiry
	if o.amount != nil {
		var ok bool
		if until, ok = c.end(o); !ok {
			return
		}
	}
	old := c.own(key)
	if o.keepTTL && old != nil {
		until = old.expiry
	}
	isSet := !(o.ifAbsent && old != nil) && !(o.ifPresent && old == nil)
	if isSet && c.isRefused(old, int64(len(val)), until) {
		return
	}
	switch {
	case o.get:
		c.replyText(old)
	case answer == replyBoolean:
		c.reply.boolean(isSet)
	case isSet:
		c.reply.status("OK")
	default:
		c.reply.null()
	}
	if isSet {
		c.put(old, key, text(bytes.Clone(val)), until)
	}
}

func set(c *call) {
	var o setOptions
	if !o.parse(c.args[3:], true) {
		c.reply.fail(errSyntax)
		return
	}
	c.set(c.args[1], c.args[2], &o, replyOK)
}

func setex(c *call) {
	c.set(c.args[1], c.args[3], &setOptions{amount: c.args[2], seconds: true}, replyOK)
}

func psetex(c *call) {
	c.set(c.args[1], c.args[3], &setOptions{amount: c.args[2]}, replyOK)
}

func setnx(c *call) {
	c.set(c.args[1], c.args[2], &setOptions{ifAbsent: true}, replyBoolean)
}

func getset(c *call) {
	c.set(c.args[1], c.args[2], &setOptions{get: true}, replyOK)
}

func get(c *call) { c.replyText(c.read(c.args[1])) }

func getdel(c *call) {
	e := c.own(c.args[1])
	c.replyText(e)
	if e != nil {
		c.remove(e)
	}
}

func getex(c *call) {
	var o setOptions
	if !o.parse(c.args[2:], false) {
		c.reply.fail(errSyntax)
		return
	}
	e := c.own(c.args[1])
	if e == nil {
		c.reply.null()
		return
	}
	var until expiry
	if o.amount != nil {
		var ok bool
		if until, ok = c.end(&o); !ok {
			return
		}
	}
	if o.hasTime() && c.isRefused(e, e.value.size(), until) {
		return
	}
	c.replyText(e)
	if o.hasTime() {
		c.expire(e, until)
	}
}

func mget(c *call) {
	keys := c.args[1:]
	c.reply.array(len(keys))
	for _, key := range keys {
		c.replyText(c.read(key))
	}
}

func mset(c *call) { c.setMany(false) }

func msetnx(c *call) { c.setMany(true) }

// setMany is MSET and MSETNX: all keys, or none where the state is full or,
// with ifAbsent, one of them exists.
func (c *call) setMany(ifAbsent bool) {
	pairs := c.args[1:]
	if len(pairs)%2 != 0 {
		c.failArity()
		return
	}
	if ifAbsent {
		for i := 0; i < len(pairs); i += 2 {
			if c.own(pairs[i]) != nil {
				c.reply.integer(0)
				return
			}
		}
	}
	for i := 0; i < len(pairs); i += 2 {
		if c.isRefused(c.own(pairs[i]), int64(len(pairs[i+1])), expiry{}) {
			return
		}
	}
	for i := 0; i < len(pairs); i += 2 {
		c.put(c.own(pairs[i]), pairs[i], text(bytes.Clone(pairs[i+1])), expiry{})
	}
	if ifAbsent {
		c.reply.integer(1)
	} else {
		c.reply.status("OK")
	}
}

// grow is APPEND.
func grow(c *call) {
	key, more := c.args[1], c.args[2]
	old := c.own(key)
	var until expiry
	if old != nil {
		until = old.expiry
	}
	size := int64(len(textOf(old))) + int64(len(more))
	if old != nil && size > maxText {
		c.reply.fail("ERR string exceeds maximum allowed size (proto-max-bulk-len)")
		return
	}
	if c.isRefused(old, size, until) {
		return
	}
	c.put(old, key, append(textOf(old), more...), until)
	c.reply.integer(size)
}

func strlen(c *call) { c.reply.integer(int64(len(textOf(c.read(c.args[1]))))) }
