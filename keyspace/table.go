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
	frees func(args [][]byte) bool // nil: never
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

func always([][]byte) bool { return true }

// table is the command table, by name. It is never changed.
var table = newTable(
	stringCommands(),
	counterCommands(),
	keyCommands(),
	expiryCommands(),
	scanCommands(),
	serverCommands(),
	scriptCommands(),
)

// longestName is more than the length of any command's name.
const longestName = 32

func newTable(families ...[]Command) map[string]*Command {
	t := map[string]*Command{}
	for _, family := range families {
		for i := range family {
			t[family[i].Name] = &family[i]
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
