package keyspace

import (
	"maps"
	"slices"
)

// A Command is a row of the command table: what can be known of a command
// before it is executed.
type Command struct {
	Name  string // in lower case
	Arity int    // number of arguments with the name; if negative, at least as many as its absolute value

	Writes bool // goes through the log; the others may be queries
	Blocks bool // waits where there is nothing, if AppendWait puts it into the log

	// FirstKey and LastKey are the positions of keys among the arguments, and
	// Step their distance; a negative LastKey counts from the end. All are
	// zero where there are no keys, or where an argument tells how many.
	FirstKey, LastKey, Step int

	// What COMMAND INFO and COMMAND DOCS say, in Redis' words.
	Flags   []string
	Group   string
	Since   string
	Summary string

	run   func(*call)
	frees func(args [][]byte) bool  // nil: never
	keys  func(args [][]byte) []int // nil: what FirstKey, LastKey and Step say

	asks func(*call) (request, bool) // what a command that blocks wants; false, and answered, where that cannot be

	noScript bool // has the flag "noscript"

	grows bool // has the flag "denyoom": a collection that is kept for long is not added to where there is little room
}

// Accepts reports whether a command may have so many arguments, its name
// included. Where it may not the answer is "ERR wrong number of arguments for
// 'get' command", with Name.
func (c *Command) Accepts(args int) bool {
	if c.Arity < 0 {
		return args >= -c.Arity
	}
	return args == c.Arity
}

// Frees reports whether the command, with these arguments, never makes the
// state larger, so that it may be executed when the state is full.
func (c *Command) Frees(args [][]byte) bool {
	return c.frees != nil && c.Accepts(len(args)) && c.frees(args)
}

// Keys returns the positions of the keys among the arguments, in order; those
// of keys that are made of patterns, as SORT's BY and GET are, are not known.
// It is for arguments that the command accepts; where an argument that tells
// how many keys there are does not, there are none.
func (c *Command) Keys(args [][]byte) []int {
	if c.keys != nil {
		return c.keys(args)
	}
	if c.Step == 0 {
		return nil
	}
	last := c.LastKey
	if last < 0 {
		last += len(args)
	}
	var keys []int
	for i := c.FirstKey; i <= last && i < len(args); i += c.Step {
		keys = append(keys, i)
	}
	return keys
}

// numberedKeys returns the positions of keys whose number is at one position,
// and who follow it. What is ahead of it, but the name, is a key too.
func numberedKeys(at int) func(args [][]byte) []int {
	return func(args [][]byte) []int {
		n, ok := parseInt(args[at])
		if !ok || n < 0 || n > int64(len(args)-at-1) {
			return nil
		}
		var keys []int
		for i := range at - 1 {
			keys = append(keys, i+1)
		}
		for i := range int(n) {
			keys = append(keys, at+1+i)
		}
		return keys
	}
}

func always([][]byte) bool { return true }

// table is the command table, by name. It is never changed.
var table = newTable(
	stringCommands(),
	counterCommands(),
	substringCommands(),
	bitCommands(),
	bitfieldCommands(),
	hashCommands(),
	setCommands(),
	algebraCommands(),
	listCommands(),
	insideCommands(),
	blockingCommands(),
	zsetCommands(),
	rangeCommands(),
	zalgebraCommands(),
	keyCommands(),
	renameCommands(),
	sortCommands(),
	objectCommands(),
	expiryCommands(),
	scanCommands(),
	serverCommands(),
	scriptCommands(),
	publishCommands(),
)

// longestName is more than the length of any command's name.
const longestName = 32

func newTable(families ...[]Command) map[string]*Command {
	t := map[string]*Command{}
	for _, family := range families {
		for i := range family {
			c := &family[i]
			c.grows = slices.Contains(c.Flags, "denyoom")
			c.noScript = slices.Contains(c.Flags, "noscript")
			c.Blocks = c.asks != nil
			t[c.Name] = c
		}
	}
	return t
}

// Lookup returns the command of that name, in any case. It does not allocate.
func Lookup(name []byte) (*Command, bool) {
	var buf [longestName]byte
	if len(name) > len(buf) {
		return nil, false
	}
	for i, b := range name {
		buf[i] = lower(b)
	}
	c, found := table[string(buf[:len(name)])]
	return c, found
}

// Commands returns the whole table, by name. Its rows are not the caller's to
// change.
func Commands() []*Command {
	all := slices.Collect(maps.Values(table))
	slices.SortFunc(all, func(a, b *Command) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return all
}

func lower(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}

// isWord reports whether arg is word, which is in lower case, in any case.
func isWord(arg []byte, word string) bool {
	if len(arg) != len(word) {
		return false
	}
	for i, b := range arg {
		if lower(b) != word[i] {
			return false
		}
	}
	return true
}
