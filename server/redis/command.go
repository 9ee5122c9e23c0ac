package redis

import (
	"path"
	"slices"
	"strings"

	"github.com/huddlecache/huddle/keyspace"
	"github.com/huddlecache/huddle/server/resp"
)

// A command is answered here, without the log.
type command struct {
	name    string // in lower case; that of a subcommand is like client|list
	arity   int    // as in keyspace.Command
	group   string // as COMMAND DOCS says; connection, or the feature's name
	anyone  bool   // answered also before the password was said
	writes  bool   // of a feature: changes the replicated state
	idem    bool   // may come behind IDEM id
	waits   bool   // may take long: what was answered before is sent first
	atOnce  bool   // inside MULTI it is executed, not queued
	noMulti bool   // inside MULTI it is refused
	isKeyed bool   // its arguments are keys
	run     func(c *conn, args [][]byte)
	subs    map[string]*command // nil where the second argument names none
}

func (c *command) accepts(args int) bool {
	return args == c.arity || c.arity < 0 && args >= -c.arity
}

// ownCommands returns the table of the commands that are answered here.
func ownCommands() map[string]*command {
	return table(slices.Concat(
		connCommands(), transactionCommands(), publishCommands(),
		sessionCommands(), counterCommands(), limitCommands(), lockCommands(), cacheCommands(),
	)...)
}

// connCommands are about the connection and the server.
func connCommands() []command {
	noCluster := func(c *conn, _ [][]byte) { c.fail(errNoCluster) }
	return []command{
		{name: "acl", arity: -2, subs: table(
			command{name: "acl|whoami", arity: 2, run: func(c *conn, _ [][]byte) { c.bulk(user) }},
		)},
		{name: "asking", arity: 1, run: noCluster},
		{name: "auth", arity: -2, anyone: true, noMulti: true, run: (*conn).auth},
		{name: "client", arity: -2, subs: clientCommands()},
		{name: "cluster", arity: -2, run: noCluster},
		{name: "command", arity: -1, run: (*conn).commandAll, subs: table(
			command{name: "command|count", arity: 2, run: (*conn).commandCount},
			command{name: "command|docs", arity: -2, run: (*conn).commandDocs},
			command{name: "command|getkeys", arity: -4, run: (*conn).commandGetKeys},
			command{name: "command|help", arity: 2, run: help("COMMAND",
				"(no subcommand)", "Return details about all commands.",
				"COUNT", "Return the number of commands.",
				"DOCS [<command-name> ...]", "Return documentation details about commands.",
				"GETKEYS <full-command>", "Return the keys from a full command.",
				"INFO [<command-name> ...]", "Return details about commands.",
				"LIST [FILTERBY PATTERN <pattern>]", "Return the names of commands.",
			)},
			command{name: "command|info", arity: -2, run: (*conn).commandInfo},
			command{name: "command|list", arity: -2, run: (*conn).commandList},
		)},
		{name: "config", arity: -2, subs: table(
			command{name: "config|get", arity: -3, run: (*conn).configGet},
			command{name: "config|help", arity: 2, run: help("CONFIG",
				"GET <pattern>", "Return parameters matching the glob-like <pattern> and their values.",
				"SET <directive> <value>", "Accept the value that <directive> has, and no other.",
				"RESETSTAT", "Do nothing: counters of a node are never reset.",
			)},
			command{name: "config|resetstat", arity: 2, run: func(c *conn, _ [][]byte) { c.ok() }},
			command{name: "config|set", arity: -4, run: (*conn).configSet},
		)},
		{name: "echo", arity: 2, run: func(c *conn, args [][]byte) { c.out = resp.AppendBulk(c.out, args[1]) }},
		{name: "hello", arity: -1, anyone: true, noMulti: true, run: (*conn).hello},
		{name: "idem", arity: -3, noMulti: true, run: (*conn).idemOwn},
		{name: "info", arity: -1, run: (*conn).info},
		{name: "ping", arity: -1, run: (*conn).ping},
		{name: "quit", arity: -1, anyone: true, atOnce: true, run: (*conn).quit},
		{name: "readonly", arity: 1, run: noCluster},
		{name: "readwrite", arity: 1, run: noCluster},
		{name: "reset", arity: 1, anyone: true, atOnce: true, run: (*conn).reset},
		{name: "role", arity: 1, run: (*conn).role},
		{name: "select", arity: 2, run: (*conn).choose},
		{name: "sentinel", arity: -2, subs: table(
			command{name: "sentinel|get-master-addr-by-name", arity: 3, run: (*conn).masterAddr},
		)},
		{name: "wait", arity: 3, run: (*conn).wait},
	}
}

// table makes a table of commands, by the last part of their names.
func table(commands ...command) map[string]*command {
	t := make(map[string]*command, len(commands))
	for i := range commands {
		cmd := &commands[i]
		_, sub, isSub := strings.Cut(cmd.name, "|")
		if !isSub {
			sub = cmd.name
		}
		t[sub] = cmd
	}
	return t
}

// own returns the command of this package that args are, which may be a
// subcommand; nil if there is none of that name. The complaint is about a
// subcommand that there is not.
func (s *Server) own(args [][]byte) (cmd *command, complaint string) {
	cmd, found := find(s.commands, args[0])
	if !found || cmd.subs == nil || len(args) == 1 {
		return cmd, ""
	}
	sub, found := find(cmd.subs, args[1])
	if !found {
		return nil, unknownSubcommand(cmd.name, args[1])
	}
	return sub, ""
}

// find looks a command up, its name in any case.
func find(table map[string]*command, name []byte) (*command, bool) {
	var buf [32]byte
	if len(name) > len(buf) {
		return nil, false
	}
	for i, b := range name {
		if 'A' <= b && b <= 'Z' {
			b += 'a' - 'A'
		}
		buf[i] = b
	}
	cmd, found := table[string(buf[:len(name)])]
	return cmd, found
}

// isWord reports whether arg is word, in any case.
func isWord(arg []byte, word string) bool {
	return len(arg) == len(word) && strings.EqualFold(string(arg), word)
}

// help answers with subcommands, each followed by what it does.
func help(name string, lines ...string) func(*conn, [][]byte) {
	return func(c *conn, _ [][]byte) {
		c.out = resp.AppendArray(c.out, len(lines)+3)
		c.out = resp.AppendSimple(c.out, name+" <subcommand> [<arg> [value] [opt] ...]. Subcommands are:")
		for i, line := range lines {
			c.out = resp.AppendSimple(c.out, strings.Repeat("    ", i%2)+line)
		}
		c.out = resp.AppendSimple(c.out, "HELP")
		c.out = resp.AppendSimple(c.out, "    Print this help.")
	}
}

// An entry is what COMMAND tells of a command, of whichever table.
type entry struct {
	name              string
	arity             int
	flags             []string
	first, last, step int

	group, since, summary string
}

// lookupEntry finds a command of either table; a subcommand is client|list.
func (s *Server) lookupEntry(name []byte) (entry, bool) {
	if k, found := keyspace.Lookup(name); found {
		return keyspaceEntry(k), true
	}
	parent, sub, isSub := strings.Cut(string(name), "|")
	cmd, found := find(s.commands, []byte(parent))
	if found && isSub {
		cmd, found = find(cmd.subs, []byte(sub))
	}
	if !found {
		return entry{}, false
	}
	return ownEntry(cmd), true
}

// entries returns all commands, by name.
func (s *Server) entries() []entry {
	var all []entry
	for _, k := range keyspace.Commands() {
		all = append(all, keyspaceEntry(k))
	}
	for _, cmd := range s.commands {
		all = append(all, ownEntry(cmd))
	}
	slices.SortFunc(all, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return all
}

func keyspaceEntry(k *keyspace.Command) entry {
	return entry{
		name: k.Name, arity: k.Arity, flags: k.Flags,
		first: k.FirstKey, last: k.LastKey, step: k.Step,
		group: k.Group, since: k.Since, summary: k.Summary,
	}
}

func ownEntry(cmd *command) entry {
	e := entry{name: cmd.name, arity: cmd.arity, flags: []string{"noscript", "loading", "stale"}, group: "connection"}
	if cmd.group != "" {
		e.group = cmd.group
	}
	if cmd.anyone {
		e.flags = append(e.flags, "no_auth")
	}
	if cmd.noMulti {
		e.flags = append(e.flags, "no_multi")
	}
	if cmd.isKeyed {
		e.first, e.last, e.step = 1, -1, 1
	}
	if name, _, isFeature := strings.Cut(cmd.name, "."); isFeature {
		e.flags, e.group = []string{"noscript", "no_multi"}, name
		if cmd.writes {
			e.flags = append(e.flags, "write")
		}
	}
	return e
}

// append appends an entry in the shape of COMMAND INFO.
func (e entry) append(dst []byte, proto int) []byte {
	dst = resp.AppendArray(dst, 10)
	dst = resp.AppendBulk(dst, e.name)
	dst = resp.AppendInt(dst, int64(e.arity))
	dst = resp.AppendSet(dst, proto, len(e.flags))
	for _, flag := range e.flags {
		dst = resp.AppendSimple(dst, flag)
	}
	for _, n := range []int{e.first, e.last, e.step} {
		dst = resp.AppendInt(dst, int64(n))
	}
	for range 4 { // ACL categories, tips, key specifications, subcommands
		dst = resp.AppendSet(dst, proto, 0)
	}
	return dst
}

func (c *conn) commandAll([][]byte) {
	all := c.server.entries()
	c.out = resp.AppendArray(c.out, len(all))
	for _, e := range all {
		c.out = e.append(c.out, c.proto)
	}
}

func (c *conn) commandCount([][]byte) {
	c.out = resp.AppendInt(c.out, int64(len(c.server.entries())))
}

func (c *conn) commandInfo(args [][]byte) {
	if len(args) == 2 {
		c.commandAll(args)
		return
	}
	c.out = resp.AppendArray(c.out, len(args)-2)
	for _, name := range args[2:] {
		if e, found := c.server.lookupEntry(name); found {
			c.out = e.append(c.out, c.proto)
		} else {
			c.out = resp.AppendNull(c.out, c.proto)
		}
	}
}

func (c *conn) commandDocs(args [][]byte) {
	entries := c.server.entries()
	if len(args) > 2 {
		entries = entries[:0]
		for _, name := range args[2:] {
			if e, found := c.server.lookupEntry(name); found {
				entries = append(entries, e)
			}
		}
	}
	c.out = resp.AppendMap(c.out, c.proto, len(entries))
	for _, e := range entries {
		c.out = resp.AppendBulk(c.out, e.name)
		c.out = resp.AppendMap(c.out, c.proto, 3)
		for _, s := range []string{"summary", e.summary, "since", e.since, "group", e.group} {
			c.out = resp.AppendBulk(c.out, s)
		}
	}
}

func (c *conn) commandList(args [][]byte) {
	pattern := "*"
	switch {
	case len(args) == 2:
	case len(args) == 5 && isWord(args[2], "filterby") && isWord(args[3], "pattern"):
		pattern = strings.ToLower(string(args[4]))
	default:
		c.fail(errSyntax)
		return
	}
	var names []string
	for _, e := range c.server.entries() {
		if matched, err := path.Match(pattern, e.name); matched && err == nil {
			names = append(names, e.name)
		}
	}
	c.out = resp.AppendArray(c.out, len(names))
	for _, name := range names {
		c.out = resp.AppendBulk(c.out, name)
	}
}

func (c *conn) commandGetKeys(args [][]byte) {
	args = args[2:]
	e, found := c.server.lookupEntry(args[0])
	keyed, _ := keyspace.Lookup(args[0])
	switch {
	case !found:
		c.fail("ERR Invalid command specified")
		return
	case e.step == 0 && !slices.Contains(e.flags, "movablekeys") && !hasKeys(keyed, args):
		c.fail("ERR The command has no key arguments")
		return
	case len(args) != e.arity && (e.arity > 0 || len(args) < -e.arity):
		c.fail("ERR Invalid number of arguments specified for command")
		return
	case keyed == nil: // WATCH
		keyed = &keyspace.Command{FirstKey: e.first, LastKey: e.last, Step: e.step}
	}
	keys := keyed.Keys(args)
	if len(keys) == 0 && !slices.Contains(e.flags, "no_mandatory_keys") {
		c.fail("ERR Invalid arguments specified for command")
		return
	}
	c.out = resp.AppendArray(c.out, len(keys))
	for _, i := range keys {
		c.out = resp.AppendBulk(c.out, args[i])
	}
}

func hasKeys(keyed *keyspace.Command, args [][]byte) bool {
	return keyed != nil && keyed.Accepts(len(args)) && len(keyed.Keys(args)) > 0
}
