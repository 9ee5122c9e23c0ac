package lua

import "math"

func mathLibrary() map[string]native {
	return map[string]native{
		"abs": f1(math.Abs), "ceil": f1(math.Ceil), "floor": f1(math.Floor), "sqrt": f1(math.Sqrt),
		"acos": f1(acos), "asin": f1(asin), "atan": f1(atan), "atan2": f2(atan2),
		"cos": f1(cos), "cosh": f1(cosh), "sin": f1(sin), "sinh": f1(sinh), "tan": f1(tan), "tanh": f1(tanh),
		"exp": f1(exp), "log": f1(log), "log10": f1(log10), "pow": f2(power),
		"deg":  f1(func(x float64) float64 { return x / (math.Pi / 180) }),
		"rad":  f1(func(x float64) float64 { return x * (math.Pi / 180) }),
		"fmod": f2(math.Mod), "mod": f2(math.Mod), "frexp": mathFrexp, "ldexp": mathLdexp, "modf": mathModf,
		"max": mathMax, "min": mathMin, "random": mathRandom, "randomseed": mathSeed,
	}
}

// elementarySteps is what an elementary function may cost; that of a number so
// large that its reduction takes many bits costs more.
const (
	elementarySteps = 120
	farSteps        = 2000
)

func f1(f func(float64) float64) native {
	return func(vm *machine, args []value) []value {
		x := vm.number(args, 0)
		vm.meter.step(elementarySteps)
		if math.Abs(x) > 1<<20 {
			vm.meter.step(farSteps)
		}
		return vm.ret1(number(f(x)))
	}
}

func f2(f func(x, y float64) float64) native {
	return func(vm *machine, args []value) []value {
		y := vm.number(args, 1) // first, as compilers do it: an error tells
		x := vm.number(args, 0)
		vm.meter.step(elementarySteps)
		return vm.ret1(number(f(x, y)))
	}
}

func mathFrexp(vm *machine, args []value) []value {
	m, e := math.Frexp(vm.number(args, 0))
	return vm.ret(number(m), number(float64(e)))
}

func mathLdexp(vm *machine, args []value) []value {
	exponent := vm.int(args, 1)
	return vm.ret1(number(math.Ldexp(vm.number(args, 0), exponent)))
}

func mathModf(vm *machine, args []value) []value {
	x := vm.number(args, 0)
	if math.IsInf(x, 0) {
		return vm.ret(number(x), number(math.Copysign(0, x)))
	}
	whole, part := math.Modf(x)
	return vm.ret(number(whole), number(part))
}

func mathMax(vm *machine, args []value) []value {
	most := vm.number(args, 0)
	for i := range args {
		if n := vm.number(args, i); n > most {
			most = n
		}
	}
	return vm.ret1(number(most))
}

func mathMin(vm *machine, args []value) []value {
	least := vm.number(args, 0)
	for i := range args {
		if n := vm.number(args, i); n < least {
			least = n
		}
	}
	return vm.ret1(number(least))
}

// An lrand48 is the generator of that name, which Redis has of its own.
type lrand48 uint64

// firstRandom is the state before anybody gives a seed. Each script begins
// with it, while in Redis it goes on from script to script.
const firstRandom lrand48 = 0x1234abcd330e

func (r *lrand48) next() int64 {
	*r = (*r*0x5deece66d + 0xb) & (1<<48 - 1)
	return int64(*r >> 17)
}

// mathRandom is the function of Redis, which differs from C's only in its
// generator.
func mathRandom(vm *machine, args []value) []value {
	r := float64(vm.random.next()%math.MaxInt32) / math.MaxInt32
	low, high := 1.0, 0.0
	switch len(args) {
	case 0:
		return vm.ret1(number(r))
	case 1:
		if high = float64(vm.int(args, 0)); high < 1 {
			return vm.failArg(0, "interval is empty")
		}
	case 2:
		low, high = float64(vm.int(args, 0)), float64(vm.int(args, 1))
		if low > high {
			return vm.failArg(1, "interval is empty")
		}
	default:
		return vm.failCaller("wrong number of arguments")
	}
	return vm.ret1(number(math.Floor(float64(r*(high-low+1))) + low))
}

func mathSeed(vm *machine, args []value) []value {
	seed := uint32(vm.int(args, 0))
	vm.random = lrand48(seed)<<16 | 0x330e
	return nil
}

func mathConstants() map[string]value {
	return map[string]value{"huge": number(math.Inf(1)), "pi": number(math.Pi)}
}
