//go:build linux

package main

import (
	"fmt"
	"strconv"
)

// replies counts replies in a stream that comes in pieces. It knows the kinds
// that the commands of this program get: a line, or a bulk string.
type replies struct {
	line      []byte // beginning of a line whose end has not come
	skip      int    // bytes of a bulk string that are still to come
	lastError string
}

// take counts the replies that end in b.
func (r *replies) take(b []byte) (answered, refused int, err error) {
	for len(b) > 0 {
		if r.skip > 0 {
			n := min(r.skip, len(b))
			r.skip -= n
			b = b[n:]
			if r.skip == 0 {
				answered++
			}
			continue
		}
		end := 0
		for end < len(b) && b[end] != '\n' {
			end++
		}
		r.line = append(r.line, b[:end]...)
		if end == len(b) {
			return answered, refused, nil
		}
		b = b[end+1:]
		switch kind := r.line; {
		case len(kind) < 2:
			return answered, refused, fmt.Errorf("malformed reply %q", r.line)
		case kind[0] == '+' || kind[0] == ':':
			answered++
		case kind[0] == '-':
			refused++
			r.lastError = string(r.line[1 : len(r.line)-1])
		case kind[0] == '$':
			n, err := strconv.Atoi(string(r.line[1 : len(r.line)-1]))
			if err != nil {
				return answered, refused, fmt.Errorf("malformed reply %q", r.line)
			}
			if n < 0 {
				answered++
			} else {
				r.skip = n + len("\r\n")
			}
		default:
			return answered, refused, fmt.Errorf("unexpected reply %q", r.line)
		}
		r.line = r.line[:0]
	}
	return answered, refused, nil
}
