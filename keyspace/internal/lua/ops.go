package lua

import (
	"math"
	"strings"
)

// The names that the language itself looks up.
var (
	metaIndex    = constant("__index")
	metaNewIndex = constant("__newindex")
	metaCall     = constant("__call")
	metaEq       = constant("__eq")
	metaLt       = constant("__lt")
	metaLe       = constant("__le")
	metaConcat   = constant("__concat")
	metaUnm      = constant("__unm")
	metaToString = constant("__tostring")
	metaHidden   = constant("__metatable")
	nameN        = constant("n")

	metaArith = map[byte]*str{
		'+': constant("__add"), '-': constant("__sub"), '*': constant("__mul"),
		'/': constant("__div"), '%': constant("__mod"), '^': constant("__pow"),
	}
)

const maxMetaLoop = 100

// metaOf returns the handler that the metatable of v has for an event.
func (vm *machine) metaOf(v value, event *str) value {
	switch t := v.ref.(type) {
	case *table:
		if t.meta != nil {
			return t.meta.getStr(event)
		}
	case *str:
		return vm.lib.stringMeta.getStr(event)
	}
	return value{}
}

// index is t[k].
func (vm *machine) index(v, k value, site *callSite) value {
	for range maxMetaLoop {
		var handler value
		if t, ok := v.ref.(*table); ok {
			got := t.get(k)
			if !got.isNil() || t.meta == nil {
				return got
			}
			if handler = t.meta.getStr(metaIndex); handler.isNil() {
				return got
			}
		} else if handler = vm.metaOf(v, metaIndex); handler.isNil() {
			vm.failType("index", v, site)
		}
		vm.meter.step(1)
		if _, ok := handler.ref.(*function); ok {
			return first(vm.callNested(handler, v, k))
		}
		v, site = handler, nil
	}
	vm.fail("loop in gettable")
	return value{}
}

// setIndex is t[k] = val.
func (vm *machine) setIndex(v, k, val value, site *callSite) {
	for range maxMetaLoop {
		var handler value
		if t, ok := v.ref.(*table); ok {
			if t.readonly {
				vm.failReadonly()
			}
			if t.meta != nil && t.get(k).isNil() {
				handler = t.meta.getStr(metaNewIndex)
			}
			if handler.isNil() {
				vm.checkKey(k)
				t.set(k, val)
				return
			}
		} else if handler = vm.metaOf(v, metaNewIndex); handler.isNil() {
			vm.failType("index", v, site)
		}
		vm.meter.step(1)
		if _, ok := handler.ref.(*function); ok {
			vm.callNested(handler, v, k, val)
			return
		}
		v, site = handler, nil
	}
	vm.fail("loop in settable")
}

func (vm *machine) failReadonly() { vm.fail("Attempt to modify a readonly table") }

// checkKey refuses the keys that no table can have.
func (vm *machine) checkKey(k value) {
	if k.isNil() {
		vm.fail("table index is nil")
	}
	if n, ok := k.asNumber(); ok && math.IsNaN(n) {
		vm.fail("table index is NaN")
	}
}

// An arithmetic is a + b and the like; a unary minus has b equal to a.
type arithmetic struct {
	a, b expr
	op   byte
	line int
}

func (e *arithmetic) eval(f *frame) value {
	a, b := e.a.eval(f), e.b.eval(f)
	x, ok := a.asNumber()
	y, okB := b.asNumber()
	if e.op == '^' {
		f.vm.meter.step(elementarySteps)
	}
	if ok && okB {
		return number(arith(e.op, x, y))
	}
	f.line = e.line
	if x, ok = a.toNumber(); ok {
		if y, ok = b.toNumber(); ok {
			return number(arith(e.op, x, y))
		}
	}
	return f.vm.arithMeta(metaArith[e.op], a, b, e.a, e.b)
}

func (vm *machine) arithMeta(event *str, a, b value, ea, eb expr) value {
	if handler := vm.eitherMeta(event, a, b); !handler.isNil() {
		return first(vm.callNested(handler, a, b))
	}
	if _, ok := a.toNumber(); ok {
		a, ea = b, eb
	}
	site := siteOf(ea, 0)
	vm.failType("perform arithmetic on", a, &site)
	return value{}
}

func (vm *machine) eitherMeta(event *str, a, b value) value {
	if handler := vm.metaOf(a, event); !handler.isNil() {
		return handler
	}
	return vm.metaOf(b, event)
}

// arith computes. The conversions keep a compiler from fusing a
// multiplication with an addition, as it would on arm64.
func arith(op byte, x, y float64) float64 {
	switch op {
	case '+':
		return x + y
	case '-':
		return x - y
	case '*':
		return float64(x * y)
	case '/':
		return x / y
	case '%':
		return x - float64(math.Floor(x/y)*y)
	}
	return power(x, y)
}

// A minus is -e, a size #e.
type (
	minus struct {
		e    expr
		line int
	}
	size struct {
		e    expr
		line int
	}
)

func (e *minus) eval(f *frame) value {
	v := e.e.eval(f)
	if n, ok := v.toNumber(); ok {
		return number(-n)
	}
	f.line = e.line
	return f.vm.arithMeta(metaUnm, v, v, e.e, e.e)
}

func (e *size) eval(f *frame) value {
	switch v := e.e.eval(f); t := v.ref.(type) {
	case *table:
		return number(float64(t.length()))
	case *str:
		return number(float64(len(t.s)))
	default:
		f.line = e.line
		site := siteOf(e.e, e.line)
		f.vm.failType("get length of", v, &site)
		return value{}
	}
}

// A concat is a .. b .. c.
type concat struct {
	parts []expr
	line  int
}

func (e *concat) eval(f *frame) value {
	vm := f.vm
	m := vm.mark()
	parts := vm.push(len(e.parts))
	for i, part := range e.parts {
		parts[i] = part.eval(f)
	}
	f.line = e.line
	// From the right, as many at once as are strings or numbers.
	for len(parts) > 1 {
		n := len(parts) - 2
		if parts[n].isText() && parts[n+1].isText() {
			for n > 0 && parts[n-1].isText() {
				n--
			}
			parts[n] = vm.join(parts[n:])
		} else {
			parts[n] = vm.concatMeta(parts[n], parts[n+1], e.parts[n], e.parts[n+1])
		}
		parts = parts[:n+1]
	}
	vm.release(m)
	return parts[0]
}

func (v value) isText() bool {
	switch v.ref.(type) {
	case *str, isNumber:
		return true
	}
	return false
}

func (vm *machine) join(parts []value) value {
	total := 0
	texts := make([]string, 0, 8)
	for _, p := range parts {
		s, _ := p.toStr()
		total += len(s)
		texts = append(texts, s)
	}
	vm.meter.take(total)
	v := vm.str(strings.Join(texts, ""))
	vm.meter.give(total) // str has counted it
	return v
}

func (vm *machine) concatMeta(a, b value, ea, eb expr) value {
	if handler := vm.eitherMeta(metaConcat, a, b); !handler.isNil() {
		return first(vm.callNested(handler, a, b))
	}
	if a.isText() {
		a, ea = b, eb
	}
	site := siteOf(ea, 0)
	vm.failType("concatenate", a, &site)
	return value{}
}
