//go:build linux

package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"time"
)

// references say which server each one is compared with, per kind of command.
var references = map[string]map[bool]string{ // server -> is a write -> other server
	"durable":   {true: "always", false: "redis"},
	"ephemeral": {true: "redis", false: "redis"},
}

// goals are the least ratios to the reference, at 50 connections without
// pipelining.
var goals = map[string]map[bool]float64{ // server -> is a write -> ratio
	"durable":   {true: 0.3, false: 0.5},
	"ephemeral": {true: 0.35, false: 0.5},
}

const heading = `| command | connections | pipeline | server | operations/s | spread | ratio | p50 | p99 | p99.9 | operations per server CPU second | generator CPU | errors |
|---|--:|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|`

// report prints the table, and how the goals were met.
func (b *bench) report(out io.Writer) {
	s := b.settings
	fmt.Fprintf(out, "%d processors, %s/%s, %d rounds of %v s, values of %d bytes, %d keys, clusters of %d.\n",
		runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, s.rounds, s.seconds, s.value, s.keys, s.nodes)
	fmt.Fprintf(out, "The disk's fdatasync after 4 KiB, measured between the runs: p50 %s, p99 %s.\n",
		short(b.disk.quantile(0.5)), short(b.disk.quantile(0.99)))
	fmt.Fprint(out, "Ratio: durable writes to Redis with appendfsync always, all else to Redis without persistence. "+
		"Spread: between the rounds. Generator CPU: share of a core.\n\n")
	fmt.Fprintln(out, heading)
	var verdicts []string
	for _, c := range b.cells {
		ratio := b.ratio(c)
		fmt.Fprintln(out, c.row(ratio))
		isWrite := c.workload.op != "GET"
		if goal := goals[c.server.name][isWrite]; goal > 0 && ratio > 0 && c.workload.conns == 50 && c.workload.depth == 1 {
			verdict := "met"
			if ratio < goal {
				verdict = "missed"
			}
			verdicts = append(verdicts, fmt.Sprintf("- %s %s: %.2f times %s, goal %.2f: %s",
				c.server.name, c.workload.op, ratio, references[c.server.name][isWrite], goal, verdict))
		}
	}
	fmt.Fprintln(out)
	for _, verdict := range verdicts {
		fmt.Fprintln(out, verdict)
	}
}

// ratio returns the throughput of c by that of its reference, zero if that
// was not measured.
func (b *bench) ratio(c *cell) float64 {
	reference := references[c.server.name][c.workload.op != "GET"]
	for _, other := range b.cells {
		if other.server.name == reference && other.workload == c.workload && other.mean() > 0 {
			return c.mean() / other.mean()
		}
	}
	return 0
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
		w.op, w.conns, w.depth, c.server.name, c.mean(), 100*spread, relation,
		short(c.latency.quantile(0.5)), short(c.latency.quantile(0.99)), short(c.latency.quantile(0.999)),
		perCPU, 100*c.own.Seconds()/(1.2*c.span.Seconds()), errors)
}

// short writes a duration in milliseconds.
func short(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}
