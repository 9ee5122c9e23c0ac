package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cache"
	"github.com/huddlecache/huddle/cluster"
	"github.com/huddlecache/huddle/cluster/clustertest"
)

const (
	truthKeys = 12
	truthTags = 3
)

// truth is what the cache is of: the version of each key, and which one was
// acknowledged to be the oldest that may still be served.
type truth struct {
	mu       sync.Mutex // guards what follows
	versions [truthKeys]int
	valid    [truthKeys]int
}

// now returns the version that a key has.
func (d *truth) now(k int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.versions[k]
}

// oldest returns the oldest version that may be served to whoever asks now.
func (d *truth) oldest(k int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.valid[k]
}

// change makes new versions of some keys, and returns what to call once all
// that is cached of them has been invalidated.
func (d *truth) change(keys []int) (invalidated func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	made := map[int]int{}
	for _, k := range keys {
		d.versions[k]++
		made[k] = d.versions[k]
	}
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		for k, version := range made {
			d.valid[k] = max(d.valid[k], version)
		}
	}
}

// A trial is one run: writers, readers and trouble.
type trial struct {
	*world
	seed   uint64
	truth  truth
	crews  map[*clustertest.Pod]*crew
	backup []byte
	killed bool         // once is enough: of three voters
	reads  atomic.Int64 // that were answered
	stale  atomic.Int64 // of them, too old
	voided atomic.Int64 // invalidations that were answered
	isMute bool         // planted: nothing is invalidated
	isDeaf bool         // planted: one node does not hear of it
}

func (r *trial) random(n uint64) *rand.Rand { return rand.New(rand.NewPCG(r.seed, n)) }

// A crew is those who read and write through one pod.
type crew struct {
	over chan struct{}
	work sync.WaitGroup
}

// during runs fn until the crew is dismissed.
func (c *crew) during(fn func()) {
	c.work.Go(func() {
		for {
			select {
			case <-c.over:
				return
			default:
				fn()
			}
		}
	})
}

// load is the loader of all nodes: it takes a while between reading the truth
// and answering.
func (r *trial) load(random *rand.Rand, mu *sync.Mutex) cache.LoaderFunc {
	return func(ctx context.Context, key string) (cache.Value, error) {
		k, _ := strconv.Atoi(key)
		mu.Lock()
		before, after := random.IntN(3), random.IntN(60)
		mu.Unlock()
		time.Sleep(time.Duration(before) * time.Millisecond)
		version := r.truth.now(k)
		time.Sleep(time.Duration(after) * time.Millisecond)
		return cache.Value{Bytes: []byte(strconv.Itoa(version)), Tags: []string{fmt.Sprint("t", k%truthTags)}}, ctx.Err()
	}
}

// read reads a key through a pod and judges what comes.
func (r *trial) read(group string, k int, get func(ctx context.Context, key string) ([]byte, error)) {
	oldest := r.truth.oldest(k)
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	defer cancel()
	got, err := get(ctx, strconv.Itoa(k))
	if err != nil {
		time.Sleep(10 * time.Millisecond)
		return
	}
	r.reads.Add(1)
	if version, _ := strconv.Atoi(string(got)); version < oldest {
		if r.stale.Add(1) == 1 && !r.isMute && !r.isDeaf {
			r.Errorf("seed %d: %s %d is at version %d, and everything below %d was invalidated before it was asked for", r.seed, group, k, version, oldest)
		}
	}
}

// write changes keys and invalidates them by key, by tag or with all.
func (r *trial) write(random *rand.Rand, c *cache.Cache) {
	k := random.IntN(truthKeys)
	keys, scope := []int{k}, cache.Keys(strconv.Itoa(k))
	switch random.IntN(8) {
	case 0:
		keys, scope = nil, cache.All()
		for k := range truthKeys {
			keys = append(keys, k)
		}
	case 1, 2:
		tag := random.IntN(truthTags)
		keys, scope = nil, cache.Tags(fmt.Sprint("t", tag))
		for k := tag; k < truthKeys; k += truthTags {
			keys = append(keys, k)
		}
	}
	invalidated := r.truth.change(keys)
	if r.isMute {
		invalidated()
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 6*time.Second)
	defer cancel()
	for _, group := range []string{"made", "put"} {
		if c.Invalidate(ctx, group, scope) != nil {
			return
		}
	}
	r.voided.Add(1)
	invalidated()
}

// claimed reads a key as an application does that computes by itself.
func claimed(r *trial, c *cache.Cache, random *rand.Rand) func(ctx context.Context, key string) ([]byte, error) {
	return func(ctx context.Context, key string) ([]byte, error) {
		i, right, err := c.GetOrClaim(ctx, "put", key, time.Second, false)
		if err == nil || !errors.Is(err, cache.ErrNotFound) || right.Number == 0 {
			return i.Value, err
		}
		k, _ := strconv.Atoi(key)
		version := r.truth.now(k)
		time.Sleep(time.Duration(random.IntN(80)) * time.Millisecond)
		i = cache.Item{Value: []byte(strconv.Itoa(version)), Tags: []string{fmt.Sprint("t", k%truthTags)}}
		if err := c.Put(ctx, "put", key, i, right); err != nil {
			return nil, err
		}
		return nil, errors.New("just made")
	}
}

// begin opens the cache of a pod and has a crew use it.
func (r *trial) begin(p *clustertest.Pod) {
	if r.caches[p] == nil {
		r.open(p)
	}
	n := uint64(100 * (len(r.crews) + 1))
	var mu sync.Mutex
	g := r.group(p, r.load(r.random(n), &mu), cache.GroupConfig{TTL: 5 * time.Second, Stale: 20 * time.Second})
	c, team := r.caches[p], &crew{over: make(chan struct{})}
	r.crews[p] = team
	for i := range uint64(3) {
		random := r.random(n + i + 10)
		put := claimed(r, c, random)
		team.during(func() {
			k := random.IntN(truthKeys)
			if random.IntN(2) == 0 {
				r.read("made", k, g.Get)
			} else {
				r.read("put", k, put)
			}
			time.Sleep(time.Duration(random.IntN(40)) * time.Millisecond)
		})
	}
	writing := r.random(n + 50)
	team.during(func() {
		r.write(writing, c)
		time.Sleep(time.Duration(writing.IntN(400)) * time.Millisecond)
	})
}

// end dismisses a pod's crew and closes its cache, after what takes the pod
// from the cluster; until then and a while longer it is used.
func (r *trial) end(p *clustertest.Pod, gone func()) {
	gone()
	time.Sleep(time.Second)
	close(r.crews[p].over)
	r.caches[p].Close()
	r.crews[p].work.Wait()
	delete(r.caches, p)
}

// trouble has one thing after another happen to pods.
func (r *trial) trouble(random *rand.Rand) {
	for range 6 {
		pods := r.cluster.Pods()
		if random.IntN(2) == 0 {
			r.disturb(random, pods)
		} else {
			r.replace(random, pods)
		}
		r.cluster.Net.HealAll()
		time.Sleep(time.Duration(random.IntN(2000)) * time.Millisecond)
	}
}

// disturb cuts, partitions, pauses or delays.
func (r *trial) disturb(random *rand.Rand, pods []*clustertest.Pod) {
	sleep := func(most time.Duration) { time.Sleep(time.Duration(random.Int64N(int64(most)))) }
	a, b := pods[random.IntN(len(pods))], pods[random.IntN(len(pods))]
	switch random.IntN(4) {
	case 0:
		r.cluster.Net.Cut(a.Addr, b.Addr)
		sleep(4 * time.Second)
	case 1:
		r.cluster.Net.Partition([]string{a.Addr}, r.others(a))
		sleep(6 * time.Second)
	case 2:
		r.cluster.Net.Pause(a.Addr)
		sleep(5 * time.Second)
		r.cluster.Net.Resume(a.Addr)
	case 3:
		for _, o := range r.others(a) {
			r.cluster.Net.Delay(a.Addr, o, 0, 50*time.Millisecond)
		}
		sleep(3 * time.Second)
		for _, o := range r.others(a) {
			r.cluster.Net.Delay(a.Addr, o, 0, 0)
		}
	}
}

// replace adds a pod, kills one, stops one in order, starts one anew, or
// restores a backup, some of them at the same time as a partition.
func (r *trial) replace(random *rand.Rand, pods []*clustertest.Pod) {
	a, b := pods[random.IntN(len(pods))], pods[random.IntN(len(pods))]
	act := random.IntN(5)
	if isDeadly := act == 1 || act == 3; isDeadly && r.killed {
		act = 0
	} else if act > 0 && act < 4 && len(pods) < 4 {
		r.begin(r.cluster.Add(1)[0])
		r.cluster.WaitReady(time.Minute)
		r.killed = isDeadly
	} else if isDeadly {
		r.killed = true
	}
	switch act {
	case 0:
		r.begin(r.cluster.Add(1)[0])
	case 1:
		if a != b && random.IntN(2) == 0 {
			r.cluster.Net.Partition([]string{b.Addr}, r.others(b))
		}
		r.end(a, func() { r.cluster.Kill(a) })
		r.cluster.Net.HealAll()
		r.begin(r.cluster.Add(1)[0])
	case 2:
		r.end(a, func() {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			_ = r.caches[a].Leave(ctx) // what is not handed over is lost
		})
		r.cluster.Stop(a)
	case 3:
		r.end(a, func() { r.cluster.Kill(a) })
		r.cluster.Restart(a, false)
		r.begin(a)
	case 4:
		if random.IntN(2) == 0 {
			r.cluster.Net.Partition([]string{b.Addr}, r.others(b))
		}
		if a != b {
			_, _ = a.Node.Restore(r.Context(), bytes.NewReader(r.backup)) // it may be in vain
		}
		time.Sleep(time.Duration(random.IntN(2500)) * time.Millisecond)
		r.cluster.Net.HealAll()
	}
	r.cluster.WaitReady(2 * time.Minute)
}

// backUp takes the backup that will be restored, of an hour when nobody served.
func (r *trial) backUp() {
	var b bytes.Buffer
	if taken, err := r.cluster.Pods()[0].Node.Backup(r.Context()); err != nil {
		r.Fatal(err)
	} else if _, err := taken.WriteTo(&b); err != nil {
		r.Fatal(err)
	}
	r.backup = b.Bytes()
}

func (r *trial) run() {
	r.crews = map[*clustertest.Pod]*crew{}
	r.backUp()
	for _, p := range r.cluster.Pods() {
		r.begin(p)
	}
	r.trouble(r.random(2))
	for _, p := range r.cluster.Pods() {
		close(r.crews[p].over)
	}
	for _, p := range r.cluster.Pods() {
		r.crews[p].work.Wait()
	}
}

// seeds is how many runs are made, as HUDDLE_SEEDS says.
func seeds() uint64 {
	if n, err := strconv.ParseUint(os.Getenv("HUDDLE_SEEDS"), 10, 64); err == nil && n > 0 {
		return n
	}
	return 5
}

// compact makes every other seed's pods keep so little of the log that whoever
// is late is sent a snapshot.
func compact(seed uint64) func(*clustertest.Pod, *cluster.Config) {
	return func(_ *clustertest.Pod, cfg *cluster.Config) {
		if seed%2 == 0 {
			cfg.Snapshots = 16
		}
	}
}

// Nothing is served that was made before the last invalidation that was
// answered before it was asked for, whatever the network does.
func TestCoherence(t *testing.T) {
	var reads, voided int64
	for seed := range seeds() {
		inCluster(t, clustertest.Options{Seed: seed + 1, Configure: compact(seed)}, func(w *world) {
			r := &trial{world: w, seed: seed + 1}
			r.run()
			reads, voided = reads+r.reads.Load(), voided+r.voided.Load()
		})
	}
	t.Logf("%d reads, %d invalidations", reads, voided)
	if reads < 1000 || voided < 100 {
		t.Errorf("only %d reads and %d invalidations were answered", reads, voided)
	}
}

// The check sees values that were not invalidated, everywhere or on one node.
func TestCoherenceIsChecked(t *testing.T) {
	for _, isDeaf := range []bool{false, true} {
		inCluster(t, clustertest.Options{Seed: 1}, func(w *world) {
			r := &trial{world: w, seed: 1, isMute: !isDeaf, isDeaf: isDeaf}
			if isDeaf {
				w.on(0).Deafen()
			}
			r.run()
			if r.stale.Load() == 0 {
				t.Errorf("deaf %v: what is void is served, and nobody has noticed", isDeaf)
			}
		})
	}
}
