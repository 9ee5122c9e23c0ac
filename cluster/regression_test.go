package cluster_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster"
	"github.com/huddlecache/huddle/cluster/clustertest"
	"github.com/huddlecache/huddle/cluster/machine"
)

// A node that is closed while writes are on their way must close: a future of
// an entry that Raft's goroutines had not seen, or not applied, when they
// ended is never answered by Raft.
func TestCloseWhileWriting(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			n, err := cluster.Open(t.Context(), cluster.Config{Features: features})
			if err != nil {
				t.Fatal(err)
			}
			for n.Ready() != nil {
				time.Sleep(10 * time.Millisecond)
			}
			var writers sync.WaitGroup
			var count atomic.Int64
			busy := make(chan struct{})
			for range 50 {
				writers.Go(func() {
					for {
						if count.Add(1) == 500 {
							close(busy)
						}
						_, _, err := n.Log(1).Do(context.Background(), machine.Item{Data: []byte("1")})
						if err != nil {
							return
						}
					}
				})
			}
			<-busy
			closed := make(chan struct{})
			go func() {
				ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
				defer cancel()
				n.Close(ctx)
				close(closed)
			}()
			select {
			case <-closed:
			case <-time.After(25 * time.Second):
				t.Error("Close has not returned after 25 s")
			}
			writers.Wait()
		})
		if t.Failed() {
			return
		}
	}
}

// slowNetwork takes its time to open the port of the gossip.
type slowNetwork struct{ *clustertest.Host }

func (s slowNetwork) ListenPacket(addr string) (net.PacketConn, error) {
	time.Sleep(2 * time.Second)
	return s.Host.ListenPacket(addr)
}

// A durable node that comes back where it was is called by the others as soon
// as its peer port is open, which is before it knows how far its founding was.
func TestCallsBeforeTheNodeIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		isSlow := false
		c := clustertest.New(t, clustertest.Options{
			Features: features, Durable: true,
			Configure: func(_ *clustertest.Pod, cfg *cluster.Config) {
				if isSlow {
					cfg.Network = slowNetwork{cfg.Network.(*clustertest.Host)}
				}
			},
		})
		pods := c.Add(3)
		c.WaitReady(10 * time.Second)
		p := pods[0]
		if c.Leader() == p {
			p = pods[1]
		}
		c.Kill(p)
		isSlow = true
		c.Restart(p, false)
		c.WaitReady(10 * time.Second)
	})
}

// valueMachine answers every query with a megabyte.
type valueMachine struct{ counterMachine }

func (m *valueMachine) Query(machine.Stamp, []byte) []byte { return bytes.Repeat([]byte("x"), 1<<20) }

func (m *valueMachine) Restore(r io.Reader) error {
	return binary.Read(r, binary.BigEndian, &m.sum)
}

var large = []cluster.Feature{{ID: 1, New: func() machine.Machine { return &valueMachine{} }}}

func follower(c *clustertest.Cluster) *clustertest.Pod {
	for _, p := range c.Pods() {
		if p != c.Leader() {
			return p
		}
	}
	return nil
}

// Reads of several large values at once through a follower must be answered.
func TestManyLargeReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(t, clustertest.Options{Features: large})
		c.Add(3)
		c.WaitReady(10 * time.Second)
		f := follower(c)
		var readers sync.WaitGroup
		for range 30 {
			readers.Go(func() {
				if _, _, err := f.Node.Log(1).Query(context.Background(), machine.Linearizable, nil); err != nil {
					t.Error(err)
				}
			})
		}
		readers.Wait()
	})
}

// The same behind a write: the write must not become unknown.
func TestLargeReadsBehindWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(t, clustertest.Options{Features: large})
		c.Add(3)
		c.WaitReady(10 * time.Second)
		f := follower(c)
		var readers sync.WaitGroup
		for range 30 {
			readers.Go(func() {
				_, _, err := f.Node.Log(1).Do(context.Background(), machine.Item{Data: []byte("1")}, machine.Item{Query: true})
				if err != nil {
					t.Error(err)
				}
			})
		}
		readers.Wait()
	})
}

// A write and a read that are on their way to a leader when it is cut off go on to the
// next one within their three seconds.
func TestLeaderCutOffWhileCalled(t *testing.T) {
	for _, what := range []string{"write", "read"} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := clustertest.New(t, clustertest.Options{Features: features})
				c.Add(3)
				c.WaitReady(10 * time.Second)
				f, leader := follower(c), c.Leader()
				add(t, f, "1")
				sum(t, f, machine.Linearizable)
				var others []string
				for _, p := range c.Pods() {
					if p != leader {
						others = append(others, p.Addr)
					}
				}
				c.Net.Partition([]string{leader.Addr}, others)
				start := time.Now()
				var err error
				if what == "write" {
					_, _, err = f.Node.Log(1).Do(context.Background(), machine.Item{Data: []byte("1")})
				} else {
					_, _, err = f.Node.Log(1).Query(context.Background(), machine.Linearizable, nil)
				}
				took := time.Since(start)
				time.Sleep(100 * time.Millisecond)
				if err != nil {
					t.Errorf("%v after %s; the leader of those who are left is %q", err, took, f.Node.Leader())
				}
				c.Net.HealAll()
			})
		})
	}
}

// A leader that stops hands over to a voter that lives.
func TestLeaderStopsWhileAVoterIsDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(t, clustertest.Options{Features: features, Durable: true})
		c.Add(3)
		c.WaitReady(10 * time.Second)
		leader := c.Leader()
		var dead *clustertest.Pod // the first in the configuration, which is in the order of IDs
		for _, p := range c.Pods() {
			if p != leader && (dead == nil || p.Node.ID() < dead.Node.ID()) {
				dead = p
			}
		}
		add(t, leader, "1")
		time.Sleep(5 * time.Second)
		c.Kill(dead)
		time.Sleep(10 * time.Second)
		start := time.Now()
		c.Stop(leader)
		if took := time.Since(start); took > 6*time.Second {
			t.Errorf("stopping the leader took %s", took)
		}
	})
}

// Close is bounded also where the disk hangs.
func TestCloseWhileTheDiskHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var disk clustertest.Disk
		n, err := cluster.Open(t.Context(), cluster.Config{Features: features, DataDir: t.TempDir(), Logs: disk.Wrap})
		if err != nil {
			t.Fatal(err)
		}
		for n.Ready() != nil {
			time.Sleep(10 * time.Millisecond)
		}
		disk.Hang()
		n.Log(1).Do(t.Context(), machine.Item{Data: []byte("1")})
		closed := make(chan struct{})
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			n.Close(ctx)
			close(closed)
		}()
		select {
		case <-closed:
		case <-time.After(25 * time.Second):
			t.Error("Close has not returned after 25 s")
		}
		disk.Release()
		<-closed
	})
}

// A directory that was recovered belongs to the new cluster.
func TestRecoverDir(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		cfg := cluster.Config{Features: features, DataDir: dir}
		open := func() *cluster.Node {
			n, err := cluster.Open(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			for n.Ready() != nil {
				time.Sleep(10 * time.Millisecond)
			}
			return n
		}
		n := open()
		old := n.Status(t.Context()).Cluster
		n.Close(t.Context())
		report, err := cluster.RecoverDir(t.Context(), cfg, cluster.RecoverOptions{})
		if err != nil {
			t.Fatal(err)
		}
		n = open()
		defer n.Kill()
		if got := n.Status(t.Context()).Cluster; got == old {
			t.Errorf("the node is in cluster %s, as before\n%s", got, report)
		}
		_, stamp, err := n.Log(1).Query(t.Context(), machine.Linearizable, nil)
		if err != nil || stamp.Cluster == old {
			t.Errorf("stamp of cluster %s, err %v", stamp.Cluster, err)
		}
	})
}

// A read of the local replica that has never applied anything must not be
// taken for an answer.
func TestLocalReadOfANewNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(t, clustertest.Options{Features: features})
		c.Add(3)
		c.WaitReady(10 * time.Second)
		add(t, c.Pods()[0], "5")
		for _, p := range c.Pods() {
			c.Net.Delay(p.Addr, "10.0.0.5", 50*time.Millisecond, 50*time.Millisecond)
			c.Net.Delay("10.0.0.5", p.Addr, 50*time.Millisecond, 50*time.Millisecond)
		}
		p := c.Add(1)[0]
		if p.Addr != "10.0.0.5" {
			t.Fatal(p.Addr)
		}
		var reads sync.WaitGroup
		for range 3000 {
			time.Sleep(time.Millisecond)
			if p.Node.Status(t.Context()).Cluster == "" {
				continue
			}
			reads.Go(func() {
				reply, stamp, err := p.Node.Log(1).Query(t.Context(), machine.Local, nil)
				if err == nil && string(reply) != "5" {
					t.Errorf("a new node, ready: %v, read %s at index %d, want 5 or an error", p.Node.Ready(), reply, stamp.Index)
				}
			})
		}
		reads.Wait()
	})
}

// A leader that has never seen a dead voter removes it all the same.
func TestDeadVoterThatTheLeaderNeverSaw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(t, clustertest.Options{Features: features})
		old := c.Add(3)
		c.WaitReady(10 * time.Second)
		time.Sleep(10 * time.Second)
		leader := c.Leader()
		var rest []*clustertest.Pod
		for _, p := range old {
			if p != leader {
				rest = append(rest, p)
			}
		}
		dead := rest[0].Node.ID()
		c.Kill(rest[0])
		time.Sleep(3700 * time.Millisecond) // gossip knows of the death, nobody has been removed
		c.Add(2)
		time.Sleep(800 * time.Millisecond)
		c.Stop(leader)
		c.Stop(rest[1])
		time.Sleep(2 * time.Minute)
		c.Add(1)
		time.Sleep(2 * time.Minute)
		for _, p := range c.Pods() {
			if err := p.Node.Ready(); err != nil {
				t.Errorf("%s: %v", p.Name, err)
			}
		}
		for _, m := range c.Pods()[0].Node.Status(t.Context()).Members {
			if m.ID == dead {
				t.Errorf("dead for minutes, and still a member: %+v", m)
			}
		}
	})
}

// One wrong clock of three changes nothing.
func TestOneWrongClockAtTheFounding(t *testing.T) {
	for range 6 {
		synctest.Test(t, func(t *testing.T) {
			c := clustertest.New(t, clustertest.Options{Features: features, Configure: func(p *clustertest.Pod, cfg *cluster.Config) {
				if p.Name == "pod-1" {
					cfg.WallTime = func() time.Time { return time.Now().Add(time.Hour) }
				}
			}})
			c.Add(3)
			c.WaitReady(10 * time.Second)
			_, stamp, err := c.Pods()[0].Node.Log(1).Query(t.Context(), machine.Linearizable, nil)
			if err != nil {
				t.Fatal(err)
			}
			if off := stamp.Wall - time.Duration(time.Now().UnixNano()); off.Abs() > time.Minute {
				t.Errorf("the cluster's clock is %s off", off)
			}
		})
		if t.Failed() {
			return
		}
	}
}
