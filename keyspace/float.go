package keyspace

import (
	"bytes"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// parseDouble reads what C's strtod takes, all of it: decimal and hexadecimal
// numbers and infinities, but no leading space, nothing that is too large or
// too small, and no NaN.
func parseDouble(b []byte) (float64, bool) {
	f, isWhole, isExact := scanDouble(b)
	return f, isWhole && isExact && len(b) > 0 && !isSpace(b[0]) && !math.IsNaN(f)
}

// scanDouble is C's strtod. It says whether all of b was used, which is so of
// nothing at all, and whether the number was neither too large nor too small.
func scanDouble(b []byte) (f float64, isWhole, isExact bool) {
	s := string(bytes.TrimLeft(b, " \t\n\v\f\r"))
	if len(b) == 0 {
		return 0, true, true
	}
	if len(s) > maxNumber || strings.ContainsRune(s, '_') {
		return 0, false, true
	}
	unsigned := strings.TrimLeft(s, "+-")
	if len(s)-len(unsigned) > 1 {
		return 0, false, true
	}
	if isHex := len(unsigned) > 2 && unsigned[0] == '0' && unsigned[1]|0x20 == 'x'; isHex && !strings.ContainsAny(s, "pP") {
		s += "p0"
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && !math.IsInf(f, 0) {
		return 0, false, true
	}
	isLost := f == 0 && isNonzero(unsigned)
	return f, true, err == nil && !isLost
}

// maxNumber is the longest text of a number: that of Redis for INCRBYFLOAT,
// which covers all that have a meaning.
const maxNumber = 5 << 10

// isNonzero reports whether an unsigned number that has been parsed has a
// digit that makes it one.
func isNonzero(s string) bool {
	if len(s) > 2 && s[1]|0x20 == 'x' {
		s, _, _ = strings.Cut(strings.ToLower(s[2:]), "p")
		return strings.ContainsAny(s, "123456789abcdef")
	}
	s, _, _ = strings.Cut(strings.ToLower(s), "e")
	return strings.ContainsAny(s, "123456789")
}

func isSpace(b byte) bool { return b == ' ' || '\t' <= b && b <= '\r' }

// appendDouble appends f as C's "%.17g" does.
func appendDouble(dst []byte, f float64) []byte {
	switch {
	case math.IsInf(f, 1):
		return append(dst, "inf"...)
	case math.IsInf(f, -1):
		return append(dst, "-inf"...)
	}
	return strconv.AppendFloat(dst, f, 'g', 17, 64)
}

const (
	// longPrecision and longExponent are those of the 80 bits in which Redis
	// adds on x86. They are imitated, so that every machine has them.
	longPrecision = 64
	longExponent  = 16384
)

// A long is a number of INCRBYFLOAT. It is never NaN.
type long struct{ big.Float }

// parseLong reads what C's strtold takes.
func parseLong(b []byte) (*long, bool) {
	if len(b) == 0 || len(b) >= maxNumber || isSpace(b[0]) || bytes.IndexByte(b, '_') >= 0 {
		return nil, false
	}
	s := string(b)
	unsigned := strings.TrimLeft(s, "+-")
	x := &long{}
	x.SetPrec(longPrecision)
	switch strings.ToLower(unsigned) {
	case "inf", "infinity":
		x.SetInf(s[0] == '-')
		return x, len(s)-len(unsigned) <= 1
	}
	isHex := len(unsigned) > 2 && unsigned[0] == '0' && unsigned[1]|0x20 == 'x'
	if at := strings.IndexAny(unsigned, "eEpP"); at >= 0 && (!isHex || unsigned[at]|0x20 == 'p') {
		// An exponent that has no chance must not be calculated with.
		if n, err := strconv.Atoi(unsigned[at+1:]); err != nil || max(n, -n) > 2*longExponent {
			return nil, false
		}
	}
	base := 10
	if isHex {
		base = 0
	} else if strings.ContainsAny(unsigned, "pPxX") {
		return nil, false
	}
	if _, _, err := x.Parse(s, base); err != nil {
		return nil, false
	}
	isTooSmall := x.Sign() != 0 && x.MantExp(nil) < -longExponent-longPrecision || x.Sign() == 0 && isNonzero(unsigned)
	return x, !isTooSmall && !x.isTooLarge()
}

func (x *long) isTooLarge() bool { return x.IsInf() || x.Sign() != 0 && x.MantExp(nil) > longExponent }

// add adds y to x. It is false where the sum is no number.
func (x *long) add(y *long) bool {
	if x.IsInf() || y.IsInf() {
		return false
	}
	x.Add(&x.Float, &y.Float)
	return !x.isTooLarge()
}

// text returns the number as C's "%.17Lf" does, without needless zeros.
func (x *long) text() []byte {
	b := x.Append(nil, 'f', 17)
	b = bytes.TrimRight(b, "0")
	b = bytes.TrimRight(b, ".")
	if string(b) == "-0" {
		return []byte("0")
	}
	return b
}
