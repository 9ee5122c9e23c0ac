package keyspace_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/keyspace"
)

// blockingReplies are commands that block, and answer at once all the same;
// those that would wait are in blockingNothing.
var blockingReplies = []string{
	"BLPOP l x", "BLPOP l -1", "BLPOP l -0.0011", "BLPOP l inf", "BLPOP l -inf", "BLPOP l nan", "BLPOP l 0x10z", `BLPOP l ""`, `BLPOP l " 1"`,
	"BLPOP l 9223372036854776", "BLPOP l 9999999999999999999", "BLPOP l 1e400", "BLPOP l 1e5000", "BRPOP l x", "BLPOP str x", "BLPOP str 0",
	"BLPOP none str 0", "BLPOP none l str 0", "BRPOP none l none 0", "BRPOP z 0", "BLPOP l l 1.5", "BLPOP l 0x10", "BLPOP l -0.0005",
	"BLMOVE l m LEFT UP x", "BLMOVE l m DOWN LEFT 0", "BLMOVE l m LEFT RIGHT x", "BLMOVE l m LEFT RIGHT 0", "BLMOVE l m RIGHT LEFT 0",
	"BLMOVE l l LEFT RIGHT 0", "BLMOVE l str LEFT RIGHT 0", "BLMOVE str l LEFT RIGHT 0", "BLMOVE str l LEFT RIGHT -1",
	"BRPOPLPUSH l m 0", "BRPOPLPUSH l m x", "BRPOPLPUSH l str 1", "BRPOPLPUSH str m 1", "BRPOPLPUSH l l 0.1",
	"BLMPOP x 0 l LEFT", "BLMPOP x 1 l LEFT", "BLMPOP 0 0 l LEFT", "BLMPOP 0 x l LEFT", "BLMPOP 0 1 l UP", "BLMPOP 0 2 l LEFT", "BLMPOP x 1 l UP",
	"BLMPOP 0 1 l LEFT COUNT 0", "BLMPOP 0 1 l LEFT COUNT", "BLMPOP 0 1 l LEFT FOO 1", "BLMPOP 0 1 l LEFT COUNT 1 COUNT 2", "BLMPOP -1 1 l LEFT COUNT 1",
	"BLMPOP 0 1 l LEFT", "BLMPOP 0 2 none l RIGHT COUNT 2", "BLMPOP 0 2 none str RIGHT", "BLMPOP 0 3 none l str LEFT COUNT 99999999999",
	"BZPOPMIN z 0", "BZPOPMAX none z 0", "BZPOPMIN str 0", "BZPOPMIN l 0", "BZPOPMAX z x", "BZPOPMIN z -1", "BZPOPMAX none l z 1",
	"BZMPOP 0 1 z MIN", "BZMPOP 0 2 none z MAX COUNT 2", "BZMPOP 0 1 z LEFT", "BZMPOP 0 1 z MIN COUNT -1", "BZMPOP x 1 z MIN", "BZMPOP 0 1 str MIN",
	"BLPOP l", "BLMOVE l m LEFT RIGHT", "BRPOPLPUSH l m", "BLMPOP 0 1 l", "BZPOPMIN z", "BZMPOP 0 1 z",
}

var blockingNothing = []string{
	"BLPOP none 0", "BRPOP none nor 1.5", "BLMOVE none m LEFT RIGHT 0", "BRPOPLPUSH none m 0", "BLMPOP 0 2 none nor LEFT COUNT 3",
	"BZPOPMIN none 0", "BZPOPMAX none 0", "BZMPOP 0 1 none MAX", "BLMOVE none str LEFT RIGHT 0", "BLPOP none 9223372036854775",
}

// TestBlockingRepliesOfRedis compares what is answered at once, alone, in
// transactions and in scripts.
func TestBlockingRepliesOfRedis(t *testing.T) {
	redis := startRedis(t)
	rng := rand.New(rand.NewPCG(1, 2))
	for _, proto := range []int{2, 3} {
		x := &differ{world: newWorld(t), redis: redis, rng: rng}
		x.proto = proto
		fill := func() {
			x.both("FLUSHALL")
			x.both("RPUSH", "l", "1", "2", "3")
			x.both("SET", "str", "v")
			x.both("ZADD", "z", "1", "m", "2.5", "n", "-inf", "o")
		}
		fill()
		for i, line := range slices.Concat(blockingReplies, blockingNothing) {
			args := split(t, line)
			if i < len(blockingReplies) {
				fill()
				x.compare(args)
				x.compare([]string{"LRANGE", "l", "0", "-1"})
				if c, _ := keyspace.Lookup([]byte(args[0])); c.Accepts(len(args)) {
					fill()
					want := x.redis.do(args...)
					got := x.wait(keyspace.WaiterID{}, args...)
					if string(got.Reply) != want || got.Waits {
						t.Errorf("%s, which may wait:\n  got %q\nRedis %q", line, got.Reply, want)
					}
				}
			}
			fill()
			script := "return redis.pcall(unpack(ARGV))"
			x.compare(slices.Concat([]string{"EVAL", script, "0"}, args))
			fill()
			x.redis.do("MULTI")
			if c, _ := keyspace.Lookup([]byte(args[0])); !c.Accepts(len(args)) {
				x.redis.do("DISCARD")
				continue
			}
			x.redis.do(args...)
			want := x.redis.do("EXEC")
			steps := []keyspace.Step{{Args: bytesOf(args)}}
			if got := string(x.space.Apply(x.tx(), keyspace.AppendTransaction(nil, proto, nil, steps))); got != want {
				t.Errorf("%s in a transaction:\n  got %q\nRedis %q", line, got, want)
			}
		}
	}
}

// wait has a command executed as one that may wait.
func (w *world) wait(id keyspace.WaiterID, args ...string) keyspace.Outcome {
	w.t.Helper()
	w.stamp.Index++
	reply := w.space.Apply(w.tx(), keyspace.AppendWait(nil, id, w.db, w.proto, bytesOf(args)))
	list, err := keyspace.ReadOutcomes(reply, 1)
	if err != nil {
		w.t.Fatalf("%q: %v", args, err)
	}
	return list[0]
}

func (w *world) attend(id keyspace.WaiterID, cancel bool) keyspace.Outcome {
	w.t.Helper()
	w.stamp.Index++
	reply := w.space.Apply(w.tx(), keyspace.AppendAttend(nil, []keyspace.Attention{{ID: id, Cancel: cancel}}))
	list, err := keyspace.ReadOutcomes(reply, 1)
	if err != nil {
		w.t.Fatalf("%v", err)
	}
	return list[0]
}

// offered returns who was offered something since it was called last.
func (w *world) offered() (ids []byte) {
	for _, e := range w.shell.events {
		if e.Kind == keyspace.EventOffer {
			ids = append(ids, e.Key[0])
		}
	}
	w.shell.events = nil
	return ids
}

// TestHoweverElementsCome has elements come to a key that is waited for in
// every way that there is.
func TestHoweverElementsCome(t *testing.T) {
	for _, lines := range []string{
		"RPUSH k 1", "LPUSH k 1", "RPUSH x 1; RENAME x k", "RPUSH x 1; RENAMENX x k", "RPUSH x 1; COPY x k", "RPUSH x 1; RPOPLPUSH x k",
		"RPUSH x 1; LMOVE x k LEFT LEFT", "RPUSH x 3 1 2; SORT x STORE k", "SET k v; RPUSH x 1; SORT x STORE k", "SET k v; RPUSH x 1; RENAME x k",
		"SELECT 1; RPUSH k 1; MOVE k 0", "SELECT 1; RPUSH k 1; SWAPDB 0 1", "SELECT 1; RPUSH k 1; SELECT 0; SWAPDB 1 0", "SELECT 1; RPUSH x 1; COPY x k DB 0",
		`EVAL "redis.call('RPUSH', 'k', 1)" 0`, `EVAL "redis.call('RPUSH', 'k', 1) redis.call('RPOP', 'k') redis.call('LPUSH', 'k', 1)" 0`,
		"SET k v; DEL k; RPUSH k 1", "RPUSH x 1; EVAL \"redis.call('RENAME', 'x', 'k')\" 0",
	} {
		w := newWorld(t)
		w.shell.hears = true
		if got := w.wait(keyspace.WaiterID{7}, "BLPOP", "other", "k", "0"); !got.Waits {
			t.Fatalf("%q", got.Reply)
		}
		for _, line := range strings.Split(lines, "; ") {
			args := split(t, line)
			if args[0] == "SELECT" {
				w.db = int(args[1][0] - '0')
				continue
			}
			if got := w.offered(); len(got) > 0 {
				t.Errorf("%s: offered to %v before the last", lines, got)
			}
			if reply := w.apply(args...); reply[0] == '-' {
				t.Errorf("%s: %q", line, reply)
			}
		}
		if got := w.offered(); !bytes.Equal(got, []byte{7}) {
			t.Errorf("%s: offered to %v", lines, got)
		}
		if got := w.attend(keyspace.WaiterID{7}, false); !strings.HasPrefix(string(got.Reply), "*2\r\n$1\r\nk\r\n") {
			t.Errorf("%s: took %q", lines, got.Reply)
		}
	}
}

// What leaves nothing to be taken offers nothing.
func TestNothingIsOfferedWhereThereIsNothing(t *testing.T) {
	endless := `EVAL "redis.call('RPUSH', 'k', 1) while true do end" 0`
	for _, line := range []string{
		endless, "SET k v", "ZADD k 1 m", "SADD k m", "HSET k f v", `EVAL "redis.call('RPUSH', 'k', 1) redis.call('DEL', 'k')" 0`, "RPUSH other 1",
		`EVAL "redis.call('RPUSH', 'k', 1) redis.call('PEXPIRE', 'k', -1)" 0`,
	} {
		w := newWorld(t)
		w.shell.hears = true
		w.wait(keyspace.WaiterID{7}, "BLPOP", "k", "0")
		before := w.space.Size()
		w.apply(split(t, line)...)
		if got := w.offered(); len(got) > 0 {
			t.Errorf("%s: offered to %v", line, got)
		}
		if line == endless && w.space.Size() != before {
			t.Errorf("size %d after a script that was undone, %d before", w.space.Size(), before)
		}
		w.apply("DEL", "k")
		w.apply("RPUSH", "k", "1")
		if got := w.offered(); !bytes.Equal(got, []byte{7}) {
			t.Errorf("behind %s: offered to %v", line, got)
		}
	}
}

// A waiter is asked in the end whether it waits, and goes if nobody answers.
func TestWhoeverIsForgottenGoes(t *testing.T) {
	w := newWorld(t)
	w.shell.hears = true
	a, b, c := keyspace.WaiterID{1}, keyspace.WaiterID{2}, keyspace.WaiterID{3}
	w.wait(a, "BLPOP", "k", "0")
	w.wait(b, "BLPOP", "k", "0")
	w.wait(c, "BLPOP", "k", "4000")
	w.sleep(time.Hour)
	w.shell.expire(3)
	if got := w.offered(); !bytes.Equal(got, []byte{1, 2, 3}) {
		t.Errorf("asked %v", got)
	}
	if got := w.attend(a, false); !got.Waits {
		t.Errorf("%v", got)
	}
	if got := w.attend(c, false); !got.Waits {
		t.Errorf("%v", got)
	}
	w.sleep(10 * time.Second)
	if got := w.shell.expire(9); len(got) != 1 {
		t.Errorf("%q went", got)
	}
	w.sleep(395 * time.Second)
	if got := w.shell.expire(9); len(got) != 1 { // its node should have cancelled it
		t.Errorf("%q went", got)
	}
	if got := w.offered(); !bytes.Equal(got, []byte{2, 3}) {
		t.Errorf("told %v", got)
	}
	w.apply("RPUSH", "k", "1", "2", "3")
	if got := w.offered(); !bytes.Equal(got, []byte{1}) {
		t.Errorf("offered to %v", got)
	}
	if got := w.attend(b, false); got.Waits || got.Reply != nil {
		t.Errorf("%v", got)
	}
}

// One that may take many is promised as many, and the next has the rest.
func TestPromisesCount(t *testing.T) {
	w := newWorld(t)
	w.shell.hears = true
	a, b := keyspace.WaiterID{1}, keyspace.WaiterID{2}
	w.wait(a, "BLMPOP", "0", "1", "k", "LEFT", "COUNT", "3")
	w.wait(b, "BLPOP", "k", "0")
	w.apply("RPUSH", "k", "1", "2")
	if got := w.offered(); !bytes.Equal(got, []byte{1}) {
		t.Errorf("offered to %v", got)
	}
	w.apply("RPUSH", "k", "3", "4")
	if got := w.offered(); !bytes.Equal(got, []byte{2}) {
		t.Errorf("offered to %v", got)
	}
	if got := w.wait(keyspace.WaiterID{3}, "BRPOP", "k", "0"); !got.Waits {
		t.Errorf("got %q, which was promised", got.Reply)
	}
	want := "*2\r\n$1\r\nk\r\n*3\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n"
	if got := w.attend(a, false); string(got.Reply) != want {
		t.Errorf("got %q, want %q", got.Reply, want)
	}
}

// A waiter of a list that may not be pushed to is answered so, and takes
// nothing; and one takes nothing more where the state is full.
func TestABlockedMoveThatFails(t *testing.T) {
	w := newWorld(t)
	a := keyspace.WaiterID{1}
	w.want("set str v", "+OK")
	w.wait(a, "BLMOVE", "k", "str", "LEFT", "LEFT", "0")
	w.apply("RPUSH", "k", "1")
	if got := w.attend(a, false); string(got.Reply) != "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n" {
		t.Errorf("got %q", got.Reply)
	}
	w.want("lpop k", "$1 1")
	w.wait(a, "BLMOVE", "k", "to", "LEFT", "LEFT", "0")
	w.apply("RPUSH", "k", "1")
	w.full = machine.PressureFull
	if got := w.attend(a, false); !strings.HasPrefix(string(got.Reply), "-OOM ") {
		t.Errorf("got %q", got.Reply)
	}
	if got := w.wait(a, "BLPOP", "none", "0"); !strings.HasPrefix(string(got.Reply), "-OOM ") {
		t.Errorf("got %q", got.Reply)
	}
	w.want("exists to", ":0")
	if got := w.wait(a, "BLPOP", "k", "0"); string(got.Reply) != "*2\r\n$1\r\nk\r\n$1\r\n1\r\n" {
		t.Errorf("got %q", got.Reply)
	}
}

// A backup brings no waiter back.
func TestRebaseForgetsWhoWaits(t *testing.T) {
	w := newWorld(t)
	w.shell.hears = true
	w.wait(keyspace.WaiterID{1}, "BLPOP", "k", "0")
	now := rebased(t, w, time.Minute)
	if got := now.space.Size(); got != 0 {
		t.Errorf("size %d", got)
	}
	now.shell.hears = true
	now.apply("RPUSH", "k", "1")
	if got := now.offered(); len(got) > 0 {
		t.Errorf("offered to %v", got)
	}
}

// FuzzWaiters applies what claims to be about waiters: it is refused, or its
// state is what its snapshot says.
func FuzzWaiters(f *testing.F) {
	id := keyspace.WaiterID{1}
	f.Add(keyspace.AppendWait(nil, id, 0, 2, bytesOf([]string{"BLPOP", "k", "0"})))
	f.Add(keyspace.AppendWait(nil, id, 15, 3, bytesOf([]string{"BZMPOP", "1.5", "2", "k", "k", "MAX", "COUNT", "7"})))
	f.Add(keyspace.AppendAttend(nil, []keyspace.Attention{{ID: id}, {ID: id, Cancel: true}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 || data[0] != 4 && data[0] != 5 {
			return
		}
		w := newWorld(t)
		w.wait(keyspace.WaiterID{1}, "BLPOP", "k", "q", "0")
		w.apply("RPUSH", "k", "1")
		reply := w.space.Apply(w.tx(), data)
		if w.failed == nil && len(reply) == 0 {
			t.Error("no reply")
		}
		snapshot := w.snapshot()
		other := keyspace.New()
		if err := other.Restore(bytes.NewReader(snapshot)); err != nil {
			t.Fatalf("restoring: %v", err)
		}
		if got := other.Size(); got != w.space.Size() {
			t.Errorf("size %d after restoring, want %d", got, w.space.Size())
		}
		if !bytes.Equal(written(t, other.Snapshot()), snapshot) {
			t.Error("what was restored is saved otherwise")
		}
	})
}

// FuzzRestoreWaiters restores what claims to be a snapshot with waiters.
func FuzzRestoreWaiters(f *testing.F) {
	w := newWorld(f)
	for i, args := range [][]string{{"BLPOP", "k", "q", "0"}, {"BRPOP", "k", "5"}, {"BLMOVE", "x", "y", "LEFT", "LEFT", "1"}} {
		w.wait(keyspace.WaiterID{byte(i)}, args...)
	}
	w.apply("RPUSH", "k", "1")
	f.Add(w.snapshot())
	w.sleep(2 * time.Second)
	w.shell.expire(1)
	f.Add(w.snapshot())
	f.Fuzz(func(t *testing.T, data []byte) {
		space := keyspace.New()
		if space.Restore(bytes.NewReader(data)) != nil {
			return
		}
		if !bytes.Equal(written(t, space.Snapshot()), data) {
			t.Error("what was restored is saved otherwise")
		}
	})
}

func ExampleAppendWait() {
	space := keyspace.New()
	tx := &machine.Tx{Shell: &shell{w: &world{}, index: map[deadline]bool{}}}
	id := keyspace.WaiterID{1}
	space.Apply(tx, keyspace.AppendWait(nil, id, 0, 2, bytesOf([]string{"BLPOP", "jobs", "0"})))
	space.Apply(tx, keyspace.AppendCommand(nil, 0, 2, bytesOf([]string{"RPUSH", "jobs", "one"})))
	reply := space.Apply(tx, keyspace.AppendAttend(nil, []keyspace.Attention{{ID: id}}))
	outcomes, _ := keyspace.ReadOutcomes(reply, 1)
	fmt.Printf("%q\n", outcomes[0].Reply)
	// Output: "*2\r\n$4\r\njobs\r\n$3\r\none\r\n"
}
