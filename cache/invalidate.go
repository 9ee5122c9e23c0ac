package cache

import (
	"context"
	"errors"
	"fmt"

	"github.com/huddlecache/huddle/cluster/machine"
)

// A Scope is what is invalidated of a group.
type Scope struct {
	All  bool     // everything
	Keys []string // and these keys
	Tags []string // and whatever has one of these tags
}

// Keys is the scope of some keys.
func Keys(keys ...string) Scope { return Scope{Keys: keys} }

// Tags is the scope of everything that has one of some tags.
func Tags(tags ...string) Scope { return Scope{Tags: tags} }

// All is the scope of a whole group.
func All() Scope { return Scope{All: true} }

// Invalidate makes void what is cached. Once it has returned nil no node
// serves a value that was made before it was called, and none that is being
// made meanwhile will be kept. It takes a round trip to all nodes, and two
// seconds where one of them does not answer.
//
// ErrUnknown means that it may have been done, or will be.
func (c *Cache) Invalidate(ctx context.Context, group string, s Scope) error {
	if err := s.check(group); err != nil {
		return err
	}
	return c.change(ctx, command{op: opInvalidate, scope: scope{group: group, all: s.All, keys: s.Keys, tags: s.Tags}}, true)
}

// change puts a command into the log, and returns once no node serves by what
// was before it.
func (c *Cache) change(ctx context.Context, cmd command, frees bool) error {
	if _, has := ctx.Deadline(); !has {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, callTime+2*leaseTime)
		defer cancel()
	}
	replies, at, err := c.log.Do(ctx, machine.Item{Data: cmd.encode(), Frees: frees})
	if err == nil {
		err = replies[0].Err
	}
	if err != nil {
		return err
	}
	// The leader has applied it: whatever lease is given from now on knows of
	// it, and those given before last for leaseTime at most.
	r, err := decodeRoster(replies[0].Data)
	if err != nil {
		return errors.Join(machine.ErrUnknown, err)
	}
	self, _ := c.peers.Self()
	c.seat.tell(ctx, append(r.others(self), self), at.Cluster, at.Index)
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", machine.ErrUnknown, ctx.Err())
	}
	return nil
}

func (s Scope) check(group string) error {
	if group == "" || len(group) > maxName {
		return fmt.Errorf("%w: a group's name has 1 to %d bytes", ErrInvalid, maxName)
	}
	if !s.All && len(s.Keys)+len(s.Tags) == 0 {
		return fmt.Errorf("%w: nothing to be invalidated", ErrInvalid)
	}
	for _, key := range s.Keys {
		if err := (place{group, key}).check(); err != nil {
			return err
		}
	}
	return checkTags(s.Tags)
}
