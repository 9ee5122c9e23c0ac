package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"github.com/huddlecache/huddle/cluster/internal/store"
)

// kinds are all logs that must behave alike.
var kinds = map[string]func(tb, string) raft.LogStore{
	"memory": func(tb, string) raft.LogStore { return store.NewMemoryLog() },
	"bolt": func(t tb, dir string) raft.LogStore {
		log, closeLog, err := store.NewBoltLog(filepath.Join(dir, fmt.Sprintf("%s.db", store.NewID())))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := closeLog(); err != nil {
				t.Error(err)
			}
		})
		return log
	},
	"memory store": func(t tb, _ string) raft.LogStore { return openMemory(t, store.Config{}).Logs() },
	"disk store": func(t tb, dir string) raft.LogStore {
		return openDisk(t, filepath.Join(dir, store.NewID()), store.Config{NoSync: true, CacheBytes: 2000}).Logs()
	},
	"lossy": func(tb, string) raft.LogStore {
		return new(store.Lossy).Wrap(store.NewMemoryLog())
	},
	"lossy holding": func(t tb, _ string) raft.LogStore {
		l := new(store.Lossy)
		l.Hold()
		return flushing{l.Wrap(store.NewMemoryLog()), l, t, new(int)}
	},
}

// flushing is a log whose disk is synced at every fifth write.
type flushing struct {
	raft.LogStore
	disk *store.Lossy
	t    tb
	n    *int
}

func (f flushing) StoreLogs(entries []*raft.Log) error {
	if *f.n++; *f.n%5 == 0 {
		if err := f.disk.Sync(); err != nil {
			f.t.Fatal(err)
		}
		f.disk.Hold()
	}
	return f.LogStore.StoreLogs(entries)
}

// twin is the slow, obvious log.
type twin map[uint64]raft.Log

func (w twin) bounds() (first, last uint64) {
	for i := range w {
		if first == 0 || i < first {
			first = i
		}
		last = max(last, i)
	}
	return first, last
}

// check compares the whole log with its twin.
func (w twin) check(t tb, log raft.LogStore) {
	t.Helper()
	first, last := w.checkBounds(t, log)
	for i := max(first, 1) - 1; i <= last+1; i++ {
		w.checkEntry(t, log, i)
	}
}

func (w twin) checkBounds(t tb, log raft.LogStore) (first, last uint64) {
	t.Helper()
	first, last = w.bounds()
	if got, err := log.FirstIndex(); err != nil || got != first {
		t.Fatalf("FirstIndex is %d, %v, want %d", got, err, first)
	}
	if got, err := log.LastIndex(); err != nil || got != last {
		t.Fatalf("LastIndex is %d, %v, want %d", got, err, last)
	}
	return first, last
}

func (w twin) checkEntry(t tb, log raft.LogStore, i uint64) {
	t.Helper()
	var got raft.Log
	err := log.GetLog(i, &got)
	want, found := w[i]
	switch {
	case !found && !errors.Is(err, raft.ErrLogNotFound):
		t.Fatalf("GetLog(%d) is %v, want ErrLogNotFound", i, err)
	case found && (err != nil || got.Index != i || got.Term != want.Term || !bytes.Equal(got.Data, want.Data)):
		t.Fatalf("GetLog(%d) is %v, %v, want %v", i, got, err, want)
	}
}

func entry(index, term uint64, data string) *raft.Log {
	return &raft.Log{Index: index, Term: term, Data: []byte(data)}
}

func TestLogsBehaveLikeTheirTwin(t *testing.T) {
	for name, open := range kinds {
		t.Run(name, func(t *testing.T) {
			log := open(t, t.TempDir())
			rapid.Check(t, func(t *rapid.T) {
				if err := log.DeleteRange(0, math.MaxUint64); err != nil {
					t.Fatal(err)
				}
				model, next := twin{}, uint64(1)
				t.Repeat(map[string]func(*rapid.T){
					"append": func(t *rapid.T) {
						var entries []*raft.Log
						for range rapid.IntRange(1, 12).Draw(t, "count") {
							e := entry(next, rapid.Uint64Range(1, 9).Draw(t, "term"), rapid.StringN(0, 20, 300).Draw(t, "data"))
							entries, model[next] = append(entries, e), *e
							next++
						}
						if err := log.StoreLogs(entries); err != nil {
							t.Fatal(err)
						}
					},
					"compact": func(t *rapid.T) {
						first, last := model.bounds()
						if first == 0 {
							t.Skip("empty")
						}
						lo := rapid.Uint64Range(0, first).Draw(t, "lo")
						// An empty log is covered by no snapshot here.
						hi := rapid.Uint64Range(0, last-1).Draw(t, "hi")
						if err := log.DeleteRange(lo, hi); err != nil {
							t.Fatal(err)
						}
						for i := lo; i <= hi; i++ {
							delete(model, i)
						}
					},
					"truncate": func(t *rapid.T) {
						first, last := model.bounds()
						if first == 0 || first == last {
							t.Skip("nothing to truncate")
						}
						lo := rapid.Uint64Range(first+1, last).Draw(t, "lo")
						if err := log.DeleteRange(lo, last); err != nil {
							t.Fatal(err)
						}
						for i := lo; i <= last; i++ {
							delete(model, i)
						}
						next = lo
					},
					"": func(t *rapid.T) {
						first, last := model.checkBounds(t, log)
						for _, i := range []uint64{0, first, (first + last) / 2, last, last + 1} {
							model.checkEntry(t, log, i)
						}
					},
				})
				model.check(t, log)
			})
		})
	}
}

func TestLogDeletesAllAndBeginsAgain(t *testing.T) {
	for name, open := range kinds {
		t.Run(name, func(t *testing.T) {
			log := open(t, t.TempDir())
			for round := range uint64(3) {
				model := twin{}
				for i := uint64(1); i <= 100; i++ {
					e := entry(i, round, fmt.Sprint(i))
					if err := log.StoreLog(e); err != nil {
						t.Fatal(err)
					}
					model[i] = *e
				}
				model.check(t, log)
				if err := log.DeleteRange(0, math.MaxUint64); err != nil {
					t.Fatal(err)
				}
				twin{}.check(t, log)
				if err := log.DeleteRange(1, 10); err != nil {
					t.Errorf("deleting from an empty log: %v", err)
				}
			}
		})
	}
}

func TestLogRefusesWhatIsOutOfOrder(t *testing.T) {
	tests := map[string]func(log raft.LogStore) error{
		"overlap":         func(log raft.LogStore) error { return log.StoreLog(entry(10, 1, "")) },
		"gap":             func(log raft.LogStore) error { return log.StoreLog(entry(12, 1, "")) },
		"gap in batch":    func(log raft.LogStore) error { return log.StoreLogs([]*raft.Log{entry(11, 1, ""), entry(13, 1, "")}) },
		"delete a middle": func(log raft.LogStore) error { return log.DeleteRange(3, 5) },
	}
	for name, act := range tests {
		t.Run(name, func(t *testing.T) {
			s := openMemory(t, store.Config{})
			model := fill(t, s.Logs(), 1, 10)
			if err := act(s.Logs()); err == nil {
				t.Error("no error")
			}
			model.check(t, s.Logs())
		})
	}
}

// fill appends entries first to last.
func fill(t tb, log raft.LogStore, first, last uint64) twin {
	t.Helper()
	model := twin{}
	for i := first; i <= last; {
		var entries []*raft.Log
		for ; i <= last && len(entries) < 10; i++ {
			e := entry(i, 1, fmt.Sprint(i))
			entries, model[i] = append(entries, e), *e
		}
		if err := log.StoreLogs(entries); err != nil {
			t.Fatal(err)
		}
	}
	return model
}

func TestGapBehindASnapshotIsClosed(t *testing.T) {
	for name, s := range map[string]*store.Store{
		"memory": openMemory(t, store.Config{}),
		"disk":   openDisk(t, t.TempDir(), store.Config{}),
	} {
		t.Run(name, func(t *testing.T) {
			log := s.Logs()
			fill(t, log, 1, 100)
			takeSnapshot(t, s, 500, 7, "state")
			fill(t, log, 501, 510).check(t, log)
			if m, ok := log.(raft.MonotonicLogStore); ok && m.IsMonotonic() {
				t.Error("the log is monotonic: Raft would delete what is behind an installed snapshot")
			}
			// Raft compacts by what it remembers, which may be long gone.
			if err := log.DeleteRange(1, 90); err != nil {
				t.Error(err)
			}
			if err := s.Reopen(); err != nil {
				t.Fatal(err)
			}
			if got, _ := s.Logs().FirstIndex(); got != 501 {
				t.Errorf("log begins at %d after it was opened again, want 501", got)
			}
			if err := s.Logs().StoreLog(entry(512, 1, "")); err == nil {
				t.Error("a gap that no snapshot covers was taken")
			}
		})
	}
}

func TestEntriesBehindAnInstalledSnapshotStay(t *testing.T) {
	s := openMemory(t, store.Config{})
	model := fill(t, s.Logs(), 1, 100)
	takeSnapshot(t, s, 50, 1, "late")
	model.check(t, s.Logs())
}

func TestOnFullIsCalledOnceUntilTheLogShrinks(t *testing.T) {
	var calls int
	var s *store.Store
	s = openMemory(t, store.Config{MaxBytes: 10_000, OnFull: func() {
		calls++
		s.LogBytes() // would not return if a lock were held
	}})
	log := s.Logs()
	data := string(make([]byte, 900))
	store := func(from, to uint64) {
		for i := from; i <= to; i++ {
			if err := log.StoreLog(entry(i, 1, data)); err != nil {
				t.Fatal(err)
			}
		}
	}
	store(1, 9)
	if calls != 0 {
		t.Fatalf("OnFull was called %d times below the limit", calls)
	}
	store(10, 30)
	if calls != 1 {
		t.Fatalf("OnFull was called %d times, want 1", calls)
	}
	n := s.TrailingFor(5_000)
	if want := uint64(5_000 / (900 + 128)); n != want {
		t.Errorf("TrailingFor(5000) is %d, want %d", n, want)
	}
	if err := log.DeleteRange(1, 30-n); err != nil {
		t.Fatal(err)
	}
	if got := s.LogBytes(); got > 5_000 {
		t.Errorf("log has %d bytes with the trailing entries, want 5000 at most", got)
	}
	store(31, 60)
	if calls != 2 {
		t.Errorf("OnFull was called %d times, want 2", calls)
	}
	for bytes, want := range map[int64]uint64{0: 0, 1027: 0, 1028: 1, 1 << 40: 60 - 30 + n} {
		if got := s.TrailingFor(bytes); got != want {
			t.Errorf("TrailingFor(%d) is %d, want %d", bytes, got, want)
		}
	}
}

func TestCacheIsBounded(t *testing.T) {
	s := openDisk(t, t.TempDir(), store.Config{NoSync: true, CacheBytes: 100_000})
	log := s.Logs()
	fill(t, log, 1, 600)
	if n, _ := s.CacheHeld(); n != 512 {
		t.Errorf("cache holds %d small entries, want 512", n)
	}
	if err := log.StoreLog(entry(601, 1, string(make([]byte, 60_000)))); err != nil {
		t.Fatal(err)
	}
	if n, bytes := s.CacheHeld(); n < 2 || bytes > 100_000 {
		t.Errorf("cache holds %d entries of %d bytes, want 100000 at most", n, bytes)
	}
	if err := log.StoreLog(entry(602, 1, string(make([]byte, 200_000)))); err != nil {
		t.Fatal(err)
	}
	if n, bytes := s.CacheHeld(); n != 0 || bytes != 0 {
		t.Errorf("cache holds %d entries of %d bytes behind one that is too long for it", n, bytes)
	}
	var got raft.Log
	if err := log.GetLog(602, &got); err != nil || len(got.Data) != 200_000 {
		t.Errorf("the long entry has %d bytes, %v", len(got.Data), err)
	}
}

func TestLogMayBeReadAndCompactedWhileItGrows(t *testing.T) {
	for name, s := range map[string]*store.Store{
		"memory": openMemory(t, store.Config{}),
		"disk":   openDisk(t, t.TempDir(), store.Config{NoSync: true}),
	} {
		t.Run(name, func(t *testing.T) {
			const entries = 600
			log := s.Logs()
			var wg sync.WaitGroup
			done := make(chan struct{})
			wg.Go(func() { // ends with the writer
				for {
					select {
					case <-done:
						return
					default:
					}
					last, _ := log.LastIndex()
					if last > 20 {
						if err := log.DeleteRange(0, last-20); err != nil {
							t.Error(err)
							return
						}
					}
				}
			})
			wg.Go(func() { // ends with the writer
				for {
					select {
					case <-done:
						return
					default:
					}
					last, _ := log.LastIndex()
					var got raft.Log
					if err := log.GetLog(last, &got); err == nil && got.Index != last {
						t.Errorf("GetLog(%d) has index %d", last, got.Index)
					}
					s.TrailingFor(1000)
					s.Stalled()
				}
			})
			fill(t, log, 1, entries)
			close(done)
			wg.Wait()
			if last, _ := log.LastIndex(); last != entries {
				t.Errorf("last index is %d, want %d", last, entries)
			}
		})
	}
}

func TestDequeReleasesWhatItLetsGo(t *testing.T) {
	s := openMemory(t, store.Config{})
	fill(t, s.Logs(), 1, 5000)
	if err := s.Logs().DeleteRange(1, 4990); err != nil {
		t.Fatal(err)
	}
	if got, most := s.LogBytes(), int64(10*(128+4)); got > most {
		t.Errorf("log of ten entries has %d bytes, want %d at most", got, most)
	}
	var kept []uint64
	for i := uint64(4985); i <= 5000; i++ {
		var l raft.Log
		if s.Logs().GetLog(i, &l) == nil {
			kept = append(kept, l.Index)
		}
	}
	if want := []uint64{4991, 4992, 4993, 4994, 4995, 4996, 4997, 4998, 4999, 5000}; !slices.Equal(kept, want) {
		t.Errorf("kept %v, want %v", kept, want)
	}
}
