package redis

import (
	"errors"
	"sync/atomic"

	"github.com/huddlecache/huddle/cluster/machine"
)

// Counters count what a Server did. They may be read at any time.
type Counters struct {
	Accepted atomic.Uint64 // connections, those refused included
	Refused  atomic.Uint64 // connections beyond Config.MaxConns

	Commands atomic.Uint64 // all, also those that were refused
	Writes   atomic.Uint64 // of these, commands handed to the log
	Reads    atomic.Uint64 // of these, queries handed to the log
	Batches  atomic.Uint64 // calls of the log: (Writes + Reads) / Batches is how full they are
	Received atomic.Uint64 // bytes
	Sent     atomic.Uint64 // bytes

	// Errors that were answered.
	NoQuorum   atomic.Uint64 // CLUSTERDOWN
	Overloaded atomic.Uint64 // TRYAGAIN
	Loading    atomic.Uint64 // LOADING
	Full       atomic.Uint64 // OOM
	TooBig     atomic.Uint64 // TOOBIG
	Reused     atomic.Uint64 // ERR, of an idempotency key
	Unknown    atomic.Uint64 // UNAVAILABLE: the outcome is unknown, or there was no answer in time
	BadAuth    atomic.Uint64 // WRONGPASS, and AUTH without a password
	Protocol   atomic.Uint64 // connections closed because they did not speak RESP

	Slow atomic.Uint64 // connections cut off because they did not read their messages
}

// failed returns the counter of an error of the log.
func (n *Counters) failed(err error) *atomic.Uint64 {
	switch {
	case errors.Is(err, machine.ErrNoQuorum):
		return &n.NoQuorum
	case errors.Is(err, machine.ErrOverloaded):
		return &n.Overloaded
	case errors.Is(err, machine.ErrLoading):
		return &n.Loading
	case errors.Is(err, machine.ErrFull):
		return &n.Full
	case errors.Is(err, machine.ErrTooBig):
		return &n.TooBig
	case errors.Is(err, machine.ErrReused):
		return &n.Reused
	}
	return &n.Unknown
}
