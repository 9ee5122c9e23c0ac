package keyspace

// matchGlob reports whether all of s matches pattern: * any bytes, ? one byte,
// [abc], [a-z] and [^a] one of a class, \ takes the next byte as it is. It has
// the oddities of Redis' stringmatchlen: a pattern of stars does not match the
// empty string, a class that is not closed ends with the pattern. Bytes are
// compared as numbers from 0 to 255, as in Redis on ARM.
//
// Where a part behind a star does not match, only the last star is made to
// take more: an earlier one would give the part less to match in. So the work
// is at most the product of the lengths.
func matchGlob(pattern []byte, s string) bool {
	var (
		p, i     int
		star     = -1 // where pattern goes on behind the last star
		starFrom int  // where s was tried behind it
	)
	if s == "" {
		return len(pattern) == 0
	}
	for {
		if p < len(pattern) && pattern[p] == '*' {
			for p < len(pattern) && pattern[p] == '*' {
				p++
			}
			if p == len(pattern) {
				return true
			}
			star, starFrom = p, i
			continue
		}
		if p < len(pattern) {
			next, isMatch := matchOne(pattern, p, s[i])
			if isMatch {
				p, i = next, i+1
				if i < len(s) {
					continue
				}
				for p < len(pattern) && pattern[p] == '*' {
					p++
				}
				if p == len(pattern) {
					return true
				}
			}
		}
		// From here on the part behind the last star must begin later.
		starFrom++
		if star < 0 || starFrom >= len(s) {
			return false
		}
		p, i = star, starFrom
	}
}

// matchOne matches one byte against the element of pattern at p, which is no
// star, and returns where the next element begins.
func matchOne(pattern []byte, p int, b byte) (next int, isMatch bool) {
	switch pattern[p] {
	case '?':
		return p + 1, true
	case '[':
		return matchClass(pattern, p+1, b)
	case '\\':
		if p+1 < len(pattern) {
			p++
		}
	}
	return p + 1, pattern[p] == b
}

// matchClass matches one byte against the class whose inside begins at p.
func matchClass(pattern []byte, p int, b byte) (next int, isMatch bool) {
	isNegated := p < len(pattern) && pattern[p] == '^'
	if isNegated {
		p++
	}
	found := false
	for p < len(pattern) && pattern[p] != ']' {
		switch left := len(pattern) - p; {
		case pattern[p] == '\\' && left >= 2:
			p++
			found = found || pattern[p] == b
		case left >= 3 && pattern[p+1] == '-':
			low, high := min(pattern[p], pattern[p+2]), max(pattern[p], pattern[p+2])
			p += 2
			found = found || low <= b && b <= high
		default:
			found = found || pattern[p] == b
		}
		p++
	}
	if p < len(pattern) {
		p++ // the bracket that closes it
	}
	return p, found != isNegated
}
