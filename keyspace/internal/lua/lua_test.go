package lua_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/huddlecache/huddle/keyspace/internal/lua"
)

// TestNothingLeaks runs, on the same engine, a script that changes all it can
// change and one that looks.
func TestNothingLeaks(t *testing.T) {
	e := lua.New()
	compile := func(source string) *lua.Script {
		s, err := e.Compile([]byte(source))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	changes := []*lua.Script{
		compile("KEYS[1]='changed' ARGV[1]=nil KEYS.x=1 redis.setresp(3) math.randomseed(1)"),
		compile("cjson.encode_sparse_array(true) cjson.encode_number_precision(3) cjson.encode_max_depth(2) cjson.decode_invalid_numbers(false)"),
		compile("pcall(rawset,_G,'x',1) pcall(rawset,string,'rep',1) pcall(function() redis.call=1 end) pcall(setmetatable,_G,{})"),
		compile("pcall(function() getmetatable('').__index=nil end) pcall(table.insert,string,1) pcall(table.sort,cjson)"),
		compile("local t={} for i=1,1000 do t[i]={i} end local function f(n) if n>0 then return 1+f(n-1) end return 0 end f(1000)"),
		compile("error(setmetatable({},{__index=error}))"),
		compile("while true do end"),
		compile("local function f() return 1+f() end f()"),
	}
	look := compile(`return {KEYS[1], ARGV[1], #KEYS, KEYS.x or 'none', tostring(math.random()), cjson.encode(1/3),
		tostring({}), type(string.rep), type(redis.call), ('x'):rep(2), tostring(rawget(_G,'x')), cjson.encode({1,{2,{3}}})}`)
	run := func(s *lua.Script) string {
		in := lua.Input{Keys: bytesOf([]string{"k"}), Args: bytesOf([]string{"a"}), Proto: 2}
		reply, _ := s.Run(&memory{}, in, lua.Limits{Steps: 100_000})
		return string(reply)
	}
	want := run(look)
	if !strings.Contains(want, "\r\nnone\r\n") {
		t.Fatalf("got %q", want)
	}
	for i, change := range changes {
		run(change)
		if got := run(look); got != want {
			t.Errorf("after change %d:\n got %q\nwant %q", i, got, want)
		}
	}
}

// TestScriptsRunAtOnce runs one script in many goroutines, which the race
// detector watches.
func TestScriptsRunAtOnce(t *testing.T) {
	s, err := lua.New().Compile([]byte(`local o={} for k,v in pairs(math) do o[#o+1]=k end
		return {KEYS[1], #o, cjson.encode({a=1}), ('x'):rep(3), redis.call('set',KEYS[1],'v'), _G._VERSION}`))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			key := fmt.Sprintf("key%d", i)
			for range 50 {
				reply, err := s.Run(&memory{}, lua.Input{Keys: [][]byte{[]byte(key)}, Proto: 3}, lua.Limits{})
				if err != nil || !strings.Contains(string(reply), key) {
					t.Errorf("got %q, %v", reply, err)
				}
			}
		})
	}
	wg.Wait()
}

// TestOrderIsTheSame walks tables on engines of their own.
func TestOrderIsTheSame(t *testing.T) {
	const source = `local o={} local t={[print==nil or 1]=1,[{}]=2,[function() end]=3,x=4,y=5,[1.5]=6,[true]=7}
		for k,v in pairs(t) do o[#o+1]=v o[#o+1]=tostring(k) end
		for k in pairs(_G) do o[#o+1]=k end for k,v in pairs(redis) do o[#o+1]=k o[#o+1]=tostring(v) end return o`
	source2 := strings.ReplaceAll(source, "print==nil or 1", "1")
	want, err := runOnce(t, source2, lua.Limits{})
	if err != nil || want[0] != '*' {
		t.Fatalf("got %q, %v", want, err)
	}
	for range 20 {
		if got, _ := runOnce(t, source2, lua.Limits{}); string(got) != string(want) {
			t.Fatalf("\n got %q\nwant %q", got, want)
		}
	}
}

// TestScriptsTellWhatTheyAre looks at what Compile finds out.
func TestScriptsTellWhatTheyAre(t *testing.T) {
	e := lua.New()
	s, err := e.Compile([]byte("return 1"))
	if err != nil || s.SHA != "e0e1f9fabfc9d4800c877a703b823ac0578ff8db" || s.NoWrites {
		t.Errorf("got %+v, %v", s, err)
	}
	if s, err = e.Compile([]byte("#!lua flags=no-writes\nreturn 1")); err != nil || !s.NoWrites {
		t.Errorf("got %+v, %v", s, err)
	}
	var wrong *lua.Error
	if _, err = e.Compile([]byte("return (")); !errors.As(err, &wrong) ||
		wrong.Text != "ERR Error compiling script (new function): user_script:1: unexpected symbol near '<eof>'" {
		t.Errorf("got %v", err)
	}
}

// A faulty host panics, as no host does.
type faulty struct{ silence }

func (faulty) Call([][]byte, int) []byte { panic("fault") }

// TestFaultsStopTheScript plants one: the process goes on, and the next script
// finds nothing of it.
func TestFaultsStopTheScript(t *testing.T) {
	e := lua.New()
	s, err := e.Compile([]byte("pcall(redis.call,'get','k') return 1"))
	if err != nil {
		t.Fatal(err)
	}
	reply, err := s.Run(faulty{}, lua.Input{Proto: 2}, lua.Limits{})
	if err == nil || errors.Is(err, lua.ErrBound) || !strings.HasPrefix(string(reply), "-ERR script stopped: internal fault") {
		t.Errorf("got %q, %v", reply, err)
	}
	if reply, err = s.Run(silence{}, lua.Input{Proto: 2}, lua.Limits{}); err != nil || string(reply) != ":1\r\n" {
		t.Errorf("got %q, %v", reply, err)
	}
}

// A silence is a host without commands.
type silence struct{}

func (silence) Call([][]byte, int) []byte {
	return []byte("-ERR Unknown Redis command called from script\r\n")
}
func (silence) HasCommand(string) bool { return false }

// TestRepliesThatAreNone gives scripts what no host says: nothing panics.
func TestRepliesThatAreNone(t *testing.T) {
	s, err := lua.New().Compile([]byte("return redis.call('x')"))
	if err != nil {
		t.Fatal(err)
	}
	for _, reply := range []string{
		"", "\r\n", "x", ":", ":x\r\n", "$5\r\nab", "$-7\r\n", "*1000000000\r\n", "*2\r\n:1\r\n", "%1\r\n", "%3\r\n+a\r\n",
		"~5\r\n_\r\n", "=3\r\na", "$99999999999\r\n", "*-1\r\n", "_\r\n", "#t\r\n", ",x\r\n", "(\r\n", "%1\r\n,nan\r\n:1\r\n",
	} {
		host := reflex{"x": []byte(reply)}
		got, err := s.Run(host, lua.Input{Proto: 3}, lua.Limits{})
		if rest := cutReply(got); err != nil || rest == nil || len(rest) > 0 {
			t.Errorf("%q: got %q, %v", reply, got, err)
		}
	}
}
