package gossip_test

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/clustertest"
	"github.com/huddlecache/huddle/cluster/internal/gossip"
)

// What the in-memory network is taken for: the same over real sockets.
func TestOverRealSockets(t *testing.T) {
	var nodes []*node
	for _, id := range []string{"n1", "n2", "n3"} {
		cfg := config(clustertest.NewNetwork(1), "10.0.0.1", id)
		cfg.Network, cfg.Bind, cfg.Port, cfg.Join = sockets{}, netip.MustParseAddr("127.0.0.1"), 0, nil
		if len(nodes) > 0 {
			cfg.Join = []string{nodes[0].Addr().String()}
		}
		nodes = append(nodes, openWith(t, cfg))
	}
	deadline := time.After(20 * time.Second)
	for !allSee(nodes) {
		select {
		case <-nodes[0].Changes():
		case <-nodes[1].Changes():
		case <-nodes[2].Changes():
		case <-deadline:
			t.Fatal("they don't see each other")
		}
	}
	if err := nodes[2].Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	for !nodes[0].sees("n3", gossip.Left) {
		select {
		case <-nodes[0].Changes():
		case <-deadline:
			t.Fatal("n3 has not left")
		}
	}
}

// sockets is the machine's network.
type sockets struct{}

func (sockets) Listen(addr string) (net.Listener, error) { return net.Listen("tcp", addr) }
func (sockets) ListenPacket(addr string) (net.PacketConn, error) {
	return net.ListenPacket("udp", addr)
}

func (sockets) Dial(ctx context.Context, addr string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", addr)
}

func (sockets) LookupHost(ctx context.Context, name string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
}
