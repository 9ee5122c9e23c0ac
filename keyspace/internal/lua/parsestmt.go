package lua

// statement parses one statement, and reports whether it must be the last of
// its block.
func (p *parser) statement() (s stmt, isLast bool) {
	line := p.lex.line
	switch p.token.kind {
	case "if":
		return p.ifStatement(line), false
	case "while":
		return p.whileStatement(line), false
	case "do":
		p.next()
		body := p.block()
		p.match("end", "do", line)
		return &doStmt{body}, false
	case "for":
		return p.forStatement(line), false
	case "repeat":
		return p.repeatStatement(line), false
	case "function":
		return p.functionStatement(line), false
	case "local":
		p.next()
		if p.accept("function") {
			v := p.declare(p.name(), 0)
			p.activate(v)
			return &localFunction{v, p.body(false, p.lex.line)}, false
		}
		return p.localStatement(), false
	case "return":
		return p.returnStatement(), true
	case "break":
		p.next()
		if p.fn.loops == 0 {
			p.fail("no loop to break")
		}
		return &breakStmt{}, true
	}
	return p.expressionStatement(), false
}

func (p *parser) ifStatement(line int) stmt {
	s := &ifStmt{}
	for {
		p.next()
		s.conds = append(s.conds, p.expression())
		p.expect("then")
		s.bodies = append(s.bodies, p.block())
		if !p.is("elseif") {
			break
		}
	}
	if p.accept("else") {
		s.bodies = append(s.bodies, p.block())
	}
	p.match("end", "if", line)
	return s
}

func (p *parser) loop(parse func() *block) *block {
	p.fn.loops++
	b := parse()
	p.fn.loops--
	return b
}

func (p *parser) whileStatement(line int) stmt {
	p.next()
	before := p.nodes
	s := &whileStmt{cond: p.expression()}
	s.cost = 1 + p.nodes - before
	p.expect("do")
	s.body = p.loop(p.block)
	p.match("end", "while", line)
	return s
}

func (p *parser) repeatStatement(line int) stmt {
	p.next()
	active := len(p.fn.active)
	s := &repeatStmt{body: p.loop(p.openBlock)}
	p.match("until", "repeat", line)
	before := p.nodes
	s.cond = p.expression()
	s.cost = 1 + p.nodes - before
	p.fn.active = p.fn.active[:active]
	return s
}

func (p *parser) forStatement(line int) stmt {
	p.next()
	name := p.name()
	switch p.token.kind {
	case "=":
		return p.numericFor(name, line)
	case ",", "in":
		return p.genericFor(name, line)
	}
	p.fail("'=' or 'in' expected")
	return nil
}

// hidden are the names of the variables that a loop has for itself.
const hidden = "(for state)"

func (p *parser) numericFor(name string, line int) stmt {
	p.next()
	s := &numericFor{line: line, from: p.expression()}
	p.expect(",")
	s.until = p.expression()
	if p.accept(",") {
		s.by = p.expression()
	}
	active := len(p.fn.active)
	for range 3 {
		p.activate(p.declare(hidden, 0))
	}
	p.expect("do")
	s.v = p.declare(name, 0)
	p.activate(s.v)
	s.body = p.loop(p.block)
	p.fn.active = p.fn.active[:active]
	p.match("end", "for", line)
	return s
}

func (p *parser) genericFor(name string, line int) stmt {
	active := len(p.fn.active)
	for range 3 {
		p.activate(p.declare(hidden, 0))
	}
	s := &genericFor{vars: []*variable{p.declare(name, 0)}}
	for p.accept(",") {
		s.vars = append(s.vars, p.declare(p.name(), len(s.vars)))
	}
	p.expect("in")
	s.site = callSite{p.lex.line, "local", "(for generator)"}
	hide := p.fn.active
	p.fn.active = p.fn.active[:active]
	s.vals = p.list()
	p.fn.active = hide
	p.expect("do")
	p.activate(s.vars...)
	s.body = p.loop(p.block)
	p.fn.active = p.fn.active[:active]
	p.match("end", "for", line)
	return s
}

func (p *parser) functionStatement(line int) stmt {
	p.next()
	target := p.variable(p.name(), p.lex.line)
	isMethod := false
	for p.is(".") || p.is(":") {
		isMethod = p.is(":")
		p.next()
		target = p.field(target)
		if isMethod {
			break
		}
	}
	return &assignment{targets: []expr{target}, vals: []expr{p.body(isMethod, line)}, line: line}
}

// field makes t.name.
func (p *parser) field(t expr) expr {
	line := p.lex.line
	p.nodes++
	return &index{t: t, k: p.literal(p.name()), line: line, site: siteOf(t, line)}
}

func (p *parser) literal(s string) *literal { return &literal{value{ref: constant(s)}} }

func (p *parser) localStatement() stmt {
	s := &localStmt{}
	for {
		s.vars = append(s.vars, p.declare(p.name(), len(s.vars)))
		if !p.accept(",") {
			break
		}
	}
	if p.accept("=") {
		s.vals = p.list()
	}
	p.nodes += len(s.vars)
	p.activate(s.vars...)
	return s
}

func (p *parser) returnStatement() stmt {
	p.next()
	s := &returnStmt{}
	if !p.endsBlock() && !p.is(";") {
		s.vals = p.list()
	}
	return s
}

// expressionStatement parses a call or an assignment.
func (p *parser) expressionStatement() stmt {
	line := p.lex.line
	e := p.suffixed()
	if c, ok := e.(caller); ok {
		return &callStmt{c}
	}
	s := &assignment{targets: []expr{e}, line: line}
	for {
		switch e.(type) {
		case *localVar, *upvalVar, *globalVar, *index:
		default:
			p.fail("syntax error")
		}
		if !p.accept(",") {
			break
		}
		e = p.suffixed()
		if s.targets = append(s.targets, e); len(s.targets) > maxLevels-p.levels {
			p.limit(maxLevels-p.levels, "variables in assignment")
		}
	}
	p.expect("=")
	s.vals = p.list()
	s.line = p.lastLine
	return s
}

// list parses expressions with commas between them.
func (p *parser) list() []expr {
	es := []expr{p.expression()}
	for p.accept(",") {
		es = append(es, p.expression())
	}
	return es
}

// body parses a function from its parameters on.
func (p *parser) body(isMethod bool, line int) expr {
	nodes := p.nodes
	p.open(&proto{chunk: p.lex.chunk, line: line})
	if isMethod {
		p.activate(p.declare("self", 0))
	}
	p.expect("(")
	for !p.is(")") {
		if p.accept("...") {
			p.fn.proto.isVararg = true
			break
		}
		if !p.is(tokenName) {
			p.fail("<name> or '...' expected")
		}
		p.activate(p.declare(p.name(), 0))
		if !p.accept(",") {
			break
		}
		if p.is(")") {
			p.fail("<name> or '...' expected")
		}
	}
	proto := p.fn.proto
	proto.params = len(p.fn.active)
	var arg *variable
	if proto.isVararg {
		arg = p.declare("arg", 0)
		p.activate(arg)
	}
	p.expect(")")
	body := p.block()
	if !p.fn.usesDot {
		proto.argSlot = arg
	}
	p.match("end", "function", line)
	proto = p.close(body)
	p.nodes = nodes + 1 + len(proto.upvals)
	return &closure{proto}
}
