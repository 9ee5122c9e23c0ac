package keyspace_test

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/huddlecache/huddle/keyspace"
)

var (
	differCommands = flag.Int("differ.commands", 5000, "commands of each type that TestDiffersNotFromRedis compares")
	differSeed     = flag.Uint64("differ.seed", 0, "seed of TestDiffersNotFromRedis; 0: another one each time")
)

// A differ compares a Space with redis-server.
type differ struct {
	*world
	redis *redisConn
	rng   *rand.Rand
	asked int // RESP version of redis
	log   []string

	frozen []frozenSnapshot
}

func TestDiffersNotFromRedis(t *testing.T) {
	seed := *differSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	for name, d := range dialects {
		t.Run(name, func(t *testing.T) {
			t.Logf("-differ.seed=%d", seed)
			redis := startRedis(t) // a new one: SORT sees the errno of earlier commands
			redis.w.SetDeadline(time.Now().Add(10 * time.Minute))
			rng := rand.New(rand.NewPCG(seed, 0))
			m := &maker{rng: rng, pools: []map[string]string{d.pools, pools}, templates: d.templates()}
			x := &differ{world: newWorld(t), redis: redis, rng: rng}
			x.both("FLUSHALL")
			for i := range *differCommands {
				if i%100 == 0 {
					x.begin(name)
				}
				if i%20 == 0 {
					x.compareTransaction(m)
				}
				x.compare(m.command())
				if i%97 == 0 {
					x.inspect()
				}
				if t.Failed() {
					t.Fatalf("-differ.seed=%d; before:\n%s", seed, strings.Join(x.log[max(0, len(x.log)-40):], "\n"))
				}
			}
			x.inspect()
		})
	}
}

// begin fills some keys of other types.
func (x *differ) begin(name string) {
	x.proto = 2 + x.rng.IntN(2)
	if x.rng.IntN(4) == 0 {
		x.both("FLUSHALL")
	}
	x.both("DEL", "other")
	if name == "list" {
		x.both("SADD", "other", "1", "2")
	} else {
		x.both("RPUSH", "other", "1", "2")
	}
	x.both("SET", "str", "text")
}

// both executes a command on both sides.
func (x *differ) both(args ...string) (want, got string) {
	x.log = append(x.log, fmt.Sprintf("RESP%d %q", x.proto, args))
	if x.asked != x.proto {
		x.redis.do("HELLO", strconv.Itoa(x.proto))
		x.asked = x.proto
	}
	x.stamp.Wall = time.Duration(time.Now().UnixMicro()) * time.Microsecond
	x.stamp.Lease += time.Microsecond
	return x.redis.do(args...), x.do(args...)
}

func (x *differ) compare(args []string) {
	x.t.Helper()
	c, _ := keyspace.Lookup([]byte(args[0]))
	switch {
	case isRandom(args[0]) && !strings.HasSuffix(args[0], "SCAN") && c.Accepts(len(args)):
		x.compareRandom(args)
		return
	case strings.HasSuffix(args[0], "SCAN") && len(args) > 2 && args[2] == "0":
		x.compareScan(args)
		return
	}
	want, got := x.both(args...)
	if a, b := inOrder(args, want), inOrder(args, got); a != b && !isSameTime(args[0], got, want) {
		x.t.Errorf("%q:\n  got %q\nRedis %q", args, got, want)
	}
}

// isRandom reports whether a command's reply is to be had once only.
func isRandom(name string) bool {
	return strings.HasSuffix(name, "SCAN") || slices.Contains([]string{"SPOP", "HRANDFIELD", "SRANDMEMBER", "ZRANDMEMBER"}, name)
}

// compareTransaction compares MULTI and EXEC, with keys that are watched while
// another command is executed. What Redis does not execute must not be
// executed here. What it does may not be executed here, if another key has
// changed; it is then executed without watches.
func (x *differ) compareTransaction(m *maker) {
	x.t.Helper()
	var lines []string
	var steps []keyspace.Step
	x.compare([]string{"DBSIZE"})
	var commands [][]string
	for range 1 + x.rng.IntN(4) {
		args := m.command()
		if c, _ := keyspace.Lookup([]byte(args[0])); c.Accepts(len(args)) && !isRandom(args[0]) {
			commands = append(commands, args)
			steps = append(steps, keyspace.Step{Args: bytesOf(args)})
			lines = append(lines, fmt.Sprintf("%q", args))
		}
	}
	var watches []keyspace.Watch
	if x.rng.IntN(2) == 0 {
		key := m.pool("k")
		watches = append(watches, keyspace.Watch{Key: []byte(key), Number: watchOf(x.t, x.world, key)})
		x.redis.do("WATCH", key)
		if args := m.command(); args[0] != "SPOP" { // which is compared by changing more
			x.compare(args)
		}
	}
	x.log = append(x.log, fmt.Sprintf("transaction %q", lines))
	x.redis.do("MULTI")
	for _, args := range commands {
		x.redis.do(args...)
	}
	want := x.redis.do("EXEC")
	isRun := !strings.HasPrefix(want, "*-1") && !strings.HasPrefix(want, "_")
	run := func(watches []keyspace.Watch) string {
		return string(x.space.Apply(x.tx(), keyspace.AppendTransaction(nil, x.proto, watches, steps)))
	}
	got := run(watches)
	if isRun && got != want && !strings.HasPrefix(got, "*"+strconv.Itoa(len(steps))) {
		got = run(nil)
	}
	if !isRun || len(steps) == 0 {
		if got != want {
			x.t.Errorf("transaction %q with watches %v:\n  got %q\nRedis %q", lines, watches, got, want)
		}
		return
	}
	_, wants := elementsOf(want)
	_, gots := elementsOf(got)
	for i, args := range commands {
		if len(gots) != len(wants) || inOrder(args, gots[i]) != inOrder(args, wants[i]) && !isSameTime(args[0], gots[i], wants[i]) {
			x.t.Errorf("transaction %q:\n  got %q\nRedis %q", lines, got, want)
			return
		}
	}
}

func bytesOf(args []string) (raw [][]byte) {
	for _, arg := range args {
		raw = append(raw, []byte(arg))
	}
	return raw
}

// inOrder sorts what a reply holds in no order.
func inOrder(args []string, reply string) string {
	reply = oneZero(reply)
	width := 0
	switch args[0] {
	case "SMEMBERS", "SINTER", "SUNION", "SDIFF", "HKEYS", "HVALS", "KEYS":
		width = 1
	case "HGETALL":
		width = 2
	case "SORT", "SORT_RO": // ties, and sets that are not sorted
		width = 1
	}
	if width == 0 || !strings.ContainsAny(reply[:1], "*~%") {
		return reply
	}
	head, elements := elementsOf(reply)
	var groups []string
	for group := range slices.Chunk(elements, width) {
		groups = append(groups, strings.Join(group, ""))
	}
	slices.Sort(groups)
	return head + strings.Join(groups, "")
}

// oneZero drops the sign of zeros: Redis keeps it in large sorted sets and in
// replies that are not stored, and here there is none.
func oneZero(reply string) string {
	reply = strings.ReplaceAll("\r\n"+reply, "\r\n$2\r\n-0\r\n", "\r\n$1\r\n0\r\n")
	return strings.ReplaceAll(reply, "\r\n,-0\r\n", "\r\n,0\r\n")[2:]
}

// elementsOf parts an aggregate reply into its head and its elements.
func elementsOf(reply string) (head string, elements []string) {
	head, rest, _ := strings.Cut(reply, "\r\n")
	for rest != "" {
		n := replyLen(rest)
		elements = append(elements, rest[:n])
		rest = rest[n:]
	}
	return head, elements
}

// replyLen returns the length of the first reply in s.
func replyLen(s string) int {
	at := strings.Index(s, "\r\n") + 2
	n, _ := strconv.Atoi(s[1 : at-2])
	switch s[0] {
	case '%':
		n *= 2
		fallthrough
	case '*', '~':
		for range n {
			at += replyLen(s[at:])
		}
	case '$':
		if n >= 0 {
			at += n + 2
		}
	}
	return at
}

// compareRandom compares the shape of what was picked, and that all of it was
// there to be picked. What SPOP takes from ours is then taken from Redis too.
func (x *differ) compareRandom(args []string) {
	x.t.Helper()
	all := map[string]string{"SPOP": "SMEMBERS", "SRANDMEMBER": "SMEMBERS", "HRANDFIELD": "HGETALL", "ZRANDMEMBER": "ZRANGE"}[args[0]]
	there := []string{all, args[1]}
	if all == "ZRANGE" {
		there = append(there, "0", "-1", "WITHSCORES")
	}
	proto := x.proto
	x.proto = 2
	before := x.do(there...)
	x.proto = proto
	if args[0] == "SPOP" {
		x.redis.do("COPY", args[1], "spare", "REPLACE")
		defer x.redis.do("DEL", "spare")
	}
	want, got := x.both(args...)
	if want[0] == '-' || got[0] == '-' || want[0] == '_' || got[0] == '_' || len(before) < 3 {
		if want != got {
			x.t.Errorf("%q:\n  got %q\nRedis %q", args, got, want)
		}
		return
	}
	if want[0] == '$' && want[1] != '-' {
		want, got = "*1\r\n"+want, "*1\r\n"+got
	}
	wantHead, wantElements := elementsOf(want)
	gotHead, gotElements := elementsOf(got)
	if wantHead != gotHead || len(wantElements) != len(gotElements) {
		x.t.Errorf("%q:\n  got %q\nRedis %q", args, got, want)
	}
	seen := map[string]bool{}
	isPair := len(args) == 4
	for i, element := range gotElements {
		isName := !isPair || x.proto == 3 || i%2 == 0
		if isName && strings.HasPrefix(args[min(2, len(args)-1)], "-") == false && seen[element] {
			x.t.Errorf("%q: %q came twice", args, element)
		}
		seen[element] = seen[element] || isName
		_, parts := elementsOf("*1\r\n" + element)
		if element[0] == '*' {
			_, parts = elementsOf(element)
		}
		for _, part := range parts {
			if part[0] != ',' && !strings.Contains(before, part) {
				x.t.Errorf("%q: %q was picked, and is not in %q", args, part, before)
			}
		}
	}
	if args[0] == "SPOP" && len(gotElements) > 0 {
		if x.redis.do("EXISTS", "spare") == ":1\r\n" {
			x.redis.do("RENAME", "spare", args[1])
			names := append([]string{"SREM", args[1]}, parseReply(x.t, got)...)
			if reply := x.redis.do(names...); reply != fmt.Sprintf(":%d\r\n", len(gotElements)) {
				x.t.Errorf("%q took %q, of which Redis had %q", args, got, reply)
			}
		}
	}
}

// compareScan scans from one end to the other on both sides.
func (x *differ) compareScan(args []string) {
	x.t.Helper()
	var replies [2][]string
	for side, do := range []func(...string) string{x.redis.do, x.do} {
		if side == 0 && x.asked != x.proto {
			x.redis.do("HELLO", strconv.Itoa(x.proto))
			x.asked = x.proto
		}
		again := slices.Clone(args)
		for {
			reply := do(again...)
			if reply[0] == '-' {
				replies[side] = []string{reply}
				break
			}
			_, parts := elementsOf(oneZero(reply))
			_, elements := elementsOf(parts[1])
			if args[0] != "SSCAN" {
				for pair := range slices.Chunk(elements, 2) {
					replies[side] = append(replies[side], pair[0]+pair[1])
				}
			} else {
				replies[side] = append(replies[side], elements...)
			}
			if again[2] = parseReply(x.t, parts[0])[0]; again[2] == "0" {
				break
			}
		}
		slices.Sort(replies[side])
		replies[side] = slices.Compact(replies[side])
	}
	if !slices.Equal(replies[0], replies[1]) {
		x.t.Errorf("%q:\n  got %q\nRedis %q", args, replies[1], replies[0])
	}
}

// inspect compares all that is there, and that snapshots taken earlier are as
// they were, that a restored Space is the same, and that Size is.
func (x *differ) inspect() {
	x.t.Helper()
	x.compare([]string{"KEYS", "*"})
	x.proto = 2
	for _, key := range parseReply(x.t, x.do("KEYS", "*")) {
		x.compare([]string{"TYPE", key})
		switch visible(x.do("TYPE", key)) {
		case "+string":
			x.compare([]string{"GET", key})
		case "+hash":
			x.compare([]string{"HGETALL", key})
		case "+set":
			x.compare([]string{"SMEMBERS", key})
		case "+list":
			x.compare([]string{"LRANGE", key, "0", "-1"})
		case "+zset":
			x.compare([]string{"ZRANGE", key, "0", "-1", "WITHSCORES"})
		}
	}
	for _, f := range x.frozen {
		if !bytes.Equal(f.write(), f.want) {
			x.t.Errorf("a snapshot changed after it was taken")
		}
	}
	snap := x.space.Snapshot()
	write := func() []byte { return written(x.t, snap) }
	x.frozen = append(x.frozen, frozenSnapshot{write, write()})
	x.frozen = x.frozen[max(0, len(x.frozen)-4):]
	if x.rng.IntN(2) == 0 {
		other := keyspace.New()
		if err := other.Restore(bytes.NewReader(write())); err != nil {
			x.t.Fatalf("restoring: %v", err)
		}
		if got, want := other.Size(), x.space.Size(); got != want {
			x.t.Errorf("size %d after restoring, want %d", got, want)
		}
		x.space = other
		if !bytes.Equal(x.snapshot(), write()) {
			x.t.Errorf("what was restored is saved otherwise")
		}
	}
	x.proto = 2 + x.rng.IntN(2)
}
