package lua_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A redis is a redis-server of our own.
type redis struct {
	t      testing.TB
	path   string
	socket string
	cmd    *exec.Cmd
}

// startRedis runs a redis-server without a port until the test ends. Without
// the program the test is skipped, or fails where HUDDLE_E2E is "required".
func startRedis(t testing.TB) *redis {
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
	r := &redis{t: t, path: path, socket: filepath.Join(dir, "s")}
	r.cmd = exec.Command(path, "--port", "0", "--unixsocket", r.socket, "--dir", dir, "--save", "")
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.cmd.Process.Kill()
		r.cmd.Wait()
	})
	for log := bufio.NewScanner(out); log.Scan(); {
		if strings.Contains(log.Text(), "now ready to accept connections at "+r.socket) {
			go func() {
				for log.Scan() { // until the process ends
				}
			}()
			break
		}
	}
	return r
}

// A redisConn is a connection to it.
type redisConn struct {
	t testing.TB
	r *bufio.Reader
	w net.Conn
}

func (r *redis) dial(db string, proto int) *redisConn {
	r.t.Helper()
	w, err := net.Dial("unix", r.socket)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { w.Close() })
	w.SetDeadline(time.Now().Add(5 * time.Minute))
	c := &redisConn{t: r.t, r: bufio.NewReader(w), w: w}
	c.do("HELLO", strconv.Itoa(proto))
	c.do("SELECT", db)
	return c
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
		c.t.Fatalf("%q: %v", args, err)
	}
	reply, err := c.read()
	if err != nil {
		c.t.Fatalf("%q: %v", args, err)
	}
	return reply
}

func (c *redisConn) read() (string, error) {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return "", err
	}
	n, _ := strconv.Atoi(strings.TrimSpace(line[1:]))
	switch line[0] {
	case '%':
		n *= 2
		fallthrough
	case '*', '~':
		all := []string{line}
		for range n {
			item, err := c.read()
			if err != nil {
				return "", err
			}
			all = append(all, item)
		}
		return strings.Join(all, ""), nil
	case '$', '=':
		if n < 0 {
			break
		}
		body := make([]byte, n+2)
		for at := 0; at < len(body); {
			k, err := c.r.Read(body[at:])
			if err != nil {
				return "", err
			}
			at += k
		}
		return line + string(body), nil
	}
	return line, nil
}

// A redisHost lets our scripts call the commands of a redis-server, with the
// words that its own scripts would hear.
type redisHost struct {
	v2, v3 *redisConn
}

func (h *redisHost) Call(args [][]byte, proto int) []byte {
	c := h.v2
	if proto == 3 {
		c = h.v3
	}
	texts := make([]string, len(args))
	for i, arg := range args {
		texts[i] = string(arg)
	}
	switch strings.ToLower(texts[0]) {
	case "eval", "evalsha", "subscribe", "multi", "watch", "client", "auth", "hello", "script":
		return []byte("-ERR This Redis command is not allowed from script\r\n")
	}
	reply := c.do(texts...)
	switch {
	case strings.HasPrefix(reply, "-ERR unknown command"):
		reply = "-ERR Unknown Redis command called from script\r\n"
	case strings.HasPrefix(reply, "-ERR wrong number of arguments for"):
		reply = "-ERR Wrong number of args calling Redis command from script\r\n"
	}
	return []byte(reply)
}

func (h *redisHost) HasCommand(name string) bool {
	return !strings.Contains(h.v2.do("COMMAND", "INFO", name), "-1\r\n")
}
