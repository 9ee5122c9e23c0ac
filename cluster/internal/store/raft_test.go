package store_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	hclog "github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/huddlecache/huddle/cluster/internal/store"
)

// fsm remembers the commands it has applied, in order.
type fsm struct {
	mu      sync.Mutex // guards applied
	applied []byte
}

func (f *fsm) Apply(l *raft.Log) any {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.applied = append(append(f.applied, l.Data...), '\n')
	return nil
}

func (f *fsm) state() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return bytes.Clone(f.applied)
}

func (f *fsm) Snapshot() (raft.FSMSnapshot, error) { return frozen(f.state()), nil }

func (f *fsm) Restore(r io.ReadCloser) error {
	state, err := io.ReadAll(r)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.applied = state
	return err
}

type frozen []byte

func (s frozen) Persist(sink raft.SnapshotSink) error {
	_, err := sink.Write(s)
	if err != nil {
		return err
	}
	return sink.Close()
}

func (frozen) Release() {}

// server is a Raft instance over a store.
type server struct {
	*raft.Raft
	store     *store.Store
	fsm       *fsm
	transport *raft.InmemTransport
}

func startServer(t *testing.T, s *store.Store) *server {
	t.Helper()
	cfg := raft.DefaultConfig()
	cfg.LocalID = raft.ServerID(s.ID())
	cfg.Logger = hclog.NewNullLogger()
	cfg.TrailingLogs = 10
	cfg.SnapshotThreshold = 1 << 40
	_, transport := raft.NewInmemTransport(raft.ServerAddress(s.ID()))
	v := &server{store: s, fsm: &fsm{}, transport: transport}
	r, err := raft.NewRaft(cfg, v.fsm, s.Logs(), s.Stable(), s.Snapshots(), transport)
	if err != nil {
		t.Fatal(err)
	}
	v.Raft = r
	t.Cleanup(func() { v.stop(t) })
	return v
}

// stop shuts Raft down as an owner does whose disk may have failed.
func (v *server) stop(t *testing.T) {
	t.Helper()
	down := v.Shutdown()
	v.store.Interrupt()
	if err := down.Error(); err != nil {
		t.Error(err)
	}
	v.transport.Close()
}

func connect(servers ...*server) {
	for _, a := range servers {
		for _, b := range servers {
			if a != b {
				a.transport.Connect(b.transport.LocalAddr(), b.transport)
			}
		}
	}
}

func found(t *testing.T, servers ...*server) *server {
	t.Helper()
	connect(servers...)
	var list []raft.Server
	for _, v := range servers {
		list = append(list, raft.Server{ID: raft.ServerID(v.store.ID()), Address: v.transport.LocalAddr()})
	}
	if err := servers[0].BootstrapCluster(raft.Configuration{Servers: list}).Error(); err != nil {
		t.Fatal(err)
	}
	return leader(t, servers...)
}

func leader(t *testing.T, servers ...*server) *server {
	t.Helper()
	for range 600 {
		for _, v := range servers {
			if v.State() == raft.Leader && v.Barrier(time.Second).Error() == nil {
				return v
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("nobody leads after a minute")
	return nil
}

func (v *server) apply(t *testing.T, commands ...string) {
	t.Helper()
	for _, c := range commands {
		if err := v.Apply([]byte(c), time.Second).Error(); err != nil {
			t.Fatalf("applying %s: %v", c, err)
		}
	}
}

func number(from, to int) (commands []string) {
	for i := from; i <= to; i++ {
		commands = append(commands, fmt.Sprint(i))
	}
	return commands
}

// A follower that was cut off with a part of the log gets the rest as a
// snapshot, and then entries again. Its log has no gap, and it comes back from
// what it has stored.
func TestFollowerCatchesUpThroughASnapshot(t *testing.T) {
	for _, kind := range []string{"memory", "disk"} {
		t.Run(kind, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				behind := openMemory(t, store.Config{})
				if kind == "disk" {
					behind = openDisk(t, dir, store.Config{})
				}
				lead := startServer(t, openMemory(t, store.Config{}))
				found(t, lead)
				follower := startServer(t, behind)
				connect(lead, follower)
				id, at := raft.ServerID(behind.ID()), follower.transport.LocalAddr()
				if err := lead.AddNonvoter(id, at, 0, 0).Error(); err != nil {
					t.Fatal(err)
				}
				lead.apply(t, number(1, 30)...)
				lead.transport.DisconnectAll()
				lead.apply(t, number(31, 130)...)
				if err := lead.Snapshot().Error(); err != nil {
					t.Fatal(err)
				}
				connect(lead, follower)
				lead.apply(t, number(131, 150)...)
				time.Sleep(time.Minute)
				if got, want := follower.fsm.state(), lead.fsm.state(); !bytes.Equal(got, want) {
					t.Fatalf("follower has applied %q, want %q", got, want)
				}
				first, _ := behind.Logs().FirstIndex()
				snapshot, _ := newest(t, behind)
				if first != snapshot.Index+1 {
					t.Errorf("log begins at %d behind a snapshot of %d", first, snapshot.Index)
				}

				follower.stop(t)
				if err := behind.Reopen(); err != nil {
					t.Fatal(err)
				}
				follower = startServer(t, behind)
				connect(lead, follower)
				lead.apply(t, number(151, 160)...)
				time.Sleep(time.Minute)
				if got, want := follower.fsm.state(), lead.fsm.state(); !bytes.Equal(got, want) {
					t.Errorf("follower has applied %q after it came back, want %q", got, want)
				}
			})
		})
	}
}

// A leader whose disk fails steps down without a panic, is told of it, and
// comes back with a new instance of Raft once the disk is well.
func TestLeaderWithAFailingDiskStepsDownAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disks := make(map[string]*store.Lossy)
		var servers []*server
		for range 3 {
			disk := &store.Lossy{}
			v := startServer(t, openMemory(t, store.Config{Wrap: disk.Wrap}))
			servers, disks[v.store.ID()] = append(servers, v), disk
		}
		old := found(t, servers...)
		old.apply(t, number(1, 20)...)
		disks[old.store.ID()].Fail(errDisk)
		if err := old.Apply([]byte("lost"), time.Second).Error(); err == nil {
			t.Fatal("a write to a failing disk was acknowledged")
		}
		<-old.store.Failed()
		old.stop(t)
		var others []*server
		for _, v := range servers {
			if v != old {
				others = append(others, v)
			}
		}
		lead := leader(t, others...)
		lead.apply(t, number(21, 40)...)

		disks[old.store.ID()].Fail(nil)
		if err := old.store.Reopen(); err != nil {
			t.Fatal(err)
		}
		back := startServer(t, old.store)
		connect(append(others, back)...)
		time.Sleep(time.Minute)
		lead = leader(t, append(others, back)...)
		lead.apply(t, "last")
		time.Sleep(time.Minute)
		want := strings.Join(append(number(1, 40), "last"), "\n") + "\n"
		if got := string(back.fsm.state()); got != want {
			t.Errorf("the node that came back has applied %q, want %q", got, want)
		}
	})
}
