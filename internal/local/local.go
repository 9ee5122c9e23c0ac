// Package local runs clusters of real nodes in this process, on the loopback
// address, for tests.
package local

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/huddlecache/huddle"
)

// patience is how long a cluster may take to be ready on a busy machine.
const patience = time.Minute

// Cluster starts nodes in memory that found a cluster, and waits until all are
// ready. Their ports for clients are free ones. The nodes that were opened are
// returned also with an error, to be killed or closed.
func Cluster(ctx context.Context, count int) (nodes []*huddle.Node, err error) {
	ports, err := freePorts(ctx, 2*count)
	if err != nil {
		return nil, err
	}
	var join []string
	for _, port := range ports[:count] {
		join = append(join, fmt.Sprintf("127.0.0.1:%d", port))
	}
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	for i := range count {
		node, err := huddle.Open(ctx, huddle.Config{
			Name: fmt.Sprintf("node-%d", i+1), Join: join, Expect: count, Keys: [][]byte{make([]byte, 32)},
			Bind: loopback, Advertise: loopback, GossipPort: ports[i], PeerPort: ports[count+i],
			RedisAddr: "127.0.0.1:0", HTTPAddr: "127.0.0.1:0", Drain: -1,
		})
		if err != nil {
			return nodes, fmt.Errorf("opening node %d: %w", i+1, err)
		}
		nodes = append(nodes, node)
	}
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		reason := notReady(nodes)
		if reason == nil {
			return nodes, nil
		}
		if time.Since(start) > patience {
			return nodes, fmt.Errorf("not ready after %s: %w", patience, reason)
		}
	}
}

func notReady(nodes []*huddle.Node) error {
	for _, node := range nodes {
		if err := node.Ready(); err != nil {
			return err
		}
	}
	return nil
}

// freePorts returns TCP ports that nobody has, which were held open until all
// were found.
func freePorts(ctx context.Context, count int) (ports []int, err error) {
	var lc net.ListenConfig
	for range count {
		ln, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("finding a free port: %w", err)
		}
		defer ln.Close()
		ports = append(ports, ln.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
