package machine

import (
	"context"
	"errors"
)

// ErrUnreachable means that a call to another node was certainly not handled
// there, and will not be.
var ErrUnreachable = errors.New("the other node cannot be reached")

// ErrNoAnswer means that a call to another node may have been handled there,
// or may still be.
var ErrNoAnswer = errors.New("the other node has not answered")

// Peers is how a feature's parts on different nodes talk to each other without
// the log, and how far this node is in it. It is for what need not be agreed
// on, or has been already.
type Peers interface {
	// Self returns the server ID of this node and the ID of its cluster. Both
	// are empty as long as it is in none, and change where it begins anew.
	Self() (id, cluster string)

	// Call asks the same feature on another node of this cluster. An error is
	// ErrUnreachable, ErrNoAnswer, or what the other node's function returned,
	// as text.
	Call(ctx context.Context, id string, request []byte) (reply []byte, err error)

	// Serve has fn answer the calls of the same feature on other nodes of this
	// cluster, many at once. The slices are fn's to keep. Stop returns at once;
	// calls that have begun end by themselves.
	Serve(fn func(ctx context.Context, from string, request []byte) (reply []byte, err error)) (stop func())

	// Reach waits until this node has applied the entry at index of a cluster,
	// and given the events of all entries up to it to their subscribers.
	Reach(ctx context.Context, cluster string, index uint64) error

	// IsDead reports whether another node has been seen to be gone: it has
	// left, or answers nobody. A node that is not known is not dead.
	IsDead(id string) bool
}
