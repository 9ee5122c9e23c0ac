//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// etcdDriver is the child process that talks to etcd, from bench/etcd, which
// has a module of its own. It takes orders and gives figures as JSON, one after
// the other; main.go there says what the fields are.
type etcdDriver struct {
	cmd     *exec.Cmd
	orders  io.WriteCloser
	figures *json.Decoder
}

type etcdOrder struct {
	Op      string        `json:"op"`
	Conns   int           `json:"conns"`
	PerName int           `json:"per_name"`
	Keys    int           `json:"keys"`
	Value   int           `json:"value"`
	WarmUp  time.Duration `json:"warm_up"`
	Span    time.Duration `json:"span"`
}

type etcdFigures struct {
	Latency   map[int64]uint64 `json:"latency"` // microseconds -> operations
	All       uint64           `json:"all"`
	Errors    uint64           `json:"errors"`
	LastError string           `json:"last_error"`
	CPU       time.Duration    `json:"cpu"`
	Failure   string           `json:"failure"`
}

// load runs a workload.
func (d *etcdDriver) load(w workload, warmUp, span time.Duration) (*measure, error) {
	return d.carryOut(etcdOrder{
		Op: w.op.etcd, Conns: w.conns, PerName: max(w.op.perName, 1),
		Keys: w.keys, Value: w.value, WarmUp: warmUp, Span: span,
	})
}

// fill writes all keys that are read, as soon as the cluster takes writes.
func (d *etcdDriver) fill(keys, value int) error {
	_, err := d.carryOut(etcdOrder{Op: "fill", Conns: fillers, PerName: 1, Keys: keys, Value: value})
	return err
}

func (d *etcdDriver) carryOut(o etcdOrder) (*measure, error) {
	if err := json.NewEncoder(d.orders).Encode(o); err != nil {
		return nil, fmt.Errorf("asking etcd's driver: %w", err)
	}
	var f etcdFigures
	if err := d.figures.Decode(&f); err != nil {
		return nil, fmt.Errorf("reading the figures of etcd's driver: %w", err)
	}
	return f.measure()
}

// measure returns the figures as those of the load generator itself.
func (f *etcdFigures) measure() (*measure, error) {
	if f.Failure != "" {
		return nil, errors.New(f.Failure)
	}
	m := &measure{all: f.All, errors: f.Errors, lastError: f.LastError, own: f.CPU}
	for took, n := range f.Latency {
		m.latency.add(time.Duration(took)*time.Microsecond, n)
	}
	return m, nil
}

func (d *etcdDriver) stop() {
	d.cmd.Process.Kill()
	d.cmd.Wait()
}

// startEtcd starts an etcd cluster with etcd's own defaults, and its driver.
func startEtcd(path, dir string, nodes int) (*server, error) {
	driver := filepath.Join(dir, "driver")
	if err := buildEtcdDriver(driver); err != nil {
		return nil, err
	}
	block := newBlock()
	port := freePort(block(1))
	s := &server{name: "etcd"}
	var peers []string
	for i := range nodes {
		s.targets = append(s.targets, netip.AddrPortFrom(block(i+1), port))
		peers = append(peers, fmt.Sprintf("etcd-%d=http://%v", i+1, netip.AddrPortFrom(block(i+1), port+1)))
	}
	for i, target := range s.targets {
		name, peer, _ := strings.Cut(peers[i], "=")
		args := []string{
			"--name", name, "--data-dir", filepath.Join(dir, strconv.Itoa(i+1)),
			"--listen-client-urls", "http://" + target.String(), "--advertise-client-urls", "http://" + target.String(),
			"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
			"--initial-cluster", strings.Join(peers, ","), "--initial-cluster-token", dir,
		}
		// Without this etcd 3.4 starts on amd64 only.
		env := []string{"ETCD_UNSUPPORTED_ARCH=" + runtime.GOARCH}
		if err := s.spawn(path, args, env); err != nil {
			s.stop()
			return nil, fmt.Errorf("%w: install Debian's etcd-server, or leave etcd out of --servers", err)
		}
	}
	return s, s.startDriver(driver)
}

// buildEtcdDriver builds the driver from the directory beside this file.
func buildEtcdDriver(path string) error {
	list := exec.Command("go", "list", "-f", "{{.Dir}}", "github.com/huddlecache/huddle/bench")
	dir, err := list.Output()
	if err != nil {
		return fmt.Errorf("looking for etcd's driver: %w", err)
	}
	build := exec.Command("go", "build", "-trimpath", "-o", path, ".")
	build.Dir = filepath.Join(strings.TrimSpace(string(dir)), "etcd")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building etcd's driver: %w\n%s", err, out)
	}
	return nil
}

func (s *server) startDriver(path string) error {
	var endpoints []string
	for _, target := range s.targets {
		endpoints = append(endpoints, target.String())
	}
	cmd := exec.Command(path, strings.Join(endpoints, ","))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = os.Stderr
	orders, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("starting etcd's driver: %w", err)
	}
	figures, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("starting etcd's driver: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting etcd's driver: %w", err)
	}
	s.driver = &etcdDriver{cmd: cmd, orders: orders, figures: json.NewDecoder(figures)}
	s.driver.figures.DisallowUnknownFields()
	return nil
}
