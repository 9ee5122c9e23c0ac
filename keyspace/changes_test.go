package keyspace_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/keyspace"
)

// takeEvents returns the events since it was called last, and has those kept
// that come.
func (s *shell) takeEvents() []machine.Event {
	events := s.events
	s.events, s.hears = nil, true
	return events
}

// told returns what events of changes name, as db:key or db:*.
func told(t *testing.T, events []machine.Event) (names []string) {
	t.Helper()
	for _, e := range events {
		switch e.Kind {
		case keyspace.EventChanged:
			db, key, ok := keyspace.ReadChanged(e.Key)
			if !ok {
				t.Errorf("ReadChanged(%q) is not ok", e.Key)
			}
			names = append(names, fmt.Sprintf("%d:%s", db, key))
		case keyspace.EventFlushed:
			names = append(names, fmt.Sprintf("%d:*", e.Key[0]))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func TestChangesAreTold(t *testing.T) {
	for _, test := range []struct {
		name   string
		before [][]string
		do     []string
		want   []string
	}{
		{"new key", nil, []string{"SET", "a", "1"}, []string{"0:a"}},
		{"another value", [][]string{{"SET", "a", "1"}}, []string{"INCR", "a"}, []string{"0:a"}},
		{"refused", [][]string{{"SET", "a", "1"}}, []string{"SET", "a", "2", "NX"}, nil},
		{"read", [][]string{{"SET", "a", "1"}}, []string{"GET", "a"}, nil},
		{"several", [][]string{{"SET", "a", "1"}}, []string{"DEL", "a", "b"}, []string{"0:a"}},
		{"expiry set", [][]string{{"SET", "a", "1"}}, []string{"PEXPIRE", "a", "100"}, []string{"0:a"}},
		{"expiry past", [][]string{{"SET", "a", "1"}}, []string{"PEXPIRE", "a", "-1"}, []string{"0:a"}},
		{"into a collection", [][]string{{"SADD", "a", "1"}}, []string{"SADD", "a", "2"}, []string{"0:a"}},
		{"nothing new in a collection", [][]string{{"SADD", "a", "1"}}, []string{"SADD", "a", "1"}, nil},
		{"last of a collection", [][]string{{"RPUSH", "a", "1"}}, []string{"LPOP", "a"}, []string{"0:a"}},
		{"from one to another", [][]string{{"RPUSH", "a", "1", "2"}}, []string{"LMOVE", "a", "b", "LEFT", "LEFT"}, []string{"0:a", "0:b"}},
		{"stored", [][]string{{"SADD", "a", "1"}}, []string{"SUNIONSTORE", "b", "a"}, []string{"0:b"}},
		{"renamed", [][]string{{"SET", "a", "1"}}, []string{"RENAME", "a", "b"}, []string{"0:a", "0:b"}},
		{"moved", [][]string{{"SET", "a", "1"}}, []string{"MOVE", "a", "3"}, []string{"0:a", "3:a"}},
		{"copied", [][]string{{"SET", "a", "1"}}, []string{"COPY", "a", "a", "DB", "3"}, []string{"3:a"}},
		{"swapped", nil, []string{"SWAPDB", "1", "2"}, []string{"1:*", "2:*"}},
		{"flushed", [][]string{{"SET", "a", "1"}}, []string{"FLUSHDB"}, []string{"0:*"}},
		{"flushed where there is nothing", nil, []string{"FLUSHDB"}, nil},
		{"all flushed", [][]string{{"SET", "a", "1"}, {"MOVE", "a", "5"}, {"SET", "a", "1"}}, []string{"FLUSHALL"}, []string{"0:*", "5:*"}},
		{"script", nil, []string{"EVAL", "redis.call('set', KEYS[1], 1, 'px', 9) redis.call('persist', KEYS[1]) return redis.call('set', 'b', 1)", "1", "a"}, []string{"0:a", "0:b"}},
		{"script that flushes", [][]string{{"SET", "a", "1"}}, []string{"EVAL", "return redis.call('flushall')", "0"}, []string{"0:*"}},
	} {
		w := newWorld(t)
		for _, args := range test.before {
			w.apply(args...)
		}
		w.shell.takeEvents()
		w.do(test.do...)
		equalStrings(t, test.name, told(t, w.shell.takeEvents()), test.want)
	}
}

func equalStrings(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func TestTheExpiredAreTold(t *testing.T) {
	w := newWorld(t)
	w.apply("SET", "a", "1", "PX", "100")
	w.apply("SET", "b", "1", "PX", "100")
	w.shell.takeEvents()
	w.sleep(time.Second)
	w.apply("SETNX", "a", "2")
	equalStrings(t, "in the way of a command", told(t, w.shell.takeEvents()), []string{"0:a"})
	w.shell.expire(1)
	equalStrings(t, "when its time had come", told(t, w.shell.takeEvents()), []string{"0:b"})
}

// TestNoChangeIsMissed compares all keys before and after random commands of
// all kinds with what was told.
func TestNoChangeIsMissed(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	w := newWorld(t)
	keys := []string{"a", "b", "c"}
	look := func() map[string]string {
		state := map[string]string{}
		for db := range 3 {
			w.db = db
			for _, key := range keys {
				looks := map[string][]string{
					"string": {"GET", key}, "list": {"LRANGE", key, "0", "-1"}, "hash": {"HGETALL", key},
					"set": {"SMEMBERS", key}, "zset": {"ZRANGE", key, "0", "-1", "WITHSCORES"},
				}
				kind := w.query("TYPE", key)
				kind = kind[1 : len(kind)-2]
				value := kind
				if kind != "none" {
					value += w.query(looks[kind]...) + w.query("PEXPIRETIME", key)
				}
				state[fmt.Sprintf("%d:%s", db, key)] = value
			}
		}
		return state
	}
	before := look()
	w.shell.takeEvents()
	changes := 0
	for range 5_000 {
		w.db = r.IntN(3)
		cmd := randomChange(r, keys)
		if r.IntN(4) == 0 {
			w.space.Snapshot() // what comes is copied before it is changed
		}
		w.apply(cmd...)
		if r.IntN(4) == 0 {
			w.sleep(time.Duration(r.IntN(20)) * time.Millisecond)
			w.shell.expire(r.IntN(3))
		}
		names := told(t, w.shell.takeEvents())
		after := look()
		for name, was := range before {
			is := after[name]
			isGone := is == "none" // and will be told of once it is removed
			if was != is {
				changes++
			}
			if was != is && !isGone && !slices.Contains(names, name) && !slices.Contains(names, name[:2]+"*") {
				t.Fatalf("%q changed %s from %q to %q: only %q was told", cmd, name, was, is, names)
			}
		}
		before = after
	}
	if changes < 1_000 {
		t.Errorf("%d changes: the commands do too little", changes)
	}
}

func randomChange(r *rand.Rand, keys []string) []string {
	a, b, n := keys[r.IntN(len(keys))], keys[r.IntN(len(keys))], fmt.Sprint(r.IntN(5))
	commands := [][]string{
		{"SET", a, n},
		{"SET", a, n, "PX", "10"},
		{"INCR", a},
		{"APPEND", a, n},
		{"SETRANGE", a, n, "x"},
		{"GETDEL", a},
		{"GETEX", a, "PX", "5"},
		{"SETBIT", a, n, "1"},
		{"BITFIELD", a, "INCRBY", "u8", n, "1"},
		{"BITOP", "NOT", a, b},
		{"MSET", a, n, b, n},
		{"MSETNX", a, n, b, n},
		{"RPUSH", a, n},
		{"LPOP", a},
		{"LINSERT", a, "BEFORE", n, "x"},
		{"LSET", a, "0", n},
		{"LTRIM", a, "1", "2"},
		{"LREM", a, "0", n},
		{"LMOVE", a, b, "LEFT", "RIGHT"},
		{"HSET", a, n, "v"},
		{"HDEL", a, n},
		{"HINCRBY", a, n, "1"},
		{"SADD", a, n},
		{"SREM", a, n},
		{"SMOVE", a, b, n},
		{"SPOP", a},
		{"SDIFFSTORE", a, b, a},
		{"ZADD", a, n, n},
		{"ZINCRBY", a, "1", n},
		{"ZREM", a, n},
		{"ZPOPMIN", a},
		{"ZREMRANGEBYRANK", a, "0", n},
		{"ZRANGESTORE", a, b, "0", n},
		{"SORT", a, "ALPHA", "STORE", b},
		{"DEL", a},
		{"UNLINK", a, b},
		{"RENAME", a, b},
		{"RENAMENX", a, b},
		{"COPY", a, b, "DB", "1", "REPLACE"},
		{"MOVE", a, "2"},
		{"PEXPIRE", a, "10"},
		{"PERSIST", a},
		{"EVAL", "redis.call('del', KEYS[1]) redis.call('set', KEYS[2], 1) return redis.call('pexpire', KEYS[2], 7)", "2", a, b},
		{"EVAL", "redis.call('set', KEYS[1], 1) error('no')", "1", a},
	}
	if r.IntN(100) == 0 {
		commands = [][]string{{"FLUSHDB"}, {"FLUSHALL"}, {"SWAPDB", "0", "1"}, {"SWAPDB", "1", "2"}}
	}
	return commands[r.IntN(len(commands))]
}

// TestAScriptTellsOfAKeyOnce bounds what a script makes a node hold.
func TestAScriptTellsOfAKeyOnce(t *testing.T) {
	w := newWorld(t)
	w.shell.takeEvents()
	w.apply("EVAL", "for i = 1, 1000 do redis.call('incr', KEYS[1 + i % 20]) end", "20",
		"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t")
	events := slices.DeleteFunc(w.shell.takeEvents(), func(e machine.Event) bool { return e.Kind != keyspace.EventChanged })
	if len(events) != 20 {
		t.Errorf("got %d events of 20 keys", len(events))
	}
}
