package cluster_test

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/huddlecache/huddle/cluster"
	"github.com/huddlecache/huddle/cluster/clustertest"
	"github.com/huddlecache/huddle/cluster/internal/store"
	"github.com/huddlecache/huddle/cluster/machine"
)

// journal keeps the lines that nodes log.
type journal struct {
	mu    sync.Mutex // guards lines
	lines strings.Builder
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.lines.Write(p)
}

func (j *journal) has(text string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Contains(j.lines.String(), text)
}

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

func TestTheLaterOfTwoNodesWithOneIdentityStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		copied := t.TempDir()
		c := clustertest.New(t, clustertest.Options{Features: features, Durable: true, Configure: func(p *clustertest.Pod, cfg *cluster.Config) {
			if p.Name == "pod-4" {
				cfg.DataDir = copied
			}
		}})
		pods := c.Add(3)
		c.WaitReady(10 * time.Second)
		add(t, pods[0], "1")
		id := pods[2].Node.ID()
		c.Kill(pods[2])
		if err := os.CopyFS(copied, os.DirFS(pods[2].Dir())); err != nil {
			t.Fatal(err)
		}
		c.Restart(pods[2], false)
		c.WaitReady(20 * time.Second)
		twin := c.Add(1)[0]
		if got := twin.Node.ID(); got != id {
			t.Fatalf("the copy is %s, want %s", got, id)
		}
		c.Wait(30*time.Second, "the twin has stopped", func() bool { return errors.Is(twin.Node.Err(), cluster.ErrTwin) })
		if err := pods[2].Node.Err(); err != nil {
			t.Errorf("the first of the two has stopped: %v", err)
		}
		add(t, pods[2], "1")
	})
}

func TestNodesOfAnotherKeyNeverMeet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(t, clustertest.Options{Features: features, Configure: func(p *clustertest.Pod, cfg *cluster.Config) {
			if p.Name == "pod-4" {
				cfg.Keys = [][]byte{[]byte("another key of thirty-two bytes!")}
			}
		}})
		c.Add(3)
		c.WaitReady(10 * time.Second)
		stranger := c.Add(1)[0]
		time.Sleep(time.Minute)
		if stranger.Node.Ready() == nil {
			t.Error("a node with another key is ready")
		}
		if n := len(c.Pods()[0].Node.Status(t.Context()).Members); n != 3 {
			t.Errorf("the cluster has %d members, want 3", n)
		}
		_, _, err := stranger.Node.Log(1).Do(t.Context(), machine.Item{Data: []byte("1")})
		if !errors.Is(err, machine.ErrLoading) {
			t.Errorf("a command at the stranger: %v, want ErrLoading", err)
		}
	})
}

func TestWithoutAQuorumCommandsFailInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(t, clustertest.Options{Features: features})
		pods := c.Add(3)
		c.WaitReady(10 * time.Second)
		add(t, pods[2], "4")
		time.Sleep(time.Second)
		c.Kill(pods[0])
		c.Kill(pods[1])
		log := pods[2].Node.Log(1)
		for _, after := range []time.Duration{0, 10 * time.Second} {
			time.Sleep(after)
			start := time.Now()
			_, _, err := log.Do(t.Context(), machine.Item{Data: []byte("1")})
			if took := time.Since(start); took > 3*time.Second+100*time.Millisecond {
				t.Errorf("a write was answered after %s", took)
			}
			if !errors.Is(err, machine.ErrNoQuorum) && !errors.Is(err, machine.ErrUnknown) {
				t.Errorf("a write without a quorum: %v", err)
			}
			start = time.Now()
			if _, _, err = log.Query(t.Context(), machine.Linearizable, nil); !errors.Is(err, machine.ErrNoQuorum) {
				t.Errorf("a read without a quorum: %v, want ErrNoQuorum", err)
			}
			if took := time.Since(start); took > 3*time.Second+100*time.Millisecond {
				t.Errorf("a read was answered after %s", took)
			}
		}
		if got := sum(t, pods[2], machine.Local); got != "4" {
			t.Errorf("a local read is %s, want 4", got)
		}
		if pods[2].Node.Note() == "" {
			t.Error("a node without a quorum has nothing to say")
		}
	})
}

func TestAnIdleClusterWritesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(t, clustertest.Options{Features: features})
		pods := c.Add(3)
		c.WaitReady(10 * time.Second)
		add(t, pods[0], "1")
		time.Sleep(20 * time.Second)
		before := pods[0].Node.Status(t.Context())
		time.Sleep(3 * time.Minute)
		after := pods[0].Node.Status(t.Context())
		if after.Index != before.Index || after.Term != before.Term {
			t.Errorf("after three idle minutes: entry %d of term %d, want %d of %d", after.Index, after.Term, before.Index, before.Term)
		}
		for _, p := range pods {
			if err := p.Node.Ready(); err != nil {
				t.Errorf("%s: %v", p.Name, err)
			}
		}
	})
}

func TestAPausedNodeComesBackUnderAnotherIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(t, clustertest.Options{Features: features})
		pods := c.Add(4)
		c.WaitReady(20 * time.Second)
		id := pods[1].Node.ID()
		c.Net.Pause(pods[1].Addr)
		time.Sleep(30 * time.Second)
		add(t, c.Leader(), "1")
		c.Net.Resume(pods[1].Addr)
		c.Wait(60*time.Second, "a new identity, ready", func() bool {
			now := pods[1].Node.ID()
			return now != "" && now != id && pods[1].Node.Ready() == nil
		})
		if got := sum(t, pods[1], machine.Linearizable); got != "1" {
			t.Errorf("sum is %s, want 1", got)
		}
	})
}

func TestALeaderWhoseDiskHangsOrFailsStepsDownAndComesBack(t *testing.T) {
	for _, fault := range []string{"hangs", "fails"} {
		t.Run(fault, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disks := map[string]*store.Lossy{}
				c := clustertest.New(t, clustertest.Options{Features: features, Durable: true, Configure: func(p *clustertest.Pod, cfg *cluster.Config) {
					disks[p.Name] = &store.Lossy{}
					cfg.Logs = func(under raft.LogStore) raft.LogStore { return disks[p.Name].Wrap(under) }
				}})
				pods := c.Add(3)
				c.WaitReady(10 * time.Second)
				add(t, pods[0], "1")
				leader := c.Leader()
				disk := disks[leader.Name]
				if fault == "hangs" {
					disk.Hang()
				} else {
					disk.Fail(errors.New("no space left on device"))
				}
				var other *clustertest.Pod
				for _, p := range pods {
					if p != leader {
						other = p
					}
				}
				c.Wait(20*time.Second, "writes go on elsewhere", func() bool {
					_, _, err := other.Node.Log(1).Do(t.Context(), machine.Item{Data: []byte("1"), Idem: "once"})
					return err == nil
				})
				disk.Release()
				disk.Fail(nil)
				c.WaitReady(40 * time.Second)
				if got := sum(t, leader, machine.Linearizable); got != "2" {
					t.Errorf("sum is %s, want 2", got)
				}
			})
		})
	}
}

func TestTheLevelRisesWhenAllKnowIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		newest := uint32(cluster.Level + 1)
		c := clustertest.New(t, clustertest.Options{Features: features, Configure: func(p *clustertest.Pod, cfg *cluster.Config) {
			if p.Name != "pod-1" {
				cfg.Level = newest
			}
		}})
		c.Add(3)
		c.WaitReady(10 * time.Second)
		time.Sleep(2 * time.Minute)
		if got := c.Pods()[1].Node.Status(t.Context()).Level; got != cluster.Level {
			t.Errorf("the level is %d while one node knows only %d", got, cluster.Level)
		}
		c.Add(1)
		c.WaitReady(30 * time.Second)
		c.Stop(c.Pods()[0])
		time.Sleep(2 * time.Minute)
		for _, p := range c.Pods() {
			if got := p.Node.Status(t.Context()).Level; got != newest {
				t.Errorf("%s is at level %d, want %d", p.Name, got, newest)
			}
		}
	})
}

func TestTwoClustersAreSaidAndNeverBridged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log journal
		options := clustertest.Options{Features: features, Expect: 2, Configure: func(p *clustertest.Pod, cfg *cluster.Config) {
			cfg.Logger = log.logger()
		}}
		c := clustertest.New(t, options)
		names := []string{"10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"}
		c.Net.Partition(names[:2], names[2:])
		for i, host := range names {
			side := names[:2]
			if i >= 2 {
				side = names[2:]
			}
			c.Net.SetDNSFor(host, clustertest.Service, side...)
		}
		pods := c.Add(4)
		c.WaitReady(30 * time.Second)
		c.Net.HealAll()
		for _, host := range names {
			c.Net.ClearDNSFor(host)
		}
		time.Sleep(time.Minute)
		if !log.has("more than one cluster") {
			t.Error("nobody said that there are two clusters")
		}
		clusters := map[string]int{}
		for _, p := range pods {
			s := p.Node.Status(t.Context())
			clusters[s.Cluster]++
			if len(s.Problems) == 0 {
				t.Errorf("%s sees no problem", p.Name)
			}
		}
		if len(clusters) != 2 {
			t.Errorf("clusters %v, want the two that were founded", clusters)
		}
		add(t, pods[0], "1")
		add(t, pods[3], "1")
		if a, b := sum(t, pods[0], machine.Linearizable), sum(t, pods[3], machine.Linearizable); a != "1" || b != "1" {
			t.Errorf("sums %s and %s, want 1 each", a, b)
		}
	})
}
