package cache

import (
	"context"
	"errors"
	"fmt"

	"github.com/huddlecache/huddle/cluster/machine"
)

// A request is for the owner of a key.
type request interface {
	where() place
	by(version uint64) // sets the ring by which the asked node is the owner
	encode() []byte
	own(ctx context.Context, c *Cache) answer // answers it on the owner itself
	isSafe() bool                             // it may take effect more than once
}

func (p place) where() place { return p }

func (m *getRequest) by(version uint64)                        { m.version = version }
func (m *getRequest) own(ctx context.Context, c *Cache) answer { return c.ownGet(ctx, m) }
func (m *getRequest) isSafe() bool                             { return true }

func (m *putRequest) by(version uint64)                        { m.version = version }
func (m *putRequest) own(ctx context.Context, c *Cache) answer { return c.ownPut(ctx, m) }
func (m *putRequest) isSafe() bool                             { return false }

func (m *rightRequest) by(uint64)                              {}
func (m *rightRequest) own(_ context.Context, c *Cache) answer { return c.ownRight(m) }
func (m *rightRequest) isSafe() bool                           { return true }

// ask has the owner of a key answer a request, until the context ends. While
// the ring changes it waits for who it will be.
func (c *Cache) ask(ctx context.Context, m request) (answer, error) {
	var last error
	for {
		v := c.seat.view()
		r := v.ring()
		owner := r.owner(m.where().ringKey())
		if owner == "" {
			if err := c.await(ctx, v, errors.Join(last, errNoSeat)); err != nil {
				return answer{}, err
			}
			continue
		}
		m.by(r.version)
		a, err := c.askOne(ctx, owner, m)
		switch {
		case err == nil && a.outcome == outMoved && a.version > r.version:
			if err := c.awaitRing(ctx, a.version); err != nil {
				return answer{}, err
			}
			continue
		case err == nil && a.outcome == outUnsure:
			return answer{}, fmt.Errorf("%w: the owner of the key has lost its lease", machine.ErrUnknown)
		case err == nil && a.outcome != outNoSeat && a.outcome != outMoved:
			return a, nil
		case errors.Is(err, machine.ErrNoAnswer) && !m.isSafe():
			return answer{}, fmt.Errorf("%w: %w", machine.ErrUnknown, err)
		}
		if last = err; ctx.Err() == nil {
			// Where this node has no quorum either, there is nothing to wait for.
			_, err = c.seat.lease(ctx)
			if last = errors.Join(last, err); errors.Is(err, machine.ErrNoQuorum) && ctx.Err() == nil {
				return answer{}, err
			}
		}
		if err := c.await(ctx, v, last); err != nil {
			return answer{}, err
		}
	}
}

// askOne asks one node, which may be this one.
func (c *Cache) askOne(ctx context.Context, id string, m request) (answer, error) {
	if self, _ := c.peers.Self(); id == self {
		return m.own(ctx, c), nil
	}
	data, err := c.callOwner(ctx, id, m)
	if err != nil {
		return answer{}, err
	}
	a, err := decodeAnswer(data)
	if err != nil {
		return answer{}, fmt.Errorf("%w: %w", machine.ErrNoAnswer, err)
	}
	return a, nil
}

// await waits for another view, or until it is time to try again by the same.
// The error says why nothing came of it, once the context has ended.
func (c *Cache) await(ctx context.Context, v *view, last error) error {
	short, cancel := context.WithTimeout(ctx, retryWait)
	defer cancel()
	select {
	case <-v.changed:
	case <-short.Done():
	}
	if ctx.Err() == nil {
		return nil
	}
	return unanswered(ctx, last)
}

// awaitRing waits until this node knows of a ring.
func (c *Cache) awaitRing(ctx context.Context, version uint64) error {
	for {
		v := c.seat.view()
		if r := v.ring(); r != nil && r.version >= version {
			return nil
		}
		select {
		case <-v.changed:
		case <-ctx.Done():
			return unanswered(ctx, nil)
		}
	}
}

// unanswered is what the caller is told whose context has ended.
func unanswered(ctx context.Context, last error) error {
	return fmt.Errorf("%w: the owner of the key does not answer: %w", machine.ErrNoQuorum, errors.Join(last, ctx.Err()))
}
