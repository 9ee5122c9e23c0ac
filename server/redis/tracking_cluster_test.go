package redis_test

import (
	"context"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster"
	"github.com/huddlecache/huddle/cluster/clustertest"
	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/keyspace"
	"github.com/huddlecache/huddle/server/redis"
)

const keyspaceFeature = 1

// A copyNode is a node with clients that keep copies.
type copyNode struct {
	pod     *clustertest.Pod
	server  *redis.Server
	copiers []*copier
	stop    context.CancelFunc // of its writers
}

// TestCopiesDieWithTheirKeys has clients keep copies at all nodes of a cluster
// while others write through all nodes, a follower is cut off, and then the
// leader is killed.
func TestCopiesDieWithTheirKeys(t *testing.T) {
	const (
		settle = 200 * time.Millisecond // where the network is whole
		bound  = 2 * time.Second
	)
	synctest.Test(t, func(t *testing.T) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		rng := rand.New(rand.NewPCG(seed, 0))
		c := clustertest.New(t, clustertest.Options{
			Seed:     seed,
			Features: []cluster.Feature{{ID: keyspaceFeature, New: func() machine.Machine { return keyspace.New() }}},
		})
		c.Add(3)
		c.WaitReady(20 * time.Second)
		k := &copied{}
		for i := range 9 {
			k.keys = append(k.keys, "key"+strconv.Itoa(i))
		}
		k.acked = make([][]time.Time, len(k.keys))
		var wg sync.WaitGroup
		var nodes []*copyNode
		for n, pod := range c.Pods() {
			nodes = append(nodes, startCopies(t, pod, n, k, &wg))
		}
		defer wg.Wait()
		for _, n := range nodes {
			defer n.server.Close()
			defer n.stop()
		}
		run := func(what string, d, bound time.Duration) {
			t.Helper()
			for start := time.Now(); time.Since(start) < d; time.Sleep(time.Duration(rng.IntN(4)) * time.Millisecond) {
				for _, n := range nodes {
					copier := n.copiers[rng.IntN(len(n.copiers))]
					copier.read(k.keys[rng.IntN(len(k.keys))], k.keys[rng.IntN(len(k.keys))])
					synctest.Wait() // a reply that does not count has been followed by an invalidation
					for _, copier := range n.copiers {
						if complaint := k.check(copier, bound); complaint != "" {
							t.Fatalf("%s, at %s, %s", what, n.pod.Name, complaint)
						}
					}
				}
			}
		}
		run("whole", 2*time.Second, settle)
		var follower, leader *copyNode
		for _, n := range nodes {
			if n.pod == c.Leader() {
				leader = n
			} else {
				follower = n
			}
		}
		for _, n := range nodes {
			if n != follower {
				c.Net.Partition([]string{follower.pod.Addr}, []string{n.pod.Addr})
			}
		}
		run("a follower is cut off", 3*time.Second, bound)
		c.Net.HealAll()
		run("healed", 2*time.Second, bound)
		leader.stop()
		c.Kill(leader.pod)
		for i, n := range nodes {
			if n == leader {
				nodes = append(nodes[:i:i], nodes[i+1:]...)
				break
			}
		}
		run("the leader is dead", 4*time.Second, bound)
		run("and it is over", 2*time.Second, settle)
		for _, n := range nodes {
			for _, c := range n.copiers {
				if hits := c.found(); hits < 100 {
					t.Errorf("%s, %s: only %d reads found a copy", n.pod.Name, c.mode, hits)
				}
			}
		}
		for i, key := range k.keys {
			if n := k.oldest(i, 0); n < 10 {
				t.Errorf("%s was written %d times", key, n)
			}
		}
	})
}

// startCopies serves clients at a pod, and writes every third key there.
func startCopies(t *testing.T, pod *clustertest.Pod, n int, k *copied, wg *sync.WaitGroup) *copyNode {
	t.Helper()
	log, w := pod.Node.Log(keyspaceFeature), &world{t: t, place: newPlace(), port: 40000}
	server, err := redis.Open(redis.Config{
		Log: log, Reach: pod.Node.Peers(keyspaceFeature).Reach, Listeners: []net.Listener{w.place},
	})
	if err != nil {
		t.Fatal(err)
	}
	node := &copyNode{pod: pod, server: server}
	for _, mode := range []string{"CLIENT TRACKING ON", "CLIENT TRACKING ON BCAST", "CLIENT TRACKING ON|CLIENT READS LOCAL"} {
		node.copiers = append(node.copiers, connectCopier(w, mode))
	}
	ctx, stop := context.WithCancel(t.Context())
	node.stop = stop
	for i := n; i < len(k.keys); i += 3 {
		wg.Go(func() { // writes one key, until the context ends
			for version := 1; ctx.Err() == nil; version++ {
				command := keyspace.AppendCommand(nil, 0, 2, [][]byte{[]byte("SET"), []byte(k.keys[i]), []byte(strconv.Itoa(version))})
				replies, _, err := log.Do(ctx, machine.Item{Data: command})
				k.mu.Lock()
				// Those before it whose outcome is unknown are older.
				for err == nil && replies[0].Err == nil && len(k.acked[i]) < version {
					k.acked[i] = append(k.acked[i], time.Now())
				}
				k.mu.Unlock()
				time.Sleep(time.Duration(5+i*20) * time.Millisecond)
			}
		})
	}
	return node
}
