package keyspace

import (
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
)

// A checkpoint is what a script that writes must leave as it was if it is
// stopped: the databases, as a snapshot has them, and the deadlines, which the
// shell hears of only when the script has ended.
type checkpoint struct {
	tx    machine.Tx // of the script's commands; its shell is moves
	moves deadlineMoves

	order [Databases]*database // SWAPDB exchanges them
	dbs   [Databases]database  // a tree is nil where there was no key
	size  int64
}

// checkpoint remembers the state, in O(1), as Snapshot does: from now on what
// there is is copied before it is changed.
func (s *Space) checkpoint(tx *machine.Tx) *checkpoint {
	p := &checkpoint{tx: *tx, order: s.dbs, size: s.size}
	p.moves.Shell = tx.Shell
	p.tx.Shell = &p.moves
	for i, db := range s.dbs {
		p.dbs[i] = *db
		p.dbs[i].tree = nil
		if db.tree.Len() > 0 {
			p.dbs[i].tree = db.tree.Copy()
		}
	}
	s.generation++
	return p
}

// undo makes the state what it was.
func (p *checkpoint) undo(s *Space) {
	for i, db := range p.order {
		*db = p.dbs[i]
		if db.tree == nil {
			db.tree = newTree()
		}
	}
	s.dbs, s.size = p.order, p.size
}

// done tells the shell of the deadlines.
func (p *checkpoint) done(tx *machine.Tx) {
	for _, m := range p.moves.all {
		if m.was != m.at {
			tx.Deadline([]byte(m.key), m.was, m.at)
		}
	}
}

// A deadlineMoves is a shell that keeps deadlines back: for each key from where
// to where its own has moved, in the order in which keys were first moved. So
// it never takes more than the keys do, however often a script moves them.
type deadlineMoves struct {
	machine.Shell
	all   []deadlineMove
	index map[string]int // in all; nil as long as that is short
}

type deadlineMove struct {
	key     string
	was, at time.Duration
}

// Deadline keeps a move.
func (m *deadlineMoves) Deadline(key []byte, was, at time.Duration) {
	if i, found := m.find(key); found {
		m.all[i].at = at
		return
	}
	m.all = append(m.all, deadlineMove{string(key), was, at})
	if m.index != nil {
		m.index[string(key)] = len(m.all) - 1
	}
}

func (m *deadlineMoves) find(key []byte) (i int, found bool) {
	const short = 8
	if len(m.all) < short {
		for i := range m.all {
			if m.all[i].key == string(key) {
				return i, true
			}
		}
		return 0, false
	}
	if m.index == nil {
		m.index = make(map[string]int, 2*short)
		for i := range m.all {
			m.index[m.all[i].key] = i
		}
	}
	i, found = m.index[string(key)]
	return i, found
}
