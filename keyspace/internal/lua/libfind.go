package lua

import "strings"

func strFind(vm *machine, args []value) []value  { return vm.find(args, true) }
func strMatch(vm *machine, args []value) []value { return vm.find(args, false) }

// find is string.find and string.match.
func (vm *machine) find(args []value, isFind bool) []value {
	s, p := vm.text(args, 0), vm.text(args, 1)
	at := min(max(fromEnd(vm.placeOr(args, 2, 1), len(s))-1, 0), len(s))
	pattern := cutNul(p)
	if isFind && (arg(args, 3).isTrue() || !strings.ContainsAny(pattern, specials)) {
		vm.meter.step((len(s) - at) >> 4)
		vm.meter.data(len(p))
		i := strings.Index(s[at:], p)
		if i < 0 {
			return vm.ret1(value{})
		}
		return vm.ret(number(float64(at+i+1)), number(float64(at+i+len(p))))
	}
	pattern, anchor := strings.CutPrefix(pattern, "^")
	m := &matcher{vm: vm, s: s, p: pattern}
	for ; ; at++ {
		m.level = 0
		if end := m.match(at, 0); end >= 0 {
			if isFind {
				return vm.captures(m, at, end, number(float64(at+1)), number(float64(end)))
			}
			return vm.captures(m, at, end)
		}
		if at >= len(s) || anchor {
			return vm.ret1(value{})
		}
	}
}

// cutNul cuts a string where C thinks it ends, which patterns and formats do
// in Lua 5.1.
func cutNul(s string) string {
	s, _, _ = strings.Cut(s, "\x00")
	return s
}

// captures returns some values and all captures; without captures the whole
// match counts as one, unless there are values.
func (vm *machine) captures(m *matcher, begin, end int, values ...value) []value {
	n := m.level
	if n == 0 && len(values) == 0 {
		n = 1
	}
	for i := range n {
		values = append(values, m.capture(i, begin, end))
	}
	return vm.ret(values...)
}

// strGmatch returns a function that goes on where it stopped.
func strGmatch(vm *machine, args []value) []value {
	s, p := vm.text(args, 0), vm.text(args, 1)
	at := 0
	const cost = 200
	vm.meter.take(cost)
	next := func(vm *machine, _ []value) []value {
		m := &matcher{vm: vm, s: s, p: cutNul(p)}
		for ; at <= len(s); at++ {
			m.level = 0
			begin := at
			if end := m.match(begin, 0); end >= 0 {
				if at = end; end == begin {
					at++
				}
				return vm.captures(m, begin, end)
			}
		}
		return nil
	}
	return vm.ret1(value{ref: &function{native: next, id: vm.newID()}})
}

func strGsub(vm *machine, args []value) []value {
	s, p := vm.text(args, 0), vm.text(args, 1)
	with := arg(args, 2)
	switch with.ref.(type) {
	case isNumber, *str, *table, *function:
	default:
		vm.failArg(2, "string/function/table expected")
	}
	most := vm.intOr(args, 3, len(s)+1)
	pattern, anchor := strings.CutPrefix(cutNul(p), "^")
	m := &matcher{vm: vm, s: s, p: pattern}
	out := builder{vm: vm}
	n, at := 0, 0
	for n < most {
		m.level = 0
		end := m.match(at, 0)
		if end >= 0 {
			n++
			m.replace(&out, at, end, with)
		}
		if end > at {
			at = end
		} else if at < len(s) {
			out.byte(s[at])
			at++
		} else {
			break
		}
		if anchor {
			break
		}
	}
	if at < len(s) {
		out.string(s[at:])
	}
	return vm.ret(out.value(), number(float64(n)))
}

// replace appends what a match is replaced with: the match itself if that is
// nil or false.
func (m *matcher) replace(out *builder, begin, end int, with value) {
	var v value
	switch with.ref.(type) {
	case *function:
		var captures []value
		for i := range max(m.level, 1) {
			captures = append(captures, m.capture(i, begin, end))
		}
		v = first(m.vm.callNested(with, captures...))
	case *table:
		v = m.vm.index(with, m.capture(0, begin, end), nil)
	default:
		text, _ := with.toStr()
		m.expand(out, begin, end, text)
		return
	}
	if !v.isTrue() {
		out.string(m.s[begin:end])
		return
	}
	text, ok := v.toStr()
	if !ok {
		m.vm.failCaller("invalid replacement value (a %s)", v.typeName())
	}
	out.string(text)
}

// expand appends a replacement, in which %1 is a capture.
func (m *matcher) expand(out *builder, begin, end int, text string) {
	m.vm.meter.data(len(text))
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] != '%':
			out.byte(text[i])
		case i+1 == len(text):
			out.byte(0) // what Lua 5.1 reads behind its string
		case !isDigit(text[i+1]):
			i++
			out.byte(text[i])
		case text[i+1] == '0':
			i++
			out.string(m.s[begin:end])
		default:
			i++
			s, _ := m.capture(int(text[i]-'1'), begin, end).toStr()
			out.string(s)
		}
	}
}

// A builder makes a string, and counts it as it grows.
type builder struct {
	vm  *machine
	buf []byte
}

func (b *builder) grow(n int) {
	if free := cap(b.buf) - len(b.buf); n > free {
		size := max(2*cap(b.buf), len(b.buf)+n, 64)
		b.vm.meter.take(size)
		b.vm.meter.give(cap(b.buf))
		buf := make([]byte, len(b.buf), size)
		copy(buf, b.buf)
		b.buf = buf
	}
}

func (b *builder) byte(c byte) {
	b.grow(1)
	b.buf = append(b.buf, c)
}

func (b *builder) string(s string) {
	b.grow(len(s))
	b.vm.meter.data(len(s))
	b.buf = append(b.buf, s...)
}

// value ends the string.
func (b *builder) value() value {
	v := b.vm.str(string(b.buf))
	b.vm.meter.give(cap(b.buf))
	b.buf = nil
	return v
}
