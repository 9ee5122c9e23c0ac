package lua

import "strings"

// A matcher matches a Lua pattern. It goes back as far as the pattern makes
// it, so each of its steps is counted.
type matcher struct {
	vm       *machine
	s, p     string
	level    int // captures begun
	captures [maxCaptures]capture
	depth    int
}

// A capture is a part of the subject. Its length is one of the two marks until
// it ends.
type capture struct{ begin, length int }

const (
	maxCaptures = 32
	maxDepth    = 5000
	unclosed    = -1
	position    = -2
)

const specials = "^$*+?.([%-"

// match tries the pattern from p on at s, and returns where the match ends, -1
// if there is none.
func (m *matcher) match(s, p int) int {
	if m.depth++; m.depth > maxDepth {
		m.vm.failCaller("pattern too complex")
	}
	e := m.try(s, p)
	m.depth--
	return e
}

// try is match, which bounds its depth.
func (m *matcher) try(s, p int) int {
	for {
		m.vm.meter.step(1)
		if p == len(m.p) {
			return s
		}
		switch m.p[p] {
		case '(':
			if p+1 < len(m.p) && m.p[p+1] == ')' {
				return m.begin(s, p+2, position)
			}
			return m.begin(s, p+1, unclosed)
		case ')':
			return m.end(s, p+1)
		case '%':
			if to, next, ok := m.special(s, p); ok {
				if to < 0 {
					return -1
				}
				s, p = to, next
				continue
			}
		case '$':
			if p+1 == len(m.p) {
				if s == len(m.s) {
					return s
				}
				return -1
			}
		}
		end := m.classEnd(p)
		var repeat byte
		if end < len(m.p) {
			repeat = m.p[end]
		}
		switch repeat {
		case '?':
			if s < len(m.s) && m.single(s, p, end) {
				if e := m.match(s+1, end+1); e >= 0 {
					return e
				}
			}
			p = end + 1
		case '*':
			return m.most(s, p, end)
		case '+':
			if s < len(m.s) && m.single(s, p, end) {
				return m.most(s+1, p, end)
			}
			return -1
		case '-':
			return m.least(s, p, end)
		default:
			if s >= len(m.s) || !m.single(s, p, end) {
				return -1
			}
			s++
			p = end
		}
	}
}

// special matches %b, %f and %1 at p, and reports whether it is one of them.
// to is -1 if it does not match, next what follows it in the pattern.
func (m *matcher) special(s, p int) (to, next int, ok bool) {
	if p+1 == len(m.p) {
		return 0, 0, false
	}
	switch c := m.p[p+1]; {
	case c == 'b':
		return m.balance(s, p+2), p + 4, true
	case c == 'f':
		p += 2
		if p >= len(m.p) || m.p[p] != '[' {
			m.vm.failCaller("missing '[' after '%%f' in pattern")
		}
		end := m.classEnd(p)
		var before, after byte
		if s > 0 {
			before = m.s[s-1]
		}
		if s < len(m.s) {
			after = m.s[s]
		}
		if m.inSet(before, p, end-1) || !m.inSet(after, p, end-1) {
			return -1, 0, true
		}
		return s, end, true
	case isDigit(c):
		return m.back(s, c), p + 2, true
	}
	return 0, 0, false
}

// most matches as many as there are, then fewer.
func (m *matcher) most(s, p, end int) int {
	n := 0
	for s+n < len(m.s) && m.single(s+n, p, end) {
		n++
	}
	m.vm.meter.step(n >> 2)
	for ; n >= 0; n-- {
		if e := m.match(s+n, end+1); e >= 0 {
			return e
		}
	}
	return -1
}

// least matches none, then more.
func (m *matcher) least(s, p, end int) int {
	for {
		if e := m.match(s, end+1); e >= 0 {
			return e
		}
		if s >= len(m.s) || !m.single(s, p, end) {
			return -1
		}
		s++
	}
}

func (m *matcher) begin(s, p, what int) int {
	if m.level >= maxCaptures {
		m.vm.failCaller("too many captures")
	}
	m.captures[m.level] = capture{s, what}
	m.level++
	e := m.match(s, p)
	if e < 0 {
		m.level--
	}
	return e
}

func (m *matcher) end(s, p int) int {
	level := -1
	for i := m.level - 1; i >= 0; i-- {
		if m.captures[i].length == unclosed {
			level = i
			break
		}
	}
	if level < 0 {
		m.vm.failCaller("invalid pattern capture")
	}
	m.captures[level].length = s - m.captures[level].begin
	e := m.match(s, p)
	if e < 0 {
		m.captures[level].length = unclosed
	}
	return e
}

// balance matches %bxy.
func (m *matcher) balance(s, p int) int {
	if p+1 >= len(m.p) {
		m.vm.failCaller("unbalanced pattern")
	}
	if s >= len(m.s) || m.s[s] != m.p[p] {
		return -1
	}
	open, shut, depth := m.p[p], m.p[p+1], 1
	for i := s + 1; i < len(m.s); i++ {
		switch m.s[i] {
		case shut:
			if depth--; depth == 0 {
				m.vm.meter.step((i - s) >> 2)
				return i + 1
			}
		case open:
			depth++
		}
	}
	m.vm.meter.step((len(m.s) - s) >> 2)
	return -1
}

// back matches what a capture has matched.
func (m *matcher) back(s int, c byte) int {
	i := int(c) - '1'
	if i < 0 || i >= m.level || m.captures[i].length == unclosed {
		m.vm.failCaller("invalid capture index")
	}
	got := m.captures[i]
	if got.length < 0 {
		return -1
	}
	text := m.s[got.begin : got.begin+got.length]
	m.vm.meter.step(len(text) >> 4)
	if !strings.HasPrefix(m.s[s:], text) {
		return -1
	}
	return s + len(text)
}

// classEnd returns where the class at p ends.
func (m *matcher) classEnd(p int) int {
	c := m.p[p]
	p++
	switch c {
	case '%':
		if p == len(m.p) {
			m.vm.failCaller("malformed pattern (ends with '%%')")
		}
		return p + 1
	case '[':
		begin := p
		if p < len(m.p) && m.p[p] == '^' {
			p++
		}
		for isFirst := true; isFirst || p >= len(m.p) || m.p[p] != ']'; isFirst = false {
			if p >= len(m.p) {
				m.vm.failCaller("malformed pattern (missing ']')")
			}
			p++
			if m.p[p-1] == '%' && p < len(m.p) {
				p++
			}
		}
		m.vm.meter.step((p - begin) >> 2)
		return p + 1
	}
	return p
}

// single reports whether the byte at s is of the class from p to end.
func (m *matcher) single(s, p, end int) bool {
	c := m.s[s]
	switch m.p[p] {
	case '.':
		return true
	case '%':
		return inClass(c, m.p[p+1])
	case '[':
		m.vm.meter.step((end - p) >> 3)
		return m.inSet(c, p, end-1)
	}
	return m.p[p] == c
}

// inSet reports whether c is in the set whose brackets are at p and end.
func (m *matcher) inSet(c byte, p, end int) bool {
	found := true
	p++
	if m.p[p] == '^' {
		found = false
		p++
	}
	for ; p < end; p++ {
		switch {
		case m.p[p] == '%' && p+1 < len(m.p):
			p++
			if inClass(c, m.p[p]) {
				return found
			}
		case p+2 < end && m.p[p+1] == '-':
			if m.p[p] <= c && c <= m.p[p+2] {
				return found
			}
			p += 2
		case m.p[p] == c:
			return found
		}
	}
	return !found
}

// inClass reports whether c is of a class like %a, in the C locale. Any other
// letter after % stands for itself.
func inClass(c, class byte) bool {
	var is bool
	switch class | ' ' {
	case 'a':
		is = isAlpha(c)
	case 'c':
		is = c < ' ' || c == 127
	case 'd':
		is = isDigit(c)
	case 'l':
		is = 'a' <= c && c <= 'z'
	case 'p':
		is = ' ' < c && c < 127 && !isAlpha(c) && !isDigit(c)
	case 's':
		is = isSpace(c)
	case 'u':
		is = 'A' <= c && c <= 'Z'
	case 'w':
		is = isAlpha(c) || isDigit(c)
	case 'x':
		is = isHex(c)
	case 'z':
		is = c == 0
	default:
		return class == c
	}
	if !isAlpha(class) {
		return class == c
	}
	return is == (class >= 'a')
}

// capture returns capture i, or the whole match if there are none.
func (m *matcher) capture(i, begin, end int) value {
	if i >= m.level {
		if i > 0 {
			m.vm.failCaller("invalid capture index")
		}
		return m.vm.str(m.s[begin:end])
	}
	switch c := m.captures[i]; c.length {
	case unclosed:
		m.vm.failCaller("unfinished capture")
		return value{}
	case position:
		return number(float64(c.begin + 1))
	default:
		return m.vm.str(m.s[c.begin : c.begin+c.length])
	}
}
