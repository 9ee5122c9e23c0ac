package sessions

import (
	"bytes"
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
)

// A state is the replicated state machine of sessions.
type state struct {
	table
}

var _ machine.Machine = (*state)(nil)

// NewMachine returns the replicated state machine of sessions, empty.
func NewMachine() machine.Machine { return newState() }

func newState() *state { return &state{newTable()} }

// Apply executes a command. One that is not known, or has another format,
// stops the node.
func (m *state) Apply(tx *machine.Tx, cmd []byte) []byte {
	c, err := decodeCommand(cmd)
	if err != nil || !c.op.isCommand() {
		tx.Fail(fmt.Errorf("%w: %w", machine.ErrUnknownCommand, cmp.Or(err, errMalformed)))
		return nil
	}
	var r reply
	switch c.op {
	case opSave:
		r = m.save(tx, &c)
	case opMerge:
		r = m.merge(tx, &c)
	case opTouch:
		r = m.touch(tx, &c)
	case opDestroy:
		r = m.destroy(tx, &c)
	case opDestroyAll:
		r = m.destroyAll(tx, &c)
	}
	return r.encode()
}

// Query answers a question by what is not over at the stamp.
func (m *state) Query(at machine.Stamp, query []byte) []byte {
	c, err := decodeCommand(query)
	r := reply{status: statusUnknown}
	if err == nil {
		switch c.op {
		case opLoad, opPeek:
			r = m.load(at.Lease, &c)
		case opList:
			r = m.list(at.Lease, &c)
		case opScan:
			r = m.scan(at.Lease, &c)
		}
	}
	return r.encode()
}

// Expire removes a session whose time has come.
func (m *state) Expire(tx *machine.Tx, key []byte) {
	if s := m.find(key); s != nil && s.isOver(tx.Lease) {
		m.drop(s)
	}
}

// Size returns the bytes that the sessions take.
func (m *state) Size() int64 { return m.size }

// own returns the session of a command, or nil: one that is over is removed,
// so that what the command puts there is a new one.
func (m *state) own(tx *machine.Tx, id []byte) *session {
	s := m.find(id)
	if s != nil && s.isOver(tx.Lease) {
		m.remove(tx, s)
		return nil
	}
	return s
}

// remove takes a session and its deadline out.
func (m *state) remove(tx *machine.Tx, s *session) {
	m.drop(s)
	tx.Deadline([]byte(s.id), s.ends, 0)
}

func (m *state) save(tx *machine.Tx, c *command) reply {
	old := m.own(tx, c.id)
	if !c.when.holds(old) {
		return reply{status: statusConflict, version: versionOf(old)}
	}
	return m.store(tx, c, old, bytes.Clone(c.data))
}

// merge merges within the machine, so that no change of another caller comes
// between what is read and what is written.
func (m *state) merge(tx *machine.Tx, c *command) reply {
	old := m.own(tx, c.id)
	if !c.when.holds(old) {
		return reply{status: statusConflict, version: versionOf(old)}
	}
	target := []byte("{}")
	if old != nil {
		target = old.data
	}
	patch, err := parseObject(c.data)
	if err != nil {
		return reply{status: statusPatch, data: []byte(err.Error())}
	}
	whole, err := parseObject(target)
	if err != nil {
		return reply{status: statusSession, data: []byte(err.Error())}
	}
	result := mergeValues(whole, patch)
	if n := result.count(); n > MaxMembers {
		return reply{status: statusPatch, data: fmt.Appendf(nil, "the session would have %d members, and may have %d", n, MaxMembers)}
	}
	merged := result.append(nil)
	if uint64(len(merged)) > c.most {
		return reply{status: statusTooBig, count: uint64(len(merged))}
	}
	return m.store(tx, c, old, merged)
}

func versionOf(s *session) uint64 {
	if s == nil {
		return 0
	}
	return s.version
}

// store puts a new version in place of old. What the command leaves open stays
// as it was. The absolute limit may come nearer, but never moves away.
func (m *state) store(tx *machine.Tx, c *command, old *session, data []byte) reply {
	s := &session{id: string(c.id), user: string(c.user), data: data, ttl: duration(c.ttl)}
	if old != nil {
		s.id, s.user = old.id, cmp.Or(s.user, old.user)
		s.ttl, s.limit = cmp.Or(s.ttl, old.ttl), old.limit
	}
	s.ttl = cmp.Or(s.ttl, DefaultTTL)
	if limit := tx.Lease + duration(c.limit); c.limit != 0 && (s.limit == 0 || limit < s.limit) {
		s.limit = limit
	}
	s.renew(tx.Lease)
	if isRefused(tx, old, s) {
		return reply{status: statusFull}
	}
	s.version = tx.Number()
	m.replace(tx, old, s)
	return reply{version: s.version}
}

// replace puts s in place of old, which may be nil, and moves the deadline.
func (m *state) replace(tx *machine.Tx, old, s *session) {
	var was time.Duration
	if old != nil {
		was = old.ends
	}
	m.put(old, s)
	if was != s.ends {
		tx.Deadline([]byte(s.id), was, s.ends)
	}
}

// isRefused reports whether little room is left and the session would take
// some of it for longer than a day. What is given back within the day is
// taken, so that a cache that fills does not log anybody out.
func isRefused(tx *machine.Tx, old, s *session) bool {
	if tx.Pressure == machine.PressureNone || !s.isLong(tx.Lease) {
		return false
	}
	if old != nil && old.isLong(tx.Lease) && s.size() <= old.size() {
		return false
	}
	tx.Refused = true
	return true
}

func (m *state) touch(tx *machine.Tx, c *command) reply {
	old := m.own(tx, c.id)
	if old == nil {
		return reply{status: statusNone}
	}
	s, isDue := old.touched(tx.Lease, duration(c.ttl))
	if !isDue {
		return reply{version: old.version}
	}
	if isRefused(tx, old, s) {
		return reply{status: statusFull}
	}
	m.replace(tx, old, s)
	return reply{version: s.version, flag: true}
}

func (m *state) destroy(tx *machine.Tx, c *command) reply {
	s := m.own(tx, c.id)
	if s == nil {
		return reply{}
	}
	m.remove(tx, s)
	return reply{count: 1}
}

func (m *state) destroyAll(tx *machine.Tx, c *command) reply {
	list := m.of(c.user, tx.Lease)
	for _, s := range list {
		m.remove(tx, s)
	}
	return reply{count: uint64(len(list))}
}

func (m *state) load(lease time.Duration, c *command) reply {
	s := m.find(c.id)
	if s == nil || s.isOver(lease) {
		return reply{status: statusNone}
	}
	r := reply{version: s.version, ttl: s.ttl, left: s.ends - lease, user: s.user}
	if s.limit != 0 {
		r.limit = s.limit - lease
	}
	if c.op == opLoad {
		r.data = s.data
	}
	return r
}

func (m *state) list(lease time.Duration, c *command) reply {
	r := reply{}
	for _, s := range m.of(c.user, lease) {
		r.count++
		r.data = appendBytes(r.data, s.id)
	}
	return r
}

// scan returns the sessions behind c.id whose ID begins with c.user, in order,
// up to c.most bytes and one session more.
func (m *state) scan(lease time.Duration, c *command) reply {
	r := reply{}
	prefix := string(c.user)
	m.byID.Ascend(&session{id: max(string(c.id), prefix)}, func(s *session) bool {
		switch {
		case !strings.HasPrefix(s.id, prefix):
			return false
		case s.id == string(c.id) || s.isOver(lease):
			return true
		case uint64(len(r.data)) > c.most:
			r.flag = true
			return false
		}
		r.count++
		r.data = appendBytes(appendBytes(r.data, s.id), s.data)
		return true
	})
	return r
}

func duration(millis uint64) time.Duration { return time.Duration(millis) * time.Millisecond }
