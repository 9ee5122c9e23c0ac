package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"

	"github.com/huddlecache/huddle"
)

const (
	// cacheRoom is the part of the caches' bound that the process may take
	// beyond it before garbage is collected: a sixteenth three times.
	cacheRoom = 3.0 / 16
	// leastRoom is how many bytes of garbage there may be where the caches are
	// small: below it, collections would cost more than memory does.
	leastRoom = 16 << 20
	// leastAllocated is the part of what is live that is to be allocated
	// between two collections, whatever the limit says.
	leastAllocated = 1.0 / 8
	// seldom is how far apart collections are that cost nothing to speak of,
	// however little was allocated between them.
	seldom = 10 * time.Second
	// steady is how many collections something has to survive before it is
	// taken for part of the replicated state, and not for garbage that came
	// while they ran.
	steady = 4
)

// A memoryLimit sets the garbage collector's limit so that full caches take
// little more than their bound, and follows what else there is: the runtime
// collects all the time where the limit is below what is live, and the
// replicated state may be many times the cache.
//
// It looks after each collection, for only then there is news. What of a
// process is live and is not cached may have as much garbage beside it as it
// is large, as everywhere in Go; what is cached has cacheRoom. Where that is
// too little after all, because memory is in pieces or the state has grown
// since, the limit gives way.
type memoryLimit struct {
	bound int64       // that all caches may take
	set   func(int64) // takes a limit

	mu     sync.Mutex // guards what follows
	isOver bool
	last   usage
	others [steady]int64 // what was live and not cached, after the last collections
	count  int           // of collections
	extra  int64         // by how much the limit has given way
	limit  int64         // the one that is set
}

// A usage is what the process takes at one moment.
type usage struct {
	at        time.Time
	cached    int64 // by all caches
	live      int64 // of the heap, by the last collection
	allocated int64 // on the heap, since the process began
	beside    int64 // not for the heap: stacks, and what the runtime needs
}

// limitMemory has the limit follow what the nodes of this process take, until
// stop is called. Where the operator has set a limit or a pace, that holds.
func limitMemory(env environ, cacheBytes int64, nodes ...*huddle.Node) (stop func()) {
	if env["GOMEMLIMIT"] != "" || env["GOGC"] != "" {
		return func() {}
	}
	return followUsage(cacheBytes*int64(len(nodes)), func() (bytes int64) {
		for _, n := range nodes {
			bytes += n.Cache().Bytes()
		}
		return bytes
	})
}

// followUsage has the limit follow what is live in this process, until stop is
// called.
func followUsage(bound int64, cached func() int64) (stop func()) {
	former := debug.SetMemoryLimit(-1)
	l := &memoryLimit{bound: bound, set: func(n int64) { debug.SetMemoryLimit(n) }}
	l.update(readUsage(cached()))
	l.await(cached)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.isOver = true
		debug.SetMemoryLimit(former)
	}
}

// await updates the limit after each collection: what is made here is needed by
// nobody, and the runtime calls when it has found that.
func (l *memoryLimit) await(cached func() int64) {
	type mark struct{ *mark } // has a pointer: small things without one are collected in groups
	runtime.AddCleanup(&mark{}, func(l *memoryLimit) {
		if l.update(readUsage(cached())) {
			l.await(cached)
		}
	}, l)
}

// update sets the limit anew. It is false once stop has been called.
func (l *memoryLimit) update(now usage) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isOver {
		return false
	}
	// To set it stops the world, if shortly.
	if next := l.next(now); next < l.limit-l.limit/64 || next > l.limit+l.limit/64 {
		l.limit = next
		l.set(next)
	}
	return true
}

// next returns what the limit should be after a collection.
func (l *memoryLimit) next(now usage) int64 {
	l.others[l.count%steady] = max(0, now.live-now.cached)
	l.count++
	other := l.others[0]
	for _, n := range l.others[:min(l.count, steady)] {
		other = min(other, n)
	}
	allocated := now.allocated - l.last.allocated
	if wanted := int64(float64(now.live) * leastAllocated); allocated > wanted || now.at.Sub(l.last.at) < seldom {
		l.extra = max(0, l.extra+wanted-allocated)
	}
	l.last = now
	room := max(leastRoom, int64(float64(l.bound)*cacheRoom)+other)
	return l.bound + other + now.beside + room + l.extra
}

// readUsage asks the runtime.
func readUsage(cached int64) usage {
	names := []string{
		"/gc/heap/live:bytes", "/gc/heap/allocs:bytes", "/memory/classes/total:bytes",
		"/memory/classes/heap/objects:bytes", "/memory/classes/heap/unused:bytes",
		"/memory/classes/heap/free:bytes", "/memory/classes/heap/released:bytes",
	}
	samples := make([]metrics.Sample, len(names))
	for i, name := range names {
		samples[i].Name = name
	}
	metrics.Read(samples)
	value := func(i int) int64 { return int64(samples[i].Value.Uint64()) }
	return usage{
		at: time.Now(), cached: cached, live: value(0), allocated: value(1),
		beside: value(2) - value(3) - value(4) - value(5) - value(6),
	}
}
