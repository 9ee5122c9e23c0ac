package keyspace

import (
	"bytes"
	"errors"
	"strings"

	"github.com/huddlecache/huddle/keyspace/internal/lua"
)

// scriptCommands are the commands of scripts. EVAL_RO goes through the log,
// though it only reads, because its script is kept for EVALSHA_RO. What goes
// through the log is said to free: where the state is full a script can do only
// what frees, see scriptHost.
func scriptCommands() []Command {
	flags := []string{"noscript", "stale", "skip_monitor", "no_mandatory_keys", "movablekeys"}
	readonly := append([]string{"readonly"}, flags...)
	const (
		group    = "scripting"
		runs     = "Execute a Lua script server side"
		runsRead = "Execute a read-only Lua script server side"
	)
	return []Command{
		{
			Name: "eval", Arity: -3, Writes: true, Flags: flags, Group: group, Since: "2.6.0", Summary: runs,
			run: eval(false), frees: always, keys: scriptKeys,
		},
		{
			Name: "evalsha", Arity: -3, Writes: true, Flags: flags, Group: group, Since: "2.6.0", Summary: runs,
			run: evalsha(false), frees: always, keys: scriptKeys,
		},
		{
			Name: "eval_ro", Arity: -3, Writes: true, Flags: readonly, Group: group, Since: "7.0.0", Summary: runsRead,
			run: eval(true), frees: always, keys: scriptKeys,
		},
		{
			Name: "evalsha_ro", Arity: -3, Flags: readonly, Group: group, Since: "7.0.0", Summary: runsRead,
			run: evalsha(true), keys: scriptKeys,
		},
		{
			Name: "script", Arity: -2, Writes: true, Flags: []string{}, Group: group, Since: "2.6.0",
			Summary: "A container for Lua scripts management commands",
			run:     script, frees: scriptFrees,
		},
	}
}

// scriptKeys returns the positions of a script's keys.
func scriptKeys(args [][]byte) (keys []int) {
	n, ok := parseInt(args[2])
	if !ok || n < 0 || n > int64(len(args)-3) {
		return nil
	}
	for i := range int(n) {
		keys = append(keys, 3+i)
	}
	return keys
}

const errNoScript = "NOSCRIPT No matching script. Please use EVAL."

// eval returns the function of EVAL or EVAL_RO. A script that compiles is kept
// for EVALSHA, also if it fails then.
func eval(isReadOnly bool) func(*call) {
	return func(c *call) {
		keys, args, ok := c.scriptArgs()
		if !ok {
			return
		}
		s, ok := c.compile(c.args[1])
		if !ok {
			return
		}
		source := c.args[1]
		if c.runScript(s, hasShebang(string(source)), isReadOnly, keys, args) {
			c.keepScript(s.SHA, source)
		}
	}
}

// evalsha returns the function of EVALSHA or EVALSHA_RO.
func evalsha(isReadOnly bool) func(*call) {
	return func(c *call) {
		if len(c.args[1]) != digestLen {
			c.reply.fail(errNoScript)
			return
		}
		keys, args, ok := c.scriptArgs()
		if !ok {
			return
		}
		known, found := c.space.scripts.find(string(bytes.ToLower(c.args[1])))
		if !found {
			c.reply.fail(errNoScript)
			return
		}
		s, ok := c.compile([]byte(known.source))
		if ok && c.runScript(s, hasShebang(known.source), isReadOnly, keys, args) && !isReadOnly {
			c.useScript(known)
		}
	}
}

// hasShebang reports whether a script says what it needs. Redis takes it at
// its word.
func hasShebang(source string) bool { return strings.HasPrefix(source, "#!") }

// scriptArgs parts the arguments of EVAL into KEYS and ARGV.
func (c *call) scriptArgs() (keys, args [][]byte, ok bool) {
	rest := c.args[3:]
	n, ok := parseInt(c.args[2])
	switch {
	case !ok:
		c.reply.fail(errNotInteger)
	case n > int64(len(rest)):
		c.reply.fail("ERR Number of keys can't be greater than number of args")
	case n < 0:
		c.reply.fail("ERR Number of keys can't be negative")
	default:
		return rest[:n], rest[n:], true
	}
	return nil, nil, false
}

// compile returns the script of a source, or answers what is wrong with it.
func (c *call) compile(source []byte) (s *lua.Script, ok bool) {
	s, err := c.space.compiled.script(source)
	if err != nil {
		text := "ERR " + err.Error()
		if e, is := errors.AsType[*lua.Error](err); is {
			text = e.Text
		}
		c.reply.fail(text)
		return nil, false
	}
	return s, true
}

// runScript runs a script and answers with its reply. It is false for one that
// did not begin, was stopped or was refused, and left no trace then.
func (c *call) runScript(s *lua.Script, hasShebang, isReadOnly bool, keys, args [][]byte) (ok bool) {
	if isReadOnly && hasShebang && !s.NoWrites {
		c.reply.fail("ERR Can not execute a script with write flag using *_ro command.")
		return false
	}
	h := &scriptHost{call: c, index: c.index, isReadOnly: isReadOnly || s.NoWrites}
	return h.run(s, lua.Input{Keys: keys, Args: args, Proto: c.reply.proto})
}
