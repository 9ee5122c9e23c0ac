package replica

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/huddlecache/huddle/cluster/machine/wire"
)

// The section of what is staged is in a snapshot where something is staged or
// was restored once:
//
//	restored id string (empty: nothing was), index uvarint
//	staged   id string (empty: nothing is), origin uvarint, until 8 bytes
//	pieces   each a byte string, to the end of the section
func (v *view) writeStaging(w io.Writer) error {
	b := binary.AppendUvarint(wire.AppendString(nil, v.restored.id), v.restored.index)
	b = binary.AppendUvarint(wire.AppendString(b, v.staging.id), v.staging.origin)
	b = binary.BigEndian.AppendUint64(b, uint64(v.staging.until))
	if _, err := w.Write(b); err != nil {
		return err
	}
	for _, piece := range v.staging.pieces {
		if _, err := w.Write(binary.AppendUvarint(nil, uint64(len(piece)))); err != nil {
			return err
		}
		if _, err := w.Write(piece); err != nil {
			return err
		}
	}
	return nil
}

// readStaging reads the section piece by piece: it may be as large as all the
// rest of the state.
func (s *state) readStaging(r *bufio.Reader) error {
	l := &streamReader{r: r}
	s.restored = restored{id: string(l.bytes()), index: l.uvarint()}
	st := &staging{id: string(l.bytes()), origin: l.uvarint(), until: time.Duration(l.uint64())}
	for l.err == nil {
		if _, err := r.Peek(1); err == io.EOF {
			break
		}
		piece := l.bytes()
		st.pieces = append(st.pieces, piece)
		st.size += int64(len(piece))
	}
	if l.err != nil {
		return fmt.Errorf("reading what is staged: %w", unexpected(l.err))
	}
	if st.id != "" {
		s.staging = st
		s.own += st.cost()
	}
	return nil
}

// A streamReader takes primitives off a stream. The first error sticks.
type streamReader struct {
	r   *bufio.Reader
	err error
}

func (l *streamReader) uvarint() uint64 {
	if l.err != nil {
		return 0
	}
	n, err := binary.ReadUvarint(l.r)
	l.err = err
	return n
}

func (l *streamReader) uint64() uint64 {
	var b [8]byte
	l.full(b[:])
	return binary.BigEndian.Uint64(b[:])
}

// bytes takes a byte string that is no longer than a piece.
func (l *streamReader) bytes() []byte {
	n := l.uvarint()
	if l.err == nil && n > PieceMost {
		l.err = wire.ErrMalformed
	}
	if l.err != nil {
		return nil
	}
	b := make([]byte, n)
	l.full(b)
	return b
}

func (l *streamReader) full(b []byte) {
	if l.err == nil {
		_, l.err = io.ReadFull(l.r, b)
	}
}
