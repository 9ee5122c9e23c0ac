package e2e

import (
	"strings"
	"testing"
	"time"
)

// hostile are scripts that would run, grow or recurse for ever, or do what is
// forbidden. None must leave anything behind.
var hostile = map[string]string{
	"loops":     "redis.call('SET', 'trace', 1) while true do end",
	"allocates": "redis.call('SET', 'trace', 1) local t = {} while true do t[#t + 1] = string.rep('x', 1000) end",
	"recurses":  "local function f() return 1 + f() end f() redis.call('SET', 'trace', 1)",
	"matches":   "redis.call('SET', 'trace', 1) return string.find(string.rep('a', 20000), '.-.-.-b')",
	"sorts":     "local t = {} for i = 1, 5000 do t[i] = i end table.sort(t, function() error('none') end) redis.call('SET', 'trace', 1)",
	"writes":    "while true do redis.call('APPEND', 'trace', string.rep('x', 10000)) end",
	"escapes":   "os.execute('true') redis.call('SET', 'trace', 1)",
	"sprawls":   "redis.call('SET', 'trace', 1) local s = 'x' while true do s = s .. s end",
}

// TestHostileScripts has each of them stopped on three nodes, which go on, also
// after a restart in which they apply all of it again from their logs.
func TestHostileScripts(t *testing.T) {
	t.Parallel()
	w := startNodes(t, 3, true)
	nodes := w.inService()
	check := func(when string) {
		t.Helper()
		for _, n := range nodes {
			c := n.client()
			if got, err := c.Do("EXISTS", "trace"); err != nil || got != int64(0) {
				t.Errorf("%s: %s: a script has left something: %v, %v", when, n.name, got, err)
			}
			if got, err := c.Do("GET", "stopped"); err != nil || got != "8" {
				t.Errorf("%s: %s: the count is %v, %v, want 8", when, n.name, got, err)
			}
			c.Close()
		}
	}
	i := 0
	for what, script := range hostile {
		c := nodes[i%len(nodes)].client()
		begin := time.Now()
		_, err := c.Do("EVAL", script, "0")
		if err == nil || !strings.HasPrefix(err.Error(), "ERR ") {
			t.Errorf("a script that %s: got %v, want an error", what, err)
		}
		t.Logf("a script that %s ended after %v: %v", what, time.Since(begin).Round(time.Millisecond), err)
		if _, err := c.Do("INCR", "stopped"); err != nil {
			t.Errorf("after a script that %s: %v", what, err)
		}
		c.Close()
		i++
	}
	check("after all")
	for _, n := range nodes {
		w.kill(n)
	}
	for i, n := range nodes {
		w.place(n, 101+i)
	}
	for _, n := range nodes {
		n.waitReady(60 * time.Second)
		w.serve(n)
	}
	w.leader(20 * time.Second)
	check("after a restart")
}
