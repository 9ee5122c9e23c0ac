package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/huddlecache/huddle/internal/respclient"
)

// node is one real process and its address, a pod of the headless service.
type node struct {
	t    *testing.T
	name string
	addr netip.Addr
	dir  string // data directory, empty if ephemeral
	p    ports
	env  []string
	log  string // file with what it wrote

	cmd    *exec.Cmd
	exited chan struct{} // closed when the process has ended
	err    error         // how it ended; valid once exited is closed
}

// ports are the same at every node, which differ by address alone.
type ports struct{ gossip, peer, redis, http int }

func (n *node) redisAddr() string { return hostPort(n.addr, n.p.redis) }
func (n *node) httpAddr() string  { return hostPort(n.addr, n.p.http) }
func (n *node) peerAddr() string  { return hostPort(n.addr, n.p.peer) }
func (n *node) url() string       { return "http://" + n.httpAddr() }

func hostPort(addr netip.Addr, port int) string {
	return net.JoinHostPort(addr.String(), strconv.Itoa(port))
}

// start runs the process. It is killed when the test ends, and when the test
// binary dies.
func (n *node) start() {
	n.t.Helper()
	log, err := os.OpenFile(n.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		n.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(binary(n.t), "serve")
	cmd.Env = n.env
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.cmd, n.exited = cmd, make(chan struct{})
	go func() { // until the process ends; kill waits for it
		n.err = cmd.Wait()
		close(n.exited)
	}()
	n.t.Cleanup(n.kill)
}

// kill ends the process at once and waits for its end.
func (n *node) kill() {
	n.cmd.Process.Kill()
	<-n.exited
}

// pause stops the process as a hung virtual machine does; resume ends that.
func (n *node) pause()  { n.cmd.Process.Signal(syscall.SIGSTOP) }
func (n *node) resume() { n.cmd.Process.Signal(syscall.SIGCONT) }

// terminate stops the process in order, which it must survive within 25 s
// with exit status 0, and returns how long that took.
func (n *node) terminate() time.Duration {
	n.t.Helper()
	begin := time.Now()
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		n.t.Fatal(err)
	}
	select {
	case <-n.exited:
		if n.err != nil {
			n.t.Errorf("%s after SIGTERM: got %v, want exit status 0", n.name, n.err)
		}
	case <-time.After(25 * time.Second):
		n.t.Errorf("%s has not ended 25 s after SIGTERM", n.name)
		n.kill()
	}
	return time.Since(begin)
}

func (n *node) alive() bool {
	select {
	case <-n.exited:
		return false
	default:
		return true
	}
}

// waitReady waits until /readyz answers 200 and returns how long that took.
func (n *node) waitReady(limit time.Duration) time.Duration {
	n.t.Helper()
	begin := time.Now()
	var last string
	for time.Since(begin) < limit {
		if !n.alive() {
			n.t.Fatalf("%s ended before it was ready: %v\n%s", n.name, n.err, n.tail(30))
		}
		code, body, err := get(n.url() + "/readyz")
		if code == http.StatusOK {
			return time.Since(begin)
		}
		last = fmt.Sprintf("%d %s (%v)", code, strings.TrimSpace(body), err)
		time.Sleep(20 * time.Millisecond)
	}
	n.dump()
	n.t.Fatalf("%s is not ready after %v: %s", n.name, limit, last)
	return 0
}

// dump ends the process with all of its stacks in its log.
func (n *node) dump() {
	n.cmd.Process.Signal(syscall.SIGQUIT)
	select {
	case <-n.exited:
	case <-time.After(5 * time.Second):
		n.kill()
	}
}

// status is what /v1/cluster answers, as far as the contract goes.
type status struct {
	Cluster  string   `json:"cluster"`
	Node     string   `json:"node"`
	Leader   string   `json:"leader"`
	Term     uint64   `json:"term"`
	Quorum   bool     `json:"quorum"`
	Index    uint64   `json:"index"`
	Problems []string `json:"problems"`
	Members  []struct {
		ID      string `json:"id"`
		Name    string `json:"name"`
		Address string `json:"address"`
		Role    string `json:"role"`
		State   string `json:"state"`
		Index   uint64 `json:"index"`
	} `json:"members"`
}

// status asks the node what it knows of the cluster.
func (n *node) status() (status, error) {
	var s status
	code, body, err := get(n.url() + "/v1/cluster")
	if err != nil {
		return s, err
	}
	if code != http.StatusOK {
		return s, fmt.Errorf("/v1/cluster of %s answers %d: %s", n.name, code, body)
	}
	return s, json.Unmarshal([]byte(body), &s)
}

func get(url string) (code int, body string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	return response.StatusCode, string(b), err
}

// client returns a connection to the node that is closed with the test.
func (n *node) client() *respclient.Client {
	c := respclient.New(n.redisAddr(), clientTimeout)
	n.t.Cleanup(c.Close)
	return c
}

// clientTimeout is longer than the three seconds that a node takes at most.
const clientTimeout = 5 * time.Second

// tail returns the last lines that the node wrote.
func (n *node) tail(lines int) string {
	b, err := os.ReadFile(n.log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// usage is what the kernel accounts to a process.
type usage struct {
	cpu time.Duration // user and system time
	rss int64         // bytes
}

// clockTick is the unit of times in /proc, the same on every Linux platform.
const clockTick = time.Second / 100

// usage reads /proc, see proc(5).
func (n *node) usage() usage {
	n.t.Helper()
	proc := filepath.Join("/proc", strconv.Itoa(n.cmd.Process.Pid))
	b, err := os.ReadFile(filepath.Join(proc, "stat"))
	if err != nil {
		n.t.Fatal(err)
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	pages, err3 := strconv.ParseInt(fields[21], 10, 64)
	if err := errors.Join(err1, err2, err3); err != nil {
		n.t.Fatal(err)
	}
	return usage{cpu: time.Duration(user+system) * clockTick, rss: pages * int64(os.Getpagesize())}
}
