package lua

import (
	"math"
	"slices"
	"strings"
)

func structLibrary() map[string]native {
	return map[string]native{"pack": structPack, "unpack": structUnpack, "size": structSize}
}

// A layout goes through the format of the struct library.
type layout struct {
	vm     *machine
	format string
	at     int
	isBig  bool
	align  int
}

const (
	maxIntSize   = 32
	defaultAlign = 8
)

func newLayout(vm *machine, args []value) *layout {
	return &layout{vm: vm, format: cutNul(vm.text(args, 0)), align: 1}
}

// next returns the next option and its size, and what goes before it in data
// of a length to align it. ok is false at the end.
func (l *layout) next(length int) (option byte, size, padding int, ok bool) {
	if l.at >= len(l.format) {
		return 0, 0, 0, false
	}
	l.vm.meter.step(1)
	option = l.format[l.at]
	l.at++
	switch option {
	case 'b', 'B', 'x':
		size = 1
	case 'h', 'H':
		size = 2
	case 'f':
		size = 4
	case 'l', 'L', 'T', 'd':
		size = 8
	case 'c':
		size = l.number(1)
	case 'i', 'I':
		if size = l.number(4); size > maxIntSize {
			l.vm.failCaller("integral size %d is larger than limit of %d", size, maxIntSize)
		}
	}
	if size > 0 && option != 'c' {
		unit := min(size, l.align)
		padding = (unit - length&(unit-1)) & (unit - 1)
	}
	return option, size, padding, true
}

func (l *layout) number(otherwise int) int {
	if l.at >= len(l.format) || !isDigit(l.format[l.at]) {
		return otherwise
	}
	n := 0
	for ; l.at < len(l.format) && isDigit(l.format[l.at]); l.at++ {
		digit := int(l.format[l.at] - '0')
		if n > math.MaxInt32/10 || n*10 > math.MaxInt32-digit {
			l.vm.failCaller("integral size overflow")
		}
		n = n*10 + digit
	}
	return n
}

// control obeys the options that are no data.
func (l *layout) control(option byte) {
	switch option {
	case ' ':
	case '>', '<':
		l.isBig = option == '>'
	case '!':
		n := l.number(defaultAlign)
		if n <= 0 || n&(n-1) != 0 {
			l.vm.failCaller("alignment %d is not a power of 2", n)
		}
		l.align = n
	default:
		l.vm.failArg(0, "invalid format option '%s'", string([]byte{option}))
	}
}

func structPack(vm *machine, args []value) []value {
	l := newLayout(vm, args)
	w := &builder{vm: vm}
	args = append(slices.Clip(args), value{}) // what the original finds behind its arguments
	for i := 1; ; {
		option, size, padding, ok := l.next(len(w.buf))
		if !ok {
			return vm.ret1(w.value())
		}
		w.string(strings.Repeat("\x00", padding))
		switch option {
		case 'b', 'B', 'h', 'H', 'l', 'L', 'T', 'i', 'I':
			n := vm.number(args, i)
			bits := toUint(n)
			if n < 0 {
				bits = uint64(toInt(n))
			}
			l.put(w, bits, size)
			i++
		case 'x':
			w.byte(0)
		case 'f':
			l.put(w, uint64(math.Float32bits(float32(vm.number(args, i)))), size)
			i++
		case 'd':
			l.put(w, math.Float64bits(vm.number(args, i)), size)
			i++
		case 'c', 's':
			s := vm.text(args, i)
			i++
			if size == 0 {
				size = len(s)
			}
			if len(s) < size {
				return vm.failArg(i, "string too short")
			}
			w.string(s[:size])
			if option == 's' {
				w.byte(0)
			}
		default:
			l.control(option)
		}
	}
}

// put appends an integer of a size; beyond 8 bytes there are zeros.
func (l *layout) put(w *builder, bits uint64, size int) {
	var b [maxIntSize]byte
	for i := range size {
		at := i
		if l.isBig {
			at = size - 1 - i
		}
		b[at] = byte(bits)
		bits >>= 8
	}
	w.string(string(b[:size]))
}

func structUnpack(vm *machine, args []value) []value {
	l := newLayout(vm, args)
	data := vm.text(args, 1)
	at := vm.intOr(args, 2, 1) - 1
	if at < 0 {
		return vm.failArg(2, "offset must be 1 or greater")
	}
	var out []value
	for {
		option, size, padding, ok := l.next(at)
		if !ok {
			return vm.ret(append(out, number(float64(at+1)))...)
		}
		at += padding
		if size > len(data) || at > len(data)-size {
			return vm.failArg(1, "data string too short")
		}
		if len(out) > maxCStack-10 {
			return vm.failCaller("stack overflow (too many results)")
		}
		vm.meter.take(slotCost)
		switch option {
		case 'b', 'B', 'h', 'H', 'l', 'L', 'T', 'i', 'I':
			out = append(out, number(l.get(data[at:at+size], option >= 'a')))
		case 'x':
		case 'f':
			out = append(out, number(float64(math.Float32frombits(uint32(l.bits(data[at:at+size]))))))
		case 'd':
			out = append(out, number(math.Float64frombits(l.bits(data[at:at+size]))))
		case 'c':
			if size == 0 {
				if len(out) == 0 || !out[len(out)-1].isNumeric() {
					return vm.failCaller("format 'c0' needs a previous size")
				}
				n, _ := out[len(out)-1].toNumber()
				out = out[:len(out)-1]
				if n < 0 || n > float64(len(data)-at) {
					return vm.failArg(1, "data string too short")
				}
				size = int(n)
			}
			out = append(out, vm.str(data[at:at+size]))
		case 's':
			end := strings.IndexByte(data[at:], 0)
			if end < 0 {
				return vm.failCaller("unfinished string in data")
			}
			out = append(out, vm.str(data[at:at+end]))
			size = end + 1
		default:
			l.control(option)
		}
		at += size
	}
}

func (v value) isNumeric() bool {
	_, ok := v.toNumber()
	return ok
}

// bits reads up to 8 bytes, the last ones of more.
func (l *layout) bits(data string) uint64 {
	var n uint64
	for i := range len(data) {
		if l.isBig {
			n = n<<8 | uint64(data[i])
		} else {
			n = n<<8 | uint64(data[len(data)-1-i])
		}
	}
	return n
}

func (l *layout) get(data string, isSigned bool) float64 {
	n := l.bits(data)
	if !isSigned {
		return float64(n)
	}
	if len(data) < 8 {
		shift := 64 - 8*len(data)
		return float64(int64(n<<shift) >> shift)
	}
	return float64(int64(n))
}

func structSize(vm *machine, args []value) []value {
	l := newLayout(vm, args)
	total := 0
	for {
		option, size, padding, ok := l.next(total)
		if !ok {
			return vm.ret1(number(float64(total)))
		}
		switch {
		case option == 's':
			return vm.failArg(0, "option 's' has no fixed size")
		case option == 'c' && size == 0:
			return vm.failArg(0, "option 'c0' has no fixed size")
		case !isAlpha(option) && !isDigit(option):
			l.control(option)
		}
		total += padding + size
	}
}
