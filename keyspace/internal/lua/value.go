package lua

import "fmt"

// A value is any Lua value. What ref holds says of which type it is; num is
// the number or, of a boolean, 0 or 1. The zero value is nil. A struct instead
// of a bare interface keeps numbers off the heap.
type value struct {
	ref any // nil, isNumber, isBoolean, isNull, *str, *table, *function, or *cell inside frames
	num float64
}

// The marks of the types whose values hold nothing but num.
type (
	isNumber  struct{}
	isBoolean struct{}
	isNull    struct{} // cjson.null, the only userdata there is
)

// A str is a string. Its hash is Lua 5.1's, because that decides the order in
// which pairs walks a table, and scripts' replies depend on that order.
type str struct {
	s        string
	hash     uint32
	isHashed bool
}

// A cell holds a local variable that a function inside captured.
type cell struct{ v value }

// A function is a closure of Lua code, or native code.
type function struct {
	proto  *proto
	upvals []*cell
	native func(vm *machine, args []value) []value
	id     uint32
}

var null = value{ref: isNull{}}

func number(n float64) value { return value{ref: isNumber{}, num: n} }

func boolean(b bool) value {
	if b {
		return value{ref: isBoolean{}, num: 1}
	}
	return value{ref: isBoolean{}}
}

// constant makes a string that several machines may share: its hash is known,
// so that nobody writes to it.
func constant(s string) *str {
	c := &str{s: s}
	c.hashed()
	return c
}

// hashed returns the hash of s. Redis takes in all bytes, where the original
// leaves most of a long string out.
func (s *str) hashed() uint32 {
	if s.isHashed {
		return s.hash
	}
	h := uint32(len(s.s))
	for i := len(s.s) - 1; i >= 0; i-- {
		h ^= h<<5 + h>>2 + uint32(s.s[i])
	}
	s.hash, s.isHashed = h, true
	return h
}

func (v value) isNil() bool { return v.ref == nil }

// isTrue reports whether v counts as true: all but nil and false do.
func (v value) isTrue() bool {
	switch v.ref.(type) {
	case nil:
		return false
	case isBoolean:
		return v.num != 0
	}
	return true
}

func (v value) asNumber() (float64, bool) {
	_, ok := v.ref.(isNumber)
	return v.num, ok
}

// equal compares as rawequal does. The caller accounts for long strings.
func (v value) equal(w value) bool {
	switch a := v.ref.(type) {
	case isNumber:
		_, ok := w.ref.(isNumber)
		return ok && v.num == w.num
	case isBoolean:
		_, ok := w.ref.(isBoolean)
		return ok && v.num == w.num
	case *str:
		b, ok := w.ref.(*str)
		return ok && (a == b || a.s == b.s)
	}
	return v.ref == w.ref
}

// typeName returns what type() says of v.
func (v value) typeName() string {
	switch v.ref.(type) {
	case nil:
		return "nil"
	case isNumber:
		return "number"
	case isBoolean:
		return "boolean"
	case *str:
		return "string"
	case *table:
		return "table"
	case *function:
		return "function"
	}
	return "userdata"
}

// toStr returns the text of strings and numbers, which Lua takes for each
// other wherever a string is wanted.
func (v value) toStr() (string, bool) {
	switch s := v.ref.(type) {
	case *str:
		return s.s, true
	case isNumber:
		return formatNumber(v.num), true
	}
	return "", false
}

// toNumber returns the number that a number or a string is.
func (v value) toNumber() (float64, bool) {
	switch s := v.ref.(type) {
	case isNumber:
		return v.num, true
	case *str:
		return parseNumber(s.s)
	}
	return 0, false
}

// nameOf makes the text by which tostring tells objects apart. Redis shows
// their addresses; here they are numbered as they come, so that all nodes say
// the same.
func nameOf(kind string, id uint32) string {
	return fmt.Sprintf("%s: 0x%012x", kind, uint64(id)<<4)
}
