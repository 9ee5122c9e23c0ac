package e2e

import (
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestOneNodeAlone starts a node with no settings but free ports, which is a
// working cluster within a second. On a busy machine it is given more.
func TestOneNodeAlone(t *testing.T) {
	w := newWorld(t, false)
	n := &node{t: t, name: "alone", addr: w.address(1), p: w.p, log: filepath.Join(w.logs, "alone.log")}
	n.env = []string{"HUDDLE_REDIS_ADDR=" + n.redisAddr(), "HUDDLE_HTTP_ADDR=" + n.httpAddr()}
	binary(t)
	begin := time.Now()
	n.start()
	c := n.client()
	for {
		_, err := c.Do("SET", "k", "v")
		if err == nil {
			break
		}
		if time.Since(begin) > 10*time.Second {
			t.Fatalf("no SET was answered in 10 s: %v\n%s", err, n.tail(20))
		}
		time.Sleep(5 * time.Millisecond)
	}
	most := 5 * time.Second
	if long() {
		most = time.Second
	}
	took := time.Since(begin)
	if took > most {
		t.Errorf("first SET answered after %v, want within %v", took, most)
	}
	if reply, err := c.Do("GET", "k"); reply != "v" || err != nil {
		t.Errorf("GET: got %v, %v, want v", reply, err)
	}
	t.Logf("first SET answered %v after the start", took.Round(time.Millisecond))
	if took := n.terminate(); took > 10*time.Second {
		t.Errorf("a node alone took %v to stop", took)
	}
}

// TestIdle leaves three nodes alone: nothing is written to the log, and they
// take next to nothing. What they compute is measured where nothing else runs
// beside them, which is in the long form; the short form sees only whether one
// of them is busy with itself.
func TestIdle(t *testing.T) {
	span, mostCPU := 20*time.Second, 0.05
	if long() {
		span, mostCPU = 5*time.Minute, 0.01
	}
	for _, durable := range []bool{false, true} {
		name := "ephemeral"
		if durable {
			name = "durable"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := startNodes(t, 3, durable)
			nodes := w.inService()
			if _, err := nodes[0].client().Do("SET", "k", "v"); err != nil {
				t.Fatal(err)
			}
			for try := 1; !stayIdle(t, nodes, span, mostCPU); try++ {
				if try == 3 {
					t.Skip("SKIPPED: this machine is too busy to keep one leader for a while")
				}
			}
		})
	}
}

// stayIdle leaves the nodes alone for a while and judges what they did. It
// reports false if that cannot be judged because they elected a leader, as
// they must when the machine keeps theirs from running for half a second: an
// election is work, and leaves entries in the log.
func stayIdle(t *testing.T, nodes []*node, span time.Duration, mostCPU float64) bool {
	t.Helper()
	const mostMemory = 40 << 20
	settled(t, nodes)
	before := nodes[0].knows()
	begin := make([]usage, len(nodes))
	for i, n := range nodes {
		begin[i] = n.usage()
	}
	time.Sleep(span)
	after := make([]status, len(nodes))
	for i, n := range nodes {
		if after[i] = n.knows(); after[i].Term != before.Term {
			t.Logf("an election while idle: term %d, then %d", before.Term, after[i].Term)
			return false
		}
	}
	for i, n := range nodes {
		u := n.usage()
		share := float64(u.cpu-begin[i].cpu) / float64(span)
		t.Logf("%s idle for %v: %.1f MB resident, %.2f %% of a core", n.name, span, float64(u.rss)/(1<<20), 100*share)
		if u.rss > mostMemory {
			t.Errorf("%s: %d bytes resident, want at most %d", n.name, u.rss, mostMemory)
		}
		if share > mostCPU {
			t.Errorf("%s: %.2f %% of a core, want at most %.0f %%", n.name, 100*share, 100*mostCPU)
		}
		if got, want := after[i].Index, before.Index; got != want {
			t.Errorf("%s: index went from %d to %d while idle", n.name, want, got)
		}
	}
	return true
}

// knows returns what the node knows of the cluster.
func (n *node) knows() status {
	n.t.Helper()
	s, err := n.status()
	if err != nil {
		n.t.Fatal(err)
	}
	return s
}

// settled waits until all nodes have applied the same, and nothing has changed
// for some seconds.
func settled(t *testing.T, nodes []*node) {
	t.Helper()
	var last []uint64
	since := time.Now()
	for begin := time.Now(); time.Since(begin) < 30*time.Second; time.Sleep(100 * time.Millisecond) {
		var now []uint64
		for _, n := range nodes {
			now = append(now, n.knows().Index)
		}
		if !slices.Equal(now, last) || slices.Min(now) != slices.Max(now) {
			last, since = now, time.Now()
		}
		if time.Since(since) > 6*time.Second { // a new node may take so long to introduce itself in the log
			return
		}
	}
	t.Fatalf("the indexes %v of three nodes without clients do not come to rest and agree", last)
}
