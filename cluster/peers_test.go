package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster/clustertest"
	"github.com/huddlecache/huddle/cluster/machine"
)

func TestFeaturesTalkToEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := noteCluster(t, clustertest.Options{})
		pods := c.Pods()
		ids := map[string]string{}
		for _, p := range pods {
			id, cluster := p.Node.Peers(1).Self()
			ids[p.Name] = id
			if cluster != p.Node.Usage().Cluster || id != p.Node.ID() {
				t.Errorf("%s is %q in %q, want %q in %q", p.Name, id, cluster, p.Node.ID(), p.Node.Usage().Cluster)
			}
			p.Node.Peers(1).Serve(func(_ context.Context, from string, request []byte) ([]byte, error) {
				if string(request) == "fail" {
					return nil, errors.New("as asked")
				}
				return fmt.Appendf(nil, "%s to %s from %s", request, id, from), nil
			})
		}
		a, b := pods[0].Node.Peers(1), ids[pods[1].Name]
		reply, err := a.Call(t.Context(), b, []byte("hello"))
		if want := fmt.Sprintf("hello to %s from %s", b, ids[pods[0].Name]); string(reply) != want || err != nil {
			t.Errorf("reply is %q, %v, want %q", reply, err, want)
		}
		if _, err := a.Call(t.Context(), b, []byte("fail")); err == nil || err.Error() != "as asked" {
			t.Errorf("error is %v, want the other's", err)
		}
		if _, err := pods[0].Node.Peers(2).Call(t.Context(), b, nil); !errors.Is(err, machine.ErrUnreachable) {
			t.Errorf("calling a feature that does not serve: %v, want %v", err, machine.ErrUnreachable)
		}
		c.Kill(pods[1])
		c.Wait(time.Minute, "the death is seen", func() bool { return a.IsDead(b) })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := a.Call(ctx, b, nil); !errors.Is(err, machine.ErrUnreachable) && !errors.Is(err, machine.ErrNoAnswer) {
			t.Errorf("calling the dead: %v", err)
		}
	})
}

// Whoever has reached an index has heard of everything up to it.
func TestReachComesAfterEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := noteCluster(t, clustertest.Options{})
		var heard [3]atomic.Uint64
		for i, p := range c.Pods() {
			p.Node.Log(1).Subscribe(func(e machine.Event) {
				time.Sleep(time.Millisecond)
				heard[i].Store(e.Index)
			})
		}
		for range 20 {
			_, at, err := c.Pods()[0].Node.Log(1).Do(t.Context(), machine.Item{Data: []byte("emit")})
			if err != nil {
				t.Fatal(err)
			}
			for i, p := range c.Pods() {
				if err := p.Node.Peers(1).Reach(t.Context(), at.Cluster, at.Index); err != nil {
					t.Errorf("%s: %v", p.Name, err)
				}
				if got := heard[i].Load(); got < at.Index {
					t.Errorf("%s has reached %d and heard of %d", p.Name, at.Index, got)
				}
			}
		}
		if err := c.Pods()[0].Node.Peers(1).Reach(t.Context(), "another", 1); err == nil {
			t.Error("an index of another cluster was reached")
		}
	})
}
