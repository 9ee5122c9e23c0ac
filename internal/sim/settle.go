package sim

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/huddlecache/huddle/cluster"
	"github.com/huddlecache/huddle/cluster/clustertest"
	"github.com/huddlecache/huddle/cluster/machine"
)

const (
	restTime = 8 * time.Second // in which every deadline that clients have set has come
	idleTime = time.Minute
)

// settle collects what all nodes hold at the end, and how idle they are.
func (w *world) settle() {
	w.whole()
	time.Sleep(restTime)
	w.whole()
	keys := w.rec.h.keys()
	w.lastReads(keys)
	w.await(10*time.Second, "all nodes to have applied the same", w.unequal)
	for _, p := range w.cluster.Pods() {
		w.rec.h.Replicas = append(w.rec.h.Replicas, w.replica(p, keys))
	}
	w.rec.h.Term = w.cluster.Pods()[0].Node.Status(context.Background()).Term
	w.rec.h.Idle[0] = w.index()
	if !w.o.Hurry {
		time.Sleep(idleTime)
	}
	w.rec.h.Idle[1] = w.index()
}

// unequal says how far the nodes are if that differs.
func (w *world) unequal() string {
	var indexes []uint64
	for _, p := range w.cluster.Pods() {
		indexes = append(indexes, p.Node.Status(context.Background()).Index)
	}
	if slices.Min(indexes) == slices.Max(indexes) {
		return ""
	}
	return fmt.Sprint(indexes)
}

func (w *world) index() (newest uint64) {
	for _, p := range w.cluster.Pods() {
		newest = max(newest, p.Node.Status(context.Background()).Index)
	}
	return newest
}

// lastReads reads every key through a random node.
func (w *world) lastReads(keys []string) {
	w.refresh()
	c := &client{id: -1, random: w.random, seats: &w.seats, rec: w.rec}
	for _, key := range keys {
		c.sit()
		c.do(context.Background(), c.op(Get, key))
	}
}

// replica reads what one node holds, without asking any other.
func (w *world) replica(p *clustertest.Pod, keys []string) Replica {
	r := Replica{Pod: p.Name, Keys: map[string]string{}}
	log := p.Node.Log(feature)
	ask := func(args ...string) string {
		reply, stamp, err := log.Query(context.Background(), machine.Local, command(args...))
		if err != nil {
			w.t.Errorf("reading the replica of %s: %v", p.Name, err)
		}
		r.Index = stamp.Index
		return string(reply)
	}
	for _, key := range keys {
		r.Keys[key] = ask("GET", key)
	}
	r.Keys["(number of keys)"] = ask("DBSIZE")
	return r
}

// loseMajority kills more than half of the pods at once, does what a survivor
// says, and starts as many again.
func (w *world) loseMajority() {
	time.Sleep(time.Second)
	pods := w.cluster.Pods()
	w.random.Shuffle(len(pods), func(i, j int) { pods[i], pods[j] = pods[j], pods[i] })
	lost := len(pods)/2 + 1
	for _, p := range pods[:lost] {
		w.kill(p)
	}
	survivors := pods[lost:]
	time.Sleep(20 * time.Second)
	seed := w.advised(survivors[w.random.IntN(len(survivors))], survivors)
	report, err := seed.Node.Recover(context.Background(), cluster.RecoverOptions{})
	w.rec.event("recovered %s: %s", seed.Name, report)
	if err != nil {
		w.fail(fmt.Sprintf("recovering: %v", err))
	}
	for _, p := range survivors {
		if p != seed {
			w.kill(p)
			w.restart(p, false)
		}
	}
	for range lost {
		w.add()
	}
}

// advised is the pod on which a survivor says to recover.
func (w *world) advised(asked *clustertest.Pod, survivors []*clustertest.Pod) *clustertest.Pod {
	problems := strings.Join(asked.Node.Status(context.Background()).Problems, "\n")
	_, advice, _ := strings.Cut(problems, "run on ")
	for _, p := range survivors {
		if strings.HasPrefix(advice, p.Name+" ") && strings.Contains(advice, "huddle recover") {
			return p
		}
	}
	w.fail("nobody is named to recover on: " + problems)
	return nil
}
