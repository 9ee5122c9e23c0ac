package lua

import "fmt"

// A machine runs one script at a time. It is reused: all that a script can change
// is made anew for each run, but for the memory of the stack.
type machine struct {
	meter meter
	lib   *library
	host  Host
	proto int // RESP version that the script asked for

	keys, argv *table
	globals    *table // made when a script asks for _G
	random     lrand48
	ids        uint32 // of the objects made

	stack   []value // chunk in use; frames hold slices of it, or of chunks before
	top     int     // in use of the chunk
	high    int     // most that was in use, to be cleared afterwards
	held    int     // values in use in all frames
	frames  []*frame
	depth   int // frames in use
	nested  int // Go stack in use, in nodes
	native  int // calls through native code
	one     [1]value
	json    jsonOptions
	command [][]byte // being called
}

const (
	maxFrames = 16383   // calls in calls
	maxNested = 400_000 // nodes in nodes: about 80 bytes of Go's stack each
	maxNative = 199     // of those, through metamethods, pcall, gsub, sort
	maxHeld   = 500_000
	callSteps = 4
	failSteps = 100 // an error unwinds the stack, which takes its time
)

// A frame is a call that has not returned.
type frame struct {
	vm      *machine
	fn      *function
	regs    []value
	varargs []value
	ret     []value
	line    int       // of the call being made
	site    *callSite // that led here, nil if native code did

	isTail   bool // the frame ends in this call of a Lua function
	tailFn   *function
	tailArgs []value
	tailSite *callSite
}

// A callSite is what the source says about the function that is called there.
type callSite struct {
	line int
	kind string // local, global, field, method, upvalue; "" if it has no name
	name string
}

// A luaError is an error that a script raised or ran into, as a panic.
type luaError struct {
	v      value
	source string // where the top-level handler of Redis sees it
	line   int
}

func (e *luaError) Error() string {
	text, _ := e.v.toStr()
	return text
}

func (vm *machine) newID() uint32 {
	vm.ids++
	return vm.ids
}

func (vm *machine) newTable(array, pairs int) *table {
	return newTable(&vm.meter, vm.newID(), array, pairs)
}

// str makes a string value, and counts it.
func (vm *machine) str(s string) value {
	const cost = 48
	vm.meter.take(cost + len(s))
	vm.meter.data(len(s))
	return value{ref: &str{s: s}}
}

// push returns n values of the stack, which hold anything. They are taken
// back by setting top to what it was.
func (vm *machine) push(n int) []value {
	if vm.held += n; vm.held > maxHeld {
		vm.held -= n
		vm.fail("stack overflow")
	}
	if vm.top+n > len(vm.stack) {
		vm.stack = make([]value, max(2*len(vm.stack), 2*n, 1024))
		vm.top, vm.high = 0, 0
	}
	begin := vm.top
	vm.top += n
	vm.high = max(vm.high, vm.top)
	return vm.stack[begin:vm.top:vm.top]
}

// A mark is a place of the stack to go back to. Where the stack has moved to
// a larger chunk in the meantime, the place is that chunk's beginning.
type mark struct {
	chunk     *value
	top, held int
}

func (vm *machine) mark() mark {
	if len(vm.stack) == 0 {
		return mark{}
	}
	return mark{&vm.stack[0], vm.top, vm.held}
}

func (vm *machine) release(m mark) {
	vm.held = m.held
	if len(vm.stack) > 0 && m.chunk == &vm.stack[0] {
		vm.top = m.top
	} else {
		vm.top = 0
	}
}

// enter begins a call.
func (vm *machine) enter(fn *function, site *callSite) *frame {
	if vm.depth >= maxFrames {
		vm.fail("stack overflow")
	}
	if vm.depth == len(vm.frames) {
		vm.frames = append(vm.frames, &frame{vm: vm})
	}
	f := vm.frames[vm.depth]
	vm.depth++
	f.fn, f.site, f.line = fn, site, 0
	f.varargs, f.ret, f.isTail = nil, nil, false
	return f
}

// call calls fn and returns its results, which are good until the next call.
func (vm *machine) call(fn value, args []value, site *callSite) []value {
	vm.meter.step(callSteps)
	target, ok := fn.ref.(*function)
	if !ok {
		handler := vm.metaOf(fn, metaCall)
		if target, ok = handler.ref.(*function); !ok {
			vm.failType("call", fn, site)
		}
		m := vm.mark()
		defer vm.release(m)
		with := vm.push(len(args) + 1)
		copy(with[1:], args)
		with[0] = fn
		args = with
	}
	if target.native != nil {
		vm.enter(target, site)
		ret := target.native(vm, args)
		vm.depth--
		return ret
	}
	return vm.run(target, args, site)
}

// run calls a Lua function, and the functions that it ends in.
func (vm *machine) run(fn *function, args []value, site *callSite) []value {
	if vm.nested+fn.proto.nest > maxNested {
		vm.fail("stack overflow")
	}
	m := vm.mark()
	f := vm.enter(fn, site)
	for {
		p := fn.proto
		vm.nested += p.nest
		f.regs = vm.push(p.slots)
		n := copy(f.regs[:p.params], args)
		clear(f.regs[n:])
		if p.isVararg && len(args) > p.params {
			f.varargs = args[p.params:]
		}
		p.enter(f)
		p.body.exec(f)
		vm.nested -= p.nest
		if !f.isTail {
			break
		}
		// The arguments lie in this frame's stack: it is given up first.
		args = vm.settle(m, f.tailArgs)
		fn = f.tailFn
		f.fn, f.site = fn, f.tailSite
		f.isTail, f.varargs, f.ret, f.line = false, nil, nil, 0
		vm.meter.step(callSteps)
	}
	ret := f.ret
	f.ret, f.varargs, f.regs = nil, nil, nil
	vm.depth--
	vm.release(m)
	return ret
}

// settle gives the stack back up to m, and then takes what args need.
func (vm *machine) settle(m mark, args []value) []value {
	vm.release(m)
	place := vm.push(len(args))
	copy(place, args)
	return place
}

// callNested calls from native code, which takes Go's stack.
func (vm *machine) callNested(fn value, args ...value) []value {
	if vm.native++; vm.native > maxNative {
		vm.native--
		vm.fail("C stack overflow")
	}
	ret := vm.call(fn, args, nil)
	vm.native--
	return ret
}

// first returns the first of a call's results.
func first(ret []value) value {
	if len(ret) == 0 {
		return value{}
	}
	return ret[0]
}

// ret1 returns one value from native code.
func (vm *machine) ret1(v value) []value {
	vm.one[0] = v
	return vm.one[:]
}

// ret returns several values from native code.
func (vm *machine) ret(vs ...value) []value {
	m := vm.mark()
	out := vm.push(len(vs))
	copy(out, vs)
	vm.release(m)
	return out
}

// protect calls fn and returns the error it raises. A stop is not an error,
// and passes.
func (vm *machine) protect(fn value, args []value) (ret []value, failed *luaError) {
	if vm.native++; vm.native > maxNative {
		vm.native--
		vm.fail("C stack overflow")
	}
	m, depth, nested, native := vm.mark(), vm.depth, vm.nested, vm.native
	defer func() {
		if p := recover(); p != nil {
			e, ok := p.(*luaError)
			if !ok {
				panic(p)
			}
			vm.release(m)
			vm.depth, vm.nested, failed = depth, nested, e
		}
		vm.native = native - 1
	}()
	return vm.call(fn, args, nil), nil
}

// raise raises an error. Where it comes from is kept for the message of an
// error that nobody catches.
func (vm *machine) raise(v value) {
	vm.meter.step(failSteps + vm.depth)
	e := &luaError{v: v, source: "=[C]", line: -1}
	level := vm.depth - 1
	if level >= 0 && vm.frames[level].fn.native != nil {
		level--
	}
	if level >= 0 && vm.frames[level].fn.native == nil {
		e.source, e.line = vm.frames[level].fn.proto.chunk, vm.frames[level].line
	}
	panic(e)
}

// fail raises an error of the running code itself: it is told where it is
// only if it is Lua.
func (vm *machine) fail(format string, args ...any) {
	vm.raise(vm.str(vm.where(0) + fmt.Sprintf(format, args...)))
}

// failCaller raises an error of native code, for which its caller is to blame.
func (vm *machine) failCaller(format string, args ...any) []value {
	vm.raise(vm.str(vm.where(1) + fmt.Sprintf(format, args...)))
	return nil
}

// where tells the line that the function at a level is at: level 0 is the one
// that runs.
func (vm *machine) where(level int) string {
	at := vm.depth - 1 - level
	if at < 0 || at >= vm.depth || vm.frames[at].fn.native != nil {
		return ""
	}
	f := vm.frames[at]
	return fmt.Sprintf("%s:%d: ", chunkName(f.fn.proto.chunk), f.line)
}

// failType says that an operation does not go with a value.
func (vm *machine) failType(operation string, v value, site *callSite) {
	if site != nil && site.kind != "" && site.name[0] != '(' {
		vm.fail("attempt to %s %s '%s' (a %s value)", operation, site.kind, site.name, v.typeName())
	}
	vm.fail("attempt to %s a %s value", operation, v.typeName())
}
