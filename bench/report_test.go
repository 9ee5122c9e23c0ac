//go:build linux

package main

import (
	"strings"
	"testing"
	"time"
)

func TestRatiosAndVerdicts(t *testing.T) {
	tests := []struct {
		server, op string
		conns      int
		throughput float64
		ratio      float64
		verdict    string
	}{
		{"durable", "LOCK", 50, 4000, 4, "- durable LOCK: 4.00 times etcd LOCK (lock), goal 4.00: met"},
		{"durable", "SESSION-SET", 50, 2900, 2.9, "- durable SESSION-SET: 2.90 times etcd SESSION-SET (put), goal 3.00: missed"},
		{"durable", "SESSION-SET", 200, 2900, 0, ""}, // etcd was not measured with 200
		{"durable", "LIMIT-DENIED", 50, 90, 0.9, "- durable LIMIT-DENIED: 0.90 times durable GET-LOCAL, goal 0.95: missed"},
		{"durable", "GET-LOCAL", 50, 100, 0, ""},
		{"ephemeral", "LIMIT-DENIED", 50, 90, 0, ""}, // nor a local GET there
		{"ephemeral", "LOCK", 50, 8000, 8, ""},       // no goal
		{"durable", "SET", 50, 300, 0.3, "- durable SET: 0.30 times always SET, goal 0.30: met"},
		{"durable", "GET", 50, 900, 0.45, "- durable GET: 0.45 times redis GET, goal 0.50: missed"},
		{"ephemeral", "SET", 50, 700, 0.7, "- ephemeral SET: 0.70 times redis SET, goal 0.35: met"},
		{"etcd", "LOCK", 50, 1000, 0, ""},
		{"etcd", "SESSION-SET", 50, 1000, 0, ""},
		{"always", "SET", 50, 1000, 0, ""},
		{"redis", "SET", 50, 1000, 0, ""},
		{"redis", "GET", 50, 2000, 0, ""},
	}
	b := &bench{settings: settings{rounds: 2, seconds: 1}}
	for _, test := range tests {
		s := &server{name: test.server}
		if test.server == "etcd" {
			s.driver = new(etcdDriver)
		}
		b.cells = append(b.cells, &cell{
			workload: workload{op: operationOf(test.op), conns: test.conns, depth: 1}, server: s,
			span: 2 * time.Second, throughput: []float64{test.throughput / 2, test.throughput * 3 / 2},
		})
	}
	var report strings.Builder
	b.report(&report)
	for i, test := range tests {
		if got := b.ratio(b.cells[i]); got != test.ratio {
			t.Errorf("%s %s: got the ratio %v, want %v", test.server, test.op, got, test.ratio)
		}
		if got := b.verdict(b.cells[i]); got != test.verdict {
			t.Errorf("%s %s: got %q, want %q", test.server, test.op, got, test.verdict)
		}
		if !strings.Contains(report.String(), test.verdict) {
			t.Errorf("%s %s: got a report without %q", test.server, test.op, test.verdict)
		}
	}
	columns := strings.Count(heading[:strings.IndexByte(heading, '\n')], "|")
	for line := range strings.Lines(report.String()) {
		if got := strings.Count(line, "|"); got != 0 && got != columns {
			t.Errorf("got %d columns in %q, want %d", got, line, columns)
		}
	}
}

func TestGoalsAreOfOperations(t *testing.T) {
	for _, goal := range goals {
		if o := operationOf(goal.op); o == nil || !knows(goal.server, o) {
			t.Errorf("got a goal for %s on %s, which is not measured", goal.op, goal.server)
		}
	}
	for _, o := range operations {
		if o.beside != "" && operationOf(o.beside) == nil {
			t.Errorf("%s: got %s beside it, which does not exist", o.name, o.beside)
		}
	}
}
