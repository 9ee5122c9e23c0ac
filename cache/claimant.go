package cache

import (
	"context"
	"fmt"

	"github.com/huddlecache/huddle/cluster/machine"
)

// callOwner asks another node. Where that may bring the right to make a value,
// the call goes on without its caller: no node tells another one that whoever
// asked has hung up, and a right that comes for nobody is given back at once,
// so that the next who waits gets one.
func (c *Cache) callOwner(ctx context.Context, id string, m request) ([]byte, error) {
	get, isGet := m.(*getRequest)
	if !isGet || get.claim == 0 {
		return c.peers.Call(ctx, id, m.encode())
	}
	type reply struct {
		data []byte
		err  error
	}
	replies := make(chan reply) // whoever sends has found its receiver still there
	request, p, wait := get.encode(), get.place, get.wait+callTime
	isBegun := c.work.begin(func(over context.Context) { // ends when the owner waits no more
		calling, cancel := context.WithTimeout(over, wait)
		defer cancel()
		data, err := c.peers.Call(calling, id, request)
		select {
		case replies <- reply{data, err}:
		case <-ctx.Done():
			c.giveBack(calling, p, data)
		}
	})
	if !isBegun {
		return nil, fmt.Errorf("%w: %w", machine.ErrUnreachable, errNoSeat)
	}
	select {
	case r := <-replies:
		return r.data, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", machine.ErrNoAnswer, ctx.Err())
	}
}

// giveBack gives back the right that an answer has brought, if it has.
func (c *Cache) giveBack(ctx context.Context, p place, answer []byte) {
	if a, err := decodeAnswer(answer); err == nil && a.outcome == outClaimed {
		_ = c.extend(ctx, p, Right{Number: a.right}, 0) // or its time ends it
	}
}
