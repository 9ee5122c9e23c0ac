package keyspace

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/huddlecache/huddle/keyspace/internal/lua"
)

// ErrCorrupt is what Restore returns of bytes that no snapshot wrote.
var ErrCorrupt = errors.New("snapshot is corrupt")

// Restore replaces the state by what a snapshot wrote, and reads r to its end.
// With an error, which is ErrCorrupt or the reader's, the state is unchanged.
// Bytes are taken only if a snapshot could have written them exactly so; what
// is allocated is in proportion to what r really holds. The shell is not told
// of deadlines: its index comes back with its own snapshot.
func (s *Space) Restore(r io.Reader) error {
	fresh := New()
	fresh.compiled = s.compiled
	l := &loader{r: bufio.NewReaderSize(r, 64<<10)}
	l.space(fresh)
	if l.err != nil {
		return fmt.Errorf("restoring keyspace: %w", l.err)
	}
	*s = *fresh
	return nil
}

// A loader reads the parts of a snapshot. After the first error everything
// reads as zero.
type loader struct {
	r   *bufio.Reader
	err error
}

func (l *loader) corrupt(what string) {
	if l.err == nil {
		l.err = fmt.Errorf("%w: %s", ErrCorrupt, what)
	}
}

func (l *loader) space(s *Space) {
	if l.byte() != snapshotVersion {
		l.corrupt("unknown version")
		return
	}
	switch l.byte() {
	case 0:
	case 1:
		s.seeded = true
	default:
		l.corrupt("neither with nor without a seed")
	}
	copy(s.seed[:], l.raw(uint64(len(s.seed))))
	if !s.seeded && s.seed != [16]byte{} {
		l.corrupt("a seed that is not set")
	}
	least := 0
	for l.err == nil {
		n := int(l.byte())
		if n == endOfSnapshot {
			break
		}
		if n == scriptsOfSnapshot {
			l.scripts(s)
			break
		}
		if n < least || n >= Databases || !s.seeded {
			l.corrupt("database out of place")
			return
		}
		l.database(s, n)
		least = n + 1
	}
	if _, err := l.r.ReadByte(); l.err == nil && err != io.EOF {
		l.corrupt("bytes behind the end")
	}
}

// scripts reads the scripts, and the end behind them.
func (l *loader) scripts(s *Space) {
	last := ""
	l.elements(func() {
		source, used := l.string(), l.uvarint()
		sum := sha1.Sum([]byte(source))
		digest := hex.EncodeToString(sum[:])
		if digest <= last || !s.seeded {
			l.corrupt("script out of place")
		}
		last = digest
		s.scripts.put(stored{digest, source, used})
		if s.scripts.tree.Len() > maxScripts || s.scripts.bytes > maxScriptsBytes || len(source) > lua.MaxSource {
			l.corrupt("more scripts than are kept")
		}
	})
	s.size += s.scripts.size()
	if l.byte() != endOfSnapshot {
		l.corrupt("no end behind the scripts")
	}
}

func (l *loader) database(s *Space, n int) {
	s.dbs[n].removed, s.dbs[n].swapped = l.uvarint(), l.uvarint()
	count := l.uvarint()
	if count == 0 && s.dbs[n].isUntouched() {
		l.corrupt("empty database")
	}
	var last item
	for i := uint64(0); i < count && l.err == nil; i++ {
		e := l.entry(s)
		if l.err != nil {
			return
		}
		it := item{hash: s.hash([]byte(e.key)), entry: e}
		if i > 0 && !less(last, it) {
			l.corrupt("key out of place")
			return
		}
		s.dbs[n].tree.Load(it)
		s.size += e.size()
		last = it
	}
}

func (l *loader) entry(s *Space) *entry {
	mark := l.byte()
	e := &entry{key: l.string(), number: l.uvarint()}
	if mark&hasExpiry != 0 {
		deadline, wall := l.uvarint(), l.uvarint()
		if deadline == 0 || deadline > math.MaxInt64 || wall > math.MaxInt64 {
			l.corrupt("impossible deadline")
		}
		e.expiry = expiry{deadline: time.Duration(deadline), wall: int64(wall)}
	}
	e.value = l.value(s, kind(mark&^hasExpiry))
	return e
}

func (l *loader) value(s *Space, k kind) value {
	switch k {
	case kindString:
		return text(l.bytes())
	case kindHash:
		return l.hash(s)
	case kindSet:
		return l.set(s)
	case kindList:
		return l.list()
	case kindZSet:
		return l.zset(s)
	}
	l.corrupt("unknown kind of value")
	return nil
}

// elements calls read for each element of a collection, which is not empty.
func (l *loader) elements(read func()) {
	count := l.uvarint()
	if count == 0 {
		l.corrupt("empty value")
	}
	for i := uint64(0); i < count && l.err == nil; i++ {
		read()
	}
}

func (l *loader) hash(s *Space) *hash {
	h := &hash{}
	l.elements(func() {
		f := field{member: l.member(s), value: l.string()}
		if n := h.fields.Len(); n > 0 && !h.fields.At(n-1).isBefore(f.hash, f.name) {
			l.corrupt("field out of place")
		}
		h.bytes += f.size()
		h.fields.Append(f)
	})
	return h
}

func (l *loader) set(s *Space) *set {
	v := &set{}
	l.elements(func() {
		m := l.member(s)
		if n := v.members.Len(); n > 0 && !v.members.At(n-1).isBefore(m.hash, m.name) {
			l.corrupt("member out of place")
		}
		v.bytes += m.size()
		v.members.Append(m)
	})
	return v
}

func (l *loader) list() *list {
	v := &list{}
	l.elements(func() { v.push(l.string(), false) })
	return v
}

func (l *loader) zset(s *Space) *zset {
	z := &zset{}
	l.elements(func() {
		m, score := l.member(s), l.double()
		if n := z.byName.Len(); n > 0 && !z.byName.At(n-1).isBefore(m.hash, m.name) {
			l.corrupt("member out of place")
		}
		if math.IsNaN(score) || score == 0 && math.Signbit(score) {
			l.corrupt("a score that is not stored")
		}
		if l.err == nil {
			z.byName.Append(scored{m, score})
			z.insertScore(m.name, score)
			z.bytes += int64(len(m.name)) + scoredCost
		}
	})
	return z
}

func (l *loader) member(s *Space) member {
	name := l.string()
	return member{s.hashString(name), name}
}

func (l *loader) double() float64 {
	var b [8]byte
	copy(b[:], l.raw(8))
	return math.Float64frombits(binary.BigEndian.Uint64(b[:]))
}

func (l *loader) string() string { return string(l.bytes()) }

func (l *loader) byte() byte {
	if l.err != nil {
		return 0
	}
	b, err := l.r.ReadByte()
	l.stop(err)
	return b
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

// uvarint reads a number in its shortest form.
func (l *loader) uvarint() uint64 {
	var n uint64
	for shift := 0; shift < 64 && l.err == nil; shift += 7 {
		b := l.byte()
		if b == 0 && shift > 0 || shift == 63 && b > 1 {
			break
		}
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return n
		}
	}
	l.corrupt("malformed number")
	return 0
}

func (l *loader) bytes() []byte { return l.raw(l.uvarint()) }

// raw reads n bytes, in pieces, because n may be a lie.
func (l *loader) raw(n uint64) []byte {
	const piece = 64 << 10
	if l.err != nil {
		return nil
	}
	if n <= piece {
		b := make([]byte, n)
		_, err := io.ReadFull(l.r, b)
		l.stop(err)
		return b
	}
	if n > math.MaxInt64 {
		l.corrupt("impossible length")
		return nil
	}
	var b bytes.Buffer
	_, err := io.CopyN(&b, l.r, int64(n))
	l.stop(err)
	return bytes.Clone(b.Bytes())
}
