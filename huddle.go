// Package huddle makes the pods of a service their own backing service: they
// find each other, agree through Raft, and serve what they agree on to Redis
// and HTTP clients on every one of them.
//
// A [Node] is one of them. Embed it with [Open], or run cmd/huddle.
package huddle

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/huddlecache/huddle/cache"
	"github.com/huddlecache/huddle/cluster"
	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/counters"
	"github.com/huddlecache/huddle/keyspace"
	"github.com/huddlecache/huddle/locks"
	"github.com/huddlecache/huddle/server/redis"
	"github.com/huddlecache/huddle/sessions"
)

// Numbers under which the log knows the machines. They are never reused.
const (
	featureKeyspace = 1
	featureSessions = 2
	featureLocks    = 3
	featureCounters = 4
	featureCache    = 5
)

// Close takes at most closeLimit. The last of it, closeListeners, is for
// clients whose commands are still being answered.
const (
	closeLimit     = 25 * time.Second
	closeListeners = 5 * time.Second
)

// A Node is one member of a cluster, with its listeners for clients.
type Node struct {
	cluster  *cluster.Node
	sessions *sessions.Sessions
	locks    *locks.Locks
	counters *counters.Counters
	cache    *cache.Cache
	warmup   warmup

	redis *redis.Server
	http  []*http.Server // the API, and health alone
	addrs map[string][]net.Addr

	wg        sync.WaitGroup // what accepts clients, and what watches the cluster
	closing   sync.Once
	isClosing atomic.Bool // the cluster stops because it is told to
	closeErr  error
	ending    sync.Once
	done      chan struct{} // closed by end
	err       error         // why the node stopped by itself; written before done is closed
}

// Open starts a node. It returns once the node listens; finding the others,
// and founding or joining a cluster, goes on behind, and [Node.Ready] says
// how far it is. A [*SettingError] names the field that cannot be used.
//
// The context bounds Open, and not the life of the node.
func Open(ctx context.Context, cfg Config) (*Node, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	doors, err := cfg.openDoors(ctx)
	if err != nil {
		return nil, err
	}
	c, err := cluster.Open(ctx, cfg.cluster(machines()))
	if err != nil {
		doors.close()
		return nil, fmt.Errorf("opening the node: %w", err)
	}
	n := &Node{
		cluster:  c,
		sessions: sessions.New(c.Log(featureSessions), sessions.Config{MaxValue: cfg.MaxValue}),
		locks:    locks.New(c.Log(featureLocks)),
		counters: counters.New(c.Log(featureCounters)),
		cache:    cache.New(c.Log(featureCache), c.Peers(featureCache), cache.Config{Bytes: cfg.CacheBytes, MaxValue: cfg.MaxValue, Loaders: cfg.CacheLoaders}),
		addrs:    doors.addrs(), done: make(chan struct{}),
	}
	if err := n.serveRedis(cfg, doors); err != nil {
		doors.close()
		n.locks.Close()
		n.cache.Close()
		return nil, errors.Join(fmt.Errorf("serving Redis clients: %w", err), c.Close(ctx))
	}
	n.serveHTTP(cfg, doors)
	n.wg.Go(n.watch)
	return n, nil
}

// RecoverDir does what huddle recover does, with the data directory of a node
// that does not run, and returns in words what was, or would be, done. Nobody
// else is asked: the caller must know that no other node is further on.
func RecoverDir(ctx context.Context, dir string, o cluster.RecoverOptions) (report string, err error) {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return "", setting("DataDir", "%q is no directory; give that of a node that does not run", dir)
	}
	return cluster.RecoverDir(ctx, cluster.Config{DataDir: dir, Features: machines()}, o)
}

// machines lists what the log drives.
func machines() []cluster.Feature {
	return []cluster.Feature{
		{ID: featureKeyspace, New: func() machine.Machine { return keyspace.New() }},
		{ID: featureSessions, New: sessions.NewMachine},
		{ID: featureLocks, New: locks.NewMachine},
		{ID: featureCounters, New: counters.NewMachine},
		{ID: featureCache, New: cache.NewMachine},
	}
}

// watch ends when the node does.
func (n *Node) watch() {
	select {
	case <-n.cluster.Done():
		if !n.isClosing.Load() {
			n.end(n.cluster.Err())
		}
	case <-n.done:
	}
}

// end notes the first reason to stop.
func (n *Node) end(err error) {
	n.ending.Do(func() {
		n.err = err
		close(n.done)
	})
}

// ID returns the node's identity. One in memory may take another where its
// cluster has removed it.
func (n *Node) ID() string { return n.cluster.ID() }

// Ready returns nil, or why this node should not be sent clients: it is
// joining, draining, or cut off from all others. A lost quorum is no reason,
// for then no other node could serve them either. A new node is ready first
// once its share of the cache has arrived, or ten seconds later than it would
// be otherwise.
func (n *Node) Ready() error {
	if err := n.cluster.Ready(); err != nil {
		return err
	}
	return n.warmup.ready(n.cache.Ready)
}

// Status returns what this node knows of the cluster.
func (n *Node) Status(ctx context.Context) cluster.Status { return n.cluster.Status(ctx) }

// RedisAddrs returns the addresses that Redis clients can come to.
func (n *Node) RedisAddrs() []net.Addr { return n.addrs["RedisAddr"] }

// HTTPAddr returns the address of the HTTP API, nil where it is off.
func (n *Node) HTTPAddr() net.Addr { return n.addr("HTTPAddr") }

// HealthAddr returns the address of the probes, nil where it is off.
func (n *Node) HealthAddr() net.Addr { return n.addr("HealthAddr") }

func (n *Node) addr(field string) net.Addr {
	if len(n.addrs[field]) == 0 {
		return nil
	}
	return n.addrs[field][0]
}

// Sessions returns the cluster's sessions.
func (n *Node) Sessions() *sessions.Sessions { return n.sessions }

// Locks returns the cluster's locks. Those that are held through it are
// released when the node is closed.
func (n *Node) Locks() *locks.Locks { return n.locks }

// Counters returns the cluster's counters and limits.
func (n *Node) Counters() *counters.Counters { return n.counters }

// Cache returns the cache that the nodes share.
func (n *Node) Cache() *cache.Cache { return n.cache }

// Done is closed when the node has stopped, by Close or by itself. A node
// that stopped by itself is to be closed all the same.
func (n *Node) Done() <-chan struct{} { return n.done }

// Err returns why the node stopped by itself, nil while it runs and after an
// orderly Close.
func (n *Node) Err() error {
	select {
	case <-n.done:
		return n.err
	default:
		return nil
	}
}

// Close stops the node in order: it says that it is not ready, goes on serving
// for Config.Drain, leaves the cluster, answers what it has been asked, and
// closes its listeners. That takes 25 seconds at most, less where the context
// ends sooner. Closing again waits for the first Close and returns the same.
func (n *Node) Close(ctx context.Context) error {
	n.closing.Do(func() {
		n.isClosing.Store(true)
		ctx, cancel := context.WithTimeout(ctx, closeLimit)
		defer cancel()
		n.closeErr = n.close(ctx)
	})
	return n.closeErr
}

func (n *Node) close(ctx context.Context) error {
	leaving, cancel := context.WithTimeout(ctx, closeLimit-closeListeners)
	defer cancel()
	n.cluster.Drain(leaving)
	n.locks.Close() // while the cluster can still be told
	var errs []error
	if err := n.cache.Leave(leaving); err != nil {
		errs = append(errs, err, leaving.Err()) // the log does not tell that it was given no time
	}
	if err := n.cluster.Close(leaving); err != nil {
		errs = append(errs, fmt.Errorf("leaving the cluster: %w", err))
	}
	return errors.Join(append(errs, n.stop(ctx))...)
}

// Kill stops the node at once and leaves nothing in order, as if its process
// had been killed: for clusters that end as a whole, and for tests. Closing a
// killed node does nothing.
func (n *Node) Kill() {
	n.closing.Do(func() {
		n.isClosing.Store(true)
		n.cluster.Kill()
		n.locks.Close()
		over, cancel := context.WithCancel(context.Background())
		cancel()
		n.closeErr = n.stop(over)
	})
}

// stop ends what serves clients, once the cluster has ended.
func (n *Node) stop(ctx context.Context) error {
	err := n.closeListeners(ctx)
	n.cache.Close()
	n.end(nil)
	n.wg.Wait()
	return err
}
