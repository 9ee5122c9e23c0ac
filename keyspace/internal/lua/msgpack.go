package lua

import (
	"encoding/binary"
	"math"
)

func msgpackLibrary() map[string]native {
	return map[string]native{
		"pack": msgPack, "unpack": msgUnpack, "unpack_one": msgUnpackOne, "unpack_limit": msgUnpackLimit,
	}
}

func msgpackConstants() map[string]value {
	return map[string]value{
		"_NAME":        {ref: constant("cmsgpack")},
		"_VERSION":     {ref: constant("lua-cmsgpack 0.4.0")},
		"_COPYRIGHT":   {ref: constant("Copyright (C) 2012, Salvatore Sanfilippo")},
		"_DESCRIPTION": {ref: constant("MessagePack C implementation for Lua")},
	}
}

// maxPack is how deep packed tables nest; deeper ones become nil.
const maxPack = 16

func msgPack(vm *machine, args []value) []value {
	if len(args) == 0 {
		return vm.failArg(-1, "MessagePack pack needs input.")
	}
	w := &msgWriter{builder{vm: vm}}
	for _, v := range args {
		w.write(v, 0)
	}
	return vm.ret1(w.value())
}

// A msgWriter packs.
type msgWriter struct{ builder }

// head appends a first byte and a number in as many bytes as given.
func (w *msgWriter) head(first byte, n uint64, size int) {
	w.grow(1 + size)
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], n)
	w.buf = append(append(w.buf, first), b[8-size:]...)
}

func (w *msgWriter) write(v value, depth int) {
	w.vm.meter.step(1)
	switch x := v.ref.(type) {
	case *str:
		w.text(x.s)
	case isBoolean:
		w.byte(0xc2 + byte(v.num))
	case isNumber:
		w.number(v.num)
	case *table:
		if depth == maxPack {
			w.byte(0xc0)
			return
		}
		w.table(x, depth+1)
	default:
		w.byte(0xc0)
	}
}

func (w *msgWriter) text(s string) {
	switch n := uint64(len(s)); {
	case n < 32:
		w.byte(0xa0 | byte(n))
	case n <= math.MaxUint8:
		w.head(0xd9, n, 1)
	case n <= math.MaxUint16:
		w.head(0xda, n, 2)
	default:
		w.head(0xdb, n, 4)
	}
	w.string(s)
}

func (w *msgWriter) number(n float64) {
	if i := toInt(n); float64(i) == n && n < 1<<63 {
		w.integer(i)
		return
	}
	if f := float32(n); float64(f) == n {
		w.head(0xca, uint64(math.Float32bits(f)), 4)
		return
	}
	w.head(0xcb, math.Float64bits(n), 8)
}

func (w *msgWriter) integer(i int64) {
	n := uint64(i)
	switch {
	case i >= 0 && i <= 127 || i < 0 && i >= -32:
		w.byte(byte(i))
	case i >= 0 && i <= math.MaxUint8:
		w.head(0xcc, n, 1)
	case i >= 0 && i <= math.MaxUint16:
		w.head(0xcd, n, 2)
	case i >= 0 && i <= math.MaxUint32:
		w.head(0xce, n, 4)
	case i >= 0:
		w.head(0xcf, n, 8)
	case i >= math.MinInt8:
		w.head(0xd0, n, 1)
	case i >= math.MinInt16:
		w.head(0xd1, n, 2)
	case i >= math.MinInt32:
		w.head(0xd2, n, 4)
	default:
		w.head(0xd3, n, 8)
	}
}

// table packs an array, if the keys are 1 to n, or a map.
func (w *msgWriter) table(t *table, depth int) {
	most, count, isArray := 0.0, 0, true
	for k, _, _ := t.next(value{}); !k.isNil(); k, _, _ = t.next(k) {
		w.vm.meter.step(1)
		n, ok := k.asNumber()
		if !ok || n <= 0 || n != math.Floor(n) || n > math.MaxInt32 {
			isArray = false
		}
		most = max(most, n)
		count++
	}
	if isArray && most == float64(count) {
		w.length(0x90, 0xdc, count)
		for i := 1; i <= count; i++ {
			w.write(t.getInt(i), depth)
		}
		return
	}
	w.length(0x80, 0xde, count)
	for k, v, _ := t.next(value{}); !k.isNil(); k, v, _ = t.next(k) {
		w.write(k, depth)
		w.write(v, depth)
	}
}

func (w *msgWriter) length(short, long byte, n int) {
	switch {
	case n <= 15:
		w.byte(short | byte(n))
	case n <= math.MaxUint16:
		w.head(long, uint64(n), 2)
	default:
		w.head(long+1, uint64(n), 4)
	}
}

func msgUnpack(vm *machine, args []value) []value { return vm.unpackMsg(args, 0, 0) }

func msgUnpackOne(vm *machine, args []value) []value {
	return vm.unpackMsg(args, 1, vm.intOr(args, 1, 0))
}

func msgUnpackLimit(vm *machine, args []value) []value {
	return vm.unpackMsg(args, vm.int(args, 1), vm.intOr(args, 2, 0))
}

// unpackMsg unpacks values from an offset on, as many as limit says, after the
// offset at which to go on. Without either it unpacks all.
func (vm *machine) unpackMsg(args []value, limit, offset int) []value {
	data := vm.text(args, 0)
	switch {
	case limit < 0 || offset < 0:
		return vm.failCaller("Invalid request to unpack with offset of %d and limit of %d.", offset, len(data))
	case offset > len(data):
		return vm.failCaller("Start offset %d greater than input length %d.", offset, len(data))
	}
	all := limit == 0 && offset == 0
	if all {
		limit = math.MaxInt32
	}
	r := &msgReader{vm: vm, data: data[offset:]}
	out := []value{{}}
	for len(r.data) > 0 && len(out) <= limit {
		if len(out) > maxCStack-10 {
			return vm.failCaller("stack overflow (in function mp_unpack_full)")
		}
		vm.meter.take(slotCost)
		v := r.read(0)
		if r.err != "" {
			return vm.failCaller("%s", r.err)
		}
		out = append(out, v)
	}
	if all {
		return vm.ret(out[1:]...)
	}
	if out[0] = number(float64(len(data) - len(r.data))); len(r.data) == 0 {
		out[0] = number(-1)
	}
	return vm.ret(out...)
}
