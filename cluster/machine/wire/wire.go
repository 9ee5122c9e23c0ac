// Package wire reads and appends the few primitives that all byte formats of
// the cluster are made of: unsigned varints, fixed 64-bit words (big endian)
// and byte strings with their length before them as a varint.
package wire

import (
	"encoding/binary"
	"errors"
)

// ErrMalformed says that bytes do not have the format expected of them.
var ErrMalformed = errors.New("malformed bytes")

// AppendBytes appends b with its length before it.
func AppendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// AppendString appends s with its length before it.
func AppendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// AppendBool appends a byte that is 1 or 0.
func AppendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// A Reader takes primitives off the front of a byte slice. The first error
// sticks, and every value after it is zero, so that a format is read without a
// check after each field and judged once, by Err or Done.
type Reader struct {
	rest []byte
	err  error
}

// NewReader returns a Reader of b. What it returns aliases b.
func NewReader(b []byte) *Reader { return &Reader{rest: b} }

// Uvarint takes an unsigned varint.
func (r *Reader) Uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// Count takes a varint that counts things of at least size bytes each, which
// must all fit in what is left: no count can make its reader allocate more
// than it was sent.
func (r *Reader) Count(size int) int {
	n := r.Uvarint()
	if n > uint64(len(r.rest)/max(size, 1)) {
		r.fail()
		return 0
	}
	return int(n)
}

// Uint64 takes eight bytes.
func (r *Reader) Uint64() uint64 {
	b := r.Take(8)
	if b == nil {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// Byte takes one byte.
func (r *Reader) Byte() byte {
	b := r.Take(1)
	if b == nil {
		return 0
	}
	return b[0]
}

// Bool takes a byte that is 1 or 0.
func (r *Reader) Bool() bool { return r.Byte() == 1 }

// Bytes takes a byte string.
func (r *Reader) Bytes() []byte { return r.Take(r.Count(1)) }

// String takes a byte string as a string.
func (r *Reader) String() string { return string(r.Bytes()) }

// Take takes the next n bytes.
func (r *Reader) Take(n int) []byte {
	if r.err != nil || n > len(r.rest) {
		r.fail()
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

// Rest takes all that is left.
func (r *Reader) Rest() []byte { return r.Take(len(r.rest)) }

// Len is the number of bytes left.
func (r *Reader) Len() int { return len(r.rest) }

// Err returns ErrMalformed if anything taken was not there.
func (r *Reader) Err() error { return r.err }

// Done is Err, and ErrMalformed too if bytes are left over.
func (r *Reader) Done() error {
	if len(r.rest) > 0 {
		r.fail()
	}
	return r.err
}

func (r *Reader) fail() {
	r.err = ErrMalformed
	r.rest = nil
}
