package counters_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/counters"
)

// A blank shell keeps no deadlines.
type blank struct{}

func (blank) Number() uint64                                { return 0 }
func (blank) Deadline([]byte, time.Duration, time.Duration) {}
func (blank) Emit(machine.Event)                            {}
func (blank) Fail(err error)                                { panic(err) }

func limitOf(a counters.Algorithm, name string, n int64) counters.Limit {
	return counters.Limit{Name: name, Algorithm: a, Limit: n, Window: time.Second}
}

var algorithms = []counters.Algorithm{counters.FixedWindow, counters.SlidingWindow, counters.TokenBucket}

// BenchmarkTake has the machine admit calls under ten thousand limits.
func BenchmarkTake(b *testing.B) {
	for _, a := range algorithms {
		b.Run(a.String(), func(b *testing.B) {
			var list [][]byte
			for i := range 10_000 {
				list = append(list, counters.TakeCommand(limitOf(a, fmt.Sprintf("user:%d", i), 1000)))
			}
			m, tx, i := counters.NewMachine(), &machine.Tx{Shell: blank{}}, 0
			b.ReportAllocs()
			for b.Loop() {
				tx.Lease += time.Microsecond
				m.Apply(tx, list[i%len(list)])
				i++
			}
		})
	}
}

// BenchmarkDenied has a node deny calls by its own replica.
func BenchmarkDenied(b *testing.B) {
	for _, a := range algorithms {
		b.Run(a.String(), func(b *testing.B) {
			c := newWorld(b).leading()
			limit := limitOf(a, "l", 1000)
			limit.Window, limit.Cost = counters.MaxWindow/10, 1000
			if r, err := c.Take(b.Context(), limit); err != nil || !r.Allowed {
				b.Fatal(r, err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if r, err := c.Take(b.Context(), limit); err != nil || r.Allowed {
					b.Fatal(r, err)
				}
			}
			b.ReportMetric(float64(c.Stats().Logged), "logged")
		})
	}
}
