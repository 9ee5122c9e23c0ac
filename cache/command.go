package cache

import (
	"encoding/binary"

	"github.com/huddlecache/huddle/cluster/machine/wire"
)

// commandVersion is the first byte of every command and query.
const commandVersion = 1

// An op is what a command or query does.
type op uint8

const (
	opJoin       op = 1 // the proposing node serves from now on
	opLeave      op = 2 // a node serves no longer: it has left, or is dead
	opInvalidate op = 3 // what is cached of a group, of some tags or keys is void
	opRing       op = 4 // query: who serves
	opLoader     op = 5 // the values of a group are made by another loader over HTTP, or by none
	opLoaders    op = 6 // query: which loaders there are
)

// A command is what is in the log. Queries have the form of commands.
//
//	byte    1, the version of this format
//	byte    op
//	join, leave:
//	  string  server ID
//	  uvarint origin: leave only, the one that is known to have left
//	invalidate:
//	  scope
//	loader:
//	  remote
//	ring, loaders: nothing
//
// Strings have their length before them as an uvarint.
type command struct {
	op     op
	id     string
	origin uint64
	scope  scope
	loader remote
}

func (c command) encode() []byte {
	b := []byte{commandVersion, byte(c.op)}
	switch c.op {
	case opJoin:
		b = wire.AppendString(b, c.id)
	case opLeave:
		b = binary.AppendUvarint(wire.AppendString(b, c.id), c.origin)
	case opInvalidate:
		b = c.scope.append(b)
	case opLoader:
		b = c.loader.append(b)
	}
	return b
}

func decodeCommand(data []byte) (c command, err error) {
	r := wire.NewReader(data)
	version := r.Byte()
	c.op = op(r.Byte())
	switch c.op {
	case opJoin:
		c.id = r.String()
	case opLeave:
		c.id, c.origin = r.String(), r.Uvarint()
	case opInvalidate:
		c.scope = readScope(r)
	case opLoader:
		c.loader = readRemote(r)
	case opRing, opLoaders:
	default:
		return c, wire.ErrMalformed
	}
	if version != commandVersion {
		return c, wire.ErrMalformed
	}
	return c, r.Done()
}

// A scope is what an invalidation is of: all of a group, or some of its keys
// and tags.
//
//	string  group
//	byte    1 all of it, 0 else
//	uvarint number of keys, each a string
//	uvarint number of tags, each a string
type scope struct {
	group string
	all   bool
	keys  []string
	tags  []string
}

func (s *scope) append(b []byte) []byte {
	b = wire.AppendBool(wire.AppendString(b, s.group), s.all)
	return appendStrings(appendStrings(b, s.keys), s.tags)
}

func readScope(r *wire.Reader) (s scope) {
	s.group, s.all = r.String(), r.Bool()
	s.keys, s.tags = readStrings(r), readStrings(r)
	return s
}

func decodeScope(data []byte) (scope, error) {
	r := wire.NewReader(data)
	s := readScope(r)
	return s, r.Done()
}

func appendStrings(b []byte, list []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, s := range list {
		b = wire.AppendString(b, s)
	}
	return b
}

func readStrings(r *wire.Reader) []string {
	n := r.Count(1)
	if n == 0 {
		return nil
	}
	list := make([]string, n)
	for i := range list {
		list[i] = r.String()
	}
	return list
}

// A roster says who serves, as the log knows it.
//
//	uvarint version: index of the entry that changed it last
//	uvarint number of members, each a string and an uvarint: server ID, origin
//	uvarint number of former members, each a string: server ID
type roster struct {
	version uint64
	members []member // by ID
	former  []string // who served a short time ago, and may think that they still do
}

// A member is a node that serves, at one stay in the cluster.
type member struct {
	id     string
	origin uint64
}

func (r *roster) encode() []byte {
	b := binary.AppendUvarint(nil, r.version)
	b = binary.AppendUvarint(b, uint64(len(r.members)))
	for _, m := range r.members {
		b = binary.AppendUvarint(wire.AppendString(b, m.id), m.origin)
	}
	return appendStrings(b, r.former)
}

func decodeRoster(data []byte) (r roster, err error) {
	rd := wire.NewReader(data)
	r.version = rd.Uvarint()
	r.members = make([]member, rd.Count(2))
	for i := range r.members {
		r.members[i] = member{rd.String(), rd.Uvarint()}
	}
	r.former = readStrings(rd)
	return r, rd.Done()
}

// others returns all who may think that they serve, but for one node.
func (r *roster) others(self string) []string {
	var ids []string
	for _, m := range r.members {
		if m.id != self {
			ids = append(ids, m.id)
		}
	}
	for _, id := range r.former {
		if id != self && r.find(id) < 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// find returns the place of a member, or -1.
func (r *roster) find(id string) int {
	for i, m := range r.members {
		if m.id == id {
			return i
		}
	}
	return -1
}
