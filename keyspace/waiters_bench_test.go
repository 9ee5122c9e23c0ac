package keyspace_test

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/keyspace"
)

// deaf is a shell that keeps nothing.
type deaf struct {
	machine.Shell
	number uint64
}

func (d *deaf) Number() uint64                                { d.number++; return d.number }
func (d *deaf) Emit(machine.Event)                            {}
func (d *deaf) Deadline([]byte, time.Duration, time.Duration) {}

// BenchmarkWaiterFootprint measures what a waiter takes beside what Size counts
// for it, of one key of its own and of one that all share.
func BenchmarkWaiterFootprint(b *testing.B) {
	for _, own := range []bool{false, true} {
		b.Run(fmt.Sprintf("own=%v", own), func(b *testing.B) {
			const count = 50_000
			for b.Loop() {
				w := newWorld(b)
				tx := w.tx()
				tx.Shell = &deaf{}
				before := heap()
				for i := range count {
					var id keyspace.WaiterID
					binary.BigEndian.PutUint64(id[:], uint64(i))
					key := "jobs"
					if own {
						key = fmt.Sprint("jobs", i)
					}
					w.space.Apply(tx, keyspace.AppendWait(nil, id, 0, 2, bytesOf([]string{"BLPOP", key, "0"})))
				}
				b.ReportMetric(float64(heap()-before)/count, "heap/waiter")
				b.ReportMetric(float64(w.space.Size())/count, "size/waiter")
				runtime.KeepAlive(w)
			}
		})
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkWaiters pushes to a list that many wait for, and has the first take.
func BenchmarkWaiters(b *testing.B) {
	w := newWorld(b)
	tx := w.tx()
	tx.Shell = &deaf{}
	wait := func(i int) keyspace.WaiterID {
		var id keyspace.WaiterID
		binary.BigEndian.PutUint64(id[:], uint64(i))
		w.space.Apply(tx, keyspace.AppendWait(nil, id, 0, 2, bytesOf([]string{"BLPOP", "jobs", "0"})))
		return id
	}
	const waiting = 1000
	for i := range waiting {
		wait(i)
	}
	push := keyspace.AppendCommand(nil, 0, 2, bytesOf([]string{"RPUSH", "jobs", "one"}))
	i := 0
	for b.Loop() {
		w.space.Apply(tx, push)
		var id keyspace.WaiterID
		binary.BigEndian.PutUint64(id[:], uint64(i))
		w.space.Apply(tx, keyspace.AppendAttend(nil, []keyspace.Attention{{ID: id}}))
		wait(waiting + i)
		i++
	}
}
