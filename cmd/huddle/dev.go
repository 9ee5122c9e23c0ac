package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/huddlecache/huddle"
)

// The ports that dev takes where they are free, and the next ones.
const (
	devRedisPort = 6379
	devHTTPPort  = 8379
)

const devMostNodes = 7

// devCommand asks for no settings and reads none but the log's level, so that
// it does the same on every machine.
type devCommand struct {
	Nodes int   `help:"How many nodes, 1 to 7." default:"3"`
	Log   level `setting:"" help:"debug, info, warn or error." default:"warn"`
}

// Run serves until the context ends or a node stops by itself.
func (c *devCommand) Run(ctx context.Context, p process) error {
	if c.Nodes < 1 || c.Nodes > devMostNodes {
		return usagef("--nodes: %d is not 1 to %d", c.Nodes, devMostNodes)
	}
	d := &devCluster{logger: newLogger(p.stderr, slog.Level(c.Log))}
	defer d.close()
	if err := d.open(ctx, c.Nodes); err != nil {
		return whileRunning(ctx, err)
	}
	defer limitMemory(p.env, huddle.DefaultCacheBytes, d.nodes...)()
	if err := d.print(p.stdout); err != nil {
		return err
	}
	if err := d.wait(ctx); err != nil {
		return whileRunning(ctx, err)
	}
	if _, err := fmt.Fprintln(p.stdout, "ready"); err != nil {
		return err
	}
	return d.stopped(ctx)
}

// whileRunning drops an error that only says that the user has had enough.
func whileRunning(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return inSettings(err)
}

// A devCluster is a cluster in one process.
type devCluster struct {
	logger *slog.Logger
	nodes  []*huddle.Node
}

// open starts all nodes, each told where all others gossip.
func (d *devCluster) open(ctx context.Context, nodes int) error {
	networks := make([]*devNetwork, nodes)
	var join []string
	for i := range networks {
		var err error
		if networks[i], err = reserve(ctx); err != nil {
			return err
		}
		defer networks[i].release()
		join = append(join, networks[i].gossipAddr())
	}
	key := newKey()
	for i, network := range networks {
		cfg := huddle.Config{
			Name:      "node-" + strconv.Itoa(i+1),
			RedisAddr: preferred(ctx, devRedisPort+i),
			HTTPAddr:  preferred(ctx, devHTTPPort+i),
			Drain:     -1,
			Version:   version,
			Network:   network,
			Logger:    d.logger.With(slog.Int("node", i+1)),
		}
		if nodes > 1 {
			loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
			cfg.Join, cfg.Expect, cfg.Voters, cfg.Keys = join, nodes, nodes, [][]byte{key}
			cfg.Bind, cfg.Advertise = loopback, loopback
			cfg.GossipPort, cfg.PeerPort = network.gossipPort, network.peerPort
		}
		node, err := huddle.Open(ctx, cfg)
		if err != nil {
			return fmt.Errorf("starting node %d: %w", i+1, err)
		}
		d.nodes = append(d.nodes, node)
	}
	return nil
}

// preferred returns a loopback address with the port, or with any free one
// where the port is taken.
func preferred(ctx context.Context, port int) string {
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return "127.0.0.1:0"
	}
	_ = ln.Close()
	return address
}

// print says where the nodes are.
func (d *devCluster) print(w io.Writer) error {
	for i, node := range d.nodes {
		if _, err := fmt.Fprintf(w, "node %d  redis://%s  http://%s\n", i+1, node.RedisAddrs()[0], node.HTTPAddr()); err != nil {
			return err
		}
	}
	return nil
}

// wait returns when every node is ready and sees a quorum.
func (d *devCluster) wait(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !d.isReady(ctx) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

func (d *devCluster) isReady(ctx context.Context) bool {
	for _, node := range d.nodes {
		if node.Err() != nil {
			return true // stopped says what happened
		}
		if node.Ready() != nil || !node.Status(ctx).Quorum {
			return false
		}
	}
	return true
}

// stopped waits for the context, or for a node that stops by itself.
func (d *devCluster) stopped(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, len(d.nodes))
	var wg sync.WaitGroup
	for i, node := range d.nodes {
		wg.Go(func() {
			select {
			case <-ctx.Done():
			case <-node.Done():
				failed <- fmt.Errorf("node %d stopped: %w", i+1, node.Err())
				cancel()
			}
		})
	}
	wg.Wait()
	close(failed)
	return <-failed
}

// close ends all nodes at the same time. They have nobody to hand over to.
func (d *devCluster) close() {
	var wg sync.WaitGroup
	for _, node := range d.nodes {
		wg.Go(node.Kill)
	}
	wg.Wait()
}
