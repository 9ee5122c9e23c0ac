//go:build linux

package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/huddlecache/huddle/internal/respclient"
)

// server is what a workload runs against: one or more processes.
type server struct {
	name      string
	targets   []netip.AddrPort
	processes []*os.Process // started here
	watched   []int         // processes started by others
	driver    *etcdDriver   // drives it, nil: the load generator itself does
}

// knows tells whether a server can do an operation.
func knows(server string, o *operation) bool {
	switch server {
	case "etcd":
		return o.etcd != ""
	case "redis", "always":
		return !o.isFeature
	}
	return true
}

// load runs a workload.
func (s *server) load(w workload, warmUp, span time.Duration) (*measure, error) {
	if s.driver != nil {
		return s.driver.load(w, warmUp, span)
	}
	return w.run(s.targets, warmUp, span)
}

// spawn starts a process that dies with this one.
func (s *server) spawn(path string, args, env []string) error {
	cmd := exec.Command(path, args...)
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(s string) bool {
		return strings.HasPrefix(s, "HUDDLE_") || strings.HasPrefix(s, "ETCD_")
	}), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := os.CreateTemp("", "huddle-bench-*.log")
	if err != nil {
		return fmt.Errorf("creating a log: %w", err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", path, err)
	}
	s.processes = append(s.processes, cmd.Process)
	return nil
}

// stop kills the processes and waits for their end.
func (s *server) stop() {
	if s.driver != nil {
		s.driver.stop()
	}
	for _, p := range s.processes {
		p.Kill()
		p.Wait()
	}
}

// awaitSet waits until every target answers SET.
func (s *server) awaitSet() error {
	for _, target := range s.targets {
		c := respclient.New(target.String(), 3*time.Second)
		defer c.Close()
		var err error
		for begin := time.Now(); time.Since(begin) < 30*time.Second; time.Sleep(50 * time.Millisecond) {
			if _, err = c.Do("SET", "ready", "1"); err == nil {
				break
			}
		}
		if err != nil {
			return fmt.Errorf("%s does not answer SET: %w", s.name, err)
		}
	}
	return nil
}

// cpu returns the processor time that the processes have taken, see proc(5).
func (s *server) cpu() (time.Duration, error) {
	var ticks int64
	pids := s.watched
	for _, p := range s.processes {
		pids = append(pids, p.Pid)
	}
	for _, pid := range pids {
		b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
		if err != nil {
			return 0, fmt.Errorf("%s has ended: %w", s.name, err)
		}
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		user, err1 := strconv.ParseInt(fields[11], 10, 64)
		system, err2 := strconv.ParseInt(fields[12], 10, 64)
		if err := errors.Join(err1, err2); err != nil {
			return 0, fmt.Errorf("reading /proc: %w", err)
		}
		ticks += user + system
	}
	return time.Duration(ticks) * (time.Second / 100), nil
}

// startRedis starts redis-server without persistence, or with every write
// synced before it is answered.
func startRedis(name, path, dir string, persist bool) (*server, error) {
	block := newBlock()
	target := netip.AddrPortFrom(block(1), freePort(block(1)))
	args := []string{
		"--bind", target.Addr().String(), "--port", strconv.Itoa(int(target.Port())),
		"--dir", dir, "--save", "", "--appendonly", "no",
	}
	if persist {
		args = append(args, "--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0")
	}
	s := &server{name: name, targets: []netip.AddrPort{target}}
	if err := s.spawn(path, args, nil); err != nil {
		return nil, err
	}
	return s, s.awaitSet()
}

// startHuddle starts a cluster of nodes, durable if dir is not empty.
func startHuddle(name, path, dir string, nodes int) (*server, error) {
	key := make([]byte, 32)
	rand.Read(key)
	block := newBlock()
	base := freePort(block(1))
	var join []string
	for i := range nodes {
		join = append(join, netip.AddrPortFrom(block(i+1), base).String())
	}
	s := &server{name: name}
	for i := range nodes {
		addr := block(i + 1)
		redis := netip.AddrPortFrom(addr, base+2)
		s.targets = append(s.targets, redis)
		env := []string{
			"HUDDLE_NAME=" + name + "-" + strconv.Itoa(i+1),
			"HUDDLE_JOIN=" + strings.Join(join, ","),
			"HUDDLE_EXPECT=" + strconv.Itoa(nodes),
			"HUDDLE_KEY=" + base64.StdEncoding.EncodeToString(key),
			"HUDDLE_BIND=" + addr.String(),
			"HUDDLE_ADVERTISE=" + addr.String(),
			"HUDDLE_GOSSIP_PORT=" + strconv.Itoa(int(base)),
			"HUDDLE_PEER_PORT=" + strconv.Itoa(int(base)+1),
			"HUDDLE_REDIS_ADDR=" + redis.String(),
			"HUDDLE_HTTP_ADDR=" + netip.AddrPortFrom(addr, base+3).String(),
		}
		if dir != "" {
			env = append(env, "HUDDLE_DATA_DIR="+filepath.Join(dir, strconv.Itoa(i+1)))
		}
		if err := s.spawn(path, []string{"serve"}, env); err != nil {
			s.stop()
			return nil, err
		}
	}
	return s, s.awaitSet()
}

// newBlock returns the addresses of a loopback network that nobody else is
// likely to use.
func newBlock() func(n int) netip.Addr {
	a, b := byte(1+mathrand.IntN(250)), byte(mathrand.IntN(256))
	return func(n int) netip.Addr { return netip.AddrFrom4([4]byte{127, a, b, byte(n)}) }
}

// freePort returns a port that is free, and very likely the three behind it,
// below those that the kernel gives to outgoing connections.
func freePort(addr netip.Addr) uint16 {
	for {
		port := uint16(10000 + mathrand.IntN(20000))
		listener, err := net.Listen("tcp", netip.AddrPortFrom(addr, port).String())
		if err == nil {
			listener.Close()
			return port
		}
	}
}
