//go:build linux

package main

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// headBytes is how much of a reply is kept.
const headBytes = 64

// replies counts replies in a stream that comes in pieces. It knows the kinds
// that the commands of this program get: a line, a bulk string, or an array of
// these.
type replies struct {
	want      string // how a reply must begin
	parts     int    // replies that are taken as one, such as those of a transaction; 0: 1
	inReply   bool
	missing   int    // parts that the reply still lacks; an array adds its elements
	line      []byte // beginning of a line whose end has not come
	skip      int    // bytes of a bulk string that are still to come
	head      []byte // beginning of this reply, or of the last one
	lastError string
}

// take counts the replies that end in b: those that begin as wanted, and the
// others.
func (r *replies) take(b []byte) (answered, refused int, err error) {
	for len(b) > 0 {
		if !r.inReply {
			r.inReply, r.missing, r.head = true, max(r.parts, 1), r.head[:0]
		}
		n, err := r.part(b)
		if err != nil {
			return answered, refused, err
		}
		b = b[n:]
		if r.missing > 0 {
			continue
		}
		r.inReply = false
		switch {
		case r.head[0] == '-':
			refused++ // endLine has kept the error
		case !strings.HasPrefix(string(r.head), r.want):
			refused++
			r.lastError = fmt.Sprintf("unexpected reply %q", r.head)
		default:
			answered++
		}
	}
	return answered, refused, nil
}

// part takes what b has of a bulk string or a line, and returns how much that
// was.
func (r *replies) part(b []byte) (int, error) {
	if r.skip > 0 {
		n := min(r.skip, len(b))
		r.keep(b[:n])
		if r.skip -= n; r.skip == 0 {
			r.missing--
		}
		return n, nil
	}
	n := bytes.IndexByte(b, '\n') + 1
	if n == 0 {
		r.line = append(r.line, b...)
		return len(b), nil
	}
	r.line = append(r.line, b[:n]...)
	err := r.endLine()
	r.line = r.line[:0]
	return n, err
}

// endLine takes a line that is whole.
func (r *replies) endLine() error {
	r.keep(r.line)
	if len(r.line) < len("+\r\n") {
		return fmt.Errorf("malformed reply %q", r.line)
	}
	kind, text := r.line[0], string(r.line[1:len(r.line)-len("\r\n")])
	switch kind {
	case '+', ':':
		r.missing--
	case '-':
		r.missing--
		r.lastError = text
	case '$', '*':
		n, err := strconv.Atoi(text)
		switch {
		case err != nil:
			return fmt.Errorf("malformed reply %q", r.line)
		case n < 0:
			r.missing--
		case kind == '*':
			r.missing += n - 1
		default:
			r.skip = n + len("\r\n")
		}
	default:
		return fmt.Errorf("unexpected reply %q", r.line)
	}
	return nil
}

// keep adds to the head what it has room for.
func (r *replies) keep(b []byte) {
	r.head = append(r.head, b[:min(len(b), headBytes-len(r.head))]...)
}
