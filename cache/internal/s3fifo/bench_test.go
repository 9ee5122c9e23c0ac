package s3fifo_test

import (
	"sync"
	"testing"

	"github.com/huddlecache/huddle/cache/internal/s3fifo"
)

// held is how many entries the caches of the benchmarks have room for.
const held = 10_000

func filledIndex() (*s3fifo.Index[uint32], []*s3fifo.Node[uint32]) {
	x := s3fifo.New[uint32](held)
	nodes := make([]*s3fifo.Node[uint32], held)
	for key := range nodes {
		nodes[key] = &s3fifo.Node[uint32]{Value: uint32(key)}
		x.Added(nodes[key], mix(uint32(key)), 1)
	}
	return x, nodes
}

func filledLRU() (*lru, []*element) {
	l := newLRU(held)
	elements := make([]*element, held)
	for key := range elements {
		elements[key] = &element{key: uint32(key)}
		l.added(elements[key], 1)
	}
	return l, elements
}

func BenchmarkHit(b *testing.B) {
	tr := zipfTrace(seeded(1), 1<<16, held, 1.0)
	b.Run("s3fifo", func(b *testing.B) {
		_, nodes := filledIndex()
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			nodes[tr[i&(1<<16-1)]].Used()
			i++
		}
	})
	b.Run("lru", func(b *testing.B) {
		l, elements := filledLRU()
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			l.used(elements[tr[i&(1<<16-1)]])
			i++
		}
	})
}

// Hits of several readers at once: under a read lock with s3fifo, which LRU's
// list does not allow.
func BenchmarkHitParallel(b *testing.B) {
	tr := zipfTrace(seeded(1), 1<<16, held, 1.0)
	b.Run("s3fifo", func(b *testing.B) {
		_, nodes := filledIndex()
		var mu sync.RWMutex
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				mu.RLock()
				nodes[tr[i&(1<<16-1)]].Used()
				mu.RUnlock()
			}
		})
	})
	b.Run("lru", func(b *testing.B) {
		l, elements := filledLRU()
		var mu sync.Mutex
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				mu.Lock()
				l.used(elements[tr[i&(1<<16-1)]])
				mu.Unlock()
			}
		})
	})
}

// Each turn adds an entry never seen before and evicts one.
func BenchmarkAddEvict(b *testing.B) {
	b.Run("s3fifo", func(b *testing.B) {
		x, _ := filledIndex()
		b.ReportAllocs()
		key := uint32(held)
		for b.Loop() {
			x.Victim(1)
			x.Added(&s3fifo.Node[uint32]{Value: key}, mix(key), 1)
			key++
		}
	})
	b.Run("lru", func(b *testing.B) {
		l, _ := filledLRU()
		b.ReportAllocs()
		key := uint32(held)
		for b.Loop() {
			l.victim(1)
			l.added(&element{key: key}, 1)
			key++
		}
	})
}

// Requests of Zipf 1.0 over ten times as many keys as there is room for, with
// the map that finds the entries.
func BenchmarkMixed(b *testing.B) {
	tr := zipfTrace(seeded(1), 1<<20, 10*held, 1.0)
	b.Run("s3fifo", func(b *testing.B) {
		x, nodes := s3fifo.New[uint32](held), make(map[uint32]*s3fifo.Node[uint32])
		b.ReportAllocs()
		i, hits := 0, 0
		for b.Loop() {
			key := tr[i&(1<<20-1)]
			i++
			if n := nodes[key]; n != nil {
				n.Used()
				hits++
				continue
			}
			for v := x.Victim(1); v != nil; v = x.Victim(1) {
				delete(nodes, v.Value)
			}
			n := &s3fifo.Node[uint32]{Value: key}
			x.Added(n, mix(key), 1)
			nodes[key] = n
		}
		b.ReportMetric(100*float64(hits)/float64(i), "%hits")
	})
	b.Run("lru", func(b *testing.B) {
		l, elements := newLRU(held), make(map[uint32]*element)
		b.ReportAllocs()
		i, hits := 0, 0
		for b.Loop() {
			key := tr[i&(1<<20-1)]
			i++
			if e := elements[key]; e != nil {
				l.used(e)
				hits++
				continue
			}
			for v := l.victim(1); v != nil; v = l.victim(1) {
				delete(elements, v.key)
			}
			e := &element{key: key}
			l.added(e, 1)
			elements[key] = e
		}
		b.ReportMetric(100*float64(hits)/float64(i), "%hits")
	})
}
