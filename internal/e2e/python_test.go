package e2e

import (
	"os"
	"os/exec"
	"testing"
)

// TestPythonClients runs redis-py, as Debian has it.
func TestPythonClients(t *testing.T) {
	t.Parallel()
	needsProcesses(t)
	// Debian's packages are for Debian's interpreter, whatever else is there.
	const python = "/usr/bin/python3"
	if _, err := os.Stat(python); err != nil {
		missing(t, python+" is missing: install the package python3")
	}
	if out, err := exec.CommandContext(t.Context(), python, "-c", "import redis").CombinedOutput(); err != nil {
		missing(t, "redis-py is missing: install the package python3-redis\n"+string(out))
	}
	w := startNodes(t, 3, false)
	runClient(t, w, "testdata", python, "-u", "redis_py.py")
}
