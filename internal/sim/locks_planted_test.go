package sim_test

import (
	"context"
	"encoding/binary"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/locks"
)

// fastLeases is a machine for which lease time runs too fast.
type fastLeases struct{ *locks.Machine }

// leaseSpeed is how much too fast.
const leaseSpeed = 3

// hastyShell takes deadlines of the fast clock.
type hastyShell struct{ machine.Shell }

func (s hastyShell) Deadline(key []byte, was, at time.Duration) {
	s.Shell.Deadline(key, was/leaseSpeed, at/leaseSpeed)
}

func hastyTx(tx *machine.Tx) *machine.Tx {
	hastened := *tx
	hastened.Lease, hastened.Shell = leaseSpeed*tx.Lease, hastyShell{tx.Shell}
	return &hastened
}

func (m fastLeases) Apply(tx *machine.Tx, cmd []byte) []byte {
	return m.Machine.Apply(hastyTx(tx), cmd)
}
func (m fastLeases) Expire(tx *machine.Tx, key []byte) { m.Machine.Expire(hastyTx(tx), key) }
func (m fastLeases) OriginClosed(tx *machine.Tx, origin uint64) {
	m.Machine.OriginClosed(hastyTx(tx), origin)
}
func (m fastLeases) Snapshot() io.WriterTo { return m.Machine.Snapshot() }
func (m fastLeases) Query(at machine.Stamp, query []byte) []byte {
	at.Lease *= leaseSpeed
	return m.Machine.Query(at, query)
}

// Kinds of commands and conditions in the log of the locks.
const (
	lockAttend  = 2
	lockCancel  = 5
	lockWaiting = 1
	lockHolding = 2
)

// credulous takes an offer that is void for a lock.
type credulous struct{ machine.Log }

func (l credulous) Do(ctx context.Context, items ...machine.Item) ([]machine.Reply, machine.Stamp, error) {
	replies, stamp, err := l.Log.Do(ctx, items...)
	for i := range replies {
		reply := replies[i].Data
		if items[i].Data[1] == lockAttend && len(reply) == 1 && reply[0] == lockWaiting {
			const lease = 1
			token := 1 + byte(stamp.Index)&0x7e
			twoSeconds := binary.AppendUvarint(nil, 2e9)
			replies[i].Data = append([]byte{lockHolding, lease, token}, twoSeconds...)
		}
	}
	return replies, stamp, err
}

// deaf never takes anything back.
type deaf struct{ machine.Log }

func (l deaf) Do(ctx context.Context, items ...machine.Item) ([]machine.Reply, machine.Stamp, error) {
	var rest []machine.Item
	for _, it := range items {
		if it.Data[1] != lockCancel {
			rest = append(rest, it)
		}
	}
	replies, stamp, err := l.Log.Do(ctx, rest...)
	all := make([]machine.Reply, 0, len(items))
	for _, it := range items {
		switch {
		case err != nil:
		case it.Data[1] == lockCancel:
			all = append(all, machine.Reply{Data: []byte{lockWaiting}})
		default:
			all, replies = append(all, replies[0]), replies[1:]
		}
	}
	return all, stamp, err
}

// TestFaultsOfLocksAreCaught plants faults, and shows that a run tells.
func TestFaultsOfLocksAreCaught(t *testing.T) {
	for _, tt := range []struct {
		fault, want string
		o           locksOptions
	}{
		{"leases end early", "two holders", locksOptions{machine: func(m machine.Machine) machine.Machine {
			return fastLeases{m.(*locks.Machine)}
		}}},
		{"void offers are taken", "", locksOptions{log: func(l machine.Log) machine.Log { return credulous{l} }}},
		{"nothing is taken back", "lock", locksOptions{log: func(l machine.Log) machine.Log { return deaf{l} }}},
	} {
		t.Run(strings.ReplaceAll(tt.fault, " ", "-"), func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(8) {
				tt.o.seed = seed + 1
				if err := checkLocks(runLocks(t, tt.o)); err != nil && strings.Contains(err.Error(), tt.want) {
					t.Logf("seed %d: %.300v", tt.o.seed, err)
					return
				}
			}
			t.Error("not caught")
		})
	}
}
