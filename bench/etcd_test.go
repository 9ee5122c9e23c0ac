//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"
)

// orders is where what is asked of a driver goes.
type orders struct{ bytes.Buffer }

func (*orders) Close() error { return nil }

func TestDriverIsAskedAndUnderstood(t *testing.T) {
	asked := new(orders)
	d := &etcdDriver{orders: asked, figures: json.NewDecoder(strings.NewReader(
		`{"latency":{"1000":3,"3000":1},"all":9,"errors":2,"last_error":"no leader","cpu":5000}
		{"all":0,"errors":0,"cpu":0,"failure":"no session"}`))}
	w := workload{op: operationOf("LOCK-CONTENDED"), conns: 50, depth: 1, value: 100, keys: 10}
	m, err := d.load(w, time.Millisecond, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := asked.String(), `{"op":"lock","conns":50,"per_name":10,"keys":10,"value":100,"warm_up":1000000,"span":1000000000}`+"\n"; got != want {
		t.Errorf("got the order %s, want %s", got, want)
	}
	if m.latency.total != 4 || m.all != 9 || m.errors != 2 || m.lastError != "no leader" || m.own != 5*time.Microsecond {
		t.Errorf("got %d latencies, %d in all, %d errors (%s), %v, want 4, 9, 2 (no leader), 5µs",
			m.latency.total, m.all, m.errors, m.lastError, m.own)
	}
	if got := m.latency.quantile(1); got < 2950*time.Microsecond || got > 3050*time.Microsecond {
		t.Errorf("got at most %v, want about 3 ms", got)
	}
	if _, err := d.load(w, 0, 0); err == nil || err.Error() != "no session" {
		t.Errorf("got %v, want no session", err)
	}
	if _, err := d.load(w, 0, 0); !strings.Contains(err.Error(), io.EOF.Error()) {
		t.Errorf("got %v from a driver that has ended, want EOF", err)
	}
}
