package lua

// The operators of two sides, with how strongly they bind to the left and to
// the right.
func priority(op string) (left, right int) {
	switch op {
	case "+", "-":
		return 6, 6
	case "*", "/", "%":
		return 7, 7
	case "^":
		return 10, 9
	case "..":
		return 5, 4
	case "~=", "==", "<", "<=", ">", ">=":
		return 3, 3
	case "and":
		return 2, 2
	case "or":
		return 1, 1
	}
	return 0, 0
}

const unaryPriority = 8

func (p *parser) expression() expr { return p.operators(0) }

// operators parses an expression up to an operator that binds no stronger
// than limit.
func (p *parser) operators(limit int) expr {
	p.deeper()
	var e expr
	switch op := p.token.kind; op {
	case "not", "-", "#":
		p.next()
		e = p.unary(op, p.operators(unaryPriority))
	default:
		e = p.simple()
	}
	chain := 0
	for {
		op := p.token.kind
		left, right := priority(op)
		if left <= limit {
			break
		}
		// What is chained nests to the left; the depth is given back below.
		p.nest(1)
		if chain++; chain > maxChain {
			p.lex.fail(p.lex.line, "", "chunk has too many syntax levels")
		}
		p.next()
		e = p.binary(op, e, p.operators(right))
	}
	p.fn.depth -= chain
	p.back()
	return e
}

func (p *parser) unary(op string, e expr) expr {
	switch op {
	case "not":
		return &negation{e}
	case "#":
		return &size{e, p.lastLine}
	}
	if l, ok := e.(*literal); ok {
		if n, ok := l.v.asNumber(); ok {
			return &literal{number(-n)}
		}
	}
	return &minus{e, p.lastLine}
}

func (p *parser) binary(op string, a, b expr) expr {
	line := p.lastLine
	switch op {
	case "and", "or":
		// What the left side decides is not decided again, which shows in how
		// messages name the value.
		if l, ok := a.(*literal); ok && l.v.isTrue() == (op == "and") {
			return &paren{b}
		}
		return &logical{a, b, op == "or"}
	case "==", "~=":
		return &equality{a, b, op == "~=", line}
	case "<", "<=":
		return &comparison{a, b, op == "<=", false, line}
	case ">", ">=":
		return &comparison{a, b, op == ">=", true, line}
	case "..":
		if rest, ok := b.(*concat); ok {
			rest.parts = append([]expr{a}, rest.parts...)
			return rest
		}
		return &concat{[]expr{a, b}, line}
	}
	return &arithmetic{a, b, op[0], line}
}

func (p *parser) simple() expr {
	t := p.token
	switch t.kind {
	case tokenNumber:
		p.next()
		return &literal{number(t.n)}
	case tokenString:
		p.next()
		return p.literal(t.s)
	case "nil":
		p.next()
		return &literal{}
	case "true", "false":
		p.next()
		return &literal{boolean(t.kind == "true")}
	case "...":
		if !p.fn.proto.isVararg {
			p.fail("cannot use '...' outside a vararg function")
		}
		p.next()
		p.fn.usesDot = true
		return &varargs{}
	case "{":
		return p.constructor()
	case "function":
		p.next()
		return p.body(false, p.lex.line)
	}
	return p.suffixed()
}

// suffixed parses a name or an expression in parentheses, and the fields and
// calls that follow.
func (p *parser) suffixed() expr {
	line := p.lex.line
	var e expr
	switch p.token.kind {
	case "(":
		p.next()
		e = p.expression()
		p.match(")", "(", line)
		if _, ok := e.(multiExpr); ok {
			e = &paren{e}
		} else if _, ok := e.(*concat); ok {
			e = &paren{e} // so that (a..b)..c is not a..b..c
		} else if isPlace(e) {
			e = &paren{e}
		}
	case tokenName:
		e = p.variable(p.name(), line)
	default:
		p.fail("unexpected symbol")
	}
	chain := 0
	for {
		next, ok := p.suffix(e)
		if !ok {
			break
		}
		p.nest(1)
		if chain++; chain > maxChain {
			p.lex.fail(p.lex.line, "", "chunk has too many syntax levels")
		}
		e = next
	}
	p.fn.depth -= chain
	return e
}

// isPlace reports whether one can assign to e. In parentheses one cannot.
func isPlace(e expr) bool {
	switch e.(type) {
	case *localVar, *upvalVar, *globalVar, *index:
		return true
	}
	return false
}

func (p *parser) suffix(e expr) (expr, bool) {
	switch p.token.kind {
	case ".":
		p.next()
		return p.field(e), true
	case "[":
		p.next()
		line := p.lex.line
		k := p.expression()
		p.expect("]")
		return &index{t: e, k: k, line: line, site: siteOf(e, line)}, true
	case ":":
		p.next()
		line := p.lex.line
		name := constant(p.name())
		args, at := p.arguments()
		return &methodCall{
			object: e, name: name, args: args, line: line, on: siteOf(e, line),
			site: callSite{at, "method", name.s},
		}, true
	case "(", tokenString, "{":
		args, at := p.arguments()
		return &call{fn: e, args: args, site: siteOf(e, at)}, true
	}
	return nil, false
}

// arguments parses the arguments of a call, and returns its line.
func (p *parser) arguments() (args []expr, line int) {
	line = p.lex.line
	switch p.token.kind {
	case tokenString:
		args = []expr{p.literal(p.token.s)}
		p.next()
	case "{":
		args = []expr{p.constructor()}
	case "(":
		if line != p.lastLine {
			p.fail("ambiguous syntax (function call x new statement)")
		}
		p.next()
		if !p.is(")") {
			args = p.list()
		}
		p.match(")", "(", line)
	default:
		p.fail("function arguments expected")
	}
	return args, line
}

func (p *parser) constructor() expr {
	line := p.lex.line
	c := &constructor{line: line}
	p.expect("{")
	for !p.is("}") {
		p.item(c)
		if !p.accept(",") && !p.accept(";") {
			break
		}
	}
	p.match("}", "{", line)
	c.nArray, c.nPairs = len(c.items), len(c.pairs)
	if n := len(c.items); n > 0 {
		if _, ok := c.items[n-1].(multiExpr); ok {
			c.nArray--
		}
	}
	c.nArray, c.nPairs = roundSize(c.nArray), roundSize(c.nPairs)
	return c
}

func (p *parser) item(c *constructor) {
	p.nodes++
	switch {
	case p.is(tokenName):
		if !p.hasAhead {
			p.ahead, p.hasAhead = p.lex.next(), true
		}
		if p.ahead.kind != "=" {
			break
		}
		k := p.literal(p.name())
		p.next()
		c.pairs = append(c.pairs, pair{len(c.items), k, p.expression()})
		return
	case p.accept("["):
		k := p.expression()
		p.expect("]")
		p.expect("=")
		c.pairs = append(c.pairs, pair{len(c.items), k, p.expression()})
		return
	}
	c.items = append(c.items, p.expression())
}

// roundSize rounds a table's size up as Lua's instructions do, which hold five
// bits of exponent and three of mantissa.
func roundSize(n int) int {
	shift := 0
	for n >= 16 {
		n = (n + 1) >> 1
		shift++
	}
	return n << shift
}
