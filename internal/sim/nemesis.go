package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/huddlecache/huddle/cluster/clustertest"
)

// wholeTime is within how much time a cluster must have all its voters again
// once nothing disturbs it.
const wholeTime = 90 * time.Second

// errDisk is what a failing disk says.
var errDisk = errors.New("no space left on the disk")

// nemesis does one thing after another to the cluster.
func (w *world) nemesis() {
	for range w.o.Rounds {
		w.weather()
		switch n := w.random.IntN(10); {
		case n < 4:
			w.replace()
		case n < 7:
			w.storm()
		default:
			w.siege()
		}
		w.sleep(2 * time.Second)
	}
}

// siege makes trouble twice at once, for long.
func (w *world) siege() {
	end := w.trouble()
	w.sleep(2 * time.Second)
	also := w.trouble()
	w.sleep(6 * time.Second)
	end()
	w.sleep(time.Second)
	also()
}

// storm makes short troubles, one after another: each about as long as it
// takes to elect a leader.
func (w *world) storm() {
	for range 8 {
		end := w.trouble()
		w.sleep(1500 * time.Millisecond)
		end()
		w.sleep(800 * time.Millisecond)
	}
}

func (w *world) chance(p float64) bool { return w.random.Float64() < p }

// sleep waits for a random time.
func (w *world) sleep(most time.Duration) { time.Sleep(time.Duration(w.random.Int64N(int64(most)))) }

// weather makes the whole network slower or worse.
func (w *world) weather() {
	slow, loss := time.Duration(0), 0.0
	switch w.random.IntN(4) {
	case 0:
		slow = 2 * time.Millisecond
	case 1:
		slow = 30 * time.Millisecond
	case 2:
		slow, loss = 5*time.Millisecond, 0.2
	}
	if slow > 0 {
		w.rec.event("messages take up to %s, %.0f %% of packets are lost", slow, 100*loss)
	}
	pods := w.cluster.Pods()
	for _, a := range pods {
		for _, b := range pods {
			if a != b {
				w.cluster.Net.Delay(a.Addr, b.Addr, 0, slow)
				w.cluster.Net.Packets(a.Addr, b.Addr, clustertest.PacketFaults{Loss: loss, Duplicate: loss / 2, Reorder: loss})
			}
		}
	}
}

// pick chooses a pod, the leader as often as all others together.
func (w *world) pick() *clustertest.Pod {
	pods := w.cluster.Pods()
	if leader := w.cluster.Leader(); leader != nil && w.chance(0.5) {
		return leader
	}
	return pods[w.random.IntN(len(pods))]
}

// trouble begins something from which the cluster recovers by itself once it
// is ended.
func (w *world) trouble() (end func()) {
	p := w.pick()
	switch n := w.random.IntN(8); {
	case n < 2:
		return w.cut(p)
	case n < 4:
		return w.partition(p)
	case n < 6:
		return w.pause(p)
	case n < 7 && w.o.Durable:
		return w.hurtDisk(p)
	default:
		return w.jump(p)
	}
}

// cut cuts some of the links of a pod, one way or both.
func (w *world) cut(p *clustertest.Pod) (end func()) {
	var names []string
	var heal []func()
	cut := func(from, to string) {
		w.cluster.Net.Cut(from, to)
		heal = append(heal, func() { w.cluster.Net.Heal(from, to) })
	}
	ways := 1 + w.random.IntN(3)
	for _, o := range w.cluster.Pods() {
		if o == p || w.chance(0.4) {
			continue
		}
		names = append(names, o.Name)
		if ways&1 != 0 {
			cut(p.Addr, o.Addr)
		}
		if ways&2 != 0 {
			cut(o.Addr, p.Addr)
		}
	}
	what := []string{"", "what it sends", "what is sent to it", "both ways"}[ways]
	w.rec.event("cut %s from %s: %s", p.Name, strings.Join(names, ", "), what)
	return func() {
		for _, fn := range heal {
			fn()
		}
		w.rec.event("healed %s", p.Name)
	}
}

// partition cuts some pods from the others.
func (w *world) partition(p *clustertest.Pod) (end func()) {
	one, other := []string{p.Addr}, []string{}
	names := []string{p.Name}
	for _, o := range w.cluster.Pods() {
		switch {
		case o == p:
		case w.chance(0.3):
			one = append(one, o.Addr)
			names = append(names, o.Name)
		default:
			other = append(other, o.Addr)
		}
	}
	w.cluster.Net.Partition(one, other)
	w.rec.event("cut %s from all others", strings.Join(names, ", "))
	return func() {
		for _, a := range one {
			for _, b := range other {
				w.cluster.Net.Heal(a, b)
				w.cluster.Net.Heal(b, a)
			}
		}
		w.rec.event("healed %s", strings.Join(names, ", "))
	}
}

// pause holds everything back that a pod sends or gets, its clients included.
func (w *world) pause(p *clustertest.Pod) (end func()) {
	w.rec.event("paused %s", p.Name)
	w.seats.pause(p.Name)
	w.cluster.Net.Pause(p.Addr)
	addr, clientsFirst := p.Addr, w.chance(0.5)
	return func() {
		if p.Node == nil || p.Addr != addr {
			return // it was killed meanwhile
		}
		w.rec.event("resumed %s", p.Name)
		if clientsFirst {
			w.seats.resume(p.Name)
		}
		w.cluster.Net.Resume(addr)
		w.seats.resume(p.Name)
	}
}

// jump sets a pod's wall clock wrong by an hour, for good.
func (w *world) jump(p *clustertest.Pod) (end func()) {
	by := time.Hour
	if w.chance(0.5) {
		by = -by
	}
	w.rec.event("the clock of %s jumps by %s", p.Name, by)
	w.clocks[p.Name].Add(int64(by))
	return func() {}
}

// hurtDisk makes a disk hang or fail.
func (w *world) hurtDisk(p *clustertest.Pod) (end func()) {
	disk := w.disks[p.Name]
	if w.chance(0.5) {
		disk.Hang()
		w.rec.event("the disk of %s hangs", p.Name)
		return func() {
			disk.Release()
			w.rec.event("the disk of %s goes on", p.Name)
		}
	}
	disk.Fail(errDisk)
	w.rec.event("the disk of %s is full", p.Name)
	return func() {
		disk.Fail(nil)
		w.rec.event("the disk of %s has room", p.Name)
	}
}

// replace ends a pod, in order or not, and starts it again or another one.
// The cluster is whole before, or a majority of its memories could be lost.
func (w *world) replace() {
	w.whole()
	added := w.chance(0.3)
	if added {
		w.add()
		w.sleep(10 * time.Second)
	}
	end := func() {}
	if w.chance(0.3) {
		end = w.trouble()
		w.sleep(time.Second) // too short for anybody to be taken for dead
	}
	p := w.pick()
	if w.chance(0.5) {
		end()
		end = func() {}
		w.stop(p)
	} else {
		w.kill(p)
	}
	w.sleep(4 * time.Second)
	switch {
	case added && !w.o.Durable:
	case w.o.Durable:
		w.restart(p, w.chance(0.5))
	case w.chance(0.5):
		w.restart(p, false)
	default:
		w.add()
	}
	w.sleep(3 * time.Second)
	end()
}

func (w *world) add() {
	p := w.cluster.Add(1)[0]
	w.rec.event("started %s", p.Name)
	w.refresh()
}

func (w *world) stop(p *clustertest.Pod) {
	w.rec.event("stopping %s", p.Name)
	w.cluster.Stop(p)
	w.rec.event("stopped %s", p.Name)
	w.refresh()
}

// kill kills a pod, and loses what its disk had not written yet.
func (w *world) kill(p *clustertest.Pod) {
	w.seats.resume(p.Name)
	if disk := w.disks[p.Name]; disk != nil {
		if w.chance(0.5) {
			disk.Hang()
			w.sleep(50 * time.Millisecond)
		}
		disk.Crash()
	}
	w.cluster.Kill(p)
	w.rec.event("killed %s", p.Name)
	w.refresh()
}

func (w *world) restart(p *clustertest.Pod, move bool) {
	w.cluster.Restart(p, move)
	w.rec.event("started %s again, at %s", p.Name, p.Addr)
	w.refresh()
}

// whole waits until every pod is a ready member, as many vote as should, and
// nobody is a member who is gone.
func (w *world) whole() {
	w.t.Helper()
	w.rec.event("waiting until all is well")
	w.await(wholeTime, "the cluster to be whole again", w.missing)
	w.rec.event("all is well")
}

// await waits until nothing is missing, and fails the run if that takes longer
// than most.
func (w *world) await(most time.Duration, what string, missing func() string) {
	w.t.Helper()
	for start := time.Now(); ; time.Sleep(lookEvery) {
		lacks := missing()
		if lacks == "" {
			return
		}
		if time.Since(start) > most {
			w.fail(fmt.Sprintf("waited %s in vain for %s: missing is %s", most, what, lacks))
		}
	}
}

// fail ends a run that cannot go on.
func (w *world) fail(reason string) {
	w.t.Helper()
	var b strings.Builder
	for _, p := range w.cluster.Pods() {
		fmt.Fprintf(&b, "%s at %s: ready: %v\n%+v\n", p.Name, p.Addr, p.Node.Ready(), p.Node.Status(context.Background()))
	}
	w.t.Fatalf("HUDDLE_SEED=%d: %s\n%s", w.o.Seed, reason, b.String())
}

// missing says what is missing for the cluster to be whole.
func (w *world) missing() string {
	pods := w.cluster.Pods()
	for _, p := range pods {
		if err := p.Node.Ready(); err != nil {
			return p.Name + " is " + err.Error()
		}
	}
	leader := w.cluster.Leader()
	if leader == nil {
		return "a leader"
	}
	status := leader.Node.Status(w.t.Context())
	var ids []string
	voters := 0
	for _, m := range status.Members {
		if m.Role == "joining" {
			continue
		}
		if m.Role != "nonvoter" {
			voters++
		}
		ids = append(ids, m.ID)
	}
	for _, p := range pods {
		if !slices.Contains(ids, p.Node.ID()) {
			return p.Name + " is no member"
		}
	}
	switch want := votersOf(len(pods)); {
	case len(ids) != len(pods):
		return "the removal of the dead"
	case voters != want:
		return "voters"
	case !status.Quorum:
		return "a quorum"
	}
	return ""
}

// votersOf is how many of so many pods vote, at most five.
func votersOf(pods int) int {
	if pods == 2 {
		return 2
	}
	return min(5, pods-1+pods%2)
}
