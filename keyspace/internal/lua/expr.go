package lua

// An expression is a node of the source that has a value. The tree that the
// parser makes is what runs.
type expr interface {
	eval(f *frame) value
}

// A multiExpr may have any number of values, good until the next call.
type multiExpr interface {
	expr
	evalMulti(f *frame) []value
}

// A proto is a function as it is in the source.
type proto struct {
	chunk    string
	line     int
	params   int
	slots    int // local variables at most
	nest     int // depth of the tree, that is of Go's stack
	isVararg bool
	argSlot  *variable   // of the table "arg", nil if it is not wanted
	captured []*variable // parameters that are
	upvals   []upvalue
	body     *block
}

// enter gives a function the cells of its parameters.
func (p *proto) enter(f *frame) {
	if p.argSlot != nil {
		t := f.vm.newTable(len(f.varargs), 1)
		for i, v := range f.varargs {
			t.setInt(i+1, v)
		}
		t.setStr(nameN, number(float64(len(f.varargs))))
		p.argSlot.declare(f, value{ref: t})
	}
	for _, v := range p.captured {
		v.declare(f, f.regs[v.slot])
	}
}

// A variable is a local variable. One that a function inside captures lives
// in a cell.
type variable struct {
	name       string
	slot       int
	isCaptured bool
}

const cellCost = 40

// declare makes the variable anew.
func (v *variable) declare(f *frame, val value) {
	if v.isCaptured {
		f.vm.meter.take(cellCost)
		val = value{ref: &cell{val}}
	}
	f.regs[v.slot] = val
}

func (v *variable) assign(f *frame, val value) {
	if v.isCaptured {
		f.regs[v.slot].ref.(*cell).v = val
		return
	}
	f.regs[v.slot] = val
}

// An upvalue says which cell of the enclosing function a closure gets.
type upvalue struct {
	name  string
	local *variable // of the enclosing function, or nil:
	index int       // one of its own upvalues
}

// The simple expressions.
type (
	literal  struct{ v value }
	localVar struct{ v *variable }
	upvalVar struct {
		index int
		name  string
	}
	globalVar struct {
		name *str
		line int
	}
	paren    struct{ e expr } // exactly one value
	varargs  struct{}
	closure  struct{ p *proto }
	negation struct{ e expr } // not
)

func (e *literal) eval(*frame) value { return e.v }

func (e *localVar) eval(f *frame) value {
	v := f.regs[e.v.slot]
	if e.v.isCaptured {
		return v.ref.(*cell).v
	}
	return v
}

func (e *upvalVar) eval(f *frame) value { return f.fn.upvals[e.index].v }

func (e *globalVar) eval(f *frame) value {
	v := f.vm.global(e.name)
	if v.isNil() {
		f.line = e.line
		f.vm.failGlobal(e.name.s)
	}
	return v
}

func (vm *machine) failGlobal(name string) {
	vm.fail("Script attempted to access nonexistent global variable '%s'", name)
}

func (e *paren) eval(f *frame) value { return e.e.eval(f) }

func (e *varargs) eval(f *frame) value { return first(f.varargs) }

func (e *varargs) evalMulti(f *frame) []value {
	f.vm.meter.step(len(f.varargs) >> 3)
	return f.varargs
}

func (e *closure) eval(f *frame) value {
	const cost, each = 96, 8
	f.vm.meter.take(cost + each*len(e.p.upvals))
	fn := &function{proto: e.p, id: f.vm.newID()}
	if n := len(e.p.upvals); n > 0 {
		fn.upvals = make([]*cell, n)
	}
	for i, up := range e.p.upvals {
		if up.local != nil {
			fn.upvals[i] = f.regs[up.local.slot].ref.(*cell)
		} else {
			fn.upvals[i] = f.fn.upvals[up.index]
		}
	}
	return value{ref: fn}
}

func (e *negation) eval(f *frame) value { return boolean(!e.e.eval(f).isTrue()) }

// A logical is "and" or "or".
type logical struct {
	a, b expr
	isOr bool
}

func (e *logical) eval(f *frame) value {
	if v := e.a.eval(f); v.isTrue() == e.isOr {
		return v
	}
	return e.b.eval(f)
}

// An index is t[k] or t.k.
type index struct {
	t, k expr
	line int
	site callSite // of t, for messages
}

func (e *index) eval(f *frame) value {
	t := e.t.eval(f)
	if k, ok := e.k.(*literal); ok {
		if t, ok := t.ref.(*table); ok {
			if v := t.get(k.v); !v.isNil() || t.meta == nil {
				return v
			}
		}
		f.line = e.line
		return f.vm.index(t, k.v, &e.site)
	}
	k := e.k.eval(f)
	f.line = e.line
	return f.vm.index(t, k, &e.site)
}

// A constructor is {...}.
type constructor struct {
	items  []expr // of the array
	pairs  []pair // in the order of the source, each after so many items
	line   int
	nArray int // sizes that the table begins with
	nPairs int
}

type pair struct {
	after int
	k, v  expr
}

// flush is the number of items that are put into the table at once, as in
// Lua 5.1, where it shows in what items and pairs of one key leave.
const flush = 50

func (e *constructor) eval(f *frame) value {
	t := f.vm.newTable(e.nArray, e.nPairs)
	m := f.vm.mark()
	window := f.vm.push(min(len(e.items), flush))
	next, held := 0, 0
	for i := range len(e.items) + 1 {
		for next < len(e.pairs) && e.pairs[next].after == i {
			e.pair(f, t, e.pairs[next])
			next++
		}
		if i == len(e.items) {
			break
		}
		if held == flush {
			t.store(i-held, window)
			held = 0
		}
		if many, ok := e.items[i].(multiExpr); ok && i == len(e.items)-1 {
			rest := many.evalMulti(f)
			f.vm.meter.step(len(rest) >> 3)
			if total := i + len(rest); total > len(t.array) && len(rest) > 0 {
				t.resize(total, len(t.nodes))
			}
			t.store(i-held, window[:held])
			t.store(i, rest)
			held = 0
			break
		}
		window[held] = e.items[i].eval(f)
		held++
	}
	if held > 0 {
		t.store(len(e.items)-held, window[:held])
	}
	f.vm.release(m)
	return value{ref: t}
}

func (e *constructor) pair(f *frame, t *table, p pair) {
	k := p.k.eval(f)
	v := p.v.eval(f)
	f.line = e.line
	f.vm.checkKey(k)
	t.set(k, v)
}

// store puts items behind the first n.
func (t *table) store(n int, items []value) {
	if n+len(items) > len(t.array) {
		t.resize(n+len(items), len(t.nodes))
	}
	for i, v := range items {
		t.array[n+i] = v
	}
}

// evalAll evaluates a list, of which the last may have many values, onto the
// stack.
func (f *frame) evalAll(list []expr) []value {
	vm := f.vm
	if len(list) == 0 {
		return nil
	}
	window := vm.push(len(list))
	last := len(list) - 1
	for i, e := range list[:last] {
		window[i] = e.eval(f)
	}
	many, ok := list[last].(multiExpr)
	if !ok {
		window[last] = list[last].eval(f)
		return window
	}
	rest := many.evalMulti(f)
	if len(rest) == 1 {
		window[last] = rest[0]
		return window
	}
	vm.meter.step(len(rest) >> 3)
	// The values may lie where the stack goes on: they move first.
	all := vm.push(last + len(rest))
	copy(all[last:], rest)
	copy(all, window[:last])
	return all
}

// siteOf describes an expression for messages.
func siteOf(e expr, line int) callSite {
	switch e := e.(type) {
	case *paren:
		return siteOf(e.e, line)
	case *localVar:
		return callSite{line, "local", e.v.name}
	case *upvalVar:
		return callSite{line, "upvalue", e.name}
	case *globalVar:
		return callSite{line, "global", e.name.s}
	case *index:
		if k, ok := e.k.(*literal); ok {
			if s, ok := k.v.ref.(*str); ok {
				return callSite{line, "field", s.s}
			}
		}
		return callSite{line, "field", "?"}
	}
	return callSite{line: line}
}
