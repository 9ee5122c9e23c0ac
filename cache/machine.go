package cache

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/cluster/machine/snap"
	"github.com/huddlecache/huddle/cluster/machine/wire"
)

// Kinds of events. The key of one is what the command was about.
const (
	eventRing       = 1 // a roster: who serves now
	eventInvalidate = 2 // a scope
	eventLoader     = 3 // a remote: how a group's values are made now
)

// formerTime is how long a node that serves no longer is still named: more
// than a lease lasts.
const formerTime = 5 * leaseTime

// A state is the replicated part of the cache: who serves, and from where
// groups get their values that are fetched over HTTP. What was
// invalidated is not in it: each node learns that from the events of the log,
// and drops what it holds.
type state struct {
	version uint64   // index of the last change of members
	members []member // by ID; never changed, but replaced
	former  []leaver // in the order in which they left; never changed, but replaced
	loaders []remote // by group; never changed, but replaced
}

// nobody stands for all who may have served before a restored backup: no node
// has that ID, so that nobody answers for them, and whoever waits for them
// waits as long as a lease can last.
const nobody = ""

// A leaver served until a lease time, as long as the log knew.
type leaver struct {
	id   string
	left time.Duration
}

// What the size account takes for a member, and for one that has left, beside
// its ID.
const (
	memberSize = 64
	leaverSize = 64
)

var (
	_ machine.Machine       = (*state)(nil)
	_ machine.OriginWatcher = (*state)(nil)
	_ machine.Rebaser       = (*state)(nil)
)

// NewMachine returns the replicated state machine of the cache, empty.
func NewMachine() machine.Machine { return &state{} }

// Apply executes a command and returns the roster. A command that is not
// known, or has another format, stops the node.
func (m *state) Apply(tx *machine.Tx, cmd []byte) []byte {
	c, err := decodeCommand(cmd)
	if err != nil || c.op == opRing || c.op == opLoaders {
		tx.Fail(fmt.Errorf("%w: %w", machine.ErrUnknownCommand, cmp.Or(err, wire.ErrMalformed)))
		return nil
	}
	m.forget(tx.Lease)
	switch c.op {
	case opJoin:
		m.join(tx, c.id)
	case opLeave:
		m.leave(tx, func(s member) bool { return s.id == c.id && s.origin == c.origin })
	case opInvalidate:
		tx.Emit(machine.Event{Kind: eventInvalidate, Key: c.scope.append(nil)})
	case opLoader:
		m.setLoader(tx, c.loader)
	}
	return m.roster().encode()
}

// Query answers who serves, or which loaders there are.
func (m *state) Query(_ machine.Stamp, query []byte) []byte {
	if c, err := decodeCommand(query); err == nil && c.op == opLoaders {
		return appendRemotes(nil, m.loaders)
	}
	return m.roster().encode()
}

// Expire implements machine.Machine. Nothing of the state has a deadline.
func (m *state) Expire(*machine.Tx, []byte) {}

// OriginClosed ends what a node served at a stay that is over.
func (m *state) OriginClosed(tx *machine.Tx, origin uint64) {
	m.leave(tx, func(s member) bool { return s.origin == origin })
}

// Rebase drops the members, who are those of the past: whoever lives joins
// anew. Who has served until now the backup does not tell: they are all in the
// leaver without a name.
func (m *state) Rebase(tx *machine.Tx, _ time.Duration) {
	m.members, m.former = nil, []leaver{{nobody, tx.Lease}}
	m.changed(tx) // in any case, for the version is of the past too
}

// join makes the proposing node a member, or tells of its new stay.
func (m *state) join(tx *machine.Tx, id string) {
	wasOther := m.remove(tx.Lease, func(s member) bool { return s.id == id && s.origin != tx.Origin })
	i, found := slices.BinarySearchFunc(m.members, id, func(s member, id string) int { return cmp.Compare(s.id, id) })
	if found && !wasOther {
		return
	}
	m.members = slices.Insert(slices.Clone(m.members), i, member{id, tx.Origin})
	m.former = slices.DeleteFunc(slices.Clone(m.former), func(l leaver) bool { return l.id == id })
	m.changed(tx)
}

// leave ends the membership of those who are meant.
func (m *state) leave(tx *machine.Tx, isMeant func(member) bool) {
	if m.remove(tx.Lease, isMeant) {
		m.changed(tx)
	}
}

// remove makes former members of those who are meant, and reports whether
// there were any.
func (m *state) remove(now time.Duration, isMeant func(member) bool) bool {
	if !slices.ContainsFunc(m.members, isMeant) {
		return false
	}
	var members []member
	former := slices.Clone(m.former)
	for _, s := range m.members {
		if isMeant(s) {
			former = append(former, leaver{s.id, now})
		} else {
			members = append(members, s)
		}
	}
	m.members, m.former = members, former
	return true
}

// changed tells every node who serves now. It comes once in a command.
func (m *state) changed(tx *machine.Tx) {
	m.version = tx.Index
	tx.Emit(machine.Event{Kind: eventRing, Key: m.roster().encode()})
}

// forget drops those who have left so long ago that they cannot think that
// they serve.
func (m *state) forget(now time.Duration) {
	if len(m.former) > 0 && m.former[0].left+formerTime < now {
		m.former = slices.DeleteFunc(slices.Clone(m.former), func(l leaver) bool { return l.left+formerTime < now })
	}
}

func (m *state) roster() *roster {
	r := &roster{version: m.version, members: m.members}
	for _, l := range m.former {
		r.former = append(r.former, l.id)
	}
	return r
}

// Size returns the bytes that the state takes.
func (m *state) Size() (n int64) {
	for _, s := range m.members {
		n += memberSize + int64(len(s.id))
	}
	for _, l := range m.former {
		n += leaverSize + int64(len(l.id))
	}
	for _, r := range m.loaders {
		n += remoteSize + int64(len(r.group)+len(r.URL))
	}
	return n
}

// snapshotVersion is the first byte of a snapshot.
const snapshotVersion = 1

// errDamaged is what Restore says of bytes that no snapshot has.
var errDamaged = errors.New("damaged snapshot of the cache's members")

// Snapshot returns the state as it is.
func (m *state) Snapshot() io.WriterTo { return frozen(*m) }

type frozen state

// WriteTo writes the state:
//
//	byte    1, the version of this format
//	uvarint version of the roster
//	uvarint number of members, each: string server ID, uvarint origin
//	uvarint number of former members, each: string server ID, uvarint lease time
//	uvarint number of loaders, each: byte string, a remote
func (f frozen) WriteTo(w io.Writer) (int64, error) {
	b := binary.AppendUvarint([]byte{snapshotVersion}, f.version)
	b = binary.AppendUvarint(b, uint64(len(f.members)))
	for _, s := range f.members {
		b = binary.AppendUvarint(wire.AppendString(b, s.id), s.origin)
	}
	b = binary.AppendUvarint(b, uint64(len(f.former)))
	for _, l := range f.former {
		b = binary.AppendUvarint(wire.AppendString(b, l.id), uint64(l.left))
	}
	n, err := w.Write(appendRemotes(b, f.loaders))
	return int64(n), err
}

// Restore replaces the state by what a snapshot wrote.
func (m *state) Restore(from io.Reader) error {
	r := snap.NewReader(from, errDamaged)
	if r.Byte() != snapshotVersion {
		r.Corrupt("another format")
	}
	next := state{version: r.Uvarint()}
	for n := r.Uvarint(); n > 0 && r.Err() == nil; n-- {
		next.members = append(next.members, member{r.String(), r.Uvarint()})
	}
	for n := r.Uvarint(); n > 0 && r.Err() == nil; n-- {
		next.former = append(next.former, leaver{r.String(), time.Duration(r.UvarintTo(uint64(machine.Never)))})
	}
	if !slices.IsSortedFunc(next.members, func(a, b member) int { return cmp.Compare(a.id, b.id) }) {
		r.Corrupt("members out of order")
	}
	next.loaders = readRemotes(r)
	r.End()
	if r.Err() != nil {
		return r.Err()
	}
	*m = next
	return nil
}
