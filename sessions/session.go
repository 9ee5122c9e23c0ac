package sessions

import (
	"cmp"
	"strings"
	"time"

	"github.com/tidwall/btree"
)

const (
	// DefaultTTL is the idle time of a session that was made without one.
	DefaultTTL = 24 * time.Hour
	// MaxTTL is the longest idle time and absolute limit.
	MaxTTL = 100 * 365 * 24 * time.Hour

	maxMillis = uint64(MaxTTL / time.Millisecond)

	// day is for how long a session may be kept that is taken also where
	// little room is left.
	day = 24 * time.Hour

	// sessionCost and userCost are what Size counts beside a session's bytes,
	// as measured by BenchmarkFootprint: the session with its place in the
	// tree, and its place among those of its user.
	sessionCost = 130
	userCost    = 60
)

// A session is never changed, because snapshots share it: a change is another
// session in its place, that may share the data.
type session struct {
	id, user string
	data     []byte
	version  uint64
	ttl      time.Duration // idle time that each save, merge and touch gives
	limit    time.Duration // lease time at which it ends in any case; 0: none
	ends     time.Duration // lease time at which it ends unless it is renewed; never behind limit
}

// isOver reports whether the time has come. A session is gone at its end, not
// behind it.
func (s *session) isOver(lease time.Duration) bool { return s.ends <= lease }

// renew begins the idle time anew.
func (s *session) renew(lease time.Duration) {
	s.ends = lease + s.ttl
	if s.limit != 0 {
		s.ends = min(s.ends, s.limit)
	}
}

// touched returns the session as a touch would leave it, with another idle
// time if ttl is not zero, and whether that is worth an entry in the log: it
// is where a tenth of the idle time is gained, where the absolute limit is
// reached, and where the session shall end sooner. So whoever has touched a
// session finds it for nine tenths of the idle time at least.
func (s *session) touched(lease, ttl time.Duration) (*session, bool) {
	t := *s
	t.ttl = cmp.Or(ttl, s.ttl)
	t.renew(lease)
	gain := t.ends - s.ends
	return &t, gain >= t.ttl/10 || gain < 0 || gain > 0 && t.ends == t.limit
}

// isLong reports whether the session may be kept for more than a day. Its idle
// time decides, not what is left of it: it can be renewed.
func (s *session) isLong(lease time.Duration) bool {
	return s.ttl > day && (s.limit == 0 || s.limit-lease > day)
}

func (s *session) size() int64 {
	size := sessionCost + len(s.id) + len(s.data)
	if s.user != "" {
		size += userCost + len(s.user)
	}
	return int64(size)
}

// A belonging is an entry of the index by user.
type belonging struct{ user, id string }

// A table is all sessions, by ID and by user. The session of an ID that is in
// byUser is in byID and belongs to that user; one without a user is not in
// byUser.
type table struct {
	byID   *btree.BTreeG[*session]
	byUser *btree.BTreeG[belonging]
	size   int64 // of all sessions
}

func newTable() table {
	options := btree.Options{NoLocks: true}
	return table{
		byID: btree.NewBTreeGOptions(func(a, b *session) bool { return a.id < b.id }, options),
		byUser: btree.NewBTreeGOptions(func(a, b belonging) bool {
			return cmp.Or(strings.Compare(a.user, b.user), strings.Compare(a.id, b.id)) < 0
		}, options),
	}
}

// find returns a session, over or not, or nil.
func (t *table) find(id []byte) *session {
	s, _ := t.byID.Get(&session{id: string(id)})
	return s
}

// put stores s in place of old, which is what its ID has now, or nil.
func (t *table) put(old, s *session) {
	if old != nil {
		t.size -= old.size()
		if old.user != s.user {
			t.byUser.Delete(belonging{old.user, old.id})
		}
	}
	t.size += s.size()
	t.byID.Set(s)
	if s.user != "" && (old == nil || old.user != s.user) {
		t.byUser.Set(belonging{s.user, s.id})
	}
}

// drop takes s out.
func (t *table) drop(s *session) {
	t.size -= s.size()
	t.byID.Delete(s)
	t.byUser.Delete(belonging{s.user, s.id})
}

// of returns the sessions of a user that are not over, in the order of their
// IDs.
func (t *table) of(user []byte, lease time.Duration) (list []*session) {
	t.byUser.Ascend(belonging{user: string(user)}, func(b belonging) bool {
		if b.user != string(user) {
			return false
		}
		if s := t.find([]byte(b.id)); !s.isOver(lease) {
			list = append(list, s)
		}
		return true
	})
	return list
}
