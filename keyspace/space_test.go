package keyspace_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/keyspace"
)

var unlockQuoted = strconv.Quote(unlockScript)

const (
	// unlockScript is the script with which phpredis' session handler gives
	// its lock back, byte for byte: clients name it by its digest.
	unlockScript = `if redis.call("get",KEYS[1]) == ARGV[1] then return redis.call("del",KEYS[1]) else return 0 end`
	unlockDigest = "b70c2384248f88e6b75b9f89241a180f856ad852"
)

func TestApplyTakesReads(t *testing.T) {
	w := newWorld(t)
	w.apply("SET", "k", "v", "PX", "10")
	if got, want := w.apply("GET", "k"), "$1\r\nv\r\n"; got != want {
		t.Errorf("GET in the log: %q, want %q", got, want)
	}
	w.sleep(10 * time.Millisecond)
	if got, want := w.apply("GET", "k"), "$-1\r\n"; got != want {
		t.Errorf("GET in the log at the deadline: %q, want %q", got, want)
	}
}

func TestUnknownCommandStopsTheNode(t *testing.T) {
	good := newWorld(t).encode([]string{"SET", "k", "v"})
	tests := map[string][]byte{
		"unknown name": newWorld(t).encode([]string{"FROB", "k"}),
		"long name":    newWorld(t).encode([]string{strings.Repeat("x", 1000)}),
		"empty":        {},
		"newer format": append([]byte{2}, good[1:]...),
		"cut":          good[:len(good)-1],
		"longer":       append(bytes.Clone(good), 0),
		"RESP 4":       {1, 4, 0, 1, 1, 'x'},
		"database 16":  {1, 2, 16, 1, 1, 'x'},
		"no arguments": {1, 2, 0, 0, 0},
	}
	for name, cmd := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if reply := w.space.Apply(w.tx(), cmd); reply != nil {
				t.Errorf("reply %q, want none", reply)
			}
			if !errors.Is(w.failed, machine.ErrUnknownCommand) {
				t.Errorf("failed with %v, want ErrUnknownCommand", w.failed)
			}
			if reply := w.space.Query(w.stamp, cmd); !bytes.HasPrefix(reply, []byte("-ERR ")) {
				t.Errorf("as a query %q, want an error", reply)
			}
		})
	}
}

func TestQueryRefusesToWrite(t *testing.T) {
	w := newWorld(t)
	if got := w.query("SET", "k", "v"); !strings.HasPrefix(got, "-ERR ") {
		t.Errorf("SET as a query: %q, want an error", got)
	}
	w.want("DBSIZE", ":0")
}

func TestDatabasesAreApart(t *testing.T) {
	w := newWorld(t)
	for w.db = range keyspace.Databases {
		w.want("SET k "+strconv.Itoa(w.db)+" EX 10", "+OK")
	}
	w.db = 3
	w.want("FLUSHDB", "+OK")
	w.want("GET k", "$-1")
	w.db = 4
	w.want("GET k", "$1 4")
	w.want("FLUSHALL", "+OK")
	for w.db = range keyspace.Databases {
		w.want("DBSIZE", ":0")
	}
	if len(w.shell.index) != 0 {
		t.Errorf("%d deadlines remain after FLUSHALL, want none", len(w.shell.index))
	}
	if got := w.space.Size(); got != 0 {
		t.Errorf("size %d, want 0", got)
	}
}

func TestExpireRemovesOnlyWhatIsDue(t *testing.T) {
	w := newWorld(t)
	w.apply("SET", "k", "v", "PX", "10")
	w.sleep(9 * time.Millisecond)
	w.space.Expire(w.tx(), []byte("\x00k"))
	w.want("EXISTS k", ":1")
	w.sleep(time.Millisecond)
	w.want("EXISTS k", ":0")
	w.want("DBSIZE", ":1")
	w.space.Expire(w.tx(), []byte("\x01k"))
	w.want("DBSIZE", ":1")
	w.space.Expire(w.tx(), []byte("\x00k"))
	w.want("DBSIZE", ":0")

	w.apply("SET", "p", "v")
	for _, name := range []string{"", "\x00", "\x00p", "\x10p", "\xff"} {
		w.space.Expire(w.tx(), []byte(name))
	}
	w.want("DBSIZE", ":1")
}

func TestWallClockDoesNotMoveDeadlines(t *testing.T) {
	w := newWorld(t)
	w.apply("SET", "relative", "v", "EX", "100")
	w.apply("SET", "absolute", "v", "EXAT", "1700000100")
	w.stamp.Wall += time.Hour
	for _, key := range []string{"relative", "absolute"} {
		w.want("TTL "+key, ":100")
		w.want("EXPIRETIME "+key, ":1700000100")
		w.want("EXPIRE "+key+" 50 GT", ":0")
	}
	w.stamp.Lease += time.Millisecond // and wall time is slewed
	w.want("EXPIREAT absolute 1700000100 GT", ":0")
	w.sleep(100 * time.Second)
	w.want("EXISTS relative absolute", ":0")
}

func TestScanReturnsWhatStays(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 0))
		w := newWorld(t)
		for i := range 200 {
			w.apply("SET", "stays"+strconv.Itoa(i), "v")
			w.apply("SET", "goes"+strconv.Itoa(i), "v")
		}
		seen := map[string]int{}
		cursor := "0"
		for step := 0; ; step++ {
			words := strings.Split(visible(w.do("SCAN", cursor, "COUNT", strconv.Itoa(1+rng.IntN(30)), "MATCH", "stays*")), " ")
			for _, word := range words[4:] {
				if strings.HasPrefix(word, "stays") {
					seen[word]++
				}
			}
			cursor = words[2]
			if n, err := strconv.ParseUint(cursor, 10, 64); err != nil || n >= 1<<53 {
				t.Fatalf("seed %d: cursor %s, want a number under 2^53", seed, cursor)
			}
			if cursor == "0" {
				break
			}
			for range 5 {
				w.apply("DEL", "goes"+strconv.Itoa(rng.IntN(200)))
				w.apply("SET", fmt.Sprint("comes", rng.IntN(200)), "v")
			}
			if step%3 == 0 { // another node goes on
				other := keyspace.New()
				if err := other.Restore(bytes.NewReader(w.snapshot())); err != nil {
					t.Fatal(err)
				}
				w.space = other
			}
		}
		if len(seen) != 200 {
			t.Errorf("seed %d: %d of 200 keys returned", seed, len(seen))
		}
		for key, n := range seen {
			if n != 1 {
				t.Errorf("seed %d: %s returned %d times", seed, key, n)
			}
		}
	}
}

func TestRandomKeyReachesEveryKey(t *testing.T) {
	w := newWorld(t)
	for i := range 20 {
		w.apply("SET", strconv.Itoa(i), "v")
		w.apply("SET", "gone"+strconv.Itoa(i), "v", "PX", "1")
	}
	seen := map[string]bool{}
	for range 1000 {
		w.sleep(time.Millisecond)
		seen[w.do("RANDOMKEY")] = true
	}
	if len(seen) != 20 {
		t.Errorf("%d different replies, want 20", len(seen))
	}
	if a, b := w.do("RANDOMKEY"), w.do("RANDOMKEY"); a != b {
		t.Errorf("%q and %q at one stamp, want equal", a, b)
	}
}

func TestAppendStopsAtRedisLimit(t *testing.T) {
	w := newWorld(t)
	w.apply("DBSIZE") // the first command brings the seed
	w.space.PutZeros(w.tx(), "k", 512<<20-1)
	w.want("APPEND k a", ":536870912")
	w.want("APPEND k a", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)")
	w.want("STRLEN k", ":536870912")
}

func TestSizeFollowsEveryChange(t *testing.T) {
	w := newWorld(t)
	w.want("SET k v", "+OK")
	one := w.space.Size() - 2
	tests := []struct {
		command string
		want    int64
	}{
		{"APPEND k vv", one + 4},
		{"EXPIRE k 10", one + 4},
		{"SET k v", one + 2},
		{"SET key v", 2*one + 6},
		{"INCR n", 3*one + 8},
		{"DEL k", 2*one + 6},
		{"PEXPIRE key 0", one + 2},
		{"FLUSHDB", 0},
	}
	for _, test := range tests {
		w.do(split(t, test.command)...)
		if got := w.space.Size(); got != test.want {
			t.Errorf("size %d after %s, want %d", got, test.command, test.want)
		}
	}
}

func TestTable(t *testing.T) {
	commands := keyspace.Commands()
	if !slices.IsSortedFunc(commands, func(a, b *keyspace.Command) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("commands are not in order")
	}
	for _, c := range commands {
		if got, found := keyspace.Lookup([]byte(strings.ToUpper(c.Name))); !found || got != c {
			t.Errorf("Lookup(%s) = %v, %v", c.Name, got, found)
		}
		if slices.Contains(c.Flags, "write") && !c.Writes || slices.Contains(c.Flags, "readonly") && c.Writes && c.Name != "eval_ro" {
			t.Errorf("%s writes: %v, flags %v", c.Name, c.Writes, c.Flags)
		}
	}
	for _, name := range []string{"", "gett", "\x00", strings.Repeat("get", 20)} {
		if _, found := keyspace.Lookup([]byte(name)); found {
			t.Errorf("Lookup(%q) found something", name)
		}
	}
	name := []byte("PExpireTime")
	if n := testing.AllocsPerRun(100, func() { keyspace.Lookup(name) }); n != 0 {
		t.Errorf("Lookup allocates %v times", n)
	}
}

func TestFrees(t *testing.T) {
	tests := map[string]bool{
		"DEL a b":              true,
		"UNLINK a":             true,
		"DEL":                  false,
		"GETDEL a":             true,
		"FLUSHDB":              true,
		"FLUSHALL ASYNC":       true,
		"EVALSHA x 1 a":        true,
		"EXPIRE k 0":           true,
		"EXPIREAT k -1 LT":     true,
		"EXPIRE k 1":           false,
		"PEXPIREAT k x":        false,
		"SET k v":              false,
		"GETEX k":              false,
		"PERSIST k":            false,
		"GET k":                false,
		"APPEND k a":           false,
		"HDEL h f":             true,
		"LTRIM l 0 1":          true,
		"ZPOPMIN z":            true,
		"SPOP s 3":             true,
		"HSET h f v":           false,
		"LMOVE a b left right": false,
		"RENAME a b":           false,
	}
	for command, want := range tests {
		var args [][]byte
		for _, arg := range split(t, command) {
			args = append(args, []byte(arg))
		}
		c, _ := keyspace.Lookup(args[0])
		if got := c.Frees(args); got != want {
			t.Errorf("%s frees: %v, want %v", command, got, want)
		}
	}
}

// TestEqualHashesStayApart takes two keys whose hashes by testSeed are equal;
// they were found by a search of minutes.
func TestEqualHashesStayApart(t *testing.T) {
	const a, b = "2016132459850031", "4382148933653205"
	w := newWorld(t)
	for i := range 50 {
		w.apply("SET", "other"+strconv.Itoa(i), "v")
	}
	w.want("MSET "+b+" B "+a+" A", "+OK")
	if keyspace.SipHash(&testSeed, []byte(a))<<12 != keyspace.SipHash(&testSeed, []byte(b))<<12 {
		t.Fatal("the hashes are not equal")
	}
	data := w.snapshot()
	if err := w.space.Restore(bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	w.want("MGET "+a+" "+b, "*2 $1 A $1 B")

	for cursor, together := "0", false; !together; {
		reply := parseReply(t, w.do("SCAN", cursor, "COUNT", "1"))
		cursor, together = reply[0], slices.Equal(reply[1:], []string{a, b})
		if cursor == "0" && !together {
			t.Fatal("one scan did not return both together")
		}
	}
	w.want("DEL "+a, ":1")
	w.want("MGET "+a+" "+b, "*2 $-1 $1 B")
	w.want("SET "+a+" again", "+OK")
	w.want("DEL "+b, ":1")
	w.want("MGET "+a+" "+b, "*2 $5 again $-1")
}
