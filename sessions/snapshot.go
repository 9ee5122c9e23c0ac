package sessions

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/tidwall/btree"
)

// snapshotVersion is the first byte of a snapshot.
const snapshotVersion = 1

// ErrCorrupt is what Restore returns of bytes that no snapshot wrote.
var ErrCorrupt = errors.New("snapshot of sessions is corrupt")

// A snapshot is the state at one time. Its tree shares what has not changed
// since with that of the machine.
type snapshot struct {
	byID *btree.BTreeG[*session]
}

// Snapshot returns the state as it is now, in O(1). What it writes is a
// function of that state alone:
//
//	byte    1, the version of this format
//	uvarint number of sessions
//	for each session, in the order of their IDs:
//	  uvarint length of the ID
//	  bytes
//	  uvarint length of the user's name, 0 if there is none
//	  bytes
//	  uvarint version
//	  uvarint idle time in nanoseconds
//	  uvarint end in nanoseconds of lease time
//	  uvarint absolute limit in nanoseconds of lease time, 0 if there is none
//	  uvarint length of the session
//	  bytes
//
// Every uvarint is as short as it can be.
func (m *state) Snapshot() io.WriterTo { return &snapshot{m.byID.Copy()} }

// WriteTo writes the snapshot. It may be called more than once.
func (s *snapshot) WriteTo(to io.Writer) (int64, error) {
	counter := &countingWriter{to: to}
	w := bufio.NewWriterSize(counter, 64<<10)
	head := binary.AppendUvarint([]byte{snapshotVersion}, uint64(s.byID.Len()))
	_, err := w.Write(head)
	s.byID.Scan(func(s *session) bool {
		head = s.appendHead(head[:0])
		if _, err = w.Write(head); err == nil {
			_, err = w.Write(s.data)
		}
		return err == nil
	})
	if err == nil {
		err = w.Flush()
	}
	return counter.n, err
}

// appendHead appends what comes before the data in a snapshot.
func (s *session) appendHead(dst []byte) []byte {
	dst = appendBytes(appendBytes(dst, s.id), s.user)
	for _, n := range []uint64{s.version, uint64(s.ttl), uint64(s.ends), uint64(s.limit), uint64(len(s.data))} {
		dst = binary.AppendUvarint(dst, n)
	}
	return dst
}

type countingWriter struct {
	to io.Writer
	n  int64
}

func (w *countingWriter) Write(b []byte) (int, error) {
	n, err := w.to.Write(b)
	w.n += int64(n)
	return n, err
}

// Restore replaces the state by what a snapshot wrote, and reads r to its end.
// With an error, which is ErrCorrupt or the reader's, the state is unchanged.
// Bytes are taken only if a snapshot could have written them exactly so; what
// is allocated is in proportion to what r really holds. The shell is not told
// of deadlines: its index comes back with its own snapshot.
func (m *state) Restore(r io.Reader) error {
	fresh := newState()
	l := &loader{r: bufio.NewReaderSize(r, 64<<10)}
	l.load(fresh)
	if l.err != nil {
		return fmt.Errorf("restoring sessions: %w", l.err)
	}
	*m = *fresh
	return nil
}

// A loader reads the parts of a snapshot. After the first error everything
// reads as zero.
type loader struct {
	r   *bufio.Reader
	err error
}

func (l *loader) load(m *state) {
	if l.byte() != snapshotVersion {
		l.corrupt("unknown version")
	}
	count := l.uvarint(math.MaxUint64)
	last := ""
	for range count {
		s := l.session()
		if l.err != nil {
			return
		}
		if s.id <= last {
			l.corrupt("a session is out of place")
			return
		}
		m.put(nil, s)
		last = s.id
	}
	if _, err := l.r.ReadByte(); l.err == nil && err != io.EOF {
		l.corrupt("bytes behind the end")
	}
}

func (l *loader) session() *session {
	s := &session{id: string(l.bytes()), user: string(l.bytes())}
	s.version = l.uvarint(math.MaxUint64)
	s.ttl, s.ends, s.limit = l.duration(), l.duration(), l.duration()
	s.data = l.bytes()
	if s.version == 0 || s.ttl == 0 || s.ends == 0 || s.limit != 0 && s.ends > s.limit {
		l.corrupt("an impossible session")
	}
	return s
}

func (l *loader) duration() time.Duration { return time.Duration(l.uvarint(math.MaxInt64)) }

func (l *loader) corrupt(what string) {
	if l.err == nil {
		l.err = fmt.Errorf("%w: %s", ErrCorrupt, what)
	}
}

// stop keeps the first error. A reader that ends early holds no snapshot.
func (l *loader) stop(err error) {
	switch {
	case err == nil:
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		l.corrupt("it ends too early")
	case l.err == nil:
		l.err = err
	}
}

func (l *loader) byte() byte {
	if l.err != nil {
		return 0
	}
	b, err := l.r.ReadByte()
	l.stop(err)
	return b
}

// uvarint reads a number up to most in its shortest form.
func (l *loader) uvarint(most uint64) uint64 {
	var n uint64
	for shift := 0; shift < 64 && l.err == nil; shift += 7 {
		b := l.byte()
		if b == 0 && shift > 0 || shift == 63 && b > 1 {
			break
		}
		n |= uint64(b&0x7f) << shift
		if b < 0x80 && n <= most {
			return n
		}
		if b < 0x80 {
			break
		}
	}
	l.corrupt("malformed number")
	return 0
}

// bytes reads a string in pieces, because its length may be a lie.
func (l *loader) bytes() []byte {
	const piece = 64 << 10
	n := l.uvarint(math.MaxInt64)
	if l.err != nil {
		return nil
	}
	if n <= piece {
		b := make([]byte, n)
		_, err := io.ReadFull(l.r, b)
		l.stop(err)
		return b
	}
	var b bytes.Buffer
	_, err := io.CopyN(&b, l.r, int64(n))
	l.stop(err)
	return bytes.Clone(b.Bytes())
}
