package redis_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/server/redis"
)

const wrongType = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"

// after waits for a time, and then fails the test unless that is what the
// client got.
func (c *client) after(d time.Duration, want string) {
	c.w.t.Helper()
	time.Sleep(d)
	synctest.Wait()
	if got := c.heard(); got != want {
		c.w.t.Errorf("got %q, want %q", got, want)
	}
}

func popped(key, element string) string {
	return fmt.Sprintf("*2\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(key), key, len(element), element)
}

func TestWhoeverCameFirstIsServedFirst(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		a, b, c, d := w.connect(), w.connect(), w.connect(), w.connect()
		a.want("BLPOP other list 0", "")
		b.want("BRPOP list 0", "")
		c.want("BLMOVE list next LEFT RIGHT 0", "")
		d.want("RPUSH list 1 2", ":2\r\n")
		a.after(0, popped("list", "1"))
		b.after(0, popped("list", "2"))
		c.after(0, "")
		a.want("BLPOP next 0", "")
		d.want("RPUSH list 3", ":1\r\n")
		c.after(0, "$1\r\n3\r\n")
		a.after(0, popped("next", "3"))
		d.want("EXISTS list next", ":0\r\n")
	})
}

// What was promised to those who wait is not given to whoever comes later, as
// long as they may still take it.
func TestNobodyIsOvertaken(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		a, b, c := w.connect(), w.connect(), w.connect()
		a.want("BLPOP list 0", "")
		w.log.set(func() { w.log.err = machine.ErrNoQuorum })
		time.Sleep(time.Second)
		w.log.set(func() { w.log.err = nil; w.log.delay = 20 * time.Millisecond })
		c.send("RPUSH list 1\r\n")
		time.Sleep(25 * time.Millisecond) // a takes now, which lasts
		b.want("BLPOP list 0", "")
		a.after(time.Second, popped("list", "1"))
		b.after(0, "")
		c.send("RPUSH list 2\r\n")
		b.after(time.Second, popped("list", "2"))
	})
}

func TestTheTimeoutOfABlockingCommand(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		c, other := w.connect(), w.connect()
		for _, line := range []string{
			"BLPOP a b 1.5", "BRPOP a 1.5", "BLMOVE a b LEFT LEFT 1.5", "BRPOPLPUSH a b 1.4999", "BLMPOP 1.5 1 a LEFT",
			"BZPOPMIN z 1.5", "BZPOPMAX z 1.5", "BZMPOP 1.5 2 z y MAX",
		} {
			c.want(line, "")
			c.after(1490*time.Millisecond, "")
			c.after(10*time.Millisecond, "*-1\r\n")
		}
		c.want("BLPOP a 100", "")
		c.after(10*time.Millisecond, "")
		other.want("RPUSH a 1", ":1\r\n")
		other.want("ZADD z 1 m", ":1\r\n")
		c.after(0, popped("a", "1"))
		if err := c.socket.Close(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		c = w.connect()
		c.wantPrefix("HELLO 3", "%7")
		c.want("BLPOP a 0.001", "")
		c.after(time.Millisecond, "_\r\n")
		c.want("BZPOPMIN z 1", "*3\r\n$1\r\nz\r\n$1\r\nm\r\n,1\r\n")
	})
}

func TestClientUnblock(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		a, b := w.connect(), w.connect()
		id := strings.Trim(a.do("CLIENT ID"), ":\r\n")
		b.want("CLIENT UNBLOCK "+id, ":0\r\n")
		a.want("BLPOP list 0", "")
		if got := b.do("INFO clients"); !strings.Contains(got, "blocked_clients:1\r\n") {
			t.Errorf("got %q", got)
		}
		if got := b.do("CLIENT LIST ID " + id); !strings.Contains(got, " flags=b ") || !strings.Contains(got, " cmd=blpop ") {
			t.Errorf("got %q", got)
		}
		b.want("CLIENT UNBLOCK "+id+" FOO", "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR\r\n")
		b.want("CLIENT UNBLOCK x", "-ERR value is not an integer or out of range\r\n")
		b.want("CLIENT UNBLOCK "+id+" TIMEOUT", ":1\r\n")
		a.after(0, "*-1\r\n")
		a.want("BLPOP list 0", "")
		b.want("CLIENT UNBLOCK "+id+" error", ":1\r\n")
		a.after(0, "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n")
		b.want("RPUSH list 1", ":1\r\n")
		b.want("LLEN list", ":1\r\n")
		if got := b.do("INFO clients"); !strings.Contains(got, "blocked_clients:0\r\n") {
			t.Errorf("got %q", got)
		}
	})
}

// What a client has sent behind a command that waits is answered behind it, and
// what it got before is not held back.
func TestABlockingCommandInAPipeline(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		a, b := w.connect(), w.connect()
		if got := a.pipe("SET k v", "BLPOP list 0", "GET k"); got != "+OK\r\n" {
			t.Errorf("got %q", got)
		}
		if got := a.sent("ECHO la"); got != "" { // half a command
			t.Errorf("got %q", got)
		}
		b.want("RPUSH list 1", ":1\r\n")
		a.after(0, popped("list", "1")+"$1\r\nv\r\n")
		if got := a.sent("ter\r\n"); got != "$5\r\nlater\r\n" {
			t.Errorf("got %q", got)
		}
		b.want("PING\r\nCLIENT REPLY SKIP\r\nBLPOP list 0.01", "+PONG\r\n")
		b.after(time.Second, "")
		b.want("PING", "+PONG\r\n")
	})
}

func TestAClientThatHangsUpGetsNoElement(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		a, b, c := w.connect(), w.connect(), w.connect()
		a.want("BLPOP list 0", "")
		b.want("BLPOP list 0", "")
		if err := a.socket.Close(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		c.want("RPUSH list 1", ":1\r\n")
		b.after(0, popped("list", "1"))
	})
}

func TestAServerThatClosesLetsNobodyWaitForElements(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		a := w.connect()
		a.want("BLPOP list 0", "")
		start := time.Now()
		if err := w.server.Close(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("closing took %s", took)
		}
		synctest.Wait()
		if got := a.heard(); !strings.HasPrefix(got, "-TRYAGAIN this node is stopping") {
			t.Errorf("got %q", got)
		}
		if size := w.log.space.Size(); size != 0 {
			t.Errorf("the waiter is there still: size %d", size)
		}
	})
}

// Without a quorum nobody begins to wait, and whoever waits goes on until the
// time is over.
func TestBlockingWithoutAQuorum(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		a, b, c := w.connect(), w.connect(), w.connect()
		a.want("BLPOP list 10", "")
		b.want("BLPOP list 10", "")
		w.log.set(func() { w.log.err = machine.ErrNoQuorum })
		c.wantPrefix("BLPOP list 10", "-CLUSTERDOWN ")
		time.Sleep(11 * time.Second)
		synctest.Wait()
		for _, waiting := range []*client{a, b} {
			if got := waiting.heard(); !strings.HasPrefix(got, "-CLUSTERDOWN ") {
				t.Errorf("got %q", got)
			}
		}
		w.log.set(func() { w.log.err = nil })
		time.Sleep(time.Second)
		c.want("RPUSH list 1", ":1\r\n")
		a.want("BLPOP list 10", popped("list", "1")) // nobody is in the way
		b.want("BLPOP list 10", "")
		w.log.set(func() { w.log.err = machine.ErrNoQuorum })
		w.log.set(func() { w.log.heard(machine.Event{Reset: true}) }) // it looks again, and cannot
		time.Sleep(5 * time.Second)
		w.log.set(func() { w.log.err = nil })
		c.want("RPUSH list 2", ":1\r\n")
		b.after(100*time.Millisecond, popped("list", "2"))
	})
}

// Where it is not known whether an element was taken the client is told so, and
// nothing is taken a second time.
func TestATakeOfUnknownOutcome(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		a, b, c := w.connect(), w.connect(), w.connect()
		a.want("BLPOP list 0", "")
		b.want("BLPOP list 0", "")
		w.log.set(func() { w.log.err = machine.ErrUnknown; w.log.heard(machine.Event{Reset: true}) })
		synctest.Wait()
		for _, waiting := range []*client{a, b} {
			if got := waiting.heard(); !strings.HasPrefix(got, "-UNAVAILABLE outcome unknown") {
				t.Errorf("got %q", got)
			}
		}
		c.wantPrefix("BLPOP list 0", "-UNAVAILABLE outcome unknown")
		w.log.set(func() { w.log.err = nil })
		time.Sleep(time.Second)
		c.want("RPUSH list 1", ":1\r\n")
		c.want("LLEN list", ":1\r\n") // promised to nobody
		a.want("BLPOP list 0", popped("list", "1"))
	})
}

// One whose place was lost waits again: a backup was restored.
func TestAWaiterThatIsGoneWaitsAgain(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		a, b := w.connect(), w.connect()
		a.want("BLPOP list 20", "")
		w.log.set(func() {
			w.log.space.Rebase(&machine.Tx{Stamp: w.log.at, Shell: w.log}, 0)
			w.log.heard(machine.Event{Reset: true})
		})
		synctest.Wait()
		b.want("RPUSH list 1", ":1\r\n")
		a.after(0, popped("list", "1"))
		a.want("BLPOP list 20", "")
		a.after(19*time.Second, "")
		w.log.set(func() {
			w.log.space.Rebase(&machine.Tx{Stamp: w.log.at, Shell: w.log}, 0)
			w.log.heard(machine.Event{Reset: true})
		})
		a.after(999*time.Millisecond, "")
		a.after(time.Millisecond, "*-1\r\n")
	})
}

func TestBlockingCommandsThatDoNotWait(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		c := w.connect()
		for _, step := range []struct{ line, want string }{
			{"MULTI", "+OK\r\n"},
			{"BLPOP list 0", "+QUEUED\r\n"},
			{"BLMOVE list other LEFT RIGHT 0", "+QUEUED\r\n"},
			{"EXEC", "*2\r\n*-1\r\n$-1\r\n"},
			{"EVAL 'return redis.call(\"BLMPOP\", 0, 1, \"list\", \"LEFT\")' 0", "$-1\r\n"},
			{"IDEM 1 BLPOP list 0", "-ERR IDEM does not take 'blpop', which may wait: use LMOVE, or a transaction\r\n"},
			{"IDEM 1 BLPOP list", "-ERR wrong number of arguments for 'blpop' command\r\n"},
			{"BLPOP list", "-ERR wrong number of arguments for 'blpop' command\r\n"},
			{"BLPOP list x", "-ERR timeout is not a float or out of range\r\n"},
			{"BLPOP list -1", "-ERR timeout is negative\r\n"},
			{"SET s v", "+OK\r\n"},
			{"BLPOP list s 0", wrongType},
			{"RPUSH list 1 2", ":2\r\n"},
			{"BLPOP list s 0", popped("list", "1")},
			{"BLMOVE list s LEFT RIGHT 0", wrongType},
			{"BLPOP s list 0", wrongType},
			{"COMMAND GETKEYS BLMPOP 0 2 a b LEFT", "*2\r\n$1\r\na\r\n$1\r\nb\r\n"},
			{"COMMAND GETKEYS BZPOPMIN a b 0", "*2\r\n$1\r\na\r\n$1\r\nb\r\n"},
		} {
			c.want(step.line, step.want)
		}
	})
}
