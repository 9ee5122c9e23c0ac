package gossip_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster/clustertest"
	"github.com/huddlecache/huddle/cluster/internal/gossip"
)

func TestNodesFindEachOtherByName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := openAll(t, clustertest.NewNetwork(1), 3)
		got, err := nodes[0].Address("n3")
		if want := "10.0.0.3:7947"; got != want || err != nil {
			t.Errorf("address of n3: %q, %v; want %q", got, err, want)
		}
		if _, err := nodes[0].Address("n4"); err == nil {
			t.Error("address of an unknown node: no error")
		}
		want := gossip.Meta{ID: "n2", Name: "pod-n2", PeerPort: 7947, Version: "0.1.0", Level: 1}
		if got, _ := nodes[0].Member("n2"); got.Meta != want {
			t.Errorf("n2 is %+v, want %+v", got.Meta, want)
		}
	})
}

func TestLateDNS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1)
		one, two := open(t, n, "10.0.0.1", "n1"), open(t, n, "10.0.0.2", "n2")
		time.Sleep(10 * time.Minute)
		if got := one.DNS(); got.Err == nil || !got.Complete.IsZero() {
			t.Errorf("without a name the view is %+v, want an error and not complete", got)
		}
		n.SetDNS(name, "10.0.0.1", "10.0.0.2")
		within(t, 3*time.Second, "both see each other", func() bool { return allSee([]*node{one, two}) })
		within(t, 3*time.Second, "two are named and seen", func() bool {
			got := one.DNS()
			return got.Err == nil && !got.Complete.IsZero() && len(got.Unseen) == 0 && len(got.Named) == 2
		})
	})
}

func TestKilledNodeIsDeadAndRemembered(t *testing.T) {
	for _, count := range []int{2, 3, 5} {
		synctest.Test(t, func(t *testing.T) {
			n := clustertest.NewNetwork(1)
			nodes := openAll(t, n, count)
			start := time.Now()
			n.Kill(nodes[0].host)
			for _, other := range nodes[1:] {
				within(t, 8*time.Second, "n1 is dead to "+other.id, func() bool { return other.sees("n1", gossip.Dead) })
			}
			t.Logf("with %d nodes it took %v", count, time.Since(start))
			for _, other := range nodes[1:] {
				throughout(t, time.Minute, "n1 is remembered", func() bool { return other.sees("n1", gossip.Dead) })
				m, _ := other.Member("n1")
				if got := m.Since.Sub(start); got < time.Second || got > 8*time.Second {
					t.Errorf("%s saw n1 die after %v", other.id, got)
				}
				other.Forget("n1")
				other.Forget("n2")
				if _, found := other.Member("n1"); found {
					t.Errorf("%s has not forgotten the dead", other.id)
				}
				if !other.sees("n2", gossip.Alive) {
					t.Errorf("%s has forgotten the living", other.id)
				}
			}
		})
	}
}

func TestLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1)
		nodes := openAll(t, n, 3)
		if err := nodes[0].Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := nodes[0].Close(); err != nil {
			t.Fatal(err)
		}
		for _, other := range nodes[1:] {
			within(t, time.Second, "n1 has left "+other.id, func() bool { return other.sees("n1", gossip.Left) })
			throughout(t, time.Minute, "n1 has left", func() bool { return other.sees("n1", gossip.Left) })
		}
		if err := nodes[0].Leave(t.Context()); !errors.Is(err, gossip.ErrClosed) {
			t.Errorf("leaving after close: %v, want ErrClosed", err)
		}
		if err := nodes[0].Update(gossip.Meta{ID: "n1"}); !errors.Is(err, gossip.ErrClosed) {
			t.Errorf("update after close: %v, want ErrClosed", err)
		}
	})
}

func TestLeaveIsBoundedByContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := openAll(t, clustertest.NewNetwork(1), 2)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := nodes[0].Leave(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("leaving without time: %v, want cancelled", err)
		}
		go nodes[0].Close()
		nodes[0].Close()
	})
}

// The bubble panics where a goroutine outlives its test: Close must wait also
// for probes that nobody answers.
func TestCloseLeavesNothing(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, seed))
	for range 30 {
		synctest.Test(t, func(t *testing.T) {
			n := clustertest.NewNetwork(seed)
			n.SetDNS(name, "10.0.0.1", "10.0.0.2", "10.0.0.3")
			nodes := []*node{open(t, n, "10.0.0.1", "n1"), open(t, n, "10.0.0.2", "n2"), open(t, n, "10.0.0.3", "n3")}
			time.Sleep(time.Duration(random.Int64N(int64(2 * time.Second))))
			n.Partition([]string{"10.0.0.3"}, []string{"10.0.0.1", "10.0.0.2"})
			time.Sleep(time.Duration(random.Int64N(int64(5 * time.Second))))
			start := time.Now()
			for _, one := range nodes {
				one.Close()
			}
			if got := time.Since(start); got > 10*time.Second {
				t.Errorf("closing three took %v", got)
			}
		})
	}
}

// Neither a dial that hangs nor a stranger who says nothing holds up Close.
func TestCloseEndsDialsAndStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1)
		n.SetDNS(name, "10.0.0.1", "10.0.0.2")
		n.Cut("10.0.0.1", "10.0.0.2")
		one := open(t, n, "10.0.0.1", "n1")
		stranger, err := n.Host("10.0.0.3").Dial(t.Context(), one.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer stranger.Close()
		time.Sleep(time.Second)
		start := time.Now()
		one.Close()
		if got := time.Since(start); got > 0 {
			t.Errorf("close took %v, want no wait", got)
		}
		if _, err := stranger.Read(make([]byte, 1)); err == nil {
			t.Error("the stranger's stream is still open")
		}
	})
}

func TestPartitionHealsAfterMemberlistForgot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1)
		nodes := openAll(t, n, 3)
		n.Partition([]string{"10.0.0.1"}, []string{"10.0.0.2", "10.0.0.3"})
		n.Partition([]string{"10.0.0.2"}, []string{"10.0.0.3"})
		time.Sleep(10 * time.Minute)
		for _, one := range nodes {
			if got := one.count(gossip.Dead); got != 2 {
				t.Errorf("%s sees %d dead, want 2", one.id, got)
			}
		}
		n.HealAll()
		within(t, 5*time.Second, "all see each other again", func() bool { return allSee(nodes) })
	})
}

// Who joined over a node that is gone for good must find each other all the
// same.
func TestPartitionHealsWithoutTheOneThatIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1)
		n.SetDNS(name, "10.0.0.1")
		nodes := []*node{open(t, n, "10.0.0.1", "n1"), open(t, n, "10.0.0.2", "n2"), open(t, n, "10.0.0.3", "n3")}
		within(t, 3*time.Second, "all see each other", func() bool { return allSee(nodes) })
		n.Partition([]string{"10.0.0.2"}, []string{"10.0.0.3"})
		n.Kill("10.0.0.1")
		time.Sleep(10 * time.Minute)
		n.HealAll()
		within(t, 10*time.Second, "both see each other again", func() bool { return allSee(nodes[1:]) })
	})
}

func TestPausedNodeComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1)
		nodes := openAll(t, n, 3)
		n.Pause("10.0.0.2")
		time.Sleep(time.Minute)
		if !nodes[0].sees("n2", gossip.Dead) {
			t.Error("the paused node is not dead")
		}
		n.Resume("10.0.0.2")
		within(t, 15*time.Second, "all see each other again", func() bool { return allSee(nodes) })
	})
}

// Where packets are not carried, streams alone must do.
func TestStreamsAloneKeepMembersAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1)
		for _, a := range []string{"10.0.0.1", "10.0.0.2", "10.0.0.3"} {
			for _, b := range []string{"10.0.0.1", "10.0.0.2", "10.0.0.3"} {
				n.Packets(a, b, clustertest.PacketFaults{Loss: 1})
			}
		}
		nodes := openAll(t, n, 3)
		throughout(t, 2*time.Minute, "all see each other", func() bool { return allSee(nodes) })

		m, _ := nodes[0].Member("n1")
		m.Meta.Cluster = "c1"
		if err := nodes[0].Update(m.Meta); err != nil {
			t.Fatal(err)
		}
		for _, other := range nodes[1:] {
			within(t, 12*time.Second, "the update is known to "+other.id, func() bool {
				got, _ := other.Member("n1")
				return got.Meta == m.Meta
			})
		}
	})
}

func TestLostPacketsKillNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1)
		nodes := openAll(t, n, 3)
		for _, one := range nodes {
			for _, other := range nodes {
				n.Packets(one.host, other.host, clustertest.PacketFaults{Loss: 0.3, Duplicate: 0.3, Reorder: 0.3})
			}
		}
		throughout(t, 2*time.Minute, "all see each other", func() bool { return allSee(nodes) })
	})
}

func TestAnotherKeyNeverMerges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1)
		n.SetDNS(name, "10.0.0.1", "10.0.0.2")
		one := open(t, n, "10.0.0.1", "n1")
		cfg := config(n, "10.0.0.2", "n2")
		cfg.Keys = [][]byte{key(2)}
		two := openWith(t, cfg)
		throughout(t, time.Minute, "they don't see each other", func() bool {
			return len(one.Members()) == 1 && len(two.Members()) == 1
		})
		const want = `level=WARN msg="a node that is named cannot be joined"`
		if !one.logs.contains(want) || !two.logs.contains(want) {
			t.Error("nobody was warned")
		}
		if got := one.DNS().Unseen; len(got) != 1 || got[0] != addrPort("10.0.0.2") {
			t.Errorf("unseen are %v, want the other", got)
		}
	})
}

func TestAnotherLabelNeverMerges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1)
		n.SetDNS(name, "10.0.0.1", "10.0.0.2")
		one := open(t, n, "10.0.0.1", "n1")
		cfg := config(n, "10.0.0.2", "n2")
		cfg.Label = "other"
		two := openWith(t, cfg)
		throughout(t, time.Minute, "they don't see each other", func() bool {
			return len(one.Members()) == 1 && len(two.Members()) == 1
		})
	})
}

// A key is changed node by node: all accept both, then the order is changed.
func TestRotatedKeysUnderstandEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1)
		n.SetDNS(name, "10.0.0.1", "10.0.0.2")
		one, two := config(n, "10.0.0.1", "n1"), config(n, "10.0.0.2", "n2")
		one.Keys, two.Keys = [][]byte{key(1), key(2)}, [][]byte{key(2), key(1)}
		nodes := []*node{openWith(t, one), openWith(t, two)}
		within(t, 3*time.Second, "both see each other", func() bool { return allSee(nodes) })
		throughout(t, time.Minute, "both see each other", func() bool { return allSee(nodes) })
	})
}

func TestUpdatesTravel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := openAll(t, clustertest.NewNetwork(1), 3)
		before, _ := nodes[1].Member("n1")
		drain(nodes[1])
		meta := before.Meta
		meta.Cluster, meta.Level, meta.Flags = "c1", 7, gossip.Durable|gossip.Ready
		start := time.Now()
		if err := nodes[0].Update(meta); err != nil {
			t.Fatal(err)
		}
		if got := time.Since(start); got > time.Millisecond {
			t.Errorf("update took %v, want no wait", got)
		}
		select {
		case <-nodes[1].Changes():
		case <-time.After(time.Second):
			t.Error("no change was signalled")
		}
		for _, one := range nodes {
			within(t, time.Second, "the update is known to "+one.id, func() bool {
				m, _ := one.Member("n1")
				return m.Meta == meta
			})
		}
		if m, _ := nodes[1].Member("n1"); m.Since != before.Since || m.State != gossip.Alive {
			t.Errorf("after an update n1 is %v since %v, want alive since %v", m.State, m.Since, before.Since)
		}
		meta.ID = "n9"
		if err := nodes[0].Update(meta); !errors.Is(err, gossip.ErrMeta) {
			t.Errorf("update of the ID: %v, want ErrMeta", err)
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(*gossip.Config)
	}{
		{"no key", func(c *gossip.Config) { c.Keys = nil }},
		{"short key", func(c *gossip.Config) { c.Keys = [][]byte{{1}} }},
		{"no ID", func(c *gossip.Config) { c.Meta.ID = "" }},
		{"long cluster ID", func(c *gossip.Config) { c.Meta.Cluster = string(make([]byte, 65)) }},
		{"empty join", func(c *gossip.Config) { c.Join = []string{""} }},
		{"bad port", func(c *gossip.Config) { c.Join = []string{"host:x"} }},
		{"port 0", func(c *gossip.Config) { c.Join = []string{"host:0"} }},
		{"foreign bind", func(c *gossip.Config) { c.Bind = netip.MustParseAddr("10.0.0.7") }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := clustertest.NewNetwork(1)
				cfg := config(n, "10.0.0.1", "n1")
				test.change(&cfg)
				if g, err := gossip.Open(t.Context(), cfg); err == nil {
					g.Close()
					t.Fatal("no error")
				}
				open(t, n, "10.0.0.1", "n1") // the port is free
			})
		})
	}
}

func drain(n *node) {
	select {
	case <-n.Changes():
	default:
	}
}
