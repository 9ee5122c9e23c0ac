package store_test

import (
	"fmt"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/huddlecache/huddle/cluster/internal/store"
)

// BenchmarkAppend appends entries of 256 bytes to a log that is compacted as
// Raft does it.
func BenchmarkAppend(b *testing.B) {
	for _, kind := range []string{"memory", "disk", "disk without sync"} {
		for _, batch := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/%d", kind, batch), func(b *testing.B) {
				var s *store.Store
				switch kind {
				case "memory":
					s = openMemory(b, store.Config{})
				default:
					s = openDisk(b, b.TempDir(), store.Config{NoSync: kind != "disk"})
				}
				log, data, next := s.Logs(), make([]byte, 256), uint64(1)
				for b.Loop() {
					entries := make([]*raft.Log, batch)
					for i := range entries {
						entries[i] = &raft.Log{Index: next, Term: 1, Data: data}
						next++
					}
					if err := log.StoreLogs(entries); err != nil {
						b.Fatal(err)
					}
					if next%8192 < uint64(batch) && next > 10240 {
						if err := log.DeleteRange(1, next-1024); err != nil {
							b.Fatal(err)
						}
					}
				}
				b.ReportMetric(float64(batch)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
			})
		}
	}
}

// BenchmarkTerm saves a term, which an election waits for.
func BenchmarkTerm(b *testing.B) {
	s := openDisk(b, b.TempDir(), store.Config{NoSync: true})
	term := uint64(0)
	for b.Loop() {
		term++
		if err := s.Stable().SetUint64([]byte("CurrentTerm"), term); err != nil {
			b.Fatal(err)
		}
	}
}
