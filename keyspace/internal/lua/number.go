package lua

import (
	"math"
	"strconv"
	"strings"
)

// formatNumber is tostring of a number: C's %.14g.
func formatNumber(n float64) string {
	if i := int64(n); float64(i) == n && i > -1e14 && i < 1e14 && (i != 0 || !math.Signbit(n)) {
		return strconv.FormatInt(i, 10)
	}
	return formatG(n, 14)
}

// formatG is C's %.*g. Of what is not a number C tells the sign, which
// differs between processors; here it is always -nan, as 0/0 is on amd64.
func formatG(n float64, precision int) string {
	switch {
	case math.IsNaN(n):
		return "-nan"
	case math.IsInf(n, 1):
		return "inf"
	case math.IsInf(n, -1):
		return "-inf"
	}
	return strconv.FormatFloat(n, 'g', max(precision, 1), 64)
}

// parseNumber reads a number as Lua 5.1 on the GNU C library does: decimal or
// hexadecimal, with fraction and exponent, infinite or none at all, between
// spaces, up to where C thinks the string ends.
func parseNumber(s string) (float64, bool) {
	s = strings.Trim(cutNul(s), " \t\n\v\f\r")
	n, rest, ok := cutNumber(s)
	return n, ok && rest == ""
}

// cutNumber reads the longest number at the beginning of s, like strtod.
func cutNumber(s string) (n float64, rest string, ok bool) {
	i := 0
	if i < len(s) && (s[i] == '+' || s[i] == '-') {
		i++
	}
	sign := 1.0
	if i > 0 && s[0] == '-' {
		sign = -1
	}
	if len(s)-i >= 3 {
		switch word := strings.ToLower(s[i:min(len(s), i+8)]); {
		case word == "infinity":
			return sign * math.Inf(1), s[i+8:], true
		case strings.HasPrefix(word, "inf"):
			return sign * math.Inf(1), s[i+3:], true
		case strings.HasPrefix(word, "nan"):
			return math.NaN(), s[i+3:], true
		}
	}
	if len(s)-i > 2 && s[i] == '0' && s[i+1]|' ' == 'x' {
		if n, rest, ok := cutHex(s[i+2:]); ok {
			return sign * n, rest, true
		}
	}
	end, digits := scanDigits(s, i, isDigit)
	if !digits {
		return 0, s, false
	}
	end = scanExponent(s, end, 'e')
	n, err := strconv.ParseFloat(s[:end], 64)
	return n, s[end:], err == nil || math.IsInf(n, 0)
}

func cutHex(s string) (n float64, rest string, ok bool) {
	end, digits := scanDigits(s, 0, isHex)
	if !digits {
		return 0, s, false
	}
	text := "0x" + s[:end]
	if exp := scanExponent(s, end, 'p'); exp > end {
		text, end = "0x"+s[:exp], exp
	} else {
		text += "p0"
	}
	n, err := strconv.ParseFloat(text, 64)
	return n, s[end:], err == nil || math.IsInf(n, 0)
}

// scanDigits finds the end of digits with at most one point.
func scanDigits(s string, i int, isDigit func(byte) bool) (end int, found bool) {
	for isPoint := false; i < len(s); i++ {
		if s[i] == '.' && !isPoint {
			isPoint = true
			continue
		}
		if !isDigit(s[i]) {
			break
		}
		found = true
	}
	return i, found
}

// scanExponent finds the end of the exponent at i, which is i if there is none.
func scanExponent(s string, i int, mark byte) int {
	if i >= len(s) || s[i]|' ' != mark {
		return i
	}
	j := i + 1
	if j < len(s) && (s[j] == '+' || s[j] == '-') {
		j++
	}
	if j >= len(s) || !isDigit(s[j]) {
		return i
	}
	for j < len(s) && isDigit(s[j]) {
		j++
	}
	return j
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isHex(c byte) bool { return isDigit(c) || 'a' <= c|' ' && c|' ' <= 'f' }

func isAlpha(c byte) bool { return 'a' <= c|' ' && c|' ' <= 'z' }

func isSpace(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }

// toInt converts like C on amd64: towards zero, and to the least integer what
// does not fit. Processors differ there, so no conversion is left to them.
func toInt(n float64) int64 {
	if n >= -(1<<63) && n < 1<<63 {
		return int64(n)
	}
	return math.MinInt64
}

// toInt32 is the conversion of a number to a C int by way of 64 bits.
func toInt32(n float64) int { return int(int32(toInt(n))) }
