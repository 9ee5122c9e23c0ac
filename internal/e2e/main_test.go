package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// buildDir holds the program for the time of the test run.
var buildDir string

func TestMain(m *testing.M) {
	var err error
	if buildDir, err = os.MkdirTemp("", "huddle-e2e-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(buildDir)
	os.Exit(code)
}

// build compiles the program once per test run.
var build = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("HUDDLE_BIN"); path != "" {
		return path, nil
	}
	path := filepath.Join(buildDir, "huddle")
	args := []string{"build", "-trimpath", "-o", path}
	if os.Getenv("HUDDLE_E2E_RACE") == "1" {
		args = append(args, "-race")
	}
	args = append(args, "github.com/huddlecache/huddle/cmd/huddle")
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("building huddle: %w\n%s", err, out)
	}
	return path, nil
})

// binary returns the program's path.
func binary(t *testing.T) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// needsProcesses begins every test that runs real processes.
func needsProcesses(t *testing.T) {
	t.Helper()
	if os.Getenv("HUDDLE_E2E") == "off" {
		t.Skip("SKIPPED: HUDDLE_E2E=off turns the tests with real processes off")
	}
}

// needsTool skips the test loudly where a tool is missing, unless HUDDLE_E2E
// says that it must not be.
func needsTool(t *testing.T, tool, install string) string {
	t.Helper()
	path, err := exec.LookPath(tool)
	if err != nil {
		missing(t, fmt.Sprintf("%s is missing: %s", tool, install))
	}
	return path
}

func missing(t *testing.T, why string) {
	t.Helper()
	if isRequired() {
		t.Fatalf("HUDDLE_E2E=required, but %s", why)
	}
	t.Skipf("SKIPPED: %s", why)
}

// isRequired reports whether a missing tool is a failure.
func isRequired() bool { return os.Getenv("HUDDLE_E2E") == "required" }

// long reports whether there is time for the long forms of the tests.
func long() bool { return os.Getenv("HUDDLE_LONG") == "1" }
