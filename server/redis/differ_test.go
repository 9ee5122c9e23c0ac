package redis_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/huddlecache/huddle/server/redis"
	"github.com/huddlecache/huddle/server/resp"
)

// startRedis runs a redis-server until the test ends, and returns its socket.
// Without the program the test is skipped, or fails where HUDDLE_E2E is
// "required".
func startRedis(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("HUDDLE_E2E") == "required" {
			t.Fatal("HUDDLE_E2E is required, and there is no redis-server")
		}
		t.Skip("SKIPPED: no redis-server to compare with; install it, HUDDLE_E2E=required makes this an error")
	}
	dir := shortDir(t)
	socket := filepath.Join(dir, "r")
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), path, "--port", "0", "--unixsocket", socket, "--dir", dir, "--save", "")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for log := bufio.NewScanner(out); log.Scan(); {
		if strings.Contains(log.Text(), "now ready to accept connections at "+socket) {
			return socket
		}
	}
	t.Fatal("redis-server has ended")
	return ""
}

// shortDir is a directory whose name leaves room for a socket's.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "redis")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// startOurs serves on a socket, with a log in memory, until the test ends.
func startOurs(t *testing.T) string {
	t.Helper()
	socket := filepath.Join(shortDir(t), "h")
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s, err := redis.Open(redis.Config{Log: newMemory(), Listeners: []net.Listener{listener}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return socket
}

// A wire is a connection over a socket.
type wire struct {
	t      *testing.T
	socket net.Conn
	reader *resp.ReplyReader
}

func dial(t *testing.T, socket string) *wire {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	return &wire{t, conn, resp.NewReplyReader(conn)}
}

// send sends commands, which are lines, in one piece, and returns the replies.
func (w *wire) send(lines ...string) string {
	w.t.Helper()
	if _, err := w.socket.Write([]byte(strings.Join(lines, "\r\n") + "\r\n")); err != nil {
		w.t.Fatal(err)
	}
	var got []byte
	for range lines {
		value, err := w.reader.Read()
		if err != nil {
			w.t.Fatalf("%q: %v", lines, err)
		}
		got = value.Append(got)
	}
	return string(got)
}

func TestTransactionRepliesOfRedis(t *testing.T) {
	socket := startRedis(t)
	for _, proto := range []int{2, 3} {
		conns := [2]*wire{dial(t, socket), dial(t, socket)}
		for _, conn := range conns {
			conn.send(fmt.Sprint("HELLO ", proto), "FLUSHALL")
		}
		for i, step := range transactionReplies {
			line, isOther := strings.CutPrefix(step.line, "2 ")
			conn := conns[0]
			if isOther {
				conn = conns[1]
			}
			if got, want := conn.send(line), transactionReply(step.two, step.three, proto); got != want {
				t.Errorf("RESP%d, line %d, %s:\nRedis %q\n want %q", proto, i, step.line, got, want)
			}
		}
	}
}

// transactionLines are what TestTransactionsAreRedis draws from.
var transactionLines = strings.Split(
	"MULTI;MULTI;MULTI;MULTI;EXEC;EXEC;EXEC;DISCARD;WATCH a;WATCH b c;WATCH a d;UNWATCH;"+
		"SET a 1;SET b x;INCR a;INCR b;GET a;GET b;GET c;MGET a b c;DEL a;DEL b c d;APPEND b y;LPUSH c 1;LRANGE c 0 -1;LPOP c;"+
		"HSET d f v;HGETALL d;HDEL d f;SADD a m;ZADD c 1 m;ZRANGE c 0 -1 WITHSCORES;RENAME a b;EXPIRE a 1000;EXPIRE b 0;PERSIST a;"+
		"EXISTS a b c d;TYPE a;TYPE c;SELECT 0;SELECT 1;SELECT 1;SELECT 16;SELECT x;SWAPDB 0 1;MOVE a 1;FLUSHDB;PING;PING x;ECHO y;"+
		"SET a;NOSUCH;GET;EXEC x;MULTI x;WATCH;CLIENT NOSUCH;CLIENT GETNAME;CLIENT SETNAME z;HELLO 2;HELLO 3;DBSIZE", ";")

// TestTransactionsAreRedis sends random commands over two connections, here and
// to a redis-server, one by one or several at once. Where a key was deleted a
// watch of an absent one may fail here that does not there, as is documented:
// both then begin anew.
func TestTransactionsAreRedis(t *testing.T) {
	sockets := [2]string{startRedis(t), startOurs(t)}
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 0))
	var conns [2][2]*wire // Redis and ours; each has two
	var isOpen [2]bool
	begin := func() {
		for side, socket := range sockets {
			for i := range 2 {
				conns[side][i] = dial(t, socket)
			}
			conns[side][0].send("FLUSHALL")
		}
		isOpen = [2]bool{}
	}
	begin()
	wasTaken, restarts, refused, aborted := false, 0, 0, 0
	var log []string
	for range 20000 {
		who := rng.IntN(2)
		lines := make([]string, 1+rng.IntN(1+rng.IntN(6)))
		for i := range lines {
			line := transactionLines[rng.IntN(len(transactionLines))]
			// HELLO is refused inside MULTI here.
			for isOpen[who] && strings.HasPrefix(line, "HELLO") {
				line = transactionLines[rng.IntN(len(transactionLines))]
			}
			isOpen[who] = line == "MULTI" || isOpen[who] && !strings.HasPrefix(line, "EXEC") && line != "DISCARD"
			first, _, _ := strings.Cut(line, " ")
			wasTaken = wasTaken || strings.Contains("DEL HDEL LPOP RENAME SWAPDB MOVE FLUSHDB EXPIRE", first)
			lines[i] = line
		}
		log = append(log, fmt.Sprint(who, " ", strings.Join(lines, "; ")))
		want, got := conns[0][who].send(lines...), conns[1][who].send(lines...)
		refused += strings.Count(want, "*-1\r\n") + strings.Count(want, "_\r\n")
		aborted += strings.Count(want, "-EXECABORT")
		switch {
		case sameReply(got, want):
		case wasTaken && (strings.Contains(got, "*-1\r\n") || strings.Contains(got, "_\r\n")):
			restarts++
			begin()
			wasTaken, log = false, nil
		default:
			t.Fatalf("seed %d:\n  %s\n  got %q\nRedis %q", seed, strings.Join(log[max(0, len(log)-40):], "\n  "), got, want)
		}
	}
	t.Logf("seed %d, begun anew %d times, %d nulls, %d aborted", seed, restarts, refused, aborted)
}

// sameReply compares but for the IDs of connections, which HELLO tells.
func sameReply(got, want string) bool {
	if !strings.Contains(got, "$2\r\nid\r\n") {
		return got == want
	}
	head := func(s string) string { head, _, _ := strings.Cut(s, "$2\r\nid\r\n"); return head }
	return head(got) == head(want)
}
