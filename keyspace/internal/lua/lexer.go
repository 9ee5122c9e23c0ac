package lua

import (
	"fmt"
	"strings"
)

// A token is a word of the source. Its kind is a reserved word or symbol as it
// is written, or one of the kinds below.
type token struct {
	kind string
	text string // as written, for messages
	s    string // value of strings
	n    float64
	line int // on which it ends
}

const (
	tokenEOF    = "<eof>"
	tokenName   = "<name>"
	tokenString = "<string>"
	tokenNumber = "<number>"
)

const reserved = " and break do else elseif end false for function if in local nil not or repeat return then true until while "

// A lexer cuts a source into tokens.
type lexer struct {
	chunk string
	src   string
	at    int
	line  int
}

// A syntaxError is the panic that ends parsing.
type syntaxError struct{ text string }

// fail ends parsing with a message; near is the text it is about, or "".
func (l *lexer) fail(line int, near, format string, args ...any) {
	text := fmt.Sprintf("%s:%d: ", chunkName(l.chunk), line) + fmt.Sprintf(format, args...)
	if near != "" {
		text += " near '" + near + "'"
	}
	panic(&syntaxError{text})
}

// peek returns the byte i places further on, 0 at the end.
func (l *lexer) peek(i int) byte {
	if l.at+i < len(l.src) {
		return l.src[l.at+i]
	}
	return 0
}

func isBreak(c byte) bool { return c == '\n' || c == '\r' }

// newline skips a line break of one or two bytes.
func (l *lexer) newline() {
	c := l.src[l.at]
	l.at++
	if d := l.peek(0); l.at < len(l.src) && isBreak(d) && d != c {
		l.at++
	}
	l.line++
}

// next returns the next token.
func (l *lexer) next() token {
	for l.at < len(l.src) {
		c := l.src[l.at]
		switch {
		case isBreak(c):
			l.newline()
		case isSpace(c):
			l.at++
		case c == '-' && l.peek(1) == '-':
			l.comment()
		default:
			return l.word(c)
		}
	}
	return token{kind: tokenEOF, text: tokenEOF, line: l.line}
}

func (l *lexer) comment() {
	l.at += 2
	if l.peek(0) == '[' {
		begin := l.at
		if level, ok := l.openBracket(); ok {
			l.longString(level, "comment")
			return
		}
		l.at = begin
	}
	for l.at < len(l.src) && !isBreak(l.src[l.at]) {
		l.at++
	}
}

// openBracket skips "[", any number of "=", and "[", and reports whether they
// are there. level is the number of "=".
func (l *lexer) openBracket() (level int, ok bool) {
	begin := l.at
	l.at++
	for l.peek(0) == '=' {
		l.at++
		level++
	}
	if l.peek(0) == '[' {
		l.at++
		return level, true
	}
	l.at = begin
	return level, false
}

// longString reads up to the bracket that closes.
func (l *lexer) longString(level int, what string) string {
	end := "]" + strings.Repeat("=", level) + "]"
	if isBreak(l.peek(0)) {
		l.newline()
	}
	var b strings.Builder
	for begin := l.at; ; {
		switch {
		case l.at >= len(l.src):
			l.fail(l.line, tokenEOF, "unfinished long %s", what)
		case strings.HasPrefix(l.src[l.at:], end):
			b.WriteString(l.src[begin:l.at])
			l.at += len(end)
			return b.String()
		case isBreak(l.src[l.at]):
			b.WriteString(l.src[begin:l.at])
			b.WriteByte('\n')
			l.newline()
			begin = l.at
		default:
			l.at++
		}
	}
}

func (l *lexer) word(c byte) token {
	begin := l.at
	switch {
	case isAlpha(c) || c == '_':
		for isAlpha(l.peek(0)) || isDigit(l.peek(0)) || l.peek(0) == '_' {
			l.at++
		}
		text := l.src[begin:l.at]
		if strings.Contains(reserved, " "+text+" ") {
			return token{kind: text, text: text, line: l.line}
		}
		return token{kind: tokenName, text: text, s: text, line: l.line}
	case isDigit(c) || c == '.' && isDigit(l.peek(1)):
		return l.number()
	case c == '"' || c == '\'':
		return l.quoted(c)
	case c == '[':
		level, ok := l.openBracket()
		if ok {
			s := l.longString(level, "string")
			return token{kind: tokenString, text: l.src[begin:l.at], s: s, line: l.line}
		}
		if level > 0 {
			l.fail(l.line, l.src[begin:begin+1+level], "invalid long string delimiter")
		}
	}
	for _, symbol := range []string{"...", "..", "==", "~=", "<=", ">="} {
		if strings.HasPrefix(l.src[l.at:], symbol) {
			l.at += len(symbol)
			return token{kind: symbol, text: symbol, line: l.line}
		}
	}
	l.at++
	text := string(rune(c))
	if c < ' ' || c == 127 {
		text = fmt.Sprintf("char(%d)", c)
	} else if c >= 128 {
		text = l.src[begin:l.at]
	}
	return token{kind: text, text: text, line: l.line}
}

func (l *lexer) number() token {
	begin := l.at
	for isDigit(l.peek(0)) || l.peek(0) == '.' {
		l.at++
	}
	if l.peek(0)|' ' == 'e' {
		l.at++
		if l.peek(0) == '+' || l.peek(0) == '-' {
			l.at++
		}
	}
	for isAlpha(l.peek(0)) || isDigit(l.peek(0)) || l.peek(0) == '_' {
		l.at++
	}
	text := l.src[begin:l.at]
	n, ok := parseNumber(text)
	if !ok {
		l.fail(l.line, text, "malformed number")
	}
	return token{kind: tokenNumber, text: text, n: n, line: l.line}
}

const escapes = "a\ab\bf\fn\nr\rt\tv\v"

func (l *lexer) quoted(quote byte) token {
	var b strings.Builder
	begin := l.at
	l.at++
	for {
		if l.at >= len(l.src) {
			l.fail(l.line, tokenEOF, "unfinished string")
		}
		c := l.src[l.at]
		switch {
		case c == quote:
			l.at++
			return token{kind: tokenString, text: l.src[begin:l.at], s: b.String(), line: l.line}
		case isBreak(c):
			l.fail(l.line, string(quote)+b.String(), "unfinished string")
		case c == '\\':
			l.at++
			l.escape(&b, string(quote))
		default:
			b.WriteByte(c)
			l.at++
		}
	}
}

func (l *lexer) escape(b *strings.Builder, quote string) {
	if l.at >= len(l.src) {
		return // found out by the caller
	}
	c := l.src[l.at]
	if i := strings.IndexByte(escapes, c); i >= 0 && i%2 == 0 {
		b.WriteByte(escapes[i+1])
		l.at++
		return
	}
	switch {
	case isBreak(c):
		b.WriteByte('\n')
		l.newline()
	case isDigit(c):
		n := 0
		for i := 0; i < 3 && isDigit(l.peek(0)); i++ {
			n = 10*n + int(l.peek(0)-'0')
			l.at++
		}
		if n > 255 {
			l.fail(l.line, quote+b.String(), "escape sequence too large")
		}
		b.WriteByte(byte(n))
	default:
		b.WriteByte(c)
		l.at++
	}
}

// chunkName shortens the name of a chunk for messages: "@name" is a file, all
// else is source.
func chunkName(chunk string) string {
	if name, ok := strings.CutPrefix(chunk, "@"); ok {
		return name
	}
	if name, ok := strings.CutPrefix(chunk, "="); ok {
		return name[:min(len(name), 59)]
	}
	const room = 60 - len(`[string "..."]`) - 1
	line, _, isLong := strings.Cut(chunk, "\n")
	if cut := strings.IndexByte(line, '\r'); cut >= 0 {
		line, isLong = line[:cut], true
	}
	if len(line) > room {
		line, isLong = line[:room], true
	}
	if isLong {
		line += "..."
	}
	return `[string "` + line + `"]`
}
