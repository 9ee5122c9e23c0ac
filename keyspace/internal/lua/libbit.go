package lua

import (
	"fmt"
	"math"
	"math/bits"
)

func bitLibrary() map[string]native {
	return map[string]native{
		"tobit": bitUnary(func(n uint32) uint32 { return n }),
		"bnot":  bitUnary(func(n uint32) uint32 { return ^n }),
		"bswap": bitUnary(bits.ReverseBytes32),
		"band":  bitMany(func(a, b uint32) uint32 { return a & b }),
		"bor":   bitMany(func(a, b uint32) uint32 { return a | b }),
		"bxor":  bitMany(func(a, b uint32) uint32 { return a ^ b }),

		"lshift":  bitShift(func(n, by uint32) uint32 { return n << by }),
		"rshift":  bitShift(func(n, by uint32) uint32 { return n >> by }),
		"arshift": bitShift(func(n, by uint32) uint32 { return uint32(int32(n) >> by) }),
		"rol":     bitShift(func(n, by uint32) uint32 { return bits.RotateLeft32(n, int(by)) }),
		"ror":     bitShift(func(n, by uint32) uint32 { return bits.RotateLeft32(n, -int(by)) }),
		"tohex":   bitToHex,
	}
}

// bits32 is a number modulo 2^32, halves rounded to even. C adds 2^52+2^51 to
// get there, and takes the low half of what that is.
func (vm *machine) bits32(args []value, i int) uint32 {
	return uint32(math.Float64bits(vm.number(args, i) + (1<<52 + 1<<51)))
}

func (vm *machine) retBits(n uint32) []value { return vm.ret1(number(float64(int32(n)))) }

func bitUnary(f func(uint32) uint32) native {
	return func(vm *machine, args []value) []value { return vm.retBits(f(vm.bits32(args, 0))) }
}

func bitMany(f func(a, b uint32) uint32) native {
	return func(vm *machine, args []value) []value {
		n := vm.bits32(args, 0)
		vm.meter.step(len(args) >> 2)
		for i := 1; i < len(args); i++ {
			n = f(n, vm.bits32(args, i))
		}
		return vm.retBits(n)
	}
}

func bitShift(f func(n, by uint32) uint32) native {
	return func(vm *machine, args []value) []value {
		return vm.retBits(f(vm.bits32(args, 0), vm.bits32(args, 1)&31))
	}
}

func bitToHex(vm *machine, args []value) []value {
	n := vm.bits32(args, 0)
	digits := int32(8)
	if len(args) > 1 {
		digits = int32(vm.bits32(args, 1))
	}
	format := "%08x"
	if digits < 0 {
		if digits = -digits; digits < 0 {
			digits = math.MaxInt32
		}
		format = "%08X"
	}
	text := fmt.Sprintf(format, n)
	return vm.ret1(vm.str(text[8-min(digits, 8):]))
}
