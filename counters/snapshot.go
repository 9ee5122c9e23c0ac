package counters

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tidwall/btree"

	"github.com/huddlecache/huddle/cluster/machine"
)

// ErrCorrupt is what Restore returns of bytes that no snapshot wrote.
var ErrCorrupt = errors.New("snapshot of the counters is corrupt")

// A snapshot is the state at one time. Its trees share what has not changed
// since with those of the state.
type snapshot struct {
	counters *btree.BTreeG[*counter]
	limits   *btree.BTreeG[*limit]
}

// WriteTo writes the snapshot, the same bytes every time:
//
//	byte     1, the version of this format
//	records, counters before limits, each in the order of their names:
//	  4 byte   length of what follows, big endian, at least 1
//	  byte     1, counter                    2, limit
//	           name                          name
//	           value varint                  algorithm byte, limit, window, burst uvarint
//	           end uvarint (0: none)         due, used, mark uvarint
//	                                         count uvarint of the log, each:
//	                                           nanoseconds since the one before uvarint, cost uvarint
//	4 byte   0, the end
//
// All else is written as in commands; times are nanoseconds of lease time.
func (s *snapshot) WriteTo(to io.Writer) (int64, error) {
	w := &saver{to: bufio.NewWriterSize(to, 64<<10)}
	w.write([]byte{formatVersion})
	s.counters.Scan(func(c *counter) bool {
		b := appendName([]byte{recordCounter}, c.name)
		return w.record(appendUvarint(appendVarint(b, c.value), c.end))
	})
	s.limits.Scan(func(l *limit) bool {
		return w.record(appendLimit([]byte{recordLimit}, l))
	})
	w.write([]byte{0, 0, 0, 0})
	if w.err == nil {
		w.err = w.to.Flush()
	}
	return w.n - int64(w.to.Buffered()), w.err
}

// Kinds of record.
const (
	recordCounter = 1
	recordLimit   = 2
)

func appendLimit(b []byte, l *limit) []byte {
	b = appendRule(appendName(b, l.name), l.rule)
	b = appendUvarint(b, l.due)
	b = appendUvarint(b, l.usage.used)
	b = appendUvarint(b, l.usage.mark)
	b = appendUvarint(b, len(l.usage.log))
	last := time.Duration(0)
	for _, t := range l.usage.log {
		b = appendUvarint(appendUvarint(b, t.at-last), t.cost)
		last = t.at
	}
	return b
}

// A saver writes records. The first error stays, and nothing is written after
// it.
type saver struct {
	to  *bufio.Writer
	n   int64
	err error
}

func (w *saver) write(b []byte) {
	if w.err == nil {
		var n int
		n, w.err = w.to.Write(b)
		w.n += int64(n)
	}
}

func (w *saver) record(b []byte) bool {
	w.write(binary.BigEndian.AppendUint32(nil, uint32(len(b))))
	w.write(b)
	return w.err == nil
}

// maxRecord bounds what is allocated for a record: a name and a full log.
const maxRecord = 64 << 10

// Restore implements machine.Machine. Bytes are taken only if a snapshot could
// have written them exactly so; with an error the state is unchanged. The
// shell's index of deadlines comes back with the shell's own snapshot.
func (s *state) Restore(r io.Reader) error {
	fresh := newState()
	if err := fresh.load(bufio.NewReaderSize(r, 64<<10)); err != nil {
		return fmt.Errorf("restoring counters: %w", err)
	}
	*s = *fresh
	return nil
}

func (s *state) load(r *bufio.Reader) error {
	version, err := r.ReadByte()
	if err != nil {
		return early(err)
	}
	if version != formatVersion {
		return fmt.Errorf("%w: version %d", ErrCorrupt, version)
	}
	for {
		record, err := readRecord(r)
		if err != nil {
			return err
		}
		if record == nil {
			break
		}
		if err := s.loadRecord(record); err != nil {
			return err
		}
	}
	switch _, err := r.ReadByte(); {
	case err == nil:
		return fmt.Errorf("%w: bytes behind the end", ErrCorrupt)
	case !errors.Is(err, io.EOF):
		return err
	}
	return nil
}

// readRecord returns the next record, nil at the end.
func readRecord(r *bufio.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, early(err)
	}
	switch n := binary.BigEndian.Uint32(size[:]); {
	case n > maxRecord:
		return nil, fmt.Errorf("%w: record of %d bytes", ErrCorrupt, n)
	case n == 0:
		return nil, nil
	default:
		record := make([]byte, n)
		_, err := io.ReadFull(r, record)
		return record, early(err)
	}
}

// early is what an error of reading means: a reader that ends holds no snapshot.
func early(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends too early", ErrCorrupt)
	}
	return err
}

// Rebase implements machine.Rebaser: what is left of a TTL and of a window when
// a backup is made is left when it is restored.
func (s *state) Rebase(tx *machine.Tx, shift time.Duration) {
	old := *s
	*s = *newState()
	old.counters.Scan(func(c *counter) bool {
		moved := &counter{c.name, c.value, machine.Shift(c.end, shift)}
		s.setCounter(tx, nil, moved)
		return true
	})
	old.limits.Scan(func(l *limit) bool {
		moved := &limit{l.name, l.rule, l.usage.moved(shift), machine.Shift(l.due, shift)}
		s.setLimit(tx, nil, moved)
		return true
	})
}

// loadRecord adds what a record holds, which comes after all that is there.
func (s *state) loadRecord(record []byte) error {
	d := &decoder{data: record}
	switch kind := d.byte(); kind {
	case recordCounter:
		c := &counter{name: d.name(), value: d.varint(), end: d.duration()}
		if last, found := s.counters.Max(); s.limits.Len() > 0 || found && c.name <= last.name {
			d.fail("counter out of place")
		}
		s.counters.Load(c)
		s.size += c.size()
	case recordLimit:
		l := d.limit()
		if last, found := s.limits.Max(); found && l.name <= last.name {
			d.fail("limit out of place")
		}
		s.limits.Load(l)
		s.size += l.size()
	default:
		d.fail("kind of record")
	}
	if err := d.done(); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return nil
}

func (d *decoder) limit() *limit {
	l := &limit{name: d.name(), rule: d.rule(), due: d.duration()}
	l.usage = usage{used: d.number(), mark: d.duration()}
	if n := d.number(); n > 0 && n <= int64(len(d.data)) {
		l.usage.log = make([]taken, n)
	} else if n > 0 {
		d.fail("length of a log")
	}
	at, sum := time.Duration(0), int64(0)
	for i := range l.usage.log {
		later, cost := d.duration(), d.number()
		if at += later; i > 0 && later == 0 || cost < 1 {
			d.fail("log out of order")
		}
		sum += cost
		l.usage.log[i] = taken{at, cost}
	}
	if isSliding := l.rule.algorithm == SlidingWindow; isSliding != (l.usage.log != nil) || isSliding && sum != l.usage.used {
		d.fail("log that is not the usage's")
	}
	if d.err == nil {
		d.err = l.rule.check()
	}
	return l
}

func appendUvarint[T ~int64 | int](b []byte, n T) []byte {
	return binary.AppendUvarint(b, uint64(n))
}

func appendVarint(b []byte, n int64) []byte { return binary.AppendVarint(b, n) }

func appendResults(results []Result) []byte {
	b := make([]byte, 1, 1+24*len(results))
	for _, r := range results {
		b = appendResult(b, r)
	}
	return b
}
