//go:build linux

package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"time"
)

// goals are the least ratios to the reference, at 50 connections without
// pipelining. etcd waits for its disk, so only the durable cluster has goals
// beside it. As fast as means within 5 %, which rounds differ by anyway.
var goals = []struct {
	server, op string
	ratio      float64
}{
	{"durable", "SET", 0.3},
	{"durable", "INCR", 0.3},
	{"durable", "GET", 0.5},
	{"ephemeral", "SET", 0.35},
	{"ephemeral", "INCR", 0.35},
	{"ephemeral", "GET", 0.5},
	{"durable", "LOCK", 4},
	{"durable", "LOCK-CONTENDED", 4},
	{"durable", "SESSION-SET", 3},
	{"durable", "SESSION-GET", 6},
	{"durable", "LIMIT-DENIED", 0.95},
	{"ephemeral", "LIMIT-DENIED", 0.95},
}

const heading = `| operation | connections | pipeline | server | operations/s | spread | ratio | p50 | p99 | p99.9 | operations per server CPU second | generator CPU | errors |
|---|--:|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|`

// report prints the table, and how the goals were met.
func (b *bench) report(out io.Writer) {
	s := b.settings
	fmt.Fprintf(out, "%d processors, %s/%s, %d rounds of %v s, values of %d bytes, %d keys, clusters of %d.\n",
		runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, s.rounds, s.seconds, s.value, s.keys, s.nodes)
	fmt.Fprintf(out, "The disk's fdatasync after 4 KiB, measured between the runs: p50 %s, p99 %s.\n",
		short(b.disk.quantile(0.5)), short(b.disk.quantile(0.99)))
	fmt.Fprint(out, "Ratio: durable writes to Redis with appendfsync always, what else Redis knows to Redis without persistence, "+
		"locks and sessions to etcd's mutex, put and get, a denied limit to a local GET of the same cluster. "+
		"A lock is locked and unlocked, also by scripts; a transaction is one operation. Spread: between the rounds. Generator CPU: share of a core; etcd's is clientv3's.\n\n")
	fmt.Fprintln(out, heading)
	var verdicts []string
	for _, c := range b.cells {
		fmt.Fprintln(out, c.row(b.ratio(c)))
		if verdict := b.verdict(c); verdict != "" {
			verdicts = append(verdicts, verdict)
		}
	}
	fmt.Fprintln(out)
	for _, verdict := range verdicts {
		fmt.Fprintln(out, verdict)
	}
}

// verdict says how a goal was met, nothing if there is none for c.
func (b *bench) verdict(c *cell) string {
	ratio, w := b.ratio(c), c.workload
	if ratio == 0 || w.conns != 50 || w.depth != 1 {
		return ""
	}
	for _, goal := range goals {
		if goal.server != c.server.name || goal.op != w.op.name {
			continue
		}
		verdict := "met"
		if ratio < goal.ratio {
			verdict = "missed"
		}
		other := b.reference(c)
		return fmt.Sprintf("- %s %s: %.2f times %s %s, goal %.2f: %s",
			c.server.name, w.op.name, ratio, other.server.name, other.title(), goal.ratio, verdict)
	}
	return ""
}

// ratio returns the throughput of c by that of its reference, zero if that
// was not measured.
func (b *bench) ratio(c *cell) float64 {
	if other := b.reference(c); other != nil && other.mean() > 0 {
		return c.mean() / other.mean()
	}
	return 0
}

// reference returns what c is compared with, nil if there is nothing.
func (b *bench) reference(c *cell) *cell {
	w, server := c.workload, c.server.name
	switch o := w.op; {
	case server != "durable" && server != "ephemeral":
		return nil
	case o.beside != "":
		w.op = operationOf(o.beside)
	case o.etcd != "":
		server = "etcd"
	case o.isFeature:
		return nil
	case server == "durable" && o.isWrite:
		server = "always"
	default:
		server = "redis"
	}
	for _, other := range b.cells {
		if other.server.name == server && other.workload == w {
			return other
		}
	}
	return nil
}

// title names the operation, also in etcd's terms.
func (c *cell) title() string {
	if c.server.driver != nil {
		return c.workload.op.name + " (" + c.workload.op.etcd + ")"
	}
	return c.workload.op.name
}

func (c *cell) mean() float64 {
	var sum float64
	for _, t := range c.throughput {
		sum += t
	}
	return sum / float64(len(c.throughput))
}

// row is a line of the table.
func (c *cell) row(ratio float64) string {
	spread := (slices.Max(c.throughput) - slices.Min(c.throughput)) / max(c.mean(), 1)
	relation, perCPU, errors := "", "", fmt.Sprint(c.errors)
	if ratio > 0 {
		relation = fmt.Sprintf("%.2f", ratio)
	}
	if c.cpu > 0 {
		perCPU = fmt.Sprintf("%.0f", float64(c.all)/c.cpu.Seconds())
	}
	if c.errors > 0 {
		errors += " (" + c.lastError + ")"
	}
	w := c.workload
	return fmt.Sprintf("| %s | %d | %d | %s | %.0f | %.0f %% | %s | %s | %s | %s | %s | %.0f %% | %s |",
		c.title(), w.conns, w.depth, c.server.name, c.mean(), 100*spread, relation,
		short(c.latency.quantile(0.5)), short(c.latency.quantile(0.99)), short(c.latency.quantile(0.999)),
		perCPU, 100*c.own.Seconds()/(1.2*c.span.Seconds()), errors)
}

// short writes a duration in milliseconds.
func short(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}
