package redis_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/server/redis"
	"github.com/huddlecache/huddle/server/resp"
)

const (
	hello2 = "*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$5\r\nproto\r\n:2\r\n$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n"
	hello3 = "%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n"

	ok        = "+OK\r\n"
	noAuth    = "-NOAUTH Authentication required.\r\n"
	wrongPass = "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
)

func TestAuth(t *testing.T) {
	in(t, redis.Config{Password: "pw"}, func(w *world) {
		c := w.connect()
		for _, step := range []struct{ line, want string }{
			{"PING", noAuth},
			{"GET a", noAuth},
			{"IDEM 1 INCR a", noAuth},
			{"GET", "-ERR wrong number of arguments for 'get' command\r\n"},
			{"NOSUCH", "-ERR unknown command 'NOSUCH', with args beginning with: \r\n"},
			{"CLIENT NOSUCH", "-ERR unknown subcommand 'NOSUCH'. Try CLIENT HELP.\r\n"},
			{"CLIENT ID", noAuth},
			{"HELLO 4", "-NOPROTO unsupported protocol version\r\n"},
			{"HELLO 3 AUTH default x", wrongPass},
			{"HELLO 3 AUTH foo pw", wrongPass},
			{"AUTH x", wrongPass},
			{"AUTH foo pw", wrongPass},
			{"AUTH pwpw", wrongPass},
			{"AUTH ''", wrongPass},
			{"PING", noAuth},
			{"RESET", "+RESET\r\n"},
			{"AUTH pw", ok},
			{"PING", "+PONG\r\n"},
			{"AUTH x", wrongPass},
			{"PING", "+PONG\r\n"},
			{"RESET", "+RESET\r\n"},
			{"PING", noAuth},
			{"AUTH default pw", ok},
			{"PING", "+PONG\r\n"},
		} {
			c.want(step.line, step.want)
		}
		c.wantPrefix("HELLO 3", "%7\r\n")
		w.connect().wantPrefix("HELLO 3", "-NOAUTH HELLO must be called with the client already authenticated")
		w.connect().want("QUIT", ok+"CLOSED")
		if got, want := w.server.Counters.BadAuth.Load(), uint64(7); got != want {
			t.Errorf("refused: got %d, want %d", got, want)
		}
		if got := len(w.log.takeCalls()); got != 0 {
			t.Errorf("calls of the log by strangers: got %d, want none", got)
		}
	})
}

func TestStrangersMaySendLittle(t *testing.T) {
	in(t, redis.Config{Password: "pw"}, func(w *world) {
		w.connect().want("*11", "-ERR Protocol error: unauthenticated multibulk length\r\nCLOSED")
		w.connect().want("*1\r\n$16385", "-ERR Protocol error: unauthenticated bulk length\r\nCLOSED")
		large := "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$20000\r\n" + strings.Repeat("x", 20000) + "\r\n"
		if got, want := w.connect().sent("*2\r\n$4\r\nAUTH\r\n$2\r\npw\r\n"+large), ok+ok; got != want {
			t.Errorf("behind AUTH: got %q, want %q", got, want)
		}
	})
}

func TestAPipelineIsOneCall(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		c := w.connect()
		got := c.pipe("SET a 1", "GET a", "INCR a", "GET a")
		if want := "+OK\r\n$1\r\n1\r\n:2\r\n$1\r\n2\r\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		equal(t, "calls", shapes(w.log.takeCalls()), []string{"wrwr"})

		got = c.pipe("GET a", "SELECT 5", "SET a five", "HELLO 3", "GET nokey", "SELECT 0", "GET a", "NOSUCH", "GET", "GET a")
		want := "$1\r\n2\r\n+OK\r\n+OK\r\n" + hello3 + "_\r\n+OK\r\n$1\r\n2\r\n" +
			"-ERR unknown command 'NOSUCH', with args beginning with: \r\n-ERR wrong number of arguments for 'get' command\r\n$1\r\n2\r\n"
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		equal(t, "calls", shapes(w.log.takeCalls()), []string{"r", "w", "r", "r", "r"})
		n := &w.server.Counters
		equal(t, "counters", []uint64{n.Commands.Load(), n.Writes.Load(), n.Reads.Load(), n.Batches.Load()}, []uint64{14, 3, 6, 6})
	})
}

func TestALongPipelineIsAnsweredInOrder(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		var lines []string
		var want strings.Builder
		for i := range 5000 {
			lines = append(lines, "INCR n")
			fmt.Fprintf(&want, ":%d\r\n", i+1)
		}
		if got := w.connect().pipe(lines...); got != want.String() {
			t.Errorf("got %d bytes, %.60q…, want %d", len(got), got, want.Len())
		}
		for _, call := range w.log.takeCalls() {
			if len(call) > 1024 {
				t.Errorf("got a call with %d commands, want at most 1024", len(call))
			}
		}
	})
}

func TestItemsSayWhatTheyAre(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		w.connect().pipe("SET a 1", "DEL a", "IDEM id1 INCR a", "GET a")
		item := w.log.takeCalls()[0]
		var got []string
		for _, i := range item {
			got = append(got, fmt.Sprintf("%t %t %s", i.Query, i.Frees, i.Idem))
		}
		equal(t, "items", got, []string{"false false ", "false true ", "false false id1", "true false "})
	})
}

func TestIdem(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		c := w.connect()
		for _, step := range []struct{ line, want string }{
			{"IDEM a INCR n", ":1\r\n"},
			{"idem b incr n", ":2\r\n"},
			{"IDEM", "-ERR wrong number of arguments for 'idem' command\r\n"},
			{"IDEM a", "-ERR wrong number of arguments for 'idem' command\r\n"},
			{"IDEM '' INCR n", "-ERR the id of IDEM must have 1 to 256 bytes\r\n"},
			{"IDEM " + strings.Repeat("x", 257) + " INCR n", "-ERR the id of IDEM must have 1 to 256 bytes\r\n"},
			{"IDEM a IDEM b INCR n", "-ERR IDEM cannot be nested\r\n"},
			{"IDEM a GET n", "-ERR IDEM takes commands that write, and 'get' does not: it may be repeated without\r\n"},
			{"IDEM a INCR", "-ERR wrong number of arguments for 'incr' command\r\n"},
			{"IDEM a SELECT 1", "-ERR IDEM takes commands that write keys, and 'select' is about the connection or the server\r\n"},
			{"IDEM a NOSUCH x", "-ERR unknown command 'NOSUCH', with args beginning with: 'x' \r\n"},
			{"GET n", "$1\r\n2\r\n"},
		} {
			c.want(step.line, step.want)
		}
	})
}

func TestErrorsOfTheLog(t *testing.T) {
	other := errors.New("disk on fire\r\n+OK")
	tests := []struct {
		err          error
		write, query string
	}{
		{machine.ErrNoQuorum, "-CLUSTERDOWN no quorum: ", "-CLUSTERDOWN no quorum: "},
		{machine.ErrOverloaded, "-TRYAGAIN overloaded: ", "-TRYAGAIN overloaded: "},
		{machine.ErrLoading, "-LOADING ", "-LOADING "},
		{machine.ErrFull, "-OOM command not allowed when used memory > 'maxmemory'.\r\n", "-OOM command not allowed when used memory > 'maxmemory'.\r\n"},
		{machine.ErrTooBig, "-TOOBIG command of ", "-TOOBIG command of "},
		{machine.ErrReused, "-ERR the idempotency key was used with another command", "-ERR the idempotency key"},
		{machine.ErrUnknown, "-UNAVAILABLE outcome unknown: ", "-UNAVAILABLE no answer in time: "},
		{other, "-UNAVAILABLE outcome unknown: disk on fire  +OK\r\n", "-UNAVAILABLE no answer in time: "},
	}
	for _, test := range tests {
		in(t, redis.Config{}, func(w *world) {
			c := w.connect()
			wrapped := fmt.Errorf("%w", test.err)
			w.log.set(func() { w.log.err = wrapped })
			c.wantPrefix("SET a 1", test.write)
			c.wantPrefix("GET a", test.query)
			c.want("CLIENT READS LOCAL", ok)
			c.wantPrefix("GET a", test.query)
			w.log.set(func() {
				w.log.err = nil
				w.log.replies = []machine.Reply{{Data: []byte("+OK\r\n")}, {Err: wrapped}, {Data: []byte(":1\r\n")}}
			})
			got := c.pipe("SET a 1", "SET b 1", "INCR c")
			if !strings.HasPrefix(got, "+OK\r\n"+test.write) || !strings.HasSuffix(got, "\r\n:1\r\n") || strings.Count(got, "\n") != 3 {
				t.Errorf("%v in a pipeline: got %q", test.err, got)
			}
		})
	}
	in(t, redis.Config{}, func(w *world) {
		w.log.set(func() { w.log.replies = []machine.Reply{{}} })
		w.connect().want("SET a 1", "-UNAVAILABLE outcome unknown: the log answered nothing\r\n")
	})
}

func TestErrorsAreCounted(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		c, n := w.connect(), &w.server.Counters
		for _, err := range []error{
			machine.ErrNoQuorum, machine.ErrOverloaded, machine.ErrLoading, machine.ErrFull,
			machine.ErrTooBig, machine.ErrReused, machine.ErrUnknown, io.EOF,
		} {
			w.log.set(func() { w.log.err = err })
			c.do("SET a 1")
		}
		got := []uint64{n.NoQuorum.Load(), n.Overloaded.Load(), n.Loading.Load(), n.Full.Load(), n.TooBig.Load(), n.Reused.Load(), n.Unknown.Load()}
		equal(t, "counters", got, []uint64{1, 1, 1, 1, 1, 1, 2})
	})
}

func TestALogThatHangsIsGivenUp(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		w.log.set(func() { w.log.delay = time.Hour })
		c := w.connect()
		for range 3 {
			c.send("SET a 1\r\n")
			time.Sleep(3 * time.Second)
			synctest.Wait()
			if got := c.heard(); got != "" {
				t.Errorf("within what a log may take: got %q, want nothing", got)
			}
			time.Sleep(600 * time.Millisecond)
			synctest.Wait()
			if got := c.heard(); !strings.HasPrefix(got, "-UNAVAILABLE outcome unknown") {
				t.Errorf("after that: got %q, want UNAVAILABLE", got)
			}
		}
	})
}

func TestLocalReadsSeeWhatTheConnectionHasSeen(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		c := w.connect()
		c.want("CLIENT READS LOCAL", ok)
		c.want("GET a", "$-1\r\n")
		c.want("GET a", "$-1\r\n")
		c.want("SET a 1", ok)
		c.want("GET a", "$1\r\n1\r\n")
		equal(t, "asked", w.log.takeAsked(), []machine.Consistency{machine.Local, machine.AtLeast("test", 7), machine.AtLeast("test", 8)})
		equal(t, "calls", shapes(w.log.takeCalls()), []string{"w"})
		c.pipe("GET a", "SET a 2", "GET a")
		equal(t, "a write among them", shapes(w.log.takeCalls()), []string{"rwr"})
		c.want("CLIENT READS LINEARIZABLE", ok)
		c.want("GET a", "$1\r\n2\r\n")
		equal(t, "linearizable", shapes(w.log.takeCalls()), []string{"r"})
		c.want("CLIENT READS x", "-ERR syntax error\r\n")
	})
}

func TestClientReply(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		c := w.connect()
		for _, test := range []struct {
			lines []string
			want  string
		}{
			{[]string{"CLIENT REPLY ON"}, ok},
			{[]string{"CLIENT REPLY SKIP", "PING", "ECHO x"}, "$1\r\nx\r\n"},
			{[]string{"CLIENT REPLY SKIP", "INCR n", "INCR n"}, ":2\r\n"},
			{[]string{"CLIENT REPLY SKIP", "NOSUCH", "GET n"}, "$1\r\n2\r\n"},
			{[]string{"CLIENT REPLY OFF", "PING", "INCR n", "NOSUCH", "INCR n", "CLIENT REPLY ON", "GET n"}, ok + "$1\r\n4\r\n"},
		} {
			if got := c.pipe(test.lines...); got != test.want {
				t.Errorf("%q: got %q, want %q", test.lines, got, test.want)
			}
		}
	})
}

func TestIdleConnectionsStay(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		c := w.connect()
		c.want("SELECT 3", ok)
		time.Sleep(30 * 24 * time.Hour)
		c.want("PING", "+PONG\r\n")
	})
}

func TestCloseLetsCommandsInFlightBeAnswered(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		w.log.set(func() { w.log.delay = time.Second })
		idle, busy := w.connect(), w.connect()
		busy.send("SET a 1\r\nSELECT 1\r\nGET a\r\n")
		synctest.Wait()
		began := time.Now()
		done := make(chan struct{})
		go func() { w.server.Close(); close(done) }()
		synctest.Wait()
		if got := idle.heard(); got != "CLOSED" {
			t.Errorf("idle: got %q, want CLOSED", got)
		}
		<-done
		synctest.Wait()
		if got, want := busy.heard(), ok+ok+"$-1\r\nCLOSED"; got != want {
			t.Errorf("busy: got %q, want %q", got, want)
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("took %v, want 2s", took)
		}
		if err := w.server.Close(); err != nil {
			t.Errorf("again: got %v, want nil", err)
		}
	})
}

func TestCloseDoesNotWaitForSlowReaders(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		ours, theirs := net.Pipe()
		w.place.conns <- theirs
		send(ours, "PING\r\n")
		synctest.Wait()
		began := time.Now()
		w.server.Close()
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("took %v, want 5s", took)
		}
	})
}

func TestOpenValidates(t *testing.T) {
	for _, config := range []redis.Config{{}, {Log: newMemory(), MaxConns: -1}, {Log: newMemory(), MaxValue: -1}} {
		if _, err := redis.Open(config); err == nil {
			t.Errorf("%+v: got no error", config)
		}
	}
}

func TestLargeRepliesComeInOrder(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		c := w.connect()
		large := strings.Repeat("x", 600_000)
		c.pipe("SET a "+large, "SET b 1")
		got := c.pipe("GET b", "GET a", "GET b", "ECHO x")
		want := "$1\r\n1\r\n" + string(resp.AppendBulk(nil, large)) + "$1\r\n1\r\n$1\r\nx\r\n"
		if got != want {
			t.Errorf("got %d bytes, want %d", len(got), len(want))
		}
	})
}

// Many replies that are long must not be asked for at once.
func TestBatchesFitTheirReplies(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		c := w.connect()
		c.pipe("SET a " + strings.Repeat("x", 120<<10))
		w.log.takeCalls()
		lines := make([]string, 200)
		for i := range lines {
			lines[i] = "GET a"
		}
		c.pipe(lines...)
		calls := w.log.takeCalls()
		var got []int
		for _, call := range calls {
			got = append(got, len(call))
		}
		if got[0] != 128 || slices.Max(got[1:]) > 69 {
			t.Errorf("commands of the calls: got %v, want 128 and then at most 69", got)
		}
	})
}
