package resp

import (
	"math"
	"strconv"
)

// AppendSimple appends a simple string, such as OK. What would end the line
// becomes a space.
func AppendSimple(dst []byte, s string) []byte {
	return appendLine(append(dst, '+'), s)
}

// AppendError appends an error. The first word of msg is its code, in upper
// case; what would end the line becomes a space.
func AppendError(dst []byte, msg string) []byte {
	return appendLine(append(dst, '-'), msg)
}

// AppendInt appends an integer.
func AppendInt(dst []byte, n int64) []byte {
	return appendHeader(dst, ':', n)
}

// AppendBulk appends a bulk string, which may hold any bytes.
func AppendBulk[T string | []byte](dst []byte, s T) []byte {
	dst = appendHeader(dst, '$', int64(len(s)))
	dst = append(dst, s...)
	return append(dst, crlf...)
}

// AppendNull appends what stands for a value that is not there.
func AppendNull(dst []byte, proto int) []byte {
	if proto == Proto3 {
		return append(dst, "_\r\n"...)
	}
	return append(dst, "$-1\r\n"...)
}

// AppendNullArray appends what stands for an array that is not there.
func AppendNullArray(dst []byte, proto int) []byte {
	if proto == Proto3 {
		return append(dst, "_\r\n"...)
	}
	return append(dst, "*-1\r\n"...)
}

// AppendArray begins an array: n values must follow.
func AppendArray(dst []byte, n int) []byte {
	return appendHeader(dst, '*', int64(n))
}

// AppendMap begins a map: n keys must follow, each with its value behind it.
// Version 2 has an array of 2n instead.
func AppendMap(dst []byte, proto, n int) []byte {
	if proto == Proto3 {
		return appendHeader(dst, '%', int64(n))
	}
	return AppendArray(dst, 2*n)
}

// AppendSet begins a set: n values must follow. Version 2 has an array.
func AppendSet(dst []byte, proto, n int) []byte {
	if proto == Proto3 {
		return appendHeader(dst, '~', int64(n))
	}
	return AppendArray(dst, n)
}

// AppendPush begins a message that no command asked for: n values must
// follow. Version 2 has an array.
func AppendPush(dst []byte, proto, n int) []byte {
	if proto == Proto3 {
		return appendHeader(dst, '>', int64(n))
	}
	return AppendArray(dst, n)
}

// AppendDouble appends a floating-point number with as few digits as tell it
// from all others. Version 2 has a bulk string.
func AppendDouble(dst []byte, proto int, f float64) []byte {
	var text [32]byte
	digits := appendFloat(text[:0], f)
	if proto != Proto3 {
		return AppendBulk(dst, digits)
	}
	dst = append(append(dst, ','), digits...)
	return append(dst, crlf...)
}

// AppendBool appends a boolean. Version 2 has 1 and 0.
func AppendBool(dst []byte, proto int, b bool) []byte {
	switch {
	case proto == Proto3 && b:
		return append(dst, "#t\r\n"...)
	case proto == Proto3:
		return append(dst, "#f\r\n"...)
	case b:
		return AppendInt(dst, 1)
	}
	return AppendInt(dst, 0)
}

// AppendVerbatim appends a text for people; format has three letters, such as
// txt. Version 2 has a bulk string.
func AppendVerbatim(dst []byte, proto int, format, s string) []byte {
	if proto != Proto3 {
		return AppendBulk(dst, s)
	}
	dst = appendHeader(dst, '=', int64(len(format)+1+len(s)))
	dst = append(append(dst, format...), ':')
	dst = append(dst, s...)
	return append(dst, crlf...)
}

// AppendCommand appends a command as clients send it.
func AppendCommand[T string | []byte](dst []byte, args ...T) []byte {
	dst = AppendArray(dst, len(args))
	for _, arg := range args {
		dst = AppendBulk(dst, arg)
	}
	return dst
}

func appendHeader(dst []byte, kind byte, n int64) []byte {
	dst = strconv.AppendInt(append(dst, kind), n, 10)
	return append(dst, crlf...)
}

func appendLine(dst []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if c == '\r' || c == '\n' {
			c = ' '
		}
		dst = append(dst, c)
	}
	return append(dst, crlf...)
}

// appendFloat writes a number as Redis does: whole ones without an exponent
// as long as they are exact.
func appendFloat(dst []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, "nan"...)
	case math.IsInf(f, 1):
		return append(dst, "inf"...)
	case math.IsInf(f, -1):
		return append(dst, "-inf"...)
	case f == math.Trunc(f) && math.Abs(f) < 1<<53:
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	return strconv.AppendFloat(dst, f, 'g', -1, 64)
}
