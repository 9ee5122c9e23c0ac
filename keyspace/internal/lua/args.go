package lua

// The arguments of native functions, with Lua's words for those that are
// wrong. i counts from 0.

// failArg says what is wrong with an argument.
func (vm *machine) failArg(i int, format string, args ...any) []value {
	name, place := "?", i+1
	if site := vm.frames[vm.depth-1].site; site != nil && site.name != "" {
		name = site.name
		if site.kind == "method" {
			if place--; place == 0 {
				return vm.failCaller("calling '%s' on bad self ("+format+")", append([]any{name}, args...)...)
			}
		}
	}
	return vm.failCaller("bad argument #%d to '%s' ("+format+")", append([]any{place, name}, args...)...)
}

func (vm *machine) failArgType(args []value, i int, want string) {
	got := "no value"
	if i < len(args) {
		got = args[i].typeName()
	}
	vm.failArg(i, "%s expected, got %s", want, got)
}

func arg(args []value, i int) value {
	if i < len(args) {
		return args[i]
	}
	return value{}
}

// any returns an argument that must be there.
func (vm *machine) any(args []value, i int) value {
	if i >= len(args) {
		vm.failArg(i, "value expected")
	}
	return args[i]
}

// table returns the first argument, which is where tables are.
func (vm *machine) table(args []value) *table {
	t, ok := arg(args, 0).ref.(*table)
	if !ok {
		vm.failArgType(args, 0, "table")
	}
	return t
}

func (vm *machine) function(args []value, i int) value {
	v := arg(args, i)
	if _, ok := v.ref.(*function); !ok {
		vm.failArgType(args, i, "function")
	}
	return v
}

func (vm *machine) text(args []value, i int) string {
	s, ok := arg(args, i).toStr()
	if !ok {
		vm.failArgType(args, i, "string")
	}
	return s
}

func (vm *machine) textOr(args []value, i int, otherwise string) string {
	if arg(args, i).isNil() {
		return otherwise
	}
	return vm.text(args, i)
}

func (vm *machine) number(args []value, i int) float64 {
	n, ok := arg(args, i).toNumber()
	if !ok {
		vm.failArgType(args, i, "number")
	}
	return n
}

func (vm *machine) int(args []value, i int) int { return toInt32(vm.number(args, i)) }

func (vm *machine) intOr(args []value, i, otherwise int) int {
	if arg(args, i).isNil() {
		return otherwise
	}
	return vm.int(args, i)
}

// place returns an integer of 64 bits: a place in a string.
func (vm *machine) place(args []value, i int) int { return int(toInt(vm.number(args, i))) }

func (vm *machine) placeOr(args []value, i, otherwise int) int {
	if arg(args, i).isNil() {
		return otherwise
	}
	return vm.place(args, i)
}
