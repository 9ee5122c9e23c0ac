package founding_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/internal/founding"
)

// town is a few cores whose questions and answers a test delivers as it
// likes.
type town struct {
	t     *testing.T
	now   time.Duration
	homes map[string]*home
}

// home is one identity of a town.
type home struct {
	founding.Member
	core    *founding.Core
	cfg     founding.Config
	asks    []founding.Ask
	started string // cluster ID of the list that it was told to bootstrap
	left    bool   // has given up its identity
}

// newTown makes homes of the given IDs, with EXPECT as given.
func newTown(t *testing.T, expect int, durable bool, ids ...string) *town {
	t.Helper()
	tw := &town{t: t, homes: map[string]*home{}}
	for _, id := range ids {
		tw.settle(id, expect, durable)
	}
	return tw
}

func (tw *town) settle(id string, expect int, durable bool) *home {
	h := &home{Member: founding.Member{ID: id, Name: "name-" + id, Addr: "addr-" + id, Durable: durable}}
	h.cfg = founding.Config{Self: h.Member, Expect: expect, NewClusterID: func() string {
		return fmt.Sprintf("%s@%v", id, tw.now)
	}}
	tw.homes[id] = h
	tw.restart(id)
	return h
}

// restart makes the core of an identity again, from what it has kept.
func (tw *town) restart(id string) {
	tw.t.Helper()
	h := tw.homes[id]
	core, err := founding.New(h.cfg)
	if err != nil {
		tw.t.Fatalf("New: %v", err)
	}
	h.core, h.asks = core, nil
}

func (tw *town) do(h *home, s founding.Step) founding.Effects {
	tw.t.Helper()
	e, err := s.After(func(state []byte) error {
		h.cfg.Saved = slices.Clone(state)
		return nil
	})
	if err != nil {
		tw.t.Fatalf("After: %v", err)
	}
	h.asks = append(h.asks, e.Ask...)
	if e.Bootstrap != nil {
		h.started = e.Bootstrap.Cluster
	}
	h.left = h.left || e.NewIdentity
	return e
}

// view is what a node sees if the given others are alive.
func (tw *town) view(alive ...string) founding.View {
	v := founding.View{Now: tw.now}
	for _, id := range alive {
		h := tw.homes[id]
		v.Alive = append(v.Alive, founding.Peer{Member: h.Member, Cluster: h.core.Cluster()})
	}
	return v
}

// tick shows a node the given others.
func (tw *town) tick(id string, alive ...string) founding.Effects {
	tw.t.Helper()
	return tw.do(tw.homes[id], tw.homes[id].core.Tick(tw.view(alive...)))
}

// bury tells a node that another one is dead, while the given others live.
func (tw *town) bury(id, dead string, alive ...string) founding.Effects {
	tw.t.Helper()
	v := tw.view(alive...)
	v.Dead = []string{dead}
	return tw.do(tw.homes[id], tw.homes[id].core.Tick(v))
}

// settleDown ticks a node twice, so that its view stands still.
func (tw *town) settleDown(id string, alive ...string) {
	tw.t.Helper()
	tw.tick(id, alive...)
	tw.now += founding.DefaultStill
	tw.tick(id, alive...)
}

// ask delivers the last question of a node about its list to another one,
// and returns the answer, not delivered.
func (tw *town) ask(from, to string) founding.Answer {
	tw.t.Helper()
	asks := tw.homes[from].asks
	for i := len(asks) - 1; i >= 0; i-- {
		if asks[i].To == to {
			return tw.question(from, to, asks[i].Question)
		}
	}
	tw.t.Fatalf("%s does not ask %s", from, to)
	return founding.Answer{}
}

func (tw *town) question(from, to string, q founding.Question) founding.Answer {
	tw.t.Helper()
	step, err := tw.homes[to].core.Asked(from, q)
	if err != nil {
		tw.t.Fatalf("%s asked by %s: %v", to, from, err)
	}
	return *tw.do(tw.homes[to], step).Answer
}

// talk delivers a question and its answer.
func (tw *town) talk(from, to string) founding.Answer {
	tw.t.Helper()
	a := tw.ask(from, to)
	tw.do(tw.homes[from], tw.homes[from].core.Answered(to, a))
	return a
}

// again lets a node, which sees the given others, ask again.
func (tw *town) again(id string, alive ...string) {
	tw.t.Helper()
	tw.now += time.Second
	tw.homes[id].asks = nil
	tw.tick(id, alive...)
}

func (tw *town) wantStand(got founding.Answer, want founding.Stand) {
	tw.t.Helper()
	if got.Stand != want {
		tw.t.Errorf("stand = %d, want %d", got.Stand, want)
	}
}

// wantStarted checks which nodes have started a list.
func (tw *town) wantStarted(want ...string) {
	tw.t.Helper()
	var got []string
	for id, h := range tw.homes {
		if h.started != "" {
			got = append(got, id)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		tw.t.Errorf("started = %v, want %v", got, want)
	}
}

// wantFree checks that a node is bound to nothing and in nothing.
func (tw *town) wantFree(id string, want bool) {
	tw.t.Helper()
	c := tw.homes[id].core
	if got := !c.Promises() && c.Cluster() == ""; got != want {
		tw.t.Errorf("%s free = %v, want %v (%+v)", id, got, want, c.Status())
	}
}
