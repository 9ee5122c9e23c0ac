// Package sessions keeps users' sessions in the replicated state: bytes with
// a version, a user, an idle time and an absolute limit.
//
//	s := node.Sessions()
//	saved, err := s.Save(ctx, id, data, sessions.SaveOptions{TTL: 30 * time.Minute, User: "u1"})
//	…
//	got, err := s.Load(ctx, id, sessions.LoadOptions{Touch: true})
//	…
//	_, err = s.DestroyAll(ctx, "u1", sessions.DestroyOptions{}) // logged out everywhere
//
// # Versions
//
// Each save and each merge gives a session a new version, greater than every
// version of every session before. Versions are not reused after a session was
// destroyed and made again, so that [AtVersion] never takes one session for
// another. A touch leaves the version as it is.
//
// # Time
//
// A session ends when its idle time has passed since it was last saved, merged
// or touched, and at its absolute limit in any case. An idle time given with a
// call replaces the one before; where none is given it stays as it is, and a
// new session gets [DefaultTTL]. The absolute limit is counted from the call
// that gives it. A later call can bring it nearer, never move it away: one
// that gives none, or a later one, keeps the limit there is. Likewise a
// session keeps its user until another one is given. Destroying a session ends
// all of this.
//
// A touch is written only where it gains at least a tenth of the idle time,
// reaches the absolute limit, or ends the session sooner. So a session that
// was touched lives for nine tenths of its idle time at least.
//
// # Merging
//
// Merge applies a JSON merge patch (RFC 7396) to a session that is a JSON
// object. It does so inside the replicated state: of any number of concurrent
// merges that change different fields, all last. The result is written without
// spaces and with the names of objects in order; numbers, strings and arrays
// stay as they were written. Of equal names in one object the last one counts.
// Objects and arrays may be nested [MaxDepth] deep, and have [MaxMembers]
// members.
//
// # Reading
//
// A load is linearizable unless told otherwise: it sees every save and every
// logout that was answered before it began, on whatever node. Behind a
// [Position] it is answered from this node's own memory, once that has got so
// far; see [Tracker] for how a browser carries its position along.
package sessions

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
)

const (
	// MaxID is the longest ID in bytes. It may hold any bytes, and must not be
	// empty.
	MaxID = 512
	// MaxUser is the longest name of a user in bytes. It may hold any bytes.
	MaxUser = 512
	// DefaultMaxValue is the longest session in bytes, where Config has none.
	DefaultMaxValue = 8 << 20
)

// touchPatience is how long a load waits for its touch. Whoever waits for it
// has the session already, and without a quorum the touch would only fail
// later.
const touchPatience = time.Second

// Config says what sessions may be.
type Config struct {
	MaxValue int // longest session, and patch, in bytes; DefaultMaxValue
}

// Sessions are the sessions of a cluster, the same on every node. They may be
// used by many goroutines at once.
type Sessions struct {
	log      machine.Log
	maxValue int
}

// New returns the sessions that a log drives.
func New(log machine.Log, config Config) *Sessions {
	if config.MaxValue == 0 {
		config.MaxValue = DefaultMaxValue
	}
	return &Sessions{log: log, maxValue: config.MaxValue}
}

// SaveOptions say how a session is saved or merged.
type SaveOptions struct {
	TTL   time.Duration // idle time, up to MaxTTL; zero: as it is, DefaultTTL for a new session. Kept in milliseconds
	Limit time.Duration // absolute limit from now, up to MaxTTL; zero: as it is, none for a new session
	User  string        // whose session it is; empty: as it is, nobody's for a new session
	If    Condition     // what must be so; always if zero
	Idem  string        // idempotency key: a retry with the same one takes effect once, within ten minutes
}

// Saved says what a save or merge did.
type Saved struct {
	Version uint64 // of the session now; none at all where it failed
	At      Position
}

// Save stores data as the session's new version. Where the condition does not
// hold it returns ErrConflict.
func (s *Sessions) Save(ctx context.Context, id string, data []byte, o SaveOptions) (Saved, error) {
	c := command{op: opSave, data: data}
	return s.store(ctx, id, c, o)
}

// Merge applies a JSON merge patch, which is an object, to the session. Where
// there is none it makes one of the patch; with the condition [Present] it
// does not, so that nobody is logged in again by a merge that came late. It
// returns ErrConflict where the condition does not hold, ErrNotObject or
// ErrPatch where session or patch are no JSON objects, and a *TooBigError
// where the session would become too long.
func (s *Sessions) Merge(ctx context.Context, id string, patch []byte, o SaveOptions) (Saved, error) {
	if len(patch) <= s.maxValue {
		if _, err := parseObject(patch); err != nil {
			return Saved{}, fmt.Errorf("%w: %w", ErrPatch, err)
		}
	}
	c := command{op: opMerge, data: patch, most: uint64(s.maxValue)}
	return s.store(ctx, id, c, o)
}

func (s *Sessions) store(ctx context.Context, id string, c command, o SaveOptions) (Saved, error) {
	err := checkID(id)
	if err == nil {
		err = checkUser(o.User)
	}
	if err == nil {
		c.ttl, err = checkTime("TTL", o.TTL)
	}
	if err == nil {
		c.limit, err = checkTime("limit", o.Limit)
	}
	if err == nil && len(c.data) > s.maxValue {
		err = &TooBigError{Size: len(c.data), Max: s.maxValue}
	}
	if err != nil {
		return Saved{}, err
	}
	c.id, c.user, c.when = []byte(id), []byte(o.User), o.If
	r, at, err := s.do(ctx, &c, o.Idem)
	if err != nil {
		return Saved{At: at}, err
	}
	return Saved{Version: r.version, At: at}, nil
}

// LoadOptions say how a session is loaded.
type LoadOptions struct {
	Consistency machine.Consistency // machine.Linearizable if zero; see Position.Consistency and AtLeast
	Touch       bool                // begin the idle time anew
}

// A Session is what was loaded.
type Session struct {
	Data    []byte
	Version uint64
	User    string        // empty if it is nobody's
	TTL     time.Duration // idle time
	Left    time.Duration // until it ends, unless it is renewed
	Limit   time.Duration // until it ends in any case; zero: no limit
	At      Position

	// TouchErr is why the session could not be touched although that was
	// asked for. It was loaded all the same. As a touch may be repeated at
	// will, it need not be known whether it took effect.
	TouchErr error
}

// Load returns a session, or ErrNotFound. One that is to be touched and cannot
// be, because there is no quorum for example, is returned all the same within
// a second, with TouchErr set: a session that can still be read logs nobody
// out.
func (s *Sessions) Load(ctx context.Context, id string, o LoadOptions) (Session, error) {
	if err := checkID(id); err != nil {
		return Session{}, err
	}
	r, stamp, err := s.ask(ctx, o.Consistency, &command{op: opLoad, id: []byte(id)})
	at := PositionOf(stamp)
	if err != nil {
		return Session{At: at}, err
	}
	loaded := Session{
		Data: r.data, Version: r.version, User: r.user,
		TTL: r.ttl, Left: r.left, Limit: r.limit, At: at,
	}
	if !o.Touch || !s.isDue(&r, stamp, 0) {
		return loaded, nil
	}
	ctx, cancel := context.WithTimeout(ctx, touchPatience)
	defer cancel()
	_, at, err = s.do(ctx, &command{op: opTouch, id: []byte(id)}, "")
	switch {
	case errors.Is(err, ErrNotFound): // destroyed meanwhile
		return Session{At: at}, err
	case err != nil:
		loaded.TouchErr = err
		return loaded, nil
	}
	loaded.At, loaded.Left = at, r.ttl
	if r.limit > 0 {
		loaded.Left = min(r.ttl, r.limit)
	}
	return loaded, nil
}

// isDue reports whether a touch is worth a place in the log, as far as this
// node can tell: the machine decides. Its replica may have heard of nothing
// for long, in an idle cluster, so that the time is that of the log.
func (s *Sessions) isDue(r *reply, stamp machine.Stamp, ttl time.Duration) bool {
	now, isFresh := s.log.Now()
	if !isFresh {
		return true
	}
	known := session{ttl: r.ttl, ends: stamp.Lease + r.left}
	if r.limit > 0 {
		known.limit = stamp.Lease + r.limit
	}
	_, isDue := known.touched(max(now, stamp.Lease), ttl)
	return isDue
}

// Touch begins the idle time of a session anew, with another idle time if ttl
// is not zero. It returns ErrNotFound where there is no such session.
func (s *Sessions) Touch(ctx context.Context, id string, ttl time.Duration) (Position, error) {
	millis, err := checkTime("TTL", ttl)
	if err == nil {
		err = checkID(id)
	}
	if err != nil {
		return Position{}, err
	}
	r, stamp, err := s.ask(ctx, machine.Linearizable, &command{op: opPeek, id: []byte(id)})
	if err != nil || !s.isDue(&r, stamp, ttl) {
		return PositionOf(stamp), err
	}
	_, at, err := s.do(ctx, &command{op: opTouch, id: []byte(id), ttl: millis}, "")
	return at, err
}

// DestroyOptions say how sessions are destroyed.
type DestroyOptions struct {
	Idem string // idempotency key, as in SaveOptions
}

// Destroyed says what was destroyed.
type Destroyed struct {
	Count int // sessions that there were
	At    Position
}

// Destroy ends a session. That there is none is no error.
func (s *Sessions) Destroy(ctx context.Context, id string, o DestroyOptions) (Destroyed, error) {
	if err := checkID(id); err != nil {
		return Destroyed{}, err
	}
	r, at, err := s.do(ctx, &command{op: opDestroy, id: []byte(id)}, o.Idem)
	return Destroyed{Count: int(r.count), At: at}, err
}

// DestroyAll ends all sessions of a user. Once it has returned no load on any
// node finds one of them, if it is linearizable or behind the position
// returned.
func (s *Sessions) DestroyAll(ctx context.Context, user string, o DestroyOptions) (Destroyed, error) {
	if err := checkSomebody(user); err != nil {
		return Destroyed{}, err
	}
	r, at, err := s.do(ctx, &command{op: opDestroyAll, user: []byte(user)}, o.Idem)
	return Destroyed{Count: int(r.count), At: at}, err
}

// A Listing is the sessions of a user.
type Listing struct {
	IDs []string // in order
	At  Position
}

// List returns the IDs of a user's sessions.
func (s *Sessions) List(ctx context.Context, user string, consistency machine.Consistency) (Listing, error) {
	if err := checkSomebody(user); err != nil {
		return Listing{}, err
	}
	r, stamp, err := s.ask(ctx, consistency, &command{op: opList, user: []byte(user)})
	at := PositionOf(stamp)
	if err != nil {
		return Listing{At: at}, err
	}
	in := reader{rest: r.data}
	ids := make([]string, 0, min(r.count, uint64(len(r.data))))
	for range r.count {
		ids = append(ids, string(in.bytes()))
		if in.isBad {
			return Listing{At: at}, errReply
		}
	}
	return Listing{IDs: ids, At: at}, nil
}

// do has a command take effect.
func (s *Sessions) do(ctx context.Context, c *command, idem string) (reply, Position, error) {
	replies, stamp, err := s.log.Do(ctx, machine.Item{
		Data: c.encode(), Idem: idem,
		Frees: c.op == opTouch || c.op == opDestroy || c.op == opDestroyAll,
	})
	if err == nil {
		err = replies[0].Err
	}
	if err != nil {
		return reply{}, Position{}, err
	}
	r, err := s.answer(ctx, replies[0].Data, stamp)
	return r, PositionOf(stamp), err
}

// ask answers a query.
func (s *Sessions) ask(ctx context.Context, consistency machine.Consistency, c *command) (reply, machine.Stamp, error) {
	data, stamp, err := s.log.Query(ctx, consistency, c.encode())
	if err != nil {
		return reply{}, machine.Stamp{}, err
	}
	r, err := s.answer(ctx, data, stamp)
	return r, stamp, err
}

// answer reads a reply, and notes in the context how far has been seen.
func (s *Sessions) answer(ctx context.Context, data []byte, at machine.Stamp) (reply, error) {
	Note(ctx, PositionOf(at))
	r, err := decodeReply(data)
	if err != nil {
		return reply{}, errReply
	}
	return r, r.failure(s.maxValue)
}

func checkID(id string) error {
	if len(id) == 0 || len(id) > MaxID {
		return fmt.Errorf("%w: a session's ID has 1 to %d bytes, not %d", ErrInvalid, MaxID, len(id))
	}
	return nil
}

func checkUser(user string) error {
	if len(user) > MaxUser {
		return fmt.Errorf("%w: a user's name has at most %d bytes, not %d", ErrInvalid, MaxUser, len(user))
	}
	return nil
}

func checkSomebody(user string) error {
	if user == "" {
		return fmt.Errorf("%w: the user's name is empty", ErrInvalid)
	}
	return checkUser(user)
}

// checkTime returns a time in milliseconds, a part of one counted whole.
func checkTime(what string, d time.Duration) (uint64, error) {
	if d < 0 || d > MaxTTL {
		return 0, fmt.Errorf("%w: a session's %s is at most %d milliseconds, and not negative", ErrInvalid, what, maxMillis)
	}
	return uint64((d + time.Millisecond - 1) / time.Millisecond), nil
}
