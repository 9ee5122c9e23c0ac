package cache

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/cluster/machine/snap"
	"github.com/huddlecache/huddle/cluster/machine/wire"
)

// A remote is a loader over HTTP, of a group.
//
//	string  group
//	string  URL; empty: none
//	uvarint TTL, uvarint stale, uvarint negative: milliseconds, 0 where not set
type remote struct {
	group string
	HTTPLoader
}

// remoteSize is what the size account takes for a remote beside its strings.
const remoteSize = 128

func (r *remote) append(b []byte) []byte {
	b = wire.AppendString(wire.AppendString(b, r.group), r.URL)
	return appendMillis(appendMillis(appendMillis(b, r.TTL), r.Stale), r.Negative)
}

func readRemote(r *wire.Reader) (m remote) {
	m.group, m.URL = r.String(), r.String()
	m.TTL, m.Stale, m.Negative = readMillis(r), readMillis(r), readMillis(r)
	return m
}

func decodeRemote(data []byte) (remote, error) {
	r := wire.NewReader(data)
	m := readRemote(r)
	return m, r.Done()
}

// appendRemotes writes a list of loaders, by group:
//
//	uvarint number, each: byte string, a remote
func appendRemotes(b []byte, list []remote) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for i := range list {
		b = wire.AppendBytes(b, list[i].append(nil))
	}
	return b
}

func decodeRemotes(data []byte) ([]remote, error) {
	r := wire.NewReader(data)
	list := make([]remote, r.Count(1))
	for i := range list {
		var err error
		if list[i], err = decodeRemote(r.Bytes()); err != nil {
			return nil, err
		}
	}
	return list, r.Done()
}

// readRemotes is decodeRemotes for a snapshot.
func readRemotes(r *snap.Reader) (list []remote) {
	for n := r.Uvarint(); n > 0 && r.Err() == nil; n-- {
		m, err := decodeRemote(r.Bytes())
		if err != nil || len(list) > 0 && list[len(list)-1].group >= m.group {
			r.Corrupt("a loader that is none, or out of order")
			return nil
		}
		list = append(list, m)
	}
	return list
}

// setLoader replaces or removes the loader of a group. What another URL has
// brought is void.
func (m *state) setLoader(tx *machine.Tx, r remote) {
	i, found := slices.BinarySearchFunc(m.loaders, r.group, func(l remote, group string) int { return cmp.Compare(l.group, group) })
	var former string
	next := slices.Clone(m.loaders)
	if found {
		former = next[i].URL
		next = slices.Delete(next, i, i+1)
	}
	if r.URL != "" {
		next = slices.Insert(next, i, r)
	}
	m.loaders = next
	tx.Emit(machine.Event{Kind: eventLoader, Key: r.append(nil)})
	if r.URL != former {
		void := scope{group: r.group, all: true}
		tx.Emit(machine.Event{Kind: eventInvalidate, Key: void.append(nil)})
	}
}
