package locks_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/clustertest"
	"github.com/huddlecache/huddle/locks"
)

func TestCampaign(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		pods := w.Pods()
		type key struct{}
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "v"))
		first, err := w.at(pods[0]).Campaign(ctx, "x", locks.Options{TTL: 2 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		cancel() // of the campaign; the office lasts
		if first.Context().Err() != nil || first.Context().Value(key{}) != "v" {
			t.Error("the leadership ended with the context of its campaign, or has lost its values")
		}
		_, err = w.at(pods[1]).Campaign(t.Context(), "x", locks.Options{Wait: time.Second})
		wantNotAcquired(t, err, "")
		elected := make(chan *locks.Leadership)
		go func() {
			second, err := w.at(pods[1]).Campaign(t.Context(), "x", locks.Options{})
			if err != nil {
				t.Error(err)
			}
			elected <- second
		}()
		time.Sleep(5 * time.Second)
		if err := first.Resign(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !errors.Is(context.Cause(first.Context()), locks.ErrLost) {
			t.Errorf("cause %v, want ErrLost", context.Cause(first.Context()))
		}
		second := <-elected
		if second.Token() <= first.Token() {
			t.Errorf("token %d after %d", second.Token(), first.Token())
		}
	})
}

func TestLeadStandsAgainWhenItsLeadershipIsLost(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		victim := w.others()[0]
		terms := make(chan uint64, 4)
		result := make(chan error, 1)
		done := errors.New("done")
		go func() {
			result <- w.at(victim).Lead(t.Context(), "x", locks.Options{TTL: 2 * time.Second}, func(ctx context.Context, token uint64) error {
				terms <- token
				if len(terms) == 2 {
					return done
				}
				<-ctx.Done()
				return ctx.Err()
			})
		}()
		w.Wait(5*time.Second, "the first election", func() bool { return len(terms) == 1 })
		w.Net.Pause(victim.Addr)
		time.Sleep(3 * time.Second)
		w.Net.Resume(victim.Addr)
		if err := <-result; !errors.Is(err, done) {
			t.Errorf("got %v, want what the last term returned", err)
		}
		if first, second := <-terms, <-terms; second <= first {
			t.Errorf("token %d after %d", second, first)
		}
		w.Wait(time.Second, "the office to be free", func() bool { return len(w.info(w.Pods()[0], "x").Holders) == 0 })
	})
}

func TestACampaignOutlastsALostQuorum(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		victim := w.others()[0]
		w.Net.Partition([]string{victim.Addr}, addrs(w, victim))
		elected := make(chan error, 1)
		go func() {
			_, err := w.at(victim).Campaign(t.Context(), "x", locks.Options{})
			elected <- err
		}()
		time.Sleep(3500 * time.Millisecond)
		w.Net.HealAll()
		if err := <-elected; err != nil {
			t.Error(err)
		}
	})
}

func addrs(w *world, but *clustertest.Pod) (list []string) {
	for _, p := range w.Pods() {
		if p != but {
			list = append(list, p.Addr)
		}
	}
	return list
}
