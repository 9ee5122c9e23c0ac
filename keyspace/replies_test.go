package keyspace_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
)

// A scriptLine is one line of a script in testdata/replies: a command and its
// reply, with spaces for RESP's line ends. Scripts begin with an empty Space,
// and are what redis-server answers too (TestRepliesOfRedis). Where RESP3 has
// another reply, but for its null, that follows behind "=3>". "sleep" moves
// time, "full" makes the state nearly full, UNLOCK and DIGEST stand for
// phpredis' script.
type scriptLine struct {
	number  int
	isOurs  bool // "!" begins the line: Redis answers otherwise
	command string
	reply   string
	resp3   string
}

// in returns the reply in a version of RESP.
func (l scriptLine) in(proto int) string {
	switch {
	case proto == 2:
		return l.reply
	case l.resp3 != "":
		return l.resp3
	}
	return strings.ReplaceAll(l.reply, "$-1", "_")
}

// readScripts returns all scripts by name.
func readScripts(t *testing.T) map[string][]scriptLine {
	t.Helper()
	files, err := filepath.Glob("testdata/replies/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	scripts := map[string][]scriptLine{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		scripts[name] = parseScript(t, string(text))
	}
	return scripts
}

func parseScript(t *testing.T, script string) (lines []scriptLine) {
	t.Helper()
	script = strings.NewReplacer("UNLOCK", unlockQuoted, "DIGEST", unlockDigest).Replace(script)
	for i, text := range strings.Split(strings.TrimSuffix(script, "\n"), "\n") {
		line := scriptLine{number: i + 1}
		text, line.isOurs = strings.CutPrefix(text, "! ")
		line.command, line.reply, _ = strings.Cut(text, "=> ")
		line.reply, line.resp3, _ = strings.Cut(line.reply, " =3> ")
		if strings.HasPrefix(line.reply, `"`) {
			line.reply = split(t, line.reply)[0]
		}
		lines = append(lines, line)
	}
	return lines
}

func TestReplies(t *testing.T) {
	for name, script := range readScripts(t) {
		for _, proto := range []int{2, 3} {
			t.Run(name, func(t *testing.T) {
				w := newWorld(t)
				w.proto = proto
				for _, line := range script {
					runLine(t, w, line)
				}
			})
		}
	}
}

func runLine(t *testing.T, w *world, line scriptLine) {
	t.Helper()
	args := split(t, line.command)
	switch args[0] {
	case "sleep":
		d, err := time.ParseDuration(args[1])
		if err != nil {
			t.Fatal(err)
		}
		w.sleep(d)
		return
	case "full":
		w.full = machine.PressureHigh
		return
	}
	want := line.in(w.proto)
	if got := visible(w.do(args...)); got != want {
		t.Errorf("RESP%d, line %d, %s:\n got %q\nwant %q", w.proto, line.number, line.command, got, want)
	}
}
