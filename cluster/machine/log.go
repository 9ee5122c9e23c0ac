package machine

import (
	"context"
	"errors"
	"time"
)

// Errors of a Log. All but ErrUnknown mean that the command was certainly not
// applied, and will not be.
var (
	// ErrNoQuorum means that no majority of the voters could be reached in
	// time.
	ErrNoQuorum = errors.New("no quorum: a majority of the voters cannot be reached")
	// ErrOverloaded means that a queue is full. Trying again later may help.
	ErrOverloaded = errors.New("overloaded: too many commands wait already")
	// ErrTooBig means that a command is larger than the log takes.
	ErrTooBig = errors.New("command is too big")
	// ErrFull means that the replicated state has reached its limit.
	ErrFull = errors.New("the replicated state is full")
	// ErrLoading means that this node has not been taken into a cluster yet.
	ErrLoading = errors.New("joining: this node is not part of a cluster yet")
	// ErrReused means that an idempotency key came with another command
	// before.
	ErrReused = errors.New("the idempotency key was used with another command")
	// ErrUnknown means that the command may or may not have been applied, or
	// may still be.
	ErrUnknown = errors.New("outcome unknown: the command may have been applied")
	// ErrUnknownCommand means that a machine met a command of a later release.
	ErrUnknownCommand = errors.New("the log holds a command that this release does not know: run a newer one")
)

// An Item is one command or query for a machine.
type Item struct {
	Data  []byte
	Query bool   // Data goes to Machine.Query, and changes nothing
	Frees bool   // a command that never makes the state larger; let through when the state is full
	Idem  string // if set, the command takes effect once for this key within ten minutes, and later ones get its reply
}

// A Reply answers an Item. Err, if set, is one of this package's errors.
type Reply struct {
	Data []byte
	Err  error
}

// Consistency says what a query must have seen.
type Consistency struct {
	cluster string
	index   uint64
	local   bool
}

var (
	// Linearizable queries see every write acknowledged before they began.
	// They cost a message to the leader, and one round of it to the voters,
	// shared by all that wait.
	Linearizable = Consistency{}
	// Local queries are answered by this node's replica as it is.
	Local = Consistency{local: true}
)

// AtLeast returns the consistency of queries that see at least what was
// written at index of the named cluster: they are answered by this node's
// replica once it has got there. An index of another cluster, or one not
// reached within 100 ms, makes the query linearizable.
func AtLeast(cluster string, index uint64) Consistency {
	return Consistency{cluster: cluster, index: index, local: true}
}

// IsLocal reports whether this node's replica may answer.
func (c Consistency) IsLocal() bool { return c.local }

// Position returns the cluster ID and the index that must have been reached,
// both zero where any will do.
func (c Consistency) Position() (cluster string, index uint64) { return c.cluster, c.index }

// A Log is what a feature sees of the cluster. It is the same on every node.
type Log interface {
	// Do executes commands and queries in order. What comes before the last
	// command is done in one go, with nothing of another caller between,
	// unless the replies exceed 8 MiB; the queries behind it see what it did,
	// and perhaps later commands of others. Items that hold only queries are
	// linearizable reads. The error is set where it holds for every item; else
	// each reply has its own.
	// The context bounds the wait, not the effect: once it ends, what was
	// sent already is ErrUnknown. No call takes longer than three seconds.
	Do(ctx context.Context, items ...Item) ([]Reply, Stamp, error)

	// Query answers one query with the given consistency.
	Query(ctx context.Context, c Consistency, query []byte) ([]byte, Stamp, error)

	// Now returns an upper bound of the lease time; fresh says that the leader
	// was heard within a second.
	Now() (latest time.Duration, fresh bool)

	// Subscribe calls fn for each event of this machine on this node, in log
	// order. fn must not block and must not call the Log.
	Subscribe(fn func(Event)) (cancel func())
}
