package lua

// A call is f(args). A methodCall is o:name(args).
type (
	call struct {
		fn   expr
		args []expr
		site callSite
	}
	methodCall struct {
		object expr
		name   *str
		args   []expr
		line   int
		on     callSite // the object
		site   callSite // the method
	}
)

func (e *call) eval(f *frame) value { return first(e.evalMulti(f)) }

func (e *call) evalMulti(f *frame) []value {
	m := f.vm.mark()
	fn, args := e.prepare(f)
	f.line = e.site.line
	ret := f.vm.call(fn, args, &e.site)
	f.vm.release(m)
	return ret
}

func (e *call) prepare(f *frame) (fn value, args []value) {
	fn = e.fn.eval(f)
	return fn, f.evalAll(e.args)
}

func (e *call) place() *callSite { return &e.site }

func (e *methodCall) eval(f *frame) value { return first(e.evalMulti(f)) }

func (e *methodCall) evalMulti(f *frame) []value {
	m := f.vm.mark()
	fn, args := e.prepare(f)
	f.line = e.site.line
	ret := f.vm.call(fn, args, &e.site)
	f.vm.release(m)
	return ret
}

func (e *methodCall) prepare(f *frame) (fn value, args []value) {
	object := e.object.eval(f)
	f.line = e.line
	fn = f.vm.index(object, value{ref: e.name}, &e.on)
	// The object goes before the arguments, in a place that is made first.
	window := f.vm.push(1)
	window[0] = object
	rest := f.evalAll(e.args)
	args = f.vm.push(1 + len(rest))
	copy(args[1:], rest)
	args[0] = object
	return fn, args
}

func (e *methodCall) place() *callSite { return &e.site }

// A caller is an expression that a function can end in.
type caller interface {
	multiExpr
	prepare(f *frame) (fn value, args []value)
	place() *callSite
}

// endIn makes f end in a call: of a Lua function without going deeper.
func (f *frame) endIn(e caller) {
	fn, args := e.prepare(f)
	site := e.place()
	f.line = site.line
	if target, ok := fn.ref.(*function); ok && target.native == nil {
		f.isTail, f.tailFn, f.tailArgs, f.tailSite = true, target, args, site
		return
	}
	f.ret = f.vm.call(fn, args, site)
}
