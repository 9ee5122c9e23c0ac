// Package keyspace is the Redis data model: databases of keys with values and
// expiry, driven by commands and answering in finished RESP.
//
// A [Space] is a machine.Machine. It has no clock, network, goroutine or
// randomness, and no order of a Go map reaches a reply, so that equal commands
// at equal stamps leave equal bytes on every node. What a command does, and
// every reply and error text, is that of Redis 7.0.15 unless its comment says
// otherwise.
//
// One file holds one family of commands: the functions that execute them and
// the rows that describe them in the table (table.go). call.go is what they
// stand on, database.go and value.go are what they work on.
package keyspace

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/huddlecache/huddle/cluster/machine"
)

// Databases is the number of databases.
const Databases = 16

// errNotQuery is what a writing command gets that was sent as a query.
var errNotQuery = errors.New("a command that writes was sent as a query")

// A Space is the databases of one cluster. The zero Space is not ready: use
// New.
//
// Queries may run at once with each other and with the writing of snapshots;
// everything else excludes them, as machine.Machine says.
type Space struct {
	seed   [16]byte // of the cluster; orders the keys
	seeded bool     // seed was taken from the first command
	dbs    [Databases]*database
	size   int64 // of all entries, see entry.size, and scripts

	scripts  scripts
	compiled *compiler
	waiters  waiters

	generation uint64 // grows with each snapshot, see entry
}

var _ machine.Machine = (*Space)(nil)

// New returns an empty Space. It takes its seed from the first command that
// is applied to it, or from the snapshot that it restores.
func New() *Space {
	s := &Space{scripts: newScripts(), compiled: newCompiler(), waiters: newWaiters()}
	for i := range s.dbs {
		s.dbs[i] = &database{tree: newTree()}
	}
	return s
}

// Apply executes one command, made by AppendCommand, or a transaction, made by
// AppendTransaction, and returns its reply in the protocol that the command
// asks for; or what AppendWait and AppendAttend make. Reads are executed too. A command that is in no table of this
// release, or whose format is another one, is machine.ErrUnknownCommand and
// stops the node; so whoever takes commands from clients looks them up first.
func (s *Space) Apply(tx *machine.Tx, cmd []byte) []byte {
	if !s.seeded {
		s.seed, s.seeded = tx.Seed, true
	}
	s.hear(tx)
	c := call{space: s, tx: tx, at: tx.Stamp}
	if err := c.execute(cmd); err != nil {
		tx.Fail(fmt.Errorf("%w: %w", machine.ErrUnknownCommand, err))
		return nil
	}
	s.settle(tx)
	return c.reply.buf
}

// Query executes one command or transaction that only reads and returns its
// reply, or answers AppendWatch. What is not to be had that way is answered
// with a RESP error.
func (s *Space) Query(at machine.Stamp, query []byte) []byte {
	c := call{space: s, at: at}
	if err := c.execute(query); err != nil {
		c.reply.fail("ERR " + err.Error())
	}
	return c.reply.buf
}

// Expire removes key, as it was given to Tx.Deadline, if its time has come, or
// ends the state of a waiter. A deadline that is no longer theirs does nothing.
func (s *Space) Expire(tx *machine.Tx, key []byte) {
	if number, isWaiter := numberOfWaiter(key); isWaiter {
		s.expireWaiter(tx, number)
		return
	}
	if len(key) == 0 || int(key[0]) >= Databases {
		return
	}
	db := s.dbs[key[0]]
	e := db.find(s.hash(key[1:]), key[1:])
	if e == nil || !e.isOver(tx.Lease) {
		return
	}
	db.remove(s.hash(key[1:]), e)
	db.removed = tx.Number()
	s.size -= e.size()
	tx.Emit(machine.Event{Kind: EventChanged, Key: bytes.Clone(key)})
	emitNotice(tx, int(key[0]), noticeExpired, key[1:])
}

// Size returns the bytes that the state takes: for each key its own length,
// its value's and a constant that covers what Go needs around them, and
// likewise for each script that EVALSHA knows and for each command that waits.
func (s *Space) Size() int64 { return s.size + s.waiters.size }

// hash places a key in the order of its database: 52 bits, so that a position
// and the one behind it are exact in every client's numbers.
func (s *Space) hash(key []byte) uint64 {
	return sipHash(&s.seed, key) & (1<<52 - 1)
}
