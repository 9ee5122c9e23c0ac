// Package machine is what a feature of Huddle sees of the cluster: the
// replicated state machine that it must be, and the log through which it is
// driven.
//
// A feature is deterministic logic and nothing else. It implements [Machine];
// the shell in package cluster owns everything that all features need around
// it: agreement, deadlines, numbers that only grow, remembered replies, one
// lock. The package imports nothing of Huddle, so that features depend on it
// and never on each other or on the cluster.
package machine

import (
	"io"
	"time"
)

// A Machine is one replicated state machine. It depends on nothing but its
// arguments and its state: no clock, no randomness, no I/O, no map order, no
// setting of this node.
//
// Apply, Expire and Restore are called in log order and never concurrently
// with each other or with Query. Byte slices passed in are the machine's to
// read until it returns, and must be copied if they are kept.
type Machine interface {
	// Apply executes one command and returns its reply. A command that the
	// machine does not know must be answered with [ErrUnknownCommand] through
	// Tx.Fail: it stops the node, which is older than the log it reads.
	Apply(tx *Tx, cmd []byte) (reply []byte)

	// Expire tells the machine that a deadline that it set with Tx.Deadline
	// has come. The deadline is gone from the index when Expire is called.
	// Entries are expired in bounded numbers as later commands come, so a
	// machine must also hide by itself what its stamp says has expired.
	Expire(tx *Tx, key []byte)

	// Query answers a question and changes nothing. Many run at once.
	Query(at Stamp, query []byte) (reply []byte)

	// Snapshot returns a frozen view of the state in O(1) (copy on write). It
	// is written while Apply goes on, and writes the same bytes every time.
	Snapshot() io.WriterTo

	// Restore replaces the state by what a snapshot wrote.
	Restore(r io.Reader) error

	// Size is the number of bytes that the state takes, as a function of the
	// logical state alone: equal on all nodes, before and after Restore.
	Size() int64
}

// An OriginWatcher is a machine that keeps things for as long as the node that
// asked for them stays: waiters, for example. An origin is a node at one stay
// in the cluster.
type OriginWatcher interface {
	// OriginClosed is called in log order when an origin has ended: its node
	// was removed, or has begun anew. No command of it will follow.
	OriginClosed(tx *Tx, origin uint64)
}

// A Stamp says when a command takes effect: its place in the log and the
// cluster's time there. Stamps never go back.
type Stamp struct {
	Cluster  string        // cluster ID
	Index    uint64        // index of the log entry
	Position uint32        // place of the command in its entry
	Lease    time.Duration // lease time: the age of the cluster, in which all TTLs are kept
	Wall     time.Duration // wall time since the Unix epoch, in microseconds' precision
	Level    uint32        // what the cluster has agreed to do (see cluster.Level)
}

// Pressure says how full the replicated state is, as the leader saw it when
// it stamped the entry.
type Pressure uint8

const (
	// PressureNone means that there is room.
	PressureNone Pressure = iota
	// PressureHigh means that more than four fifths are used: what would be
	// kept for more than a day is to be refused.
	PressureHigh
	// PressureFull means that all is used: only commands marked as Frees get
	// through; the shell refuses the others before Apply sees them.
	PressureFull
)

// An Event tells those who wait on this node that something changed. Events
// never feed back into a state.
//
// Every node gives every event to its subscribers when it applies the entry
// that the event comes from.
type Event struct {
	Kind  uint8  // the machine's own
	Key   []byte // the machine's own
	Index uint64 // of the log entry that it comes from; 0 with Reset
	Reset bool   // everything may have changed: a snapshot was installed
}

// A Shell lends a machine what it may use of its surroundings. Package
// cluster has the real one; tests make their own.
type Shell interface {
	// Number raises the cluster's number source and returns its new value.
	Number() uint64
	// Deadline moves key's deadline in the index from was to at. Zero means
	// none. The caller says what the deadline was, so that no second index is
	// needed to find it. The key is read, and neither kept nor changed.
	Deadline(key []byte, was, at time.Duration)
	// Emit tells the subscribers on this node.
	Emit(e Event)
	// Fail stops the node.
	Fail(err error)
}

// Tx is what the shell lends a machine for the time of one command.
type Tx struct {
	Stamp
	Shell
	Pressure Pressure
	Origin   uint64   // that proposed the command; 0 in Expire and OriginClosed
	Refused  bool     // set by the machine: it has refused the command, which had no effect and may come again
	Seed     [16]byte // secret of the cluster, the same for its whole life, for keyed hashes
}
