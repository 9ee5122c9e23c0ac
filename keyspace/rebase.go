package keyspace

import (
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
)

var _ machine.Rebaser = (*Space)(nil)

// Rebase moves the ends of all keys by shift and tells the index of them, as
// machine.Rebaser says. What EXPIRETIME answers stays: a key keeps the wall
// time that it was given.
func (s *Space) Rebase(tx *machine.Tx, shift time.Duration) {
	s.waiters = newWaiters() // their connections have ended, or are told to look again
	for i, db := range s.dbs {
		moved := newTree()
		db.tree.Scan(func(it item) bool {
			if it.entry.isSet() {
				e := *it.entry
				e.deadline = machine.Shift(e.deadline, shift)
				tx.Deadline(deadlineKey(i, e.key), 0, e.deadline)
				it.entry = &e
			}
			moved.Load(it)
			return true
		})
		db.tree = moved
	}
}
