package sim

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster"
	"github.com/huddlecache/huddle/cluster/clustertest"
	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/keyspace"
)

const (
	troubleTime = 25 * time.Second  // in which founding is disturbed
	foundTime   = 100 * time.Second // in which undisturbed pods must be one cluster
	lookEvery   = 400 * time.Millisecond
)

// FoundingOptions describe a founding.
type FoundingOptions struct {
	Seed    uint64
	Pods    int
	Expect  int
	Durable bool
	Split   bool // two halves of the pods do not see each other until they have had time to found
}

// A Founding is what pods did that had to find each other.
type Founding struct {
	Seed      uint64
	Events    []Event
	Conflicts []string          // living nodes that had begun different clusters
	Bridged   []string          // nodes that went from one cluster to another, or know members of both
	Warned    bool              // somebody logged that there is more than one cluster
	Recovered int               // how often a majority was lost and a survivor recovered
	Clusters  map[string]string // pod -> its cluster at the end
}

// A founder runs one founding.
type founder struct {
	t       *testing.T
	o       FoundingOptions
	random  *rand.Rand
	cluster *clustertest.Cluster
	began   time.Time
	watches sync.WaitGroup

	mu   sync.Mutex // guards all below
	seen map[*cluster.Node]sighting
	most map[string]int // cluster -> the most nodes that have lived in it at once
	out  Founding
}

// A sighting is how far one node was when it was looked at last.
type sighting struct {
	pod, id, cluster string
	hasBegun         bool // it has applied something
}

// Found starts pods that see, reach and outlive each other as the seed has it,
// then ends all trouble and waits until they are one cluster, or two that
// will stay so.
func Found(t *testing.T, o FoundingOptions) *Founding {
	t.Helper()
	f := &founder{t: t, o: o, random: rand.New(rand.NewPCG(o.Seed, 1)), seen: map[*cluster.Node]sighting{}, most: map[string]int{}}
	f.out = Founding{Seed: o.Seed, Clusters: map[string]string{}}
	synctest.Test(t, func(t *testing.T) {
		f.t, f.began = t, time.Now()
		t.Cleanup(f.watches.Wait) // after the pods are killed
		f.cluster = clustertest.New(t, clustertest.Options{
			Seed: o.Seed, Expect: o.Expect, Durable: o.Durable, Configure: f.configure,
			Features: []cluster.Feature{{ID: feature, New: func() machine.Machine { return keyspace.New() }}},
		})
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("HUDDLE_SEED=%d\n%s", o.Seed, f.out.Story())
			}
		})
		f.run()
	})
	return &f.out
}

// Story tells what was done, in order.
func (f *Founding) Story() string {
	h := History{Events: f.Events}
	return h.Story()
}

func (f *founder) configure(_ *clustertest.Pod, cfg *cluster.Config) {
	cfg.NoSync = true
	cfg.Logger = slog.New(slog.NewTextHandler(f, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// Write takes what the nodes log.
func (f *founder) Write(line []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if strings.Contains(string(line), "more than one cluster") {
		f.out.Warned = true
	}
	return len(line), nil
}

func (f *founder) event(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.out.Events = append(f.out.Events, Event{time.Since(f.began), fmt.Sprintf(format, args...)})
}

func (f *founder) chance(p float64) bool { return f.random.Float64() < p }

func (f *founder) upTo(most time.Duration) time.Duration {
	return time.Duration(f.random.Int64N(int64(most)))
}

func (f *founder) run() {
	type act struct {
		at time.Duration
		do func()
	}
	var plan []act
	spread := 3 * time.Second
	if f.chance(0.2) {
		spread = troubleTime
	}
	for range f.o.Pods {
		plan = append(plan, act{f.upTo(spread), f.start})
	}
	for range f.random.IntN(5) {
		plan = append(plan, act{f.upTo(troubleTime), f.kill}, act{f.upTo(troubleTime), f.kill})
	}
	for range 12 {
		plan = append(plan, act{f.upTo(troubleTime), f.views}, act{f.upTo(troubleTime), f.links})
	}
	slices.SortStableFunc(plan, func(a, b act) int { return int(a.at - b.at) })
	f.views()
	f.links()
	for _, a := range plan {
		time.Sleep(time.Until(f.began.Add(a.at)))
		a.do()
	}
	for len(f.cluster.Pods()) < f.o.Pods {
		f.start()
	}
	if f.o.Split {
		time.Sleep(troubleTime)
	}
	f.heal()
	f.end()
}

// addresses are those of all pods that are there or may come.
func (f *founder) addresses() (list []string) {
	for n := range 40 {
		list = append(list, fmt.Sprintf("10.0.0.%d", n+2))
	}
	return list
}

// start starts a new pod.
func (f *founder) start() {
	if len(f.cluster.Pods()) >= f.o.Pods {
		return
	}
	p := f.cluster.Add(1)[0]
	f.event("started %s (%s)", p.Name, short(p.Node.ID()))
	f.views()
	f.watch(p)
}

// kill kills a pod; it is started again in place, or another one is later.
func (f *founder) kill() {
	pods := f.cluster.Pods()
	if len(pods) == 0 {
		return
	}
	p := pods[f.random.IntN(len(pods))]
	f.cluster.Kill(p)
	f.event("killed %s", p.Name)
	if !f.o.Durable && f.chance(0.5) {
		return // start or the end of the trouble brings a new one
	}
	time.Sleep(f.upTo(time.Second))
	f.restart(p)
}

func (f *founder) restart(p *clustertest.Pod) {
	f.cluster.Restart(p, f.o.Durable && f.chance(0.5))
	f.event("started %s again (%s)", p.Name, short(p.Node.ID()))
	f.watch(p)
}

// views draws what each pod is told by DNS.
func (f *founder) views() {
	pods := f.cluster.Pods()
	share := f.random.Float64()
	for i, p := range pods {
		var named []string
		for j, o := range pods {
			if f.o.Split && (i+j)%2 != 0 {
				continue
			}
			if f.o.Split || i == j || f.chance(share) {
				named = append(named, o.Addr)
			}
		}
		f.cluster.Net.SetDNSFor(p.Addr, clustertest.Service, named...)
	}
}

// links draws how bad the network is, and who does not reach whom.
func (f *founder) links() {
	slow := []time.Duration{0, 5 * time.Millisecond, 50 * time.Millisecond, time.Second}[f.random.IntN(4)]
	faults := clustertest.PacketFaults{Loss: 0.4 * f.random.Float64(), Duplicate: 0.4 * f.random.Float64(), Reorder: 0.4 * f.random.Float64()}
	cuts := 0.3 * f.random.Float64()
	if f.chance(0.5) {
		cuts = 0
	}
	f.event("messages take up to %s, %.0f %% of packets are lost, %.0f %% of links are cut", slow, 100*faults.Loss, 100*cuts)
	all := f.addresses()[:f.o.Pods+4]
	for i, a := range all {
		for j, b := range all {
			if i == j {
				continue
			}
			f.cluster.Net.Delay(a, b, 0, slow)
			f.cluster.Net.Packets(a, b, faults)
			if f.o.Split && (i+j)%2 != 0 || f.chance(cuts) {
				f.cluster.Net.Cut(a, b)
			} else {
				f.cluster.Net.Heal(a, b)
			}
		}
	}
}

// heal ends all trouble.
func (f *founder) heal() {
	f.event("all is well")
	f.cluster.Net.HealAll()
	all := f.addresses()
	for _, a := range all {
		f.cluster.Net.ClearDNSFor(a)
		for _, b := range all {
			if a != b {
				f.cluster.Net.Delay(a, b, 0, 0)
				f.cluster.Net.Packets(a, b, clustertest.PacketFaults{})
			}
		}
	}
}

// watch looks at a node until it is stopped.
func (f *founder) watch(p *clustertest.Pod) {
	name, node := p.Name, p.Node
	f.watches.Go(func() {
		for {
			s := node.Status(context.Background())
			select {
			case <-node.Done():
				f.mu.Lock()
				delete(f.seen, node)
				f.mu.Unlock()
				return
			default:
			}
			f.saw(node, name, s)
			select {
			case <-node.Done():
			case <-time.After(lookEvery):
			}
		}
	})
}

// saw notes how far a node is, and whether that contradicts another one.
func (f *founder) saw(node *cluster.Node, pod string, s cluster.Status) {
	f.mu.Lock()
	defer f.mu.Unlock()
	was := f.seen[node]
	now := sighting{pod, s.Node, s.Cluster, s.Index > 0 && s.Cluster != ""}
	f.seen[node] = now
	if now.cluster != was.cluster && s.Node != "" {
		f.out.Events = append(f.out.Events, Event{
			time.Since(f.began),
			fmt.Sprintf("%s (%s) is in cluster %q, was in %q", pod, short(s.Node), short(s.Cluster), short(was.cluster)),
		})
	}
	if was.hasBegun && now.hasBegun && was.cluster != now.cluster && was.id == now.id && f.out.Recovered == 0 {
		f.out.Bridged = append(f.out.Bridged, fmt.Sprintf("%s (%s) went from %s to %s", pod, now.id, was.cluster, now.cluster))
	}
	if now.cluster != "" {
		f.most[now.cluster] = max(f.most[now.cluster], f.livingLocked(now.cluster))
	}
	if !now.hasBegun || was == now || f.isLostLocked(now.cluster) {
		return
	}
	for other, o := range f.seen {
		if other != node && o.hasBegun && o.cluster != now.cluster && f.out.Recovered == 0 && !f.isLostLocked(o.cluster) {
			f.out.Conflicts = append(f.out.Conflicts, fmt.Sprintf("at %s %s is in %s, %s in %s",
				round(time.Since(f.began)), pod, now.cluster, o.pod, o.cluster))
		}
	}
}

// livingLocked is how many nodes live that are in a cluster.
func (f *founder) livingLocked(id string) (n int) {
	for _, o := range f.seen {
		if o.cluster == id {
			n++
		}
	}
	return n
}

// isLostLocked reports whether a cluster has lost its majority: pods that were
// started again in its members' place, and do not see the survivors, may found
// another one. That one is then beside it, but not beside a quorum.
func (f *founder) isLostLocked(id string) bool { return f.livingLocked(id) <= f.most[id]/2 }

func short(id string) string { return id[:min(6, len(id))] }

// CheckOneCluster reports whether there was ever more than one.
func CheckOneCluster(f *Founding) error {
	if len(f.Conflicts) > 0 {
		return &Violation{Promise: "there is one cluster", Detail: strings.Join(f.Conflicts[:min(4, len(f.Conflicts))], "; ")}
	}
	ids := map[string]bool{}
	for _, id := range f.Clusters {
		ids[id] = true
	}
	if len(ids) != 1 || ids[""] {
		return &Violation{Promise: "there is one cluster", Detail: fmt.Sprintf("at the end: %v", f.Clusters)}
	}
	return nil
}

// CheckNotBridged reports whether two clusters have become one, or are there
// without a word.
func CheckNotBridged(f *Founding) error {
	if len(f.Bridged) > 0 {
		return &Violation{Promise: "two clusters are never bridged", Detail: strings.Join(f.Bridged, "; ")}
	}
	ids := map[string]bool{}
	for _, id := range f.Clusters {
		ids[id] = true
	}
	if len(named(ids)) > 1 && !f.Warned {
		return &Violation{Promise: "two clusters are said to be an error", Detail: fmt.Sprintf("at the end: %v", f.Clusters)}
	}
	return nil
}
