package sim_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster"
	"github.com/huddlecache/huddle/cluster/clustertest"
	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/keyspace"
)

// newCluster starts pods, on a network on which everything takes a while.
func newCluster(t *testing.T, pods int) *clustertest.Cluster {
	t.Helper()
	c := clustertest.New(t, clustertest.Options{
		Expect:   3,
		Features: []cluster.Feature{{ID: 1, New: func() machine.Machine { return keyspace.New() }}},
	})
	added := c.Add(pods)
	for _, a := range added {
		for _, b := range added {
			if a != b {
				c.Net.Delay(a.Addr, b.Addr, time.Millisecond, 3*time.Millisecond)
			}
		}
	}
	c.WaitReady(20 * time.Second)
	return c
}

func command(args ...string) []byte {
	list := make([][]byte, len(args))
	for i, arg := range args {
		list[i] = []byte(arg)
	}
	return keyspace.AppendCommand(nil, 0, 2, list)
}

func set(t *testing.T, p *clustertest.Pod, value string) {
	t.Helper()
	if _, _, err := p.Node.Log(1).Do(t.Context(), machine.Item{Data: command("SET", "key", value)}); err != nil {
		t.Fatalf("writing through %s: %v", p.Name, err)
	}
}

// get reads linearizably. The value is empty where the read failed.
func get(p *clustertest.Pod) string {
	reply, _, err := p.Node.Log(1).Query(context.Background(), machine.Linearizable, command("GET", "key"))
	if err != nil {
		return ""
	}
	_, value, _ := strings.Cut(strings.TrimSuffix(string(reply), "\r\n"), "\r\n")
	return value
}

// elected waits until one of the pods leads the others, and returns it.
func elected(t *testing.T, pods []*clustertest.Pod) *clustertest.Pod {
	t.Helper()
	for range 2000 {
		for _, p := range pods {
			if id := p.Node.ID(); id != "" && p.Node.Leader() == id {
				return p
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("nobody was elected")
	return nil
}

func without(pods []*clustertest.Pod, p *clustertest.Pod) (others []*clustertest.Pod) {
	for _, o := range pods {
		if o != p {
			others = append(others, o)
		}
	}
	return others
}

// Raft's VerifyLeader counts late answers to older questions, so that a
// deposed leader woken from a pause served an old value six times out of six.
// The answers that wait for it here are of questions that it asked while it
// led.
func TestALeaderWokenFromAPauseServesNoOldValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for try := range 6 {
			c := newCluster(t, 3)
			old := c.Leader()
			set(t, old, "old")
			for range 8 { // questions that are on their way when it falls asleep
				go get(old)
			}
			time.Sleep(time.Duration(try) * time.Millisecond)
			c.Net.Pause(old.Addr)
			others := without(c.Pods(), old)
			time.Sleep(2 * time.Second)
			set(t, elected(t, others), "new")
			got := make(chan string, 8)
			for i := range cap(got) {
				go func() {
					time.Sleep(time.Duration(i) * 200 * time.Microsecond)
					got <- get(old)
				}()
			}
			if try%2 == 0 {
				time.Sleep(time.Millisecond) // they wait for the network
			}
			c.Net.Resume(old.Addr)
			for range cap(got) {
				if value := <-got; value == "old" {
					t.Fatalf("try %d: the deposed leader serves the old value", try)
				}
			}
			if value := get(old); value != "new" {
				t.Errorf("try %d: the value is %q, want new", try, value)
			}
			for _, p := range c.Pods() {
				c.Kill(p)
			}
		}
	})
}

// The same with answers that are held up on their way: the old leader can
// speak to the others, but hears their answers late.
func TestLateAnswersToOlderQuestionsConfirmNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 4 {
			c := newCluster(t, 3)
			old := c.Leader()
			others := without(c.Pods(), old)
			set(t, old, "old")
			for _, o := range others {
				c.Net.Cut(o.Addr, old.Addr)
			}
			for range 8 { // asked and answered, but the answers are under way
				go get(old)
			}
			time.Sleep(50 * time.Millisecond)
			for _, o := range others {
				c.Net.Cut(old.Addr, o.Addr)
			}
			time.Sleep(2 * time.Second)
			set(t, elected(t, others), "new")
			got := make(chan string, 8)
			for range cap(got) {
				go func() { got <- get(old) }()
			}
			for _, o := range others {
				c.Net.Heal(o.Addr, old.Addr)
			}
			time.Sleep(10 * time.Millisecond)
			for _, o := range others {
				c.Net.Heal(old.Addr, o.Addr)
			}
			for range cap(got) {
				if value := <-got; value == "old" {
					t.Fatal("the deposed leader serves the old value")
				}
			}
			for _, p := range c.Pods() {
				c.Kill(p)
			}
		}
	})
}

// VerifyLeader counts the answers of servers without a vote: a leader that
// reached nobody but a non-voter was confirmed by it. Of four pods three vote.
func TestANonVoterConfirmsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 4)
		old := c.Leader()
		var voters []*clustertest.Pod
		var silent *clustertest.Pod
		roles := map[string]string{}
		for _, m := range old.Node.Status(t.Context()).Members {
			roles[m.ID] = m.Role
		}
		for _, p := range without(c.Pods(), old) {
			if roles[p.Node.ID()] == cluster.RoleVoter {
				voters = append(voters, p)
			} else {
				silent = p
			}
		}
		if len(voters) != 2 || silent == nil {
			t.Fatalf("roles are %v, want three voters", roles)
		}
		set(t, old, "old")
		for _, v := range voters {
			for _, p := range []*clustertest.Pod{old, silent} {
				c.Net.Cut(p.Addr, v.Addr)
				c.Net.Cut(v.Addr, p.Addr)
			}
		}
		// A read each moment, from before the others elect anybody to long after.
		isWritten := make(chan struct{})
		var stale []string
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 60 {
				var isNew bool
				select {
				case <-isWritten:
					isNew = true
				default:
				}
				for _, p := range []*clustertest.Pod{old, silent} {
					ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
					reply, _, err := p.Node.Log(1).Query(ctx, machine.Linearizable, command("GET", "key"))
					cancel()
					if err == nil && isNew && !strings.Contains(string(reply), "new") {
						stale = append(stale, p.Name)
					}
				}
			}
		}()
		set(t, elected(t, voters), "new")
		close(isWritten)
		<-done
		if len(stale) > 0 {
			t.Errorf("the old value was read through %v after the new one was acknowledged", stale)
		}
		for _, p := range voters {
			if value := get(p); value != "new" {
				t.Errorf("%s reads %q, want new", p.Name, value)
			}
		}
	})
}
