package redis_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/server/redis"
)

const (
	queued    = "+QUEUED\r\n"
	execAbort = "-EXECABORT Transaction discarded because of previous errors.\r\n"
	nested    = "-ERR MULTI calls can not be nested\r\n"
	notInside = "-ERR Command not allowed inside a transaction\r\n"
)

// What Redis 7.0.15 was seen to answer: TestTransactionRepliesOfRedis asks it
// again. Lines that begin with "2 " are sent on another connection. An empty
// RESP3 column is the same as RESP2.
var transactionReplies = []struct{ line, two, three string }{
	{"EXEC", "-ERR EXEC without MULTI\r\n", ""},
	{"DISCARD", "-ERR DISCARD without MULTI\r\n", ""},
	{"UNWATCH", ok, ""},
	{"WATCH", "-ERR wrong number of arguments for 'watch' command\r\n", ""},
	{"MULTI a", "-ERR wrong number of arguments for 'multi' command\r\n", ""},
	{"EXEC a", "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command\r\n", ""},

	// Nothing, something, and what fails when it is executed.
	{"MULTI", ok, ""},
	{"EXEC", "*0\r\n", ""},
	{"multi", ok, ""},
	{"SET k v", queued, ""},
	{"2 GET k", "$-1\r\n", "_\r\n"},
	{"LPUSH k x", queued, ""},
	{"INCR n", queued, ""},
	{"HSET h f v", queued, ""},
	{"HGETALL h", queued, ""},
	{"GET none", queued, ""},
	{"exec", "*6\r\n+OK\r\n-WRONGTYPE Operation against a key holding the wrong kind of value\r\n:1\r\n:1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n$-1\r\n", "*6\r\n+OK\r\n-WRONGTYPE Operation against a key holding the wrong kind of value\r\n:1\r\n:1\r\n%1\r\n$1\r\nf\r\n$1\r\nv\r\n_\r\n"},
	{"2 GET k", "$1\r\nv\r\n", ""},

	// Faults that are seen at once.
	{"MULTI", ok, ""},
	{"NOSUCH a", "-ERR unknown command 'NOSUCH', with args beginning with: 'a' \r\n", ""},
	{"SET k w", queued, ""},
	{"EXEC", execAbort, ""},
	{"GET k", "$1\r\nv\r\n", ""},
	{"MULTI", ok, ""},
	{"SET k", "-ERR wrong number of arguments for 'set' command\r\n", ""},
	{"WATCH k", "-ERR WATCH inside MULTI is not allowed\r\n", ""},
	{"EXEC", execAbort, ""},
	{"MULTI", ok, ""},
	{"CLIENT NOSUCH", "-ERR unknown subcommand 'NOSUCH'. Try CLIENT HELP.\r\n", ""},
	{"EXEC", execAbort, ""},
	{"MULTI", ok, ""},
	{"CLIENT", "-ERR wrong number of arguments for 'client' command\r\n", ""},
	{"EXEC", execAbort, ""},
	{"MULTI", ok, ""},
	{"DISCARD x", "-ERR wrong number of arguments for 'discard' command\r\n", ""},
	{"EXEC", execAbort, ""},
	{"MULTI", ok, ""},
	{"EXEC x", "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command\r\n", ""},
	{"EXEC", "-ERR EXEC without MULTI\r\n", ""},
	{"MULTI", ok, ""},
	{"NOSUCH", "-ERR unknown command 'NOSUCH', with args beginning with: \r\n", ""},
	{"DISCARD", ok, ""},
	{"MULTI", ok, ""},
	{"MULTI", nested, ""},
	{"WATCH k", "-ERR WATCH inside MULTI is not allowed\r\n", ""},
	{"PING", queued, ""},
	{"EXEC", "*1\r\n+PONG\r\n", ""},

	// The connection's own commands; SELECT holds for what follows, and stays.
	{"MULTI", ok, ""},
	{"SELECT 3", queued, ""},
	{"SET k three", queued, ""},
	{"SELECT x", queued, ""},
	{"SELECT 99", queued, ""},
	{"GET k", queued, ""},
	{"ECHO x", queued, ""},
	{"PING a b", queued, ""},
	{"UNWATCH", queued, ""},
	{"EXEC", "*8\r\n+OK\r\n+OK\r\n-ERR value is not an integer or out of range\r\n-ERR DB index is out of range\r\n$5\r\nthree\r\n$1\r\nx\r\n-ERR wrong number of arguments for 'ping' command\r\n+OK\r\n", ""},
	{"GET k", "$5\r\nthree\r\n", ""},
	{"MULTI", ok, ""},
	{"SELECT 0", queued, ""},
	{"DISCARD", ok, ""},
	{"GET k", "$5\r\nthree\r\n", ""},
	{"WATCH k", ok, ""},
	{"2 GET k", "$1\r\nv\r\n", ""},
	{"2 SET k w", ok, ""}, // of database 0
	{"MULTI", ok, ""},
	{"SELECT 0", queued, ""},
	{"EXEC", "*1\r\n+OK\r\n", ""},
	{"MULTI", ok, ""},
	{"CLIENT SETNAME a", queued, ""},
	{"CLIENT GETNAME", queued, ""},
	{"EXEC", "*2\r\n+OK\r\n$1\r\na\r\n", ""},

	// Watches.
	{"WATCH k n", ok, ""},
	{"2 SET n 1", ok, ""},
	{"MULTI", ok, ""},
	{"SELECT 3", queued, ""},
	{"CLIENT SETNAME b", queued, ""},
	{"SET k x", queued, ""},
	{"EXEC", "*-1\r\n", "_\r\n"},
	{"CLIENT GETNAME", "$1\r\na\r\n", ""},
	{"GET k", "$1\r\nw\r\n", ""},
	{"MULTI", ok, ""},
	{"INCR n", queued, ""},
	{"EXEC", "*1\r\n:2\r\n", ""},
	{"WATCH k", ok, ""},
	{"SET k x", ok, ""}, // by the connection itself
	{"WATCH k", ok, ""}, // keeps the first number
	{"MULTI", ok, ""},
	{"EXEC", "*-1\r\n", "_\r\n"},
	{"WATCH k", ok, ""},
	{"SET k x", ok, ""},
	{"EXEC", "-ERR EXEC without MULTI\r\n", ""},
	{"DISCARD", "-ERR DISCARD without MULTI\r\n", ""},
	{"MULTI", ok, ""},
	{"UNWATCH", queued, ""},
	{"EXEC", "*-1\r\n", "_\r\n"},
	{"WATCH k", ok, ""},
	{"2 DEL k", ":1\r\n", ""},
	{"UNWATCH", ok, ""},
	{"MULTI", ok, ""},
	{"EXEC", "*0\r\n", ""},
	{"WATCH k k", ok, ""},
	{"2 SET k 1", ok, ""},
	{"MULTI", ok, ""},
	{"DISCARD", ok, ""},
	{"MULTI", ok, ""},
	{"EXEC", "*0\r\n", ""},
	{"WATCH k", ok, ""},
	{"2 SET k 1", ok, ""},
	{"MULTI", ok, ""},
	{"NOSUCH", "-ERR unknown command 'NOSUCH', with args beginning with: \r\n", ""},
	{"EXEC", execAbort, ""},
	{"MULTI", ok, ""},
	{"EXEC", "*0\r\n", ""},
	{"WATCH k h", ok, ""},
	{"GET k", "$1\r\n1\r\n", ""},
	{"MULTI", ok, ""},
	{"GET k", queued, ""},
	{"EXEC", "*1\r\n$1\r\n1\r\n", ""},
	{"MULTI", ok, ""},
	{"COMMAND GETKEYS watch a b", queued, ""},
	{"COMMAND GETKEYS zunion 2 a b", queued, ""},
	{"COMMAND GETKEYS zunion x a b", queued, ""},
	{"COMMAND GETKEYS sort a store b", queued, ""},
	{"COMMAND GETKEYS eval x 0", queued, ""},
	{"COMMAND GETKEYS dbsize x", queued, ""},
	{"COMMAND GETKEYS object encoding a", queued, ""},
	{"EXEC", "*7\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n-ERR Invalid arguments specified for command\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n*0\r\n-ERR The command has no key arguments\r\n*1\r\n$1\r\na\r\n", ""},
}

// transactionReply is the reply to a line in a version of RESP.
func transactionReply(two, three string, proto int) string {
	if proto == 3 && three != "" {
		return three
	}
	return two
}

func TestTransactionReplies(t *testing.T) {
	for _, proto := range []int{2, 3} {
		in(t, redis.Config{}, func(w *world) {
			c, other := w.connect(), w.connect()
			for _, conn := range []*client{c, other} {
				conn.do(fmt.Sprint("HELLO ", proto))
			}
			for i, step := range transactionReplies {
				conn := c
				line, isOther := strings.CutPrefix(step.line, "2 ")
				if isOther {
					conn = other
				}
				if got, want := conn.do(line), transactionReply(step.two, step.three, proto); got != want {
					t.Errorf("RESP%d, line %d, %s:\n got %q\nwant %q", proto, i, step.line, got, want)
				}
			}
		})
	}
}

func TestATransactionIsOneCommandOfTheLog(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		c := w.connect()
		for _, test := range []struct {
			lines []string
			want  string
			items string // query, frees, idem
		}{
			{[]string{"MULTI", "SET a 1", "GET a", "EXEC"}, ok + queued + queued + "*2\r\n+OK\r\n$1\r\n1\r\n", "false false "},
			{[]string{"MULTI", "GET a", "PING", "EXEC"}, ok + queued + queued + "*2\r\n$1\r\n1\r\n+PONG\r\n", "true false "},
			{[]string{"MULTI", "DEL b", "GET a", "EXPIRE b 0", "EXEC"}, ok + queued + queued + queued + "*3\r\n:0\r\n$1\r\n1\r\n:0\r\n", "false true "},
			{[]string{"MULTI", "DEL b", "SET b 1", "EXEC"}, ok + queued + queued + "*2\r\n:0\r\n+OK\r\n", "false false "},
			{[]string{"MULTI", "INCR a", "IDEM id EXEC"}, ok + queued + "*1\r\n:2\r\n", "false false id"},
			{[]string{"MULTI", "GET a", "IDEM id EXEC"}, ok + queued + "*1\r\n$1\r\n2\r\n", "true false "},
		} {
			if got := c.pipe(test.lines...); got != test.want {
				t.Errorf("%q: got %q, want %q", test.lines, got, test.want)
			}
			calls := w.log.takeCalls()
			if len(calls) != 1 || len(calls[0]) != 1 {
				t.Fatalf("%q: got %v, want one call with one item", test.lines, shapes(calls))
			}
			item := calls[0][0]
			if got := fmt.Sprintf("%t %t %s", item.Query, item.Frees, item.Idem); got != test.items {
				t.Errorf("%q: got %q, want %q", test.lines, got, test.items)
			}
		}
		got := c.pipe("INCR x", "MULTI", "INCR x", "EXEC", "INCR x", "MULTI", "INCR x", "EXEC", "GET x")
		if want := ":1\r\n" + ok + queued + "*1\r\n:2\r\n:3\r\n" + ok + queued + "*1\r\n:4\r\n$1\r\n4\r\n"; got != want {
			t.Errorf("in one go: got %q, want %q", got, want)
		}
	})
}

func TestIdemOfTransactions(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		c := w.connect()
		c.want("IDEM id EXEC", "-ERR EXEC without MULTI\r\n")
		c.want("MULTI", ok)
		c.want("IDEM id INCR n", notInside)
		c.want("IDEM id EXEC", execAbort)
		c.want("MULTI", ok)
		c.want("IDEM '' EXEC", "-ERR the id of IDEM must have 1 to 256 bytes\r\n")
		c.want("IDEM id EXEC", "*0\r\n")
	})
}

func TestWhatTransactionsRefuse(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		c := w.connect()
		for _, line := range []string{
			"SESSION.SET s x", "LOCK.INFO l", "COUNTER.GET n", "LIMIT.TAKE l FIXED 1 1000", "CL.THROTTLE k 1 1 1",
			"HELLO 3", "AUTH x", "CLIENT REPLY OFF", "CLIENT KILL ID 9", "CLIENT READS LOCAL", "IDEM id SET a 1",
		} {
			c.want("MULTI", ok)
			c.want("SET a 1", queued)
			c.want(line, notInside)
			c.want("EXEC", execAbort)
		}
		c.want("GET a", "$-1\r\n")
		c.want("MULTI", ok)
		c.want("RESET", "+RESET\r\n")
		c.want("EXEC", "-ERR EXEC without MULTI\r\n")
		c.want("WATCH a", ok)
		c.want("SET a 1", ok)
		c.want("RESET", "+RESET\r\n")
		c.want("MULTI", ok)
		c.want("EXEC", "*0\r\n")
		c.want("MULTI", ok)
		c.want("SET a 2", queued)
		c.want("QUIT", ok+"CLOSED")
		w.connect().want("GET a", "$1\r\n1\r\n")
	})
}

func TestTransactionsOfStrangers(t *testing.T) {
	in(t, redis.Config{Password: "pw"}, func(w *world) {
		c := w.connect()
		for _, line := range []string{"MULTI", "WATCH a", "UNWATCH", "EXEC", "DISCARD"} {
			c.want(line, noAuth)
		}
		if got := len(w.log.takeAsked()); got != 0 {
			t.Errorf("asked of the log: got %d, want nothing", got)
		}
	})
}

func TestTransactionsAndClientReply(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		c := w.connect()
		large := strings.Repeat("x", 100_000)
		c.pipe("SET large "+large, "SET n 0")
		for _, test := range []struct {
			lines []string
			want  string
		}{
			{[]string{"CLIENT REPLY OFF", "MULTI", "INCR n", "NOSUCH", "EXEC", "MULTI", "INCR n", "EXEC", "CLIENT REPLY ON", "GET n"}, ok + "$1\r\n1\r\n"},
			{[]string{"CLIENT REPLY SKIP", "MULTI", "INCR n", "EXEC"}, queued + "*1\r\n:2\r\n"},
			{[]string{"PING", "CLIENT REPLY SKIP", "EXEC", "PING"}, "+PONG\r\n+PONG\r\n"},
			{[]string{"CLIENT REPLY OFF", "MULTI", "GET large", "EXEC", "CLIENT REPLY ON", "PING"}, ok + "+PONG\r\n"},
			{[]string{"PING", "MULTI", "GET large", "EXEC", "PING"}, "+PONG\r\n" + ok + queued + "*1\r\n$100000\r\n" + large + "\r\n+PONG\r\n"},
		} {
			if got := c.pipe(test.lines...); got != test.want {
				t.Errorf("%q: got %.200q, want %.200q", test.lines, got, test.want)
			}
		}
	})
}

func TestTransactionsAreBounded(t *testing.T) {
	in(t, redis.Config{MaxValue: 1000}, func(w *world) {
		c := w.connect()
		c.want("MULTI", ok)
		c.want("SET a 1", queued)
		c.wantPrefix("SET a "+strings.Repeat("x", 1001), "-TOOBIG value of 1001 bytes")
		c.want("EXEC", execAbort)

		value := strings.Repeat("x", 1000)
		lines := []string{"MULTI"}
		for range 1100 {
			lines = append(lines, "SET a "+value)
		}
		got := c.pipe(append(lines, "EXEC")...)
		if tooBig := "-TOOBIG the transaction is over 1049576 bytes\r\n"; strings.Count(got, tooBig) != 1 || !strings.HasSuffix(got, execAbort) {
			t.Errorf("too many bytes: got …%q, want %q and EXECABORT", got[len(got)-200:], tooBig)
		}
		c.want("MULTI", ok)
		for range 300 { // some 20 KB each
			c.do("COMMAND DOCS")
		}
		c.wantPrefix("EXEC", "-TOOBIG the transaction is over 1049576 bytes, with the replies")
		c.want("EXEC", "-ERR EXEC without MULTI\r\n")

		lines = nil
		for i := range 1100 {
			lines = append(lines, fmt.Sprintf("WATCH %d%s", i, value[:996]))
		}
		if got := c.pipe(lines...); !strings.HasSuffix(got, "-TOOBIG the watched keys are over 1049576 bytes\r\n") {
			t.Errorf("too many watches: got …%q", got[len(got)-100:])
		}
		c.want("UNWATCH", ok)
		c.want("WATCH "+value, ok)
		c.want("GET a", "$-1\r\n")
	})
	in(t, redis.Config{}, func(w *world) {
		c := w.connect()
		lines := []string{"MULTI"}
		for range 100_001 {
			lines = append(lines, "PING")
		}
		got := c.pipe(append(lines, "EXEC")...)
		if want := queued + "-ERR the transaction has over 100000 commands\r\n" + execAbort; !strings.HasSuffix(got, want) {
			t.Errorf("too many commands: got …%q, want %q", got[len(got)-200:], want)
		}
	})
}

func TestWatchesAreLinearizableAndEndWithTheState(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		c := w.connect()
		c.want("CLIENT READS LOCAL", ok)
		c.want("WATCH a b", ok)
		c.want("WATCH a", ok) // is known already
		equal(t, "asked", w.log.takeAsked(), []machine.Consistency{machine.Linearizable})
		w.log.heard(machine.Event{})
		c.want("MULTI", ok)
		c.want("SELECT 5", queued)
		c.want("EXEC", "*1\r\n+OK\r\n")

		c.want("WATCH a", ok)
		w.log.heard(machine.Event{Reset: true})
		c.want("WATCH b", ok)
		c.want("MULTI", ok)
		c.want("SET a 1", queued)
		c.want("EXEC", "*-1\r\n")
		c.want("MULTI", ok)
		c.want("SET a 1", queued)
		c.want("EXEC", "*1\r\n+OK\r\n")
		w.log.takeAsked()
		w.log.takeCalls()
		c.want("MULTI", ok)
		c.want("GET a", queued)
		c.want("EXEC", "*1\r\n$1\r\n1\r\n")
		equal(t, "local reads", w.log.takeAsked(), []machine.Consistency{machine.AtLeast("test", 9)})
		equal(t, "calls", shapes(w.log.takeCalls()), nil)
	})
}

func TestErrorsOfTheLogInTransactions(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		c := w.connect()
		c.want("MULTI", ok)
		c.want("SELECT 4", queued)
		c.want("SET a 1", queued)
		w.log.set(func() { w.log.err = machine.ErrUnknown })
		c.wantPrefix("EXEC", "-UNAVAILABLE outcome unknown")
		w.log.set(func() { w.log.err = machine.ErrNoQuorum })
		c.wantPrefix("WATCH a", "-CLUSTERDOWN")
		w.log.set(func() { w.log.err = nil })
		c.want("SET a 2", ok) // of database 0, and not watched
		c.want("MULTI", ok)
		c.want("EXEC", "*0\r\n")
		w.connect().want("GET a", "$1\r\n2\r\n")
	})
}
