package keyspace

import (
	"fmt"

	"github.com/huddlecache/huddle/keyspace/internal/lua"
)

// maxScriptWork bounds what commands of one script may go through that cost
// more than their replies show, in keys, elements and 64 bytes of a string. It
// is the same on all nodes, as the bounds of the engine are.
const maxScriptWork = 20_000_000

// A scriptHost executes the commands of one script, within the command that
// runs it.
type scriptHost struct {
	call       *call
	index      int // of the database that the script has selected
	isReadOnly bool

	before *checkpoint // nil as long as the script has called no command that writes
	out    []byte      // room for replies
	work   int
	isOver bool // work is above maxScriptWork: the script is to be undone

	isRefused, isDone bool // of the commands that write, see call.transact
}

var _ lua.Host = (*scriptHost)(nil)

// run runs the script and answers with its reply. It is false for a script
// that was stopped, which is undone, and for one that was refused.
func (h *scriptHost) run(s *lua.Script, in lua.Input) (ok bool) {
	c := h.call
	outer := *c
	reply, err := s.Run(h, in, lua.Limits{})
	if h.isOver && err == nil {
		err = lua.ErrBound
		reply = fmt.Appendf(nil, "-%s script: %s.\r\n", errScriptWork, s.SHA)
	}
	// The script's own commands leave the numbers that they took.
	outer.number, outer.draws = c.number, c.draws
	*c = outer
	if h.before != nil {
		if err != nil {
			h.before.undo(c.space)
		} else {
			h.before.done(c.tx)
		}
	}
	c.db = c.space.dbs[c.index]
	c.reply.buf = append(c.reply.buf, reply...)
	if h.isRefused && !h.isDone && err == nil {
		c.tx.Refused = true
		return false
	}
	return err == nil
}

var errScriptWork = fmt.Sprintf("ERR script stopped: its commands go through more than %d items", maxScriptWork)

// Call executes a command of the script.
func (h *scriptHost) Call(args [][]byte, proto int) []byte {
	c := h.call
	c.reply = reply{buf: h.out[:0], proto: proto}
	c.args = args
	c.index, c.db = h.index, c.space.dbs[h.index]
	h.execute(c)
	h.out = c.reply.buf
	const keep = 64 << 10
	if cap(h.out) > keep {
		h.out = nil
	}
	return c.reply.buf
}

func (h *scriptHost) execute(c *call) {
	if h.isOver {
		c.reply.fail(errScriptWork)
		return
	}
	cmd, found := Lookup(c.args[0])
	if !found {
		h.executeOther(c)
		return
	}
	switch {
	case !cmd.Accepts(len(c.args)):
		c.reply.fail(errScriptArity)
		return
	case cmd.Group == "scripting" || cmd.noScript:
		c.reply.fail(errNotFromScript)
		return
	case cmd.Writes && h.isReadOnly:
		c.reply.fail("ERR Write commands are not allowed from read-only scripts.")
		return
	}
	c.cmd = cmd
	if h.work += c.work(); h.work > maxScriptWork {
		h.isOver = true
		c.reply.fail(errScriptWork)
		return
	}
	if cmd.Writes {
		h.write(c)
	} else {
		cmd.run(c)
	}
}

// write executes a command that writes. Where the state is full the shell lets
// scripts through for what frees, and the rest is refused here.
func (h *scriptHost) write(c *call) {
	if c.isFull() && !c.cmd.Frees(c.args) {
		c.reply.fail(errFull)
		h.isRefused = true
		return
	}
	if h.before == nil {
		h.before = c.space.checkpoint(c.tx)
		c.tx = &h.before.tx
	}
	c.cmd.run(c)
	h.isDone = h.isDone || !c.tx.Refused
	h.isRefused = h.isRefused || c.tx.Refused
	c.tx.Refused = false
}

const (
	errScriptArity   = "ERR Wrong number of args calling Redis command from script"
	errNotFromScript = "ERR This Redis command is not allowed from script"
)

// executeOther executes what is no command of the keyspace. SELECT is the
// script's own, and ends with it.
func (h *scriptHost) executeOther(c *call) {
	name, args := c.args[0], c.args[1:]
	arity := func(least, most int) bool {
		if len(args) < least || len(args) > most {
			c.reply.fail(errScriptArity)
			return false
		}
		return true
	}
	switch {
	case isWord(name, "select"):
		if !arity(1, 1) {
			return
		}
		if index, ok := c.database(args[0]); ok {
			h.index = index
			c.reply.status("OK")
		}
	case isWord(name, "echo"):
		if arity(1, 1) {
			c.reply.bulk(args[0])
		}
	case isWord(name, "ping"):
		switch len(args) {
		case 0:
			c.reply.status("PONG")
		case 1:
			c.reply.bulk(args[0])
		default:
			c.reply.fail("ERR wrong number of arguments for 'ping' command")
		}
	case isConnectionCommand(name):
		c.reply.fail(errNotFromScript)
	default:
		c.reply.fail("ERR Unknown Redis command called from script")
	}
}

// isConnectionCommand reports whether a name is that of a command that belongs
// to a connection, which a script has not.
func isConnectionCommand(name []byte) bool {
	for _, word := range []string{
		"auth", "client", "discard", "exec", "hello", "monitor", "multi", "psubscribe", "pubsub", "punsubscribe", "quit", "reset",
		"ssubscribe", "subscribe", "sunsubscribe", "unsubscribe", "unwatch", "watch",
	} {
		if isWord(name, word) {
			return true
		}
	}
	return false
}

// HasCommand reports whether a script could call a command.
func (h *scriptHost) HasCommand(name string) bool {
	raw := []byte(name)
	_, found := Lookup(raw)
	for _, word := range []string{"select", "echo", "ping"} {
		found = found || isWord(raw, word)
	}
	return found || isConnectionCommand(raw)
}

// work returns what the command may go through beyond what its arguments and
// reply show, which the engine counts.
func (c *call) work() (n int) {
	switch c.cmd.Name {
	case "keys", "scan", "randomkey", "flushdb", "flushall", "swapdb":
		for _, db := range c.space.dbs {
			n += db.tree.Len()
		}
		return n
	case "hscan", "sscan", "zscan", "lrem", "lpos", "linsert", "ltrim", "sort", "sort_ro", "lcs",
		"sinter", "sinterstore", "sintercard", "sunion", "sunionstore", "sdiff", "sdiffstore",
		"zinter", "zinterstore", "zintercard", "zunion", "zunionstore", "zdiff", "zdiffstore",
		"zremrangebyrank", "zremrangebyscore", "zremrangebylex", "zrangestore", "lmove", "rpoplpush",
		"bitcount", "bitop", "bitpos", "append", "setrange", "setbit", "bitfield", "getrange", "substr":
	default:
		return 0
	}
	const unit = 64
	for _, i := range c.cmd.Keys(c.args) {
		switch e := c.read(c.args[i]); {
		case e == nil:
		case e.value.kind() == kindString:
			n += int(e.value.size()) / unit
		default:
			n += e.value.(collection).len()
		}
	}
	return n
}
