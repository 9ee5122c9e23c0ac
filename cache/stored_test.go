package cache_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cache"
	"github.com/huddlecache/huddle/cluster/clustertest"
)

const storedKeys = 60

// A stay is one run of writers and readers on all pods, while pods come and
// go in order and nothing is lost.
type stay struct {
	*world
	seed  uint64
	fault func() // done before nodes come and go, to plant a fault
	over  chan struct{}
	work  sync.WaitGroup
	acked [storedKeys]atomic.Int64 // the last version that was acknowledged

	mu    sync.Mutex // guards users; not held while time passes
	users []*user    // pods that may be used

	reads, misses, old, puts, failed atomic.Int64
}

// A user is those who use a pod's cache.
type user struct {
	pod    *clustertest.Pod
	cache  *cache.Cache
	active sync.WaitGroup
}

func (s *stay) random(n uint64) *rand.Rand { return rand.New(rand.NewPCG(s.seed, n)) }

// with calls fn with the cache of some pod that stays for that long.
func (s *stay) with(random *rand.Rand, fn func(c *cache.Cache)) {
	s.mu.Lock()
	u := s.users[random.IntN(len(s.users))]
	u.active.Add(1)
	s.mu.Unlock()
	defer u.active.Done()
	fn(u.cache)
}

func (s *stay) during(fn func()) {
	s.work.Go(func() {
		for {
			select {
			case <-s.over:
				return
			default:
				fn()
			}
		}
	})
}

// write puts the next version of one of the writer's own keys.
func (s *stay) write(random *rand.Rand, k int, version int64) {
	s.with(random, func(c *cache.Cache) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		err := c.Put(ctx, "g", fmt.Sprint("k", k), cache.Item{Value: strconv.AppendInt(nil, version, 10)}, cache.Right{})
		if err != nil {
			s.failed.Add(1)
			time.Sleep(10 * time.Second) // it may still take effect
			return
		}
		s.puts.Add(1)
		s.acked[k].Store(version)
	})
}

func (s *stay) read(random *rand.Rand) {
	s.with(random, func(c *cache.Cache) {
		k := random.IntN(storedKeys)
		least := s.acked[k].Load()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		item, err := c.Get(ctx, "g", fmt.Sprint("k", k))
		isMiss := errors.Is(err, cache.ErrNotFound)
		if err != nil && !isMiss {
			s.failed.Add(1)
			return
		}
		s.reads.Add(1)
		version, _ := strconv.ParseInt(string(item.Value), 10, 64)
		switch {
		case isMiss && least > 0:
			if s.misses.Add(1) == 1 && s.fault == nil {
				s.Errorf("seed %d: k%d is not found, version %d was put", s.seed, k, least)
			}
		case version < least:
			if s.old.Add(1) == 1 && s.fault == nil {
				s.Errorf("seed %d: k%d has version %d, version %d was put", s.seed, k, version, least)
			}
		}
	})
}

// add starts pods.
func (s *stay) add(n int) {
	s.open(s.cluster.Add(n)...)
	s.delay()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.cluster.Pods() {
		if !slices.ContainsFunc(s.users, func(u *user) bool { return u.pod == p }) {
			s.users = append(s.users, &user{pod: p, cache: s.caches[p]})
		}
	}
}

// delay makes all messages take their time.
func (s *stay) delay() {
	for _, a := range s.cluster.Pods() {
		for _, b := range s.cluster.Pods() {
			if a != b {
				s.cluster.Net.Delay(a.Addr, b.Addr, 0, 40*time.Millisecond)
			}
		}
	}
}

// leave stops a pod in order.
func (s *stay) leave(p *clustertest.Pod) {
	s.mu.Lock()
	i := slices.IndexFunc(s.users, func(u *user) bool { return u.pod == p })
	u := s.users[i]
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	if err := s.caches[p].Leave(ctx); err != nil {
		s.Errorf("seed %d: %s: %v", s.seed, p.Name, err)
	}
	s.mu.Lock()
	s.users = slices.Delete(s.users, i, i+1)
	s.mu.Unlock()
	u.active.Wait()
	s.caches[p].Close()
	delete(s.caches, p)
	s.cluster.Stop(p)
}

// settled waits until nothing is on its way.
func (s *stay) settled() {
	s.cluster.WaitReady(2 * time.Minute)
	s.cluster.Wait(time.Minute, "everything is in its place", func() bool {
		for _, c := range s.caches {
			if c.Ready() != nil {
				return false
			}
		}
		return true
	})
}

func (s *stay) run(isHurried bool) {
	s.add(0)
	for n := range uint64(4) {
		random := s.random(n + 10)
		version := int64(0)
		s.during(func() {
			version++
			s.write(random, int(n)+4*random.IntN(storedKeys/4), version)
			time.Sleep(time.Duration(random.IntN(60)) * time.Millisecond)
		})
	}
	for n := range uint64(8) {
		random := s.random(n + 20)
		s.during(func() {
			s.read(random)
			time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond)
		})
	}
	random := s.random(1)
	time.Sleep(3 * time.Second)
	if s.fault != nil {
		s.fault()
	}
	for range 4 {
		if n := len(s.cluster.Pods()); n < 4 || n < 6 && random.IntN(2) == 0 {
			s.add(1 + random.IntN(2))
		} else {
			s.leave(s.cluster.Pods()[random.IntN(n)])
		}
		if !isHurried || random.IntN(3) == 0 {
			s.settled()
		}
		time.Sleep(time.Duration(random.IntN(1500)) * time.Millisecond)
		s.cluster.WaitReady(2 * time.Minute)
	}
	s.settled()
	close(s.over)
	s.work.Wait()
}

// What was put is what the next read on any node finds, while nodes come and
// go in order.
func TestStoredValuesOutliveTheRing(t *testing.T) {
	for _, isHurried := range []bool{false, true} {
		t.Run(fmt.Sprint("hurried ", isHurried), func(t *testing.T) {
			var reads, puts, failed int64
			for seed := range seeds() {
				inCluster(t, clustertest.Options{Seed: seed + 1}, func(w *world) {
					s := &stay{world: w, seed: seed + 1, over: make(chan struct{})}
					s.run(isHurried)
					if s.misses.Load()+s.old.Load() > 0 {
						s.Logf("seed %d: of %d reads %d found nothing and %d what was old", s.seed, s.reads.Load(), s.misses.Load(), s.old.Load())
					}
					reads, puts, failed = reads+s.reads.Load(), puts+s.puts.Load(), failed+s.failed.Load()
				})
			}
			t.Logf("%d reads, %d puts, %d without an answer", reads, puts, failed)
			if reads < 1000 || puts < 100 {
				t.Errorf("only %d reads and %d puts were answered", reads, puts)
			}
		})
	}
}

// The check sees what is lost.
func TestStoredValuesAreChecked(t *testing.T) {
	inCluster(t, clustertest.Options{Seed: 1}, func(w *world) {
		s := &stay{world: w, seed: 1, over: make(chan struct{}), fault: w.on(1).LoseAll}
		s.run(false)
		if s.misses.Load() == 0 {
			t.Error("a node has lost what it kept, and nobody has noticed")
		}
	})
}
