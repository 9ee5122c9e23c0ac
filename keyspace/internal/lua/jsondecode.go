package lua

import (
	"strings"
	"unicode/utf8"
)

// A jsonReader decodes, by recursive descent over tokens that are named as
// cjson's messages name them.
type jsonReader struct {
	vm    *machine
	o     jsonOptions
	data  string
	at    int
	depth int
}

type jsonToken struct {
	kind string
	at   int // where it begins
	s    string
	n    float64
}

const (
	jsonObjectBegin = "T_OBJ_BEGIN"
	jsonObjectEnd   = "T_OBJ_END"
	jsonArrayBegin  = "T_ARR_BEGIN"
	jsonArrayEnd    = "T_ARR_END"
	jsonString      = "T_STRING"
	jsonNumeral     = "T_NUMBER"
	jsonBoolean     = "T_BOOLEAN"
	jsonNull        = "T_NULL"
	jsonColon       = "T_COLON"
	jsonComma       = "T_COMMA"
	jsonEnd         = "T_END"
)

func jsonDecode(vm *machine, args []value) []value {
	if len(args) != 1 {
		return vm.failArg(0, "expected 1 argument")
	}
	data := vm.text(args, 0)
	if len(data) >= 2 && (data[0] == 0 || data[1] == 0) {
		return vm.failCaller("JSON parser does not support UTF-16 or UTF-32")
	}
	r := &jsonReader{vm: vm, o: vm.json, data: data}
	v := r.value(r.next())
	if t := r.next(); t.kind != jsonEnd {
		r.refuse("the end", t)
	}
	return vm.ret1(v)
}

func (r *jsonReader) refuse(expected string, t jsonToken) {
	r.vm.failCaller("Expected %s but found %s at character %d", expected, t.kind, t.at+1)
}

func (r *jsonReader) peek(i int) byte {
	if r.at+i < len(r.data) {
		return r.data[r.at+i]
	}
	return 0
}

// next reads a token. What is wrong is its kind.
func (r *jsonReader) next() jsonToken {
	for c := r.peek(0); c == ' ' || c == '\t' || c == '\n' || c == '\r'; c = r.peek(0) {
		r.at++
	}
	r.vm.meter.step(1)
	t := jsonToken{at: r.at}
	switch c := r.peek(0); c {
	case '{':
		t.kind = jsonObjectBegin
	case '}':
		t.kind = jsonObjectEnd
	case '[':
		t.kind = jsonArrayBegin
	case ']':
		t.kind = jsonArrayEnd
	case ':':
		t.kind = jsonColon
	case ',':
		t.kind = jsonComma
	case 0:
		t.kind = jsonEnd
		return t
	case '"':
		return r.quoted(t)
	default:
		return r.word(t, c)
	}
	r.at++
	return t
}

func (r *jsonReader) word(t jsonToken, c byte) jsonToken {
	rest := r.data[r.at:]
	switch {
	case c == '-' || isDigit(c):
		if !r.o.invalidDecode && isOddNumber(rest) {
			t.kind = "invalid number"
			return t
		}
		return r.numeral(t)
	case strings.HasPrefix(rest, "true"), strings.HasPrefix(rest, "false"):
		t.kind = jsonBoolean
		if c == 't' {
			t.n = 1
			r.at++
		} else {
			r.at += 2
		}
		r.at += 3
		return t
	case strings.HasPrefix(rest, "null"):
		t.kind = jsonNull
		r.at += 4
		return t
	case r.o.invalidDecode && strings.IndexByte("+iInN", c) >= 0 && isOddNumber(rest):
		return r.numeral(t)
	}
	t.kind = "invalid token"
	return t
}

func (r *jsonReader) numeral(t jsonToken) jsonToken {
	n, rest, ok := cutNumber(r.data[r.at:])
	if !ok {
		t.kind = "invalid number"
		return t
	}
	t.kind, t.n = jsonNumeral, n
	r.at = len(r.data) - len(rest)
	return t
}

// isOddNumber reports whether s begins with a number that JSON does not have
// and C does.
func isOddNumber(s string) bool {
	if s[0] == '+' {
		return true
	}
	s = strings.TrimPrefix(s, "-")
	switch {
	case s == "":
		return false
	case s[0] == '0':
		return len(s) > 1 && (s[1]|' ' == 'x' || isDigit(s[1]))
	case s[0] <= '9':
		return false
	}
	word := strings.ToLower(s[:min(len(s), 3)])
	return word == "inf" || word == "nan"
}

var jsonEscapes = map[byte]byte{
	'"': '"', '\\': '\\', '/': '/', 'b': '\b', 't': '\t', 'n': '\n', 'f': '\f', 'r': '\r',
}

func (r *jsonReader) quoted(t jsonToken) jsonToken {
	b := builder{vm: r.vm}
	r.at++
	for {
		// What needs no thought, at once.
		plain := strings.IndexAny(r.data[r.at:], "\"\\\x00")
		if plain < 0 {
			r.at = len(r.data)
			return jsonToken{kind: "unexpected end of string", at: r.at}
		}
		if r.data[r.at+plain] == '"' && b.buf == nil {
			t.kind, t.s = jsonString, r.data[r.at:r.at+plain]
			r.at += plain + 1
			return t
		}
		b.string(r.data[r.at : r.at+plain])
		r.at += plain
		switch r.data[r.at] {
		case '"':
			r.at++
			t.kind, t.s = jsonString, string(b.buf)
			return t
		case 0:
			return jsonToken{kind: "unexpected end of string", at: r.at}
		}
		escape := r.peek(1)
		if escape == 'u' {
			if !r.unicode(&b) {
				return jsonToken{kind: "invalid unicode escape code", at: r.at}
			}
			continue
		}
		c, ok := jsonEscapes[escape]
		if !ok {
			return jsonToken{kind: "invalid escape code", at: r.at}
		}
		b.byte(c)
		r.at += 2
	}
}

// unicode appends what \uXXXX stands for, or a pair of them.
func (r *jsonReader) unicode(b *builder) bool {
	const length = len(`\uXXXX`)
	c, ok := r.hex4(2)
	if !ok {
		return false
	}
	if c&0xf800 != 0xd800 {
		r.at += length
		b.string(string(c))
		return true
	}
	low, ok := r.hex4(length + 2)
	if !ok || c&0x400 != 0 || r.peek(length) != '\\' || r.peek(length+1) != 'u' || low&0xfc00 != 0xdc00 {
		return false
	}
	r.at += 2 * length
	b.string(string(utf8.AppendRune(nil, (c&0x3ff)<<10|low&0x3ff+0x10000)))
	return true
}

func (r *jsonReader) hex4(i int) (n rune, ok bool) {
	for j := range 4 {
		c := r.peek(i + j)
		switch {
		case isDigit(c):
			n = n<<4 | rune(c-'0')
		case isHex(c):
			n = n<<4 | rune(c|' '-'a'+10)
		default:
			return 0, false
		}
	}
	return n, true
}

func (r *jsonReader) value(t jsonToken) value {
	switch t.kind {
	case jsonString:
		return r.vm.str(t.s)
	case jsonNumeral:
		return number(t.n)
	case jsonBoolean:
		return boolean(t.n != 0)
	case jsonNull:
		return null
	case jsonObjectBegin:
		return r.object()
	case jsonArrayBegin:
		return r.array()
	}
	r.refuse("value", t)
	return value{}
}

func (r *jsonReader) deeper() *table {
	if r.depth++; r.depth > min(r.o.decodeDepth, maxData) {
		r.vm.failCaller("Found too many nested data structures (%d) at character %d", r.depth, r.at)
	}
	return r.vm.newTable(0, 0)
}

func (r *jsonReader) object() value {
	o := r.deeper()
	t := r.next()
	for isFirst := true; t.kind != jsonObjectEnd || !isFirst; t = r.next() {
		isFirst = false
		if t.kind != jsonString {
			r.refuse("object key string", t)
		}
		key := r.vm.str(t.s)
		if t = r.next(); t.kind != jsonColon {
			r.refuse("colon", t)
		}
		o.set(key, r.value(r.next()))
		if t = r.next(); t.kind == jsonObjectEnd {
			break
		}
		if t.kind != jsonComma {
			r.refuse("comma or object end", t)
		}
	}
	r.depth--
	return value{ref: o}
}

func (r *jsonReader) array() value {
	a := r.deeper()
	t := r.next()
	for i := 1; t.kind != jsonArrayEnd || i > 1; i++ {
		a.setInt(i, r.value(t))
		if t = r.next(); t.kind == jsonArrayEnd {
			break
		}
		if t.kind != jsonComma {
			r.refuse("comma or array end", t)
		}
		t = r.next()
	}
	r.depth--
	return value{ref: a}
}
