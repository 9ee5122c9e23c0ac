package keyspace

import (
	"encoding/binary"

	"github.com/huddlecache/huddle/keyspace/internal/tree"
)

// find returns the value of key, the zero V where there is none now. It is
// false, and answered, where the value is of another type.
func find[V value](c *call, key []byte) (v V, ok bool) {
	e := c.read(key)
	if e == nil {
		return v, true
	}
	if v, ok = e.value.(V); !ok {
		c.reply.fail(errWrongType)
	}
	return v, ok
}

// An edit is a collection that a command changes in place. What it has become
// counts once commit is called.
type edit struct {
	*entry
	isNew bool
	was   int64 // its size before
}

// edit returns the collection of key, an empty one where there is none, to be
// changed. It is false, and answered, where the value is of another kind or
// may not grow.
func (c *call) edit(key []byte, k kind) (ed edit, ok bool) {
	old := c.own(key)
	if old != nil && old.value.kind() != k {
		c.reply.fail(errWrongType)
		return ed, false
	}
	if c.isTight(old) {
		c.refuse()
		return ed, false
	}
	return c.open(old, key, k), true
}

// open is edit where old is known to be nil or of that kind, and may grow.
func (c *call) open(old *entry, key []byte, k kind) edit {
	switch {
	case old == nil:
		e := &entry{key: string(key), value: k.empty(), generation: c.space.generation}
		return edit{entry: e, isNew: true}
	case old.generation == c.space.generation:
		return edit{entry: old, was: old.size()}
	default:
		e := *old
		e.value, e.generation = old.value.copy(), c.space.generation
		c.db.put(c.space.hash([]byte(e.key)), &e)
		return edit{entry: &e, was: e.size()}
	}
}

// commit ends an edit. Without isChanged nothing was changed. A collection
// that has become empty is removed.
func (c *call) commit(ed edit, isChanged bool) {
	isEmpty := ed.value.(collection).len() == 0
	switch {
	case !isChanged:
	case ed.isNew && isEmpty:
	case ed.isNew:
		c.place(nil, ed.entry)
	default:
		ed.number = c.change()
		c.space.size += ed.size() - ed.was
		if isEmpty {
			c.discard(ed.entry)
		} else {
			c.changed(ed.key, ed.deadline, ed.deadline)
			c.signal(ed.entry)
		}
	}
}

// isTight reports whether the command would add to something that is kept for
// longer than a day while there is little room. old is what it would add to.
func (c *call) isTight(old *entry) bool {
	return c.cmd.grows && c.tx.Pressure != 0 && (old == nil || c.isLong(old.expiry))
}

// replace makes v all that key holds, without an end; where v is empty the key
// is removed.
func (c *call) replace(key []byte, v collection) {
	old := c.own(key)
	if v.len() > 0 {
		c.put(old, key, v, expiry{})
	} else if old != nil {
		c.discard(old)
	}
}

// A member is a name in a set, hash or sorted set, with the hash that orders
// it: names are ordered as keys are in a database, so that a hash can be a
// cursor.
type member struct {
	hash uint64
	name string
}

func (m member) isBefore(hash uint64, name string) bool {
	if m.hash != hash {
		return m.hash < hash
	}
	return m.name < name
}

// A named is an item of a tree that is ordered by its member.
type named interface{ id() member }

func (m member) id() member { return m }

// locate returns the position of name in a tree of members, where it is or
// where it belongs.
func locate[T named](t *tree.Tree[T], hash uint64, name []byte) (i int, item T, found bool) {
	i, item, found = t.Search(func(other T) bool {
		m := other.id()
		if m.hash != hash {
			return m.hash < hash
		}
		return m.name < string(name)
	})
	return i, item, found && item.id().name == string(name)
}

// hashString is hash of a string.
func (s *Space) hashString(name string) uint64 { return s.hash([]byte(name)) }

// random returns a number below n, which is above 0. Numbers follow from the
// stamp and from those that this command took before: every node takes the
// same at the same place of the log.
func (c *call) random(n int) int {
	var place []byte
	place = binary.LittleEndian.AppendUint64(place, c.at.Index)
	place = binary.LittleEndian.AppendUint32(place, c.at.Position)
	place = binary.LittleEndian.AppendUint64(place, uint64(c.at.Lease))
	place = binary.LittleEndian.AppendUint64(place, uint64(c.at.Wall))
	if c.draws > 0 {
		place = binary.LittleEndian.AppendUint64(place, c.draws)
	}
	c.draws++
	return int(sipHash(&c.space.seed, place) % uint64(n))
}
