package lua

import "math"

// The options of cjson, as each script finds them: in Redis what one script
// sets, others find.
type jsonOptions struct {
	sparseConvert bool
	sparseRatio   int
	sparseSafe    int
	encodeDepth   int
	decodeDepth   int
	precision     int
	invalidEncode int // one of the three below
	invalidDecode bool
	keepBuffer    bool
}

const (
	invalidRefused = iota
	invalidAsIs
	invalidNull
)

// maxData is how deep data of cjson and cmsgpack may nest.
const maxData = 128

var defaultJSON = jsonOptions{
	sparseRatio: 2, sparseSafe: 10, encodeDepth: maxData, decodeDepth: maxData, precision: 14,
	invalidDecode: true, keepBuffer: true,
}

func jsonLibrary() map[string]native {
	return map[string]native{
		"encode": jsonEncode, "decode": jsonDecode, "new": jsonNew,
		"encode_sparse_array":     jsonSparse,
		"encode_max_depth":        jsonNumber(func(o *jsonOptions) *int { return &o.encodeDepth }, math.MaxInt32),
		"decode_max_depth":        jsonNumber(func(o *jsonOptions) *int { return &o.decodeDepth }, math.MaxInt32),
		"encode_number_precision": jsonNumber(func(o *jsonOptions) *int { return &o.precision }, 14),
		"encode_keep_buffer":      jsonFlag(func(o *jsonOptions) *bool { return &o.keepBuffer }),
		"decode_invalid_numbers":  jsonFlag(func(o *jsonOptions) *bool { return &o.invalidDecode }),
		"encode_invalid_numbers":  jsonInvalid,
	}
}

func jsonConstants() map[string]value {
	return map[string]value{"_NAME": {ref: constant("cjson")}, "_VERSION": {ref: constant("2.1.0")}, "null": null}
}

// jsonNew returns cjson itself: options end with the script anyway.
func jsonNew(vm *machine, _ []value) []value { return vm.ret1(vm.lib.globals.getStr(nameJSON)) }

var nameJSON = constant("cjson")

func (vm *machine) atMost(args []value, n int) {
	if len(args) > n {
		vm.failArg(n, "found too many arguments")
	}
}

func jsonNumber(field func(*jsonOptions) *int, most int) native {
	return func(vm *machine, args []value) []value {
		vm.atMost(args, 1)
		n := field(&vm.json)
		vm.setOption(args, 0, n, 1, most)
		return vm.ret1(number(float64(*n)))
	}
}

func (vm *machine) setOption(args []value, i int, n *int, least, most int) {
	if arg(args, i).isNil() {
		return
	}
	v := vm.int(args, i)
	if v < least || v > most {
		vm.failArg(i, "expected integer between %d and %d", least, most)
	}
	*n = v
}

func jsonFlag(field func(*jsonOptions) *bool) native {
	return func(vm *machine, args []value) []value {
		vm.atMost(args, 1)
		flag := field(&vm.json)
		vm.setFlag(args, 0, flag)
		return vm.ret1(boolean(*flag))
	}
}

func (vm *machine) setFlag(args []value, i int, flag *bool) {
	v := arg(args, i)
	if v.isNil() {
		return
	}
	if _, ok := v.ref.(isBoolean); ok {
		*flag = v.isTrue()
		return
	}
	switch option := vm.text(args, i); option {
	case "on", "off":
		*flag = option == "on"
	default:
		vm.failArg(i, "invalid option '%s'", option)
	}
}

func jsonInvalid(vm *machine, args []value) []value {
	vm.atMost(args, 1)
	o := &vm.json
	v := arg(args, 0)
	if s, ok := v.ref.(*str); ok && s.s == "null" {
		o.invalidEncode = invalidNull
	} else if !v.isNil() {
		flag := o.invalidEncode == invalidAsIs
		vm.setFlag(args, 0, &flag)
		if o.invalidEncode = invalidRefused; flag {
			o.invalidEncode = invalidAsIs
		}
	}
	if o.invalidEncode == invalidNull {
		return vm.ret1(vm.str("null"))
	}
	return vm.ret1(boolean(o.invalidEncode == invalidAsIs))
}

func jsonSparse(vm *machine, args []value) []value {
	vm.atMost(args, 3)
	o := &vm.json
	vm.setFlag(args, 0, &o.sparseConvert)
	vm.setOption(args, 1, &o.sparseRatio, 0, math.MaxInt32)
	vm.setOption(args, 2, &o.sparseSafe, 0, math.MaxInt32)
	return vm.ret(boolean(o.sparseConvert), number(float64(o.sparseRatio)), number(float64(o.sparseSafe)))
}

// A jsonWriter encodes.
type jsonWriter struct {
	builder
	o jsonOptions
}

func jsonEncode(vm *machine, args []value) []value {
	if len(args) != 1 {
		return vm.failArg(0, "expected 1 argument")
	}
	w := &jsonWriter{builder{vm: vm}, vm.json}
	w.write(args[0], 0)
	return vm.ret1(w.value())
}

func (w *jsonWriter) refuse(v value, why string) {
	w.vm.failCaller("Cannot serialise %s: %s", v.typeName(), why)
}

func (w *jsonWriter) write(v value, depth int) {
	w.vm.meter.step(4)
	switch x := v.ref.(type) {
	case *str:
		w.quote(x.s)
	case isNumber:
		w.number(v)
	case isBoolean:
		w.string(describe(v))
	case nil, isNull:
		w.string("null")
	case *table:
		if depth++; depth > min(w.o.encodeDepth, maxData) {
			w.vm.failCaller("Cannot serialise, excessive nesting (%d)", depth)
		}
		if n := w.arrayLength(x); n > 0 {
			w.array(x, n, depth)
		} else {
			w.object(x, depth)
		}
	default:
		w.refuse(v, "type not supported")
	}
}

// arrayLength returns the largest key of an array; of what is none, 0 or less.
func (w *jsonWriter) arrayLength(t *table) int {
	most, items := 0.0, 0
	for k, _, _ := t.next(value{}); !k.isNil(); k, _, _ = t.next(k) {
		w.vm.meter.step(1)
		n, ok := k.asNumber()
		if !ok || n < 1 || n != math.Floor(n) || n > math.MaxInt32 {
			return -1
		}
		most = max(most, n)
		items++
	}
	n := int(most)
	if w.o.sparseRatio > 0 && n > items*w.o.sparseRatio && n > w.o.sparseSafe {
		if !w.o.sparseConvert {
			w.refuse(value{ref: t}, "excessively sparse array")
		}
		return -1
	}
	return n
}

func (w *jsonWriter) array(t *table, n, depth int) {
	w.byte('[')
	for i := 1; i <= n; i++ {
		if i > 1 {
			w.byte(',')
		}
		w.write(t.getInt(i), depth)
	}
	w.byte(']')
}

func (w *jsonWriter) object(t *table, depth int) {
	w.byte('{')
	isFirst := true
	for k, v, _ := t.next(value{}); !k.isNil(); k, v, _ = t.next(k) {
		if !isFirst {
			w.byte(',')
		}
		isFirst = false
		switch s := k.ref.(type) {
		case *str:
			w.quote(s.s)
		case isNumber:
			w.byte('"')
			w.number(k)
			w.byte('"')
		default:
			w.refuse(k, "table key must be a number or string")
		}
		w.byte(':')
		w.write(v, depth)
	}
	w.byte('}')
}

func (w *jsonWriter) number(v value) {
	isInvalid := math.IsNaN(v.num) || math.IsInf(v.num, 0)
	switch {
	case isInvalid && w.o.invalidEncode == invalidRefused:
		w.refuse(v, "must not be NaN or Inf")
	case isInvalid && w.o.invalidEncode == invalidNull:
		w.string("null")
	case math.IsNaN(v.num):
		w.string("nan")
	default:
		w.string(formatG(v.num, w.o.precision))
	}
}

func (w *jsonWriter) quote(s string) {
	const hex = "0123456789abcdef"
	w.byte('"')
	begin := 0
	for i := range len(s) {
		c := s[i]
		var escape string
		switch c {
		case '"', '\\', '/':
			escape = `\` + string(rune(c))
		case '\b':
			escape = `\b`
		case '\t':
			escape = `\t`
		case '\n':
			escape = `\n`
		case '\f':
			escape = `\f`
		case '\r':
			escape = `\r`
		default:
			if c >= ' ' && c != 127 {
				continue
			}
			escape = `\u00` + string([]byte{hex[c>>4], hex[c&15]})
		}
		w.string(s[begin:i])
		w.string(escape)
		begin = i + 1
	}
	w.string(s[begin:])
	w.byte('"')
}
