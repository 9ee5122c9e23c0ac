package gossip_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster/clustertest"
	"github.com/huddlecache/huddle/cluster/internal/gossip"
)

func TestViewNamesWhomDNSNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1)
		n.SetDNS(name, "10.0.0.2", "10.0.0.1", "10.0.0.7")
		one := open(t, n, "10.0.0.1", "n1")
		open(t, n, "10.0.0.2", "n2")
		within(t, 3*time.Second, "only 10.0.0.7 is unseen", func() bool {
			return slices.Equal(one.DNS().Unseen, addrPorts("10.0.0.7"))
		})
		if got, want := one.DNS().Named, addrPorts("10.0.0.1", "10.0.0.2", "10.0.0.7"); !slices.Equal(got, want) {
			t.Errorf("named are %v, want %v", got, want)
		}
		n.Kill("10.0.0.2")
		within(t, 8*time.Second, "the dead are unseen", func() bool {
			return slices.Equal(one.DNS().Unseen, addrPorts("10.0.0.2", "10.0.0.7"))
		})
	})
}

func TestAbsentCountsOnlyWhatIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1)
		n.SetDNS(name, "10.0.0.1", "10.0.0.2")
		one := open(t, n, "10.0.0.1", "n1")
		cfg := config(n, "10.0.0.3", "n3")
		cfg.Join = append(cfg.Join, "never.resolved")
		three := openWith(t, cfg)
		time.Sleep(time.Minute)
		expectAbsent(t, one, "10.0.0.2", 0)
		expectAbsent(t, one, "10.0.0.9", time.Minute)

		n.SetDNS(name, "10.0.0.1")
		time.Sleep(30 * time.Second)
		expectAbsent(t, one, "10.0.0.2", 30*time.Second)

		n.FailDNS("10.0.0.1", errors.New("no answer"))
		time.Sleep(5 * time.Minute)
		expectAbsent(t, one, "10.0.0.2", 30*time.Second)
		if got := one.DNS(); got.Err == nil || !slices.Equal(got.Named, addrPorts("10.0.0.1")) {
			t.Errorf("without answers the view is %+v, want an error and the last known", got)
		}

		n.FailDNS("10.0.0.1", nil)
		n.SetDNS(name, "10.0.0.1", "10.0.0.2")
		time.Sleep(10 * time.Second)
		expectAbsent(t, one, "10.0.0.2", 0)
		expectAbsent(t, three, "10.0.0.9", 0)
	})
}

// expectAbsent allows for the time between two rounds.
func expectAbsent(t *testing.T, n *node, host string, want time.Duration) {
	t.Helper()
	if got := n.DNS().Absent(addrPort(host)); got > want || got < want-10*time.Second {
		t.Errorf("%s is absent for %v, want about %v", host, got, want)
	}
}

func TestResolverErrorKeepsJoining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1)
		n.SetDNS(name, "10.0.0.1", "10.0.0.2")
		one := open(t, n, "10.0.0.1", "n1")
		time.Sleep(10 * time.Second)
		n.FailDNS("10.0.0.1", errors.New("no answer"))
		time.Sleep(10 * time.Minute)
		cfg := config(n, "10.0.0.2", "n2")
		cfg.Join = nil
		two := openWith(t, cfg)
		within(t, 3*time.Second, "n2 was joined", func() bool { return allSee([]*node{one, two}) })
	})
}

// Each node is told of another random half of all, but of enough to reach
// everybody over others.
func TestPartialViewsOfDNS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1)
		var nodes []*node
		for i := range 7 {
			host, next := fmt.Sprintf("10.0.0.%d", i+1), fmt.Sprintf("10.0.0.%d", (i+1)%7+1)
			n.SetDNSFor(host, name, host, next)
			nodes = append(nodes, open(t, n, host, fmt.Sprintf("n%d", i+1)))
		}
		within(t, 5*time.Second, "all see each other", func() bool { return allSee(nodes) })
	})
}

func TestJoinByAddressAndPort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1)
		one, two, three := config(n, "10.0.0.1", "n1"), config(n, "10.0.0.2", "n2"), config(n, "fd00::3", "n3")
		one.Port, two.Port, three.Port = 1001, 1002, 1003
		one.Join = []string{"10.0.0.2:1002", "[fd00::3]:1003"}
		two.Join, three.Join = nil, nil
		nodes := []*node{openWith(t, one), openWith(t, two), openWith(t, three)}
		within(t, 3*time.Second, "all see each other", func() bool { return allSee(nodes) })
		if got, want := nodes[2].Addr(), netip.MustParseAddrPort("[fd00::3]:1003"); got != want {
			t.Errorf("the third is at %v, want %v", got, want)
		}
	})
}

// A node may be named by an address that it does not advertise.
func TestAliasIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1)
		n.SetDNS(name, "10.0.0.1", "10.0.0.2")
		one := open(t, n, "10.0.0.1", "n1")
		cfg := config(n, "10.0.0.2", "n2")
		cfg.Advertise = netip.MustParseAddr("192.0.2.2")
		cfg.Join = nil
		openWith(t, cfg)
		within(t, 3*time.Second, "nobody is unseen", func() bool {
			view := one.DNS()
			return len(view.Named) == 2 && len(view.Unseen) == 0 && one.sees("n2", gossip.Alive)
		})
	})
}

func TestStaleRecordIsWarnedOfOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1)
		n.SetDNS(name, "10.0.0.1", "10.0.0.7")
		one := open(t, n, "10.0.0.1", "n1")
		time.Sleep(10 * time.Minute)
		if got := one.logs.count("level=WARN"); got != 1 {
			t.Errorf("warned %d times in ten minutes, want once", got)
		}
	})
}

func addrPorts(hosts ...string) (addrs []netip.AddrPort) {
	for _, h := range hosts {
		addrs = append(addrs, addrPort(h))
	}
	return addrs
}
