// Package snap reads and writes what the snapshots of machines are made of:
// bytes, unsigned varints in their shortest form, and byte strings with their
// length before them as a varint.
//
// A snapshot may be one that somebody made up, in a backup. So only bytes are
// taken that a machine could have written exactly so, and what is allocated is
// in proportion to what is really there.
package snap

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
)

// piece is what is read, and trusted to be there, at a time.
const piece = 64 << 10

// A Reader reads the parts of a snapshot. After the first error everything
// reads as zero, so that a format is read without a check after each part.
type Reader struct {
	r       *bufio.Reader
	corrupt error
	err     error
}

// NewReader returns a Reader of r. Corrupt is the error that bytes are which
// no snapshot has; errors of r's own stay what they are.
func NewReader(r io.Reader, corrupt error) *Reader {
	return &Reader{r: bufio.NewReaderSize(r, piece), corrupt: corrupt}
}

// Err returns the first error.
func (r *Reader) Err() error { return r.err }

// Corrupt notes that what was read makes no sense, and why.
func (r *Reader) Corrupt(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", r.corrupt, what)
	}
}

// stop keeps the first error. A reader that ends early holds no snapshot.
func (r *Reader) stop(err error) {
	switch {
	case err == nil:
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		r.Corrupt("it ends too early")
	case r.err == nil:
		r.err = err
	}
}

// Byte reads a byte.
func (r *Reader) Byte() byte {
	if r.err != nil {
		return 0
	}
	b, err := r.r.ReadByte()
	r.stop(err)
	return b
}

// Uvarint reads a number in its shortest form.
func (r *Reader) Uvarint() uint64 { return r.UvarintTo(math.MaxUint64) }

// UvarintTo reads a number up to most in its shortest form.
func (r *Reader) UvarintTo(most uint64) uint64 {
	var n uint64
	for shift := 0; shift < 64 && r.err == nil; shift += 7 {
		b := r.Byte()
		if b == 0 && shift > 0 || shift == 63 && b > 1 {
			break
		}
		n |= uint64(b&0x7f) << shift
		if b >= 0x80 {
			continue
		}
		if n > most {
			break
		}
		return n
	}
	r.Corrupt("malformed number")
	return 0
}

// Bytes reads a byte string.
func (r *Reader) Bytes() []byte { return r.Take(r.UvarintTo(math.MaxInt64)) }

// String reads a byte string as a string.
func (r *Reader) String() string { return string(r.Bytes()) }

// Take reads the next n bytes, in pieces, because n may be a lie.
func (r *Reader) Take(n uint64) []byte {
	switch {
	case r.err != nil:
		return nil
	case n <= piece:
		b := make([]byte, n)
		_, err := io.ReadFull(r.r, b)
		r.stop(err)
		return b
	case n > math.MaxInt64:
		r.Corrupt("impossible length")
		return nil
	}
	var b bytes.Buffer
	_, err := io.CopyN(&b, r.r, int64(n))
	r.stop(err)
	return bytes.Clone(b.Bytes())
}

// End reads the end: nothing may come any more.
func (r *Reader) End() {
	if r.err != nil {
		return
	}
	switch _, err := r.r.ReadByte(); {
	case err == nil:
		r.Corrupt("bytes behind the end")
	case !errors.Is(err, io.EOF):
		r.err = err
	}
}

// A Counter counts what is written through it, as io.WriterTo must tell.
type Counter struct {
	To io.Writer
	N  int64
}

// Write implements io.Writer.
func (c *Counter) Write(b []byte) (int, error) {
	n, err := c.To.Write(b)
	c.N += int64(n)
	return n, err
}
