package sessions

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
)

// scanPage is about how many bytes of sessions are read at a time.
const scanPage = 1 << 20

// StoreConfig says how a Store names its sessions.
type StoreConfig struct {
	// Prefix is put before each token, so that stores can share a cluster and
	// All returns the sessions of one. Together they have MaxID bytes at most.
	Prefix string
	// User tells whose session some data is, so that DestroyAll and List know
	// it; nobody's if nil, or where it returns an empty string. It is called
	// with what the session manager encoded, for example:
	//
	//	func(data []byte) string {
	//		_, values, _ := scs.GobCodec{}.Decode(data)
	//		user, _ := values["user"].(string)
	//		return user
	//	}
	User func(data []byte) string
}

// A Store keeps the sessions of github.com/alexedwards/scs: it satisfies its
// Store, CtxStore, IterableStore and IterableCtxStore.
//
// FindCtx reads locally behind what the caller has seen, where a [Tracker]
// knows that; all else is linearizable. A session manager saves whatever it
// has in hand: a request that began before a logout and commits after it makes
// the session anew.
type Store struct {
	sessions *Sessions
	config   StoreConfig
}

// NewStore returns a store of some sessions.
func NewStore(s *Sessions, config StoreConfig) *Store { return &Store{s, config} }

// Find returns the session of a token. One that is no token of this store, and
// one that has expired, are not found.
func (s *Store) Find(token string) (data []byte, found bool, err error) {
	return s.FindCtx(context.Background(), token)
}

// FindCtx is Find with a context.
func (s *Store) FindCtx(ctx context.Context, token string) (data []byte, found bool, err error) {
	if token == "" {
		return nil, false, nil
	}
	session, err := s.sessions.Load(ctx, s.config.Prefix+token, LoadOptions{Consistency: AtLeast(ctx)})
	switch {
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrInvalid):
		return nil, false, nil
	case err != nil:
		return nil, false, err
	}
	return session.Data, true, nil
}

// Commit saves a session until the given time, which is told by this machine's
// clock.
func (s *Store) Commit(token string, data []byte, expiry time.Time) error {
	return s.CommitCtx(context.Background(), token, data, expiry)
}

// CommitCtx is Commit with a context.
func (s *Store) CommitCtx(ctx context.Context, token string, data []byte, expiry time.Time) error {
	left := time.Until(expiry)
	if left <= 0 {
		return s.DeleteCtx(ctx, token)
	}
	o := SaveOptions{TTL: min(left, MaxTTL)}
	if s.config.User != nil {
		o.User = s.config.User(data)
	}
	_, err := s.sessions.Save(ctx, s.config.Prefix+token, data, o)
	return err
}

// Delete destroys a session. That there is none is no error.
func (s *Store) Delete(token string) error { return s.DeleteCtx(context.Background(), token) }

// DeleteCtx is Delete with a context.
func (s *Store) DeleteCtx(ctx context.Context, token string) error {
	_, err := s.sessions.Destroy(ctx, s.config.Prefix+token, DestroyOptions{})
	if errors.Is(err, ErrInvalid) {
		return nil // there can be none
	}
	return err
}

// All returns all sessions of the store by their tokens.
func (s *Store) All() (map[string][]byte, error) { return s.AllCtx(context.Background()) }

// AllCtx is All with a context. It reads the sessions page by page: one that
// is made, changed or destroyed meanwhile may be there or not.
func (s *Store) AllCtx(ctx context.Context) (map[string][]byte, error) {
	all := map[string][]byte{}
	for next, more := (command{op: opScan, user: []byte(s.config.Prefix), most: scanPage}), true; more; {
		r, _, err := s.sessions.ask(ctx, machine.Linearizable, &next)
		if err != nil {
			return nil, err
		}
		in := reader{rest: r.data}
		for range r.count {
			id, data := in.bytes(), in.bytes()
			if in.isBad {
				return nil, errReply
			}
			all[strings.TrimPrefix(string(id), s.config.Prefix)] = data
			next.id = id
		}
		more = r.flag
	}
	return all, nil
}
