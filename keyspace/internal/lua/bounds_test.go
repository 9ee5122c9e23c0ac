package lua_test

import (
	"bytes"
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/huddlecache/huddle/keyspace/internal/lua"
)

// readHostile reads scripts that would run, grow or recurse for ever.
func readHostile(t testing.TB) (scripts []string) {
	t.Helper()
	text, err := os.ReadFile("testdata/hostile.lua")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "--") {
			scripts = append(scripts, line)
		}
	}
	return scripts
}

// runOnce runs a script on an engine of its own.
func runOnce(t testing.TB, source string, limits lua.Limits) ([]byte, error) {
	t.Helper()
	s, err := lua.New().Compile([]byte(source))
	if err != nil {
		return []byte("-" + err.Error() + "\r\n"), nil
	}
	return s.Run(&memory{}, lua.Input{Keys: bytesOf([]string{"k1"}), Proto: 2}, limits)
}

// small are bounds a tenth of the default, to keep tests short.
// BenchmarkHostile has the default.
var small = lua.Limits{Steps: 1_000_000, Bytes: 8 << 20}

// TestHostileScriptsEnd runs each of them twice: they end at a bound or with
// an error of Lua, in little memory, and both times alike.
func TestHostileScriptsEnd(t *testing.T) {
	for _, source := range readHostile(t) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		reply, err := runOnce(t, source, small)
		runtime.ReadMemStats(&after)
		if !bytes.HasPrefix(reply, []byte("-")) {
			t.Errorf("%s: got %.80q, want an error", source, reply)
		}
		if err != nil && !errors.Is(err, lua.ErrBound) {
			t.Errorf("%s: got %v, want ErrBound", source, err)
		}
		// What is allocated in all is more than what is counted, for stacks and
		// for garbage of this package's own, but not by so much that the bound
		// means nothing.
		if got := after.TotalAlloc - before.TotalAlloc; got > 12*8<<20 {
			t.Errorf("%s: allocated %d MiB", source, got>>20)
		}
		again, errAgain := runOnce(t, source, small)
		if !bytes.Equal(reply, again) || (err == nil) != (errAgain == nil) {
			t.Errorf("%s:\n first %q\nsecond %q", source, reply, again)
		}
	}
}

// TestBoundIsNotCaught plants the catchers there are around an endless loop.
func TestBoundIsNotCaught(t *testing.T) {
	for _, source := range []string{
		"while true do end return 1",
		"pcall(function() while true do end end) return 1",
		"xpcall(function() while true do end end, function() return 1 end) return 1",
		"pcall(string.gsub, 'x', 'x', function() while true do end end) return 1",
		"pcall(table.sort, {1,2,3}, function() while true do end end) return 1",
		"local t=setmetatable({},{__index=function() while true do end end}) pcall(function() return t.x end) return 1",
		"load(function() while true do end end) return 1",
		"pcall(string.rep, 'x', 1e9) return 1",
		"pcall(function() local s='x' while true do s=s..s end end) return 1",
	} {
		reply, err := runOnce(t, source, lua.Limits{Steps: 10_000, Bytes: 1 << 20})
		if !errors.Is(err, lua.ErrBound) || !bytes.HasPrefix(reply, []byte("-ERR script stopped: it needs more than")) {
			t.Errorf("%s: got %q, %v, want ErrBound", source, reply, err)
		}
	}
}

// TestBoundIsExact stops a script with one step less than it takes, at the
// same place of its work each time.
func TestBoundIsExact(t *testing.T) {
	const source = "for i=1,100 do redis.call('incr',KEYS[1]) end return redis.call('get',KEYS[1])"
	s, err := lua.New().Compile([]byte(source))
	if err != nil {
		t.Fatal(err)
	}
	calls := func(limits lua.Limits) (int, error) {
		h := &memory{}
		_, err := s.Run(h, lua.Input{Keys: bytesOf([]string{"k"}), Proto: 2}, limits)
		return h.calls, err
	}
	enough := 1
	for {
		if _, err := calls(lua.Limits{Steps: enough}); err == nil {
			break
		}
		enough++
	}
	got, err := calls(lua.Limits{Steps: enough - 1})
	if got < 99 || !errors.Is(err, lua.ErrBound) {
		t.Errorf("%d steps: got %d calls, %v, want 100 and ErrBound", enough-1, got, err)
	}
	half, _ := calls(lua.Limits{Steps: enough / 2})
	for range 3 {
		if again, _ := calls(lua.Limits{Steps: enough / 2}); again != half {
			t.Errorf("got %d calls, then %d", half, again)
		}
	}
}

// TestSourceIsBounded compiles what would make a tree too deep or too large.
func TestSourceIsBounded(t *testing.T) {
	for name, source := range map[string]string{
		"parentheses": strings.Repeat("(", 500_000),
		"not":         "return " + strings.Repeat("not ", 200_000) + "1",
		"minus":       "return " + strings.Repeat("- ", 200_000) + "1",
		"tables":      "return " + strings.Repeat("{", 500_000),
		"power":       "return 1" + strings.Repeat("^1", 200_000),
		"concat":      "return 1" + strings.Repeat("..1", 200_000),
		"sum":         "return 1" + strings.Repeat("+1", 200_000),
		"fields":      "return redis" + strings.Repeat(".x", 200_000),
		"calls":       "return redis" + strings.Repeat("()", 200_000),
		"blocks":      strings.Repeat("do ", 200_000),
		"functions":   strings.Repeat("return function() ", 20_000),
		"ifs":         strings.Repeat("if 1 then ", 50_000),
		"locals":      strings.Repeat("local a ", 50_000),
		"targets":     strings.Repeat("a,", 50_000) + "a=1",
		"long":        "return 1" + strings.Repeat(" ", lua.MaxSource),
	} {
		if _, err := lua.New().Compile([]byte(source)); err == nil {
			t.Errorf("%s: compiled", name)
		}
	}
	// Wide is no harm.
	for name, source := range map[string]string{
		"statements": "local a " + strings.Repeat("a=1 ", 100_000),
		"items":      "return {" + strings.Repeat("1,", 100_000) + "}",
		"sum":        "return 1" + strings.Repeat("+1", 3_000),
	} {
		if reply, err := runOnce(t, source, lua.Limits{}); err != nil || bytes.HasPrefix(reply, []byte("-")) {
			t.Errorf("%s: got %.100q, %v", name, reply, err)
		}
	}
}

// TestDeepReplies returns what nests as deep as it goes.
func TestDeepReplies(t *testing.T) {
	reply, err := runOnce(t, "local t={} t[1]=t return t", lua.Limits{})
	const asInRedis = 7995
	if n := bytes.Count(reply, []byte("*1\r\n")); err != nil || n != asInRedis ||
		!bytes.HasSuffix(reply, []byte("*1\r\n-ERR reached lua stack limit\r\n")) {
		t.Errorf("got %d arrays, %.100q, %v", n, reply, err)
	}
}
