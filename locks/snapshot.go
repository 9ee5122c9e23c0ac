package locks

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/tidwall/btree"

	"github.com/huddlecache/huddle/cluster/machine/snap"
)

// ErrCorrupt is what Restore returns of bytes that no snapshot wrote.
var ErrCorrupt = errors.New("snapshot of the locks is corrupt")

// A snapshot is the state at one time. Its trees share what has not changed
// since with those of the Machine:
//
//	byte    1, the version of this format
//	uvarint number of silent origins
//	for each, in order: uvarint origin
//	for each request, in the order of its lease:
//	  uvarint length of what follows, from 1 up
//	  uvarint lease
//	  16 byte request id
//	  uvarint origin
//	  uvarint number of attempts that claim it
//	  for each: uvarint attempt
//	  uvarint slots
//	  uvarint time to live in nanoseconds
//	  uvarint lease time until which it waits, in nanoseconds
//	  byte    state
//	  uvarint token
//	  uvarint lease time at which the state ends, in nanoseconds
//	  uvarint length of the name, and the name
//	  uvarint length of the owner, and the owner
//	byte    0, the end
type snapshot struct {
	silent  *btree.BTreeG[uint64]
	byLease *btree.BTreeG[*entry]
}

// Snapshot returns the state as it is now, in O(1).
func (m *Machine) Snapshot() io.WriterTo {
	return &snapshot{m.silent.Copy(), m.requests.byLease.Copy()}
}

// WriteTo writes the snapshot. It may be called more than once.
func (s *snapshot) WriteTo(to io.Writer) (int64, error) {
	counted := &snap.Counter{To: to}
	w := bufio.NewWriterSize(counted, 64<<10)
	head := binary.AppendUvarint([]byte{formatVersion}, uint64(s.silent.Len()))
	s.silent.Scan(func(origin uint64) bool {
		head = binary.AppendUvarint(head, origin)
		return true
	})
	_, err := w.Write(head)
	var record, length []byte
	s.byLease.Scan(func(e *entry) bool {
		record = e.append(record[:0])
		length = binary.AppendUvarint(length[:0], uint64(len(record)))
		if _, err = w.Write(length); err == nil {
			_, err = w.Write(record)
		}
		return err == nil
	})
	if err == nil {
		err = w.WriteByte(0)
	}
	if err == nil {
		err = w.Flush()
	}
	return counted.N, err
}

func (e *entry) append(b []byte) []byte {
	b = binary.AppendUvarint(b, e.lease)
	b = append(b, e.id[:]...)
	b = binary.AppendUvarint(b, e.origin)
	b = binary.AppendUvarint(b, uint64(len(e.attempts)))
	for _, attempt := range e.attempts {
		b = binary.AppendUvarint(b, attempt)
	}
	b = binary.AppendUvarint(b, uint64(e.slots))
	b = binary.AppendUvarint(b, uint64(e.ttl))
	b = binary.AppendUvarint(b, uint64(e.until))
	b = append(b, byte(e.state))
	b = binary.AppendUvarint(b, e.token)
	b = binary.AppendUvarint(b, uint64(e.end))
	return appendString(appendString(b, e.name), e.owner)
}

func (r *reader) entry() *entry {
	e := &entry{lease: r.uvarint(), id: r.id(), origin: r.uvarint()}
	for range r.count(1) {
		e.attempts = append(e.attempts, r.uvarint())
	}
	slots := r.uvarint()
	e.ttl, e.until = r.nanos(), r.nanos()
	e.state, e.token, e.end = state(r.byte()), r.uvarint(), r.nanos()
	e.name, e.owner = r.string(), r.string()
	if slots > MaxSlots || len(e.attempts) > attemptsMost || e.state < waiting || e.state > held || (e.state == held) != (e.token > 0) || e.end == 0 {
		r.fail()
	}
	e.slots = uint32(slots)
	return e
}

// Restore replaces the state by what a snapshot wrote, and reads r to its end.
// With an error, which is ErrCorrupt or the reader's, the state is unchanged.
func (m *Machine) Restore(from io.Reader) error {
	fresh := newMachine()
	if err := fresh.load(bufio.NewReaderSize(from, 64<<10)); err != nil {
		return fmt.Errorf("restoring locks: %w", err)
	}
	*m = *fresh
	return nil
}

func (m *Machine) load(from *bufio.Reader) error {
	if version, err := from.ReadByte(); err != nil || version != formatVersion {
		return corrupt("unknown version", err)
	}
	origins, err := readUvarint(from)
	if err != nil {
		return corrupt("origins", err)
	}
	for range origins {
		origin, err := readUvarint(from)
		last, some := m.silent.Max()
		if err != nil || some && origin <= last {
			return corrupt("origins", err)
		}
		m.silent.Set(origin)
	}
	for {
		record, err := readRecord(from)
		if err != nil {
			return corrupt("a request", err)
		}
		if len(record) == 0 {
			break
		}
		r := &reader{data: record}
		e := r.entry()
		last, some := m.requests.byLease.Max()
		if r.done() != nil || some && e.lease <= last.lease || m.requests.named(e.id) != nil {
			return corrupt("a request", nil)
		}
		m.requests.add(e)
	}
	if _, err := from.ReadByte(); !errors.Is(err, io.EOF) {
		return corrupt("bytes behind the end", err)
	}
	return nil
}

// recordMost is more than a request ever takes.
const recordMost = MaxName + MaxOwner + 256 + attemptsMost*binary.MaxVarintLen64

func readRecord(from *bufio.Reader) ([]byte, error) {
	size, err := readUvarint(from)
	if err != nil {
		return nil, err
	}
	if size > recordMost {
		return nil, errMalformed
	}
	record := make([]byte, size)
	_, err = io.ReadFull(from, record)
	return record, err
}

func readUvarint(from *bufio.Reader) (n uint64, err error) {
	for shift := 0; shift < 64; shift += 7 {
		b, err := from.ReadByte()
		if err != nil {
			return 0, err
		}
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return n, nil
		}
	}
	return 0, errMalformed
}

// corrupt says what is wrong with a snapshot. An error of the reader that is
// not its end is not the snapshot's.
func corrupt(what string, err error) error {
	switch {
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, errMalformed):
		return fmt.Errorf("%w: %s", ErrCorrupt, what)
	}
	return err
}
