package lua

import "math"

// A msgReader unpacks.
type msgReader struct {
	vm   *machine
	data string
	err  string
}

const (
	msgMissing = "Missing bytes in input."
	msgBad     = "Bad data format in input."
)

// cut returns the next n bytes.
func (r *msgReader) cut(n int) string {
	if n < 0 || n > len(r.data) {
		r.err = msgMissing
		return ""
	}
	s := r.data[:n]
	r.data = r.data[n:]
	return s
}

// uint reads a number of so many bytes.
func (r *msgReader) uint(size int) uint64 {
	var n uint64
	for _, c := range []byte(r.cut(size)) {
		n = n<<8 | uint64(c)
	}
	return n
}

// int reads a number with a sign.
func (r *msgReader) int(size int) value {
	shift := 64 - 8*size
	return number(float64(int64(r.uint(size)<<shift) >> shift))
}

func (r *msgReader) read(depth int) value {
	r.vm.meter.step(1)
	head := r.cut(1)
	if r.err != "" {
		return value{}
	}
	c := head[0]
	switch {
	case c < 0x80:
		return number(float64(c))
	case c >= 0xe0:
		return number(float64(int8(c)))
	case c < 0x90:
		return r.pairs(int(c&15), depth)
	case c < 0xa0:
		return r.array(int(c&15), depth)
	case c < 0xc0:
		return r.text(int(c & 31))
	}
	switch c {
	case 0xc0:
		return value{}
	case 0xc2, 0xc3:
		return boolean(c == 0xc3)
	case 0xca:
		return number(float64(math.Float32frombits(uint32(r.uint(4)))))
	case 0xcb:
		return number(math.Float64frombits(r.uint(8)))
	case 0xcc, 0xcd, 0xce, 0xcf:
		return number(float64(r.uint(1 << (c - 0xcc))))
	case 0xd0, 0xd1, 0xd2, 0xd3:
		return r.int(1 << (c - 0xd0))
	case 0xd9, 0xda, 0xdb:
		return r.text(int(r.uint(1 << (c - 0xd9))))
	case 0xdc, 0xdd:
		return r.array(int(r.uint(2<<(c-0xdc))), depth)
	case 0xde, 0xdf:
		return r.pairs(int(r.uint(2<<(c-0xde))), depth)
	}
	r.err = msgBad
	return value{}
}

func (r *msgReader) text(n int) value {
	s := r.cut(n)
	if r.err != "" {
		return value{}
	}
	return r.vm.str(s)
}

func (r *msgReader) deeper(depth int) *table {
	if depth >= maxData {
		r.vm.failCaller("too many nested data structures (%d)", depth+1)
	}
	return r.vm.newTable(0, 0)
}

func (r *msgReader) array(n, depth int) value {
	t := r.deeper(depth)
	for i := 0; i < n && r.err == ""; i++ {
		v := r.read(depth + 1)
		if r.err == "" {
			t.setInt(i+1, v)
		}
	}
	return value{ref: t}
}

func (r *msgReader) pairs(n, depth int) value {
	t := r.deeper(depth)
	for i := 0; i < n && r.err == ""; i++ {
		k := r.read(depth + 1)
		if r.err != "" {
			break
		}
		v := r.read(depth + 1)
		if r.err == "" {
			r.vm.checkKey(k)
			t.set(k, v)
		}
	}
	return value{ref: t}
}
