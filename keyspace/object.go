package keyspace

// objectCommands is OBJECT.
func objectCommands() []Command {
	return []Command{
		{
			Name: "object", Arity: -2,
			Flags: []string{}, Group: "generic", Since: "2.2.3",
			Summary: "A container for object introspection commands",
			run:     object, keys: objectKeys,
		},
	}
}

// objectHelp is what OBJECT HELP answers, as Redis has it.
var objectHelp = []string{
	"OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
	"ENCODING <key>",
	"    Return the kind of internal representation used in order to store the value",
	"    associated with a <key>.",
	"FREQ <key>",
	"    Return the access frequency index of the <key>. The returned integer is",
	"    proportional to the logarithm of the recent access frequency of the key.",
	"IDLETIME <key>",
	"    Return the idle time of the <key>, that is the approximated number of",
	"    seconds elapsed since the last access to the key.",
	"REFCOUNT <key>",
	"    Return the number of references of the value associated with the specified",
	"    <key>.",
	"HELP",
	"    Prints this help.",
}

// object is OBJECT. An encoding is what Redis would have chosen for the value
// as it is now, whatever it was before. When a key was last used is not kept:
// IDLETIME is 0.
func object(c *call) {
	sub := c.args[1]
	if isWord(sub, "help") {
		if len(c.args) != 2 {
			c.reply.fail("ERR wrong number of arguments for 'object|help' command")
			return
		}
		c.reply.array(len(objectHelp))
		for _, line := range objectHelp {
			c.reply.status(line)
		}
		return
	}
	var name string
	for _, name = range []string{"encoding", "freq", "idletime", "refcount", ""} {
		if isWord(sub, name) {
			break
		}
	}
	switch {
	case name == "":
		c.reply.fail("ERR unknown subcommand '" + string(sub[:min(len(sub), 128)]) + "'. Try OBJECT HELP.")
		return
	case len(c.args) != 3:
		c.reply.fail("ERR wrong number of arguments for 'object|" + name + "' command")
		return
	}
	e := c.read(c.args[2])
	switch {
	case e == nil:
		c.reply.null()
	case name == "encoding":
		c.reply.bulkString(e.value.encoding())
	case name == "freq":
		c.reply.fail("ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.")
	case name == "idletime":
		c.reply.integer(0)
	default:
		c.reply.integer(1)
	}
}

// objectKeys returns the position of OBJECT's key.
func objectKeys(args [][]byte) []int {
	if len(args) < 3 {
		return nil
	}
	return []int{2}
}
