package behaviour

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/huddlecache/huddle/internal/respclient"
)

// backups is what takes and restores backups of a node, by number.
type backups interface {
	backup(t *testing.T, node int) []byte
	restore(t *testing.T, node int, backup []byte)
}

// byHTTP does it with two calls.
type byHTTP struct{ w *world }

func (d byHTTP) backup(t *testing.T, node int) []byte {
	t.Helper()
	return d.do(t, http.MethodGet, node, nil)
}

func (d byHTTP) restore(t *testing.T, node int, backup []byte) {
	t.Helper()
	d.do(t, http.MethodPut, node, backup)
}

func (d byHTTP) do(t *testing.T, method string, node int, body []byte) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, d.w.url(node)+"/v1/backup", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s through node %d: %d %.300s, %v", method, node, answer.StatusCode, got, err)
	}
	return got
}

// byProgram does it with the program.
type byProgram struct {
	w       *world
	program string
}

func (d byProgram) backup(t *testing.T, node int) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "backup")
	d.run(t, "backup", node, file)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (d byProgram) restore(t *testing.T, node int, backup []byte) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "backup")
	if err := os.WriteFile(file, backup, 0o600); err != nil {
		t.Fatal(err)
	}
	d.run(t, "restore", node, file)
}

func (d byProgram) run(t *testing.T, command string, node int, file string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), d.program, command, file, "--addr", d.w.url(node)).CombinedOutput()
	if err != nil {
		t.Fatalf("huddle %s: %v: %s", command, err, out)
	}
}

// A restore replaces everything, so this test has a cluster of its own.
func TestRestoreBringsEverythingBack(t *testing.T) {
	w, err := open(3)
	t.Cleanup(func() {
		for _, n := range w.nodes {
			n.Kill()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "huddle")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../cmd/huddle").CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	drivers := map[string]backups{"HTTP": byHTTP{w}, "program": byProgram{w, program}}
	for name, d := range drivers {
		for node := range w.nodes {
			t.Run(fmt.Sprintf("%s through node %d", name, node+1), func(t *testing.T) {
				restoreThrough(t, w, d, node)
			})
		}
	}
}

// restoreThrough fills the cluster, backs it up through one node, changes
// everything, restores it through the next, and looks at it on all.
func restoreThrough(t *testing.T, w *world, d backups, node int) {
	var clients []*respclient.Client
	for i := range w.nodes {
		clients = append(clients, w.redis(t, i))
	}
	redis := func(node int, args ...string) string {
		t.Helper()
		node %= len(clients)
		reply, err := clients[node].Do(args...)
		if err != nil {
			t.Fatalf("%q on node %d: %v", args, node+1, err)
		}
		return fmt.Sprint(reply)
	}
	const many = 500
	large := strings.Repeat("0123456789", 100_000) // a megabyte: several pieces
	redis(node, "FLUSHALL")
	for i := range many {
		redis(i, "SET", fmt.Sprint("key", i), fmt.Sprint("value", i))
	}
	redis(node, "SET", "large", large)
	redis(node, "SET", "ends", "v", "EX", "100")
	redis(node, "SET", "ended", "v", "PX", "1")
	backup := d.backup(t, node)

	redis(node+1, "FLUSHALL")
	redis(node+1, "SET", "key1", "changed")
	redis(node+1, "SET", "ends", "v", "EX", "1000")
	redis(node+1, "SET", "other", "v", "EX", "1000")
	d.restore(t, node+1, backup)

	for i := range w.nodes {
		for k := range many {
			if got, want := redis(i, "GET", fmt.Sprint("key", k)), fmt.Sprint("value", k); got != want {
				t.Fatalf("node %d: key%d is %q, want %q", i+1, k, got, want)
			}
		}
		if got := redis(i, "GET", "large"); got != large {
			t.Errorf("node %d: the large value has %d bytes", i+1, len(got))
		}
		for _, gone := range []string{"other", "ended"} {
			if got := redis(i, "EXISTS", gone); got != "0" {
				t.Errorf("node %d: %s is there", i+1, gone)
			}
		}
		if got, err := strconv.Atoi(redis(i, "TTL", "ends")); err != nil || got > 100 || got < 80 {
			t.Errorf("node %d: %d s left, want 100 or a little less", i+1, got)
		}
		redis(i, "SET", fmt.Sprint("after", i), "v") // and life goes on
	}
	if got := redis(node+2, "GET", fmt.Sprint("after", node%3)); got != "v" {
		t.Errorf("a write after the restore reads as %q", got)
	}
}
