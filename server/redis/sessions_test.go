package redis_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/server/redis"
	"github.com/huddlecache/huddle/sessions"
)

// A sessionLog is a log of one node with sessions behind it.
type sessionLog struct {
	mu     sync.Mutex // guards what follows
	m      machine.Machine
	at     machine.Stamp
	number uint64
	keys   []string              // idempotency keys of commands
	asked  []machine.Consistency // of queries
	err    error                 // of Do
}

func newSessionLog() *sessionLog {
	return &sessionLog{m: sessions.NewMachine(), at: machine.Stamp{Cluster: "test", Index: 7, Lease: time.Hour}, number: 100}
}

func (l *sessionLog) Do(_ context.Context, items ...machine.Item) ([]machine.Reply, machine.Stamp, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return nil, machine.Stamp{}, l.err
	}
	replies := make([]machine.Reply, len(items))
	for i, item := range items {
		l.keys = append(l.keys, item.Idem)
		l.at.Index++
		replies[i].Data = l.m.Apply(&machine.Tx{Stamp: l.at, Shell: l}, item.Data)
	}
	return replies, l.at, nil
}

func (l *sessionLog) Query(_ context.Context, c machine.Consistency, query []byte) ([]byte, machine.Stamp, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, c)
	return l.m.Query(l.at, query), l.at, nil
}

func (l *sessionLog) Now() (time.Duration, bool)                    { return l.at.Lease, true }
func (l *sessionLog) Subscribe(func(machine.Event)) (cancel func()) { return func() {} }
func (l *sessionLog) Number() uint64                                { l.number++; return l.number }
func (l *sessionLog) Deadline([]byte, time.Duration, time.Duration) {}
func (l *sessionLog) Emit(machine.Event)                            {}
func (l *sessionLog) Fail(err error)                                { panic(err) }

// inSessions runs a test with a server of sessions.
func inSessions(t *testing.T, test func(w *world, log *sessionLog)) {
	t.Helper()
	log := newSessionLog()
	config := redis.Config{Sessions: sessions.New(log, sessions.Config{MaxValue: 50})}
	in(t, config, func(w *world) { test(w, log) })
}

func TestSessionCommands(t *testing.T) {
	inSessions(t, func(w *world, _ *sessionLog) {
		const (
			syntax  = "-ERR syntax error\r\n"
			integer = "-ERR value is not an integer or out of range\r\n"
			null    = "$-1\r\n"
		)
		expire := func(name string) string { return "-ERR invalid expire time in '" + name + "' command\r\n" }
		c := w.connect()
		for _, step := range []struct{ line, want string }{
			{"SESSION.GET s", "*-1\r\n"},
			{"SESSION.SET s one", ":101\r\n"},
			{"SESSION.SET s two PX 60000 ABS 120000 USER u IFVER 101", ":102\r\n"},
			{"SESSION.SET s two ifver 101 px 1", null},
			{"SESSION.SET s two IFVER 0", null},
			{"session.set t new IFVER 0 USER u", ":103\r\n"},
			{"SESSION.GET s", "*2\r\n$3\r\ntwo\r\n:102\r\n"},
			{"SESSION.GET s TOUCH", "*2\r\n$3\r\ntwo\r\n:102\r\n"},
			{"SESSION.LIST USER u", "*2\r\n$1\r\ns\r\n$1\r\nt\r\n"},
			{"SESSION.LIST USER nobody", "*0\r\n"},
			{"SESSION.DEL t", ":1\r\n"},
			{"SESSION.DEL t", ":0\r\n"},
			{"SESSION.DELALL USER u", ":1\r\n"},
			{"SESSION.DELALL user u", ":0\r\n"},
			{"SESSION.MERGE m '{\"b\":1}' PX 1000 ABS 2000", ":104\r\n"},
			{"SESSION.MERGE m '{\"a\":{\"x\":null}}'", ":105\r\n"},
			{"SESSION.GET m", "*2\r\n$14\r\n{\"a\":{},\"b\":1}\r\n:105\r\n"},

			{"SESSION.SET s", "-ERR wrong number of arguments for 'session.set' command\r\n"},
			{"SESSION.GET s TOUCH x", syntax},
			{"SESSION.GET s TOUCHED", syntax},
			{"SESSION.SET s x PX", syntax},
			{"SESSION.SET s x 5", syntax},
			{"SESSION.SET s x EX 5", syntax},
			{"SESSION.MERGE s {} USER u", syntax},
			{"SESSION.MERGE s {} IFVER 1", syntax},
			{"SESSION.LIST FOR u", syntax},
			{"SESSION.DELALL FOR u", syntax},
			{"SESSION.SET s x PX many", integer},
			{"SESSION.SET s x IFVER -1", integer},
			{"SESSION.SET s x IFVER 18446744073709551616", integer},
			{"SESSION.SET s x PX 0", expire("session.set")},
			{"SESSION.SET s x ABS -1", expire("session.set")},
			{"SESSION.MERGE s {} PX 9223372036854775807", expire("session.merge")},
			{"SESSION.SET '' x", "-ERR invalid argument: a session's ID has 1 to 512 bytes, not 0\r\n"},
			{"SESSION.GET ''", "-ERR invalid argument: a session's ID has 1 to 512 bytes, not 0\r\n"},
			{"SESSION.LIST USER ''", "-ERR invalid argument: the user's name is empty\r\n"},
			{"SESSION.MERGE m []", "-ERR the patch is no JSON object: it is another kind of JSON\r\n"},
			{"SESSION.SET text x", ":106\r\n"},
			{"SESSION.MERGE text {}", "-WRONGTYPE the session is no JSON object: a value is missing at byte 0\r\n"},
			{"SESSION.SET s " + strings.Repeat("x", 51), "-TOOBIG value of 51 bytes is over HUDDLE_MAX_VALUE (50)\r\n"},
			{"SESSION.MERGE m '{\"c\":\"" + strings.Repeat("x", 40) + "\"}'", "-TOOBIG value of 61 bytes is over HUDDLE_MAX_VALUE (50)\r\n"},
			{"SESSION.NOSUCH x", "-ERR unknown command 'SESSION.NOSUCH', with args beginning with: 'x' \r\n"},
			{"IDEM 1 SESSION.GET s", "-ERR IDEM does not take 'session.get'\r\n"},
		} {
			c.want(step.line, step.want)
		}
		c.want("SELECT 3", ok)
		c.want("SESSION.GET text", "*2\r\n$1\r\nx\r\n:106\r\n")
		c.wantPrefix("HELLO 3", "%7")
		c.want("SESSION.GET none", "_\r\n")
		c.want("SESSION.SET text x IFVER 1", "_\r\n")
		if got := w.server.Counters.TooBig.Load(); got != 2 {
			t.Errorf("counted %d that were too big, want 2", got)
		}
	})
}

func TestSessionsInAPipeline(t *testing.T) {
	inSessions(t, func(w *world, _ *sessionLog) {
		got := w.connect().pipe("SET a 1", "SESSION.SET s x", "SESSION.GET s", "GET a", "SESSION.DEL s", "SESSION.GET s")
		if want := ok + ":101\r\n*2\r\n$1\r\nx\r\n:101\r\n$1\r\n1\r\n:1\r\n*-1\r\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestSessionsAreReadLocallyBehindWhatTheClientHasSeen(t *testing.T) {
	inSessions(t, func(w *world, log *sessionLog) {
		c := w.connect()
		for _, line := range []string{
			"SESSION.GET s", "CLIENT READS LOCAL", "SESSION.GET s", "SESSION.SET s x", "SESSION.GET s", "SESSION.LIST USER u",
			"SESSION.GET s TOUCH", "CLIENT READS LINEARIZABLE", "SESSION.GET s",
		} {
			c.do(line)
		}
		want := []machine.Consistency{
			machine.Linearizable, machine.AtLeast("test", 7), machine.AtLeast("test", 8), machine.AtLeast("test", 8),
			machine.Linearizable, machine.Linearizable,
		}
		if fmt.Sprint(log.asked) != fmt.Sprint(want) {
			t.Errorf("asked\n got %v\nwant %v", log.asked, want)
		}
		fresh := w.connect()
		fresh.do("CLIENT READS LOCAL")
		fresh.do("SESSION.GET s")
		if got := log.asked[len(log.asked)-1]; got != machine.Local {
			t.Errorf("a client that has seen nothing: got %v, want Local", got)
		}
	})
}

func TestSessionsHandTheirIdempotencyKeysOn(t *testing.T) {
	inSessions(t, func(w *world, log *sessionLog) {
		c := w.connect()
		for _, line := range []string{"IDEM 1 SESSION.SET s {}", "IDEM 2 SESSION.MERGE s {}", "IDEM 3 SESSION.DEL s", "IDEM 4 SESSION.DELALL USER u", "SESSION.DEL s"} {
			c.do(line)
		}
		equal(t, "keys", log.keys, []string{"1", "2", "3", "4", ""})
	})
}

func TestSessionsWithoutAQuorum(t *testing.T) {
	inSessions(t, func(w *world, log *sessionLog) {
		c := w.connect()
		c.do("SESSION.SET s x PX 1000")
		log.mu.Lock()
		log.at.Lease += 500 * time.Millisecond
		log.err = machine.ErrNoQuorum
		log.mu.Unlock()
		c.want("SESSION.GET s TOUCH", "*2\r\n$1\r\nx\r\n:101\r\n")
		for _, line := range []string{"SESSION.SET s x", "SESSION.MERGE s {}", "SESSION.DEL s", "SESSION.DELALL USER u"} {
			c.wantPrefix(line, "-CLUSTERDOWN no quorum")
		}
		log.mu.Lock()
		log.err = machine.ErrUnknown
		log.mu.Unlock()
		c.wantPrefix("SESSION.SET s x", "-UNAVAILABLE outcome unknown")
		if got := w.server.Counters.NoQuorum.Load(); got != 4 {
			t.Errorf("counted %d without a quorum, want 4", got)
		}
	})
}
