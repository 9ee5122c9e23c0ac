package lua

import (
	"math"
	"strings"
)

func baseLibrary() map[string]native {
	return map[string]native{
		"assert": baseAssert, "collectgarbage": baseCollect, "error": baseError, "gcinfo": baseZero,
		"getmetatable": baseGetmetatable, "ipairs": baseIpairs, "load": baseLoad, "loadstring": baseLoadstring,
		"next": baseNext, "pairs": basePairs, "pcall": basePcall, "rawequal": baseRawequal, "rawget": baseRawget,
		"rawset": baseRawset, "select": baseSelect, "setmetatable": baseSetmetatable, "tonumber": baseTonumber,
		"tostring": baseTostring, "type": baseType, "unpack": baseUnpack, "xpcall": baseXpcall,
		"__redis__err__handler": baseHandler,
	}
}

// maxCStack is how many values native code can return in Lua 5.1, and how
// many unpack does.
const maxCStack = 8000

func baseAssert(vm *machine, args []value) []value {
	if !vm.any(args, 0).isTrue() {
		return vm.failCaller("%s", vm.textOr(args, 1, "assertion failed!"))
	}
	return args
}

func baseError(vm *machine, args []value) []value {
	v := arg(args, 0)
	if level := vm.intOr(args, 1, 1); v.isText() && level > 0 {
		text, _ := v.toStr()
		v = vm.str(vm.where(level) + text)
	}
	vm.raise(v)
	return nil
}

var collectOptions = []string{"stop", "restart", "collect", "count", "step", "setpause", "setstepmul"}

// baseCollect does nothing: what it would tell differs between nodes.
func baseCollect(vm *machine, args []value) []value {
	option := vm.textOr(args, 0, "collect")
	for _, known := range collectOptions {
		if option == known {
			if option == "step" {
				return vm.ret1(boolean(false))
			}
			return vm.ret1(number(0))
		}
	}
	return vm.failArg(0, "invalid option '%s'", option)
}

func baseZero(vm *machine, _ []value) []value { return vm.ret1(number(0)) }

func baseGetmetatable(vm *machine, args []value) []value {
	var meta *table
	switch v := vm.any(args, 0).ref.(type) {
	case *table:
		meta = v.meta
	case *str:
		meta = vm.lib.stringMeta
	}
	if meta == nil {
		return vm.ret1(value{})
	}
	if hidden := meta.getStr(metaHidden); !hidden.isNil() {
		return vm.ret1(hidden)
	}
	return vm.ret1(value{ref: meta})
}

func baseSetmetatable(vm *machine, args []value) []value {
	t := vm.table(args)
	meta, ok := arg(args, 1).ref.(*table)
	if !ok && (len(args) < 2 || !args[1].isNil()) {
		return vm.failArg(1, "nil or table expected")
	}
	if t.meta != nil && !t.meta.getStr(metaHidden).isNil() {
		return vm.failCaller("cannot change a protected metatable")
	}
	if t.readonly {
		vm.failReadonly()
	}
	t.meta = meta
	return vm.ret1(args[0])
}

func baseNext(vm *machine, args []value) []value {
	k, v, ok := vm.table(args).next(arg(args, 1))
	if !ok {
		vm.fail("invalid key to 'next'")
	}
	if k.isNil() {
		return vm.ret1(k)
	}
	return vm.ret(k, v)
}

func basePairs(vm *machine, args []value) []value {
	vm.table(args)
	return vm.ret(vm.lib.next, args[0], value{})
}

func baseIpairs(vm *machine, args []value) []value {
	vm.table(args)
	return vm.ret(vm.lib.ipairsNext, args[0], number(0))
}

func ipairsNext(vm *machine, args []value) []value {
	i := vm.int(args, 1) + 1
	v := vm.table(args).getInt(i)
	if v.isNil() {
		return nil
	}
	return vm.ret(number(float64(i)), v)
}

// basePcall is Redis', which gives the text of an error that is a table.
func basePcall(vm *machine, args []value) []value {
	f := vm.any(args, 0)
	ret, failed := vm.protect(f, args[1:])
	if failed == nil {
		return vm.prepend(boolean(true), ret)
	}
	v := failed.v
	if t, ok := v.ref.(*table); ok {
		if text := t.getStr(nameErr); text.isText() {
			v = text
		}
	}
	return vm.ret(boolean(false), v)
}

func baseXpcall(vm *machine, args []value) []value {
	handler := vm.any(args, 1)
	ret, failed := vm.protect(args[0], nil)
	if failed == nil {
		return vm.prepend(boolean(true), ret)
	}
	if ret, failed = vm.protect(handler, []value{failed.v}); failed != nil {
		return vm.ret(boolean(false), vm.str("error in error handling"))
	}
	return vm.ret(boolean(false), first(ret))
}

// prepend puts a value before results, which may lie where it goes.
func (vm *machine) prepend(v value, ret []value) []value {
	vm.meter.step(len(ret) >> 3)
	m := vm.mark()
	out := vm.push(len(ret) + 1)
	copy(out[1:], ret)
	out[0] = v
	vm.release(m)
	return out
}

func baseRawequal(vm *machine, args []value) []value {
	a, b := vm.any(args, 0), vm.any(args, 1)
	if s, ok := a.ref.(*str); ok {
		vm.meter.data(len(s.s))
	}
	return vm.ret1(boolean(a.equal(b)))
}

func baseRawget(vm *machine, args []value) []value {
	t := vm.table(args)
	return vm.ret1(t.get(vm.any(args, 1)))
}

func baseRawset(vm *machine, args []value) []value {
	t := vm.table(args)
	k, v := vm.any(args, 1), vm.any(args, 2)
	if t.readonly {
		vm.failReadonly()
	}
	vm.checkKey(k)
	t.set(k, v)
	return vm.ret1(args[0])
}

func baseSelect(vm *machine, args []value) []value {
	if s, ok := arg(args, 0).ref.(*str); ok && strings.HasPrefix(s.s, "#") {
		return vm.ret1(number(float64(len(args) - 1)))
	}
	i := vm.int(args, 0)
	if i < 0 {
		i += len(args)
	} else {
		i = min(i, len(args))
	}
	if i < 1 {
		return vm.failArg(0, "index out of range")
	}
	return args[i:]
}

func baseTonumber(vm *machine, args []value) []value {
	base := vm.intOr(args, 1, 10)
	if base == 10 {
		if n, ok := vm.any(args, 0).toNumber(); ok {
			return vm.ret1(number(n))
		}
		return vm.ret1(value{})
	}
	s := vm.text(args, 0)
	if base < 2 || base > 36 {
		return vm.failArg(1, "base out of range")
	}
	vm.meter.data(len(s))
	if n, ok := parseBase(s, uint64(base)); ok {
		return vm.ret1(number(n))
	}
	return vm.ret1(value{})
}

// parseBase is C's strtoul between spaces.
func parseBase(s string, base uint64) (float64, bool) {
	s = strings.Trim(cutNul(s), " \t\n\v\f\r")
	isNegative := strings.HasPrefix(s, "-")
	if isNegative || strings.HasPrefix(s, "+") {
		s = s[1:]
	}
	if base == 16 && len(s) > 2 && s[0] == '0' && s[1]|' ' == 'x' && isHex(s[2]) {
		s = s[2:]
	}
	var n uint64
	isOver := false
	for i := range len(s) {
		digit := uint64(99)
		switch c := s[i]; {
		case isDigit(c):
			digit = uint64(c - '0')
		case isAlpha(c):
			digit = uint64(c|' '-'a') + 10
		}
		if digit >= base {
			return 0, false
		}
		isOver = isOver || n > (math.MaxUint64-digit)/base
		n = n*base + digit
	}
	switch {
	case isOver:
		n = math.MaxUint64
	case isNegative:
		n = -n
	}
	return float64(n), s != ""
}

func baseTostring(vm *machine, args []value) []value {
	v := vm.any(args, 0)
	if handler := vm.metaOf(v, metaToString); !handler.isNil() {
		return vm.ret1(first(vm.callNested(handler, v)))
	}
	if _, ok := v.ref.(*str); ok {
		return vm.ret1(v)
	}
	return vm.ret1(vm.str(describe(v)))
}

// describe is tostring without handlers.
func describe(v value) string {
	switch x := v.ref.(type) {
	case nil:
		return "nil"
	case isBoolean:
		if v.num != 0 {
			return "true"
		}
		return "false"
	case *table:
		return nameOf("table", x.id)
	case *function:
		return nameOf("function", x.id)
	case isNull:
		return "userdata: (nil)"
	}
	text, _ := v.toStr()
	return text
}

func baseType(vm *machine, args []value) []value {
	return vm.ret1(value{ref: vm.lib.typeNames[vm.any(args, 0).typeName()]})
}

func baseUnpack(vm *machine, args []value) []value {
	t := vm.table(args)
	from := vm.intOr(args, 1, 1)
	to := 0
	if arg(args, 2).isNil() {
		to = t.length()
	} else {
		to = vm.int(args, 2)
	}
	if from > to {
		return nil
	}
	n := to - from + 1
	if n > maxCStack-len(args) {
		return vm.failCaller("too many results to unpack")
	}
	vm.meter.step(n >> 2)
	m := vm.mark()
	out := vm.push(n)
	for i := range out {
		out[i] = t.getInt(from + i)
	}
	vm.release(m)
	return out
}

// loadCost is what a byte of source may take as a tree.
const loadCost = 100

func (vm *machine) load(source, chunk string) []value {
	vm.meter.step(len(source))
	vm.meter.take(len(source) * loadCost)
	p, err := parse(chunk, source)
	if err != nil {
		return vm.ret(value{}, vm.str(err.Error()))
	}
	return vm.ret1(value{ref: &function{proto: p, id: vm.newID()}})
}

func baseLoadstring(vm *machine, args []value) []value {
	source := vm.text(args, 0)
	return vm.load(source, vm.textOr(args, 1, source))
}

// baseLoad collects the source that a function gives piece by piece.
func baseLoad(vm *machine, args []value) []value {
	f := vm.function(args, 0)
	b := builder{vm: vm}
	chunk := vm.textOr(args, 1, "=(load)")
	for {
		ret, failed := vm.protect(f, nil)
		if failed != nil {
			return vm.ret(value{}, failed.v)
		}
		piece := first(ret)
		text, ok := piece.toStr()
		if !piece.isNil() && !ok {
			return vm.ret(value{}, vm.str("reader function must return a string"))
		}
		if text == "" {
			return vm.load(string(b.buf), chunk)
		}
		b.string(text)
	}
}

// baseHandler is what Redis calls for an error that nobody catches. Scripts
// can see it.
func baseHandler(vm *machine, args []value) []value {
	v := arg(args, 0)
	t, ok := v.ref.(*table)
	if !ok {
		t = vm.newTable(0, 1)
		t.setStr(nameErr, vm.str("ERR "+describe(v)))
	}
	return vm.ret1(value{ref: t})
}
