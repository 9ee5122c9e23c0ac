package redis_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/keyspace"
	"github.com/huddlecache/huddle/server/redis"
)

const allInvalid = ">2\r\n$10\r\ninvalidate\r\n_\r\n"

// invalid is the message that keys have changed.
func invalid(keys ...string) string {
	message := ">2\r\n$10\r\ninvalidate\r\n*" + string(rune('0'+len(keys))) + "\r\n"
	for _, key := range keys {
		message += bulk(key)
	}
	return message
}

// tracked is a client that speaks version 3 and tracks, with options.
func (w *world) tracked(options string) *client {
	w.t.Helper()
	c := w.connect()
	c.wantPrefix("HELLO 3", "%7\r\n")
	c.want(strings.TrimSpace("CLIENT TRACKING ON "+options), "+OK\r\n")
	return c
}

// tell has the server hear an event.
func (w *world) tell(e machine.Event) {
	var hear func(machine.Event)
	w.log.set(func() { hear = w.log.heard })
	hear(e)
}

func changed(db byte, key string, index uint64) machine.Event {
	return machine.Event{Kind: keyspace.EventChanged, Key: append([]byte{db}, key...), Index: index}
}

func TestAKeyIsToldOfOnce(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		c, other := w.tracked(""), w.connect()
		c.want("GET a", "_\r\n")
		other.want("SET b 1", "+OK\r\n")
		c.want("PING", "+PONG\r\n")
		other.want("SET a 1", "+OK\r\n")
		c.want("PING", invalid("a")+"+PONG\r\n")
		other.want("SET a 2", "+OK\r\n")
		c.want("PING", "+PONG\r\n")
		c.want("SELECT 3", "+OK\r\n")
		c.want("GET a", "_\r\n")
		other.want("SET a 3", "+OK\r\n")
		c.want("PING", "+PONG\r\n")
		other.want("FLUSHALL", "+OK\r\n")
		c.want("PING", allInvalid+"+PONG\r\n")
	})
}

// TestWhatIsOlderThanAnEventIsInvalidated has the node hear of entries that the
// leader has not applied yet.
func TestWhatIsOlderThanAnEventIsInvalidated(t *testing.T) {
	for _, mode := range []string{"", "BCAST"} {
		in(t, redis.Config{}, func(w *world) {
			c := w.tracked(mode)
			plain := w.connect()
			w.tell(changed(0, "a", 1000))
			c.do("")
			c.want("GET a", "_\r\n"+invalid("a"))
			want := "*2\r\n_\r\n_\r\n" + invalid("a", "b")
			if mode == "BCAST" {
				want = "*2\r\n_\r\n_\r\n" + invalid("a") + invalid("b")
			}
			c.want("MGET a b", want)
			if got := c.pipe("MULTI", "GET a", "EXEC"); !strings.HasSuffix(got, "*1\r\n_\r\n"+invalid("a")) {
				t.Errorf("%s: a transaction: got %q", mode, got)
			}
			plain.want("GET x", "$-1\r\n")
			want = "+PONG\r\n"
			if mode == "BCAST" { // its client may have read on the other connection
				want = invalid("x") + want
			}
			c.want("PING", want)
			w.log.set(func() { w.log.at.Index = 1000 })
			c.want("GET a", "_\r\n")
		})
	}
}

func TestAResetInvalidatesAll(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		c := w.tracked("")
		c.want("GET a", "_\r\n")
		w.log.set(func() { w.log.delay = 50 * time.Millisecond })
		w.tell(machine.Event{Reset: true})
		if got := c.do(""); got != allInvalid {
			t.Errorf("a reset: got %q", got)
		}
		c.send("GET a\r\n")
		time.Sleep(51 * time.Millisecond)
		if got, want := c.heard(), "_\r\n"+invalid("a"); got != want {
			t.Errorf("before the leader was asked again: got %q, want %q", got, want)
		}
		w.log.set(func() { w.log.delay = 0 })
		time.Sleep(time.Second)
		c.want("GET a", "_\r\n")
	})
}

// TestWithoutTheLeaderNoCopyLives has the leader not answer for a while.
func TestWithoutTheLeaderNoCopyLives(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		c, idle := w.tracked(""), w.tracked("BCAST")
		c.want("CLIENT READS LOCAL", "+OK\r\n")
		c.want("GET a", "_\r\n")
		time.Sleep(10 * time.Second)
		c.want("PING", "+PONG\r\n")
		w.log.set(func() { w.log.err = machine.ErrNoQuorum })
		time.Sleep(999 * time.Millisecond)
		idle.want("PING", "+PONG\r\n")
		time.Sleep(502 * time.Millisecond)
		c.want("PING", allInvalid+"+PONG\r\n")
		time.Sleep(10 * time.Second)
		idle.want("PING", allInvalid+"+PONG\r\n")
		w.log.set(func() { w.log.err = nil })
		c.want("GET a", "_\r\n"+invalid("a"))
		idle.want("PING", invalid("a")+"+PONG\r\n")
		time.Sleep(time.Second)
		c.want("GET a", "_\r\n")
	})
}

func TestTooManyKeysAreInvalidated(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		c, other := w.tracked(""), w.tracked("")
		w.server.BoundTracking(3, 1000)
		c.want("MGET a b", "*2\r\n_\r\n_\r\n")
		other.want("GET a", "_\r\n")
		got := c.do("GET d") + other.heard()
		if n := strings.Count(got, "invalidate"); n == 0 || n > 2 {
			t.Errorf("got %q", got)
		}
		w.server.BoundTracking(3, 4)
		if got := c.do("GET long"); !strings.Contains(got, invalid("long")) {
			t.Errorf("got %q", got)
		}
		for _, c := range []*client{c, other} {
			c.do("") // which others were forgotten is chance
			c.want("CLIENT TRACKING OFF", "+OK\r\n")
		}
		kept := regexp.MustCompile("tracking_[a-z_]+:[1-9]").FindAllString(c.do("INFO"), -1)
		equal(t, "what is kept of nobody", kept, nil)
	})
}

// TestARepeatedReplyIsNotKept has an EXEC answered from memory.
func TestARepeatedReplyIsNotKept(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		c := w.tracked("")
		if got := c.pipe("MULTI", "GET a", "SET b 1", "IDEM x EXEC"); !strings.HasSuffix(got, "*2\r\n_\r\n+OK\r\n"+invalid("a")) {
			t.Errorf("got %q", got)
		}
	})
}

func TestTrackingEndsWithTheConnection(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		c, other := w.tracked("BCAST PREFIX a"), w.tracked("")
		other.want("MGET a b c", "*3\r\n_\r\n_\r\n_\r\n")
		watcher := w.connect()
		if got := watcher.do("INFO stats"); !strings.Contains(got, "tracking_total_keys:3\r\ntracking_total_items:3\r\ntracking_total_prefixes:1\r\n") {
			t.Errorf("INFO: %q", got)
		}
		if got := watcher.do("CLIENT LIST"); !strings.Contains(got, "flags=tB ") || !strings.Contains(got, "flags=t ") || !strings.Contains(got, "redir=0 ") {
			t.Errorf("CLIENT LIST: %q", got)
		}
		c.socket.Close()
		other.want("RESET", "+RESET\r\n")
		watcher.want("SET a 1", "+OK\r\n")
		other.want("PING", "+PONG\r\n")
		kept := regexp.MustCompile("tracking_[a-z_]+:[1-9]").FindAllString(watcher.do("INFO"), -1)
		equal(t, "what is kept of nobody", kept, nil)
	})
}
