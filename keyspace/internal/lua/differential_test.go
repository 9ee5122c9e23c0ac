package lua_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/huddlecache/huddle/keyspace/internal/lua"
)

// A twin runs a script here and in Redis.
type twin struct {
	t      testing.TB
	engine *lua.Engine
	eval   map[int]*redisConn // by protocol
	host   *redisHost
}

func newTwin(t testing.TB) *twin {
	r := startRedis(t)
	return &twin{
		t: t, engine: lua.New(),
		eval: map[int]*redisConn{2: r.dial("0", 2), 3: r.dial("0", 3)},
		host: &redisHost{v2: r.dial("1", 2), v3: r.dial("1", 3)},
	}
}

func (w *twin) reset() {
	w.eval[2].do("FLUSHALL")
}

func (w *twin) ours(proto int, source string, keys, args []string) string {
	s, err := w.engine.Compile([]byte(source))
	if err != nil {
		return "-" + err.Error() + "\r\n"
	}
	reply, err := s.Run(w.host, lua.Input{Keys: bytesOf(keys), Args: bytesOf(args), Proto: proto}, lua.Limits{})
	if err != nil {
		return "stopped: " + err.Error()
	}
	return string(reply)
}

func (w *twin) theirs(proto int, source string, keys, args []string) string {
	command := append([]string{"EVAL", source, strconv.Itoa(len(keys))}, keys...)
	return w.eval[proto].do(append(command, args...)...)
}

func bytesOf(texts []string) [][]byte {
	all := make([][]byte, len(texts))
	for i, text := range texts {
		all[i] = []byte(text)
	}
	return all
}

var address = regexp.MustCompile(`(table|function): 0x[0-9a-f]+`)

// sameButAddresses compares replies: the names of objects are Redis' secret.
func sameButAddresses(a, b string) bool {
	if a == b {
		return true
	}
	clean := func(s string) string {
		return lengths.ReplaceAllString(address.ReplaceAllString(s, "$1"), "")
	}
	return address.MatchString(a) && clean(a) == clean(b)
}

func (w *twin) compare(name, source string, keys, args []string) {
	w.t.Helper()
	for _, proto := range []int{2, 3} {
		w.reset()
		got, want := w.ours(proto, source, keys, args), w.theirs(proto, source, keys, args)
		if !sameButAddresses(got, want) {
			w.t.Errorf("%s, RESP%d: %s\n  got %.400q\nRedis %.400q", name, proto, source, got, want)
		}
	}
}

// TestCorpusIsRedis compares the scripts of testdata/*.txt, one a line, and
// those of testdata/*.lua.
func TestCorpusIsRedis(t *testing.T) {
	w := newTwin(t)
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			if line == "" || strings.HasPrefix(line, "--") {
				continue
			}
			line = strings.NewReplacer(`\N`, "\n", `\Z`, "\x00").Replace(line)
			w.compare(filepath.Base(file)+":"+strconv.Itoa(i+1), line, []string{"k1", "k2"}, []string{"a1", "22"})
		}
	}
}

// A framework is a script in the manner of those that clients send, with what
// is there before.
type framework struct {
	name, source string
	keys, args   []string
	setup        [][]string
}

// readFrameworks reads testdata/frameworks, where comments give the keys, the
// arguments and the commands to begin with.
func readFrameworks(t testing.TB) (all []framework) {
	t.Helper()
	files, err := filepath.Glob("testdata/frameworks/*.lua")
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
				if text, err := strconv.Unquote(`"` + strings.ReplaceAll(word, `"`, `\"`) + `"`); err == nil {
					words[i] = text
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
	return all
}

// TestFrameworksAreRedis runs each script three times in a row.
func TestFrameworksAreRedis(t *testing.T) {
	w := newTwin(t)
	for _, f := range readFrameworks(t) {
		for _, proto := range []int{2, 3} {
			w.reset()
			for _, command := range f.setup {
				w.eval[2].do(command...)
				w.host.v2.do(command...)
			}
			for i := range 3 {
				got, want := w.ours(proto, f.source, f.keys, f.args), w.theirs(proto, f.source, f.keys, f.args)
				if got != want {
					t.Errorf("%s, RESP%d, run %d:\n  got %.400q\nRedis %.400q", f.name, proto, i, got, want)
				}
				if strings.HasPrefix(want, "-") {
					t.Errorf("%s fails: %s", f.name, want)
				}
			}
		}
	}
}
