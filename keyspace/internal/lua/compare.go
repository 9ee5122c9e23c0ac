package lua

// A comparison is a < b and the like; what is > in the source is < with its
// sides exchanged when they are compared, not when they are evaluated.
type comparison struct {
	a, b    expr
	orEqual bool
	swapped bool
	line    int
}

func (e *comparison) eval(f *frame) value {
	a, b := e.a.eval(f), e.b.eval(f)
	if e.swapped {
		a, b = b, a
	}
	x, okA := a.asNumber()
	y, okB := b.asNumber()
	if okA && okB {
		return boolean(x < y || e.orEqual && x == y)
	}
	f.line = e.line
	if e.orEqual {
		return boolean(f.vm.lessOrEqual(a, b))
	}
	return boolean(f.vm.less(a, b))
}

// An equality is a == b, or a ~= b.
type equality struct {
	a, b    expr
	negated bool
	line    int
}

func (e *equality) eval(f *frame) value {
	a, b := e.a.eval(f), e.b.eval(f)
	f.line = e.line
	return boolean(f.vm.equal(a, b) != e.negated)
}

func (vm *machine) equal(a, b value) bool {
	switch x := a.ref.(type) {
	case *str:
		if y, ok := b.ref.(*str); ok && x != y && len(x.s) == len(y.s) {
			vm.meter.data(len(x.s))
		}
	case *table:
		y, ok := b.ref.(*table)
		if !ok || x == y || x.meta == nil || y.meta == nil {
			break
		}
		if handler := vm.sharedMeta(a, b, metaEq); !handler.isNil() {
			return first(vm.callNested(handler, a, b)).isTrue()
		}
	}
	return a.equal(b)
}

// sharedMeta returns the handler that both values have for an event.
func (vm *machine) sharedMeta(a, b value, event *str) value {
	handler := vm.metaOf(a, event)
	if handler.isNil() || !handler.equal(vm.metaOf(b, event)) {
		return value{}
	}
	return handler
}

func (vm *machine) less(a, b value) bool {
	if x, y, ok := bothStrings(a, b); ok {
		vm.meter.data(min(len(x), len(y)))
		return x < y
	}
	x, okA := a.asNumber()
	y, okB := b.asNumber()
	if okA && okB {
		return x < y
	}
	if handler := vm.sharedMeta(a, b, metaLt); !handler.isNil() && sameType(a, b) {
		return first(vm.callNested(handler, a, b)).isTrue()
	}
	vm.failOrder(a, b)
	return false
}

func (vm *machine) lessOrEqual(a, b value) bool {
	if x, y, ok := bothStrings(a, b); ok {
		vm.meter.data(min(len(x), len(y)))
		return x <= y
	}
	if sameType(a, b) {
		if handler := vm.sharedMeta(a, b, metaLe); !handler.isNil() {
			return first(vm.callNested(handler, a, b)).isTrue()
		}
		if handler := vm.sharedMeta(b, a, metaLt); !handler.isNil() {
			return !first(vm.callNested(handler, b, a)).isTrue()
		}
	}
	vm.failOrder(a, b)
	return false
}

func bothStrings(a, b value) (x, y string, ok bool) {
	s, ok := a.ref.(*str)
	if !ok {
		return "", "", false
	}
	t, ok := b.ref.(*str)
	if !ok {
		return "", "", false
	}
	return s.s, t.s, true
}

func sameType(a, b value) bool { return a.typeName() == b.typeName() }

func (vm *machine) failOrder(a, b value) {
	if sameType(a, b) {
		vm.fail("attempt to compare two %s values", a.typeName())
	}
	vm.fail("attempt to compare %s with %s", a.typeName(), b.typeName())
}
