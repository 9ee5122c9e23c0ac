package sessions

import (
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
)

var _ machine.Rebaser = (*state)(nil)

// Rebase moves the ends and absolute limits of all sessions by shift and tells
// the index of them, as machine.Rebaser says.
func (m *state) Rebase(tx *machine.Tx, shift time.Duration) {
	moved := newTable()
	m.byID.Scan(func(s *session) bool {
		t := *s
		t.ends, t.limit = machine.Shift(s.ends, shift), machine.Shift(s.limit, shift)
		tx.Deadline([]byte(t.id), 0, t.ends)
		moved.byID.Load(&t)
		return true
	})
	m.byID = moved.byID
}
