package keyspace_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestNoElementIsLostOrDoubled has waiters come and go at random, with those
// who push and those who pop without waiting, while nodes fall silent and are
// removed: each element is popped once, and in its place; and whoever is in
// line is offered what there is in the order in which they came.
func TestNoElementIsLostOrDoubled(t *testing.T) {
	seed := rand.Uint64()
	var served, lapsed, crossed int
	for run := range 40 {
		l := newLine(t, rand.New(rand.NewPCG(seed, uint64(run))))
		l.note([]string{"seed", fmt.Sprint(seed), "run", fmt.Sprint(run)})
		steps := []func(){
			l.push, l.push, l.push, l.block, l.block, l.block, l.attend, l.attend, l.attend, l.steal,
			l.pass, l.pass, l.rename, l.die, l.restore,
		}
		for range 200 {
			steps[l.rng.IntN(len(steps))]()
			l.check()
			if t.Failed() {
				t.Fatalf("seed %d, run %d", seed, run)
			}
		}
		served, lapsed, crossed = served+l.served, lapsed+l.lapsed, crossed+l.crossed
		for origin := range uint64(4) {
			l.space.OriginClosed(l.tx(), origin)
		}
		l.apply("FLUSHALL")
		if got := l.space.Size(); got != 0 {
			t.Errorf("seed %d, run %d: size %d of nothing", seed, run, got)
		}
		if len(l.shell.index) > 0 {
			t.Errorf("seed %d, run %d: deadlines are left: %v", seed, run, l.shell.index)
		}
	}
	if served < 60 || lapsed < 10 || crossed < 3 {
		t.Errorf("the test is weak: %d were served, %d offers passed, %d found nothing", served, lapsed, crossed)
	}
	t.Logf("seed %d: %d were served, %d offers passed, %d found nothing", seed, served, lapsed, crossed)
}
