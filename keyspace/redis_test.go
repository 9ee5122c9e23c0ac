package keyspace_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/huddlecache/huddle/keyspace"
)

// A redisConn is a connection to a redis-server of our own.
type redisConn struct {
	t testing.TB
	r *bufio.Reader
	w net.Conn
}

// startRedis runs a redis-server without a port until the test ends. Without
// the program the test is skipped, or fails where HUDDLE_E2E is "required".
func startRedis(t *testing.T) *redisConn {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("HUDDLE_E2E") == "required" {
			t.Fatal("HUDDLE_E2E is required, and there is no redis-server")
		}
		t.Skip("SKIPPED: no redis-server to compare with; install it, HUDDLE_E2E=required makes this an error")
	}
	dir, err := os.MkdirTemp("", "redis") // a socket's path must be short, and t.TempDir's is not
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	cmd := exec.Command(path, "--port", "0", "--unixsocket", socket, "--dir", dir, "--save", "")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for log := bufio.NewScanner(out); log.Scan(); {
		if strings.Contains(log.Text(), "now ready to accept connections at "+socket) {
			break
		}
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute))
	return &redisConn{t: t, r: bufio.NewReader(conn), w: conn}
}

// do sends a command and returns its reply as it came.
func (c *redisConn) do(args ...string) string {
	c.t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, arg := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(arg), arg)
	}
	if _, err := c.w.Write([]byte(b.String())); err != nil {
		c.t.Fatal(err)
	}
	return c.read()
}

func (c *redisConn) read() string {
	c.t.Helper()
	line, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatal(err)
	}
	n, _ := strconv.Atoi(strings.TrimSpace(line[1:]))
	switch line[0] {
	case '%':
		n *= 2
		fallthrough
	case '*', '~':
		for range n {
			line += c.read()
		}
	case '$':
		if n >= 0 {
			body := make([]byte, n+2)
			for at := 0; at < len(body); {
				k, err := c.r.Read(body[at:])
				if err != nil {
					c.t.Fatal(err)
				}
				at += k
			}
			line += string(body)
		}
	}
	return line
}

// TestRepliesOfRedis holds the scripts of TestReplies against the original.
// Those in which time passes are left out.
func TestRepliesOfRedis(t *testing.T) {
	redis := startRedis(t)
	for name, script := range readScripts(t) {
		if slices.ContainsFunc(script, func(l scriptLine) bool { return l.reply == "" && l.command != "" }) {
			continue
		}
		for _, proto := range []int{2, 3} {
			redis.do("HELLO", strconv.Itoa(proto))
			redis.do("FLUSHALL")
			for _, line := range script {
				want := line.in(proto)
				if got := visible(redis.do(split(t, line.command)...)); got != want && !line.isOurs {
					t.Errorf("%s, RESP%d, line %d, %s:\nRedis %q\n want %q", name, proto, line.number, line.command, got, want)
				}
			}
		}
	}
}

// TestModelIsRedis draws the commands of TestModel and compares with the
// original. Times are long, so that nothing ends meanwhile.
func TestModelIsRedis(t *testing.T) {
	redis := startRedis(t)
	rapid.Check(t, func(t *rapid.T) {
		m := &model{t: t, world: newWorld(t), times: rapid.SampledFrom([]int{200_000, 4_000_000, 90_000_000})}
		redis.do("FLUSHALL")
		for range rapid.IntRange(1, 60).Draw(t, "commands") {
			m.proto = rapid.IntRange(2, 3).Draw(t, "proto")
			m.stamp.Wall = time.Duration(time.Now().UnixMicro()) * time.Microsecond
			args := m.draw(t)
			if slices.Contains(args, "GT") || slices.Contains(args, "LT") {
				continue // depends on the very millisecond
			}
			if args[0] == "DBSIZE" {
				continue // Redis keeps a key that was set with an end in the past until it is asked for
			}
			redis.do("HELLO", strconv.Itoa(m.proto))
			want, got := redis.do(args...), m.do(args...)
			if got != want && !isSameTime(args[0], got, want) {
				t.Fatalf("%q:\n  got %q\nRedis %q", args, got, want)
			}
		}
	})
}

// isSameTime reports whether two replies of a command that tells a time are
// the same but for the time between them.
func isSameTime(name, a, b string) bool {
	if !strings.HasPrefix(strings.TrimPrefix(name, "P"), "TTL") && !strings.HasSuffix(name, "EXPIRETIME") {
		return false
	}
	n, errN := strconv.Atoi(strings.Trim(a, ":\r\n"))
	m, errM := strconv.Atoi(strings.Trim(b, ":\r\n"))
	return errN == nil && errM == nil && max(n, m)-min(n, m) < 2000
}

// TestGlobIsRedis compares random patterns on random keys.
func TestGlobIsRedis(t *testing.T) {
	redis := startRedis(t)
	part := rapid.SampledFrom([]string{"*", "*", "?", "[", "]", "^", "-", "\\", "a", "b", "c", "[a-b]", "[^a]"})
	parts := rapid.SliceOfN(part, 1, 8)
	byteOf := rapid.SampledFrom([]byte("aaabbc]-^\\[*?"))
	compare := func(t reporter, pattern, key string) {
		redis.do("FLUSHALL")
		redis.do("SET", key, "")
		want := redis.do("KEYS", pattern) != "*0\r\n"
		if got := keyspace.MatchGlob([]byte(pattern), key); got != want && pattern != "*" {
			t.Fatalf("matchGlob(%q, %q) = %v, Redis says %v", pattern, key, got, want)
		}
	}
	for _, g := range globs {
		if !strings.Contains(g.pattern, "\x80") { // compared as negative numbers on this machine
			compare(t, g.pattern, g.s)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		compare(t, strings.Join(parts.Draw(t, "pattern"), ""), string(rapid.SliceOfN(byteOf, 0, 8).Draw(t, "key")))
	})
}

// TestTableIsRedis compares what COMMAND INFO says.
func TestTableIsRedis(t *testing.T) {
	redis := startRedis(t)
	for _, c := range keyspace.Commands() {
		lines := strings.Split(redis.do("COMMAND", "INFO", c.Name), "\r\n")
		arity, flags := lines[4], 0
		fmt.Sscanf(lines[5], "*%d", &flags)
		got := []any{":" + strconv.Itoa(c.Arity), c.Flags}
		want := []any{arity, []string{}}
		for _, flag := range lines[6 : 6+flags] {
			want[1] = append(want[1].([]string), strings.TrimPrefix(flag, "+"))
		}
		for _, n := range []int{c.FirstKey, c.LastKey, c.Step} {
			got = append(got, ":"+strconv.Itoa(n))
		}
		for _, n := range lines[6+flags : 9+flags] {
			want = append(want, n)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q, want %q", c.Name, got, want)
		}
	}
}

// TestKeysAreThoseOfRedis compares which arguments are keys.
func TestKeysAreThoseOfRedis(t *testing.T) {
	redis := startRedis(t)
	rng := rand.New(rand.NewPCG(1, 1))
	for _, d := range dialects {
		m := &maker{rng: rng, pools: []map[string]string{d.pools, pools}, templates: d.templates()}
		for range 300 {
			args := m.command()
			c, _ := keyspace.Lookup([]byte(args[0]))
			if !c.Accepts(len(args)) {
				continue
			}
			var want []string
			if reply := redis.do(append([]string{"COMMAND", "GETKEYS"}, args...)...); reply[0] == '*' {
				want = parseReply(t, reply)
			}
			var got []string
			for _, i := range c.Keys(bytesOf(args)) {
				got = append(got, args[i])
			}
			if !slices.Equal(got, want) {
				t.Errorf("keys of %q: %q, want %q", args, got, want)
			}
		}
	}
}
