package cluster_test

import (
	"encoding/binary"
	"io"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster"
	"github.com/huddlecache/huddle/cluster/clustertest"
	"github.com/huddlecache/huddle/cluster/machine"
)

// counterMachine counts: a command adds its number, a query tells the sum.
type counterMachine struct{ sum uint64 }

func (m *counterMachine) Apply(_ *machine.Tx, cmd []byte) []byte {
	n, _ := strconv.ParseUint(string(cmd), 10, 64)
	m.sum += n
	return m.Query(machine.Stamp{}, nil)
}
func (m *counterMachine) Expire(*machine.Tx, []byte) {}
func (m *counterMachine) Query(machine.Stamp, []byte) []byte {
	return []byte(strconv.FormatUint(m.sum, 10))
}
func (m *counterMachine) Snapshot() io.WriterTo { return frozen(m.sum) }
func (m *counterMachine) Restore(r io.Reader) error {
	return binary.Read(r, binary.BigEndian, &m.sum)
}
func (m *counterMachine) Size() int64 { return 8 }

type frozen uint64

func (f frozen) WriteTo(w io.Writer) (int64, error) {
	return 8, binary.Write(w, binary.BigEndian, uint64(f))
}

var features = []cluster.Feature{{ID: 1, New: func() machine.Machine { return &counterMachine{} }}}

// add adds to the sum through a pod, and returns the new sum.
func add(t *testing.T, p *clustertest.Pod, n string) string {
	t.Helper()
	replies, _, err := p.Node.Log(1).Do(t.Context(), machine.Item{Data: []byte(n)})
	if err != nil {
		t.Fatalf("adding through %s: %v", p.Name, err)
	}
	return string(replies[0].Data)
}

func sum(t *testing.T, p *clustertest.Pod, c machine.Consistency) string {
	t.Helper()
	reply, _, err := p.Node.Log(1).Query(t.Context(), c, nil)
	if err != nil {
		t.Fatalf("reading through %s: %v", p.Name, err)
	}
	return string(reply)
}

func TestThreeNodesAgree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(t, clustertest.Options{Features: features})
		c.Add(3)
		c.WaitReady(10 * time.Second)
		for _, p := range c.Pods() {
			add(t, p, "2")
		}
		for _, p := range c.Pods() {
			if got := sum(t, p, machine.Linearizable); got != "6" {
				t.Errorf("%s reads %s, want 6", p.Name, got)
			}
		}
	})
}

func TestALostLeaderLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(t, clustertest.Options{Features: features})
		c.Add(3)
		c.WaitReady(10 * time.Second)
		for _, p := range c.Pods() {
			add(t, p, "1")
		}
		c.Kill(c.Leader())
		start := time.Now()
		if got := add(t, c.Pods()[0], "1"); got != "4" {
			t.Errorf("sum is %s after the leader was killed, want 4", got)
		}
		t.Logf("writes go on after %s", time.Since(start))
	})
}

func TestEveryPodReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, end := range []string{"stopped", "killed"} {
			c := clustertest.New(t, clustertest.Options{Features: features})
			c.Add(3)
			c.WaitReady(10 * time.Second)
			for i := range 6 {
				old := c.Pods()[0]
				c.Add(1)
				c.WaitReady(30 * time.Second)
				add(t, c.Pods()[i%3], "1")
				if end == "stopped" {
					c.Stop(old)
				} else {
					c.Kill(old)
				}
				add(t, c.Pods()[i%3], "1")
				c.Wait(30*time.Second, "three voters", func() bool {
					voters := 0
					for _, m := range c.Pods()[0].Node.Status(t.Context()).Members {
						if m.Role == cluster.RoleVoter || m.Role == cluster.RoleLeader {
							voters++
						}
					}
					return voters == 3
				})
			}
			if got := sum(t, c.Pods()[0], machine.Linearizable); got != "12" {
				t.Errorf("%s: sum is %s after every pod was replaced, want 12", end, got)
			}
		}
	})
}

func TestDurableNodesComeBackAtNewAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(t, clustertest.Options{Features: features, Durable: true})
		pods := c.Add(3)
		c.WaitReady(10 * time.Second)
		add(t, pods[0], "5")
		id := pods[0].Node.ID()
		for _, p := range pods {
			c.Kill(p)
		}
		for _, p := range pods {
			c.Restart(p, true)
		}
		c.WaitReady(30 * time.Second)
		if got := sum(t, pods[2], machine.Linearizable); got != "5" {
			t.Errorf("sum is %s after the restart of all, want 5", got)
		}
		if got := pods[0].Node.ID(); got != id {
			t.Errorf("identity is %s after the restart, want %s", got, id)
		}
	})
}

func TestRecoverAfterALostMajority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(t, clustertest.Options{Features: features})
		pods := c.Add(3)
		c.WaitReady(10 * time.Second)
		add(t, pods[0], "7")
		time.Sleep(time.Second)
		c.Kill(pods[0])
		c.Kill(pods[1])
		time.Sleep(30 * time.Second)
		t.Log(pods[2].Node.Status(t.Context()).Problems)
		report, err := pods[2].Node.Recover(t.Context(), cluster.RecoverOptions{})
		if err != nil {
			t.Fatalf("%v\n%s", err, report)
		}
		t.Log(report)
		c.Add(2)
		c.WaitReady(30 * time.Second)
		for _, p := range c.Pods() {
			if got := sum(t, p, machine.Linearizable); got != "7" {
				t.Errorf("%s reads %s after the recovery, want 7", p.Name, got)
			}
		}
	})
}
