package keyspace_test

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/huddlecache/huddle/keyspace"
)

func FuzzDecodeCommand(f *testing.F) {
	f.Add(keyspace.AppendCommand(nil, 0, 2, [][]byte{[]byte("SET"), {}, {0, 255}}))
	f.Add(keyspace.AppendCommand(nil, 15, 3, slices.Repeat([][]byte{[]byte("x")}, 10)))
	prepare := samples()[:40]
	for _, args := range samples() {
		f.Add(keyspace.AppendCommand(nil, 0, 3, bytesOf(args)))
	}
	f.Add([]byte{1, 2, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Add([]byte{1, 2, 0, 1, 255, 255, 255, 255, 15, 'x'})
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		db, proto, args, err := keyspace.DecodeCommand(make([][]byte, 0, 4), data)
		if !bytes.Equal(data, before) {
			t.Fatal("decoding changed its input")
		}
		if err != nil {
			return
		}
		again := keyspace.AppendCommand(nil, db, proto, args)
		db2, proto2, args2, err := keyspace.DecodeCommand(nil, again)
		if err != nil || db2 != db || proto2 != proto || !slices.EqualFunc(args, args2, bytes.Equal) {
			t.Fatalf("%q, written and read again: %d %d %q, %v; want %d %d %q", data, db2, proto2, args2, err, db, proto, args)
		}
		w := newWorld(t)
		for _, args := range prepare {
			w.apply(args...)
		}
		if w.space.Query(w.stamp, data) == nil {
			t.Fatal("no reply to a query")
		}
		if reply := w.space.Apply(w.tx(), data); reply == nil && w.failed == nil {
			t.Fatal("neither a reply nor a failure")
		}
		w.apply("FLUSHALL")
		if got := w.space.Size(); got != 0 || len(w.shell.index) != 0 {
			t.Fatalf("size %d and deadlines %v after FLUSHALL, want none", got, w.shell.index)
		}
	})
}

// samples are commands of all dialects, always the same.
func samples() (all [][]string) {
	rng := rand.New(rand.NewPCG(5, 5))
	for _, name := range slices.Sorted(maps.Keys(dialects)) {
		d := dialects[name]
		m := &maker{rng: rng, pools: []map[string]string{d.pools, pools}, templates: d.commands}
		for range 60 {
			all = append(all, m.command())
		}
	}
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

func FuzzTransaction(f *testing.F) {
	w := newWorld(f)
	steps := w.steps([]string{"SET k v", "GET k", "=+OK", "SWAPDB 0 1", "RENAME k h", "HSET h f v"})
	f.Add(keyspace.AppendTransaction(nil, 2, []keyspace.Watch{{DB: 3, Key: []byte("k"), Number: 300}}, steps))
	f.Add(keyspace.AppendTransaction(nil, 3, nil, nil))
	f.Add(keyspace.AppendWatch(nil, []keyspace.Watch{{DB: 15, Key: []byte("k")}, {}}))
	f.Add([]byte{2, 2, 255, 255, 255, 255, 15})
	f.Add([]byte{2, 2, 0, 255, 255, 255, 255, 15})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 0 && data[0] == 1 {
			return // FuzzDecodeCommand's
		}
		w := newWorld(t)
		if w.space.Query(w.stamp, data) == nil {
			t.Fatal("no reply to a query")
		}
		reply := w.space.Apply(w.tx(), data)
		if (reply == nil) != (w.failed != nil) {
			t.Fatalf("reply %q and failure %v", reply, w.failed)
		}
		w.shell.isStrange = true
		w.apply("FLUSHALL")
		if got := w.space.Size(); got != 0 {
			t.Fatalf("size %d after FLUSHALL, want 0", got)
		}
	})
}

// FuzzRestore holds that what Restore takes is what would be saved.
func FuzzRestore(f *testing.F) {
	w := newWorld(f)
	f.Add(w.snapshot())
	w.apply("SET", "k", "v")
	f.Add(w.snapshot())
	w.apply("MSET", "a", "1", "b", "2", "", "")
	w.apply("SET", "c", "3", "PXAT", "9223372036854775807")
	w.db = 15
	w.apply("SETEX", "d", "10", strings.Repeat("x", 200))
	f.Add(w.snapshot())
	w.apply("HSET", "h", "a", "1", "b", "2")
	w.apply("SADD", "s", "a", "b", "c")
	w.apply("RPUSH", "l", "a", "b", "a")
	w.apply("ZADD", "z", "1", "a", "-inf", "b", "0.1", "c")
	w.apply("DEL", "d")
	f.Add(w.snapshot())
	lie := append([]byte{2, 1}, make([]byte, 16)...)
	f.Add(append(lie, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 127, 1, 255, 255, 255, 255, 255, 255, 255, 127, 'x'))
	f.Fuzz(func(t *testing.T, data []byte) {
		w := newWorld(t)
		if w.space.Restore(bytes.NewReader(data)) != nil {
			return
		}
		if !bytes.Equal(w.snapshot(), data) {
			t.Fatalf("%x was taken, but is saved as %x", data, w.snapshot())
		}
		w.shell.isStrange = true
		w.apply("FLUSHALL")
		if got := w.space.Size(); got != 0 {
			t.Fatalf("size %d after FLUSHALL, want 0", got)
		}
	})
}

// FuzzGlob compares with plain recursion, which tries everything.
func FuzzGlob(f *testing.F) {
	for _, seed := range globs {
		f.Add(seed.pattern, seed.s)
	}
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern) > 12 || len(s) > 12 {
			keyspace.MatchGlob([]byte(pattern), s)
			return
		}
		if got, want := keyspace.MatchGlob([]byte(pattern), s), slowGlob(pattern, s); got != want {
			t.Errorf("matchGlob(%q, %q) = %v, want %v", pattern, s, got, want)
		}
	})
}

// slowGlob is Redis' matcher as one would say it, but for the oddity that
// stars alone do not match the empty string.
func slowGlob(pattern, s string) bool {
	if s == "" {
		return pattern == ""
	}
	return matchRest(pattern, s)
}

func matchRest(pattern, s string) bool {
	if pattern == "" || s == "" {
		return strings.Trim(pattern, "*") == "" && s == ""
	}
	switch pattern[0] {
	case '*':
		for i := range len(s) + 1 {
			if matchRest(pattern[1:], s[i:]) {
				return true
			}
		}
		return false
	case '?':
		return matchRest(pattern[1:], s[1:])
	case '[':
		set, rest := readClass(pattern[1:])
		return set[s[0]] && matchRest(rest, s[1:])
	case '\\':
		if len(pattern) > 1 {
			pattern = pattern[1:]
		}
	}
	return pattern[0] == s[0] && matchRest(pattern[1:], s[1:])
}

// readClass returns the bytes of a class whose inside begins pattern, and what
// follows it.
func readClass(pattern string) (set [256]bool, rest string) {
	pattern, isNegated := strings.CutPrefix(pattern, "^")
	for pattern != "" && pattern[0] != ']' {
		from, to, used := pattern[0], pattern[0], 1
		if pattern[0] == '\\' && len(pattern) >= 2 {
			from, to, used = pattern[1], pattern[1], 2
		} else if len(pattern) >= 3 && pattern[1] == '-' {
			to, used = pattern[2], 3
		}
		for b := range 256 {
			if byte(b) >= min(from, to) && byte(b) <= max(from, to) {
				set[b] = true
			}
		}
		pattern = pattern[used:]
	}
	for b := range set {
		set[b] = set[b] != isNegated
	}
	return set, strings.TrimPrefix(pattern, "]")
}
