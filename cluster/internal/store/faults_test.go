package store_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/huddlecache/huddle/cluster/internal/store"
)

var errDisk = errors.New("the disk is on fire")

func TestCrashLosesWhatWasNotSynced(t *testing.T) {
	dir := t.TempDir()
	var disk store.Lossy
	cfg := store.Config{Wrap: disk.Wrap}
	s := openDisk(t, dir, cfg)
	model := fill(t, s.Logs(), 1, 20)
	disk.Hold()
	log := s.Logs()
	if err := log.DeleteRange(15, 20); err != nil {
		t.Fatal(err)
	}
	if err := log.DeleteRange(1, 5); err == nil {
		fill(t, log, 15, 40)
	}
	if last, _ := log.LastIndex(); last != 40 {
		t.Fatalf("last index is %d before the crash, want 40", last)
	}
	disk.Crash()
	if err := log.StoreLog(entry(41, 1, "")); err == nil {
		t.Error("a crashed log was written to")
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	// The deletions were not synced either. A log that begins at 1 needs no
	// snapshot.
	s = openDisk(t, dir, cfg)
	model.check(t, s.Logs())
}

func TestSyncedWritesOutliveACrash(t *testing.T) {
	dir := t.TempDir()
	var disk store.Lossy
	disk.Hold()
	cfg := store.Config{Wrap: disk.Wrap}
	s := openDisk(t, dir, cfg)
	model := fill(t, s.Logs(), 1, 20)
	if err := disk.Sync(); err != nil {
		t.Fatal(err)
	}
	disk.Hold()
	fill(t, s.Logs(), 21, 30)
	disk.Crash()
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	s = openDisk(t, dir, cfg)
	model.check(t, s.Logs())
}

func TestHangingWriteIsLostInACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var disk store.Lossy
		s := openMemory(t, store.Config{Wrap: disk.Wrap})
		model := fill(t, s.Logs(), 1, 5)
		disk.Hang()
		done := make(chan error)
		go func() { done <- s.Logs().StoreLog(entry(6, 1, "")) }()
		synctest.Wait()
		model.check(t, s.Logs())
		disk.Crash()
		if err := <-done; err == nil {
			t.Error("a write that hung until the crash returned no error")
		}
		if err := s.Reopen(); err != nil {
			t.Fatal(err)
		}
		model.check(t, s.Logs())
	})
}

func TestFailedWriteStopsTheStoreUntilItIsReopened(t *testing.T) {
	acts := map[string]func(s *store.Store) error{
		"append":   func(s *store.Store) error { return s.Logs().StoreLog(entry(11, 1, "")) },
		"compact":  func(s *store.Store) error { return s.Logs().DeleteRange(1, 3) },
		"truncate": func(s *store.Store) error { return s.Logs().DeleteRange(8, 10) },
	}
	for name, act := range acts {
		for _, kind := range []string{"memory", "disk"} {
			t.Run(fmt.Sprint(name, " ", kind), func(t *testing.T) {
				var disk store.Lossy
				cfg := store.Config{Wrap: disk.Wrap}
				var s *store.Store
				if kind == "disk" {
					s = openDisk(t, t.TempDir(), cfg)
				} else {
					s = openMemory(t, cfg)
				}
				model := fill(t, s.Logs(), 1, 10)
				disk.Fail(errDisk)
				if err := act(s); !errors.Is(err, errDisk) {
					t.Errorf("the failing write returned %v", err)
				}
				disk.Fail(nil)
				select {
				case <-s.Failed():
				default:
					t.Error("Failed is not closed")
				}
				for name, again := range acts {
					if err := again(s); !errors.Is(err, errDisk) {
						t.Errorf("%s after the failure: %v", name, err)
					}
				}
				if err := s.Stable().Set(voteKey, []byte("x")); !errors.Is(err, errDisk) {
					t.Errorf("voting after the failure: %v", err)
				}
				model.check(t, s.Logs())
				if err := s.Reopen(); err != nil {
					t.Fatal(err)
				}
				if err := s.Err(); err != nil {
					t.Errorf("Err after Reopen is %v", err)
				}
				model.check(t, s.Logs())
				if err := s.Logs().StoreLog(entry(11, 1, "")); err != nil {
					t.Error(err)
				}
			})
		}
	}
}
