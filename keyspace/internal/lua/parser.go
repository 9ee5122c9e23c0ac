package lua

import "slices"

// A parser makes the tree of a chunk, by recursive descent. Names are resolved
// on the way.
type parser struct {
	lex      lexer
	token    token
	ahead    token
	hasAhead bool
	lastLine int // of the token before
	fn       *scope
	levels   int // of recursion
	nodes    int // made for the current statement
}

// A scope is a function that is being parsed.
type scope struct {
	parent  *scope
	proto   *proto
	active  []*variable
	loops   int
	usesDot bool // "..." occurs in it
	depth   int  // of the tree at the current place
}

const (
	maxLevels = 195
	maxLocals = 200
	maxUpvals = 60
	maxChain  = 4000 // operators or calls one after the other, which nest to the left
	nestCost  = 4    // of a call itself
)

// parse makes the main function of a source.
func parse(chunk, source string) (p *proto, err error) {
	ps := &parser{lex: lexer{chunk: chunk, src: source, line: 1}}
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *syntaxError:
			p, err = nil, &Error{Text: r.text}
		default:
			panic(r)
		}
	}()
	ps.open(&proto{chunk: chunk, isVararg: true})
	ps.next()
	body := ps.block()
	if ps.token.kind != tokenEOF {
		ps.expected(tokenEOF)
	}
	return ps.close(body), nil
}

func (p *parser) open(proto *proto) {
	proto.nest = nestCost
	p.fn = &scope{parent: p.fn, proto: proto}
}

func (p *parser) close(body *block) *proto {
	proto := p.fn.proto
	proto.body = body
	for _, v := range p.fn.active[:proto.params] {
		if v.isCaptured {
			proto.captured = append(proto.captured, v)
		}
	}
	p.fn = p.fn.parent
	return proto
}

func (p *parser) next() {
	p.lastLine = p.token.line
	if p.hasAhead {
		p.token, p.hasAhead = p.ahead, false
		return
	}
	p.token = p.lex.next()
}

func (p *parser) fail(format string, args ...any) {
	p.lex.fail(p.lex.line, p.token.text, format, args...)
}

func (p *parser) expected(what string) { p.fail("'%s' expected", what) }

func (p *parser) is(kind string) bool { return p.token.kind == kind }

// accept skips a token if it is there.
func (p *parser) accept(kind string) bool {
	if p.is(kind) {
		p.next()
		return true
	}
	return false
}

func (p *parser) expect(kind string) {
	if !p.accept(kind) {
		p.expected(kind)
	}
}

// match expects what closes something that was opened on a line.
func (p *parser) match(kind, opened string, line int) {
	if p.accept(kind) {
		return
	}
	if line == p.lex.line {
		p.expected(kind)
	}
	p.fail("'%s' expected (to close '%s' at line %d)", kind, opened, line)
}

func (p *parser) name() string {
	s := p.token.s
	p.expect(tokenName)
	return s
}

// deeper and back bound the recursion, and with it the depth of the tree.
func (p *parser) deeper() {
	if p.levels++; p.levels > maxLevels {
		p.lex.fail(p.lex.line, "", "chunk has too many syntax levels")
	}
	p.nest(1)
}

func (p *parser) back() {
	p.levels--
	p.fn.depth--
}

// nest notes that the tree goes n nodes deeper here than it was; the caller
// takes it back.
func (p *parser) nest(n int) {
	p.fn.depth += n
	p.fn.proto.nest = max(p.fn.proto.nest, nestCost+3*p.fn.depth)
	p.nodes++
}

// declare makes a local variable, which is not in scope yet.
func (p *parser) declare(name string, pending int) *variable {
	slot := len(p.fn.active) + pending
	if slot >= maxLocals {
		p.limit(maxLocals, "local variables")
	}
	p.fn.proto.slots = max(p.fn.proto.slots, slot+1)
	return &variable{name: name, slot: slot}
}

func (p *parser) limit(n int, what string) {
	if line := p.fn.proto.line; line > 0 {
		p.lex.fail(p.lex.line, "", "function at line %d has more than %d %s", line, n, what)
	}
	p.lex.fail(p.lex.line, "", "main function has more than %d %s", n, what)
}

func (p *parser) activate(vars ...*variable) { p.fn.active = append(p.fn.active, vars...) }

// variable resolves a name.
func (p *parser) variable(name string, line int) expr {
	p.nodes++
	if v := p.fn.local(name); v != nil {
		return &localVar{v}
	}
	if i := p.upvalue(p.fn, name); i >= 0 {
		return &upvalVar{i, name}
	}
	return &globalVar{constant(name), line}
}

func (s *scope) local(name string) *variable {
	for _, v := range slices.Backward(s.active) {
		if v.name == name {
			return v
		}
	}
	return nil
}

// upvalue returns the index of the upvalue by which s knows a variable of the
// functions around it, -1 if there is none.
func (p *parser) upvalue(s *scope, name string) int {
	for i, up := range s.proto.upvals {
		if up.name == name {
			return i
		}
	}
	if s.parent == nil {
		return -1
	}
	up := upvalue{name: name, local: s.parent.local(name)}
	if up.local != nil {
		up.local.isCaptured = true
	} else if up.index = p.upvalue(s.parent, name); up.index < 0 {
		return -1
	}
	if len(s.proto.upvals) == maxUpvals {
		p.limit(maxUpvals, "upvalues")
	}
	s.proto.upvals = append(s.proto.upvals, up)
	return len(s.proto.upvals) - 1
}

// block parses statements up to a word that ends a block. Their variables go
// out of scope.
func (p *parser) block() *block {
	active := len(p.fn.active)
	b := p.openBlock()
	p.fn.active = p.fn.active[:active]
	return b
}

// openBlock is block, but leaves the variables in scope.
func (p *parser) openBlock() *block {
	p.deeper()
	nodes := p.nodes
	b := &block{}
	for isLast := false; !isLast && !p.endsBlock(); {
		p.nodes = 1
		var s stmt
		s, isLast = p.statement()
		p.accept(";")
		b.stmts = append(b.stmts, s)
		b.costs = append(b.costs, p.nodes)
	}
	p.nodes = nodes
	p.back()
	return b
}

func (p *parser) endsBlock() bool {
	switch p.token.kind {
	case "else", "elseif", "end", "until", tokenEOF:
		return true
	}
	return false
}
