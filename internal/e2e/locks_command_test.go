package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startAlone starts a node that is a cluster by itself.
func startAlone(t *testing.T) (*world, *node) {
	t.Helper()
	w := newWorld(t, false)
	n := w.add("HUDDLE_EXPECT=1")
	n.waitReady(time.Minute)
	w.serve(n)
	return w, n
}

// A lockProcess is huddle lock, which runs a shell's command.
type lockProcess struct {
	cmd    *exec.Cmd
	stdout io.Reader
	said   *bytes.Buffer // by huddle, to be read when it has ended
}

// startLock runs huddle lock.
func startLock(t *testing.T, n *node, command string, args ...string) *lockProcess {
	t.Helper()
	p := &lockProcess{said: &bytes.Buffer{}}
	p.cmd = exec.Command(binary(t), slices.Concat([]string{"lock"}, args, []string{"--", "sh", "-c", command})...)
	p.cmd.Env = append(cleanEnv(), "HUDDLE_ADDR="+n.url())
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.cmd.Stderr = p.said
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stdout = bufio.NewReader(stdout)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.cmd.Process.Kill() })
	return p
}

// end waits until the process has ended. It returns the exit status and what
// its command wrote.
func (p *lockProcess) end(t *testing.T) (status int, out string) {
	t.Helper()
	b, err := io.ReadAll(p.stdout)
	if err != nil {
		t.Error(err)
	}
	p.cmd.Wait() // the status tells
	return p.cmd.ProcessState.ExitCode(), string(b)
}

// TestPausedHolder holds a lock by a process that is stopped until long after
// its lease has ended. The next holder's token is higher, so that what the
// first one still writes is refused; and it gives up when it wakes.
func TestPausedHolder(t *testing.T) {
	t.Parallel()
	w, n := startAlone(t)
	r := newLockRecorder()
	c := r.client(w, 1, 0)
	defer c.caller.close()
	p := startLock(t, n, "echo $HUDDLE_FENCE; exec sleep 60", "--ttl=2s", "--wait=30s", "job")
	paused := &hold{name: "job", slots: 1}
	if _, err := fmt.Fscan(p.stdout, &paused.token); err != nil {
		p.cmd.Wait()
		t.Fatalf("huddle lock did not run its command: %v\n%s", err, p.said)
	}
	if !r.write(paused) {
		t.Error("the first write of all was refused")
	}
	p.cmd.Process.Signal(syscall.SIGSTOP)
	next := c.acquire(n, wish{name: "job", slots: 1, ttl: time.Minute, wait: time.Minute})
	if next == nil || !r.write(next) {
		t.Fatalf("the next holder: got %v, want a lock that it can write with: %v", next, &r.told)
	}
	if r.write(paused) {
		t.Errorf("a write with token %d was accepted after one with token %d", paused.token, next.token)
	}
	p.cmd.Process.Signal(syscall.SIGCONT)
	if status, _ := p.end(t); status != 1 || !strings.Contains(p.said.String(), "lock was lost") {
		t.Errorf("huddle lock ended with status %d and %q, want 1, and that the lock was lost", status, p.said)
	}
	if s, _, err := c.look(n, "job"); err != nil || !slices.Equal(s.tokens, []int64{next.token}) {
		t.Errorf("who has it now: got %v, %v, want token %d alone", s.tokens, err, next.token)
	}
	for _, wrong := range r.history.check() {
		t.Error(wrong)
	}
}

// TestHolderThatWaitedForLong waits for a lock for longer than its lease
// lasts, and has all of the lease then.
func TestHolderThatWaitedForLong(t *testing.T) {
	t.Parallel()
	w, n := startAlone(t)
	r := newLockRecorder()
	c := r.client(w, 1, 0)
	defer c.caller.close()
	q := queueAt(w, r, "job", n, time.Minute)
	p := startLock(t, n, "sleep 0.3; echo done", "--ttl=2s", "--wait=1m", "job")
	eventually(t, 20*time.Second, func() error {
		_, waiters, err := c.look(n, "job")
		if err == nil && waiters != 1 {
			err = fmt.Errorf("%d wait, want huddle lock to", waiters)
		}
		return err
	})
	time.Sleep(2500 * time.Millisecond)
	c.release(n, q.holder)
	if status, out := p.end(t); status != 0 || out != "done\n" {
		t.Errorf("huddle lock ended with status %d, its command wrote %q and it said %q, want 0 and done", status, out, p.said)
	}
}
