package lua

import "slices"

// A signal says how a statement ended.
type signal int

const (
	goOn signal = iota
	broke
	returned
)

// A statement is a node of the source that does something.
type stmt interface {
	exec(f *frame) signal
}

// A block is a list of statements. Each is counted before it runs, by the
// number of its nodes.
type block struct {
	stmts []stmt
	costs []int
}

func (b *block) exec(f *frame) signal {
	for i, s := range b.stmts {
		f.vm.meter.step(b.costs[i])
		if sig := s.exec(f); sig != goOn {
			return sig
		}
	}
	return goOn
}

type (
	localStmt struct {
		vars []*variable
		vals []expr
	}
	localFunction struct {
		v *variable
		e expr
	}
	assignment struct {
		targets []expr
		vals    []expr
		line    int
	}
	callStmt  struct{ e multiExpr }
	doStmt    struct{ body *block }
	whileStmt struct {
		cond expr
		body *block
		cost int
	}
	repeatStmt struct {
		cond expr
		body *block
		cost int
	}
	ifStmt struct {
		conds  []expr
		bodies []*block // one more than conds if there is an else
	}
	numericFor struct {
		v               *variable
		from, until, by expr // by may be nil
		body            *block
		line            int
	}
	genericFor struct {
		vars []*variable
		vals []expr
		body *block
		site callSite
	}
	returnStmt struct{ vals []expr }
	breakStmt  struct{}
)

func (s *localStmt) exec(f *frame) signal {
	if len(s.vars) == 1 && len(s.vals) == 1 {
		s.vars[0].declare(f, s.vals[0].eval(f))
		return goOn
	}
	m := f.vm.mark()
	vals := f.evalAll(s.vals)
	for i, v := range s.vars {
		if i < len(vals) {
			v.declare(f, vals[i])
		} else {
			v.declare(f, value{})
		}
	}
	f.vm.release(m)
	return goOn
}

func (s *localFunction) exec(f *frame) signal {
	s.v.declare(f, value{})
	s.v.assign(f, s.e.eval(f))
	return goOn
}

func (s *assignment) exec(f *frame) signal {
	if len(s.targets) == 1 && len(s.vals) == 1 {
		return s.one(f)
	}
	m := f.vm.mark()
	places := f.vm.push(2 * len(s.targets))
	for i, target := range s.targets {
		if t, ok := target.(*index); ok {
			places[2*i] = t.t.eval(f)
			places[2*i+1] = t.k.eval(f)
		}
	}
	vals := f.evalAll(s.vals)
	for i, target := range slices.Backward(s.targets) {
		var v value
		if i < len(vals) {
			v = vals[i]
		}
		s.store(f, target, places[2*i], places[2*i+1], v)
	}
	f.vm.release(m)
	return goOn
}

func (s *assignment) one(f *frame) signal {
	var t, k value
	if target, ok := s.targets[0].(*index); ok {
		t = target.t.eval(f)
		k = target.k.eval(f)
	}
	s.store(f, s.targets[0], t, k, s.vals[0].eval(f))
	return goOn
}

func (s *assignment) store(f *frame, target expr, t, k, v value) {
	switch target := target.(type) {
	case *localVar:
		target.v.assign(f, v)
	case *upvalVar:
		f.fn.upvals[target.index].v = v
	case *globalVar:
		f.line = s.line
		f.vm.failReadonly()
	case *index:
		f.line = s.line
		f.vm.setIndex(t, k, v, &target.site)
	}
}

func (s *callStmt) exec(f *frame) signal {
	s.e.evalMulti(f)
	return goOn
}

func (s *doStmt) exec(f *frame) signal { return s.body.exec(f) }

func (s *whileStmt) exec(f *frame) signal {
	for s.cond.eval(f).isTrue() {
		f.vm.meter.step(s.cost)
		switch s.body.exec(f) {
		case broke:
			return goOn
		case returned:
			return returned
		}
	}
	return goOn
}

func (s *repeatStmt) exec(f *frame) signal {
	for {
		f.vm.meter.step(s.cost)
		switch s.body.exec(f) {
		case broke:
			return goOn
		case returned:
			return returned
		}
		if s.cond.eval(f).isTrue() {
			return goOn
		}
	}
}

func (s *ifStmt) exec(f *frame) signal {
	for i, cond := range s.conds {
		if cond.eval(f).isTrue() {
			return s.bodies[i].exec(f)
		}
	}
	if len(s.bodies) > len(s.conds) {
		return s.bodies[len(s.conds)].exec(f)
	}
	return goOn
}

func (s *numericFor) exec(f *frame) signal {
	from, until, by := s.from.eval(f), s.until.eval(f), number(1)
	if s.by != nil {
		by = s.by.eval(f)
	}
	f.line = s.line
	at := f.vm.forNumber(from, "initial value")
	last := f.vm.forNumber(until, "limit")
	step := f.vm.forNumber(by, "step")
	// Lua goes one step back first, which shows in fractions.
	for at = at - step + step; step > 0 && at <= last || step <= 0 && last <= at; at += step {
		f.vm.meter.step(2)
		s.v.declare(f, number(at))
		switch s.body.exec(f) {
		case broke:
			return goOn
		case returned:
			return returned
		}
	}
	return goOn
}

func (vm *machine) forNumber(v value, what string) float64 {
	n, ok := v.toNumber()
	if !ok {
		vm.fail("'for' %s must be a number", what)
	}
	return n
}

func (s *genericFor) exec(f *frame) signal {
	vm := f.vm
	m := vm.mark()
	control := f.evalAll(s.vals)
	state := vm.push(3)
	clear(state[copy(state, control):])
	fn := state[0]
	args := vm.push(2)
	sig := goOn
	for {
		vm.meter.step(2)
		args[0], args[1] = state[1], state[2]
		f.line = s.site.line
		ret := vm.call(fn, args, &s.site)
		if state[2] = first(ret); state[2].isNil() {
			break
		}
		for i, v := range s.vars {
			if i < len(ret) {
				v.declare(f, ret[i])
			} else {
				v.declare(f, value{})
			}
		}
		if sig = s.body.exec(f); sig == broke || sig == returned {
			break
		}
	}
	if sig == broke {
		sig = goOn
	}
	vm.release(m)
	return sig
}

func (s *returnStmt) exec(f *frame) signal {
	switch len(s.vals) {
	case 0:
		f.ret = nil
	case 1:
		switch e := s.vals[0].(type) {
		case caller:
			f.endIn(e)
		case multiExpr:
			f.ret = e.evalMulti(f)
		default:
			f.ret = f.vm.ret1(e.eval(f))
		}
	default:
		f.ret = f.evalAll(s.vals)
	}
	return returned
}

func (s *breakStmt) exec(*frame) signal { return broke }
