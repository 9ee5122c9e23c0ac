package locks_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster"
	"github.com/huddlecache/huddle/cluster/clustertest"
	"github.com/huddlecache/huddle/locks"
)

const feature = 3

// A world is three nodes with their locks.
type world struct {
	*clustertest.Cluster
	t     *testing.T
	locks map[*clustertest.Pod]*locks.Locks
}

// inWorld runs a test in virtual time, with three nodes.
func inWorld(t *testing.T, run func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{
			Cluster: clustertest.New(t, clustertest.Options{
				Features: []cluster.Feature{{ID: feature, New: locks.NewMachine}},
			}),
			t: t, locks: map[*clustertest.Pod]*locks.Locks{},
		}
		t.Cleanup(func() {
			for _, l := range w.locks {
				l.Close()
			}
		})
		w.Add(3)
		w.WaitReady(20 * time.Second)
		run(t, w)
	})
}

// at returns the locks of a pod.
func (w *world) at(p *clustertest.Pod) *locks.Locks {
	if w.locks[p] == nil {
		w.locks[p] = locks.New(p.Node.Log(feature))
	}
	return w.locks[p]
}

// others are the pods that do not lead.
func (w *world) others() (list []*clustertest.Pod) {
	for _, p := range w.Pods() {
		if p != w.Leader() {
			list = append(list, p)
		}
	}
	return list
}

// acquire acquires a lock that is to be had.
func (w *world) acquire(p *clustertest.Pod, name string, o locks.Options) *locks.Lock {
	w.t.Helper()
	lock, err := w.at(p).Acquire(w.t.Context(), name, o)
	if err != nil {
		w.t.Fatalf("acquiring %s through %s: %v", name, p.Name, err)
	}
	return lock
}

// A call is an Acquire on its way.
type call struct {
	done chan struct{}
	lock *locks.Lock
	err  error
	took time.Duration
}

// wait acquires in the background, and returns once the call is in the queue.
func (w *world) wait(ctx context.Context, p *clustertest.Pod, name string, o locks.Options) *call {
	w.t.Helper()
	before := w.info(w.Pods()[0], name).Waiters
	c := &call{done: make(chan struct{})}
	l := w.at(p)
	start := time.Now()
	go func() {
		defer close(c.done)
		c.lock, c.err = l.Acquire(ctx, name, o)
		c.took = time.Since(start)
	}()
	w.Wait(5*time.Second, "the call to wait", func() bool {
		return w.info(w.Pods()[0], name).Waiters > before
	})
	return c
}

// got waits for the lock of a call.
func (c *call) got(t *testing.T, most time.Duration) *locks.Lock {
	t.Helper()
	select {
	case <-c.done:
	case <-time.After(most):
		t.Fatalf("no lock after %s", most)
	}
	if c.err != nil {
		t.Fatalf("waiting: %v", c.err)
	}
	return c.lock
}

func (c *call) isDone() bool {
	synctest.Wait()
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

func (w *world) info(p *clustertest.Pod, name string) locks.Info {
	w.t.Helper()
	info, err := w.at(p).Info(w.t.Context(), name)
	if err != nil {
		w.t.Fatalf("looking at %s through %s: %v", name, p.Name, err)
	}
	return info
}

func release(t *testing.T, lock *locks.Lock) {
	t.Helper()
	if err := lock.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// isLost reports whether a lock's Lost is closed.
func isLost(lock *locks.Lock) bool {
	select {
	case <-lock.Lost():
		return true
	default:
		return false
	}
}

func wantNotAcquired(t *testing.T, err error, owner string) {
	t.Helper()
	failure, found := errors.AsType[*locks.NotAcquiredError](err)
	if !found || !errors.Is(err, locks.ErrNotAcquired) || failure.Holder.Owner != owner {
		t.Errorf("got %v, want ErrNotAcquired with holder %q", err, owner)
	}
}
