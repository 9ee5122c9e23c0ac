package cache

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// filled returns a store of n entries with one tag, and their places.
func filled(n int) (*store, []place) {
	s := newStore(1 << 30)
	places := make([]place, n)
	for i := range places {
		places[i] = place{"group", fmt.Sprint("key:", i)}
		s.put(places[i], &entry{value: make([]byte, 100), tags: []string{"tag"}, end: time.Now().Add(time.Hour)})
	}
	return s, places
}

func BenchmarkGet(b *testing.B) {
	for _, n := range []int{1, 1000, 100_000} {
		b.Run(fmt.Sprint("of ", n), func(b *testing.B) {
			s, places := filled(n)
			rand.Shuffle(n, func(i, j int) { places[i], places[j] = places[j], places[i] })
			now := time.Now()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, found := s.get(places[i%n], now); !found {
					b.Fatal("not found")
				}
			}
		})
	}
}

func BenchmarkGetMiss(b *testing.B) {
	s, _ := filled(1000)
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		if _, found := s.get(home, now); found {
			b.Fatal("found")
		}
	}
}

func BenchmarkGetParallel(b *testing.B) {
	s, places := filled(1000)
	now := time.Now()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := rand.IntN(1000); pb.Next(); i++ {
			s.get(places[i%1000], now)
		}
	})
}

func BenchmarkPut(b *testing.B) {
	value := make([]byte, 100)
	for _, tags := range [][]string{nil, {"red", "green"}} {
		b.Run(fmt.Sprint("again, tags ", len(tags)), func(b *testing.B) {
			s, places := filled(1000)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				s.put(places[i%1000], &entry{value: value, tags: tags})
			}
		})
		b.Run(fmt.Sprint("with eviction, tags ", len(tags)), func(b *testing.B) {
			s := newStore(16 << 20)
			places := make([]place, 200_000)
			for i := range places {
				places[i] = place{"group", fmt.Sprint("key:", i)}
				s.put(places[i], &entry{value: value, tags: tags})
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				s.put(places[i%len(places)], &entry{value: value, tags: tags})
			}
		})
	}
}

func BenchmarkInvalidate(b *testing.B) {
	s, _ := filled(100_000)
	tags, keys := []string{"tag"}, []string{"none"}
	b.Run("a tag of 100000", func(b *testing.B) {
		for b.Loop() {
			s.invalidate(1, "group", false, nil, tags)
		}
	})
	b.Run("a key", func(b *testing.B) {
		for b.Loop() {
			s.invalidate(1, "group", false, keys, nil)
		}
	})
}

// BenchmarkSweep measures what it costs to look at 10,000 entries that stay.
func BenchmarkSweep(b *testing.B) {
	s, _ := filled(100_000)
	now := time.Now()
	for b.Loop() {
		s.sweep(now, 10_000)
	}
}
