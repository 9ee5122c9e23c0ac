package e2e

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// TestGoClients runs the tests of the clients that Go programs use, which are
// in a module of their own.
func TestGoClients(t *testing.T) {
	t.Parallel()
	needsProcesses(t)
	build := func(args ...string) ([]byte, error) {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = "goclients"
		return cmd.CombinedOutput()
	}
	if out, err := build("mod", "download"); err != nil {
		missing(t, "the clients for Go cannot be downloaded: "+string(out))
	}
	program := filepath.Join(t.TempDir(), "goclients.test")
	if out, err := build("test", "-c", "-o", program, "."); err != nil {
		t.Fatalf("building the clients: %v\n%s", err, out)
	}
	w := startNodes(t, 3, false)
	runClient(t, w, "goclients", program, "-test.shuffle=on", "-test.timeout=90s")
}
