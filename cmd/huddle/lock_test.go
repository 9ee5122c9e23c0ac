package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/huddlecache/huddle"
	"github.com/huddlecache/huddle/locks"
)

// openNode starts a cluster of one.
func openNode(t *testing.T) *huddle.Node {
	t.Helper()
	n, err := huddle.Open(t.Context(), huddle.Config{HTTPAddr: "127.0.0.1:0", Drain: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Kill)
	waitFor(t, func() bool { return n.Ready() == nil })
	return n
}

// lockRun runs huddle lock with a shell command.
func lockRun(t *testing.T, addr string, flags []string, script string) (status int, out string, err error) {
	t.Helper()
	printed := &watched{want: "nothing is waited for", found: make(chan struct{})}
	args := append([]string{"lock", "job", "--addr=" + addr}, flags...)
	env := environ{"PATH": os.Getenv("PATH"), "GREETING": "hello"}
	err = run(t.Context(), append(args, "--", "sh", "-c", script), process{stdout: printed, stderr: printed, env: env})
	return exitStatus(err), printed.String(), err
}

func TestLockRunsACommandAndHasItsStatus(t *testing.T) {
	addr := openNode(t).HTTPAddr().String()
	last := 0
	for _, tt := range []struct {
		script string
		want   int
	}{
		{"exit 0", 0}, {"exit 3", 3}, {"kill -TERM $$", 143}, {"kill -KILL $$", 137},
	} {
		status, out, err := lockRun(t, addr, nil, "echo $GREETING $HUDDLE_FENCE; "+tt.script)
		var token int
		if _, scanErr := fmt.Sscanf(out, "hello %d\n", &token); scanErr != nil || status != tt.want {
			t.Errorf("%s: status %d, want %d; printed %q; %v, %v", tt.script, status, tt.want, out, err, scanErr)
		}
		if tt.want > 0 && err.Error() != "" {
			t.Errorf("%s: huddle itself says %q", tt.script, err)
		}
		if token <= last {
			t.Errorf("token %d after %d", token, last)
		}
		last = token
	}
	err := run(t.Context(), []string{"lock", "job", "--addr=" + addr, "--", "/no/such/command"}, process{stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}, env: environ{}})
	if got := exitStatus(err); got != statusNotFound {
		t.Errorf("a command that is not there: status %d, %v, want 127", got, err)
	}
}

func TestLockIsHeldByOneCommandAtATime(t *testing.T) {
	addr := openNode(t).HTTPAddr().String()
	dir := t.TempDir()
	// The lock is renewed: the command takes longer than it lasts.
	script := "touch " + dir + "/begun; while ! test -e " + dir + "/go; do sleep 0.05; done; rm " + dir + "/begun"
	first := make(chan int, 1)
	go func() {
		status, _, _ := lockRun(t, addr, []string{"--ttl=300ms"}, script)
		first <- status
	}()
	waitFor(t, func() bool { return exists(dir, "begun") })
	status, out, err := lockRun(t, addr, []string{"--wait=1s"}, "echo mine")
	if status != statusNotHad || out != "" || !strings.Contains(err.Error(), "huddle lock on") {
		t.Errorf("status %d, printed %q, %v; want 75 and the holder", status, out, err)
	}
	second := make(chan int, 1)
	go func() {
		status, _, _ := lockRun(t, addr, nil, "! test -e "+dir+"/begun")
		second <- status
	}()
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := <-first; got != 0 {
		t.Errorf("the first ended with %d", got)
	}
	if got := <-second; got != 0 {
		t.Errorf("the second ended with %d: it ran beside the first", got)
	}
}

// A command that waited for its lock for longer than that lasts runs to its end.
func TestACommandThatWaitedForLongKeepsItsLock(t *testing.T) {
	n := openNode(t)
	holder, err := n.Locks().Acquire(t.Context(), "job", locks.Options{TTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	type end struct {
		status int
		out    string
		err    error
	}
	done := make(chan end, 1)
	const ttl = 600 * time.Millisecond
	go func() {
		status, out, err := lockRun(t, n.HTTPAddr().String(), []string{"--ttl=" + ttl.String(), "--wait=30s"}, "sleep 1; echo done")
		done <- end{status, out, err}
	}()
	waitFor(t, func() bool {
		info, err := n.Locks().Info(t.Context(), "job")
		return err == nil && info.Waiters == 1
	})
	time.Sleep(2 * ttl)
	if err := holder.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := <-done; got.status != 0 || got.out != "done\n" {
		t.Errorf("ended with %d, printed %q, %v", got.status, got.out, got.err)
	}
}

func TestLockPassesSignalsOn(t *testing.T) {
	addr := openNode(t).HTTPAddr().String()
	dir := t.TempDir()
	script := "trap 'exit 7' TERM; touch " + dir + "/begun; while true; do sleep 0.05; done"
	done := make(chan int, 1)
	go func() {
		status, _, _ := lockRun(t, addr, nil, script)
		done <- status
	}()
	waitFor(t, func() bool { return exists(dir, "begun") })
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := <-done; got != 7 {
		t.Errorf("ended with %d, want 7", got)
	}
	if status, out, err := lockRun(t, addr, []string{"--wait=0s"}, "exit 0"); status != 0 {
		t.Errorf("the lock was not released: %d, %s, %v", status, out, err)
	}
}

func TestACommandWhoseLockIsLostIsStopped(t *testing.T) {
	n := openNode(t)
	dir := t.TempDir()
	type end struct {
		status int
		out    string
	}
	done := make(chan end, 1)
	go func() {
		status, out, _ := lockRun(t, n.HTTPAddr().String(), []string{"--ttl=1s"}, "touch "+dir+"/begun; exec sleep 60")
		done <- end{status, out}
	}()
	waitFor(t, func() bool { return exists(dir, "begun") })
	n.Kill()
	if got := <-done; got.status != statusFailed || !strings.Contains(got.out, "the lock was lost") {
		t.Errorf("ended with %d, printed %q", got.status, got.out)
	}
}

func exists(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return err == nil
}

func waitFor(t *testing.T, holds func() bool) {
	t.Helper()
	for start := time.Now(); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Since(start) > 30*time.Second {
			t.Fatal("waited in vain")
		}
	}
}
