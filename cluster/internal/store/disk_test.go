package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/huddlecache/huddle/cluster/internal/store"
)

// restart closes a store and opens its directory again.
func restart(t *testing.T, s *store.Store, dir string, cfg store.Config) *store.Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return openDisk(t, dir, cfg)
}

func TestIdentityIsALegalLabelAndNeverTheSame(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := store.NewID()
		if len(id) != 26 || strings.Trim(id, "abcdefghijklmnopqrstuvwxyz234567") != "" || seen[id] {
			t.Fatalf("ID is %q", id)
		}
		seen[id] = true
	}
	if a, b := openMemory(t, store.Config{}), openMemory(t, store.Config{}); a.ID() == b.ID() || a.Durable() {
		t.Errorf("two stores in memory are %s and %s, durable: %v", a.ID(), b.ID(), a.Durable())
	}
}

func TestDurableNodeComesBackAsItself(t *testing.T) {
	for _, noSync := range []bool{false, true} {
		t.Run(fmt.Sprintf("NoSync=%v", noSync), func(t *testing.T) {
			dir, cfg := t.TempDir(), store.Config{NoSync: noSync}
			s := openDisk(t, dir, cfg)
			id := s.ID()
			model := fill(t, s.Logs(), 1, 50)
			takeSnapshot(t, s, 30, 1, "state")
			if err := errors.Join(s.Stable().SetUint64(termKey, 3), s.Save("promise", []byte("list"))); err != nil {
				t.Fatal(err)
			}
			for _, stop := range []func(*store.Store) error{(*store.Store).Close, (*store.Store).Kill} {
				if err := stop(s); err != nil {
					t.Fatal(err)
				}
				s = openDisk(t, dir, cfg)
				if s.ID() != id || s.Renewed() != "" || !s.Durable() {
					t.Errorf("came back as %s, want %s; renewed: %q", s.ID(), id, s.Renewed())
				}
				model.check(t, s.Logs())
				if term, err := s.Stable().GetUint64(termKey); term != 3 || err != nil {
					t.Errorf("term is %d, %v, want 3", term, err)
				}
				if v, found, err := s.Load("promise"); string(v) != "list" || !found || err != nil {
					t.Errorf("value is %q, %v, %v", v, found, err)
				}
				if meta, state := newest(t, s); meta == nil || meta.Index != 30 || state != "state" {
					t.Errorf("snapshot is %v %q", meta, state)
				}
			}
		})
	}
}

func TestNewIdentityHasNothingOfTheOld(t *testing.T) {
	both(t, func(t *testing.T, s *store.Store) {
		old := s.ID()
		oldLog := s.Logs()
		fill(t, oldLog, 1, 10)
		takeSnapshot(t, s, 5, 1, "state")
		if err := errors.Join(s.Stable().SetUint64(termKey, 3), s.Save("promise", []byte("list"))); err != nil {
			t.Fatal(err)
		}
		id, err := s.NewIdentity()
		if err != nil || id == old || id != s.ID() {
			t.Fatalf("new identity is %s, %v, and the store's is %s; the old one was %s", id, err, s.ID(), old)
		}
		twin{}.check(t, s.Logs())
		if term, err := s.Stable().GetUint64(termKey); term != 0 || err != nil {
			t.Errorf("term is %d, %v, want 0", term, err)
		}
		if _, found, err := s.Load("promise"); found || err != nil {
			t.Errorf("value found: %v, %v", found, err)
		}
		if meta, _ := newest(t, s); meta != nil {
			t.Errorf("snapshot is %v", meta)
		}
		if err := oldLog.StoreLog(entry(11, 1, "")); !errors.Is(err, store.ErrStopped) {
			t.Errorf("appending to the log of the old identity: %v, want ErrStopped", err)
		}
		fill(t, s.Logs(), 1, 3).check(t, s.Logs())
	})
}

func TestNewIdentityOutlivesARestart(t *testing.T) {
	dir := t.TempDir()
	s := openDisk(t, dir, store.Config{})
	id, err := s.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	if s = restart(t, s, dir, store.Config{}); s.ID() != id {
		t.Errorf("came back as %s, want %s", s.ID(), id)
	}
	nodes, err := filepath.Glob(filepath.Join(dir, "nodes", "*"))
	if err != nil || !slices.Equal(nodes, []string{filepath.Join(dir, "nodes", id)}) {
		t.Errorf("nodes are %v, %v, want that of %s alone", nodes, err, id)
	}
}

// Making an identity ends with the renaming of one file: before it the old one
// is whole, after it the new one.
func TestCrashWhileTakingANewIdentity(t *testing.T) {
	dir := t.TempDir()
	s := openDisk(t, dir, store.Config{})
	id := s.ID()
	model := fill(t, s.Logs(), 1, 10)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(dir, "nodes", store.NewID())
	if err := os.MkdirAll(filepath.Join(half, "snapshots"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"identity.tmp", "probe.tmp"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s = openDisk(t, dir, store.Config{})
	if s.ID() != id {
		t.Errorf("came back as %s, want %s", s.ID(), id)
	}
	model.check(t, s.Logs())
	if _, err := os.Stat(half); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the unfinished identity is still there: %v", err)
	}
}

func TestUnfinishedDirectoryIsFinished(t *testing.T) {
	dir := t.TempDir()
	s := openDisk(t, dir, store.Config{})
	id := s.ID()
	if err := errors.Join(s.Close(), os.Remove(filepath.Join(dir, "format"))); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "lost+found"), 0o700); err != nil {
		t.Fatal(err)
	}
	s = openDisk(t, dir, store.Config{})
	if s.ID() != id {
		t.Errorf("came back as %s, want %s", s.ID(), id)
	}
	if _, err := os.Stat(filepath.Join(dir, "lost+found")); err != nil {
		t.Errorf("what is not ours was touched: %v", err)
	}
	if format, err := os.ReadFile(filepath.Join(dir, "format")); string(format) != "huddle 1\n" {
		t.Errorf("format is %q, %v", format, err)
	}
}

func TestUnsyncedLogIsGivenUpAfterAnotherBoot(t *testing.T) {
	tests := []struct {
		name          string
		before, after store.Config
		stop          func(*store.Store) error
		renewed       bool
	}{
		{"same boot", store.Config{NoSync: true, BootID: "a"}, store.Config{NoSync: true, BootID: "a"}, (*store.Store).Kill, false},
		{"another boot", store.Config{NoSync: true, BootID: "a"}, store.Config{NoSync: true, BootID: "b"}, (*store.Store).Kill, true},
		{"another boot, now synced", store.Config{NoSync: true, BootID: "a"}, store.Config{BootID: "b"}, (*store.Store).Kill, true},
		{"another boot after a clean stop", store.Config{NoSync: true, BootID: "a"}, store.Config{NoSync: true, BootID: "b"}, (*store.Store).Close, false},
		{"another boot, synced before", store.Config{BootID: "a"}, store.Config{NoSync: true, BootID: "b"}, (*store.Store).Kill, false},
		{"same boot, now synced", store.Config{NoSync: true, BootID: "a"}, store.Config{BootID: "a"}, (*store.Store).Kill, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			s := openDisk(t, dir, tt.before)
			id := s.ID()
			model := fill(t, s.Logs(), 1, 5)
			if err := tt.stop(s); err != nil {
				t.Fatal(err)
			}
			s = openDisk(t, dir, tt.after)
			if got := s.ID() != id; got != tt.renewed || got != (s.Renewed() != "") {
				t.Errorf("renewed: %v (%q), want %v", got, s.Renewed(), tt.renewed)
			}
			if tt.renewed {
				model = twin{}
			}
			model.check(t, s.Logs())
			if marked := exists(filepath.Join(dir, "nodes", s.ID(), "unsynced")); marked != tt.after.NoSync {
				t.Errorf("marked as unsynced: %v, want %v", marked, tt.after.NoSync)
			}
		})
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func TestSecondOpenIsRefusedAtOnce(t *testing.T) {
	dir := t.TempDir()
	s := openDisk(t, dir, store.Config{})
	_, err := store.OpenDisk(dir, store.Config{})
	if !errors.Is(err, store.ErrLocked) || strings.Contains(err.Error(), "\n") {
		t.Errorf("opening twice: %v, want ErrLocked in one line", err)
	}
	restart(t, s, dir, store.Config{})
}

func TestDamageIsAClearError(t *testing.T) {
	write := func(name, content string) func(t *testing.T, dir, node string) {
		return func(t *testing.T, dir, _ string) {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	change := func(name string, fn func([]byte) []byte) func(t *testing.T, dir, node string) {
		return func(t *testing.T, _, node string) {
			path := filepath.Join(node, name)
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, fn(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	remove := func(name string) func(t *testing.T, dir, node string) {
		return func(t *testing.T, _, node string) {
			if err := os.Remove(filepath.Join(node, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	blank := func(from, to int) func([]byte) []byte {
		return func(b []byte) []byte {
			clear(b[from:min(to, len(b))])
			return b
		}
	}
	tests := []struct {
		name   string
		damage func(t *testing.T, dir, node string)
		want   error
	}{
		{"newer format", write("format", "huddle 2\n"), store.ErrNewer},
		{"foreign format", write("format", "x 1\n"), store.ErrDamaged},
		{"empty format", write("format", ""), store.ErrDamaged},
		{"empty identity", write("identity", ""), store.ErrDamaged},
		{"short identity", write("identity", "abc\n"), store.ErrDamaged},
		{"identity that leads elsewhere", write("identity", "../../../../../../../etcab\n"), store.ErrDamaged},
		{"no identity", func(t *testing.T, dir, _ string) { remove("identity")(t, dir, dir) }, store.ErrDamaged},
		{"no log", remove("log.db"), store.ErrDamaged},
		{"empty log", change("log.db", func([]byte) []byte { return nil }), store.ErrDamaged},
		{"log of something else", change("log.db", func(b []byte) []byte { return bytes.Repeat([]byte("x"), len(b)) }), store.ErrDamaged},
		{"log cut off", change("log.db", func(b []byte) []byte { return b[:len(b)/4] }), store.ErrDamaged},
		{"log without its pages", change("log.db", blank(2*4096, 1<<30)), store.ErrDamaged},
		{"log with other pages", change("log.db", func(b []byte) []byte {
			copy(b[4*4096:], bytes.Repeat([]byte{0xa5}, len(b)-4*4096))
			return b
		}), store.ErrDamaged},
		{"no vote", remove("vote"), os.ErrNotExist},
		{"empty vote", change("vote", func([]byte) []byte { return nil }), store.ErrDamaged},
		{"vote without its slots", change("vote", blank(0, 8192)), store.ErrDamaged},
		{"no snapshot", func(t *testing.T, _, node string) {
			if err := os.RemoveAll(filepath.Join(node, "snapshots")); err != nil {
				t.Fatal(err)
			}
		}, store.ErrDamaged},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			s := openDisk(t, dir, store.Config{NoSync: true})
			fill(t, s.Logs(), 1, 300)
			if err := s.Stable().SetUint64(termKey, 9); err != nil {
				t.Fatal(err)
			}
			takeSnapshot(t, s, 200, 1, "state")
			if err := errors.Join(s.Logs().DeleteRange(1, 100), s.Close()); err != nil {
				t.Fatal(err)
			}
			tt.damage(t, dir, filepath.Join(dir, "nodes", s.ID()))
			again, err := store.OpenDisk(dir, store.Config{})
			if err == nil {
				again.Close()
			}
			if !errors.Is(err, tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("opening: %v, want %v in one line", err, tt.want)
			}
		})
	}
}

func TestDamagedSnapshotIsPassedOver(t *testing.T) {
	dir := t.TempDir()
	s := openDisk(t, dir, store.Config{})
	fill(t, s.Logs(), 1, 300)
	takeSnapshot(t, s, 100, 1, "older")
	takeSnapshot(t, s, 200, 1, "newer")
	meta, _ := newest(t, s)
	state := filepath.Join(dir, "nodes", s.ID(), "snapshots", meta.ID, "state.bin")
	if err := errors.Join(s.Logs().DeleteRange(1, 100), s.Close(), os.WriteFile(state, []byte("rotten"), 0o600)); err != nil {
		t.Fatal(err)
	}
	s = openDisk(t, dir, store.Config{})
	if err := errors.Join(s.Logs().DeleteRange(101, 150), s.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := store.OpenDisk(dir, store.Config{}); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("opening with a hole between snapshot and log: %v, want ErrDamaged", err)
	}
}

func TestValues(t *testing.T) {
	both(t, func(t *testing.T, s *store.Store) {
		if v, found, err := s.Load("cluster"); v != nil || found || err != nil {
			t.Errorf("a missing value is %q, %v, %v", v, found, err)
		}
		for _, want := range []string{"", "one", "a longer one"} {
			if err := s.Save("cluster", []byte(want)); err != nil {
				t.Fatal(err)
			}
			if v, found, err := s.Load("cluster"); string(v) != want || !found || err != nil {
				t.Errorf("value is %q, %v, %v, want %q", v, found, err, want)
			}
		}
		for _, name := range []string{"", "..", ".x", "a/b", "A", "a b", strings.Repeat("a", 65)} {
			if err := s.Save(name, nil); err == nil {
				t.Errorf("the name %q was taken by Save", name)
			}
			if _, _, err := s.Load(name); err == nil {
				t.Errorf("the name %q was taken by Load", name)
			}
		}
	})
}

func TestDamagedValueIsAnError(t *testing.T) {
	dir := t.TempDir()
	s := openDisk(t, dir, store.Config{})
	if err := s.Save("cluster", []byte("abc")); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "nodes", s.ID(), "values", "cluster")
	for _, content := range []string{"", "\x00\x00\x00\x00abc"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if v, _, err := s.Load("cluster"); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("loading %q gave %q, %v, want ErrDamaged", content, v, err)
		}
	}
}

func TestClosedStoreTakesNothing(t *testing.T) {
	both(t, func(t *testing.T, s *store.Store) {
		if err := errors.Join(s.Close(), s.Close(), s.Kill()); err != nil {
			t.Fatal(err)
		}
		_, identity := s.NewIdentity()
		for name, err := range map[string]error{
			"StoreLog":    s.Logs().StoreLog(entry(1, 1, "")),
			"DeleteRange": s.Logs().DeleteRange(1, 1),
			"Set":         s.Stable().Set(voteKey, []byte("x")),
			"Save":        s.Save("cluster", nil),
			"Reopen":      s.Reopen(),
			"NewIdentity": identity,
		} {
			if !errors.Is(err, store.ErrStopped) {
				t.Errorf("%s after Close: %v, want ErrStopped", name, err)
			}
		}
	})
}
