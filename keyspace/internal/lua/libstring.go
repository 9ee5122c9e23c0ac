package lua

import "strings"

func stringLibrary() map[string]native {
	return map[string]native{
		"byte": strByte, "char": strChar, "dump": strDump, "find": strFind, "format": strFormat,
		"gfind": strGmatch, "gmatch": strGmatch, "gsub": strGsub, "len": strLen, "lower": strLower,
		"match": strMatch, "rep": strRep, "reverse": strReverse, "sub": strSub, "upper": strUpper,
	}
}

// fromEnd turns a negative position into one from the beginning.
func fromEnd(i, length int) int {
	if i < 0 {
		i += length + 1
	}
	return max(i, 0)
}

func strLen(vm *machine, args []value) []value {
	return vm.ret1(number(float64(len(vm.text(args, 0)))))
}

func strSub(vm *machine, args []value) []value {
	s := vm.text(args, 0)
	from := max(fromEnd(vm.place(args, 1), len(s)), 1)
	to := min(fromEnd(vm.placeOr(args, 2, -1), len(s)), len(s))
	if from > to {
		return vm.ret1(vm.str(""))
	}
	return vm.ret1(vm.str(s[from-1 : to]))
}

func strByte(vm *machine, args []value) []value {
	s := vm.text(args, 0)
	from := fromEnd(vm.placeOr(args, 1, 1), len(s))
	to := min(fromEnd(vm.placeOr(args, 2, from), len(s)), len(s))
	from = max(from, 1)
	if from > to {
		return nil
	}
	n := to - from + 1
	if n > maxCStack-len(args) {
		return vm.failCaller("string slice too long")
	}
	vm.meter.step(n >> 3)
	m := vm.mark()
	out := vm.push(n)
	for i := range out {
		out[i] = number(float64(s[from-1+i]))
	}
	vm.release(m)
	return out
}

func strChar(vm *machine, args []value) []value {
	b := builder{vm: vm}
	vm.meter.step(len(args))
	for i := range args {
		n := vm.int(args, i)
		if n < 0 || n > 255 {
			return vm.failArg(i, "invalid value")
		}
		b.byte(byte(n))
	}
	return vm.ret1(b.value())
}

// strDump refuses: there is no bytecode.
func strDump(vm *machine, args []value) []value {
	vm.function(args, 0)
	return vm.failCaller("unable to dump given function")
}

func strRep(vm *machine, args []value) []value {
	s, n := vm.text(args, 0), vm.int(args, 1)
	if n <= 0 || s == "" {
		return vm.ret1(vm.str(""))
	}
	if n > vm.meter.limits.Bytes/len(s) {
		n = vm.meter.limits.Bytes/len(s) + 1 // which is too much
	}
	vm.meter.take(n * len(s))
	v := vm.str(strings.Repeat(s, n))
	vm.meter.give(n * len(s))
	return vm.ret1(v)
}

// mapBytes makes a string of the same length.
func (vm *machine) mapBytes(s string, to func(b []byte)) []value {
	vm.meter.take(len(s))
	vm.meter.step(len(s) >> 4)
	b := []byte(s)
	to(b)
	v := vm.str(string(b))
	vm.meter.give(len(s))
	return vm.ret1(v)
}

func strReverse(vm *machine, args []value) []value {
	return vm.mapBytes(vm.text(args, 0), func(b []byte) {
		for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
			b[i], b[j] = b[j], b[i]
		}
	})
}

func strLower(vm *machine, args []value) []value {
	return vm.mapBytes(vm.text(args, 0), func(b []byte) {
		for i, c := range b {
			if 'A' <= c && c <= 'Z' {
				b[i] = c + 'a' - 'A'
			}
		}
	})
}

func strUpper(vm *machine, args []value) []value {
	return vm.mapBytes(vm.text(args, 0), func(b []byte) {
		for i, c := range b {
			if 'a' <= c && c <= 'z' {
				b[i] = c - 'a' + 'A'
			}
		}
	})
}
