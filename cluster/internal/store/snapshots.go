package store

import (
	"cmp"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// snapshots stands in front of either kind of snapshot store and lets none
// take the place of a newer one. Without it a local snapshot that was begun
// before one was installed, and finished after, would set Raft's idea of its
// last snapshot back.
type snapshots struct {
	under raft.SnapshotStore

	closing sync.Mutex               // orders the ends of snapshots, and is held over their last I/O; nothing else takes it
	newest  atomic.Pointer[position] // of the newest that is complete and can be read
}

type position struct{ term, index uint64 }

func (p position) compare(q position) int {
	return cmp.Or(cmp.Compare(p.term, q.term), cmp.Compare(p.index, q.index))
}

// newSnapshots finds the newest snapshot that can be read to its end; Raft
// will start from it.
func newSnapshots(under raft.SnapshotStore) (*snapshots, error) {
	s := &snapshots{under: under}
	s.newest.Store(&position{})
	metas, err := under.List()
	if err != nil {
		return nil, fmt.Errorf("listing snapshots: %w", err)
	}
	for _, meta := range metas {
		var r io.ReadCloser
		if _, r, err = under.Open(meta.ID); err != nil {
			continue
		}
		s.newest.Store(&position{meta.Term, meta.Index})
		return s, r.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: none of %d snapshots can be read: %w", ErrDamaged, len(metas), err)
	}
	return s, nil
}

// newestIndex is the index up to which a snapshot holds everything.
func (s *snapshots) newestIndex() uint64 { return s.newest.Load().index }

// Create begins a snapshot.
func (s *snapshots) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration,
	configurationIndex uint64, transport raft.Transport,
) (raft.SnapshotSink, error) {
	sink, err := s.under.Create(version, index, term, configuration, configurationIndex, transport)
	if err != nil {
		return nil, err
	}
	return &orderedSink{SnapshotSink: sink, store: s, at: position{term, index}}, nil
}

// List returns the snapshots, newest first.
func (s *snapshots) List() ([]*raft.SnapshotMeta, error) { return s.under.List() }

// Open reads a snapshot.
func (s *snapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	return s.under.Open(id)
}

// orderedSink is one snapshot being written, by one goroutine.
type orderedSink struct {
	raft.SnapshotSink
	store *snapshots
	at    position
	done  bool // Close or Cancel was called
}

// Close completes the snapshot, unless a newer one is there.
func (k *orderedSink) Close() error {
	if k.done {
		return nil
	}
	k.done = true
	k.store.closing.Lock()
	defer k.store.closing.Unlock()
	if k.at.compare(*k.store.newest.Load()) < 0 {
		if err := k.SnapshotSink.Cancel(); err != nil {
			return fmt.Errorf("%w; cancelling this one: %w", ErrSuperseded, err)
		}
		return ErrSuperseded
	}
	if err := k.SnapshotSink.Close(); err != nil {
		return err
	}
	k.store.newest.Store(&k.at)
	return nil
}

// Cancel gives the snapshot up; after Close it does nothing.
func (k *orderedSink) Cancel() error {
	if k.done {
		return nil
	}
	k.done = true
	return k.SnapshotSink.Cancel()
}
