package keyspace

import (
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/huddlecache/huddle/cluster/machine/snap"
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
	l := &loader{snap.NewReader(r, ErrCorrupt)}
	l.space(fresh)
	if err := l.Err(); err != nil {
		return fmt.Errorf("restoring keyspace: %w", err)
	}
	*s = *fresh
	return nil
}

// A loader reads the parts of a snapshot.
type loader struct{ *snap.Reader }

func (l *loader) space(s *Space) {
	if l.Byte() != snapshotVersion {
		l.Corrupt("unknown version")
		return
	}
	switch l.Byte() {
	case 0:
	case 1:
		s.seeded = true
	default:
		l.Corrupt("neither with nor without a seed")
	}
	copy(s.seed[:], l.Take(uint64(len(s.seed))))
	if !s.seeded && s.seed != [16]byte{} {
		l.Corrupt("a seed that is not set")
	}
	least := 0
	for l.Err() == nil {
		n := int(l.Byte())
		if n == endOfSnapshot {
			break
		}
		if n == scriptsOfSnapshot {
			l.scripts(s)
			break
		}
		if n == waitersOfSnapshot && least < n {
			l.waiters(s)
			least = n + 1
			continue
		}
		if n < least || n >= Databases || !s.seeded {
			l.Corrupt("database out of place")
			return
		}
		l.database(s, n)
		least = n + 1
	}
	l.End()
}

// scripts reads the scripts, and the end behind them.
func (l *loader) scripts(s *Space) {
	last := ""
	l.elements(func() {
		source, used := l.String(), l.Uvarint()
		sum := sha1.Sum([]byte(source))
		digest := hex.EncodeToString(sum[:])
		if digest <= last || !s.seeded {
			l.Corrupt("script out of place")
		}
		last = digest
		s.scripts.put(stored{digest, source, used})
		if s.scripts.tree.Len() > maxScripts || s.scripts.bytes > maxScriptsBytes || len(source) > lua.MaxSource {
			l.Corrupt("more scripts than are kept")
		}
	})
	s.size += s.scripts.size()
	if l.Byte() != endOfSnapshot {
		l.Corrupt("no end behind the scripts")
	}
}

func (l *loader) database(s *Space, n int) {
	s.dbs[n].removed, s.dbs[n].swapped = l.Uvarint(), l.Uvarint()
	count := l.Uvarint()
	if count == 0 && s.dbs[n].isUntouched() {
		l.Corrupt("empty database")
	}
	var last item
	for i := uint64(0); i < count && l.Err() == nil; i++ {
		e := l.entry(s)
		if l.Err() != nil {
			return
		}
		it := item{hash: s.hash([]byte(e.key)), entry: e}
		if i > 0 && !less(last, it) {
			l.Corrupt("key out of place")
			return
		}
		s.dbs[n].tree.Load(it)
		s.size += e.size()
		last = it
	}
}

func (l *loader) entry(s *Space) *entry {
	mark := l.Byte()
	e := &entry{key: l.String(), number: l.Uvarint()}
	if mark&hasExpiry != 0 {
		deadline, wall := l.Uvarint(), l.Uvarint()
		if deadline == 0 || deadline > math.MaxInt64 || wall > math.MaxInt64 {
			l.Corrupt("impossible deadline")
		}
		e.expiry = expiry{deadline: time.Duration(deadline), wall: int64(wall)}
	}
	e.value = l.value(s, kind(mark&^hasExpiry))
	return e
}

func (l *loader) value(s *Space, k kind) value {
	switch k {
	case kindString:
		return text(l.Bytes())
	case kindHash:
		return l.hash(s)
	case kindSet:
		return l.set(s)
	case kindList:
		return l.list()
	case kindZSet:
		return l.zset(s)
	}
	l.Corrupt("unknown kind of value")
	return nil
}

// elements calls read for each element of a collection, which is not empty.
func (l *loader) elements(read func()) {
	count := l.Uvarint()
	if count == 0 {
		l.Corrupt("empty value")
	}
	for i := uint64(0); i < count && l.Err() == nil; i++ {
		read()
	}
}

func (l *loader) hash(s *Space) *hash {
	h := &hash{}
	l.elements(func() {
		f := field{member: l.member(s), value: l.String()}
		if n := h.fields.Len(); n > 0 && !h.fields.At(n-1).isBefore(f.hash, f.name) {
			l.Corrupt("field out of place")
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
			l.Corrupt("member out of place")
		}
		v.bytes += m.size()
		v.members.Append(m)
	})
	return v
}

func (l *loader) list() *list {
	v := &list{}
	l.elements(func() { v.push(l.String(), false) })
	return v
}

func (l *loader) zset(s *Space) *zset {
	z := &zset{}
	l.elements(func() {
		m, score := l.member(s), l.double()
		if n := z.byName.Len(); n > 0 && !z.byName.At(n-1).isBefore(m.hash, m.name) {
			l.Corrupt("member out of place")
		}
		if math.IsNaN(score) || score == 0 && math.Signbit(score) {
			l.Corrupt("a score that is not stored")
		}
		if l.Err() == nil {
			z.byName.Append(scored{m, score})
			z.insertScore(m.name, score)
			z.bytes += int64(len(m.name)) + scoredCost
		}
	})
	return z
}

func (l *loader) member(s *Space) member {
	name := l.String()
	return member{s.hashString(name), name}
}

func (l *loader) double() float64 {
	var b [8]byte
	copy(b[:], l.Take(8))
	return math.Float64frombits(binary.BigEndian.Uint64(b[:]))
}
