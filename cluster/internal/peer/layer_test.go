package peer_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/huddlecache/huddle/cluster/internal/peer"
)

// exchange sends a word each way over a connection of two layers.
func exchange(t *testing.T, from, to *peer.Layer, address raft.ServerAddress) (dialled, accepted net.Conn) {
	t.Helper()
	var wg sync.WaitGroup
	wg.Go(func() {
		var err error
		if accepted, err = to.Accept(); err != nil {
			t.Errorf("Accept: %v", err)
			return
		}
		word := make([]byte, 4)
		if _, err := io.ReadFull(accepted, word); err != nil || string(word) != "ping" {
			t.Errorf("the acceptor read %q, %v", word, err)
		}
		io.WriteString(accepted, "pong")
	})
	dialled, err := from.Dial(address, time.Second)
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	io.WriteString(dialled, "ping")
	word := make([]byte, 4)
	if _, err := io.ReadFull(dialled, word); err != nil || string(word) != "pong" {
		t.Errorf("the dialer read %q, %v", word, err)
	}
	wg.Wait()
	return dialled, accepted
}

func TestRaftLayer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(newPipes())
		var asked atomic.Value
		a := w.open(t, peer.Config{ID: "a"})
		b := w.open(t, peer.Config{ID: "b", AcceptRaft: func(from, cluster string) error {
			asked.Store(from + " " + cluster)
			if cluster == "refused" {
				return errors.New("never heard of it")
			}
			return nil
		}})
		mine, theirs := a.RaftLayer("c1"), b.RaftLayer("c1")
		if got := mine.Addr().String(); got != "a" {
			t.Errorf("Addr is %q, want a", got)
		}
		dialled, accepted := exchange(t, mine, theirs, "b")
		if got := asked.Load(); got != "a c1" {
			t.Errorf("AcceptRaft was asked about %v, want a c1", got)
		}
		exchange(t, theirs, mine, "a") // without AcceptRaft

		// Another Raft of the same process, later.
		if err := theirs.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		for _, c := range []net.Conn{dialled, accepted} {
			if _, err := c.Read(make([]byte, 1)); err == nil {
				t.Error("a connection of a closed layer is open")
			}
		}
		if _, err := theirs.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept of a closed layer: got %v, want ErrClosed", err)
		}
		if _, err := theirs.Dial("a", time.Second); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Dial of a closed layer: got %v, want ErrClosed", err)
		}
		if _, err := mine.Dial("b", time.Second); err == nil || !strings.Contains(err.Error(), `not part of cluster "c1"`) {
			t.Errorf("Dial to where no Raft runs: got %v", err)
		}
		exchange(t, mine, b.RaftLayer("c1"), "b")

		if _, err := a.RaftLayer("refused").Dial("b", time.Second); err == nil || !strings.Contains(err.Error(), "never heard of it") {
			t.Errorf("refused: got %v, want AcceptRaft's text", err)
		}
		if _, err := a.RaftLayer("c2").Dial("b", time.Second); err == nil || !strings.Contains(err.Error(), `not part of cluster "c2"`) {
			t.Errorf("another cluster: got %v", err)
		}
		w.move("x", "b")
		var other *peer.IdentityError
		if _, err := a.RaftLayer("c1").Dial("x", time.Second); !errors.As(err, &other) {
			t.Errorf("another node: got %v, want an IdentityError", err)
		}
	})
}

func TestClosingALayerEndsAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(newPipes())
		a := w.open(t, peer.Config{ID: "a"})
		for _, end := range []func(*peer.Layer){
			func(l *peer.Layer) { l.Close() },
			func(*peer.Layer) { a.RaftLayer("next") },
			func(*peer.Layer) { a.SetIdentity("a2") },
			func(*peer.Layer) { a.Close() },
		} {
			l := a.RaftLayer("c")
			done := make(chan error, 1)
			go func() {
				_, err := l.Accept()
				done <- err
			}()
			synctest.Wait()
			end(l)
			if err := <-done; !errors.Is(err, net.ErrClosed) {
				t.Errorf("got %v, want ErrClosed", err)
			}
		}
		if _, err := a.RaftLayer("c").Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a layer of a closed peer: got %v, want ErrClosed", err)
		}
	})
}

// TestRaftRuns has three nodes elect a leader over their layers, lose it, and
// elect another.
func TestRaftRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newPipes()
		w := newWorld(n)
		var servers []raft.Server
		for _, id := range []string{"a", "b", "c"} {
			servers = append(servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(id)})
		}
		nodes := make(map[raft.ServerID]*raft.Raft)
		for _, s := range servers {
			layer := w.open(t, peer.Config{ID: string(s.ID)}).RaftLayer("c")
			nodes[s.ID] = startRaft(t, layer, servers)
		}
		time.Sleep(5 * time.Second)
		leader := leaderOf(t, nodes)
		if err := nodes[leader].Apply([]byte("x"), time.Second).Error(); err != nil {
			t.Fatalf("Apply: %v", err)
		}
		if err := nodes[leader].Shutdown().Error(); err != nil {
			t.Fatalf("Shutdown: %v", err)
		}
		delete(nodes, leader)
		n.cut()
		time.Sleep(10 * time.Second)
		if next := leaderOf(t, nodes); next == leader {
			t.Errorf("%s leads still", next)
		}
	})
}

func startRaft(t *testing.T, layer *peer.Layer, servers []raft.Server) *raft.Raft {
	t.Helper()
	logger := hclog.NewNullLogger()
	transport := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: layer, MaxPool: 3, Timeout: time.Second, Logger: logger,
	})
	cfg := raft.DefaultConfig()
	cfg.LocalID = raft.ServerID(layer.Addr().String())
	cfg.Logger = logger
	store := raft.NewInmemStore()
	snapshots := raft.NewInmemSnapshotStore()
	if err := raft.BootstrapCluster(cfg, store, store, snapshots, transport, raft.Configuration{Servers: servers}); err != nil {
		t.Fatal(err)
	}
	r, err := raft.NewRaft(cfg, &raft.MockFSM{}, store, store, snapshots, transport)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Shutdown().Error()
		transport.CloseStreams()
		transport.Close()
	})
	return r
}

func leaderOf(t *testing.T, nodes map[raft.ServerID]*raft.Raft) raft.ServerID {
	t.Helper()
	for id, r := range nodes {
		if r.State() == raft.Leader {
			return id
		}
	}
	t.Fatal("nobody leads")
	return ""
}
