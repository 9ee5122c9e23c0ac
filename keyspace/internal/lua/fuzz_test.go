package lua_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/huddlecache/huddle/keyspace/internal/lua"
)

// FuzzScript runs anything as a script: nothing panics, what is stopped is
// stopped at a bound, the reply is RESP, and is the same the second time, on a
// machine that has run another script meanwhile.
func FuzzScript(f *testing.F) {
	files, err := filepath.Glob("testdata/*.*")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			f.Add([]byte(line), "k1", "22")
		}
	}
	for _, s := range readFrameworks(f) {
		f.Add([]byte(s.source), "k1", "22")
	}
	engine := lua.New()
	limits := lua.Limits{Steps: 50_000, Bytes: 1 << 20}
	other, err := engine.Compile([]byte("math.randomseed(7) cjson.encode_max_depth(1) redis.setresp(3) KEYS[1]=1 error('x')"))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, source []byte, key, arg string) {
		s, err := engine.Compile(source)
		if err != nil {
			var e *lua.Error
			if !errors.As(err, &e) || strings.ContainsAny(e.Text, "\r\n") {
				t.Fatalf("%q: %v", source, err)
			}
			return
		}
		for _, proto := range []int{2, 3} {
			in := lua.Input{Keys: bytesOf([]string{key}), Args: bytesOf([]string{arg}), Proto: proto}
			reply, err := s.Run(&memory{}, in, limits)
			if err != nil && !errors.Is(err, lua.ErrBound) {
				t.Fatalf("%q: %v", source, err)
			}
			if rest := cutReply(reply); rest == nil || len(rest) > 0 {
				t.Fatalf("%q: not one reply: %q", source, reply)
			}
			if _, err := other.Run(&memory{}, in, limits); err != nil {
				t.Fatal(err)
			}
			again, _ := s.Run(&memory{}, in, limits)
			if !bytes.Equal(reply, again) {
				t.Fatalf("%q:\n first %q\nsecond %q", source, reply, again)
			}
		}
	})
}

// cutReply cuts one reply off the front, and returns nil if there is none.
func cutReply(data []byte) []byte {
	end := bytes.Index(data, []byte("\r\n"))
	if end < 1 {
		return nil
	}
	line, rest := data[1:end], data[end+2:]
	n := 0
	for _, c := range line {
		if c < '0' || c > '9' {
			break
		}
		n = 10*n + int(c-'0')
	}
	switch data[0] {
	case '+', '-', ':', '_', '#', ',', '(':
		return rest
	case '$', '=':
		if string(line) == "-1" {
			return rest
		}
		if len(rest) < n+2 || string(rest[n:n+2]) != "\r\n" {
			return nil
		}
		return rest[n+2:]
	case '%':
		n *= 2
		fallthrough
	case '*', '~':
		for range n {
			if rest = cutReply(rest); rest == nil {
				return nil
			}
		}
		return rest
	}
	return nil
}

// TestCutReply plants what is not one reply.
func TestCutReply(t *testing.T) {
	for _, reply := range []string{"", "x", ":1", "$3\r\nab\r\n", "*2\r\n:1\r\n", "?\r\n", "$1\r\nabc", "%1\r\n:1\r\n"} {
		if rest := cutReply([]byte(reply)); rest != nil {
			t.Errorf("%q: got %q, want nil", reply, rest)
		}
	}
	if rest := cutReply([]byte("*1\r\n:1\r\n:2\r\n")); string(rest) != ":2\r\n" {
		t.Errorf("got %q", rest)
	}
}

// TestComparisonFindsFaults plants replies that differ in more than addresses.
func TestComparisonFindsFaults(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{":1\r\n", ":1\r\n", true},
		{":1\r\n", ":2\r\n", false},
		{"$7\r\ntable: 0x10\r\n", "$9\r\ntable: 0x7f00\r\n", true},
		{"$7\r\ntable: 0x10\r\n", "$9\r\nfunction: 0x7f00\r\n", false},
		{"$7\r\ntable: 0x10a\r\n:1\r\n", "$9\r\ntable: 0x7f00\r\n:2\r\n", false},
	} {
		if got := sameButAddresses(c.a, c.b); got != c.same {
			t.Errorf("sameButAddresses(%q, %q) = %v", c.a, c.b, got)
		}
	}
}
