package sim_test

import (
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
	"github.com/huddlecache/huddle/counters"
)

const countersID = 4

// limitsOptions describe a run.
type limitsOptions struct {
	seed    uint64
	machine func(machine.Machine) machine.Machine // a planted fault
}

// A limitsWorld is a cluster whose limits are taken from, while it suffers.
type limitsWorld struct {
	t       testing.TB
	random  *rand.Rand // what happens to the cluster
	cluster *clustertest.Cluster

	mu      sync.Mutex // guards what follows
	seats   []limitsSeat
	applied map[place]application // by all nodes
	calls   []*limitCall
	broken  []string // replicas that applied another thing than others
}

// A limitsSeat is where calls are made: at a node that runs.
type limitsSeat struct {
	pod      string
	counters *counters.Counters
}

// A place is one in the log.
type place struct {
	index    uint64
	position uint32
}

// An application is what a command did, as the machine that it was applied to
// was told.
type application struct {
	at         time.Duration // lease time
	cmd, reply string
}

// A limitCall is what a client asked for, and was answered in the end.
type limitCall struct {
	limit    counters.Limit
	client   int
	idem     string
	answered bool
	result   counters.Result
}

// A witness is a machine whose commands are noted.
type witness struct {
	machine.Machine
	world *limitsWorld
}

func (m witness) Apply(tx *machine.Tx, cmd []byte) []byte {
	did := application{at: tx.Lease, cmd: string(cmd)}
	reply := m.Machine.Apply(tx, cmd)
	did.reply = string(reply)
	m.world.mu.Lock()
	defer m.world.mu.Unlock()
	where := place{tx.Index, tx.Position}
	if before, found := m.world.applied[where]; found && before != did {
		m.world.broken = append(m.world.broken, fmt.Sprintf("%v: %q %x and %q %x", where, before.cmd, before.reply, did.cmd, did.reply))
	}
	m.world.applied[where] = did
	return reply
}

func (m witness) Rebase(tx *machine.Tx, shift time.Duration) {
	m.Machine.(machine.Rebaser).Rebase(tx, shift)
}

// runLimits has three pods serve while run goes on.
func runLimits(t *testing.T, o limitsOptions, run func(t *testing.T, w *limitsWorld)) *limitsWorld {
	t.Helper()
	w := &limitsWorld{random: rand.New(rand.NewPCG(o.seed, 0)), applied: map[place]application{}}
	synctest.Test(t, func(t *testing.T) {
		w.t = t
		w.cluster = clustertest.New(t, clustertest.Options{
			Seed: o.seed,
			Features: []cluster.Feature{{ID: countersID, New: func() machine.Machine {
				m := counters.NewMachine()
				if o.machine != nil {
					m = o.machine(m)
				}
				return witness{m, w}
			}}},
			Configure: func(_ *clustertest.Pod, cfg *cluster.Config) { cfg.Snapshots = 16 },
		})
		w.cluster.Add(3)
		w.cluster.WaitReady(20 * time.Second)
		w.sit()
		run(t, w)
	})
	return w
}

// sit tells clients which pods serve.
func (w *limitsWorld) sit() {
	w.mu.Lock()
	defer w.mu.Unlock()
	var seats []limitsSeat
	for _, p := range w.cluster.Pods() {
		i := slices.IndexFunc(w.seats, func(s limitsSeat) bool { return s.pod == p.Name })
		if i >= 0 {
			seats = append(seats, w.seats[i])
		} else {
			seats = append(seats, limitsSeat{p.Name, counters.New(p.Node.Log(countersID))})
		}
	}
	w.seats = seats
}

func (w *limitsWorld) seat(random *rand.Rand) *counters.Counters {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seats[random.IntN(len(w.seats))].counters
}

// replace replaces every pod by a new one, the leader among them: some are
// stopped in order, some killed.
func (w *limitsWorld) replace() {
	for _, old := range w.cluster.Pods() {
		w.cluster.Add(1)
		w.cluster.WaitReady(time.Minute)
		w.sit()
		time.Sleep(time.Duration(w.random.Int64N(int64(4 * time.Second))))
		if w.random.IntN(2) == 0 {
			w.cluster.Kill(old)
		} else {
			w.cluster.Stop(old)
		}
		w.sit()
		time.Sleep(time.Duration(w.random.Int64N(int64(8 * time.Second))))
	}
}

// disturb cuts and pauses pods for a while.
func (w *limitsWorld) disturb(rounds int) {
	for range rounds {
		pods := w.cluster.Pods()
		p := pods[w.random.IntN(len(pods))]
		if leader := w.cluster.Leader(); leader != nil && w.random.IntN(2) == 0 {
			p = leader
		}
		if w.random.IntN(2) == 0 {
			w.cluster.Net.Pause(p.Addr)
			w.sleep(3 * time.Second)
			w.cluster.Net.Resume(p.Addr)
		} else {
			for _, o := range pods {
				if o != p {
					w.cluster.Net.Partition([]string{p.Addr}, []string{o.Addr})
				}
			}
			w.sleep(3 * time.Second)
			w.cluster.Net.HealAll()
		}
		w.sleep(2 * time.Second)
	}
}

func (w *limitsWorld) sleep(most time.Duration) {
	time.Sleep(time.Duration(w.random.Int64N(int64(most))))
}

// clients have each make calls, one after another at random times within about
// a length of time, and each call until it is answered: by any node, under one
// idempotency key. They return what waits for all of it.
func (w *limitsWorld) clients(seed uint64, n, calls int, over time.Duration, limits ...counters.Limit) (wait func()) {
	var running sync.WaitGroup
	for id := range n {
		random := rand.New(rand.NewPCG(seed, uint64(id)+1))
		running.Go(func() {
			for i := range calls {
				time.Sleep(time.Duration(random.Int64N(2 * int64(over) / int64(calls))))
				c := &limitCall{limit: limits[random.IntN(len(limits))], client: id, idem: fmt.Sprintf("%d.%d", id, i)}
				w.mu.Lock()
				w.calls = append(w.calls, c)
				w.mu.Unlock()
				w.ask(c, random)
			}
		})
	}
	return running.Wait
}

// ask repeats a call until it is answered, for half a minute.
func (w *limitsWorld) ask(c *limitCall, random *rand.Rand) {
	for range 100 {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		results, err := w.seat(random).TakeAll(ctx, counters.WriteOptions{Idem: c.idem}, c.limit)
		cancel()
		if err == nil {
			c.answered, c.result = true, results[0]
			return
		}
		if errors.Is(err, counters.ErrInvalid) {
			w.t.Errorf("%+v: %v", c.limit, err)
			return
		}
		time.Sleep(300 * time.Millisecond)
	}
}

// ten is a limit of ten for longer than a run.
func ten(a counters.Algorithm) counters.Limit {
	return counters.Limit{Name: "ten, " + a.String(), Algorithm: a, Limit: 10, Window: 240 * time.Hour}
}

// checkTen returns an error unless exactly ten calls of each limit were
// admitted, each of which has been called more often.
func checkTen(w *limitsWorld) error {
	asked, admitted, unknown := map[string]int{}, map[string]int{}, 0
	for _, c := range w.calls {
		asked[c.limit.Name]++
		switch {
		case !c.answered:
			unknown++
		case c.result.Allowed:
			admitted[c.limit.Name]++
		}
	}
	for name, n := range asked {
		if got := admitted[name]; got > 10 || got+unknown < min(10, n) {
			return fmt.Errorf("%s: %d of %d calls were admitted and %d never answered, want 10", name, got, n, unknown)
		}
	}
	return nil
}

// TestExactlyTenOfTenWhileAllNodesAreReplaced is the case in which a cache that
// every node has for itself, or that hands its entries over, admits more: 16
// calls for each limit are spread over the time in which all three nodes are
// replaced, and every call is repeated until it is answered.
func TestExactlyTenOfTenWhileAllNodesAreReplaced(t *testing.T) {
	forSeeds(t, 4, func(t *testing.T, seed uint64) {
		w := runLimits(t, limitsOptions{seed: seed}, replaceWhileTaking(seed))
		if err := errors.Join(checkTen(w), checkApplied(w)); err != nil {
			t.Errorf("HUDDLE_SEED=%d: %v", seed, err)
		}
		for _, c := range w.calls {
			if !c.answered {
				t.Errorf("HUDDLE_SEED=%d: call %s was never answered", seed, c.idem)
			}
		}
	})
}

func replaceWhileTaking(seed uint64) func(*testing.T, *limitsWorld) {
	return func(_ *testing.T, w *limitsWorld) {
		wait := w.clients(seed, 6, 8, 40*time.Second, ten(counters.FixedWindow), ten(counters.SlidingWindow), ten(counters.TokenBucket))
		w.replace()
		wait()
	}
}
