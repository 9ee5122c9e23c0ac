package keyspace_test

import (
	"bytes"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/huddlecache/huddle/keyspace"
)

// TestElementScansReturnWhatStays lets elements come and go, and other nodes
// go on.
func TestElementScansReturnWhatStays(t *testing.T) {
	tests := []struct{ scan, add, remove string }{
		{"HSCAN", "HSET k # v", "HDEL k #"},
		{"SSCAN", "SADD k #", "SREM k #"},
		{"ZSCAN", "ZADD k 1 #", "ZREM k #"},
	}
	for _, test := range tests {
		t.Run(test.scan, func(t *testing.T) {
			for seed := range uint64(10) {
				rng := rand.New(rand.NewPCG(seed, 0))
				w := newWorld(t)
				element := func(template, name string) { w.do(strings.Fields(strings.ReplaceAll(template, "#", name))...) }
				for i := range 300 {
					element(test.add, "stays"+strconv.Itoa(i))
					element(test.add, "goes"+strconv.Itoa(i))
				}
				seen := map[string]int{}
				for cursor, step := "0", 0; step == 0 || cursor != "0"; step++ {
					reply := parseReply(t, w.do(test.scan, "k", cursor, "COUNT", strconv.Itoa(1+rng.IntN(40)), "MATCH", "stays*"))
					cursor = reply[0]
					for _, name := range reply[1:] {
						if strings.HasPrefix(name, "stays") {
							seen[name]++
						}
					}
					if n, err := strconv.ParseUint(cursor, 10, 64); err != nil || n >= 1<<53 {
						t.Fatalf("seed %d: cursor %s, want a number under 2^53", seed, cursor)
					}
					for range 5 {
						element(test.remove, "goes"+strconv.Itoa(rng.IntN(300)))
						element(test.add, "comes"+strconv.Itoa(rng.IntN(300)))
					}
					if step%3 == 0 {
						other := keyspace.New()
						if err := other.Restore(bytes.NewReader(w.snapshot())); err != nil {
							t.Fatal(err)
						}
						w.space = other
					}
				}
				if len(seen) != 300 {
					t.Errorf("seed %d: %d of 300 elements returned", seed, len(seen))
				}
				for name, n := range seen {
					if n != 1 {
						t.Errorf("seed %d: %s returned %d times", seed, name, n)
					}
				}
			}
		})
	}
}

func TestSmallCollectionsAreScannedWhole(t *testing.T) {
	w := newWorld(t)
	for i := range 100 {
		w.apply("HSET", "h", strconv.Itoa(i), "v")
		w.apply("SADD", "s", strconv.Itoa(i))
		w.apply("ZADD", "z", "1", strconv.Itoa(i))
	}
	for command, want := range map[string]int{"HSCAN h": 200, "SSCAN s": 100, "ZSCAN z": 200} {
		reply := parseReply(t, w.do(append(strings.Fields(command), "0", "COUNT", "1")...))
		if reply[0] != "0" || len(reply)-1 != want {
			t.Errorf("%s: cursor %s and %d strings, want 0 and %d", command, reply[0], len(reply)-1, want)
		}
	}
}

// TestPicksReachEverything draws often enough.
func TestPicksReachEverything(t *testing.T) {
	w := newWorld(t)
	for i := range 20 {
		w.apply("HSET", "h", strconv.Itoa(i), "v")
		w.apply("SADD", "s", strconv.Itoa(i))
		w.apply("ZADD", "z", "1", strconv.Itoa(i))
	}
	for _, command := range []string{
		"HRANDFIELD h", "SRANDMEMBER s", "ZRANDMEMBER z", "SRANDMEMBER s 5", "HRANDFIELD h -5", "ZRANDMEMBER z 19",
	} {
		seen := map[string]int{}
		for range 400 {
			w.sleep(time.Millisecond)
			for _, name := range parseReply(t, w.do(strings.Fields(command)...)) {
				seen[name]++
			}
		}
		if len(seen) != 20 {
			t.Errorf("%s returned %d different elements, want 20", command, len(seen))
		}
	}
}

func TestPicksOfOneTransactionDiffer(t *testing.T) {
	w := newWorld(t)
	for i := range 1000 {
		w.apply("SADD", "s", strconv.Itoa(i))
	}
	reply := w.transact(nil, "SRANDMEMBER s", "SRANDMEMBER s", "SRANDMEMBER s")
	if words := strings.Fields(reply); words[2] == words[4] && words[4] == words[6] {
		t.Errorf("three times the same element: %s", reply)
	}
}

// TestOneCommandCannotFillMemory holds what Redis would try to do.
func TestOneCommandCannotFillMemory(t *testing.T) {
	w := newWorld(t)
	w.apply("HSET", "h", "f", "v")
	w.apply("SADD", "s", "m")
	w.apply("ZADD", "z", "1", "m")
	w.apply("SET", "long", strings.Repeat("x", 5000))
	for command, want := range map[string]string{
		"HRANDFIELD h -4611686018427387903 WITHVALUES": "-ERR value is out of range",
		"SRANDMEMBER s -9223372036854775807":           "-ERR value is out of range",
		"ZRANDMEMBER z -1048577":                       "-ERR value is out of range",
		"SETBIT k 4294967295 1":                        "-ERR string exceeds maximum allowed size (proto-max-bulk-len)",
		"SETRANGE k 500000000 x":                       "-ERR string exceeds maximum allowed size (proto-max-bulk-len)",
		"BITFIELD k SET u8 4294967280 1":               "-ERR string exceeds maximum allowed size (proto-max-bulk-len)",
		"LCS long long":                                "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
	} {
		w.want(command, want)
	}
	w.want("EXISTS k", ":0")
}

func TestEncodings(t *testing.T) {
	w := newWorld(t)
	long := strings.Repeat("x", 65)
	tests := []struct{ command, key, want string }{
		{"SET k 12", "k", "int"},
		{"SET k text", "k", "embstr"},
		{"SET k " + long, "k", "raw"},
		{"HSET h f v", "h", "listpack"},
		{"HSET h f " + long, "h", "hashtable"},
		{"SADD s 1 2", "s", "intset"},
		{"SADD s x", "s", "hashtable"},
		{"ZADD z 1 a", "z", "listpack"},
		{"ZADD z 1 " + long, "z", "skiplist"},
		{"RPUSH l a", "l", "quicklist"},
	}
	for _, test := range tests {
		w.do(strings.Fields(test.command)...)
		w.want("OBJECT ENCODING "+test.key, "$"+strconv.Itoa(len(test.want))+" "+test.want)
	}
	for i := range 513 {
		w.apply("HSET", "many-h", strconv.Itoa(i), "v")
		w.apply("SADD", "many-s", strconv.Itoa(i))
		w.apply("ZADD", "many-z", "1", strconv.Itoa(i))
	}
	w.want("OBJECT ENCODING many-h", "$9 hashtable")
	w.want("OBJECT ENCODING many-s", "$9 hashtable")
	w.want("OBJECT ENCODING many-z", "$8 skiplist")
}
