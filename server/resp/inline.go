package resp

import "bytes"

// tlsRecord is the first byte of a TLS handshake.
const tlsRecord = 0x16

// inline parses a command in the form that people type: words on a line,
// quoted as in Redis. Where all of the line is there, pos is behind it; it is
// done unless the line is empty.
func (r *Reader) inline() (done bool, err error) {
	rest := r.buf[r.pos:r.end]
	if rest[0] == tlsRecord {
		return true, ErrForeign
	}
	n := bytes.IndexByte(rest, '\n')
	if n > maxLine || n < 0 && len(rest) > maxLine {
		return true, ProtocolError("too big inline request")
	}
	if n < 0 {
		return false, nil
	}
	r.pos += n + 1
	argv, ok := splitWords(r.argv, bytes.TrimSuffix(rest[:n], []byte{'\r'}))
	if !ok {
		return true, ProtocolError("unbalanced quotes in request")
	}
	if len(argv) == 0 {
		return false, nil
	}
	r.argv, r.start = argv, r.pos
	return true, r.checkInline()
}

// checkInline holds a line to the limits of one argument.
func (r *Reader) checkInline() error {
	for _, arg := range r.argv {
		if len(arg) > r.limits.Arg {
			r.argv = r.argv[:0]
			return &TooBigError{Size: len(arg), Max: r.limits.Arg}
		}
	}
	return nil
}

// splitWords appends the words of a line to argv, by the rules of Redis'
// sdssplitargs: words are parted by white space; double quotes know \n, \r,
// \t, \b, \a and \xHH, single quotes only \'; a closing quote ends the word.
func splitWords(argv [][]byte, line []byte) (_ [][]byte, ok bool) {
	for {
		line = bytes.TrimLeft(line, " \t\r\n\v\f\x00")
		if len(line) == 0 {
			return argv, true
		}
		var word []byte
		if word, line, ok = splitWord(line); !ok {
			return argv, false
		}
		argv = append(argv, word)
	}
}

// splitWord takes the first word off a line.
func splitWord(line []byte) (word, rest []byte, ok bool) {
	word = make([]byte, 0, 16)
	for len(line) > 0 && !isSpace(line[0]) {
		c := line[0]
		if c != '"' && c != '\'' {
			word, line = append(word, c), line[1:]
			continue
		}
		if word, line, ok = splitQuoted(word, line[1:], c); !ok {
			return nil, nil, false
		}
		return word, line, len(line) == 0 || isSpace(line[0])
	}
	return word, line, true
}

// splitQuoted appends what stands before the closing quote to word.
func splitQuoted(word, line []byte, quote byte) (_, rest []byte, ok bool) {
	for len(line) > 0 {
		c := line[0]
		switch {
		case c == quote:
			return word, line[1:], true
		case c != '\\' || len(line) == 1:
			word, line = append(word, c), line[1:]
		case quote == '\'':
			if line[1] == '\'' {
				line = line[1:]
			}
			word, line = append(word, line[0]), line[1:]
		case line[1] == 'x' && len(line) >= 4 && isHex(line[2]) && isHex(line[3]):
			word, line = append(word, fromHex(line[2])<<4|fromHex(line[3])), line[4:]
		default:
			word, line = append(word, unescape(line[1])), line[2:]
		}
	}
	return nil, nil, false
}

// unescape returns what a backslash and c stand for.
func unescape(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'b':
		return '\b'
	case 'a':
		return '\a'
	}
	return c
}

func isSpace(c byte) bool {
	return c == ' ' || c >= '\t' && c <= '\r' || c == 0
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func fromHex(c byte) byte {
	switch {
	case c >= 'a':
		return c - 'a' + 10
	case c >= 'A':
		return c - 'A' + 10
	}
	return c - '0'
}
