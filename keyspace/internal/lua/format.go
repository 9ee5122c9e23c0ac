package lua

import (
	"math"
	"strconv"
	"strings"
)

// A directive is what stands between % and the letter of a format.
type directive struct {
	minus, plus, space, alternate, zero bool
	width, precision                    int // precision is -1 if there is none
}

func strFormat(vm *machine, args []value) []value {
	format := vm.text(args, 0)
	out := builder{vm: vm}
	at := 0
	for i := 0; i < len(format); i++ {
		c := format[i]
		if c != '%' {
			out.byte(c)
			continue
		}
		if i++; i < len(format) && format[i] == '%' {
			out.byte('%')
			continue
		}
		vm.meter.step(4)
		if at++; at >= len(args) {
			return vm.failArg(at, "no value")
		}
		d, next := vm.directive(format, i)
		i = next
		var letter byte
		if i < len(format) {
			letter = format[i]
		}
		vm.formatOne(&out, d, letter, args, at)
	}
	return vm.ret1(out.value())
}

// directive reads up to the letter at next.
func (vm *machine) directive(format string, i int) (d directive, next int) {
	begin := i
	d.precision = -1
	for ; i < len(format) && strings.IndexByte("-+ #0", format[i]) >= 0; i++ {
		switch format[i] {
		case '-':
			d.minus = true
		case '+':
			d.plus = true
		case ' ':
			d.space = true
		case '#':
			d.alternate = true
		case '0':
			d.zero = true
		}
	}
	if i-begin > 5 {
		vm.failCaller("invalid format (repeated flags)")
	}
	d.width, i = twoDigits(format, i)
	if i < len(format) && format[i] == '.' {
		d.precision, i = twoDigits(format, i+1)
	}
	if i < len(format) && isDigit(format[i]) {
		vm.failCaller("invalid format (width or precision too long)")
	}
	return d, i
}

func twoDigits(s string, i int) (n, next int) {
	for j := 0; j < 2 && i < len(s) && isDigit(s[i]); j++ {
		n = 10*n + int(s[i]-'0')
		i++
	}
	return n, i
}

func (vm *machine) formatOne(out *builder, d directive, letter byte, args []value, at int) {
	switch letter {
	case 'c':
		n := vm.number(args, at)
		if n < math.MinInt32 || n > math.MaxInt32 {
			n = 0 // the low byte of what C makes of it
		}
		if c := byte(toInt32(n)); c != 0 {
			out.string(d.pad(string([]byte{c}), ""))
		} else if d.width > 1 && !d.minus {
			out.string(strings.Repeat(" ", d.width-1)) // up to C's end of the string
		}
	case 'd', 'i':
		n := toInt(vm.number(args, at))
		magnitude := uint64(n)
		if n < 0 {
			magnitude = -magnitude
		}
		out.string(d.integer(strconv.FormatUint(magnitude, 10), n < 0, ""))
	case 'u':
		d.plus, d.space = false, false
		out.string(d.integer(strconv.FormatUint(toUint(vm.number(args, at)), 10), false, ""))
	case 'o', 'x', 'X':
		out.string(d.unsigned(toUint(vm.number(args, at)), letter))
	case 'e', 'E', 'f', 'g', 'G':
		out.string(d.float(vm.number(args, at), letter))
	case 'q':
		quote(out, vm.text(args, at))
	case 's':
		s := vm.text(args, at)
		if d.precision < 0 && len(s) >= 100 {
			out.string(s)
			return
		}
		s = cutNul(s)
		if d.precision >= 0 {
			s = s[:min(len(s), d.precision)]
		}
		d.zero = false
		out.string(d.pad(s, ""))
	default:
		name := "%"
		if letter != 0 {
			name += string([]byte{letter})
		}
		vm.failCaller("invalid option '%s' to 'format'", name)
	}
}

// toUint converts like C on amd64.
func toUint(n float64) uint64 {
	if n < 1<<63 {
		return uint64(toInt(n))
	}
	return uint64(toInt(n-(1<<63))) ^ 1<<63
}

// pad pads to the width: with zeros behind the sign, or spaces.
func (d directive) pad(body, sign string) string {
	missing := d.width - len(body) - len(sign)
	switch {
	case missing <= 0:
		return sign + body
	case d.minus:
		return sign + body + strings.Repeat(" ", missing)
	case d.zero:
		return sign + strings.Repeat("0", missing) + body
	}
	return strings.Repeat(" ", missing) + sign + body
}

func (d directive) sign(isNegative bool) string {
	switch {
	case isNegative:
		return "-"
	case d.plus:
		return "+"
	case d.space:
		return " "
	}
	return ""
}

func (d directive) integer(digits string, isNegative bool, prefix string) string {
	if d.precision >= 0 {
		d.zero = false
		if digits == "0" && d.precision == 0 {
			digits = ""
		}
		digits = strings.Repeat("0", max(d.precision-len(digits), 0)) + digits
	}
	return d.pad(digits, d.sign(isNegative)+prefix)
}

func (d directive) unsigned(n uint64, letter byte) string {
	d.plus, d.space = false, false
	prefix, base := "", 16
	if letter == 'o' {
		base = 8
	}
	digits := strconv.FormatUint(n, base)
	if letter == 'X' {
		digits = strings.ToUpper(digits)
	}
	if d.alternate {
		switch {
		case letter == 'o':
			if n != 0 {
				d.precision = max(d.precision, len(digits)+1)
			} else if d.precision == 0 {
				d.precision = 1
			}
		case n != 0:
			prefix = "0" + string(letter)
		}
	}
	return d.integer(digits, false, prefix)
}

func (d directive) float(n float64, letter byte) string {
	precision := d.precision
	if precision < 0 {
		precision = 6
	}
	isNegative := math.Signbit(n) || math.IsNaN(n)
	n = math.Abs(n)
	var body string
	lower := letter | ' '
	switch {
	case math.IsNaN(n):
		body, d.zero = "nan", false
	case math.IsInf(n, 0):
		body, d.zero = "inf", false
	case lower == 'g':
		body = d.general(n, max(precision, 1))
	default:
		body = strconv.FormatFloat(n, lower, precision, 64)
		if d.alternate && precision == 0 {
			body = addPoint(body)
		}
	}
	if letter != lower {
		body = strings.ToUpper(body)
	}
	return d.pad(body, d.sign(isNegative))
}

// general is %g, and %#g, which keeps the zeros at the end.
func (d directive) general(n float64, precision int) string {
	if !d.alternate {
		return strconv.FormatFloat(n, 'g', precision, 64)
	}
	text := strconv.FormatFloat(n, 'e', precision-1, 64)
	mantissa, exponent, _ := strings.Cut(text, "e")
	exp, err := strconv.Atoi(exponent)
	if err != nil || exp < -4 || exp >= precision {
		if precision == 1 {
			mantissa += "."
		}
		return mantissa + "e" + exponent
	}
	text = strconv.FormatFloat(n, 'f', precision-1-exp, 64)
	if precision-1-exp == 0 {
		text += "."
	}
	return text
}

func addPoint(s string) string {
	if i := strings.IndexByte(s, 'e'); i >= 0 {
		return s[:i] + "." + s[i:]
	}
	return s + "."
}

// quote is %q: a string as Lua reads it.
func quote(out *builder, s string) {
	out.byte('"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\\', '\n':
			out.byte('\\')
			out.byte(c)
		case '\r':
			out.string(`\r`)
		case 0:
			out.string(`\000`)
		default:
			out.byte(c)
		}
	}
	out.byte('"')
}
