package sessions

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds of a session that is merged, and of a patch.
const (
	// MaxDepth is how deep objects and arrays may lie in each other.
	MaxDepth = 128
	// MaxMembers is how many members a session's objects may have in all,
	// those inside arrays not counted.
	MaxMembers = 1 << 16
)

// A value is JSON, as it was written. Package encoding/json is not used,
// because what it does may change with a release of Go, and all nodes must
// come to the same bytes.
type value struct {
	raw      []byte   // without the space around it
	isObject bool     // if so, members
	members  []member // by their names, each of which is there once
}

// A member is one of an object.
type member struct {
	name  string // decoded; see decodeName
	raw   []byte // the name as it was written, quotes included
	value value
}

func (v *value) isNull() bool { return string(v.raw) == "null" }

// append appends the value to dst. Objects are written without spaces and in
// the order of their members' names; everything else, and names, as they were:
// numbers keep each digit.
func (v *value) append(dst []byte) []byte {
	if !v.isObject {
		return append(dst, v.raw...)
	}
	dst = append(dst, '{')
	for i := range v.members {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(dst, v.members[i].raw...), ':')
		dst = v.members[i].value.append(dst)
	}
	return append(dst, '}')
}

// parseObject reads a document that must be an object.
func parseObject(doc []byte) (value, error) {
	v, err := parse(doc)
	if err == nil && !v.isObject {
		err = errors.New("it is another kind of JSON")
	}
	return v, err
}

// parse reads a JSON document (RFC 8259). It points into doc.
func parse(doc []byte) (value, error) {
	if !utf8.Valid(doc) {
		return value{}, errors.New("it is not UTF-8")
	}
	p := parser{doc: doc}
	v := p.value(0, true)
	p.space()
	if p.err == nil && p.at < len(doc) {
		p.fail("more than one value")
	}
	return v, p.err
}

// A parser reads one document. After the first error nothing moves on.
type parser struct {
	doc     []byte
	at      int // the next byte
	members int // so far
	err     error
}

func (p *parser) fail(what string) {
	if p.err == nil {
		p.err = fmt.Errorf("%s at byte %d", what, p.at)
	}
}

// next returns the next byte, 0 at the end.
func (p *parser) next() byte {
	if p.at < len(p.doc) && p.err == nil {
		return p.doc[p.at]
	}
	return 0
}

// skip takes the next byte if it is c.
func (p *parser) skip(c byte) bool {
	if p.next() != c || c == 0 {
		return false
	}
	p.at++
	return true
}

func (p *parser) space() {
	for {
		switch p.next() {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

// value reads a value inside depth others. If keep is not set it is only
// checked.
func (p *parser) value(depth int, keep bool) (v value) {
	p.space()
	from := p.at
	switch c := p.next(); {
	case c == '{' || c == '[':
		if depth == MaxDepth {
			p.fail("nested too deep")
			return value{}
		}
		p.at++
		if c == '[' {
			p.array(depth + 1)
		} else {
			v.members = p.object(depth+1, keep)
			v.isObject = true
		}
	case c == '"':
		p.text()
	case c == '-' || isDigit(c):
		p.number()
	default:
		p.word()
	}
	if p.err != nil {
		return value{}
	}
	v.raw = p.doc[from:p.at]
	return v
}

// array reads the rest of an array. What is in it is not looked at: a patch
// replaces arrays whole.
func (p *parser) array(depth int) {
	if p.space(); p.skip(']') {
		return
	}
	for p.err == nil {
		p.value(depth, false)
		p.space()
		if p.skip(']') {
			return
		}
		if !p.skip(',') {
			p.fail("an array goes on wrongly")
		}
	}
}

// object reads the rest of an object and returns its members in order. Of
// equal names the last one counts.
func (p *parser) object(depth int, keep bool) (members []member) {
	if p.space(); p.skip('}') {
		return nil
	}
	for p.err == nil {
		p.space()
		m := member{raw: p.text()}
		if p.space(); !p.skip(':') {
			p.fail("a member has no value")
		}
		m.value = p.value(depth, keep)
		if p.err != nil {
			return nil
		}
		if keep {
			if p.members++; p.members > MaxMembers {
				p.fail("too many members")
				return nil
			}
			m.name = decodeName(m.raw)
			members = append(members, m)
		}
		p.space()
		if p.skip('}') {
			return inOrder(members)
		}
		if !p.skip(',') {
			p.fail("an object goes on wrongly")
		}
	}
	return nil
}

func inOrder(members []member) []member {
	slices.SortStableFunc(members, func(a, b member) int { return strings.Compare(a.name, b.name) })
	kept := members[:0]
	for i, m := range members {
		if i+1 == len(members) || members[i+1].name != m.name {
			kept = append(kept, m)
		}
	}
	return kept
}

// text reads a string and returns it as it was written.
func (p *parser) text() []byte {
	from := p.at
	if !p.skip('"') {
		p.fail("a string is missing")
		return nil
	}
	for p.at < len(p.doc) {
		switch c := p.doc[p.at]; {
		case c == '"':
			p.at++
			return p.doc[from:p.at]
		case c < ' ':
			p.fail("a control character is not escaped")
			return nil
		case c == '\\':
			if !p.escape() {
				p.fail("malformed escape")
				return nil
			}
		default:
			p.at++
		}
	}
	p.fail("a string has no end")
	return nil
}

// escape takes a backslash and what belongs to it.
func (p *parser) escape() bool {
	rest := p.doc[p.at+1:]
	if len(rest) > 0 && strings.IndexByte(`"\/bfnrt`, rest[0]) >= 0 {
		p.at += 2
		return true
	}
	if len(rest) < 5 || rest[0] != 'u' {
		return false
	}
	for _, c := range rest[1:5] {
		if !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'f') {
			return false
		}
	}
	p.at += 6
	return true
}

// number reads a number of any length.
func (p *parser) number() {
	p.skip('-')
	if !p.skip('0') {
		p.digits()
	}
	if p.skip('.') {
		p.digits()
	}
	if p.skip('e') || p.skip('E') {
		_ = p.skip('+') || p.skip('-')
		p.digits()
	}
}

// digits takes one digit or more.
func (p *parser) digits() {
	if !isDigit(p.next()) {
		p.fail("a digit is missing")
	}
	for isDigit(p.next()) {
		p.at++
	}
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func (p *parser) word() {
	for _, word := range []string{"true", "false", "null"} {
		if len(p.doc)-p.at >= len(word) && string(p.doc[p.at:p.at+len(word)]) == word {
			p.at += len(word)
			return
		}
	}
	p.fail("a value is missing")
}

// decodeName returns what a string stands for, so that "a" and "\u0061" are
// one name. Half of a surrogate pair, which UTF-8 cannot express, becomes the
// three bytes that it would have there.
func decodeName(raw []byte) string {
	raw = raw[1 : len(raw)-1]
	if !slices.Contains(raw, '\\') {
		return string(raw)
	}
	var out []byte
	for len(raw) > 0 {
		if raw[0] != '\\' {
			out, raw = append(out, raw[0]), raw[1:]
			continue
		}
		if raw[1] != 'u' {
			out, raw = append(out, unescaped(raw[1])), raw[2:]
			continue
		}
		r := hex(raw[2:])
		raw = raw[6:]
		if isHigh := r >= 0xd800 && r < 0xdc00; isHigh && len(raw) >= 6 && raw[0] == '\\' && raw[1] == 'u' {
			if low := hex(raw[2:]); low >= 0xdc00 && low < 0xe000 {
				r, raw = (r-0xd800)<<10+(low-0xdc00)+0x10000, raw[6:]
			}
		}
		if r >= 0xd800 && r < 0xe000 {
			out = append(out, 0xe0|byte(r>>12), 0x80|byte(r>>6&0x3f), 0x80|byte(r&0x3f))
			continue
		}
		out = utf8.AppendRune(out, r)
	}
	return string(out)
}

// hex reads four digits.
func hex(b []byte) (r rune) {
	for _, c := range b[:4] {
		if isDigit(c) {
			r = r<<4 + rune(c-'0')
		} else {
			r = r<<4 + rune(c|0x20-'a'+10)
		}
	}
	return r
}

// unescaped is what a letter behind a backslash stands for.
func unescaped(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}
