package keyspace

import (
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
)

// A checkpoint is what a script that writes must leave as it was if it is
// stopped: the databases, as a snapshot has them, and the deadlines and events,
// which the shell hears of only when the script has ended.
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

// done tells the shell of the deadlines, and of the events.
func (p *checkpoint) done(tx *machine.Tx) {
	for _, e := range p.moves.events {
		tx.Emit(e)
	}
	for _, m := range p.moves.all {
		name := []byte(m.key)
		if m.was != m.at {
			tx.Deadline(name, m.was, m.at)
		}
		if m.isChanged {
			tx.Emit(machine.Event{Kind: EventChanged, Key: name})
		}
	}
}

// A deadlineMoves is a shell that keeps deadlines back: for each key from where
// to where its own has moved, in the order in which keys were first moved or
// changed, and that it was changed. So it never takes more than the keys do,
// however often a script moves them. It keeps back the other events, too, which
// take no more than the arguments of the script's commands do; the engine
// counts those.
type deadlineMoves struct {
	machine.Shell
	all    []deadlineMove
	index  map[string]int // in all; nil as long as that is short
	events []machine.Event
}

type deadlineMove struct {
	key     string
	was, at time.Duration

	isMoved, isChanged bool
}

// Emit keeps an event.
func (m *deadlineMoves) Emit(e machine.Event) {
	if e.Kind == EventChanged {
		m.of(e.Key).isChanged = true
		return
	}
	m.events = append(m.events, e)
}

// Deadline keeps a move.
func (m *deadlineMoves) Deadline(key []byte, was, at time.Duration) {
	d := m.of(key)
	if !d.isMoved {
		d.isMoved, d.was = true, was
	}
	d.at = at
}

// of returns what is kept of a key.
func (m *deadlineMoves) of(key []byte) *deadlineMove {
	i, found := m.find(key)
	if !found {
		i = len(m.all)
		m.all = append(m.all, deadlineMove{key: string(key)})
		if m.index != nil {
			m.index[m.all[i].key] = i
		}
	}
	return &m.all[i]
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
