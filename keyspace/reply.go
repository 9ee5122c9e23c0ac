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

// mapping begins a map, which RESP2 has as an array: n pairs follow.
func (r *reply) mapping(n int) {
	if r.proto == 3 {
		r.number('%', int64(n))
		return
	}
	r.array(2 * n)
}

// set begins a set, which RESP2 has as an array: n replies follow.
func (r *reply) set(n int) {
	if r.proto == 3 {
		r.number('~', int64(n))
		return
	}
	r.array(n)
}

// pairs begins an array of n names, with a value or score each if isPairs:
// RESP2 has those flat, RESP3 in arrays of two, which pair begins.
func (r *reply) pairs(n int, isPairs bool) {
	if isPairs && r.proto == 2 {
		n *= 2
	}
	r.array(n)
}

func (r *reply) pair(isPair bool) {
	if isPair && r.proto == 3 {
		r.array(2)
	}
}

// double appends a number with 17 digits, as Redis 7.0 has it. In RESP2 it is
// a bulk string.
func (r *reply) double(f float64) {
	var buf [32]byte
	text := appendDouble(buf[:0], f)
	if r.proto == 3 {
		r.buf = append(r.buf, ',')
		r.buf = append(r.buf, text...)
		r.end()
		return
	}
	r.bulk(text)
}

// nullArray appends the absence of an array.
func (r *reply) nullArray() {
	if r.proto == 3 {
		r.null()
		return
	}
	r.buf = append(r.buf, "*-1\r\n"...)
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
