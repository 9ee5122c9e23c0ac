package huddle

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/huddlecache/huddle/cluster"
	serverhttp "github.com/huddlecache/huddle/server/http"
	"github.com/huddlecache/huddle/server/redis"
)

// serveRedis starts to serve Redis clients. The server closes its listeners.
func (n *Node) serveRedis(cfg Config, d doors) error {
	server, err := redis.Open(redis.Config{
		Listeners: d["RedisAddr"],
		Log:       n.cluster.Log(featureKeyspace),
		Sessions:  n.sessions,
		Locks:     n.locks,
		Counting:  n.counters,
		Cache:     n.cache,
		Password:  cfg.Password,
		MaxValue:  cfg.MaxValue,
		Version:   cfg.Version,
		Stats:     func() redis.Stats { return n.stats(cfg) },
		Reach:     n.cluster.Peers(featureKeyspace).Reach,
		Logger:    cfg.Logger,
	})
	n.redis = server
	return err
}

// stats is what INFO says of the node.
func (n *Node) stats(cfg Config) redis.Stats {
	u := n.cluster.Usage()
	return redis.Stats{
		Node: n.cluster.ID(), Cluster: u.Cluster, Durable: cfg.DataDir != "", Loading: u.Cluster == "",
		StateBytes: u.StateBytes, StateLimit: u.StateLimit,
	}
}

// probed is the cluster as HTTP serves it: ready when the whole node is.
type probed struct {
	*cluster.Node
	whole *Node
}

// Ready returns what the whole node does.
func (p probed) Ready() error { return p.whole.Ready() }

// serveHTTP starts to serve the API and the probes. Its goroutines end when
// the servers are closed.
func (n *Node) serveHTTP(cfg Config, d doors) {
	server := serverhttp.New(serverhttp.Config{
		Node:     probed{n.cluster, n},
		Sessions: n.sessions,
		Locks:    n.locks,
		Counting: n.counters,
		Cache:    n.cache,
		MaxValue: cfg.MaxValue,
		Redis:    &n.redis.Counters,
		Password: cfg.Password,
		Version:  cfg.Version,
		Logger:   cfg.Logger,
	})
	for field, handler := range map[string]http.Handler{"HTTPAddr": server.Handler(), "HealthAddr": server.Health()} {
		for _, ln := range d[field] {
			srv := server.NewHTTPServer(handler)
			n.http = append(n.http, srv)
			n.wg.Go(func() { n.accept(srv, ln) })
		}
	}
}

// accept ends when srv is closed.
func (n *Node) accept(srv *http.Server, ln net.Listener) {
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		n.end(fmt.Errorf("serving HTTP clients at %s: %w", ln.Addr(), err))
	}
}

// closeListeners lets clients have the answers that are under way. The Redis
// server bounds that by itself; what is left of the others when the context
// ends is cut off.
func (n *Node) closeListeners(ctx context.Context) error {
	errs := []error{n.redis.Close()}
	for _, srv := range n.http {
		if srv.Shutdown(ctx) != nil {
			errs = append(errs, srv.Close())
		}
	}
	return errors.Join(errs...)
}
