package sessions

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/tidwall/btree"

	"github.com/huddlecache/huddle/cluster/machine/snap"
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
	counter := &snap.Counter{To: to}
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
	return counter.N, err
}

// appendHead appends what comes before the data in a snapshot.
func (s *session) appendHead(dst []byte) []byte {
	dst = appendBytes(appendBytes(dst, s.id), s.user)
	for _, n := range []uint64{s.version, uint64(s.ttl), uint64(s.ends), uint64(s.limit), uint64(len(s.data))} {
		dst = binary.AppendUvarint(dst, n)
	}
	return dst
}

// Restore replaces the state by what a snapshot wrote, and reads r to its end.
// With an error, which is ErrCorrupt or the reader's, the state is unchanged.
// Bytes are taken only if a snapshot could have written them exactly so; what
// is allocated is in proportion to what r really holds. The shell is not told
// of deadlines: its index comes back with its own snapshot.
func (m *state) Restore(r io.Reader) error {
	fresh := newState()
	l := &loader{snap.NewReader(r, ErrCorrupt)}
	l.load(fresh)
	if err := l.Err(); err != nil {
		return fmt.Errorf("restoring sessions: %w", err)
	}
	*m = *fresh
	return nil
}

// A loader reads the parts of a snapshot.
type loader struct{ *snap.Reader }

func (l *loader) load(m *state) {
	if l.Byte() != snapshotVersion {
		l.Corrupt("unknown version")
	}
	count := l.Uvarint()
	last := ""
	for range count {
		s := l.session()
		if l.Err() != nil {
			return
		}
		if s.id <= last {
			l.Corrupt("a session is out of place")
			return
		}
		m.put(nil, s)
		last = s.id
	}
	l.End()
}

func (l *loader) session() *session {
	s := &session{id: l.String(), user: l.String()}
	s.version = l.Uvarint()
	s.ttl, s.ends, s.limit = l.duration(), l.duration(), l.duration()
	s.data = l.Bytes()
	if s.version == 0 || s.ttl == 0 || s.ends == 0 || s.limit != 0 && s.ends > s.limit {
		l.Corrupt("an impossible session")
	}
	return s
}

func (l *loader) duration() time.Duration { return time.Duration(l.UvarintTo(math.MaxInt64)) }
