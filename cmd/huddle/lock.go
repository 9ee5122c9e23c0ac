package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"
)

// Exit statuses of huddle lock beside the command's own, as shells have them.
const (
	statusNotHad   = 75  // the lock was not to be had
	statusNoExec   = 126 // the command cannot be run
	statusNotFound = 127 // there is no such command
	statusSignal   = 128 // and the number of the signal that ended it
)

const (
	lockPause = 500 * time.Millisecond // between two calls while the cluster cannot agree
	waitMost  = time.Hour              // of one call
	killTime  = 5 * time.Second        // from SIGTERM to SIGKILL, for a command whose lock was lost
	callTime  = 5 * time.Second        // in which a node answers, beyond the time that it waits
)

type lockCommand struct {
	clientFlags
	TTL     span     `help:"How long the lock lasts when huddle dies; it is renewed until then." default:"10s"`
	Wait    span     `help:"How long to wait for the lock." default:"1m"`
	Name    string   `arg:"" help:"The lock's name."`
	Command []string `arg:"" passthrough:"" name:"cmd" help:"The command to run, after --."`
}

// Help explains what a flag has no room for.
func (c *lockCommand) Help() string {
	return `Runs a command while holding a lock, and exits with the command's status (128 and
the number of the signal that ended it), or with 75 where others had the lock
for all of the time to wait.

HUDDLE_FENCE in the command's environment is the lock's fencing token: whatever
the lock protects should refuse a lower one than it has seen.

SIGINT, SIGTERM and SIGHUP are passed on to the command. If the lock cannot be
renewed in time it may be another's: then huddle says so, sends the command
SIGTERM, five seconds later SIGKILL, and exits with 1.`
}

// An exitError ends the process with a status. It says nothing if err is nil:
// the command has said what there was to say.
type exitError struct {
	status int
	err    error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// Run holds the lock, runs the command, and releases the lock.
func (c *lockCommand) Run(ctx context.Context, p process) error {
	if len(c.Command) > 0 && c.Command[0] == "--" {
		c.Command = c.Command[1:]
	}
	if len(c.Command) == 0 {
		return usagef("give the command to run: huddle lock %s -- CMD…", c.Name)
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)

	held, err := c.acquire(ctx, p, signals)
	if err != nil {
		return err
	}
	err = held.run(p, c.Command, signals)
	if failed := held.release(); failed != nil && !errors.Is(err, errLockLost) {
		fmt.Fprintf(p.stderr, "huddle: releasing lock %s: %s; it ends by itself within %s\n", c.Name, oneLine(failed), time.Duration(c.TTL))
	}
	return err
}

var errLockLost = errors.New("the lock was lost")

// A heldLock is a lease that this process renews.
type heldLock struct {
	client lockClient
	ttl    time.Duration
	lease  string
	token  uint64
	until  time.Time // from when on it may be another's
}

// acquire waits for the lock. A signal ends that.
func (c *lockCommand) acquire(ctx context.Context, p process, signals <-chan os.Signal) (*heldLock, error) {
	client, err := c.client(p)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan struct{})
	defer close(done)
	go func() { // ends with acquire
		select {
		case got := <-signals:
			cancel(&exitError{status: statusOf(got), err: fmt.Errorf("%s while waiting for lock %s", got, c.Name)})
		case <-done:
		}
	}()
	held, err := c.wait(ctx, &client)
	if stopped, found := errors.AsType[*exitError](context.Cause(ctx)); found && err != nil {
		return nil, stopped
	}
	return held, err
}

// wait asks for the lock until it is had or the time to wait is over. A node
// takes back by itself what it could not answer.
func (c *lockCommand) wait(ctx context.Context, client *lockClient) (*heldLock, error) {
	end := time.Now().Add(time.Duration(c.Wait))
	host, _ := os.Hostname()
	wish := map[string]string{"ttl": time.Duration(c.TTL).String(), "owner": fmt.Sprintf("huddle lock on %s, process %d", host, os.Getpid())}
	for {
		left := min(max(time.Until(end), 0), waitMost)
		wish["wait"] = left.Round(time.Millisecond).String()
		held, status, err := c.ask(ctx, client, wish, left+callTime)
		switch {
		case err == nil:
			return held, nil
		case status == http.StatusConflict && time.Now().Before(end):
			continue // one call waits no longer
		case status == http.StatusConflict:
			return nil, &exitError{statusNotHad, err}
		case !isPassing(status) || !time.Now().Add(lockPause).Before(end):
			return nil, err
		}
		if err := sleep(ctx, lockPause); err != nil {
			return nil, err
		}
	}
}

// ask asks for the lock once. One that was waited for is renewed before it is
// relied on: what the answer says is left is certain only from when the call
// was sent, and may be over by that.
func (c *lockCommand) ask(ctx context.Context, client *lockClient, wish map[string]string, most time.Duration) (held *heldLock, status int, err error) {
	var lease leaseAnswer
	asked := time.Now()
	if status, err = client.call(ctx, http.MethodPost, "", wish, &lease, most); err != nil {
		return nil, status, err
	}
	held, err = newHeldLock(*client, c, lease, asked)
	if err != nil || time.Since(asked) < held.ttl/3 {
		return held, status, err
	}
	if status, err = held.renew(ctx, held.ttl); err != nil {
		_ = held.release() // else it ends by itself
		return nil, status, err
	}
	return held, status, nil
}

// isPassing reports whether a call that got this answer is worth repeating.
func isPassing(status int) bool {
	return status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// leaseAnswer is what a node answers to an acquisition or a renewal.
type leaseAnswer struct {
	Lease, TTL string
	Token      uint64
}

func newHeldLock(client lockClient, c *lockCommand, lease leaseAnswer, asked time.Time) (*heldLock, error) {
	left, err := time.ParseDuration(lease.TTL)
	if err != nil {
		return nil, fmt.Errorf("reading the lease: %w; is the node of another release?", err)
	}
	return &heldLock{client, time.Duration(c.TTL), lease.Lease, lease.Token, asked.Add(left)}, nil
}

// renew makes the lease last for its whole time again. The status is that of
// the answer, 0 if there was none.
func (h *heldLock) renew(ctx context.Context, most time.Duration) (status int, err error) {
	asked := time.Now()
	var lease leaseAnswer
	wish := map[string]string{"lease": h.lease, "ttl": h.ttl.String()}
	if status, err = h.client.call(ctx, http.MethodPut, "", wish, &lease, most); err != nil {
		return status, err
	}
	left, err := time.ParseDuration(lease.TTL)
	if err != nil {
		return status, fmt.Errorf("reading the renewal: %w; is the node of another release?", err)
	}
	h.until = asked.Add(left)
	return status, nil
}

// run runs the command and renews the lock until it has ended.
func (h *heldLock) run(p process, command []string, signals <-chan os.Signal) error {
	//nolint:noctx // the command ends by itself, or by a signal that it may handle
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = p.stdin, p.stdout, p.stderr, killTime
	for name, value := range p.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.Env = append(cmd.Env, "HUDDLE_FENCE="+strconv.FormatUint(h.token, 10))
	if err := cmd.Start(); err != nil {
		status := statusNoExec
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
			status = statusNotFound
		}
		return &exitError{status, fmt.Errorf("running %s: %w", command[0], err)}
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	renewing, stop := context.WithCancel(context.Background())
	defer stop()
	lost := make(chan error, 1)
	go func() { lost <- h.keep(renewing) }()
	for {
		select {
		case err := <-ended:
			return outcome(err)
		case got := <-signals:
			pass(p, cmd.Process, got)
		case err := <-lost:
			fmt.Fprintf(p.stderr, "huddle: %s, and may be another's: %s; stopping %s\n", errLockLost, oneLine(err), command[0])
			_ = cmd.Process.Signal(syscall.SIGTERM) // of one that has ended there is nothing to stop
			kill := time.AfterFunc(killTime, func() { _ = cmd.Process.Kill() })
			waited := <-ended
			kill.Stop()
			return errors.Join(fmt.Errorf("%w while %s ran: %w", errLockLost, command[0], err), waited)
		}
	}
}

// pass passes a signal on. Ctrl-C at a terminal has reached the command
// already.
func pass(p process, to *os.Process, got os.Signal) {
	if stdin, isFile := p.stdin.(*os.File); isFile && got == os.Interrupt && term.IsTerminal(int(stdin.Fd())) {
		return
	}
	_ = to.Signal(got) // of one that has ended the status tells
}

// outcome is how a command has ended, as a shell tells it.
func outcome(err error) error {
	failed, found := errors.AsType[*exec.ExitError](err)
	if !found {
		return err
	}
	if status, isUnix := failed.Sys().(syscall.WaitStatus); isUnix && status.Signaled() {
		return &exitError{status: statusSignal + int(status.Signal())}
	}
	return &exitError{status: failed.ExitCode()}
}

// statusOf is the status of a process that a signal has ended.
func statusOf(got os.Signal) int {
	if number, found := got.(syscall.Signal); found {
		return statusSignal + int(number)
	}
	return statusFailed
}

// keep renews the lock until the context ends, or returns why it may be lost.
func (h *heldLock) keep(ctx context.Context) error {
	pause := h.ttl / 3
	for {
		if sleep(ctx, min(pause, time.Until(h.until))) != nil {
			return nil
		}
		left := time.Until(h.until)
		if left <= 0 {
			return errors.New("it could not be renewed in time")
		}
		status, err := h.renew(ctx, left)
		if status == http.StatusConflict {
			return err
		}
		if pause = h.ttl / 3; err != nil {
			pause = min(h.ttl/10, lockPause)
		}
	}
}

// release gives the lock back.
func (h *heldLock) release() error {
	status, err := h.client.call(context.Background(), http.MethodDelete, "?lease="+url.QueryEscape(h.lease), nil, nil, callTime)
	if status == http.StatusConflict {
		return nil // it is over already
	}
	return err
}

// A lockClient calls a node about one lock.
type lockClient struct {
	clientFlags
	path     string
	base     string
	password string
}

func (c *lockCommand) client(p process) (client lockClient, err error) {
	client = lockClient{clientFlags: c.clientFlags, path: "/v1/locks/" + strings.ReplaceAll(url.PathEscape(c.Name), ".", "%2E")}
	if client.base, err = c.base(); err != nil {
		return client, err
	}
	client.password, err = p.env.secret("HUDDLE_PASSWORD", c.PasswordFile)
	return client, err
}

// call makes one call and returns the status of its answer, 0 if there was
// none.
func (c *lockClient) call(ctx context.Context, method, query string, in, out any, most time.Duration) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	var content io.Reader = http.NoBody
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return 0, fmt.Errorf("encoding the request: %w", err)
		}
		content = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+c.path+query, content)
	if err != nil {
		return 0, usagef("--addr: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	if c.password != "" {
		req.Header.Set("Authorization", "Bearer "+c.password)
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, unreachable(c.base, err)
	}
	defer func() { _ = answer.Body.Close() }() // only read
	return answer.StatusCode, decodeAnswer(c.base, answer, out)
}
