package keyspace

import (
	"slices"
	"strconv"
)

// A reply is RESP in the making, of version 2 or 3.
type reply struct {
	buf   []byte
	proto int
}

// status appends a simple string, which must hold no line break.
func (r *reply) status(s string) {
	r.buf = append(r.buf, '+')
	r.buf = append(r.buf, s...)
	r.end()
}

// fail appends an error that begins with its code. Line breaks become spaces,
// as in Redis, because clients' bytes may be in it.
func (r *reply) fail(text string) {
	r.buf = append(r.buf, '-')
	for _, b := range []byte(text) {
		if b == '\r' || b == '\n' {
			b = ' '
		}
		r.buf = append(r.buf, b)
	}
	r.end()
}

func (r *reply) integer(n int64) { r.number(':', n) }

func (r *reply) boolean(b bool) {
	if b {
		r.integer(1)
	} else {
		r.integer(0)
	}
}

// array begins an array: n replies follow.
func (r *reply) array(n int) { r.number('*', int64(n)) }

func (r *reply) bulk(b []byte) {
	if r.buf == nil {
		const around = len("$1234567890\r\n\r\n")
		r.buf = slices.Grow(r.buf, len(b)+around)
	}
	r.number('$', int64(len(b)))
	r.buf = append(r.buf, b...)
	r.end()
}

func (r *reply) bulkString(s string) {
	r.number('$', int64(len(s)))
	r.buf = append(r.buf, s...)
	r.end()
}

// null appends the absence of a string.
func (r *reply) null() {
	if r.proto == 3 {
		r.buf = append(r.buf, "_\r\n"...)
		return
	}
	r.buf = append(r.buf, "$-1\r\n"...)
}

func (r *reply) number(mark byte, n int64) {
	r.buf = append(r.buf, mark)
	r.buf = strconv.AppendInt(r.buf, n, 10)
	r.end()
}

func (r *reply) end() { r.buf = append(r.buf, '\r', '\n') }
