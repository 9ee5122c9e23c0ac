package sim

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster"
	"github.com/huddlecache/huddle/cluster/clustertest"
	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/keyspace"
)

// Options describe a run. The zero value is three ephemeral pods and six
// clients.
type Options struct {
	Seed    uint64
	Pods    int  // 3
	Clients int  // 6
	Rounds  int  // of the nemesis; 3
	Durable bool // pods keep their state on disk
	Lost    bool // at the end a majority is killed at once, and a survivor recovers

	// Machine stands between the cluster and the keyspace, and Log between
	// clients and the cluster: planted faults.
	Machine func(machine.Machine) machine.Machine
	Log     func(machine.Log, *clustertest.Pod) machine.Log
	Calm    bool // no nemesis
	Hurry   bool // without the idle minute at the end
}

func (o Options) complete() Options {
	if o.Pods == 0 {
		o.Pods = 3
	}
	if o.Clients == 0 {
		o.Clients = 6
	}
	if o.Rounds == 0 {
		o.Rounds = 3
	}
	return o
}

// oweTime is within how much time a whole cluster must answer what clients
// repeat.
const oweTime = time.Minute

// feature is the number of the keyspace in the log.
const feature = 1

// snapshotsEvery is small, so that snapshots are taken and installed often.
const snapshotsEvery = 64

// A world is one run.
type world struct {
	t       testing.TB
	o       Options
	random  *rand.Rand // the nemesis' own
	cluster *clustertest.Cluster
	rec     *recorder
	seats   seats
	disks   map[string]*clustertest.Disk // pod -> its disk
	clocks  map[string]*atomic.Int64     // pod -> by how much its wall clock is ahead
}

// Run runs a cluster under faults and returns what its clients saw.
func Run(t *testing.T, o Options) *History {
	t.Helper()
	o = o.complete()
	var h *History
	synctest.Test(t, func(t *testing.T) {
		h = newWorld(t, o).run()
	})
	return h
}

func newWorld(t testing.TB, o Options) *world {
	w := &world{
		t: t, o: o, random: rand.New(rand.NewPCG(o.Seed, 0)),
		rec:    &recorder{began: time.Now(), h: History{Seed: o.Seed}},
		disks:  map[string]*clustertest.Disk{},
		clocks: map[string]*atomic.Int64{},
	}
	w.cluster = clustertest.New(t, clustertest.Options{
		Seed:      o.Seed,
		Durable:   o.Durable,
		Features:  []cluster.Feature{{ID: feature, New: w.newMachine}},
		Configure: w.configure,
		Expect:    o.Pods - o.Pods/3,
	})
	return w
}

func (w *world) newMachine() machine.Machine {
	if w.o.Machine == nil {
		return keyspace.New()
	}
	return w.o.Machine(keyspace.New())
}

// configure gives a pod a clock and a disk that can be hurt.
func (w *world) configure(p *clustertest.Pod, cfg *cluster.Config) {
	ahead := &atomic.Int64{}
	w.clocks[p.Name] = ahead
	cfg.WallTime = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	cfg.Snapshots = snapshotsEvery
	if w.o.Durable {
		if w.disks[p.Name] == nil {
			w.disks[p.Name] = &clustertest.Disk{}
		}
		cfg.Logs = w.disks[p.Name].Wrap
		cfg.NoSync = true // the processes are killed, not the machine
	}
}

func (w *world) run() *History {
	w.cluster.Add(w.o.Pods)
	w.cluster.WaitReady(20 * time.Second)
	w.refresh()
	stop := w.clients()
	if !w.o.Calm {
		w.nemesis()
	} else {
		time.Sleep(time.Duration(w.o.Rounds) * 2 * time.Second)
	}
	w.whole()
	stop()
	if w.o.Lost {
		w.loseMajority()
	}
	w.settle()
	return &w.rec.h
}

// clients starts the clients, and returns what stops them once everything
// owed is paid.
func (w *world) clients() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	var running sync.WaitGroup
	for id := range w.o.Clients {
		c := &client{
			id: id, seats: &w.seats, rec: w.rec,
			random: rand.New(rand.NewPCG(w.o.Seed, uint64(id)+1)),
		}
		running.Go(func() { c.run(ctx, done) })
	}
	stop = sync.OnceFunc(func() {
		close(done)
		late := time.AfterFunc(oweTime, func() {
			w.rec.event("gave up: clients still wait for what they owe")
			cancel()
		})
		running.Wait()
		late.Stop()
		cancel()
	})
	w.t.Cleanup(func() { // for a run that has failed
		if w.t.Failed() {
			w.t.Logf("HUDDLE_SEED=%d\n%s", w.o.Seed, w.rec.h.Story())
		}
		cancel()
		for _, at := range w.seats.all() {
			w.seats.resume(at.pod)
		}
		stop()
	})
	return stop
}

// refresh tells the clients which pods serve.
func (w *world) refresh() {
	was := map[*cluster.Node]*seat{}
	for _, at := range w.seats.all() {
		was[at.node] = at
	}
	var list []*seat
	for _, p := range w.cluster.Pods() {
		at := was[p.Node]
		if at == nil {
			at = &seat{pod: p.Name, node: p.Node, log: w.log(p), open: make(chan struct{})}
			close(at.open)
		}
		list = append(list, at)
	}
	w.seats.set(list)
}

func (w *world) log(p *clustertest.Pod) machine.Log {
	log := p.Node.Log(feature)
	if w.o.Log != nil {
		log = w.o.Log(log, p)
	}
	return log
}
