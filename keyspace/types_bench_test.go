package keyspace_test

import (
	"runtime"
	"strconv"
	"testing"
)

// BenchmarkElements reports what Go's heap holds for an element beside its
// bytes: Size should say about as much.
func BenchmarkElements(b *testing.B) {
	tests := []struct {
		name     string
		each     int // bytes of an element, ten digits each
		template []string
	}{
		{"hash", 20, []string{"HSET", "k", "", ""}},
		{"set", 10, []string{"SADD", "k", ""}},
		{"list", 10, []string{"RPUSH", "k", ""}},
		{"zset", 10, []string{"ZADD", "k", "", ""}},
		{"small", 11, []string{"SADD", "", "x"}},
	}
	for _, test := range tests {
		b.Run(test.name, func(b *testing.B) {
			var before, after runtime.MemStats
			for b.Loop() {
				runtime.GC()
				runtime.ReadMemStats(&before)
				w := newWorld(b)
				for i := range benchKeys {
					args := make([]string, len(test.template))
					for k, word := range test.template {
						if args[k] = word; word == "" {
							args[k] = strconv.Itoa(1_000_000_000 + i*7919%benchKeys)
						}
					}
					w.apply(args...)
				}
				runtime.GC()
				runtime.ReadMemStats(&after)
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/benchKeys-float64(test.each), "heap-B/element")
				b.ReportMetric(float64(w.space.Size())/benchKeys-float64(test.each), "size-B/element")
				runtime.KeepAlive(w)
			}
		})
	}
}
