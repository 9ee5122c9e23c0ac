package sim_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster"
	"github.com/huddlecache/huddle/cluster/clustertest"
	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/locks"
)

const locksID = 3

// locksOptions describe a run.
type locksOptions struct {
	seed    uint64
	machine func(machine.Machine) machine.Machine // planted faults
	log     func(machine.Log) machine.Log
}

// A grant is a lock as its holder saw it.
type grant struct {
	name       string
	slots      int // 0 where it is shared
	token      uint64
	asked      time.Time // when Acquire was called
	begin, end time.Time // from its return until the release was begun, or Lost was closed
	pod        string
}

func (g grant) String() string {
	return fmt.Sprintf("%s %q slots %d token %d: asked %s, had from %s to %s",
		g.pod, g.name, g.slots, g.token, at(g.asked), at(g.begin), at(g.end))
}

func at(t time.Time) string { return t.UTC().Format("04:05.000000") }

// A locksWorld is a cluster whose clients hold and wait for locks, while it
// suffers.
type locksWorld struct {
	t       testing.TB
	o       locksOptions
	random  *rand.Rand
	cluster *clustertest.Cluster

	mu     sync.Mutex // guards what follows
	locks  map[*clustertest.Pod]*locks.Locks
	seats  []*clustertest.Pod
	grants []grant
	owed   []string // what was promised and not kept
}

// runLocks runs clients under faults, and returns what they saw and which
// promises were broken in the end.
func runLocks(t *testing.T, o locksOptions) *locksWorld {
	t.Helper()
	w := &locksWorld{o: o, random: rand.New(rand.NewPCG(o.seed, 7)), locks: map[*clustertest.Pod]*locks.Locks{}}
	synctest.Test(t, func(t *testing.T) {
		w.t = t
		w.cluster = clustertest.New(t, clustertest.Options{
			Seed: o.seed,
			Features: []cluster.Feature{{ID: locksID, New: func() machine.Machine {
				if o.machine != nil {
					return o.machine(locks.NewMachine())
				}
				return locks.NewMachine()
			}}},
			Configure: func(_ *clustertest.Pod, cfg *cluster.Config) { cfg.Snapshots = 32 },
		})
		t.Cleanup(func() {
			for _, l := range w.locks {
				l.Close()
			}
		})
		w.cluster.Add(3)
		w.cluster.WaitReady(20 * time.Second)
		w.sit()
		w.run()
	})
	return w
}

// sit tells clients which pods serve.
func (w *locksWorld) sit() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seats = w.cluster.Pods()
	for _, p := range w.seats {
		if w.locks[p] == nil {
			log := p.Node.Log(locksID)
			if w.o.log != nil {
				log = w.o.log(log)
			}
			w.locks[p] = locks.New(log)
		}
	}
}

// run has clients use two locks, and does things to the cluster meanwhile.
func (w *locksWorld) run() {
	ctx, stop := context.WithCancel(context.Background())
	var clients sync.WaitGroup
	for id := range 9 {
		c := &locksClient{w, rand.New(rand.NewPCG(w.o.seed, uint64(id)+100))}
		clients.Go(func() { c.run(ctx) })
	}
	for range 6 {
		w.trouble()
		w.sleep(2 * time.Second)
	}
	w.cluster.Net.HealAll()
	w.cluster.WaitReady(time.Minute)
	time.Sleep(3 * time.Second)
	stop()
	clients.Wait()
	w.settle()
}

func (w *locksWorld) sleep(most time.Duration) {
	time.Sleep(time.Duration(w.random.Int64N(int64(most))))
}

// trouble does one thing to the cluster, and ends it.
func (w *locksWorld) trouble() {
	pods := w.cluster.Pods()
	p := pods[w.random.IntN(len(pods))]
	if leader := w.cluster.Leader(); leader != nil && w.random.IntN(2) == 0 {
		p = leader
	}
	switch w.random.IntN(5) {
	case 0, 1:
		w.cluster.Net.Pause(p.Addr)
		w.sleep(4 * time.Second)
		w.cluster.Net.Resume(p.Addr)
	case 2:
		for _, o := range pods {
			if o != p && w.random.IntN(3) > 0 {
				w.cluster.Net.Partition([]string{p.Addr}, []string{o.Addr})
			}
		}
		w.sleep(6 * time.Second)
		w.cluster.Net.HealAll()
	case 3:
		w.cluster.WaitReady(time.Minute)
		w.cluster.Kill(p)
		w.sit()
		w.sleep(8 * time.Second)
		w.cluster.Add(1)
		w.cluster.WaitReady(time.Minute)
		w.sit()
	default:
		w.cluster.Add(1)
		w.cluster.WaitReady(time.Minute)
		w.sit()
		w.locks[p].Close()
		w.cluster.Stop(p)
		w.sit()
	}
}

// lockNames are few, so that clients are in each other's way.
var lockNames = []string{"a", "b"}

// settle looks whether anything is left once all clients have gone: the locks
// must be free, because everybody has released or given up theirs.
func (w *locksWorld) settle() {
	time.Sleep(time.Second)
	for _, name := range lockNames {
		l := w.locks[w.seats[0]]
		info, err := l.Info(context.Background(), name)
		dead := 0 // holders whose nodes died: they end by themselves
		for _, h := range info.Holders {
			if h.Left <= lockTTLMost {
				dead++
			}
		}
		if err != nil || info.Waiters > 0 || len(info.Holders) > dead {
			w.owed = append(w.owed, fmt.Sprintf("lock %q is not free: %+v, %v", name, info, err))
		}
		start := time.Now()
		lock, err := l.Acquire(context.Background(), name, locks.Options{Wait: lockTTLMost + 2*time.Second})
		if err != nil {
			w.owed = append(w.owed, fmt.Sprintf("lock %q is not to be had after %s: %v", name, time.Since(start), err))
			continue
		}
		if err := lock.Release(context.Background()); err != nil {
			w.owed = append(w.owed, err.Error())
		}
	}
}

const lockTTLMost = 3 * time.Second

// A locksClient acquires, holds and releases.
type locksClient struct {
	w      *locksWorld
	random *rand.Rand
}

func (c *locksClient) run(ctx context.Context) {
	for ctx.Err() == nil {
		c.once(ctx)
		c.pause(ctx, 500*time.Millisecond)
	}
}

func (c *locksClient) pause(ctx context.Context, most time.Duration) {
	timer := time.NewTimer(c.time(most))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (c *locksClient) time(most time.Duration) time.Duration {
	return time.Millisecond + time.Duration(c.random.Int64N(int64(most)))
}

// once has a lock once, or tries to.
func (c *locksClient) once(ctx context.Context) {
	c.w.mu.Lock()
	pod := c.w.seats[c.random.IntN(len(c.w.seats))]
	l := c.w.locks[pod]
	c.w.mu.Unlock()
	o := locks.Options{TTL: time.Second/2 + c.time(lockTTLMost-time.Second/2), Slots: 1 + c.random.IntN(8)/7, Wait: c.time(8 * time.Second)}
	if o.Slots == 1 && c.random.IntN(4) == 0 {
		o.Shared = true
	}
	g := grant{name: lockNames[c.random.IntN(len(lockNames))], slots: o.Slots, asked: time.Now(), pod: pod.Name}
	if o.Shared {
		g.slots = 0
	}
	patient := ctx
	if c.random.IntN(4) == 0 { // gives up without a word
		var cancel context.CancelFunc
		patient, cancel = context.WithTimeout(ctx, c.time(3*time.Second))
		defer cancel()
	}
	lock, err := l.Acquire(patient, g.name, o)
	if err != nil {
		return
	}
	g.token, g.begin = lock.Token(), time.Now()
	timer := time.NewTimer(c.time(2 * time.Second))
	defer timer.Stop()
	select {
	case <-lock.Lost():
	case <-timer.C:
	case <-ctx.Done():
	}
	g.end = time.Now()
	_ = lock.Release(context.Background()) // where it fails it goes on behind
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.w.grants = append(c.w.grants, g)
}

// checkLocks reports the first promise that a run has broken.
func checkLocks(w *locksWorld) error {
	grants := slices.Clone(w.grants)
	slices.SortFunc(grants, func(a, b grant) int { return cmp.Compare(a.token, b.token) })
	for i, g := range grants {
		for _, later := range grants[i+1:] {
			switch {
			case later.token == g.token:
				return fmt.Errorf("one token, two holders:\n%v\n%v", g, later)
			case later.begin.Before(g.asked):
				return fmt.Errorf("tokens do not grow:\n%v\n%v", g, later)
			case later.name == g.name && excludes(g, later) && later.begin.Before(g.end):
				return fmt.Errorf("two holders:\n%v\n%v", g, later)
			}
		}
	}
	if len(w.owed) > 0 {
		return errors.New(w.owed[0])
	}
	return nil
}

// excludes reports whether two may never have the same lock at once.
func excludes(a, b grant) bool {
	if a.slots == 0 || b.slots == 0 {
		return a.slots != b.slots
	}
	return min(a.slots, b.slots) == 1
}

func TestLocksUnderFaults(t *testing.T) {
	forSeeds(t, 4, func(t *testing.T, seed uint64) {
		w := runLocks(t, locksOptions{seed: seed})
		if err := checkLocks(w); err != nil {
			t.Errorf("HUDDLE_SEED=%d: %v", seed, err)
		}
		t.Logf("%d grants", len(w.grants))
		if len(w.grants) < 20 {
			t.Errorf("HUDDLE_SEED=%d: %d grants show little", seed, len(w.grants))
		}
	})
}
