package cluster_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster"
	"github.com/huddlecache/huddle/cluster/clustertest"
	"github.com/huddlecache/huddle/cluster/machine"
)

func TestBackupAndRestoreThroughAnyNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := noteCluster(t, clustertest.Options{})
		for i, p := range c.Pods() {
			tell(t, p, "k%d old 0", i)
		}
		for i, p := range c.Pods() {
			tell(t, c.Pods()[(i+1)%3], "last written%d 0", i)
			backup, info := backUp(t, p) // sees what was acknowledged elsewhere
			tell(t, p, "k0 new 0")
			tell(t, p, "k9 new 0")
			tell(t, p, "last over 0")
			done, err := p.Node.Restore(t.Context(), bytes.NewReader(backup))
			if err != nil {
				t.Fatalf("restoring through %s: %v", p.Name, err)
			}
			status := p.Node.Status(t.Context())
			if done.Backup != info || done.Cluster != status.Cluster || done.Index <= info.Index {
				t.Errorf("restored %+v into cluster %s, want %+v", done, status.Cluster, info)
			}
			recallAll(t, c, "k0", "old")
			recallAll(t, c, "k9", "")
			recallAll(t, c, "last", fmt.Sprint("written", i))
		}
	})
}

func TestWhatIsLeftOfATimeSurvivesARestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := noteCluster(t, clustertest.Options{})
		tell(t, c.Pods()[0], "k v %d", time.Minute.Milliseconds())
		time.Sleep(20 * time.Second) // nobody writes
		backup, _ := backUp(t, notLeader(t, c))
		tell(t, c.Pods()[0], "short v 1000")
		time.Sleep(50 * time.Second)
		recallAll(t, c, "k", "")
		if _, err := notLeader(t, c).Node.Restore(t.Context(), bytes.NewReader(backup)); err != nil {
			t.Fatal(err)
		}
		recallAll(t, c, "k", "v for 40s")
		c.Kill(c.Leader()) // the next one knows the deadline too
		time.Sleep(30 * time.Second)
		for _, p := range c.Pods() { // while nobody leads, nothing gets older
			if got := recall(t, p, "k"); got != "v for 10s" && got != "v for 11s" {
				t.Errorf("%s: k is %q, want 10 or 11 s left", p.Name, got)
			}
		}
		time.Sleep(12 * time.Second)
		recallAll(t, c, "k", "")
	})
}

// A backup may be restored in another cluster, which is younger.
func TestRestoreInAnotherCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := noteCluster(t, clustertest.Options{})
		time.Sleep(2 * time.Minute)
		tell(t, old.Pods()[0], "k v 20000")
		var number string
		for range 10 {
			number = tell(t, old.Pods()[0], "number")
		}
		backup, _ := backUp(t, old.Pods()[0])
		for _, p := range old.Pods() {
			old.Kill(p)
		}
		c := noteCluster(t, clustertest.Options{Seed: 2})
		if _, err := c.Pods()[1].Node.Restore(t.Context(), bytes.NewReader(backup)); err != nil {
			t.Fatal(err)
		}
		recallAll(t, c, "k", "v for 20s")
		if got := tell(t, c.Pods()[2], "number"); len(got) < len(number) || got <= number {
			t.Errorf("the number source gave %s, want more than the old cluster's %s", got, number)
		}
		time.Sleep(21 * time.Second)
		recallAll(t, c, "k", "")
	})
}

func TestIdempotencyKeysAreRememberedOverARestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := noteCluster(t, clustertest.Options{})
		backup, _ := backUp(t, c.Pods()[0])
		once := machine.Item{Data: []byte("k v 0"), Idem: "id"}
		for range 2 {
			replies, _, err := c.Pods()[1].Node.Log(1).Do(t.Context(), once)
			if err != nil || string(replies[0].Data) != "did" {
				t.Fatalf("got %q, %v", replies, err)
			}
			if _, err := c.Pods()[2].Node.Restore(t.Context(), bytes.NewReader(backup)); err != nil {
				t.Fatal(err)
			}
		}
		recallAll(t, c, "k", "") // the second time, nothing was done
	})
}

// fill fills the state with so many names that a backup has several pieces.
func fill(t *testing.T, p *clustertest.Pod, value string) {
	t.Helper()
	filler := strings.Repeat("x", 100<<10)
	for i := range 10 {
		tell(t, p, "k%d %s%s 0", i, value, filler)
	}
}

// slowDown makes every message take a while: in a quiet bubble a restore takes
// no time at all.
func slowDown(c *clustertest.Cluster) {
	for _, a := range c.Pods() {
		for _, b := range c.Pods() {
			if a != b {
				c.Net.Delay(a.Addr, b.Addr, 2*time.Millisecond, 4*time.Millisecond)
			}
		}
	}
}

// first is the beginning of every large value, which must be one.
func first(t *testing.T, p *clustertest.Pod) string {
	t.Helper()
	var seen string
	for i := range 10 {
		value := strings.Trim(recall(t, p, fmt.Sprintf("k%d", i)), "x")
		if i > 0 && value != seen {
			t.Errorf("%s: the state is mixed: k0 is %q, k%d %q", p.Name, seen, i, value)
		}
		seen = value
	}
	return seen
}

// A restore whose leader is killed goes on with the next one, or fails as a
// whole, wherever it is hit.
func TestALeaderKilledDuringARestore(t *testing.T) {
	for hit := range 4 {
		synctest.Test(t, func(t *testing.T) {
			c := noteCluster(t, clustertest.Options{Seed: uint64(hit + 1)})
			taker := notLeader(t, c)
			fill(t, taker, "old")
			backup, _ := backUp(t, taker)
			fill(t, taker, "new")
			slowDown(c)
			killed := make(chan struct{})
			kill := time.AfterFunc(time.Duration(hit)*16*time.Millisecond, func() {
				defer close(killed)
				c.Kill(c.Leader())
			})
			start := time.Now()
			_, err := taker.Node.Restore(t.Context(), bytes.NewReader(backup))
			t.Logf("hit after %d ms, restored after %s: %v", hit*16, time.Since(start), err)
			if !kill.Stop() {
				<-killed // or it would go on while the pods are asked
			}
			want := map[bool]string{true: "old", false: "new"}[err == nil]
			for _, p := range c.Pods() {
				if got := first(t, p); got != want && !errors.Is(err, machine.ErrUnknown) {
					t.Errorf("%s holds %s values after %v, want %s", p.Name, got, err, want)
				}
			}
			if err != nil {
				t.Errorf("a restore with a quorum failed: %v", err)
			}
		})
	}
}

func TestARestoreWithoutAQuorumChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := noteCluster(t, clustertest.Options{Durable: true})
		pods := c.Pods()
		fill(t, pods[0], "old")
		backup, _ := backUp(t, pods[0])
		fill(t, pods[0], "new")
		c.Kill(pods[1])
		c.Kill(pods[2])
		start := time.Now()
		_, err := pods[0].Node.Restore(t.Context(), bytes.NewReader(backup))
		if !errors.Is(err, machine.ErrNoQuorum) {
			t.Errorf("error is %v, want %v", err, machine.ErrNoQuorum)
		}
		if took := time.Since(start); took > 40*time.Second {
			t.Errorf("it took %s to say so", took)
		}
		if _, err := pods[0].Node.Backup(t.Context()); !errors.Is(err, machine.ErrNoQuorum) {
			t.Errorf("a backup without a quorum: %v, want %v", err, machine.ErrNoQuorum)
		}
		c.Restart(pods[1], false)
		c.Restart(pods[2], false)
		c.WaitReady(30 * time.Second)
		for _, p := range c.Pods() {
			if got := first(t, p); got != "new" {
				t.Errorf("%s holds %s values", p.Name, got)
			}
		}
	})
}

// A quorum that is lost for longer than a call takes, and comes back, is waited
// for.
func TestARestoreOutlastsAPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := noteCluster(t, clustertest.Options{Durable: true}) // others would be removed
		taker := c.Leader()
		fill(t, taker, "old")
		backup, _ := backUp(t, taker)
		fill(t, taker, "new")
		slowDown(c)
		others := slices.DeleteFunc(c.Pods(), func(p *clustertest.Pod) bool { return p == taker })
		time.AfterFunc(20*time.Millisecond, func() {
			c.Net.Partition([]string{taker.Addr}, []string{others[0].Addr, others[1].Addr})
		})
		time.AfterFunc(12*time.Second, c.Net.HealAll)
		if _, err := taker.Node.Restore(t.Context(), bytes.NewReader(backup)); err != nil {
			t.Errorf("restoring over a partition of 12 s: %v", err)
		}
		for _, p := range c.Pods() {
			if got := first(t, p); got != "old" {
				t.Errorf("%s holds %s values", p.Name, got)
			}
		}
	})
}

// A context that ends in the middle gives everything back.
func TestARestoreThatIsBrokenOffLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := noteCluster(t, clustertest.Options{})
		taker := notLeader(t, c)
		fill(t, taker, "old")
		backup, _ := backUp(t, taker)
		fill(t, taker, "new")
		before := taker.Node.Usage().StateBytes
		slowDown(c)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		_, err := taker.Node.Restore(ctx, bytes.NewReader(backup))
		if !errors.Is(err, machine.ErrNoQuorum) || !strings.Contains(err.Error(), "nothing was changed") {
			t.Errorf("error is %v", err)
		}
		time.Sleep(time.Second)
		if got := first(t, taker); got != "new" {
			t.Errorf("the values are %s", got)
		}
		if got := taker.Node.Usage().StateBytes; got > before+1000 {
			t.Errorf("the state takes %d bytes, %d before", got, before)
		}
	})
}

// A node that dies in the middle leaves nothing behind, once it is removed.
func TestANodeKilledWhileItRestores(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := noteCluster(t, clustertest.Options{Durable: true})
		taker := notLeader(t, c)
		fill(t, taker, "old")
		backup, _ := backUp(t, taker)
		fill(t, taker, "new")
		before := taker.Node.Usage().StateBytes
		slowDown(c)
		var restore sync.WaitGroup
		restore.Go(func() {
			if _, err := taker.Node.Restore(t.Context(), bytes.NewReader(backup)); err == nil {
				t.Error("a killed node has restored")
			}
		})
		time.Sleep(30 * time.Millisecond)
		staged := c.Leader().Node.Usage().StateBytes
		c.Kill(taker)
		restore.Wait()
		if staged < before+replicaPiece {
			t.Errorf("nothing was staged: the state takes %d bytes, %d before", staged, before)
		}
		time.Sleep(65 * time.Second) // it is durable, and stays a member
		p := c.Pods()[0]
		if got := p.Node.Usage().StateBytes; got > before+1000 {
			t.Errorf("the state takes %d bytes, %d before", got, before)
		}
		if got := first(t, p); got != "new" {
			t.Errorf("the values are %s", got)
		}
	})
}

// replicaPiece is how much of a backup one entry stages.
const replicaPiece = 256 << 10

func TestConcurrentRestoresAreNotMixed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := noteCluster(t, clustertest.Options{})
		var backups [3][]byte
		for i := range backups {
			fill(t, c.Pods()[0], fmt.Sprint("state", i, "-"))
			backups[i], _ = backUp(t, c.Pods()[0])
		}
		slowDown(c)
		var restores sync.WaitGroup
		var mu sync.Mutex // guards done
		done := 0
		for i, p := range c.Pods() {
			restores.Go(func() {
				_, err := p.Node.Restore(t.Context(), bytes.NewReader(backups[i]))
				if err != nil && !errors.Is(err, cluster.ErrRefused) {
					t.Errorf("restore %d: %v", i, err)
				}
				if _, err := p.Node.Restore(t.Context(), bytes.NewReader(nil)); err == nil {
					t.Error("an empty backup was restored")
				}
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					done++
				}
			})
		}
		restores.Wait()
		if done == 0 {
			t.Error("none of three restores was done")
		}
		for _, p := range c.Pods() {
			if got, want := first(t, p), first(t, c.Pods()[0]); got != want {
				t.Errorf("%s holds %s, another %s", p.Name, got, want)
			}
		}
		// Two at once through one node.
		restores.Go(func() { _, _ = c.Pods()[0].Node.Restore(t.Context(), bytes.NewReader(backups[0])) })
		time.Sleep(20 * time.Millisecond)
		if _, err := c.Pods()[0].Node.Restore(t.Context(), bytes.NewReader(backups[1])); !errors.Is(err, cluster.ErrRefused) {
			t.Errorf("a second restore through one node: %v, want %v", err, cluster.ErrRefused)
		}
		restores.Wait()
	})
}

func TestABackupThatIsTooLargeOrDamagedIsRefusedBeforeAnythingChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rich := noteCluster(t, clustertest.Options{})
		fill(t, rich.Pods()[0], "old")
		backup, _ := backUp(t, rich.Pods()[0])
		damaged := bytes.Clone(backup)
		damaged[len(damaged)/2] ^= 1
		for _, test := range []struct {
			name   string
			limit  int64
			backup []byte
			want   error
			says   string
		}{
			{"too long", 512 << 10, backup, machine.ErrFull, "the backup is longer and HUDDLE_STATE_BYTES is 524288; set a larger one on every node"},
			{"too large a state", int64(len(backup)) + 10, backup, machine.ErrFull, "the backup takes "},
			{"damaged", 1 << 30, damaged, cluster.ErrDamaged, "its hash is not that of its contents; nothing was changed, use another copy of it"},
			{"cut", 1 << 30, backup[:len(backup)-1], cluster.ErrDamaged, "it ends too early"},
			{"nothing", 1 << 30, nil, cluster.ErrDamaged, "it ends too early"},
		} {
			c := noteCluster(t, clustertest.Options{Configure: func(_ *clustertest.Pod, cfg *cluster.Config) { cfg.StateBytes = test.limit }})
			tell(t, c.Pods()[0], "k here 0")
			time.Sleep(10 * time.Second) // the cluster has its own entries to write first
			before := c.Pods()[0].Node.Status(t.Context()).Index
			if _, err := c.Pods()[0].Node.Restore(t.Context(), bytes.NewReader(test.backup)); !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%s: error is %v, want %v: %s", test.name, err, test.want, test.says)
			}
			recallAll(t, c, "k", "here")
			if after := c.Pods()[0].Node.Status(t.Context()).Index; after != before {
				t.Errorf("%s: %d entries were written", test.name, after-before)
			}
		}
	})
}

// A restore is no longer a matter of the log's length: it is in snapshots, and
// a node that comes later has it.
func TestNodesThatComeAfterARestoreHaveIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := noteCluster(t, clustertest.Options{Durable: true, Configure: func(_ *clustertest.Pod, cfg *cluster.Config) { cfg.Snapshots = 8 }})
		late := notLeader(t, c)
		fill(t, c.Pods()[0], "old")
		backup, _ := backUp(t, c.Pods()[0])
		fill(t, c.Pods()[0], "new")
		c.Kill(late)
		if _, err := c.Pods()[0].Node.Restore(t.Context(), bytes.NewReader(backup)); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			tell(t, c.Pods()[0], "other v 0")
		}
		time.Sleep(5 * time.Second)
		c.Restart(late, false)
		c.Add(1)
		c.WaitReady(30 * time.Second)
		c.Wait(30*time.Second, "the late ones to catch up", func() bool {
			for _, p := range c.Pods() {
				reply, _, err := p.Node.Log(1).Query(t.Context(), machine.Local, []byte("other"))
				if err != nil || string(reply) != "v" {
					return false
				}
			}
			return true
		})
		for _, p := range c.Pods() {
			reply, _, err := p.Node.Log(1).Query(t.Context(), machine.Local, []byte("k3"))
			if err != nil || !strings.HasPrefix(string(reply), "old") {
				t.Errorf("%s: k3 is %.10q, %v", p.Name, reply, err)
			}
		}
	})
}
