package redis_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/server/redis"
)

func TestValuesOverTheLimit(t *testing.T) {
	in(t, redis.Config{MaxValue: 1000}, func(w *world) {
		c := w.connect()
		for _, n := range []int{1001, 200_000} {
			want := fmt.Sprintf("+OK\r\n-TOOBIG value of %d bytes is over HUDDLE_MAX_VALUE (1000)\r\n$1\r\n1\r\n", n)
			if got := c.pipe("SET a 1", "SET a "+strings.Repeat("x", n), "GET a"); got != want {
				t.Errorf("%d bytes: got %q, want %q", n, got, want)
			}
		}
		if got := c.pipe("SET a " + strings.Repeat("x", 1000)); got != ok {
			t.Errorf("at the limit: got %q, want OK", got)
		}
		if got, want := w.server.Counters.TooBig.Load(), uint64(2); got != want {
			t.Errorf("counted: got %d, want %d", got, want)
		}
	})
}

func TestForeignProtocols(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		for _, test := range []struct{ in, want string }{
			{"POST / HTTP/1.1\r\nHost: x\r\n\r\nSET a 1\r\n", "CLOSED"},
			{"GET / HTTP/1.1\r\nHost: x\r\n\r\nSET a 1\r\n", "CLOSED"},
			{"host: x\r\nSET a 1\r\n", "CLOSED"},
			{"*1\r\n$4\r\npost\r\nSET a 1\r\n", "CLOSED"},
			{"\x16\x03\x01\x02\x00\x01\x00", "CLOSED"},
			{"SET b 1\r\n*1\r\n$x\r\nSET a 1\r\n", "+OK\r\n-ERR Protocol error: invalid bulk length\r\nCLOSED"},
			{"\"\n", "-ERR Protocol error: unbalanced quotes in request\r\nCLOSED"},
		} {
			if got := w.connect().sent(test.in); got != test.want {
				t.Errorf("%.20q: got %q, want %q", test.in, got, test.want)
			}
		}
		w.connect().want("GET a", "$-1\r\n")
		if got, want := w.server.Counters.Protocol.Load(), uint64(7); got != want {
			t.Errorf("counted: got %d, want %d", got, want)
		}
	})
}

func TestOneConnectionTooMany(t *testing.T) {
	in(t, redis.Config{MaxConns: 2}, func(w *world) {
		first, second := w.connect(), w.connect()
		first.want("PING", "+PONG\r\n")
		third := w.connect()
		synctest.Wait()
		if got, want := third.heard(), "-ERR max number of clients reached\r\nCLOSED"; got != want {
			t.Errorf("the third: got %q, want %q", got, want)
		}
		second.want("QUIT", ok+"CLOSED")
		w.connect().want("PING", "+PONG\r\n")
		n := &w.server.Counters
		equal(t, "counters", []uint64{n.Accepted.Load(), n.Refused.Load()}, []uint64{4, 1})
		if got, want := w.server.Connections(), 2; got != want {
			t.Errorf("connections: got %d, want %d", got, want)
		}
	})
}

func TestAClientThatDoesNotReadIsCutOff(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		ours, theirs := net.Pipe()
		w.place.conns <- theirs
		send(ours, "PING\r\nPING\r\n")
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if got := w.server.Connections(); got != 1 {
			t.Errorf("after 20 s: got %d connections, want 1", got)
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if got := w.server.Connections(); got != 0 {
			t.Errorf("after 31 s: got %d connections, want none", got)
		}
	})
}
