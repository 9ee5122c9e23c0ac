package keyspace_test

import (
	"bytes"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/keyspace"
)

// TestModel runs random commands against a Space and its twin, while time
// moves, deadlines come, wall time jumps, the state fills, and the Space is
// replaced by one that was restored from its snapshot.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{t: t, world: newWorld(t), twin: newTwin(), times: timesOf}
		m.apply("SCRIPT", "LOAD", unlockScript)
		m.scripts = m.space.Size()
		t.Repeat(map[string]func(*rapid.T){
			"":        m.check,
			"command": m.command,
			"more":    m.command,
			"time":    m.time,
			"expire":  m.expire,
			"scan":    m.scan,
			"node":    m.node,
			"freeze":  m.freeze,
			"full": func(t *rapid.T) {
				m.twin.full = !m.twin.full
				m.full = machine.Pressure(rapid.IntRange(1, 2).Draw(t, "pressure"))
				if !m.twin.full {
					m.full = machine.PressureNone
				}
			},
		})
	})
}

type model struct {
	*world
	t       *rapid.T
	twin    *twin
	times   *rapid.Generator[int]
	cost    int64            // of a key in Size
	scripts int64            // in Size
	frozen  []frozenSnapshot // what was taken
}

type frozenSnapshot struct {
	write func() []byte
	want  []byte
}

var (
	keysOf   = rapid.SampledFrom([]string{"", "a", "b", "c", "key", "\x00\xff\r\n", strings.Repeat("long", 20)})
	valuesOf = rapid.SampledFrom([]string{"", "0", "7", "-12", "9", "007", "text", "\x00\xff\r\n", strings.Repeat("x", 300)})
	timesOf  = rapid.SampledFrom([]int{1, 2, 5, 100, 3600, 86_400, 86_401, 90_000_000})
)

// draw is a command of random words.
func (m *model) draw(t *rapid.T) []string {
	key, val := keysOf.Draw(t, "key"), valuesOf.Draw(t, "value")
	name := rapid.SampledFrom([]string{
		"GET", "MGET", "STRLEN", "EXISTS", "TOUCH", "TYPE", "DBSIZE", "TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME",
		"SET", "SET", "SET", "SETNX", "SETEX", "PSETEX", "GETSET", "GETDEL", "GETEX", "GETEX", "MSET", "MSETNX", "APPEND",
		"INCR", "DECR", "INCRBY", "DECRBY", "DEL", "UNLINK", "EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT", "EXPIRE", "PERSIST",
		"EVAL", "FLUSHDB", "FLUSHALL",
	}).Draw(t, "name")
	switch name {
	case "DBSIZE", "FLUSHDB", "FLUSHALL":
		return []string{name}
	case "MGET", "EXISTS", "TOUCH", "DEL", "UNLINK":
		return []string{name, key, keysOf.Draw(t, "second key")}
	case "SET":
		return append([]string{name, key, val}, m.setOptions(t)...)
	case "SETEX", "PSETEX":
		return []string{name, key, strconv.Itoa(m.times.Draw(t, "time")), val}
	case "GETEX":
		word := rapid.SampledFrom([]string{"", "PERSIST", "EX", "PX", "EXAT", "PXAT"}).Draw(t, "word")
		switch word {
		case "":
			return []string{name, key}
		case "PERSIST":
			return []string{name, key, word}
		}
		return []string{name, key, word, m.amount(t, word, 0)}
	case "SETNX", "GETSET", "APPEND":
		return []string{name, key, val}
	case "MSET", "MSETNX":
		return []string{name, key, val, keysOf.Draw(t, "second key"), valuesOf.Draw(t, "second value")}
	case "INCRBY", "DECRBY":
		return []string{name, key, strconv.Itoa(rapid.IntRange(-20, 20).Draw(t, "number"))}
	case "EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT":
		word := strings.Replace(strings.Replace(name, "PEXPIRE", "PX", 1), "EXPIRE", "EX", 1)
		conditions := rapid.SampledFrom([]string{"", "NX", "XX", "GT", "LT", "XX GT", "LT XX"}).Draw(t, "conditions")
		return append([]string{name, key, m.amount(t, word, -5)}, strings.Fields(conditions)...)
	case "EVAL":
		return []string{"EVAL", unlockScript, "1", key, val}
	}
	return []string{name, key}
}

func (m *model) setOptions(t *rapid.T) (options []string) {
	if condition := rapid.SampledFrom([]string{"", "NX", "XX"}).Draw(t, "condition"); condition != "" {
		options = append(options, condition)
	}
	if rapid.Bool().Draw(t, "get") {
		options = append(options, "GET")
	}
	switch word := rapid.SampledFrom([]string{"", "KEEPTTL", "EX", "PX", "EXAT", "PXAT"}).Draw(t, "word"); word {
	case "":
	case "KEEPTTL":
		options = append(options, word)
	default:
		options = append(options, word, m.amount(t, word, 0))
	}
	return options
}

// amount is a time for one of SET's words, counted from now where it must be;
// with least below zero it may be past.
func (m *model) amount(t *rapid.T, word string, least int) string {
	n := m.times.Draw(t, "time")
	if rapid.IntRange(0, 5).Draw(t, "past") == 0 && (least < 0 || strings.HasSuffix(word, "AT")) {
		n = -n
	}
	switch word {
	case "EXAT":
		n += int(m.stamp.Wall / time.Second)
	case "PXAT":
		n += int(m.stamp.Wall / time.Millisecond)
	}
	return strconv.Itoa(n)
}

func (m *model) twinCall(args ...string) *twinCall {
	null := "$-1\r\n"
	if m.proto == 3 {
		null = "_\r\n"
	}
	return &twinCall{twin: m.twin, keys: m.twin.dbs[m.db], at: m.stamp, args: args, null: null}
}

func (m *model) command(t *rapid.T) {
	m.proto = rapid.IntRange(2, 3).Draw(t, "proto")
	m.db = rapid.SampledFrom([]int{0, 0, 0, 1, 15}).Draw(t, "db")
	args := m.draw(t)
	want := m.twinCall(args...).do()
	run := m.do
	if rapid.Bool().Draw(t, "in log") {
		run = m.apply
	}
	if got := run(args...); got != want {
		t.Fatalf("%q at %v:\n got %q\nwant %q", args, m.stamp.Lease, got, want)
	}
}

func (m *model) time(t *rapid.T) {
	d := time.Duration(rapid.SampledFrom([]int{1, 300, 1000, 4900, 100_000, 3_600_000, 86_400_000}).Draw(t, "milliseconds")) * time.Millisecond
	m.sleep(d + time.Duration(rapid.IntRange(0, 2).Draw(t, "more"))*400*time.Microsecond)
	if rapid.IntRange(0, 9).Draw(t, "jump") == 0 {
		m.stamp.Wall += time.Hour
	}
}

func (m *model) expire(t *rapid.T) {
	for _, name := range m.shell.expire(rapid.IntRange(0, 3).Draw(t, "how many")) {
		delete(m.twin.dbs[name[0]], name[1:])
	}
}

// visible returns the keys that can be seen, in order.
func (c *twinCall) visible() (seen []string) {
	for _, key := range slices.Sorted(maps.Keys(c.keys)) {
		if c.has(key) {
			seen = append(seen, key)
		}
	}
	return seen
}

// scan reads all keys in three ways.
func (m *model) scan(t *rapid.T) {
	m.proto, m.db = 2, 0
	want := m.twinCall().visible()
	var scanned []string
	for cursor := ""; cursor != "0"; {
		reply := parseReply(t, m.query("SCAN", cursor, "COUNT", strconv.Itoa(rapid.IntRange(1, 4).Draw(t, "count"))))
		cursor = reply[0]
		scanned = append(scanned, reply[1:]...)
	}
	slices.Sort(scanned)
	if !slices.Equal(scanned, want) {
		t.Fatalf("SCAN found %q, want %q", scanned, want)
	}
	all := parseReply(t, m.query("KEYS", "*"))
	slices.Sort(all)
	if !slices.Equal(all, want) {
		t.Fatalf("KEYS found %q, want %q", all, want)
	}
	random := parseReply(t, m.query("RANDOMKEY"))
	if len(want) == 0 && len(random) != 0 || len(want) > 0 && !slices.Contains(want, random[0]) {
		t.Fatalf("RANDOMKEY chose %q of %q", random, want)
	}
}

// parseReply returns the strings of a reply, in their order, without nulls.
func parseReply(t reporter, reply string) (words []string) {
	t.Helper()
	for reply != "" {
		head, rest, _ := strings.Cut(reply, "\r\n")
		reply = rest
		n, err := strconv.Atoi(head[1:])
		if err != nil {
			t.Fatalf("reply %q", head)
		}
		if head[0] == '$' && n >= 0 {
			words, reply = append(words, rest[:n]), rest[n+2:]
		}
	}
	return words
}

// node goes on with a Space that was restored.
func (m *model) node(t *rapid.T) {
	data := m.snapshot()
	other := keyspace.New()
	if err := other.Restore(bytes.NewReader(data)); err != nil {
		t.Fatalf("restoring: %v", err)
	}
	if got, want := other.Size(), m.space.Size(); got != want {
		t.Fatalf("size %d after restoring, want %d", got, want)
	}
	m.space = other
	if !bytes.Equal(m.snapshot(), data) {
		t.Fatalf("what was restored is saved otherwise")
	}
}

// freeze takes a snapshot that check writes again and again.
func (m *model) freeze(t *rapid.T) {
	snap := m.space.Snapshot()
	write := func() []byte { return written(t, snap) }
	m.frozen = append(m.frozen, frozenSnapshot{write, write()})
	m.frozen = m.frozen[max(0, len(m.frozen)-3):]
}

// check compares everything that is not a reply.
func (m *model) check(t *rapid.T) {
	if m.cost == 0 {
		probe := newWorld(t)
		probe.apply("SET", "k", "v")
		m.cost = probe.space.Size() - 2
	}
	if got, want := m.space.Size(), m.twin.size(m.cost)+m.scripts; got != want {
		t.Fatalf("size %d, want %d", got, want)
	}
	if want := m.twin.deadlines(); !maps.Equal(m.shell.index, want) {
		t.Fatalf("index of deadlines\n got %v\nwant %v", m.shell.index, want)
	}
	for _, f := range m.frozen {
		if !bytes.Equal(f.write(), f.want) {
			t.Fatalf("a snapshot changed after it was taken")
		}
	}
	if m.failed != nil {
		t.Fatalf("the node was stopped: %v", m.failed)
	}
}
