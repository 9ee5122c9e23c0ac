package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestNodeClients runs the clients that Node.js programs use, of which each has
// a script in the directory node, which asserts what the client needs.
func TestNodeClients(t *testing.T) {
	t.Parallel()
	needsProcesses(t)
	node := needsTool(t, "node", "install the package nodejs")
	if _, err := os.Stat("node/node_modules/.package-lock.json"); err != nil {
		missing(t, "the clients for Node.js are missing: run scripts/deps")
	}
	scripts, err := filepath.Glob("node/*.js")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("got no scripts (%v)", err)
	}
	w := startNodes(t, 3, false)
	for _, script := range scripts {
		name := filepath.Base(script)
		if name == "nodes.js" { // what the others share
			continue
		}
		t.Run(strings.TrimSuffix(name, ".js"), func(t *testing.T) {
			t.Parallel()
			runClient(t, w, "node", node, name)
		})
	}
}

// runClient runs a program in a directory, with the addresses of the nodes in
// REDIS_NODES. Its exit status says whether all was as it should be.
func runClient(t *testing.T, w *world, dir, program string, args ...string) {
	t.Helper()
	var addresses []string
	for _, n := range w.inService() {
		addresses = append(addresses, n.redisAddr())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env = append(cleanEnv(), "REDIS_NODES="+strings.Join(addresses, ","))
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("got %v, and it printed:\n%s", err, out)
		return
	}
	t.Logf("it showed:\n%s", out)
}
