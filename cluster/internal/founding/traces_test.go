package founding_test

import (
	"testing"

	"github.com/huddlecache/huddle/cluster/internal/founding"
)

// The traces that simpler forms of the protocol failed on.

// A member dies before the list is started: those who are left, of whom none
// has started it, are free. (Free only when all others are dead, they would
// wait for each other for ever.)
func TestMinorityDiesBeforeBootstrap(t *testing.T) {
	tw := newTown(t, 3, false, "a", "b", "c")
	tw.tick("b")
	tw.settleDown("a", "b", "c")
	tw.talk("a", "b")
	tw.bury("a", "c", "b")
	tw.wantFree("a", false) // b may have started it
	tw.bury("b", "c", "a")
	tw.again("a", "b")
	tw.wantStand(tw.talk("a", "b"), founding.Refused) // b was told void, and says void itself: free
	tw.wantFree("a", true)
	tw.wantFree("b", true)
	tw.wantStarted()
}

// The list dies although a promise to it was lost with the dead: the one who
// knows all promises starts it, and whoever has said void follows.
func TestVoidEndsWhenSomebodyHasStarted(t *testing.T) {
	tw := newTown(t, 3, false, "a", "b", "c")
	tw.tick("b")
	tw.tick("c")
	tw.settleDown("a", "b", "c")
	tw.ask("a", "c")
	tw.talk("a", "b")
	tw.bury("b", "c", "a")
	tw.again("b", "a")
	tw.wantStand(tw.homes["b"].asks[0].Question.Own, founding.Void)
	tw.talk("a", "c") // the answer of c was under way when it died
	tw.wantStarted("a")
	tw.talk("b", "a")
	tw.wantStarted("a", "b")
}

// A node that says void has all promises and starts nothing by itself: the
// other one may be free already.
func TestVoidDoesNotStart(t *testing.T) {
	tw := newTown(t, 3, false, "a", "b", "c")
	tw.tick("b")
	tw.settleDown("a", "b", "c")
	tw.ask("a", "b")
	tw.bury("b", "c", "a")
	list := tw.homes["a"].asks[0].Question.List
	tw.do(tw.homes["b"], tw.homes["b"].core.Answered("a", founding.Answer{
		Cluster: list.Cluster, Stand: founding.Promised, Promises: 7,
	}))
	tw.wantStarted()
	tw.wantFree("b", false)
}

// A node whose void was heard, and who then followed one who had started and
// died, finds the hearer again: having started is proof enough to bind it.
func TestFreeMemberIsBoundByOneWhoHasStarted(t *testing.T) {
	tw := newTown(t, 5, false, "a", "b", "c", "d", "e")
	tw.tick("b")
	tw.settleDown("a", "b", "c", "d", "e")
	tw.talk("a", "b")
	list := tw.homes["a"].asks[0].Question.List
	started := founding.Answer{Cluster: list.Cluster, Stand: founding.Started}
	void := founding.Answer{Cluster: list.Cluster, Stand: founding.Void}
	a := tw.homes["a"]
	tw.bury("a", "e", "b", "c", "d")
	tw.do(a, a.core.Answered("b", void))
	tw.do(a, a.core.Answered("c", void))
	tw.bury("a", "d", "b", "c")
	tw.wantFree("a", true)

	b := tw.homes["b"]
	tw.bury("b", "e", "a", "c", "d")
	tw.do(b, b.core.Answered("d", started))
	tw.wantStarted("b")
	tw.again("b", "a", "c")
	tw.wantStand(tw.talk("b", "a"), founding.Started)
	tw.wantStarted("a", "b")
}

// Two nodes, one dies when the other one knows that both have promised: its
// cluster can never have a leader, and it starts again.
func TestBootstrappedInVain(t *testing.T) {
	for _, durable := range []bool{false, true} {
		tw := newTown(t, 2, durable, "a", "b")
		tw.tick("b")
		tw.settleDown("a", "b")
		tw.talk("a", "b")
		tw.wantStarted("a", "b")
		tw.tick("a", "b")
		if tw.homes["a"].left {
			t.Error("gives up while all live")
		}
		tw.bury("a", "b")
		if got := tw.homes["a"].left; got == durable {
			t.Errorf("durable %v: gives up = %v", durable, got)
		}
		if got := tw.homes["a"].core.Status().NeedsRecover; got != durable {
			t.Errorf("durable %v: needs recover = %v", durable, got)
		}
	}
}

// With an entry of a leader on any living node, only people decide.
func TestAppliedEntryIsNeverGivenUp(t *testing.T) {
	tw := newTown(t, 2, false, "a", "b")
	tw.tick("b")
	tw.settleDown("a", "b")
	tw.talk("a", "b")
	tw.do(tw.homes["a"], tw.homes["a"].core.Applied())
	tw.bury("a", "b")
	if tw.homes["a"].left {
		t.Error("gives up its own entry")
	}

	tw = newTown(t, 4, false, "a", "b", "c", "d")
	tw.tick("b")
	tw.settleDown("a", "b", "c", "d")
	tw.talk("a", "b")
	a, cluster := tw.homes["a"], tw.homes["a"].asks[0].Question.List.Cluster
	say := func(id string, s founding.Stand) {
		tw.do(a, a.core.Answered(id, founding.Answer{Cluster: cluster, Stand: s, Promises: 15}))
	}
	say("b", founding.Started)
	tw.bury("a", "c", "b", "d")
	tw.bury("a", "d", "b")
	if a.left {
		t.Error("gives up before it knows what b has")
	}
	say("b", founding.Applied)
	tw.again("a", "b")
	if a.left || !a.core.Status().NeedsRecover {
		t.Errorf("gives up = %v with an entry at b; status %+v", a.left, a.core.Status())
	}
	tw.bury("a", "b")
	if !a.left {
		t.Error("does not give up when b is dead too")
	}
}

// A living node that is in the cluster without being a founder was added by a
// leader, so what the leader decided may live.
func TestJoinedNodeKeepsACluster(t *testing.T) {
	tw := newTown(t, 2, false, "a", "b", "c")
	tw.tick("b")
	tw.settleDown("a", "b")
	tw.talk("a", "b")
	tw.do(tw.homes["c"], tw.homes["c"].core.Admit("b", tw.homes["a"].started, founding.Added))
	tw.bury("a", "b", "c")
	if a := tw.homes["a"]; a.left || !a.core.Status().NeedsRecover {
		t.Errorf("gives up = %v, status %+v", a.left, a.core.Status())
	}
	tw.bury("a", "c")
	if !tw.homes["a"].left {
		t.Error("does not give up when nobody else lives")
	}
}

// A founder that was free again and is in another cluster now is as lost to
// the list as a dead one.
func TestFounderElsewhereIsLost(t *testing.T) {
	tw := newTown(t, 3, false, "a", "b", "c")
	tw.tick("b")
	tw.settleDown("a", "b", "c")
	tw.talk("a", "b")
	tw.do(tw.homes["a"], tw.homes["a"].core.Answered("c", founding.Answer{
		Cluster: tw.homes["a"].asks[0].Question.List.Cluster, Stand: founding.Promised,
	}))
	tw.wantStarted("a")
	tw.do(tw.homes["c"], tw.homes["c"].core.Admit("x", "other", founding.Append))
	tw.tick("a", "b", "c")
	if tw.homes["a"].left {
		t.Error("gives up while b lives")
	}
	tw.bury("a", "b", "c")
	if !tw.homes["a"].left {
		t.Error("does not give up alone")
	}
}

// Whoever knows of no death is not free because others say void: it may be
// the one that starts the list.
func TestOthersVoidDoesNotFree(t *testing.T) {
	tw := newTown(t, 3, false, "a", "b", "c")
	tw.settleDown("a", "b", "c")
	for _, id := range []string{"b", "c"} {
		tw.wantFree("a", false)
		tw.do(tw.homes["a"], tw.homes["a"].core.Answered(id, founding.Answer{
			Cluster: tw.homes["a"].asks[0].Question.List.Cluster, Stand: founding.Void,
		}))
	}
	tw.wantFree("a", false)
	tw.wantStarted("a")
}

func TestAppliedIsOnDisk(t *testing.T) {
	tw := newTown(t, 2, true, "a", "b")
	tw.tick("b")
	tw.settleDown("a", "b")
	q := tw.homes["a"].asks[0].Question
	tw.talk("a", "b")
	tw.do(tw.homes["b"], tw.homes["b"].core.Applied())
	tw.restart("b")
	if e := tw.tick("b"); e.Bootstrap == nil {
		t.Error("a started list is not started after a restart")
	}
	tw.wantStand(tw.question("a", "b", q), founding.Applied)
}

// Those who are left give up together, each when all others have said that
// they hold nothing.
func TestGivingUpWaitsForAllWhoLive(t *testing.T) {
	tw := newTown(t, 4, false, "a", "b", "c", "d")
	for _, id := range []string{"b", "c", "d"} {
		tw.tick(id)
	}
	tw.settleDown("a", "b", "c", "d")
	for _, id := range []string{"b", "c", "d", "b"} {
		tw.talk("a", id)
	}
	tw.wantStarted("a", "b")
	for _, id := range []string{"a", "b"} {
		other := map[string]string{"a": "b", "b": "a"}[id]
		tw.bury(id, "c", other, "d")
		tw.bury(id, "d", other)
	}
	tw.again("a", "b")
	if tw.homes["a"].left {
		t.Error("a gives up before it has heard b")
	}
	tw.wantStand(tw.talk("a", "b"), founding.Vain)
	tw.tick("a", "b")
	if !tw.homes["a"].left {
		t.Error("a does not give up")
	}
	if _, err := tw.homes["a"].core.Asked("b", founding.Question{}); err != founding.ErrGone {
		t.Errorf("asked after giving up: %v", err)
	}
	tw.bury("b", "a")
	if !tw.homes["b"].left {
		t.Error("b does not give up")
	}
}

// Two clusters need EXPECT too low: a promiser that dies and returns is
// counted twice. With EXPECT as demanded the second list is never proposed.
func TestReturningPromiserIsCountedTwice(t *testing.T) {
	for _, expect := range []int{3, 4} {
		tw := newTown(t, expect, false, "a", "b", "c", "d", "e")
		tw.tick("c")
		tw.tick("d")
		tw.tick("e")
		first := []string{"d", "e"}
		if expect == 4 {
			first = []string{"b", "d", "e"}
			tw.tick("b")
		}
		tw.settleDown("c", first...)
		if expect == 4 {
			// The lowest of this list is b.
			tw.settleDown("b", "c", "d", "e")
			for _, id := range []string{"c", "d", "e"} {
				tw.talk("b", id)
			}
		} else {
			tw.talk("c", "d")
			tw.talk("c", "e")
			tw.talk("c", "d")
		}
		tw.settle("d2", expect, false) // d dies and returns; it sees a and b only
		tw.tick("d2", "a", "b")
		if expect == 4 {
			tw.settleDown("a", "d2") // b is in the first cluster
		} else {
			tw.tick("b", "a")
			tw.settleDown("a", "b", "d2")
		}
		if got := tw.homes["a"].asks != nil; got != (expect == 3) {
			t.Errorf("expect %d: the second list is proposed: %v", expect, got)
		}
	}
}

// Late joiners do the same without any death.
func TestLateJoinersAreCountedToo(t *testing.T) {
	tw := newTown(t, 2, false, "a", "b", "c", "d")
	for pair, second := range map[string]string{"a": "b", "c": "d"} {
		tw.tick(second)
		tw.settleDown(pair, second)
		tw.talk(pair, second)
	}
	tw.wantStarted("a", "b", "c", "d")
	e := tw.tick("a", "b", "c", "d")
	if len(e.Conflict) != 2 {
		t.Errorf("a reports %v, want both clusters", e.Conflict)
	}
	if e := tw.tick("d", "a", "b", "c"); len(e.Conflict) != 2 {
		t.Errorf("d reports %v, want both clusters", e.Conflict)
	}
}

// A node that has once refused stands by it after a restart, also where it
// was bound to the list of the same proposer before.
func TestRefusalIsOnDisk(t *testing.T) {
	tw := newTown(t, 2, true, "a", "b", "c")
	tw.tick("b", "c")
	tw.do(tw.homes["c"], tw.homes["c"].core.Admit("x", "other", founding.Append))
	tw.tick("b", "c")
	tw.settleDown("a", "b")
	tw.wantStand(tw.ask("a", "b"), founding.Refused) // it sees a cluster
	for range 2 {
		tw.restart("b")
		tw.tick("b") // sees none
		tw.wantStand(tw.ask("a", "b"), founding.Refused)
	}
}

func TestVoidIsOnDisk(t *testing.T) {
	tw := newTown(t, 3, true, "a", "b", "c")
	tw.tick("b")
	tw.settleDown("a", "b", "c")
	tw.ask("a", "b")
	tw.bury("b", "c", "a")
	tw.restart("b")
	tw.tick("b")
	if got := tw.homes["b"].core.Status().Dead; len(got) != 1 || got[0] != "c" {
		t.Errorf("dead = %v, want c", got)
	}
	tw.wantStand(tw.homes["b"].asks[0].Question.Own, founding.Void)
}
