package lua

import (
	"maps"
	"slices"
)

// A native is a function of the library.
type native func(vm *machine, args []value) []value

// A library holds all that scripts find. Nothing in it changes, and so all
// machines share one.
type library struct {
	globals    *table // without KEYS, ARGV and _G
	stringMeta *table
	globalMeta *table
	next       value
	ipairsNext value
	typeNames  map[string]*str
	lastID     uint32
}

var (
	nameErr    = constant("err")
	nameOK     = constant("ok")
	nameIgnore = constant("ignore_error_stats_update")
	nameG      = constant("_G")
	nameKeys   = constant("KEYS")
	nameArgv   = constant("ARGV")
)

func newLibrary() *library {
	l := &library{typeNames: map[string]*str{}}
	for _, name := range []string{"nil", "boolean", "number", "string", "table", "function", "userdata"} {
		l.typeNames[name] = constant(name)
	}
	l.globals = l.table(baseLibrary(), map[string]value{
		"_VERSION": {ref: constant("Lua 5.1")},
		"string":   {ref: l.table(stringLibrary(), nil)},
		"table":    {ref: l.table(tableLibrary(), nil)},
		"math":     {ref: l.table(mathLibrary(), mathConstants())},
		"bit":      {ref: l.table(bitLibrary(), nil)},
		"struct":   {ref: l.table(structLibrary(), nil)},
		"cjson":    {ref: l.table(jsonLibrary(), jsonConstants())},
		"cmsgpack": {ref: l.table(msgpackLibrary(), msgpackConstants())},
		"redis":    {ref: l.table(redisLibrary(), redisConstants())},
	})
	strings := l.globals.getStr(constant("string"))
	l.stringMeta = l.table(nil, map[string]value{"__index": strings})
	l.globalMeta = l.table(map[string]native{"__index": failGlobal}, nil)
	l.next = l.globals.getStr(constant("next"))
	l.ipairsNext = l.function(ipairsNext)
	l.numberTables()
	return l
}

// table makes a table that nobody can change.
func (l *library) table(natives map[string]native, values map[string]value) *table {
	t := newTable(nil, 0, 0, len(natives)+len(values))
	for _, name := range slices.Sorted(maps.Keys(natives)) {
		t.setStr(constant(name), l.function(natives[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		t.setStr(constant(name), values[name])
	}
	t.readonly = true
	return t
}

func (l *library) function(f native) value {
	l.lastID++
	return value{ref: &function{native: f, id: l.lastID}}
}

// numberTables gives the tables their numbers in an order that is always the
// same.
func (l *library) numberTables() {
	for _, name := range []string{"string", "table", "math", "bit", "struct", "cjson", "cmsgpack", "redis"} {
		l.lastID++
		l.globals.getStr(constant(name)).ref.(*table).id = l.lastID
	}
	l.lastID += 2
	l.stringMeta.id, l.globalMeta.id = l.lastID-1, l.lastID
}

// failGlobal is what Redis calls for a global variable that is not there.
func failGlobal(vm *machine, args []value) []value {
	name, _ := arg(args, 1).toStr()
	return vm.failCaller("Script attempted to access nonexistent global variable '%s'", name)
}

// global returns the global variable of a name.
func (vm *machine) global(name *str) value {
	if v := vm.lib.globals.getStr(name); !v.isNil() {
		return v
	}
	switch name.s {
	case "KEYS":
		return value{ref: vm.keys}
	case "ARGV":
		return value{ref: vm.argv}
	case "_G":
		return value{ref: vm.allGlobals()}
	}
	return value{}
}

// allGlobals makes the table of all globals, which few scripts ask for.
func (vm *machine) allGlobals() *table {
	if vm.globals == nil {
		const fixed = 3
		t := vm.newTable(0, len(vm.lib.globals.nodes)+fixed)
		for k, v, _ := vm.lib.globals.next(value{}); !k.isNil(); k, v, _ = vm.lib.globals.next(k) {
			t.set(k, v)
		}
		t.setStr(nameKeys, value{ref: vm.keys})
		t.setStr(nameArgv, value{ref: vm.argv})
		t.setStr(nameG, value{ref: t})
		t.meta, t.readonly = vm.lib.globalMeta, true
		vm.globals = t
	}
	return vm.globals
}
