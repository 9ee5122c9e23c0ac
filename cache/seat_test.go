package cache

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
)

// An alone is a log and its peers of one node, who may be ahead of its leader.
type alone struct {
	machine.Log
	machine.Peers
	roster        roster
	leader, local uint64
	queries       int
}

func (a *alone) Self() (id, cluster string)                    { return "me", "c" }
func (a *alone) Reach(context.Context, string, uint64) error   { return nil }
func (a *alone) Subscribe(func(machine.Event)) (cancel func()) { return func() {} }
func (a *alone) Query(_ context.Context, c machine.Consistency, _ []byte) ([]byte, machine.Stamp, error) {
	a.queries++
	index := a.leader
	if c.IsLocal() {
		index = a.local
	}
	return a.roster.encode(), machine.Stamp{Cluster: "c", Index: index}, nil
}

func newAlone(t *testing.T, a *alone) *seat {
	t.Helper()
	work := newBackground()
	t.Cleanup(work.stop)
	s := newSeat(a, a, newStore(1<<20), work)
	s.turn, s.lose = func(*ring) {}, func() {}
	return s
}

// What was invalidated while the leader was behind is not forgotten with a
// reset.
func TestTheFloorIsNotBelowWhatWasHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		me := roster{version: 1, members: []member{{"me", 1}}}
		s := newAlone(t, &alone{roster: me, leader: 10, local: 11})
		s.hearInvalidation(11, (&scope{group: "g", all: true}).append(nil))
		s.reset()
		if _, err := s.lease(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s.store.put(place{"g", "k"}, &entry{born: 10}) {
			t.Error("a value of before an invalidation is kept")
		}
		if !s.store.put(place{"g", "k"}, &entry{born: 11}) {
			t.Error("a value of after it is not")
		}
	})
}

// A ring is not served by before the store is ready for it.
func TestNothingIsServedByAnUnpreparedRing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newAlone(t, &alone{roster: roster{version: 5, members: []member{{"me", 1}}}, leader: 5, local: 5})
		if _, err := s.lease(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s.view().owns("me", "k") {
			t.Error("served before")
		}
		s.prepare("me")
		if err := s.settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !s.view().owns("me", "k") {
			t.Error("not served after")
		}
	})
}

// heard is a shell that drops events.
type heard struct{ machine.Shell }

func (heard) Emit(machine.Event) {}

// The version of a backup may be far ahead of this cluster's log: rings that
// come later must be newer.
func TestARestoredRosterIsOfThePresent(t *testing.T) {
	m := &state{version: 1 << 40}
	tx := &machine.Tx{Shell: heard{}, Stamp: machine.Stamp{Index: 7, Lease: time.Minute}}
	m.Rebase(tx, 0)
	if r := m.roster(); r.version != 7 || len(r.others("me")) != 1 {
		t.Errorf("got version %d, and %q to be waited for; want version 7 and the nameless", r.version, r.others("me"))
	}
}

// Whoever tries again whenever something has changed must not ask for a lease
// each time.
func TestARefusedLeaseIsNotAskedForAgainAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &alone{roster: roster{version: 5, members: []member{{"other", 1}}}, leader: 5, local: 5}
		s := newAlone(t, a)
		for range 100 {
			if _, err := s.lease(t.Context()); !errors.Is(err, errNoSeat) {
				t.Fatalf("got %v, want no seat", err)
			}
			synctest.Wait()
		}
		if a.queries > 2 {
			t.Errorf("asked %d times, want once", a.queries/2)
		}
	})
}
