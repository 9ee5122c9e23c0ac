package counters

import (
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
)

// nobody is a shell for commands that need none.
type nobody struct{}

func (nobody) Number() uint64                                { return 1 }
func (nobody) Deadline([]byte, time.Duration, time.Duration) {}
func (nobody) Emit(machine.Event)                            {}
func (nobody) Fail(err error)                                { panic(err) }

// A denial changes nothing. Remembered under its idempotency key it would deny
// for ten minutes whoever comes again in time, and take the room of others'.
func TestADenialLeavesItsKeyFree(t *testing.T) {
	s := newState()
	cmd := takeCommand([]call{{"x", rule{FixedWindow, 1, time.Second, 0}, 1}})
	for i, want := range []bool{false, true} {
		tx := &machine.Tx{Shell: nobody{}, Stamp: machine.Stamp{Lease: 1}}
		s.Apply(tx, cmd)
		if tx.Refused != want {
			t.Errorf("call %d of a limit of 1: refused is %v, want %v", i+1, tx.Refused, want)
		}
	}
}
