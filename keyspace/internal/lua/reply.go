package lua

import (
	"bytes"
	"math"
	"strconv"
	"strings"
)

// A replyReader turns replies of commands into values.
type replyReader struct {
	vm   *machine
	data []byte
}

var (
	nameMap       = constant("map")
	nameSet       = constant("set")
	nameDouble    = constant("double")
	nameBigNumber = constant("big_number")
	nameVerbatim  = constant("verbatim_string")
	nameString    = constant("string")
	nameFormat    = constant("format")
)

// read reads one reply. What is no reply is taken for nil.
func (r *replyReader) read() value {
	r.vm.meter.step(1)
	kind, line := r.line()
	n, err := strconv.ParseInt(line, 10, 64)
	switch kind {
	case ':':
		return number(float64(n))
	case '$', '*':
		if n < 0 || err != nil {
			return boolean(false)
		}
		if kind == '$' {
			return r.vm.str(r.body(n))
		}
		return r.array(n)
	case '+':
		return r.vm.single(nameOK, r.vm.str(line))
	case '-':
		t := r.vm.newTable(0, 2)
		t.setStr(nameErr, r.vm.str(withCode(line)))
		t.setStr(nameIgnore, boolean(true))
		return value{ref: t}
	case '%':
		return r.pairs(n, nameMap)
	case '~':
		return r.pairs(n, nameSet)
	case '#':
		return boolean(line == "t")
	case ',':
		f, _ := parseNumber(line)
		return r.vm.single(nameDouble, number(f))
	case '(':
		return r.vm.single(nameBigNumber, r.vm.str(line))
	case '=':
		return r.verbatim(n)
	}
	return value{}
}

func (r *replyReader) line() (kind byte, line string) {
	end := bytes.Index(r.data, []byte("\r\n"))
	if end < 1 {
		r.data = nil
		return 0, ""
	}
	kind, line = r.data[0], string(r.data[1:end])
	r.data = r.data[end+2:]
	return kind, line
}

func (r *replyReader) body(n int64) string {
	n = min(n, int64(len(r.data)))
	s := string(r.data[:n])
	r.data = r.data[min(n+2, int64(len(r.data))):]
	return s
}

// count bounds the length that a reply says it has by what there is of it.
func (r *replyReader) count(n int64) int { return int(max(min(n, int64(len(r.data))), 0)) }

func (r *replyReader) array(n int64) value {
	t := r.vm.newTable(r.count(n), 0)
	for i := range r.count(n) {
		t.array[i] = r.read()
	}
	return value{ref: t}
}

// pairs reads a map, or a set as a map to true.
func (r *replyReader) pairs(n int64, name *str) value {
	outer := r.vm.newTable(0, 1)
	t := r.vm.newTable(0, r.count(n))
	for range r.count(n) {
		k, v := r.read(), boolean(true)
		if name == nameMap {
			v = r.read()
		}
		if !k.isNil() {
			t.set(k, v)
		}
	}
	outer.setStr(name, value{ref: t})
	return value{ref: outer}
}

func (r *replyReader) verbatim(n int64) value {
	format, text, _ := strings.Cut(r.body(n), ":")
	t := r.vm.newTable(0, 2)
	t.setStr(nameString, r.vm.str(text))
	t.setStr(nameFormat, r.vm.str(format))
	return r.vm.single(nameVerbatim, value{ref: t})
}

// A replyWriter turns what a script returns into a reply.
type replyWriter struct {
	vm    *machine
	proto int // of the client; that of the script is the machine's
	buf   []byte
}

// maxReply is how deep a reply may nest.
const maxReply = 7994

func (w *replyWriter) grow(n int) {
	if free := cap(w.buf) - len(w.buf); n > free {
		size := max(2*cap(w.buf), len(w.buf)+n, 64)
		w.vm.meter.take(size)
		w.vm.meter.give(cap(w.buf))
		w.buf = append(make([]byte, 0, size), w.buf...)
	}
}

// raw appends a line, which holds no break.
func (w *replyWriter) raw(line string) {
	w.grow(len(line) + 2)
	w.buf = append(append(w.buf, line...), "\r\n"...)
}

func (w *replyWriter) length(kind string, n int) { w.raw(kind + strconv.Itoa(n)) }

func (w *replyWriter) bulk(s string) {
	w.vm.meter.data(len(s))
	w.length("$", len(s))
	w.raw(s)
}

func (w *replyWriter) null() {
	if w.proto == 3 {
		w.raw("_")
		return
	}
	w.raw("$-1")
}

func (w *replyWriter) write(v value, depth int) {
	w.vm.meter.step(1)
	if depth > maxReply {
		w.raw("-ERR reached lua stack limit")
		return
	}
	switch x := v.ref.(type) {
	case *str:
		w.bulk(x.s)
	case isNumber:
		w.raw(":" + strconv.FormatInt(toInt(v.num), 10))
	case isBoolean:
		w.boolean(v.isTrue())
	case *table:
		w.vm.meter.step(8)
		if !w.special(x, depth) {
			w.array(x, depth)
		}
	default:
		w.null()
	}
}

func (w *replyWriter) boolean(b bool) {
	switch {
	case w.vm.proto == 3 && w.proto == 3:
		w.raw(map[bool]string{true: "#t", false: "#f"}[b])
	case b:
		w.raw(":1")
	case w.vm.proto == 3:
		w.raw(":0")
	default:
		w.null()
	}
}

// special writes a table of one of the fields that mean something else than an
// array, and reports whether it is one.
func (w *replyWriter) special(t *table, depth int) bool {
	if s, ok := t.getStr(nameErr).ref.(*str); ok {
		w.raw("-" + oneLine(strings.TrimRight(cutNul(s.s), "\r\n")))
		return true
	}
	if s, ok := t.getStr(nameOK).ref.(*str); ok {
		w.raw("+" + oneLine(cutNul(s.s)))
		return true
	}
	if n, ok := t.getStr(nameDouble).asNumber(); ok {
		w.double(n)
		return true
	}
	if m, ok := t.getStr(nameMap).ref.(*table); ok {
		w.pairs(m, depth, true)
		return true
	}
	if m, ok := t.getStr(nameSet).ref.(*table); ok {
		w.pairs(m, depth, false)
		return true
	}
	if s, ok := t.getStr(nameBigNumber).ref.(*str); ok {
		if w.proto == 3 {
			w.raw("(" + oneLine(s.s))
		} else {
			w.bulk(oneLine(s.s))
		}
		return true
	}
	if m, ok := t.getStr(nameVerbatim).ref.(*table); ok {
		return w.verbatim(m)
	}
	return false
}

func (w *replyWriter) double(n float64) {
	text := formatG(n, 17)
	if math.IsNaN(n) && w.proto == 3 {
		text = "nan"
	}
	if w.proto == 3 {
		w.raw("," + text)
		return
	}
	w.bulk(text)
}

func (w *replyWriter) verbatim(t *table) bool {
	format, ok := t.getStr(nameFormat).ref.(*str)
	text, okText := t.getStr(nameString).ref.(*str)
	if !ok || !okText {
		return false
	}
	if w.proto != 3 {
		w.bulk(text.s)
		return true
	}
	kind := (cutNul(format.s) + "   ")[:3]
	w.length("=", len(text.s)+len(kind)+1)
	w.raw(kind + ":" + text.s)
	return true
}

// pairs writes a map, or the keys of a set.
func (w *replyWriter) pairs(t *table, depth int, isMap bool) {
	n := 0
	for k, _, _ := t.next(value{}); !k.isNil(); k, _, _ = t.next(k) {
		w.vm.meter.step(1)
		n++
	}
	switch {
	case isMap && w.proto == 3:
		w.length("%", n)
	case isMap:
		w.length("*", 2*n)
	case w.proto == 3:
		w.length("~", n)
	default:
		w.length("*", n)
	}
	for k, v, _ := t.next(value{}); !k.isNil(); k, v, _ = t.next(k) {
		w.write(k, depth+1)
		if isMap {
			w.write(v, depth+1)
		}
	}
}

// array writes up to the first nil.
func (w *replyWriter) array(t *table, depth int) {
	n := 0
	for !t.getInt(n + 1).isNil() {
		w.vm.meter.step(1)
		n++
	}
	w.length("*", n)
	for i := range n {
		w.write(t.getInt(i+1), depth+1)
	}
}
