package peer_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/huddlecache/huddle/cluster/internal/peer"
)

// BenchmarkCall is requests of 64 bytes, echoed, over TLS on the loopback,
// with so many callers at once.
func BenchmarkCall(b *testing.B) {
	for _, callers := range []int{1, 50, 500} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			_, dialer, _ := loopbackPair(b)
			body := make([]byte, 64)
			rand.Read(body)
			var left atomic.Int64
			left.Store(int64(b.N))
			var wg sync.WaitGroup
			b.ResetTimer()
			for range callers {
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						ctx, cancel := context.WithTimeout(b.Context(), timeLimit)
						if _, err := dialer.Call(ctx, "b", peer.Small, 1, body); err != nil {
							b.Error(err)
						}
						cancel()
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
		})
	}
}

// BenchmarkBulk is bodies of 1 MiB, one after another.
func BenchmarkBulk(b *testing.B) {
	_, dialer, _ := loopbackPair(b)
	body := make([]byte, 1<<20)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, err := dialer.Call(b.Context(), "b", peer.Bulk, 1, body); err != nil {
			b.Fatal(err)
		}
	}
}
