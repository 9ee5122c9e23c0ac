package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"sync"
	"time"

	"github.com/huddlecache/huddle"
)

const (
	// cacheRoom is the part of what is cached that may be garbage beside it.
	cacheRoom = 1.0 / 8
	// leastRoom is how many bytes of garbage there may be where little is
	// cached: with less, collections would cost more than memory does.
	leastRoom = 16 << 20
	// leastAllocated is the part of what is live that is to be allocated
	// between two collections, whatever the limit says.
	leastAllocated = 1.0 / 16
	// seldom is how far apart collections are that cost nothing to speak of,
	// however little was allocated between them.
	seldom = 10 * time.Second
	// steady is how many collections something has to survive before it is
	// taken for part of the replicated state, and not for garbage that came
	// while they ran.
	steady = 4
	// part is how much of an error is mended after each collection.
	part = 4
)

// A memoryLimit keeps the memory of this process near that of what it is for.
// It looks after each collection of garbage, for only then there is news.
//
// It sets the collector's limit so that there is little garbage beside what is
// cached, and as much as anywhere in Go beside what else is live: the
// replicated state may be many times the cache, and a limit below what is live
// would have the runtime collect all the time. Where the limit turns out to do
// that, it gives way.
//
// What it cannot limit is memory in pieces: a page that one small value is left
// on is not free for a large one. The caches do without what that comes to, and
// by dropping what is old they free such pages.
type memoryLimit struct {
	bound   int64       // that all caches may take
	set     func(int64) // takes a limit
	squeeze func(int64) // takes what all caches may take for now

	mu     sync.Mutex // guards what follows
	isOver bool
	last   usage
	others [steady]int64 // what was live and not cached, after the last collections
	count  int           // of collections
	extra  int64         // by how much the limit gives way
	pieces int64         // what the caches do without
	limit  int64         // the one that is set
}

// A usage is what the process takes at one moment.
type usage struct {
	at        time.Time
	cached    int64 // by all caches
	live      int64 // of the heap, by the last collection
	allocated int64 // on the heap, since the process began
	beside    int64 // not for the heap: stacks, and what the runtime needs
	taken     int64 // from the machine, and not given back
}

// limitMemory has the limit follow what the nodes of this process take, until
// stop is called. Where the operator has set a limit or a pace, that holds.
func limitMemory(env environ, cacheBytes int64, nodes ...*huddle.Node) (stop func()) {
	if env["GOMEMLIMIT"] != "" || env["GOGC"] != "" {
		return func() {}
	}
	cached := func() (bytes int64) {
		for _, n := range nodes {
			bytes += n.Cache().Bytes()
		}
		return bytes
	}
	return followUsage(cacheBytes*int64(len(nodes)), cached, func(bytes int64) {
		for _, n := range nodes {
			n.Cache().Squeeze(bytes / int64(len(nodes)))
		}
	})
}

// followUsage has the limit follow what is live in this process, until stop is
// called.
func followUsage(bound int64, cached func() int64, squeeze func(bytes int64)) (stop func()) {
	former := debug.SetMemoryLimit(-1)
	l := &memoryLimit{bound: bound, squeeze: squeeze, set: func(n int64) { debug.SetMemoryLimit(n) }}
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
	pieces := l.pieces
	if next := l.next(now); next < l.limit-l.limit/64 || next > l.limit+l.limit/64 {
		l.limit = next
		l.set(next)
	}
	if l.pieces != pieces {
		l.squeeze(l.bound - l.pieces)
	}
	return true
}

// next returns what the limit should be after a collection.
func (l *memoryLimit) next(now usage) int64 {
	l.others[l.count%steady] = max(0, now.live-now.cached)
	l.count++
	other := slices.Min(l.others[:min(l.count, steady)])
	allocated := now.allocated - l.last.allocated
	if wanted := int64(float64(now.live) * leastAllocated); allocated > wanted || now.at.Sub(l.last.at) < seldom {
		l.extra = max(0, l.extra+(wanted-allocated)/part)
	}
	most := l.bound + max(l.bound/4, 2*leastRoom) + 2*max(0, other-leastRoom) + now.beside
	l.pieces = min(max(0, l.pieces+(now.taken-most)/part), l.bound/2)
	l.last = now
	return now.cached + other + now.beside + max(leastRoom, int64(float64(now.cached)*cacheRoom)+other) + l.extra
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
	taken := value(2) - value(6)
	return usage{
		at: time.Now(), cached: cached, live: value(0), allocated: value(1),
		beside: taken - value(3) - value(4) - value(5), taken: taken,
	}
}
