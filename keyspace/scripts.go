package keyspace

import (
	"bytes"
	"sync"

	"github.com/tidwall/btree"

	"github.com/huddlecache/huddle/keyspace/internal/lua"
)

// What is kept of scripts for EVALSHA. The script that was used least lately
// makes room.
const (
	maxScripts      = 1000
	maxScriptsBytes = 8 << 20 // of sources
)

const (
	digestLen  = 40  // of a SHA-1 in hexadecimal digits
	scriptCost = 200 // what Size counts for a script besides its source
)

// A stored is a script that EVALSHA knows. It is never changed.
type stored struct {
	digest string // SHA-1 of the source, in hexadecimal digits
	source string
	used   uint64 // number of the last change that used it, by the cluster's number source
}

// scripts are the scripts of the cluster, by digest.
type scripts struct {
	tree  *btree.BTreeG[stored]
	bytes int64 // of sources
}

func newScripts() scripts {
	before := func(a, b stored) bool { return a.digest < b.digest }
	return scripts{tree: btree.NewBTreeGOptions(before, btree.Options{NoLocks: true})}
}

func (s *scripts) find(digest string) (stored, bool) { return s.tree.Get(stored{digest: digest}) }

func (s *scripts) size() int64 { return s.bytes + scriptCost*int64(s.tree.Len()) }

func (s *scripts) put(one stored) {
	old, _ := s.tree.Set(one)
	s.bytes += int64(len(one.source)) - int64(len(old.source))
}

// trim makes room, in an order that is the same everywhere.
func (s *scripts) trim() {
	for s.tree.Len() > maxScripts || s.bytes > maxScriptsBytes {
		var oldest stored
		s.tree.Scan(func(one stored) bool {
			if oldest.digest == "" || one.used < oldest.used {
				oldest = one
			}
			return true
		})
		s.tree.Delete(oldest)
		s.bytes -= int64(len(oldest.source))
	}
}

// keepScript keeps a script, or takes note that it was used. Where the state
// is full there is no room for another one.
func (c *call) keepScript(digest string, source []byte) {
	known, found := c.space.scripts.find(digest)
	switch {
	case found:
		c.useScript(known)
	case !c.isFull():
		s := c.space
		s.size -= s.scripts.size()
		s.scripts.put(stored{digest: digest, source: string(source), used: c.change()})
		s.scripts.trim()
		s.size += s.scripts.size()
	}
}

func (c *call) useScript(known stored) {
	known.used = c.change()
	c.space.scripts.put(known)
}

// script is SCRIPT.
func script(c *call) {
	sub, n := c.args[1], len(c.args)
	name, isRight := "", false
	switch {
	case isWord(sub, "load"):
		name, isRight = "load", n == 3
	case isWord(sub, "exists"):
		name, isRight = "exists", n >= 3
	case isWord(sub, "flush"):
		name, isRight = "flush", true
	case isWord(sub, "kill"):
		name, isRight = "kill", n == 2
	case isWord(sub, "help"):
		name, isRight = "help", n == 2
	default:
		c.reply.fail("ERR unknown subcommand '" + string(sub[:min(len(sub), 128)]) + "'. Try SCRIPT HELP.")
		return
	}
	if !isRight {
		c.reply.fail("ERR wrong number of arguments for 'script|" + name + "' command")
		return
	}
	switch name {
	case "load":
		c.scriptLoad()
	case "exists":
		c.reply.array(n - 2)
		for _, digest := range c.args[2:] {
			_, found := c.space.scripts.find(string(bytes.ToLower(digest)))
			c.reply.boolean(found)
		}
	case "flush":
		c.scriptFlush()
	case "kill":
		c.reply.fail("NOTBUSY No scripts in execution right now.")
	default:
		c.reply.array(len(scriptHelp))
		for _, line := range scriptHelp {
			c.reply.status(line)
		}
	}
}

// scriptFrees reports whether SCRIPT adds nothing.
func scriptFrees(args [][]byte) bool { return !isWord(args[1], "load") }

func (c *call) scriptLoad() {
	if s, ok := c.compile(c.args[2]); ok {
		c.keepScript(s.SHA, c.args[2])
		c.reply.bulkString(s.SHA)
	}
}

func (c *call) scriptFlush() {
	options := c.args[2:]
	if len(options) > 1 || len(options) == 1 && !isWord(options[0], "async") && !isWord(options[0], "sync") {
		c.reply.fail("ERR SCRIPT FLUSH only support SYNC|ASYNC option")
		return
	}
	c.space.size -= c.space.scripts.size()
	c.space.scripts = newScripts()
	c.reply.status("OK")
}

// scriptHelp is what SCRIPT HELP answers: Redis' words, without what a script
// that cannot be debugged has not.
var scriptHelp = []string{
	"SCRIPT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
	"EXISTS <sha1> [<sha1> ...]",
	"    Return information about the existence of the scripts in the script cache.",
	"FLUSH [ASYNC|SYNC]",
	"    Flush the Lua scripts cache. Both modes do the same.",
	"KILL",
	"    Kill the currently executing Lua script. There never is one.",
	"LOAD <script>",
	"    Load a script into the scripts cache without executing it.",
	"HELP",
	"    Prints this help.",
}

// What is kept of compiled scripts, whose trees take many times as much memory
// as their sources.
const (
	maxCompiled      = 500
	maxCompiledBytes = 2 << 20 // of sources
)

// A compiler keeps the scripts that it has compiled. It is not part of the
// state: what it keeps may differ between nodes, and what it returns does not.
// So it goes by the source, as there may be two of one digest.
type compiler struct {
	engine *lua.Engine

	mu    sync.Mutex // guards what follows; queries run at once
	known map[string]*lua.Script
	bytes int // of known's sources
}

func newCompiler() *compiler {
	return &compiler{engine: lua.New(), known: map[string]*lua.Script{}}
}

func (k *compiler) script(source []byte) (*lua.Script, error) {
	k.mu.Lock()
	s := k.known[string(source)]
	k.mu.Unlock()
	if s != nil {
		return s, nil
	}
	s, err := k.engine.Compile(source)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known[string(source)] != nil {
		return s, nil
	}
	k.known[string(source)] = s
	k.bytes += len(source)
	for other := range k.known {
		if len(k.known) <= maxCompiled && k.bytes <= maxCompiledBytes {
			break
		}
		delete(k.known, other)
		k.bytes -= len(other)
	}
	return s, nil
}
