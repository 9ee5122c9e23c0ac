package store_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/huddlecache/huddle/cluster/internal/store"
)

func TestSnapshotIsSeenOnlyWhenComplete(t *testing.T) {
	both(t, func(t *testing.T, s *store.Store) {
		if meta, _ := newest(t, s); meta != nil {
			t.Fatalf("a new store has the snapshot %v", meta)
		}
		takeSnapshot(t, s, 10, 2, "ten")
		sink := beginSnapshot(t, s, 20, 2, "twen")
		if meta, state := newest(t, s); meta.Index != 10 || state != "ten" {
			t.Errorf("while another is written the snapshot is %d %q, want 10 \"ten\"", meta.Index, state)
		}
		if _, err := io.WriteString(sink, "ty"); err != nil {
			t.Fatal(err)
		}
		if err := sink.Close(); err != nil {
			t.Fatal(err)
		}
		meta, state := newest(t, s)
		if meta.Index != 20 || meta.Term != 2 || state != "twenty" || meta.Size != 6 || meta.ID != sink.ID() ||
			len(meta.Configuration.Servers) != 1 || meta.ConfigurationIndex != 1 {
			t.Errorf("snapshot is %+v %q", meta, state)
		}
		if err := errors.Join(sink.Close(), sink.Cancel()); err != nil {
			t.Errorf("closing twice: %v", err)
		}
		if meta, _ := newest(t, s); meta.Index != 20 {
			t.Errorf("cancelling after closing took the snapshot away")
		}
	})
}

func TestCancelledSnapshotReplacesNothing(t *testing.T) {
	both(t, func(t *testing.T, s *store.Store) {
		takeSnapshot(t, s, 10, 2, "ten")
		sink := beginSnapshot(t, s, 20, 2, "twenty")
		if err := errors.Join(sink.Cancel(), sink.Cancel(), sink.Close()); err != nil {
			t.Fatal(err)
		}
		if meta, state := newest(t, s); meta.Index != 10 || state != "ten" {
			t.Errorf("snapshot is %d %q, want 10 \"ten\"", meta.Index, state)
		}
		if metas, err := s.Snapshots().List(); err != nil || len(metas) != 1 {
			t.Errorf("%d snapshots are listed, %v, want 1", len(metas), err)
		}
	})
}

func TestSnapshotOvertakenByANewerOneIsRefused(t *testing.T) {
	both(t, func(t *testing.T, s *store.Store) {
		local := beginSnapshot(t, s, 300, 3, "local")
		takeSnapshot(t, s, 500, 3, "installed")
		if err := local.Close(); !errors.Is(err, store.ErrSuperseded) {
			t.Errorf("closing the older snapshot: %v, want ErrSuperseded", err)
		}
		if meta, state := newest(t, s); meta.Index != 500 || state != "installed" {
			t.Errorf("snapshot is %d %q, want 500 \"installed\"", meta.Index, state)
		}
		takeSnapshot(t, s, 400, 4, "of a later term")
		if meta, _ := newest(t, s); meta.Index != 400 {
			t.Errorf("snapshot is %d, want 400 of the later term", meta.Index)
		}
	})
}

func TestSnapshotCanBeReadWhileItIsReplaced(t *testing.T) {
	both(t, func(t *testing.T, s *store.Store) {
		state := bytes.Repeat([]byte("0123456789abcdef"), 50_000)
		takeSnapshot(t, s, 10, 2, string(state))
		metas, err := s.Snapshots().List()
		if err != nil {
			t.Fatal(err)
		}
		var readers []io.ReadCloser
		for range 2 {
			_, r, err := s.Snapshots().Open(metas[0].ID)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			readers = append(readers, r)
		}
		head := make([]byte, 100_000)
		if _, err := io.ReadFull(readers[0], head); err != nil {
			t.Fatal(err)
		}
		for i := range uint64(3) {
			takeSnapshot(t, s, 20+i, 2, "newer")
		}
		rest, err := io.ReadAll(readers[0])
		if err != nil || !bytes.Equal(append(head, rest...), state) {
			t.Errorf("first reader: %v, or other content", err)
		}
		if all, err := io.ReadAll(iotest.OneByteReader(io.LimitReader(readers[1], 1000))); err != nil || !bytes.Equal(all, state[:1000]) {
			t.Errorf("second reader: %v, or other content", err)
		}
		if _, _, err := s.Snapshots().Open("nothing"); err == nil {
			t.Error("a snapshot that is not there was opened")
		}
	})
}
