package keyspace_test

import (
	"encoding/hex"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/huddlecache/huddle/keyspace"
)

// globs are patterns with what redis-server 7.0.15 says of them.
var globs = []struct {
	pattern, s string
	want       bool
}{
	{"", "", true},
	{"", "a", false},
	{"a", "", false},
	{"*", "", false},
	{"**", "", false},
	{"*", "abc", true},
	{"a*", "a", true},
	{"a***", "a", true},
	{"*a", "bba", true},
	{"*a*b", "xaxbxb", true},
	{"*a*b", "xaxbxc", false},
	{"a?c", "abc", true},
	{"a?", "a", false},
	{"?*?", "ab", true},
	{"?*?", "a", false},
	{"h[ae]llo", "hallo", true},
	{"h[ae]llo", "hillo", false},
	{"h[^e]llo", "hello", false},
	{"h[^e]llo", "hallo", true},
	{"h[a-b]llo", "hbllo", true},
	{"h[b-a]llo", "hallo", true},
	{"[a-]", "-", false},
	{"[a-]", "_", true},
	{"[a-]", "a", true},
	{"[-a]", "-", true},
	{"[a-c", "b", true},
	{"[a-", "-", true},
	{"[", "a", false},
	{"[^", "a", true},
	{"[^", "^", true},
	{"[]", "]", false},
	{"[]a]", "a]", false},
	{"[\\]]", "]", true},
	{"[\\", "\\", true},
	{"[a\\-z]", "-", true},
	{"[a\\-z]", "b", false},
	{"\\*", "*", true},
	{"\\*", "a", false},
	{"a\\", "a\\", true},
	{"\\", "\\", true},
	{"\x00*\xff", "\x00a\xff", true},
	{"[\x80-\xff]", "\x90", true},
	{"*[a-c]d", "xxbd", true},
}

func TestGlob(t *testing.T) {
	for _, test := range globs {
		if got := keyspace.MatchGlob([]byte(test.pattern), test.s); got != test.want {
			t.Errorf("matchGlob(%q, %q) = %v, want %v", test.pattern, test.s, got, test.want)
		}
	}
}

// TestGlobIsNotExponential ends at once, or not before the universe does.
func TestGlobIsNotExponential(t *testing.T) {
	pattern := strings.Repeat("a*", 100) + "b"
	if keyspace.MatchGlob([]byte(pattern), strings.Repeat("a", 10_000)) {
		t.Error("matched, want no match")
	}
}

// TestGlobIsNotDeep would overflow the stack if stars recursed.
func TestGlobIsNotDeep(t *testing.T) {
	const n = 4 << 20
	if !keyspace.MatchGlob([]byte(strings.Repeat("*a", n)), strings.Repeat("a", n)) {
		t.Error("no match, want one")
	}
}

// TestSipHash takes the vectors of the reference implementation.
func TestSipHash(t *testing.T) {
	var key [16]byte
	var data []byte
	for i := range key {
		key[i] = byte(i)
	}
	want := map[int]string{
		0:  "310e0edd47db6f72",
		1:  "fd67dc93c539f874",
		2:  "5a4fa9d909806c0d",
		3:  "2d7efbd796666785",
		7:  "37d1018bf50002ab",
		8:  "6224939a79f5f593",
		15: "e545be4961ca29a1",
	}
	for n := range 16 {
		if vector, found := want[n]; found {
			sum := keyspace.SipHash(&key, data)
			var got [8]byte
			for i := range got {
				got[i] = byte(sum >> (8 * i))
			}
			if hex.EncodeToString(got[:]) != vector {
				t.Errorf("hash of %d bytes: %x, want %s", n, got, vector)
			}
		}
		data = append(data, byte(n))
	}
}

func TestParseInt(t *testing.T) {
	for _, n := range []int64{0, 1, -1, 10, -10, math.MaxInt64, math.MinInt64, math.MaxInt64 - 1, math.MinInt64 + 1} {
		if got, ok := keyspace.ParseInt([]byte(strconv.FormatInt(n, 10))); !ok || got != n {
			t.Errorf("parseInt(%d) = %d, %v", n, got, ok)
		}
	}
	for _, s := range []string{
		"", "-", "+1", "-0", "00", "01", "-01", " 1", "1 ", "1.0", "0x1", "1e3", "a",
		"9223372036854775808", "-9223372036854775809", "18446744073709551616", "99999999999999999999", "123456789012345678901",
	} {
		if n, ok := keyspace.ParseInt([]byte(s)); ok {
			t.Errorf("parseInt(%q) = %d, want a refusal", s, n)
		}
	}
}
