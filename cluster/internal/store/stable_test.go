package store_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster/internal/store"
)

var (
	termKey = []byte("CurrentTerm")
	voteKey = []byte("LastVoteCand")
)

func TestStableKeepsWhatItIsTold(t *testing.T) {
	both(t, func(t *testing.T, s *store.Store) {
		st := s.Stable()
		if v, err := st.Get(voteKey); v != nil || err != nil {
			t.Errorf("a missing value is %q, %v, want nil", v, err)
		}
		if n, err := st.GetUint64(termKey); n != 0 || err != nil {
			t.Errorf("a missing number is %d, %v, want 0", n, err)
		}
		for term := range uint64(20) {
			if err := errors.Join(st.SetUint64(termKey, term), st.Set(voteKey, []byte{byte(term)})); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Reopen(); err != nil {
			t.Fatal(err)
		}
		st = s.Stable()
		if n, err := st.GetUint64(termKey); n != 19 || err != nil {
			t.Errorf("term is %d, %v, want 19", n, err)
		}
		if v, err := st.Get(voteKey); string(v) != "\x13" || err != nil {
			t.Errorf("vote is %q, %v", v, err)
		}
		if _, err := st.GetUint64(voteKey); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("reading a vote as a number: %v, want ErrDamaged", err)
		}
	})
}

// A failing disk must neither let Raft go on with a term that is not saved,
// nor make it panic.
func TestTermThatCannotBeSavedHoldsItsCaller(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := openDisk(t, dir, store.Config{})
		if err := s.Stable().SetUint64(termKey, 4); err != nil {
			t.Fatal(err)
		}
		disk := error(syscall.ENOSPC)
		s.FailingVotes(func() error { return disk })
		if err := s.Stable().SetUint64(termKey, 4); err != nil {
			t.Errorf("saving the term that is saved already: %v", err)
		}

		returned := make(chan error)
		go func() { returned <- s.Stable().SetUint64(termKey, 5) }()
		synctest.Wait()
		select {
		case err := <-returned:
			t.Fatalf("saving the term on a full disk returned %v", err)
		case <-s.Failed():
		}
		if err := s.Err(); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("Err is %v, want ENOSPC", err)
		}
		if err := s.Stable().Set(voteKey, []byte("x")); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("voting after the failure: %v, want ENOSPC", err)
		}
		if err := s.Logs().StoreLog(entry(1, 5, "")); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("appending after the failure: %v, want ENOSPC", err)
		}

		s.Interrupt()
		if err := <-returned; err != nil {
			t.Errorf("an interrupted term returned %v, which Raft panics about", err)
		}
		if err := s.Stable().SetUint64(termKey, 6); err != nil {
			t.Errorf("a term after the interruption returned %v, which Raft panics about", err)
		}
		if err := s.Stable().Set(voteKey, []byte("x")); !errors.Is(err, store.ErrStopped) {
			t.Errorf("voting after the interruption: %v, want ErrStopped", err)
		}
		if err := s.Reopen(); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.Stable().SetUint64(termKey, 7), s.Logs().StoreLog(entry(1, 7, ""))); err != nil {
			t.Errorf("writing after Reopen: %v", err)
		}
	})
}

// readTerm opens dir, reads the term, and closes it again.
func readTerm(t *testing.T, dir string) uint64 {
	t.Helper()
	s := openDisk(t, dir, store.Config{})
	defer s.Close()
	term, err := s.Stable().GetUint64(termKey)
	if err != nil {
		t.Fatal(err)
	}
	return term
}

func TestTornWriteOfTheTermLosesOnlyItself(t *testing.T) {
	dir := t.TempDir()
	s := openDisk(t, dir, store.Config{})
	path := filepath.Join(dir, "nodes", s.ID(), "vote")
	var files [][]byte
	for term := uint64(1); term <= 6; term++ {
		if err := s.Stable().SetUint64(termKey, term); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, content)
	}
	s.Close()
	for i := 1; i < len(files); i++ {
		before, after := files[i-1], files[i]
		for _, cut := range []int{1, 10, 20, 30, 4096, 4100, 4120, 4130} {
			torn := append(append([]byte(nil), after[:cut]...), before[cut:]...)
			if err := os.WriteFile(path, torn, 0o600); err != nil {
				t.Fatal(err)
			}
			if got := readTerm(t, dir); got != uint64(i) && got != uint64(i+1) {
				t.Errorf("term is %d when the write of %d was torn at byte %d", got, i+1, cut)
			}
		}
	}
}

func TestFailedWriteOfTheTermIsRepeatedInItsSlot(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := openDisk(t, dir, store.Config{})
		path := filepath.Join(dir, "nodes", s.ID(), "vote")
		if err := s.Stable().SetUint64(termKey, 1); err != nil {
			t.Fatal(err)
		}
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		s.FailingVotes(func() error { return syscall.EIO })
		for range 3 {
			go s.Stable().SetUint64(termKey, 2)
			synctest.Wait()
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(content[:4096]) != string(good[:4096]) && string(content[4096:]) != string(good[4096:]) {
			t.Error("a failed write has touched both slots")
		}
	})
}

func FuzzParseSlot(f *testing.F) {
	for _, values := range []map[string]string{nil, {"": ""}, {"CurrentTerm": "\x00\x00\x00\x00\x00\x00\x00\x07", "LastVoteCand": "x"}} {
		slot, err := store.AppendSlot(3, values)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(slot)
	}
	f.Add(make([]byte, 4096))
	f.Fuzz(func(t *testing.T, b []byte) {
		number, values, err := store.ParseSlot(b)
		if err != nil {
			return
		}
		slot, err := store.AppendSlot(number, values)
		if err != nil {
			t.Fatal(err)
		}
		number2, values2, err := store.ParseSlot(slot)
		if err != nil || number2 != number || !maps.Equal(values2, values) {
			t.Errorf("%d %q became %d %q, %v", number, values, number2, values2, err)
		}
	})
}

func TestValuesTooLongForASlotAreRefused(t *testing.T) {
	if _, err := store.AppendSlot(1, map[string]string{"a": string(make([]byte, 4080))}); err == nil {
		t.Error("no error")
	}
}

func TestStalledTellsHowLongAWriteTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var disk store.Lossy
		s := openMemory(t, store.Config{Wrap: disk.Wrap})
		if got := s.Stalled(); got != 0 {
			t.Errorf("idle for %v", got)
		}
		disk.Hang()
		done := make(chan error)
		go func() { done <- s.Logs().StoreLog(entry(1, 1, "")) }()
		time.Sleep(3 * time.Second)
		if got := s.Stalled(); got != 3*time.Second {
			t.Errorf("stalled for %v, want 3s", got)
		}
		go func() { done <- s.Logs().DeleteRange(1, 1) }() // of nothing yet: does not reach the disk
		if err := <-done; err != nil {
			t.Error(err)
		}
		disk.Release()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if got := s.Stalled(); got != 0 {
			t.Errorf("stalled for %v after the write", got)
		}
	})
}
