package keyspace_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/keyspace"
)

// announced returns the messages among events, as channel=message, and the
// notices, as what@db:key, in their order.
func announced(t *testing.T, events []machine.Event) (all []string) {
	t.Helper()
	for _, e := range events {
		switch e.Kind {
		case keyspace.EventMessage:
			channel, message, ok := keyspace.ReadMessage(e.Key)
			if !ok {
				t.Errorf("ReadMessage(%q) is not ok", e.Key)
			}
			all = append(all, fmt.Sprintf("%s=%s", channel, message))
		case keyspace.EventNotice:
			db, what, key, ok := keyspace.ReadNotice(e.Key)
			if !ok {
				t.Errorf("ReadNotice(%q) is not ok", e.Key)
			}
			all = append(all, fmt.Sprintf("%s@%d:%s", what, db, key))
		}
	}
	return all
}

func TestPublish(t *testing.T) {
	long := strings.Repeat("x", 300)
	w := newWorld(t)
	w.apply("SET", "k", "v")
	before := w.snapshot()
	w.shell.takeEvents()
	w.want("PUBLISH a b", ":0")
	w.apply("PUBLISH", "", "")
	w.apply("PUBLISH", long, long+"\r\n\x00")
	equalStrings(t, "alone", announced(t, w.shell.takeEvents()), []string{"a=b", "=", long + "=" + long + "\r\n\x00"})
	if !slices.Equal(w.snapshot(), before) {
		t.Error("PUBLISH has changed the state")
	}
	cmd, _ := keyspace.Lookup([]byte("publish"))
	if !cmd.Writes || !cmd.Frees([][]byte{nil, nil, nil}) {
		t.Error("PUBLISH must go through the log, also where the state is full")
	}
}

func TestPublishInTransactionsAndScripts(t *testing.T) {
	w := newWorld(t)
	w.shell.takeEvents()
	steps := []keyspace.Step{
		{Args: [][]byte{[]byte("publish"), []byte("a"), []byte("1")}},
		{Args: [][]byte{[]byte("incr"), []byte("n")}},
		{DB: 3, Args: [][]byte{[]byte("PUBLISH"), []byte("a"), []byte("2")}},
	}
	reply := w.space.Apply(w.tx(), keyspace.AppendTransaction(nil, 2, nil, steps))
	if got, want := string(reply), "*3\r\n:0\r\n:1\r\n:0\r\n"; got != want {
		t.Errorf("EXEC: got %q, want %q", got, want)
	}
	equalStrings(t, "transaction", announced(t, w.shell.takeEvents()), []string{"a=1", "a=2"})

	watch := []keyspace.Watch{{Key: []byte("n"), Number: 1 << 40}}
	w.space.Apply(w.tx(), keyspace.AppendTransaction(nil, 2, watch, steps))
	equalStrings(t, "transaction that was not executed", announced(t, w.shell.takeEvents()), nil)

	w.apply("EVAL", "redis.call('publish', 'a', 3) redis.call('set', 'k', 1, 'px', 9) redis.call('publish', 'a', 4) return redis.call('del', 'k')", "0")
	equalStrings(t, "script", announced(t, w.shell.takeEvents()), []string{"a=3", "expire@0:k", "a=4", "del@0:k"})

	w.apply("EVAL", "redis.call('publish', 'a', 5) error('x')", "0")
	equalStrings(t, "script with an error", announced(t, w.shell.takeEvents()), []string{"a=5"})

	for _, body := range []string{"while true do end", "local s = 'x' while true do s = s .. s end", "while true do redis.call('publish', 'a', string.rep('x', 100000)) end"} {
		reply := w.apply("EVAL", "redis.call('publish', 'a', 6) redis.call('set', 'k', 1, 'px', 9) redis.call('del', 'n') "+body, "0")
		if !strings.HasPrefix(reply, "-ERR script stopped") {
			t.Errorf("%s: got %.100q", body, reply)
		}
		equalStrings(t, "script that was undone", announced(t, w.shell.takeEvents()), nil)
	}
	w.want("GET n", "$1 1")
}

func TestNotices(t *testing.T) {
	for _, test := range []struct {
		name   string
		before [][]string
		do     []string
		want   []string
	}{
		{"new key", nil, []string{"SET", "a", "1"}, nil},
		{"with an end", nil, []string{"SETEX", "a", "9", "1"}, []string{"expire@0:a"}},
		{"with one that is over", [][]string{{"SET", "a", "1"}}, []string{"SET", "a", "1", "PXAT", "1"}, []string{"expire@0:a", "expired@0:a"}},
		{"removed", [][]string{{"MSET", "a", "1", "b", "2"}}, []string{"DEL", "b", "none", "a"}, []string{"del@0:b", "del@0:a"}},
		{"read and removed", [][]string{{"SET", "a", "1"}}, []string{"GETDEL", "a"}, []string{"del@0:a"}},
		{"end", [][]string{{"SET", "a", "1"}}, []string{"EXPIRE", "a", "9"}, []string{"expire@0:a"}},
		{"end that is over", [][]string{{"SET", "a", "1"}}, []string{"EXPIRE", "a", "-9"}, []string{"del@0:a"}},
		{"end that was not set", [][]string{{"SET", "a", "1"}}, []string{"EXPIRE", "a", "9", "XX"}, nil},
		{"no end", [][]string{{"SETEX", "a", "9", "1"}}, []string{"PERSIST", "a"}, []string{"persist@0:a"}},
		{"no end, again", [][]string{{"SET", "a", "1"}}, []string{"GETEX", "a", "PERSIST"}, nil},
		{"emptied", [][]string{{"RPUSH", "a", "1"}}, []string{"LMOVE", "a", "b", "LEFT", "LEFT"}, []string{"del@0:a"}},
		{"renamed", [][]string{{"MSET", "a", "1", "b", "2"}}, []string{"RENAME", "a", "b"}, []string{"rename_from@0:a", "rename_to@0:b"}},
		{"renamed to itself", [][]string{{"SET", "a", "1"}}, []string{"RENAME", "a", "a"}, nil},
		{"moved", [][]string{{"SET", "a", "1"}}, []string{"MOVE", "a", "3"}, []string{"move_from@0:a", "move_to@3:a"}},
		{"copied", [][]string{{"SET", "a", "1"}}, []string{"COPY", "a", "b", "DB", "3"}, []string{"copy_to@3:b"}},
		{"flushed", [][]string{{"SET", "a", "1"}}, []string{"FLUSHALL"}, nil},
	} {
		w := newWorld(t)
		for _, args := range test.before {
			w.apply(args...)
		}
		w.shell.takeEvents()
		w.apply(test.do...)
		equalStrings(t, test.name, announced(t, w.shell.takeEvents()), test.want)
	}
}

func TestTheExpiredAreNoticedOnce(t *testing.T) {
	w := newWorld(t)
	w.db = 2
	for _, key := range []string{"a", "b", "c"} {
		w.apply("SET", key, "1", "PX", "100")
	}
	w.shell.takeEvents()
	w.sleep(time.Second)
	w.query("GET", "a")
	w.apply("SETNX", "a", "2")
	w.apply("DEL", "b")
	equalStrings(t, "in the way of a command", announced(t, w.shell.takeEvents()), []string{"expired@2:a", "expired@2:b"})
	w.shell.expire(9)
	equalStrings(t, "when its time had come", announced(t, w.shell.takeEvents()), []string{"expired@2:c"})
}

func TestStrangeEventsAreRefused(t *testing.T) {
	for _, key := range []string{"", "\x05a", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"} {
		if _, _, ok := keyspace.ReadMessage([]byte(key)); ok {
			t.Errorf("ReadMessage(%q) is ok", key)
		}
	}
	for _, key := range []string{"", "\x00", "\x00\x00a", "\x00\x63a"} {
		if _, _, _, ok := keyspace.ReadNotice([]byte(key)); ok {
			t.Errorf("ReadNotice(%q) is ok", key)
		}
	}
}
