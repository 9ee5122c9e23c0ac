package keyspace

import (
	"bufio"
	"encoding/binary"
	"io"
	"math"

	"github.com/huddlecache/huddle/cluster/machine/snap"
)

// snapshotVersion is the first byte of a snapshot.
const snapshotVersion = 2

// hasExpiry is set in a kind's byte in a snapshot where a key has an end.
const hasExpiry = 0x80

// A snapshot is the state at one time. Its trees share what has not changed
// since with those of the Space.
type snapshot struct {
	seed   [16]byte
	seeded bool
	dbs    [Databases]database

	scripts scripts
	waiters waiters // all and silent
}

// Snapshot returns the state as it is now, in O(1). What it writes is a
// function of that state alone:
//
//	byte    2, the version of this format
//	byte    1 if there is a seed, else 0
//	16 byte seed, zeros if there is none
//	for each database that holds a key or has held one, in order:
//	  byte    number of the database
//	  uvarint number of the last change that took a key away, 0 for none
//	  uvarint number of the last SWAPDB, 0 for none
//	  uvarint number of keys
//	  for each key, in the order of its hash by the seed, then of its bytes:
//	    byte    kind of the value; 0x80 is added if the key has an end
//	    uvarint length of the key
//	    bytes   key
//	    uvarint number of the last change, by the cluster's number source
//	    uvarint deadline in nanoseconds of lease time      (with 0x80 only)
//	    uvarint wall time in milliseconds since the epoch  (with 0x80 only)
//	    value, of kind 1 (string):
//	      uvarint length
//	      bytes
//	    value, of the other kinds:
//	      uvarint number of elements, at least 1
//	      for each element, those of a list in their order, others in the
//	      order of the hash of their name (field or member), then of its bytes:
//	        uvarint length
//	        bytes                   element or name
//	        uvarint length          (of kind 2, hash, only)
//	        bytes   value
//	        8 byte  score, an IEEE 754 double, big endian   (of kind 5, sorted set, only)
//	byte    253, and those who wait, if there are any:
//	  uvarint number of silent origins
//	  uvarint each of them, ascending
//	  uvarint number of waiters
//	  for each, in the order in which they came:
//	    uvarint number, by the cluster's number source
//	    16 byte id
//	    uvarint origin that it came through
//	    uvarint length
//	    bytes   command, as AppendCommand has it
//	    uvarint lease time in nanoseconds at which it is gone, 0 for never
//	    byte    0 it waits, 1 it was asked whether it does, 2 it was offered an element
//	    uvarint lease time in nanoseconds until which it is in that state
//	    uvarint position of the key of the element among its keys, from 0  (with 2 only)
//	byte    254, and the scripts that EVALSHA knows, if there are any:
//	  uvarint number of scripts
//	  for each, in the order of the SHA-1 of its source:
//	    uvarint length
//	    bytes   source
//	    uvarint number of the last change that used it
//	byte    255, the end
//
// Kind 3 is a set and kind 4 a list. Every uvarint is as short as it can be.
func (s *Space) Snapshot() io.WriterTo {
	snap := &snapshot{seed: s.seed, seeded: s.seeded}
	for i, db := range s.dbs {
		snap.dbs[i] = *db
		snap.dbs[i].tree = db.tree.Copy()
	}
	snap.scripts = s.scripts
	snap.scripts.tree = s.scripts.tree.Copy()
	snap.waiters = waiters{all: s.waiters.all.Copy(), silent: s.waiters.silent}
	s.generation++ // all entries that there are belong to the snapshot too
	return snap
}

// What stands where the number of a database would.
const (
	waitersOfSnapshot = 0xfd
	scriptsOfSnapshot = 0xfe
	endOfSnapshot     = 0xff
)

// WriteTo writes the snapshot. It may be called more than once.
func (s *snapshot) WriteTo(to io.Writer) (int64, error) {
	counter := &snap.Counter{To: to}
	w := &saver{w: bufio.NewWriterSize(counter, 64<<10)}
	w.byte(snapshotVersion)
	if s.seeded {
		w.byte(1)
	} else {
		w.byte(0)
	}
	w.raw(s.seed[:])
	for i, db := range s.dbs {
		if db.isUntouched() {
			continue
		}
		w.byte(byte(i))
		w.uvarint(db.removed)
		w.uvarint(db.swapped)
		w.uvarint(uint64(db.tree.Len()))
		db.tree.Scan(func(it item) bool {
			w.entry(it.entry)
			return w.err == nil
		})
	}
	w.waiters(&s.waiters)
	w.scripts(&s.scripts)
	w.byte(endOfSnapshot)
	if w.err == nil {
		w.err = w.w.Flush()
	}
	return counter.N, w.err
}

// A saver writes the parts of a snapshot. The first error stays, and nothing
// is written after it.
type saver struct {
	w   *bufio.Writer
	err error
	buf [binary.MaxVarintLen64]byte
}

func (w *saver) raw(b []byte) {
	if w.err == nil {
		_, w.err = w.w.Write(b)
	}
}

func (w *saver) byte(b byte) {
	if w.err == nil {
		w.err = w.w.WriteByte(b)
	}
}

func (w *saver) uvarint(n uint64) { w.raw(w.buf[:binary.PutUvarint(w.buf[:], n)]) }

func (w *saver) bytes(b []byte) {
	w.uvarint(uint64(len(b)))
	w.raw(b)
}

func (w *saver) string(s string) {
	w.uvarint(uint64(len(s)))
	if w.err == nil {
		_, w.err = w.w.WriteString(s)
	}
}

func (w *saver) double(f float64) {
	binary.BigEndian.PutUint64(w.buf[:], math.Float64bits(f))
	w.raw(w.buf[:8])
}

func (w *saver) entry(e *entry) {
	kind := byte(e.value.kind())
	if e.isSet() {
		kind |= hasExpiry
	}
	w.byte(kind)
	w.string(e.key)
	w.uvarint(e.number)
	if e.isSet() {
		w.uvarint(uint64(e.deadline))
		w.uvarint(uint64(e.wall))
	}
	e.value.save(w)
}

func (w *saver) scripts(s *scripts) {
	if s.tree.Len() == 0 {
		return
	}
	w.byte(scriptsOfSnapshot)
	w.uvarint(uint64(s.tree.Len()))
	s.tree.Scan(func(one stored) bool {
		w.string(one.source)
		w.uvarint(one.used)
		return w.err == nil
	})
}
