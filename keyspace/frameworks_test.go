package keyspace_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// A framework is a script in the manner of one, with what it is called with.
type framework struct {
	name, source string
	setup        [][]string
	keys, args   []string
}

func (f framework) command() []string {
	args := append([]string{"EVAL", f.source, strconv.Itoa(len(f.keys))}, f.keys...)
	return append(args, f.args...)
}

func readFrameworks(t testing.TB) (all []framework) {
	t.Helper()
	files, err := filepath.Glob("internal/lua/testdata/frameworks/*.lua")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		f := framework{name: filepath.Base(file), source: string(text)}
		for line := range strings.Lines(f.source) {
			kind, rest, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "-- "), " ")
			words := strings.Fields(rest)
			for i, word := range words {
				if plain, err := strconv.Unquote(`"` + strings.ReplaceAll(word, `"`, `\"`) + `"`); err == nil {
					words[i] = plain
				}
			}
			switch kind {
			case "KEYS":
				f.keys = words
			case "ARGV":
				f.args = words
			case "SETUP":
				f.setup = append(f.setup, words)
			}
		}
		all = append(all, f)
	}
	return append(all, framework{
		name: "phpredis", source: unlockScript, setup: [][]string{{"SET", "lock", "mine"}},
		keys: []string{"lock"}, args: []string{"mine"},
	})
}

// TestFrameworksScriptsAreRedis runs each script three times in a row.
func TestFrameworksScriptsAreRedis(t *testing.T) {
	for _, proto := range []int{2, 3} {
		x := &differ{world: newWorld(t), redis: startRedis(t)}
		x.proto = proto
		for _, f := range readFrameworks(t) {
			x.both("FLUSHALL")
			for _, args := range f.setup {
				x.both(args...)
			}
			for i := range 3 {
				want, got := x.both(f.command()...)
				if got != want && !isAbout(got, want) {
					t.Errorf("%s, RESP%d, run %d:\n  got %.300q\nRedis %.300q", f.name, proto, i, got, want)
				}
			}
		}
	}
}

// isAbout reports whether replies differ only in times of the same second or
// so: integers, or texts of integers, that are less than 2,000 apart.
func isAbout(a, b string) bool {
	as, bs := strings.Split(a, "\r\n"), strings.Split(b, "\r\n")
	if len(as) != len(bs) {
		return false
	}
	for i := range as {
		n, errN := strconv.ParseFloat(strings.TrimLeft(as[i], ":"), 64)
		m, errM := strconv.ParseFloat(strings.TrimLeft(bs[i], ":"), 64)
		if as[i] != bs[i] && (errN != nil || errM != nil || max(n, m)-min(n, m) > 2000) {
			return false
		}
	}
	return true
}

// BenchmarkScripts runs scripts beside 10,000 keys.
func BenchmarkScripts(b *testing.B) {
	run := func(name string, setup [][]string, args []string) {
		b.Run(name, func(b *testing.B) {
			w := newWorld(&testing.T{})
			for i := range 10_000 {
				w.do("SET", "many"+strconv.Itoa(i), "v")
			}
			for _, line := range setup {
				w.do(line...)
			}
			cmd, tx := w.encode(args), w.tx()
			if reply := w.space.Apply(tx, cmd); reply[0] == '-' {
				b.Fatalf("%s", reply)
			}
			b.ReportAllocs()
			for b.Loop() {
				w.space.Apply(tx, cmd)
			}
		})
	}
	for _, f := range readFrameworks(b) {
		run(f.name, f.setup, f.command())
	}
	run("read", nil, []string{"EVAL", "return redis.call('GET',KEYS[1])", "1", "many1"})
	run("write", nil, []string{"EVAL", "return redis.call('SET',KEYS[1],ARGV[1])", "1", "many1", "v"})
	run("set", nil, []string{"SET", "many1", "v"})
}
