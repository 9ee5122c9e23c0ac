//go:build linux

package main

import (
	"os"
	"os/exec"
	"testing"

	"github.com/huddlecache/huddle/internal/respclient"
)

// TestRedisAnswersAsWanted makes each operation that Redis knows with a
// redis-server, and looks at what is left there.
func TestRedisAnswersAsWanted(t *testing.T) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("HUDDLE_E2E") == "required" {
			t.Fatal("HUDDLE_E2E is required, and there is no redis-server")
		}
		t.Skip("SKIPPED: no redis-server to measure; install it, HUDDLE_E2E=required makes this an error")
	}
	s, err := startRedis("redis", path, t.TempDir(), false)
	if s != nil {
		t.Cleanup(s.stop)
	}
	if err != nil {
		t.Fatal(err)
	}
	const keys = 10
	if err := s.fill(keys, 20); err != nil {
		t.Fatal(err)
	}
	for _, o := range operations {
		if o.isFeature {
			continue
		}
		w := workload{op: o, conns: 3, depth: 1, value: 20, keys: keys}
		if err := s.prepare(w); err != nil {
			t.Fatal(err)
		}
		if m := runSome(t, w, s.targets[0], func() {}); m.errors > 0 {
			t.Errorf("%s: got %d answers and %d errors (%s), want no error", o.name, m.latency.total, m.errors, m.lastError)
		}
	}
	c := respclient.New(s.targets[0].String(), grace)
	defer c.Close()
	for pattern, want := range map[string]bool{"page:*": true, "visits:*": true, "throttle:*": true, "purge:*": false} {
		reply, err := c.Do("EVAL", "return table.concat(redis.call('KEYS', ARGV[1]), ' ')", "0", pattern)
		if err != nil {
			t.Fatal(err)
		}
		if found, _ := reply.(string); (found != "") != want {
			t.Errorf("%s: got %q, want any: %t", pattern, found, want)
		}
	}
}
