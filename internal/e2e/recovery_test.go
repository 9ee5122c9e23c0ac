package e2e

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// huddle runs a subcommand against the node.
func (n *node) huddle(args ...string) (string, error) {
	cmd := exec.Command(binary(n.t), args...)
	cmd.Env = []string{"HUDDLE_ADDR=" + n.url()}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestRestartOfAll kills all durable nodes at once and starts them with new
// addresses: everything that was acknowledged is back.
func TestRestartOfAll(t *testing.T) {
	t.Parallel()
	w := startNodes(t, 3, true)
	l := startLoad(w)
	time.Sleep(2 * time.Second)
	nodes := w.inService()
	before := identities(t, nodes)
	for _, n := range nodes {
		n.cmd.Process.Kill()
	}
	for _, n := range nodes {
		w.kill(n)
	}
	l.stop()
	begin := time.Now()
	for i, n := range nodes {
		w.place(n, 101+i)
	}
	for _, n := range nodes {
		n.waitReady(40 * time.Second)
		w.serve(n)
	}
	w.leader(20 * time.Second)
	took := time.Since(begin)
	for _, n := range nodes {
		l.check(t, n)
	}
	if got, want := identities(t, nodes), before; got != want {
		t.Errorf("identities: got %s, want %s", got, want)
	}
	t.Logf("%d commands before the restart (%v); back after %v", l.ops.Load(), &l.told, took.Round(time.Millisecond))
}

// identities returns the nodes' names and IDs.
func identities(t *testing.T, nodes []*node) string {
	t.Helper()
	var ids []string
	for _, n := range nodes {
		s, err := n.status()
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, n.name+"="+s.Node)
	}
	return strings.Join(ids, " ")
}

// TestRecovery kills two of three ephemeral nodes at once. The third says
// what to do, and once that is done it has everything.
func TestRecovery(t *testing.T) {
	t.Parallel()
	w := startNodes(t, 3, false)
	l := startLoad(w)
	time.Sleep(2 * time.Second)
	l.stop()
	nodes := w.inService()
	last := nodes[0]
	eventually(t, 10*time.Second, func() error { return caughtUp(last, nodes) })
	nodes[1].cmd.Process.Kill()
	nodes[2].cmd.Process.Kill()
	w.kill(nodes[1])
	w.kill(nodes[2])

	begin := time.Now()
	var said string
	eventually(t, 60*time.Second, func() error {
		var err error
		said, err = last.huddle("status")
		if !strings.Contains(said, "huddle recover") {
			return fmt.Errorf("status does not say to recover (%v):\n%s", err, said)
		}
		return nil
	})
	t.Logf("after %v status says:\n%s", time.Since(begin).Round(time.Millisecond), said)
	if _, err := last.client().Do("SET", "k", "v"); kindOf(err) != "CLUSTERDOWN" && kindOf(err) != "UNAVAILABLE" {
		t.Errorf("SET without a quorum: got %v, want CLUSTERDOWN or UNAVAILABLE", err)
	}
	out, err := last.huddle("recover")
	if err != nil {
		t.Fatalf("recover: %v\n%s", err, out)
	}
	t.Logf("recover says:\n%s", out)
	eventually(t, 20*time.Second, func() error {
		_, err := last.client().Do("SET", "k", "v")
		return err
	})
	l.check(t, last)
	for range 2 {
		w.replacement()
	}
	for _, n := range w.inService() {
		l.check(t, n)
	}
}

// caughtUp checks that a node has applied what the others have.
func caughtUp(n *node, nodes []*node) error {
	own, err := n.status()
	if err != nil {
		return err
	}
	for _, other := range nodes {
		s, err := other.status()
		if err != nil {
			return err
		}
		if s.Index > own.Index {
			return fmt.Errorf("%s has applied %d, %s %d", n.name, own.Index, other.name, s.Index)
		}
	}
	return nil
}
