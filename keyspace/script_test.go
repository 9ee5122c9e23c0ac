package keyspace_test

import (
	"bytes"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/keyspace"
)

// scriptCases are compared with redis-server one after the other.
var scriptCases = [][]string{
	{"EVAL", "return 1", "0"},
	{"EVAL", "return {1,2,{3,'four',false,true},KEYS[1],ARGV[2],1.9}", "1", "k", "a", "b"},
	{"EVAL", "return redis.call('SET',KEYS[1],ARGV[1])", "1", "k", "v"},
	{"EVAL", "return redis.call('GET',KEYS[1])", "1", "k"},
	{"EVAL", "return redis.call('GET',KEYS[1])", "1", "none"},
	{"EVAL", "return redis.call('HSET','h','f','v','g','w') + redis.call('SADD','s','m') + redis.call('ZADD','z',1.5,'m',2,'n') + redis.call('RPUSH','l','a','b')", "0"},
	{"EVAL", "redis.setresp(3) return {redis.call('HGETALL','h')['map']['f'], redis.call('SMEMBERS','s')['set']['m'], redis.call('ZSCORE','z','m')}", "0"},
	{"EVAL", "redis.setresp(3) return redis.call('ZSCORE','z','m')", "0"},
	{"EVAL", "return {redis.call('ZRANGE','z',0,-1,'WITHSCORES'), redis.call('LRANGE','l',0,-1), redis.call('LPOP','l'), redis.call('TYPE','h')}", "0"},
	{"EVAL", "return redis.call('LPUSH','h','x')", "0"},
	{"EVAL", "return redis.pcall('LPUSH','h','x')", "0"},
	{"EVAL", "local e = redis.pcall('LPUSH','h','x') return e.err", "0"},
	{"EVAL", "return redis.error_reply('MY error')", "0"},
	{"EVAL", "return redis.status_reply('FINE')", "0"},
	{"EVAL", "return {err='OOPS x'}", "0"},
	{"EVAL", "return {ok='x'}", "0"},
	{"EVAL", "error('thrown')", "0"},
	{"EVAL", "redis.call('SET','stays','1') error('thrown')", "0"},
	{"GET", "stays"},
	{"EVAL", "return nosuch", "0"},
	{"EVAL", "return (", "0"},
	{"EVAL", "return redis.call('nosuch')", "0"},
	{"EVAL", "return redis.pcall('nosuch').err", "0"},
	{"EVAL", "return redis.call('GET')", "0"},
	{"EVAL", "return redis.call('MULTI')", "0"},
	{"EVAL", "return redis.call('EVAL','return 1','0')", "0"},
	{"EVAL", "return redis.call('SCRIPT','FLUSH')", "0"},
	{"EVAL", "return redis.call('SCRIPT')", "0"},
	{"EVAL", "return redis.call('OBJECT')", "0"},
	{"EVAL", "return redis.call('OBJECT','ENCODING','k')", "0"},
	{"EVAL", "return redis.call('HELLO')", "0"},
	{"EVAL", "return redis.call('PING')", "0"},
	{"EVAL", "return redis.call('PING','x')", "0"},
	{"EVAL", "return redis.call('ECHO','x')", "0"},
	{"EVAL", "return redis.call('ECHO')", "0"},
	{"EVAL", "return redis.call('SELECT','99')", "0"},
	{"EVAL", "return redis.call('SELECT','x')", "0"},
	{"EVAL", "redis.call('SELECT','3') redis.call('SET','there','1') return redis.call('GET','k')", "0"},
	{"GET", "there"},
	{"GET", "k"},
	{"EVAL", "redis.call('SELECT','3') return redis.call('GET','there')", "0"},
	{"EVAL", "redis.call('SWAPDB','0','3') local a = redis.call('GET','there') redis.call('SWAPDB','0','3') return {a, redis.call('GET','there')}", "0"},
	{"EVAL", "redis.call('SET','t','1','PX','500000') redis.call('PERSIST','t') return redis.call('TTL','t')", "0"},
	{"EVAL", "return {redis.call('FLUSHDB'), redis.call('DBSIZE')}", "0"},
	{"EVAL", "return 1", "x"},
	{"EVAL", "return 1", "-1"},
	{"EVAL", "return 1", "1"},
	{"EVAL", "return 1"},
	{"EVAL_RO", "return redis.call('SET','a','b')", "0"},
	{"EVAL_RO", "return redis.call('GET','a')", "0"},
	{"EVAL_RO", "#!lua\nreturn 1", "0"},
	{"EVAL_RO", "#!lua flags=no-writes\nreturn 1", "0"},
	{"EVAL", "#!lua flags=no-writes\nreturn redis.call('SET','a','b')", "0"},
	{"EVALSHA_RO", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "0"},
	{"SCRIPT", "LOAD", "return redis.call('INCR',KEYS[1])"},
	{"SCRIPT", "EXISTS", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "E0E1F9FABFC9D4800C877A703B823AC0578FF8DB", "x"},
	{"EVALSHA", "E0E1F9FABFC9D4800C877A703B823AC0578FF8DB", "0"},
	{"SCRIPT", "FLUSH", "foo"},
	{"SCRIPT", "FLUSH", "SYNC", "ASYNC"},
	{"SCRIPT", "FLUSH", "ASYNC"},
	{"SCRIPT", "EXISTS", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"},
	{"EVALSHA", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "0"},
	{"EVALSHA_RO", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "0"},
	{"EVAL", "error('kept all the same')", "0"},
	{"SCRIPT", "EXISTS", "a64042a4d1cdc89a0c571a0d2a3e92231531c5ce"},
	{"SCRIPT"},
	{"SCRIPT", "FOO"},
	{"SCRIPT", "LOAD"},
	{"SCRIPT", "LOAD", "a", "b"},
	{"SCRIPT", "EXISTS"},
	{"SCRIPT", "KILL"},
	{"SCRIPT", "LOAD", "x x"},
}

func TestScriptsAreRedis(t *testing.T) {
	for _, proto := range []int{2, 3} {
		x := &differ{world: newWorld(t), redis: startRedis(t)}
		x.proto = proto
		for _, args := range scriptCases {
			x.compare(args)
		}
		x.compareScripts([][]string{
			{"SET", "n", "1"},
			{"EVAL", "return redis.call('INCR',KEYS[1])", "1", "n"},
			{"EVAL", "redis.call('SELECT','5') return redis.call('INCR','n')", "0"},
			{"EVAL", "redis.call('INCR','n') error('x')", "0"},
			{"INCR", "n"},
		})
		if got, want := len(x.do("KEYS", "*")), len(x.redis.do("KEYS", "*")); got != want {
			t.Errorf("keys of %d bytes, Redis %d", got, want)
		}
	}
}

// compareScripts compares commands between MULTI and EXEC.
func (x *differ) compareScripts(commands [][]string) {
	x.t.Helper()
	var steps []keyspace.Step
	x.redis.do("MULTI")
	for _, args := range commands {
		x.redis.do(args...)
		steps = append(steps, keyspace.Step{Args: bytesOf(args)})
	}
	want := x.redis.do("EXEC")
	got := string(x.space.Apply(x.tx(), keyspace.AppendTransaction(nil, x.proto, nil, steps)))
	if got != want {
		x.t.Errorf("transaction:\n  got %q\nRedis %q", got, want)
	}
}

// stopped are ends of scripts that stop them, each behind all that a script
// can change.
var stopped = map[string]string{
	"steps": "while true do end",
	"bytes": "local s = 'x' while true do s = s .. s end",
	"work":  "local function f() for i = 1, 100000 do redis.pcall('KEYS','no') end end f()",
}

const changesAll = `
redis.call('SET','new','1','PX','1000') redis.call('APPEND','text','more') redis.call('SETRANGE','text','0','XX')
redis.call('DEL','gone') redis.call('PEXPIRE','kept','5') redis.call('PERSIST','ends') redis.call('RENAME','h2','h3')
redis.call('HSET','h','f','other','g','2') redis.call('SADD','s','n') redis.call('SREM','s','m')
redis.call('ZADD','z','9','m') redis.call('RPUSH','l','x') redis.call('LPOP','l') redis.call('DEL','alone')
redis.call('SWAPDB','0','2') redis.call('SET','new','1','PX','77') redis.call('SWAPDB','2','7')
redis.call('SELECT','1') redis.call('FLUSHDB') redis.call('SET','again','1','PX','3000')
redis.call('SELECT','9') redis.call('SET','fresh','1','PX','3000') redis.call('DEL','fresh')
if ARGV[1] then redis.call('FLUSHALL') end
`

// filledWorld has a key of each type, ends, and other databases.
func filledWorld(t reporter) *world {
	w := newWorld(t)
	fill := func() {
		for _, line := range []string{
			"SET text " + strings.Repeat("t", 100), "APPEND text x", "SET gone 1 PX 400000", "SET kept 1", "SET ends 1 EX 500", "SET over 1 PX 1",
			"HSET h f v", "HSET h2 a b", "PEXPIRE h2 90000", "SADD s m o", "ZADD z 1 m 2 o", "RPUSH l a b c", "RPUSH alone 1",
		} {
			w.do(split(t, line)...)
		}
	}
	for _, w.db = range []int{2, 1, 0} {
		fill()
	}
	for i := range 2000 {
		w.do("SET", "many"+strconv.Itoa(i), "v")
	}
	w.do("SCRIPT", "LOAD", unlockScript)
	w.sleep(time.Second) // "over" has ended
	return w
}

func TestAStoppedScriptLeavesNothing(t *testing.T) {
	for name, end := range stopped {
		for _, more := range []string{"", "flush"} {
			for _, prior := range []bool{false, true} { // a snapshot is being written
				w, other := filledWorld(t), filledWorld(t)
				var frozen []byte
				snap := other.space.Snapshot()
				if prior { // else collections would be changed in place
					snap = w.space.Snapshot()
					frozen = written(t, snap)
				}
				if name == "work" {
					for i := range 1000 { // so that the bound is reached
						w.do("SET", "m"+strconv.Itoa(i), "v")
						other.do("SET", "m"+strconv.Itoa(i), "v")
					}
				}
				before, size, index := other.snapshot(), other.space.Size(), maps.Clone(w.shell.index)
				args := []string{"EVAL", changesAll + end, "0"}
				if more != "" && name != "work" {
					args = append(args, more)
				}
				if got := w.apply(args...); !strings.HasPrefix(got, "-ERR script stopped: ") {
					t.Fatalf("%s: got %q", name, got)
				}
				if !bytes.Equal(w.snapshot(), before) || w.space.Size() != size || !maps.Equal(w.shell.index, index) {
					t.Errorf("%s %s: a stopped script left something: size %d, want %d", name, more, w.space.Size(), size)
				}
				if prior && !bytes.Equal(written(t, snap), frozen) {
					t.Errorf("%s: the snapshot changed", name)
				}
				goOnAlike(t, w, other)
			}
		}
	}
}

// goOnAlike compares a world with one that never ran what the other has.
func goOnAlike(t *testing.T, w, other *world) {
	t.Helper()
	w.stamp, w.shell.last = other.stamp, other.shell.last
	for _, args := range [][]string{
		{"APPEND", "text", "tail"},
		{"HSET", "h", "q", "1"},
		{"RPUSH", "l", "z"},
		{"ZADD", "z", "4", "q"},
		{"SADD", "s", "q"},
		{"EVAL", changesAll + "return redis.call('DBSIZE')", "0"},
		{"GET", "text"},
		{"DBSIZE"},
		{"FLUSHALL"},
	} {
		if got, want := w.do(args...), other.do(args...); got != want {
			t.Errorf("%.40q: got %q, want %q", args, got, want)
		}
		if !bytes.Equal(w.snapshot(), other.snapshot()) || w.space.Size() != other.space.Size() || !maps.Equal(w.shell.index, other.shell.index) {
			t.Fatalf("%.40q: another state than that of who never ran the script", args)
		}
	}
}

func TestScriptsAreState(t *testing.T) {
	w := newWorld(t)
	empty := w.space.Size()
	for i := range 1100 {
		w.apply("EVAL", fmt.Sprintf("return %d", i), "0")
		w.apply("EVAL", "return 'used always'", "0")
	}
	digest := parseReply(t, w.apply("SCRIPT", "LOAD", "return 'used always'"))[0]
	first := parseReply(t, w.apply("EVAL", "return redis.sha1hex('return 0')", "0"))[0]
	if got, want := w.apply("SCRIPT", "EXISTS", digest, first), "*2\r\n:1\r\n:0\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	data := w.snapshot()
	restored := newWorld(t)
	if err := restored.space.Restore(bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	if got, want := restored.space.Size(), w.space.Size(); got != want || got == empty {
		t.Errorf("size %d, want %d", got, want)
	}
	if !bytes.Equal(restored.snapshot(), data) {
		t.Error("what was restored is saved otherwise")
	}
	if got, want := restored.apply("EVALSHA", digest, "0"), "$11\r\nused always\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for n := range data {
		if err := newWorld(t).space.Restore(bytes.NewReader(data[:n])); err == nil && n%97 == 0 {
			t.Fatalf("%d bytes were restored", n)
		}
		if n > 2000 {
			break
		}
	}
	if restored.apply("SCRIPT", "FLUSH"); restored.space.Size() != empty {
		t.Errorf("size %d after SCRIPT FLUSH, want %d", restored.space.Size(), empty)
	}
}

// TestReadOnlyScriptsAreQueries is for the race detector too.
func TestReadOnlyScriptsAreQueries(t *testing.T) {
	w := newWorld(t)
	w.apply("SET", "k", "v")
	digest := parseReply(t, w.apply("SCRIPT", "LOAD", "return redis.call('GET',KEYS[1])"))[0]
	writing := parseReply(t, w.apply("SCRIPT", "LOAD", "return redis.call('DEL',KEYS[1])"))[0]
	restored := keyspace.New() // which has compiled nothing
	if err := restored.Restore(bytes.NewReader(w.snapshot())); err != nil {
		t.Fatal(err)
	}
	read, write := w.encode([]string{"EVALSHA_RO", digest, "1", "k"}), w.encode([]string{"EVALSHA_RO", writing, "1", "k"})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if got, want := string(restored.Query(w.stamp, read)), "$1\r\nv\r\n"; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			if got := string(restored.Query(w.stamp, write)); !strings.HasPrefix(got, "-ERR Write commands are not allowed from read-only scripts.") {
				t.Errorf("got %q", got)
			}
		})
	}
	all.Wait()
	if got := w.query("EVAL", "return 1", "0"); !strings.HasPrefix(got, "-ERR ") {
		t.Errorf("EVAL as a query: %q", got)
	}
}

func TestScriptsWhereThereIsNoRoom(t *testing.T) {
	const oom = "-OOM command not allowed when used memory > 'maxmemory'. script: "
	w := newWorld(t)
	w.apply("SET", "lock", "mine")
	for _, w.full = range []machine.Pressure{machine.PressureHigh, machine.PressureFull} {
		tx := w.tx()
		got := string(w.space.Apply(tx, w.encode([]string{"EVAL", "return redis.call('SET','k','v')", "0"})))
		if !strings.HasPrefix(got, oom) || !tx.Refused {
			t.Errorf("got %q, refused %v", got, tx.Refused)
		}
	}
	size := w.space.Size()
	if got := w.apply("EVAL", unlockScript, "1", "lock", "mine"); got != ":1\r\n" || w.space.Size() >= size {
		t.Errorf("unlocking in a full state: %q, size %d, was %d", got, w.space.Size(), size)
	}
	w.want("SCRIPT EXISTS "+unlockDigest, "*1 :0")
}
