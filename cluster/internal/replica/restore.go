package replica

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/tidwall/btree"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/cluster/machine/wire"
)

// A backup comes into the log piece by piece, in items for the shell, and
// gathers in a staging area of the replicated state. The last item puts it
// into force, in one step on every node. So an acknowledged restore is as safe
// as any other write, and one that is broken off has changed nothing.
//
//	version  1 byte, 1
//	kind     1 byte
//	id       string: of this restore
//	body     by kind
//
// There is one staging area. A restore that begins drops what another has
// staged, and what has waited for a minute of lease time, or belongs to an
// origin that was closed, is dropped too.
const restoreVersion = 1

// Kinds of item, and their bodies.
const (
	// Piece is a part of the backup. The one at offset 0 begins.
	//
	//	offset  uvarint
	//	data    byte string, 1 byte to 256 KiB
	restorePiece = 1
	// Commit puts what was staged in place of the features' state.
	//
	//	size    uvarint: of the backup
	//	hash    32 bytes: the one at its end
	restoreCommit = 2
	// Drop forgets what was staged. It has no body.
	restoreDrop = 3
)

const (
	// PieceMost is how long a piece may be.
	PieceMost = 256 << 10

	stagingTime = time.Minute // since the last piece
	stagingSize = 256         // what the size account takes for the area
	pieceSize   = 48          // what it takes for a piece beside its data
)

// staging is a backup that has not arrived in whole.
type staging struct {
	id     string
	origin uint64        // that sends it
	until  time.Duration // lease time at which it is dropped
	size   int64         // of all pieces
	pieces [][]byte
}

func (s *staging) cost() int64 { return stagingSize + s.size + pieceSize*int64(len(s.pieces)) }

// restored says which restore took effect last, so that its commit can be
// repeated.
type restored struct {
	id    string
	index uint64 // of its entry
}

// A RestoreStatus answers an item of a restore.
type RestoreStatus uint8

const (
	// RestoreDone means that the piece is there, the restore has taken effect, or nothing
	// is staged under this ID any more.
	RestoreDone RestoreStatus = iota
	// RestoreGone means that nothing is staged under this ID.
	RestoreGone
	// RestoreDamaged means that what was staged is not the backup that was meant. It was
	// dropped and nothing else has changed.
	RestoreDamaged
	// RestoreNewer is RestoreDamaged, for a backup of a newer release.
	RestoreNewer
)

// A RestoreReply is the reply to an item of a restore:
//
//	status  1 byte
//	index   uvarint: of the entry with which it took effect, for a commit that is done
type RestoreReply struct {
	Status RestoreStatus
	Index  uint64
}

func (m RestoreReply) reply() machine.Reply {
	return machine.Reply{Data: binary.AppendUvarint([]byte{byte(m.Status)}, m.Index)}
}

// ParseRestoreReply reads a reply.
func ParseRestoreReply(b []byte) (RestoreReply, error) {
	r := wire.NewReader(b)
	m := RestoreReply{Status: RestoreStatus(r.Byte()), Index: r.Uvarint()}
	return m, r.Done()
}

// restoreCommand is an item of a restore.
type restoreCommand struct {
	kind   uint8
	id     string
	offset int64
	data   []byte
	size   int64
	hash   [sha256.Size]byte
}

// RestorePiece is the item that stages a part of a backup. Staging the same
// part again changes nothing.
func RestorePiece(id string, offset int64, data []byte) Item {
	return (&restoreCommand{kind: restorePiece, id: id, offset: offset, data: data}).item()
}

// RestoreCommit is the item that puts a staged backup into force.
func RestoreCommit(id string, size int64, hash [sha256.Size]byte) Item {
	return (&restoreCommand{kind: restoreCommit, id: id, size: size, hash: hash}).item()
}

// RestoreDrop is the item that forgets what was staged.
func RestoreDrop(id string) Item {
	return (&restoreCommand{kind: restoreDrop, id: id}).item()
}

// item encodes the command. A restore is let through when the state is full:
// the node that takes it has made sure that what comes of it is not.
func (c *restoreCommand) item() Item {
	b := wire.AppendString([]byte{restoreVersion, c.kind}, c.id)
	switch c.kind {
	case restorePiece:
		b = wire.AppendBytes(binary.AppendUvarint(b, uint64(c.offset)), c.data)
	case restoreCommit:
		b = append(binary.AppendUvarint(b, uint64(c.size)), c.hash[:]...)
	}
	return Item{Feature: shellID, Item: machine.Item{Data: b, Frees: true}}
}

// parseRestore reads a command. Its data alias b.
func parseRestore(b []byte) (c restoreCommand, err error) {
	r := wire.NewReader(b)
	version := r.Byte()
	c.kind, c.id = r.Byte(), r.String()
	switch c.kind {
	case restorePiece:
		c.offset, c.data = int64(r.Uvarint()), r.Bytes()
	case restoreCommit:
		c.size = int64(r.Uvarint())
		copy(c.hash[:], r.Take(len(c.hash)))
	case restoreDrop:
	default:
		return c, wire.ErrMalformed
	}
	isPiece := c.kind == restorePiece
	switch {
	case r.Done() != nil:
		return c, r.Err()
	case version != restoreVersion, c.id == "", c.offset < 0, c.size < 0,
		isPiece && (len(c.data) == 0 || len(c.data) > PieceMost):
		return c, wire.ErrMalformed
	}
	return c, nil
}

// KnowsShell reports whether an item is one for the shell that this release
// knows. The leader lets no other into the log.
func KnowsShell(it *Item) bool {
	if it.Feature != shellID || it.Query || it.Idem != "" {
		return false
	}
	_, err := parseRestore(it.Data)
	return err == nil
}

// applyShell executes an item for the shell.
func (r *Replica) applyShell(tx *machine.Tx, it *Item) machine.Reply {
	c, err := parseRestore(it.Data)
	if err != nil || it.Query || it.Idem != "" {
		r.fail(fmt.Errorf("entry %d: command of the shell: %w", r.state.stamp.Index, machine.ErrUnknownCommand))
		return machine.Reply{}
	}
	switch c.kind {
	case restorePiece:
		return r.stage(tx.Origin, &c).reply()
	case restoreCommit:
		return r.commitRestore(tx, &c).reply()
	}
	if r.state.staging != nil && r.state.staging.id == c.id {
		r.unstage()
	}
	return RestoreReply{}.reply()
}

// stage takes a piece. A piece that is there already is fine: the node that
// sends it may not have heard so.
func (r *Replica) stage(origin uint64, c *restoreCommand) RestoreReply {
	s := &r.state
	if c.offset == 0 && !s.isStaged(c.id) && s.restored.id != c.id {
		r.unstage()
		s.staging = &staging{id: c.id, origin: origin}
		s.own += s.staging.cost()
	}
	if !s.isStaged(c.id) || c.offset > s.staging.size {
		return RestoreReply{Status: RestoreGone}
	}
	st := s.staging
	st.until = s.stamp.Lease + stagingTime
	if c.offset == st.size {
		st.pieces = append(st.pieces, bytes.Clone(c.data))
		st.size += int64(len(c.data))
		s.own += pieceSize + int64(len(c.data))
	}
	return RestoreReply{}
}

func (s *state) isStaged(id string) bool { return s.staging != nil && s.staging.id == id }

// unstage drops what is staged.
func (r *Replica) unstage() {
	s := &r.state
	if s.staging != nil {
		s.own -= s.staging.cost()
		s.staging = nil
	}
}

// unstageLate drops what is staged if it has waited too long.
func (r *Replica) unstageLate() {
	if st := r.state.staging; st != nil && st.until <= r.state.stamp.Lease {
		r.unstage()
	}
}

// unstageOf drops what is staged if it is of an origin that closes: what that
// has not sent by now, nobody will.
func (r *Replica) unstageOf(origin uint64) {
	if st := r.state.staging; st != nil && st.origin == origin {
		r.unstage()
	}
}

// commitRestore puts what was staged into force. Whatever comes of it, nothing
// stays staged.
func (r *Replica) commitRestore(tx *machine.Tx, c *restoreCommand) RestoreReply {
	s := &r.state
	if s.restored.id == c.id {
		return RestoreReply{Index: s.restored.index}
	}
	if !s.isStaged(c.id) {
		return RestoreReply{Status: RestoreGone}
	}
	st := s.staging
	r.unstage()
	if st.size != c.size {
		return RestoreReply{Status: RestoreDamaged}
	}
	err := r.restore(tx, newPieces(st.pieces), &c.hash)
	switch {
	case errors.Is(err, ErrNewer):
		return RestoreReply{Status: RestoreNewer}
	case err != nil:
		return RestoreReply{Status: RestoreDamaged}
	}
	s.restored = restored{id: st.id, index: s.stamp.Index}
	return RestoreReply{Index: s.stamp.Index}
}

// restore replaces the features' state by that of a backup, if it is whole and
// has the hash, or any if that is nil. The rest of the state goes on: time,
// numbers, origins, remembered replies.
func (r *Replica) restore(tx *machine.Tx, from io.Reader, hash *[sha256.Size]byte) error {
	f, err := OpenBackup(from)
	if err != nil {
		return err
	}
	s := &r.state
	if f.Stamp.Level > s.stamp.Level {
		return fmt.Errorf("%w: it was taken at level %d, this cluster is at level %d", ErrNewer, f.Stamp.Level, s.stamp.Level)
	}
	machines := newState(r.cfg).machines
	err = f.Sections(func(feature uint8, section io.Reader) error {
		m := machines[feature]
		if m == nil {
			return fmt.Errorf("%w: this one does not know it", ErrNewer)
		}
		return m.Restore(section)
	})
	if err != nil {
		return err
	}
	if hash != nil && f.Hash != *hash {
		return fmt.Errorf("%w: it is another one", ErrDamaged)
	}
	s.machines = machines
	s.number = max(s.number, f.Number)
	s.dropDeadlines()
	r.rebase(tx, s.stamp.Lease-f.Stamp.Lease)
	return nil
}

// rebase makes restored machines those of the present, and tells everybody
// that they may have changed.
func (r *Replica) rebase(tx *machine.Tx, shift time.Duration) {
	for _, id := range slices.Sorted(maps.Keys(r.state.machines)) {
		if m, ok := r.state.machines[id].(machine.Rebaser); ok {
			r.lend(tx, id)
			m.Rebase(tx, shift)
		}
		r.events = append(r.events, event{feature: id, Event: machine.Event{Reset: true}})
	}
}

// dropDeadlines empties the index of all but the shell's own deadlines.
func (s *state) dropDeadlines() {
	kept := btree.NewBTreeGOptions(deadlineLess, btree.Options{NoLocks: true})
	s.deadlines.Scan(func(d deadline) bool {
		if d.feature == shellID {
			kept.Load(d)
		} else {
			s.own -= deadlineSize + int64(len(d.key))
		}
		return true
	})
	s.deadlines = kept
}

// TryRestore does with a backup what its commit would do, in an empty replica,
// and returns how large the state would be, or why it cannot be restored.
func (r *Replica) TryRestore(from io.Reader) (size int64, err error) {
	trial := New(Config{Features: r.cfg.Features, MaxLevel: r.cfg.MaxLevel})
	r.mu.RLock()
	trial.state.stamp, trial.state.seed, trial.state.number = r.state.stamp, r.state.seed, r.state.number
	r.mu.RUnlock()
	err = trial.restore(&machine.Tx{Seed: trial.state.seed}, from, nil)
	if err = errors.Join(err, trial.failed); err != nil {
		return 0, err
	}
	trial.publishLocked()
	return trial.Size(), nil
}

// pieces reads staged pieces, and lets go of each once it is read: beside a
// large state there may be little room.
type pieces struct {
	list [][]byte
	rest []byte // of the one that is read
}

func newPieces(list [][]byte) *pieces { return &pieces{list: slices.Clone(list)} }

func (p *pieces) Read(b []byte) (int, error) {
	for len(p.rest) == 0 {
		if len(p.list) == 0 {
			return 0, io.EOF
		}
		p.rest, p.list[0] = p.list[0], nil
		p.list = p.list[1:]
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}
