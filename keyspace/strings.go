package keyspace

import "bytes"

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
			run:     setKey,
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

// textOf returns what a key holds, which is nothing where there is none or it
// is no string: see isText.
func textOf(e *entry) text {
	if e == nil {
		return nil
	}
	t, _ := e.value.(text)
	return t
}

// isText reports whether a key is absent or a string, and answers that it is
// neither.
func (c *call) isText(e *entry) bool {
	if e != nil && e.value.kind() != kindString {
		c.reply.fail(errWrongType)
		return false
	}
	return true
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
	if o.get && !c.isText(old) {
		return
	}
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
	if !isSet {
		return
	}
	c.put(old, key, text(bytes.Clone(val)), until)
	if o.amount != nil {
		c.notify(noticeExpire, key)
		if until.deadline < 0 {
			c.notify(noticeExpired, key)
		}
	}
}

func setKey(c *call) {
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

func get(c *call) {
	if e := c.read(c.args[1]); c.isText(e) {
		c.replyText(e)
	}
}

func getdel(c *call) {
	e := c.own(c.args[1])
	if !c.isText(e) {
		return
	}
	c.replyText(e)
	if e != nil {
		c.discard(e)
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
	if !c.isText(e) {
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
		e := c.read(key)
		if e != nil && e.value.kind() != kindString {
			e = nil
		}
		c.replyText(e)
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
	if !c.isText(old) {
		return
	}
	var until expiry
	if old != nil {
		until = old.expiry
	}
	size := int64(len(textOf(old))) + int64(len(more))
	if old != nil && size > maxText {
		c.reply.fail(errTooLong)
		return
	}
	if c.isRefused(old, size, until) {
		return
	}
	c.put(old, key, append(c.ownText(old), more...), until)
	c.reply.integer(size)
}

// ownText returns the string of e, nil if e is, to be changed in place. It is
// to be stored with put.
func (c *call) ownText(e *entry) text {
	if e == nil || e.generation == c.space.generation {
		return textOf(e)
	}
	return append(text{}, textOf(e)...)
}

func strlen(c *call) {
	if e := c.read(c.args[1]); c.isText(e) {
		c.reply.integer(int64(len(textOf(e))))
	}
}
