//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"
	"time"
)

// bench is all runs and what they gave.
type bench struct {
	settings    settings
	servers     []*server
	dir         string
	progress    io.Writer
	interrupted <-chan os.Signal
	cells       []*cell
	disk        histogram
}

// cell is one workload on one server, over all rounds.
type cell struct {
	workload   workload
	server     *server
	latency    histogram
	errors     uint64
	lastError  string
	span       time.Duration
	all        uint64        // operations of any outcome, with those before and behind the span
	cpu        time.Duration // of the server's processes, with the warm-up
	own        time.Duration // of the load generator, likewise
	throughput []float64     // of each round
}

// run makes all runs: every group of workloads on all servers, one after
// another, as many times as there are rounds.
func (b *bench) run() error {
	for _, server := range b.servers {
		if err := server.fill(b.settings.keys, b.settings.value); err != nil {
			return err
		}
	}
	for _, group := range b.settings.groups() {
		if err := b.compare(group); err != nil {
			return err
		}
	}
	return nil
}

// groups returns the workloads: those that are compared with each other
// together.
func (s *settings) groups() [][]workload {
	var groups [][]workload
	for _, op := range s.ops {
		if slices.ContainsFunc(s.ops, func(o *operation) bool { return o.beside == op.name }) {
			continue // it is in the other's group
		}
		allConns, depths := s.conns, s.depths
		if !op.isPlain() {
			allConns, depths = s.featureConns, []int{1}
		}
		for _, conns := range allConns {
			for _, depth := range depths {
				w := workload{op: op, conns: conns, depth: depth, value: s.value, keys: s.keys}
				group := []workload{w}
				if w.op = operationOf(op.beside); slices.Contains(s.ops, w.op) {
					group = append(group, w)
				}
				groups = append(groups, group)
			}
		}
	}
	return groups
}

// compare runs the workloads of a group in turn, on one server after another
// that knows them.
func (b *bench) compare(group []workload) error {
	var cells []*cell
	for _, server := range b.servers {
		for _, w := range group {
			if !knows(server.name, w.op) {
				continue
			}
			if err := server.prepare(w); err != nil {
				return err
			}
			cells = append(cells, &cell{workload: w, server: server})
		}
	}
	b.cells = append(b.cells, cells...)
	for range b.settings.rounds {
		if err := measureDisk(b.dir, 50, &b.disk); err != nil {
			return err
		}
		for _, c := range cells {
			select {
			case <-b.interrupted:
				return errors.New("interrupted")
			default:
			}
			if err := c.run(time.Duration(b.settings.seconds * float64(time.Second))); err != nil {
				w := c.workload
				return fmt.Errorf("%s, %s, %d connections, pipeline of %d: %w", c.server.name, w.op.name, w.conns, w.depth, err)
			}
		}
	}
	for _, c := range cells {
		fmt.Fprintln(b.progress, c.row(b.ratio(c)))
	}
	return nil
}

// run adds one round. The processor time is that of the whole run, warm-up
// included, and so are the operations that it is compared with.
func (c *cell) run(span time.Duration) error {
	before, err := c.server.cpu()
	if err != nil {
		return err
	}
	m, err := c.server.load(c.workload, span/5, span)
	if err != nil {
		return err
	}
	after, err := c.server.cpu()
	if err != nil {
		return err
	}
	c.own += m.own
	c.cpu += after - before
	c.all += m.all
	c.span += span
	c.latency.merge(&m.latency)
	c.errors += m.errors
	if m.errors > 0 {
		c.lastError = m.lastError
	}
	c.throughput = append(c.throughput, float64(m.latency.total)/span.Seconds())
	return nil
}

// ownCPU returns the processor time of this process.
func ownCPU() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
