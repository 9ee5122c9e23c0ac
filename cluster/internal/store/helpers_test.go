package store_test

import (
	"io"
	"testing"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"github.com/huddlecache/huddle/cluster/internal/store"
)

// tb is what a test and a property have in common.
type tb interface {
	rapid.TB
	Cleanup(func())
}

func openMemory(t tb, cfg store.Config) *store.Store {
	t.Helper()
	s, err := store.OpenMemory(cfg)
	return opened(t, s, err)
}

func openDisk(t tb, dir string, cfg store.Config) *store.Store {
	t.Helper()
	s, err := store.OpenDisk(dir, cfg)
	return opened(t, s, err)
}

func opened(t tb, s *store.Store, err error) *store.Store {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// both runs fn over a store of either kind.
func both(t *testing.T, fn func(t *testing.T, s *store.Store)) {
	t.Run("memory", func(t *testing.T) { fn(t, openMemory(t, store.Config{})) })
	t.Run("disk", func(t *testing.T) { fn(t, openDisk(t, t.TempDir(), store.Config{})) })
}

func beginSnapshot(t testing.TB, s *store.Store, index, term uint64, state string) raft.SnapshotSink {
	t.Helper()
	_, transport := raft.NewInmemTransport("")
	sink, err := s.Snapshots().Create(1, index, term, raft.Configuration{
		Servers: []raft.Server{{ID: "a", Address: "a"}},
	}, 1, transport)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(sink, state); err != nil {
		t.Fatal(err)
	}
	return sink
}

func takeSnapshot(t testing.TB, s *store.Store, index, term uint64, state string) {
	t.Helper()
	if err := beginSnapshot(t, s, index, term, state).Close(); err != nil {
		t.Fatal(err)
	}
}

// newest returns the meta data and content of the newest snapshot.
func newest(t testing.TB, s *store.Store) (*raft.SnapshotMeta, string) {
	t.Helper()
	metas, err := s.Snapshots().List()
	if err != nil {
		t.Fatal(err)
	}
	if len(metas) == 0 {
		return nil, ""
	}
	meta, r, err := s.Snapshots().Open(metas[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	state, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return meta, string(state)
}
