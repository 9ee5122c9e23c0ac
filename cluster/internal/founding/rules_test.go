package founding_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/internal/founding"
)

func TestAloneFoundsAtOnce(t *testing.T) {
	core, err := founding.New(founding.Config{
		Self: founding.Member{ID: "a"}, Alone: true, NewClusterID: func() string { return "c" },
	})
	if err != nil {
		t.Fatal(err)
	}
	e, err := core.Tick(founding.View{}).After(nil)
	if err != nil || e.Bootstrap == nil || e.Bootstrap.Voters != 1 || core.Cluster() != "c" {
		t.Errorf("effects = %+v, %v; cluster %q; want a list of one", e, err, core.Cluster())
	}
}

func TestThreeFoundOne(t *testing.T) {
	tw := newTown(t, 3, false, "a", "b", "c")
	tw.tick("b", "a", "c")
	tw.tick("c", "a", "b")
	tw.settleDown("a", "b", "c")
	tw.wantStand(tw.talk("a", "b"), founding.Promised)
	tw.wantStarted()
	tw.talk("a", "c")
	tw.wantStarted("a")
	tw.wantStand(tw.talk("a", "b"), founding.Started)
	tw.wantStand(tw.talk("a", "c"), founding.Started)
	tw.wantStarted("a", "b", "c")
	if got, want := tw.homes["b"].started, tw.homes["a"].started; got != want {
		t.Errorf("b started %s, a %s", got, want)
	}
	tw.again("a", "b", "c")
	if asks := tw.homes["a"].asks; len(asks) > 0 {
		t.Errorf("a still asks %v", asks)
	}
}

func TestEmptyNodeWaitsForLivingCluster(t *testing.T) {
	tw := newTown(t, 2, false, "a", "b", "c")
	tw.tick("b", "c")
	tw.settleDown("b", "c")
	tw.tick("c", "b")
	tw.talk("b", "c")
	tw.settleDown("a", "b", "c") // the lowest, but b shows a cluster ID
	if asks := tw.homes["a"].asks; asks != nil {
		t.Errorf("a proposes %v", asks)
	}
	if got, want := tw.homes["a"].core.Status().String(), "waiting to be taken into cluster "+tw.homes["b"].started; got != want {
		t.Errorf("status = %q, want %q", got, want)
	}
}

func TestWhenToPropose(t *testing.T) {
	const s = time.Second
	tests := []struct {
		name                          string
		alive                         []string
		after                         time.Duration
		addresses, unseen, unresolved int
		want                          bool
	}{
		{"still", []string{"b", "c"}, s, 3, 0, 0, true},
		{"not yet still", []string{"b", "c"}, s - 1, 3, 0, 0, false},
		{"too few", []string{"b"}, s, 2, 0, 0, false},
		{"not the lowest", []string{"0", "b"}, s, 3, 0, 0, false},
		{"an address unseen", []string{"b", "c"}, 59 * s, 4, 1, 0, false},
		{"a name unresolved", []string{"b", "c"}, 59 * s, 3, 0, 1, false},
		{"half unseen after a minute", []string{"b", "c"}, 60 * s, 6, 3, 1, true},
		{"more than half unseen", []string{"b", "c"}, 600 * s, 5, 3, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tw := newTown(t, 3, false, "0", "a", "b", "c")
			tw.now = time.Hour
			v := tw.view(tt.alive...)
			v.Addresses, v.Unseen, v.Unresolved = tt.addresses, tt.unseen, tt.unresolved
			tw.do(tw.homes["a"], tw.homes["a"].core.Tick(v))
			v.Now += tt.after
			tw.do(tw.homes["a"], tw.homes["a"].core.Tick(v))
			if got := tw.homes["a"].asks != nil; got != tt.want {
				t.Errorf("proposes = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestMovingViewIsNotStill(t *testing.T) {
	tw := newTown(t, 2, false, "a", "b", "c")
	for i := range 10 {
		tw.tick("a", []string{"b", "c"}[i%2])
		tw.now += 600 * time.Millisecond
	}
	if asks := tw.homes["a"].asks; asks != nil {
		t.Errorf("a proposes %v", asks)
	}
}

func TestListIsTheLowest(t *testing.T) {
	ids := []string{"a", "b", "c", "d", "e", "f", "g"}
	for _, tt := range []struct{ expect, voters, seen, members, vote int }{
		{2, 5, 2, 2, 2},
		{2, 5, 3, 3, 3},
		{3, 5, 4, 4, 3},
		{4, 5, 4, 4, 4}, // three would need two only: see Voters
		{4, 5, 7, 5, 5},
		{5, 3, 7, 5, 3},
		{3, 1, 3, 3, 1},
		{7, 5, 7, 7, 5},
	} {
		tw := newTown(t, tt.expect, false, ids...)
		tw.homes["a"].cfg.Voters = tt.voters
		tw.restart("a")
		tw.settleDown("a", ids[1:tt.seen]...)
		l := tw.homes["a"].asks[0].Question.List
		if len(l.Members) != tt.members || l.Voters != tt.vote || l.Members[len(l.Members)-1].ID != ids[tt.members-1] {
			t.Errorf("%+v: list %+v", tt, l)
		}
	}
}

// TestVotersKeepClustersApart checks that what an expectation demands
// suffices for every list that can come of it.
func TestVotersKeepClustersApart(t *testing.T) {
	expect := map[int]int{2: 2, 3: 2, 4: 3, 5: 4, 6: 4, 7: 5}
	for pods := 2; pods <= 7; pods++ {
		for seen := expect[pods]; seen <= pods; seen++ {
			n := max(expect[pods], min(5, seen))
			voters := founding.Voters(n, 5, expect[pods])
			if expect[pods]+voters/2+1 <= pods {
				t.Errorf("%d pods, expect %d, list of %d: %d voters are too few", pods, expect[pods], n, voters)
			}
		}
	}
}

func TestTwoNodesAtOneAddressAreNotProposed(t *testing.T) {
	tw := newTown(t, 2, false, "a", "b", "c")
	tw.homes["c"].Addr = tw.homes["b"].Addr // b has died and came back as c
	tw.settleDown("a", "b", "c")
	if asks := tw.homes["a"].asks; asks != nil {
		t.Errorf("a proposes %v", asks)
	}
}

func TestAnswerIsGivenOnce(t *testing.T) {
	tw := newTown(t, 2, true, "a", "b", "c", "d")
	tw.tick("c")
	tw.settleDown("a", "c")
	tw.settleDown("b", "c", "d")
	first := tw.homes["a"].asks[0].Question
	other := tw.homes["b"].asks[0].Question
	tw.wantStand(tw.question("b", "c", other), founding.Promised)
	tw.wantStand(tw.question("a", "c", first), founding.Refused)

	// The list of b dies; c is free, and stands by both answers.
	tw.do(tw.homes["c"], tw.homes["c"].core.Answered("d", founding.Answer{Cluster: other.List.Cluster, Stand: founding.Refused}))
	tw.wantFree("c", true)
	for range 2 {
		tw.wantStand(tw.question("a", "c", first), founding.Refused)
		tw.wantStand(tw.question("b", "c", other), founding.Refused)
		tw.restart("c")
		tw.tick("c")
	}
}

func TestPromiseOutlivesRestart(t *testing.T) {
	tw := newTown(t, 3, true, "a", "b", "c")
	tw.tick("b")
	tw.settleDown("a", "b", "c")
	tw.talk("a", "b")
	tw.restart("b")
	tw.tick("b")
	tw.wantFree("b", false)
	tw.wantStand(tw.ask("a", "b"), founding.Promised)
	if len(tw.homes["b"].asks) != 2 {
		t.Errorf("b asks %v, want a and c", tw.homes["b"].asks)
	}
}

func TestNothingIsSaidBeforeItIsKept(t *testing.T) {
	tw := newTown(t, 2, true, "a", "b")
	tw.tick("b")
	tw.settleDown("a", "b")
	b := tw.homes["b"].core
	disk := errors.New("disk full")
	step, err := b.Asked("a", tw.homes["a"].asks[0].Question)
	if err != nil {
		t.Fatal(err)
	}
	e, err := step.After(func([]byte) error { return disk })
	if !errors.Is(err, disk) || e.Answer != nil || e.Bootstrap != nil || b.Cluster() != "" {
		t.Fatalf("effects = %+v, %v; cluster %q; want none", e, err, b.Cluster())
	}
	e = tw.tick("b", "a") // now the disk is well
	if e.Bootstrap == nil || b.Cluster() != e.Bootstrap.Cluster || tw.homes["b"].cfg.Saved == nil {
		t.Errorf("effects = %+v; cluster %q, saved %x", e, b.Cluster(), tw.homes["b"].cfg.Saved)
	}
}

func TestNoPromiseBesideACluster(t *testing.T) {
	tw := newTown(t, 2, false, "a", "b", "c")
	tw.tick("c")
	tw.do(tw.homes["c"], tw.homes["c"].core.Admit("x", "elsewhere", founding.Append))
	tw.settleDown("a", "b")
	tw.tick("b", "c") // sees the cluster ID of c
	tw.wantStand(tw.ask("a", "b"), founding.Refused)
	l := tw.homes["a"].asks[0].Question
	l.List.Members[1] = tw.homes["c"].Member
	tw.wantStand(tw.question("a", "c", l), founding.Elsewhere)
}

func TestOneRefusalKillsTheList(t *testing.T) {
	tw := newTown(t, 3, false, "a", "b", "c")
	tw.tick("b")
	tw.tick("c", "b")
	tw.settleDown("a", "b", "c")
	tw.talk("a", "b")
	tw.do(tw.homes["a"], tw.homes["a"].core.Answered("c", founding.Answer{
		Cluster: tw.homes["a"].asks[0].Question.List.Cluster, Stand: founding.Refused,
	}))
	tw.wantFree("a", true)
	tw.again("b", "a", "c")
	tw.wantStand(tw.talk("b", "a"), founding.Refused)
	tw.wantFree("b", true)
}

func TestDeadAreNeverListenedTo(t *testing.T) {
	tw := newTown(t, 2, false, "a", "b")
	tw.settleDown("a", "b")
	q := tw.homes["a"].asks[0].Question
	tw.bury("b", "a", "a") // also where gossip says otherwise
	b := tw.homes["b"].core
	if got := b.Status().Seen; got != 1 {
		t.Errorf("sees %d nodes, want itself only", got)
	}
	if _, err := b.Asked("a", q); !errors.Is(err, founding.ErrDead) {
		t.Errorf("Asked = %v, want ErrDead", err)
	}
	if e := tw.do(tw.homes["b"], b.Admit("a", "x", founding.Append)); e.Admitted || !b.Forbids("a") {
		t.Error("traffic of the dead is taken")
	}

	tw = newTown(t, 3, false, "a", "b", "c")
	tw.tick("b")
	tw.settleDown("a", "b", "c")
	tw.ask("a", "b")
	tw.bury("b", "c", "a")
	tw.do(tw.homes["b"], tw.homes["b"].core.Answered("c", founding.Answer{
		Cluster: tw.homes["a"].asks[0].Question.List.Cluster, Stand: founding.Started,
	}))
	tw.wantStarted()
}

func TestQuestionsOfStrangers(t *testing.T) {
	tw := newTown(t, 2, false, "a", "b", "c")
	tw.settleDown("a", "b")
	q := tw.homes["a"].asks[0].Question
	if _, err := tw.homes["b"].core.Asked("a", q); !errors.Is(err, founding.ErrNotReady) {
		t.Errorf("before the first view: %v, want ErrNotReady", err)
	}
	tw.tick("b")
	tw.tick("c")
	if _, err := tw.homes["b"].core.Asked("c", q); !errors.Is(err, founding.ErrNotMember) {
		t.Errorf("asker not on the list: %v, want ErrNotMember", err)
	}
	if _, err := tw.homes["c"].core.Asked("a", q); !errors.Is(err, founding.ErrNotMember) {
		t.Errorf("asked not on the list: %v, want ErrNotMember", err)
	}
	q.List.Members = slices.Clone(q.List.Members)
	slices.Reverse(q.List.Members)
	if _, err := tw.homes["b"].core.Asked("a", q); !errors.Is(err, founding.ErrList) {
		t.Errorf("members out of order: %v, want ErrList", err)
	}
}

func TestRaftTraffic(t *testing.T) {
	tw := newTown(t, 3, false, "a", "b", "c")
	b := tw.homes["b"]
	admit := func(from, cluster string, kind founding.Traffic) bool {
		return tw.do(b, b.core.Admit(from, cluster, kind)).Admitted
	}
	tw.tick("b")
	if admit("x", "other", founding.Vote) || admit("x", "", founding.Append) {
		t.Error("an empty node votes, or takes what names no cluster")
	}
	tw.settleDown("a", "b", "c")
	tw.ask("a", "b")
	list := tw.homes["a"].asks[0].Question.List.Cluster
	if admit("c", "other", founding.Vote) || admit("x", "other", founding.Append) || admit("x", "other", founding.Added) || admit("x", list, founding.Vote) {
		t.Error("a bound node takes what is not of its list")
	}
	tw.wantStarted()
	if !admit("c", list, founding.Vote) { // proves that all have promised
		t.Error("a bound node does not take the traffic of its list")
	}
	tw.wantStarted("b")
	if admit("c", "other", founding.Append) || !admit("x", list, founding.Append) {
		t.Error("a node in a cluster takes what is not of its cluster")
	}
	for _, kind := range []founding.Traffic{founding.Append, founding.Added} {
		c := newTown(t, 3, true, "c")
		e := c.do(c.homes["c"], c.homes["c"].core.Admit("x", "other", kind))
		if !e.Admitted || e.Join != "other" || c.homes["c"].core.Cluster() != "other" {
			t.Errorf("added by a leader: %+v", e)
		}
		c.restart("c")
		if e := c.tick("c"); e.Join != "other" {
			t.Errorf("added, after a restart: %+v", e)
		}
	}
}

func TestConflictIsReportedOnce(t *testing.T) {
	tw := newTown(t, 1, false, "a", "b")
	for _, id := range []string{"a", "b"} {
		tw.settleDown(id)
	}
	want := []string{tw.homes["a"].started, tw.homes["b"].started}
	for _, id := range []string{"a", "b"} {
		other := map[string]string{"a": "b", "b": "a"}[id]
		if e := tw.tick(id, other); !slices.Equal(e.Conflict, want) {
			t.Errorf("%s reports %v, want %v", id, e.Conflict, want)
		}
		if e := tw.tick(id, other); e.Conflict != nil {
			t.Errorf("%s reports %v again", id, e.Conflict)
		}
		if e := tw.do(tw.homes[id], tw.homes[id].core.Admit(other, tw.homes[other].started, founding.Append)); e.Admitted {
			t.Errorf("%s takes traffic of the other cluster", id)
		}
	}
}

func TestRecoveredIsANewCluster(t *testing.T) {
	tw := newTown(t, 1, true, "a")
	tw.settleDown("a")
	tw.do(tw.homes["a"], tw.homes["a"].core.Recovered("second"))
	tw.restart("a")
	tw.tick("a")
	if got := tw.homes["a"].core.Cluster(); got != "second" {
		t.Errorf("cluster = %q, want second", got)
	}
}
