package cluster

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster/internal/founding"
	"github.com/huddlecache/huddle/cluster/internal/store"
)

// A founder that dies after it has kept that it has started, and before Raft
// has its first configuration, must bootstrap when it comes back.
func TestFounderDiesBeforeBootstrap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s, err := store.OpenDisk(dir, store.Config{})
		if err != nil {
			t.Fatal(err)
		}
		core, err := founding.New(founding.Config{
			Self:   founding.Member{ID: s.ID(), Name: "a", Durable: true},
			Expect: 1, Voters: 5, Alone: true, NewClusterID: newClusterID,
		})
		if err != nil {
			t.Fatal(err)
		}
		effects, err := core.Tick(founding.View{}).After(func(state []byte) error { return s.Save(savedFounding, state) })
		if err != nil || effects.Bootstrap == nil {
			t.Fatal(effects, err)
		}
		if err := s.Kill(); err != nil {
			t.Fatal(err)
		}
		n, err := Open(t.Context(), Config{Name: "a", DataDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Kill()
		for start := time.Now(); n.Ready() != nil; time.Sleep(100 * time.Millisecond) {
			if time.Since(start) > time.Minute {
				t.Fatalf("not ready after a minute: %v; %v", n.Ready(), n.Status(t.Context()).Problems)
			}
		}
	})
}
