//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
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
	all        uint64        // replies of any kind, with those of the warm-up
	cpu        time.Duration // of the server's processes, with the warm-up
	own        time.Duration // of the load generator, likewise
	throughput []float64     // of each round
}

// run makes all runs: every workload on all servers, one after another, as
// many times as there are rounds.
func (b *bench) run() error {
	s := b.settings
	for _, server := range b.servers {
		if err := server.fill(s.keys, s.value); err != nil {
			return err
		}
	}
	for _, op := range s.ops {
		for _, conns := range s.conns {
			for _, depth := range s.depths {
				w := workload{op: op, conns: conns, depth: depth, value: s.value, keys: s.keys}
				if err := b.compare(w); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (b *bench) compare(w workload) error {
	var cells []*cell
	for _, server := range b.servers {
		cells = append(cells, &cell{workload: w, server: server})
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
				return fmt.Errorf("%s, %s, %d connections, pipeline of %d: %w", c.server.name, w.op, w.conns, w.depth, err)
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
	own := ownCPU()
	m, err := c.workload.run(c.server.targets, span/5, span)
	if err != nil {
		return err
	}
	after, err := c.server.cpu()
	if err != nil {
		return err
	}
	c.own += ownCPU() - own
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
