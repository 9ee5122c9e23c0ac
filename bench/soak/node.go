//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// patience bounds one call, and how long a node may take to be ready.
const patience = 30 * time.Second

// A node is a huddle process.
type node struct {
	process     *os.Process
	redis, http string // addresses
	log         string // file
}

// start starts a node, and waits until it is ready. It dies with this process.
func start(ctx context.Context, program, dir string, cacheBytes int64) (*node, error) {
	ports, err := freePorts(ctx, 4)
	if err != nil {
		return nil, err
	}
	n := &node{redis: ports[0], http: ports[1], log: filepath.Join(dir, "log")}
	log, err := os.Create(n.log)
	if err != nil {
		return nil, fmt.Errorf("creating a log: %w", err)
	}
	defer log.Close()
	cmd := exec.Command(program, "serve")
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "HUDDLE_") }),
		"HUDDLE_CACHE_BYTES="+strconv.FormatInt(cacheBytes, 10),
		"HUDDLE_REDIS_ADDR="+ports[0], "HUDDLE_HTTP_ADDR="+ports[1],
		"HUDDLE_GOSSIP_PORT="+portOf(ports[2]), "HUDDLE_PEER_PORT="+portOf(ports[3]))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", program, err)
	}
	n.process = cmd.Process
	if err := n.awaitReady(ctx); err != nil {
		n.kill()
		return nil, err
	}
	return n, nil
}

func (n *node) awaitReady(ctx context.Context) error {
	for begin := time.Now(); ; pause(ctx, 50*time.Millisecond) {
		_, err := n.get(ctx, "/readyz")
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Since(begin) > patience:
			return n.dead(err)
		}
	}
}

// kill ends the process and waits for its end.
func (n *node) kill() {
	n.process.Kill()
	n.process.Wait()
}

// dead is an error with the end of what the node has said.
func (n *node) dead(err error) error {
	said, _ := os.ReadFile(n.log)
	return fmt.Errorf("the node does not answer: %w\n%s", err, said[max(0, len(said)-2000):])
}

// resident returns how many bytes of the process are in memory, and how many of
// these are of no file, see proc_pid_status(5).
func (n *node) resident() (all, anonymous int64, err error) {
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(n.process.Pid), "status"))
	if err != nil {
		return 0, 0, n.dead(err)
	}
	for line := range strings.Lines(string(status)) {
		fields := strings.Fields(line)
		if len(fields) != 3 || fields[2] != "kB" {
			continue
		}
		kib, _ := strconv.ParseInt(fields[1], 10, 64)
		switch fields[0] {
		case "VmRSS:":
			all = kib << 10
		case "RssAnon:":
			anonymous = kib << 10
		}
	}
	if all == 0 {
		return 0, 0, n.dead(errors.New("it has no resident memory"))
	}
	return all, anonymous, nil
}

// metrics returns the metrics without labels.
func (n *node) metrics(ctx context.Context) (map[string]float64, error) {
	text, err := n.get(ctx, "/metrics")
	if err != nil {
		return nil, n.dead(err)
	}
	all := map[string]float64{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if number, err := strconv.ParseFloat(value, 64); err == nil {
			all[name] = number
		}
	}
	return all, nil
}

func (n *node) get(ctx context.Context, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.http+path, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, errors.New(answer.Status)
	}
	return io.ReadAll(answer.Body)
}

// freePorts returns addresses that nobody has, which were held open until all
// were found.
func freePorts(ctx context.Context, count int) (addresses []string, err error) {
	var lc net.ListenConfig
	for range count {
		ln, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("finding a free port: %w", err)
		}
		defer ln.Close()
		addresses = append(addresses, ln.Addr().String())
	}
	return addresses, nil
}

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// pause waits, until the context ends at most.
func pause(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
