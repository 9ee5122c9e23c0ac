package redis_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/huddlecache/huddle/server/redis"
)

// documented reads docs/redis.md: what it says of each command, whose name is
// in lower case and like client|list. "CLUSTER *" stands for those of all,
// which are Redis', that are not named.
func documented(t *testing.T, all []string) map[string]string {
	t.Helper()
	page, err := os.ReadFile("../../docs/redis.md")
	if err != nil {
		t.Fatal(err)
	}
	state := map[string]string{}
	quoted := regexp.MustCompile("`([^`]+)`")
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 || !strings.HasPrefix(line, "| `") {
			continue
		}
		for _, match := range quoted.FindAllStringSubmatch(cells[1], -1) {
			name := strings.ReplaceAll(strings.ToLower(match[1]), " ", "|")
			names := []string{name}
			if family, isFamily := strings.CutSuffix(name, "*"); isFamily {
				names = slices.DeleteFunc(slices.Clone(all), func(n string) bool { return !strings.HasPrefix(n, family) })
			}
			for _, name := range names {
				if _, isTwice := state[name]; isTwice {
					t.Errorf("%s is there twice", name)
				}
				state[name] = strings.TrimSpace(cells[2])
			}
		}
	}
	return state
}

// TestTheDocumentationOfCommandsIsTrue holds docs/redis.md against the server,
// and against all names of commands of redis-server 7.0.15.
func TestTheDocumentationOfCommandsIsTrue(t *testing.T) {
	text, err := os.ReadFile("testdata/redis-7.0-commands.txt")
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Fields(string(text))
	state := documented(t, all)
	for _, name := range all {
		if state[name] == "" || state[name] == "ours" {
			t.Errorf("%s is a command of Redis: got %q", name, state[name])
		}
	}
	for name, is := range state {
		if !slices.Contains([]string{"yes", "other", "no", "ours"}, is) {
			t.Errorf("%s: got %q, which is no state", name, is)
		}
		if isRedis := slices.Contains(all, name); !isRedis && is != "ours" {
			t.Errorf("%s is no command of Redis 7.0", name)
		}
	}
	in(t, redis.Config{}, func(w *world) {
		for name, is := range state {
			command, conn := strings.ReplaceAll(name, "|", " "), w.connect()
			if is == "no" {
				command += " on" // which tells unknown ones from those with too few arguments
			}
			reply := conn.do(command)
			isThere := !strings.HasPrefix(reply, "-ERR unknown ") && !strings.Contains(reply, "is not supported")
			if isThere != (is != "no") {
				t.Errorf("%s is documented as %q, and answered with %.100q", name, is, reply)
			}
			conn.do("QUIT")
		}
		for _, name := range strings.Fields(w.connect().do("COMMAND LIST")) {
			if _, found := state[name]; !found && !strings.ContainsAny(name[:1], "*$") {
				t.Errorf("%s is not documented", name)
			}
		}
	})
}
