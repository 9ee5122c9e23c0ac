package gossip_test

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster/clustertest"
	"github.com/huddlecache/huddle/cluster/internal/gossip"
)

// A node that has left goes on as another one, at the same port.
func TestNewIdentityAtTheSamePort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1)
		nodes := openAll(t, n, 3)
		if err := nodes[0].Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		nodes[0].Close()
		nodes[0] = open(t, n, "10.0.0.1", "n1-again")
		within(t, 3*time.Second, "all see the new identity", func() bool { return allSee(nodes) })
	})
}

func TestRestartWithNewIDAtSameAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1)
		nodes := openAll(t, n, 3)
		n.Kill("10.0.0.1")
		nodes[0] = open(t, n, "10.0.0.1", "n1-again")
		took := within(t, 8*time.Second, "all see the new ID alone", func() bool { return allSee(nodes) })
		t.Logf("it took %v", took)
		for _, other := range nodes[1:] {
			if !other.sees("n1", gossip.Dead) {
				t.Errorf("%s does not see the former ID dead", other.id)
			}
		}
	})
}

func TestRestartWithSameIDAtSameAddress(t *testing.T) {
	for _, down := range []time.Duration{0, 10 * time.Second, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			n := clustertest.NewNetwork(1)
			nodes := openAll(t, n, 3)
			n.Kill("10.0.0.1")
			time.Sleep(down)
			cfg := config(n, "10.0.0.1", "n1")
			cfg.Meta.Version = "0.2.0"
			nodes[0] = openWith(t, cfg)
			took := within(t, 8*time.Second, "all see the new version", func() bool {
				for _, other := range nodes {
					if m, _ := other.Member("n1"); m.Version != "0.2.0" {
						return false
					}
				}
				return allSee(nodes)
			})
			t.Logf("down for %v, it took %v", down, took)
		})
	}
}

func TestRestartWithSameIDAtNewAddress(t *testing.T) {
	for _, down := range []time.Duration{0, 2 * time.Second, 10 * time.Second, time.Minute} {
		for _, named := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				n := clustertest.NewNetwork(1)
				nodes := openAll(t, n, 3)
				n.Kill("10.0.0.1")
				time.Sleep(down)
				if named {
					n.SetDNS(name, "10.0.0.9", "10.0.0.2", "10.0.0.3")
				} else {
					n.SetDNS(name, "10.0.0.2")
				}
				nodes[0] = open(t, n, "10.0.0.9", "n1")
				want := netip.MustParseAddr("10.0.0.9")
				took := within(t, 10*time.Second, "all see n1 at its new address", func() bool {
					for _, other := range nodes {
						if m, _ := other.Member("n1"); m.Addr != want {
							return false
						}
					}
					return allSee(nodes)
				})
				t.Logf("down for %v, named %v: it took %v", down, named, took)
				throughout(t, 15*time.Second, "all see n1", func() bool { return allSee(nodes) })
			})
		}
	}
}

func TestTwinIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1)
		nodes := openAll(t, n, 3)
		if got := nodes[0].Twin(); !got.Last.IsZero() {
			t.Errorf("twin without one: %+v", got)
		}
		twin := open(t, n, "10.0.0.9", "n1")
		within(t, 3*time.Second, "the later one knows of the first", func() bool {
			return twin.Twin().Peer == netip.MustParseAddrPort("10.0.0.1:7947")
		})
	})
}
