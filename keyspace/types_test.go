package keyspace_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/keyspace"
)

// A fleet is Spaces that get the same commands: the first from its beginning,
// the others restored from snapshots of it on the way.
type fleet struct {
	t      *testing.T
	rng    *rand.Rand
	makers []*maker
	worlds []*world
	frozen []frozenSnapshot
}

func newFleet(t *testing.T, seed uint64) *fleet {
	f := &fleet{t: t, rng: rand.New(rand.NewPCG(seed, 2)), worlds: []*world{newWorld(t)}}
	for _, name := range []string{"hash", "set", "list", "zset", "string"} {
		d := dialects[name]
		f.makers = append(f.makers, &maker{rng: f.rng, pools: []map[string]string{d.pools, pools}, templates: d.templates()})
	}
	return f
}

// step has all execute one command, and returns it with its reply.
func (f *fleet) step() (args []string, reply string) {
	f.t.Helper()
	args = f.makers[f.rng.IntN(len(f.makers))].command()
	if f.rng.IntN(20) == 0 {
		args = []string{f.pick("EXPIRE", "PEXPIRE"), args[min(1, len(args)-1)], f.pick("1", "10", "1000", "100000")}
	}
	proto, db := 2+f.rng.IntN(2), f.rng.IntN(2)
	pause := time.Duration(f.rng.IntN(20)) * time.Millisecond
	for i, w := range f.worlds {
		w.proto, w.db = proto, db
		w.sleep(pause)
		got := w.apply(args...)
		if i == 0 {
			reply = got
		}
		if got != reply {
			f.t.Fatalf("%q: Space %d answers %q, the first %q", args, i, got, reply)
		}
		if w.failed != nil {
			f.t.Fatalf("%q: the node was stopped: %v", args, w.failed)
		}
	}
	return args, reply
}

func (f *fleet) pick(words ...string) string { return words[f.rng.IntN(len(words))] }

// expire has all remove what is due, at most so much.
func (f *fleet) expire() {
	n := f.rng.IntN(4)
	for _, w := range f.worlds {
		w.shell.expire(n)
	}
}

// join adds a Space that is restored from the first.
func (f *fleet) join() {
	f.t.Helper()
	first := f.worlds[0]
	w := newWorld(f.t)
	w.stamp = first.stamp
	if err := w.space.Restore(bytes.NewReader(first.snapshot())); err != nil {
		f.t.Fatal(err)
	}
	w.shell.last = first.shell.last
	for d := range first.shell.index {
		w.shell.index[d] = true
	}
	f.worlds = append(f.worlds, w)
	if len(f.worlds) > 3 {
		f.worlds = slices.Delete(f.worlds, 1, 2)
	}
}

// freeze takes a snapshot of the first, which check writes again.
func (f *fleet) freeze() {
	snap := f.worlds[0].space.Snapshot()
	write := func() []byte { return written(f.t, snap) }
	f.frozen = append(f.frozen, frozenSnapshot{write, write()})
	f.frozen = f.frozen[max(0, len(f.frozen)-5):]
}

func (f *fleet) check() {
	f.t.Helper()
	want := f.worlds[0].snapshot()
	for i, w := range f.worlds {
		if !bytes.Equal(w.snapshot(), want) {
			f.t.Fatalf("Space %d is saved otherwise than the first", i)
		}
		if got, want := w.space.Size(), f.worlds[0].space.Size(); got != want {
			f.t.Fatalf("Space %d has size %d, the first %d", i, got, want)
		}
	}
	for _, s := range f.frozen {
		if !bytes.Equal(s.write(), s.want) {
			f.t.Fatal("a snapshot changed after it was taken")
		}
	}
}

// TestRestoredSpacesGoOnAlike runs commands of all types.
func TestRestoredSpacesGoOnAlike(t *testing.T) {
	for seed := range uint64(3) {
		t.Logf("seed %d", seed)
		f := newFleet(t, seed)
		for i := range 4000 {
			f.step()
			switch {
			case i%50 == 0:
				f.expire()
			case i%70 == 0:
				f.freeze()
			case i%200 == 0:
				f.join()
			case i%300 == 0:
				f.check()
			}
		}
		f.check()
		for _, w := range f.worlds {
			w.apply("FLUSHALL")
			if w.space.Size() != 0 || len(w.shell.index) != 0 {
				t.Errorf("seed %d: after FLUSHALL size %d and %d deadlines, want none", seed, w.space.Size(), len(w.shell.index))
			}
		}
	}
}

// TestSnapshotsOfAllTypesAreWrittenMeanwhile is for the race detector.
func TestSnapshotsOfAllTypesAreWrittenMeanwhile(t *testing.T) {
	f := newFleet(t, 9)
	for range 500 {
		f.step()
	}
	for round := range 20 {
		snap := f.worlds[0].space.Snapshot()
		want := written(t, snap)
		var wg sync.WaitGroup
		var got bytes.Buffer
		wg.Go(func() { snap.WriteTo(&got) })
		for range 100 {
			f.step()
		}
		wg.Wait()
		if !bytes.Equal(got.Bytes(), want) {
			t.Fatalf("round %d: the snapshot changed while it was written", round)
		}
	}
}

// TestWatchMissesNothing compares what keys hold before and after each
// command with their numbers.
func TestWatchMissesNothing(t *testing.T) {
	for seed := range uint64(3) {
		f := newFleet(t, seed)
		w := f.worlds[0]
		before := map[string]string{}
		numbers := map[string]uint64{}
		for i := range 3000 {
			args, _ := f.step()
			if i%20 == 0 {
				f.expire()
			}
			w.proto = 2
			for _, key := range []string{"h1", "s1", "s2", "l1", "z1", "z2", "set", "other"} {
				for w.db = range 2 {
					name := fmt.Sprint(w.db, key)
					now := held(w, key)
					number := watchOf(t, w, key)
					if now != before[name] && number == numbers[name] && i > 0 {
						t.Fatalf("seed %d: %q changed %s from %q to %q, and not its number %d", seed, args, name, before[name], now, number)
					}
					before[name], numbers[name] = now, number
				}
			}
		}
	}
}

// held is all that can be seen of a key.
func held(w *world, key string) string {
	end := w.query("PEXPIRETIME", key)
	switch kind := visible(w.query("TYPE", key)); kind {
	case "+string":
		return kind + end + w.query("GET", key)
	case "+hash":
		return kind + end + w.query("HGETALL", key)
	case "+set":
		return kind + end + w.query("SMEMBERS", key)
	case "+list":
		return kind + end + w.query("LRANGE", key, "0", "-1")
	case "+zset":
		return kind + end + w.query("ZRANGE", key, "0", "-1", "WITHSCORES")
	}
	return ""
}

func watchOf(t reporter, w *world, key string) uint64 {
	t.Helper()
	watches := []keyspace.Watch{{DB: w.db, Key: []byte(key)}}
	reply := w.space.Query(w.stamp, keyspace.AppendWatch(nil, watches))
	if err := keyspace.ReadWatch(reply, watches); err != nil {
		t.Fatalf("%q: %v", reply, err)
	}
	return watches[0].Number
}

// transact executes commands, each a line, as a transaction in the log.
func (w *world) transact(watches []keyspace.Watch, lines ...string) string {
	w.t.Helper()
	w.stamp.Index++
	return visible(string(w.space.Apply(w.tx(), keyspace.AppendTransaction(nil, w.proto, watches, w.steps(lines)))))
}

// transactionOf is a transaction of commands, each a line.
func transactionOf(w *world, lines ...string) []byte {
	return keyspace.AppendTransaction(nil, w.proto, nil, w.steps(lines))
}

func (w *world) steps(lines []string) (steps []keyspace.Step) {
	for _, line := range lines {
		if reply, isReply := strings.CutPrefix(line, "="); isReply {
			steps = append(steps, keyspace.Step{Reply: []byte(reply + "\r\n")})
			continue
		}
		s := keyspace.Step{DB: w.db}
		for _, word := range split(w.t, line) {
			s.Args = append(s.Args, []byte(word))
		}
		steps = append(steps, s)
	}
	return steps
}

func TestTransaction(t *testing.T) {
	w := newWorld(t)
	got := w.transact(nil, "SET k 1", "INCR k", "LPUSH k x", "=+PONG", "GET", "HSET h f v", "HGETALL h")
	want := "*7 +OK :2 -WRONGTYPE Operation against a key holding the wrong kind of value +PONG " +
		"-ERR wrong number of arguments for 'get' command :1 *2 $1 f $1 v"
	if got != want {
		t.Errorf("reply\n got %q\nwant %q", got, want)
	}
	w.proto = 3
	if got, want := w.transact(nil, "HGETALL h"), "*1 %1 $1 f $1 v"; got != want {
		t.Errorf("in RESP3 %q, want %q", got, want)
	}
	if got, want := w.transact(nil), "*0"; got != want {
		t.Errorf("without steps %q, want %q", got, want)
	}
}

func TestTransactionMindsItsWatches(t *testing.T) {
	tests := []struct {
		name, before, between string
		isRun                 bool
	}{
		{"nothing happened", "SET k v", "GET k", true},
		{"another key changed", "SET k v", "SET other v", true},
		{"changed", "SET k v", "SET k v", false},
		{"changed and back", "SADD k a", "SMOVE k other a", false},
		{"nothing to change", "SADD k a", "SADD k a", true},
		{"appeared", "SET other v", "HSET k f v", false},
		{"still absent", "SET other v", "GET k", true},
		{"vanished", "RPUSH k a", "LPOP k", false},
		{"expired", "SET k v PX 10", "sleep", false},
		{"given an end", "SET k v", "EXPIRE k 100", false},
		{"renamed over", "MSET k v other w", "RENAME other k", false},
		{"databases swapped", "SET k v", "SWAPDB 0 1", false},
		{"flushed", "SET k v", "FLUSHALL", false},
		{"sorted into", "RPUSH other 2 1", "SORT other STORE k", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, isRestored := range []bool{false, true} {
				w := newWorld(t)
				w.do(split(t, test.before)...)
				watches := []keyspace.Watch{{Key: []byte("k"), Number: watchOf(t, w, "k")}}
				if test.between == "sleep" {
					w.sleep(10 * time.Millisecond)
				} else {
					w.do(split(t, test.between)...)
				}
				if isRestored {
					other := keyspace.New()
					if err := other.Restore(bytes.NewReader(w.snapshot())); err != nil {
						t.Fatal(err)
					}
					w.space = other
				}
				want := "*-1"
				if test.isRun {
					want = "*1 +OK"
				}
				if got := w.transact(watches, "SET done 1"); got != want {
					t.Errorf("reply %q, want %q", got, want)
				}
				if got, want := visible(w.do("EXISTS", "done")), map[bool]string{false: ":0", true: ":1"}[test.isRun]; got != want {
					t.Errorf("EXISTS done: %s, want %s", got, want)
				}
			}
		})
	}
}

func TestTransactionAsQuery(t *testing.T) {
	w := newWorld(t)
	w.apply("SET", "k", "v")
	ask := func(lines ...string) string {
		return visible(string(w.space.Query(w.stamp, keyspace.AppendTransaction(nil, 2, nil, w.steps(lines)))))
	}
	if got, want := ask("GET k", "STRLEN k"), "*2 $1 v :1"; got != want {
		t.Errorf("reads: %q, want %q", got, want)
	}
	if got := ask("GET k", "DEL k"); !strings.HasPrefix(got, "-ERR ") {
		t.Errorf("with a write: %q, want an error", got)
	}
	w.want("EXISTS k", ":1")
}

func TestTransactionIsRefusedOnlyAsAWhole(t *testing.T) {
	tests := []struct {
		lines []string
		want  bool
	}{
		{[]string{"SET k v", "GET k"}, true},
		{[]string{"SADD s a", "SET k v"}, true},
		{[]string{"SET k v", "SET short v EX 10"}, false},
		{[]string{"GET k"}, false},
	}
	for _, test := range tests {
		w := newWorld(t)
		w.full = machine.PressureHigh
		tx := w.tx()
		w.space.Apply(tx, keyspace.AppendTransaction(nil, 2, nil, w.steps(test.lines)))
		if tx.Refused != test.want {
			t.Errorf("%q refused: %v, want %v", test.lines, tx.Refused, test.want)
		}
	}
}

// TestCollectionsDoNotGrowWhereThereIsNoRoom holds for what is kept long.
func TestCollectionsDoNotGrowWhereThereIsNoRoom(t *testing.T) {
	w := newWorld(t)
	for _, command := range []string{"HSET h f v", "SADD s a b", "RPUSH l 1 2", "ZADD z 1 a", "SADD short a", "EXPIRE short 100"} {
		w.do(split(t, command)...)
	}
	w.full = machine.PressureHigh
	size := w.space.Size()
	const oom = "-OOM command not allowed when used memory > 'maxmemory'."
	for _, command := range []string{
		"HSET h g v", "HSET new f v", "HINCRBY h n 1", "SADD s c", "SUNIONSTORE new s", "LPUSH l 0", "LINSERT l BEFORE 1 0", "RPOPLPUSH l new",
		"ZADD z 2 b", "ZUNIONSTORE new 1 z", "ZRANGESTORE new z 0 -1", "SORT l STORE new", "COPY s new", "SETBIT new 100 1", "SETRANGE new 0 x",
	} {
		w.want(command, oom)
	}
	if got := w.space.Size(); got != size {
		t.Errorf("size %d, want %d as before", got, size)
	}
	w.want("SADD short b", ":1")
	w.want("SINTERSTORE new s none", ":0")
	w.want("SREM s a", ":1")
	w.want("LPOP l", "$1 1")
	w.want("ZREM z a", ":1")
	w.want("HDEL h f", ":1")
}
