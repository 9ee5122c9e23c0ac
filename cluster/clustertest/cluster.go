package clustertest

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster"
)

// Service is the name by which the pods of a Cluster find each other.
const Service = "huddle"

// Options describe a Cluster.
type Options struct {
	Seed     uint64            // of the network's faults
	Features []cluster.Feature // what is replicated
	Expect   int               // nodes that found the cluster; cluster.Config's default if zero
	Voters   int               // cluster.Config's default if zero
	Durable  bool              // pods keep their state on disk

	// Configure may change the configuration of a pod's node before it is
	// opened.
	Configure func(p *Pod, cfg *cluster.Config)
}

// A Cluster is pods behind one name, on one in-memory network. It must be made
// and used inside a testing/synctest bubble, and kills what is left of it when
// the test ends.
//
// Set HUDDLE_DEBUG to see the nodes' logs.
type Cluster struct {
	Net *Network

	t       testing.TB
	options Options
	dir     string
	logger  *slog.Logger
	pods    []*Pod // those that run
	next    int    // number of the next pod
}

// A Pod is one replica: a name, an address, perhaps a disk, and the node that
// runs there.
type Pod struct {
	Name string
	Addr string
	Node *cluster.Node // nil while the pod does not run
	dir  string
}

// Dir is where the pod keeps its state; empty if in memory.
func (p *Pod) Dir() string { return p.dir }

// New makes a cluster without pods.
func New(t testing.TB, o Options) *Cluster {
	t.Helper()
	c := &Cluster{Net: NewNetwork(o.Seed), t: t, options: o, logger: slog.New(slog.DiscardHandler)}
	if o.Durable {
		c.dir = t.TempDir()
	}
	if os.Getenv("HUDDLE_DEBUG") != "" {
		c.logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	c.name()
	t.Cleanup(func() {
		for _, p := range slices.Clone(c.pods) {
			if p.Node != nil { // a pod that could not be opened has none
				c.Kill(p)
			}
		}
	})
	return c
}

// Pods are the pods that run, oldest first.
func (c *Cluster) Pods() []*Pod { return slices.Clone(c.pods) }

// Add starts n new pods, with names, addresses and disks of their own.
func (c *Cluster) Add(n int) []*Pod {
	c.t.Helper()
	var added []*Pod
	for range n {
		c.next++
		p := &Pod{Name: fmt.Sprintf("pod-%d", c.next), Addr: fmt.Sprintf("10.0.%d.%d", c.next/250, c.next%250+1)}
		if c.dir != "" {
			p.dir = filepath.Join(c.dir, p.Name)
		}
		added = append(added, p)
		c.pods = append(c.pods, p)
	}
	c.name()
	for _, p := range added {
		c.open(p)
	}
	return added
}

// Restart starts a pod that was killed or stopped: with the state on its disk
// if it has one, at a new address if move is set, else where it was.
func (c *Cluster) Restart(p *Pod, move bool) {
	c.t.Helper()
	if move {
		c.next++
		p.Addr = fmt.Sprintf("10.0.%d.%d", c.next/250, c.next%250+1)
	}
	c.pods = append(c.pods, p)
	c.name()
	c.open(p)
}

func (c *Cluster) open(p *Pod) {
	c.t.Helper()
	host := c.Net.Host(p.Addr)
	cfg := cluster.Config{
		Name: p.Name, DataDir: p.dir, Join: []string{Service}, Expect: c.options.Expect, Voters: c.options.Voters,
		Keys: [][]byte{make([]byte, 32)}, Network: host, Bind: host.Addr(),
		Features: c.options.Features, Logger: c.logger.With(slog.String("pod", p.Name)),
	}
	if c.options.Configure != nil {
		c.options.Configure(p, &cfg)
	}
	n, err := cluster.Open(context.Background(), cfg)
	if err != nil {
		c.t.Fatalf("opening %s: %v", p.Name, err)
	}
	p.Node = n
}

// Stop stops a pod in order, as SIGTERM does.
func (c *Cluster) Stop(p *Pod) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := p.Node.Close(ctx); err != nil {
		c.t.Errorf("stopping %s: %v", p.Name, err)
	}
	c.forget(p)
}

// Kill ends a pod without a word to anybody.
func (c *Cluster) Kill(p *Pod) {
	c.Net.Kill(p.Addr)
	p.Node.Kill()
	c.forget(p)
}

func (c *Cluster) forget(p *Pod) {
	p.Node = nil
	c.pods = slices.DeleteFunc(c.pods, func(o *Pod) bool { return o == p })
	c.name()
}

// name makes DNS name the pods that run.
func (c *Cluster) name() {
	var addrs []string
	for _, p := range c.pods {
		addrs = append(addrs, p.Addr)
	}
	c.Net.SetDNS(Service, addrs...)
}

// Leader returns the pod that leads in the eyes of a majority, nil if none.
func (c *Cluster) Leader() *Pod {
	votes := map[string]int{}
	for _, p := range c.pods {
		votes[p.Node.Leader()]++
	}
	for _, p := range c.pods {
		if id := p.Node.ID(); id != "" && votes[id] > len(c.pods)/2 {
			return p
		}
	}
	return nil
}

// WaitReady waits until all pods are ready, and fails the test if that takes
// longer than most.
func (c *Cluster) WaitReady(most time.Duration) {
	c.t.Helper()
	c.Wait(most, "all pods ready", func() bool {
		return !slices.ContainsFunc(c.pods, func(p *Pod) bool { return p.Node.Ready() != nil })
	})
}

// Wait waits until a condition holds, and fails the test if that takes longer
// than most.
func (c *Cluster) Wait(most time.Duration, what string, holds func() bool) {
	c.t.Helper()
	for start := time.Now(); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Since(start) > most {
			for _, p := range c.pods {
				c.t.Logf("%s at %s: ready: %v\n%+v", p.Name, p.Addr, p.Node.Ready(), p.Node.Status(context.Background()))
			}
			c.t.Fatalf("waited %s in vain for: %s", most, what)
		}
	}
}
