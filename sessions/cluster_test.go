package sessions_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster"
	"github.com/huddlecache/huddle/cluster/clustertest"
	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/sessions"
)

// inCluster runs a test with three nodes in virtual time.
func inCluster(t *testing.T, test func(t *testing.T, c *clustertest.Cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(t, clustertest.Options{Features: []cluster.Feature{{ID: 2, New: sessions.NewMachine}}})
		c.Add(3)
		c.WaitReady(20 * time.Second)
		test(t, c)
	})
}

func at(p *clustertest.Pod) *sessions.Sessions { return sessions.New(p.Node.Log(2), sessions.Config{}) }

// TestANodeThatIsCutOffServesSessions shows what is left without a quorum:
// local reads, and no waiting for a touch that cannot be.
func TestANodeThatIsCutOffServesSessions(t *testing.T) {
	inCluster(t, func(t *testing.T, c *clustertest.Cluster) {
		pods := c.Pods()
		alone := pods[0]
		if c.Leader() == alone {
			alone = pods[1]
		}
		saved, err := at(pods[2]).Save(t.Context(), "s", []byte("data"), sessions.SaveOptions{TTL: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		behind := saved.At.Consistency()
		time.Sleep(time.Second) // until all have heard of it
		for _, p := range pods {
			if p != alone {
				c.Net.Partition([]string{alone.Addr}, []string{p.Addr})
			}
		}
		time.Sleep(20 * time.Second)
		start := time.Now()
		got, err := at(alone).Load(t.Context(), "s", sessions.LoadOptions{Consistency: behind, Touch: true})
		if string(got.Data) != "data" || got.TouchErr == nil || err != nil || time.Since(start) > 2*time.Second {
			t.Errorf("cut off: got %+v, %v after %s", got, err, time.Since(start))
		}
		if _, err := at(alone).Load(t.Context(), "s", sessions.LoadOptions{}); !errors.Is(err, machine.ErrNoQuorum) {
			t.Errorf("a linearizable read: got %v, want ErrNoQuorum", err)
		}
		if _, err := at(alone).DestroyAll(t.Context(), "u", sessions.DestroyOptions{}); err == nil {
			t.Error("a logout was answered without a quorum")
		}
	})
}

// TestAnIdleClusterEndsSessions is about times that nobody's commands tell.
func TestAnIdleClusterEndsSessions(t *testing.T) {
	inCluster(t, func(t *testing.T, c *clustertest.Cluster) {
		pods := c.Pods()
		if _, err := at(pods[0]).Save(t.Context(), "s", nil, sessions.SaveOptions{TTL: 3 * time.Minute, User: "u"}); err != nil {
			t.Fatal(err)
		}
		// A touch that the replica's own time would not find due.
		time.Sleep(150 * time.Second)
		if got, err := at(pods[1]).Load(t.Context(), "s", sessions.LoadOptions{Consistency: machine.Local, Touch: true}); err != nil || got.TouchErr != nil {
			t.Fatalf("touching: got %+v, %v", got, err)
		}
		time.Sleep(150 * time.Second)
		got, err := at(pods[2]).Load(t.Context(), "s", sessions.LoadOptions{})
		if left := got.Left.Round(time.Second); err != nil || left != 30*time.Second {
			t.Errorf("after a touch and 150 s: %s are left, %v; want 30s", left, err)
		}
		time.Sleep(35 * time.Second)
		for _, p := range pods {
			for _, consistency := range []machine.Consistency{machine.Local, machine.Linearizable} {
				if _, err := at(p).Load(t.Context(), "s", sessions.LoadOptions{Consistency: consistency}); !errors.Is(err, sessions.ErrNotFound) {
					t.Errorf("%s after the end: got %v, want ErrNotFound", p.Name, err)
				}
			}
		}
	})
}

// TestALostLeaderEndsNoSessionEarly kills the leader twice during a session's
// life.
func TestALostLeaderEndsNoSessionEarly(t *testing.T) {
	inCluster(t, func(t *testing.T, c *clustertest.Cluster) {
		start := time.Now()
		if _, err := at(c.Pods()[0]).Save(t.Context(), "s", nil, sessions.SaveOptions{TTL: 2 * time.Minute}); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			p := c.Leader()
			c.Kill(p)
			time.Sleep(10 * time.Second)
			c.Restart(p, false)
			time.Sleep(30 * time.Second)
		}
		if _, err := at(c.Pods()[0]).Load(t.Context(), "s", sessions.LoadOptions{}); err != nil {
			t.Errorf("after %s of 2m0s: %v", time.Since(start), err)
		}
		// A new leader's clock goes on where the last entry of the former one
		// left it, so that sessions end late then, and never early.
		time.Sleep(3 * time.Minute)
		if _, err := at(c.Pods()[0]).Load(t.Context(), "s", sessions.LoadOptions{}); !errors.Is(err, sessions.ErrNotFound) {
			t.Errorf("after %s of 2m0s: got %v, want ErrNotFound", time.Since(start), err)
		}
	})
}
