//go:build linux

package main

import (
	"strings"
	"testing"
)

func TestRepliesInPieces(t *testing.T) {
	const stream = "+OK\r\n:12\r\n$5\r\na\r\nbc\r\n$-1\r\n$0\r\n\r\n-ERR no\r\n" +
		"*2\r\n$4\r\nab\r\n\r\n:7\r\n*-1\r\n*0\r\n*1\r\n*2\r\n:1\r\n$-1\r\n"
	for size := 1; size <= len(stream); size++ {
		var r replies
		if answered, refused := takeAll(t, &r, stream, size); answered != 9 || refused != 1 || r.lastError != "ERR no" {
			t.Errorf("pieces of %d: got %d answered, %d refused (%q), want 9, 1 (ERR no)", size, answered, refused, r.lastError)
		}
		if got, want := string(r.head), "*1\r\n*2\r\n:1\r\n$-1\r\n"; got != want {
			t.Errorf("pieces of %d: got the head %q, want %q", size, got, want)
		}
	}
	for _, bad := range []string{"\n", "HTTP/1.1 400\r\n", "$x\r\n", "*x\r\n"} {
		if _, _, err := new(replies).take([]byte(bad)); err == nil {
			t.Errorf("%q: got no error, want one", bad)
		}
	}
}

func TestUnwantedRepliesAreRefused(t *testing.T) {
	const stream = "*2\r\n:1\r\n:5\r\n*2\r\n:0\r\n:5\r\n-ERR no\r\n*-1\r\n"
	for size := 1; size <= len(stream); size++ {
		r := replies{want: "*2\r\n:1\r\n"}
		answered, refused := takeAll(t, &r, stream, size)
		if want := `unexpected reply "*-1\r\n"`; answered != 1 || refused != 3 || r.lastError != want {
			t.Errorf("pieces of %d: got %d answered, %d refused (%s), want 1, 3 (%s)", size, answered, refused, r.lastError, want)
		}
	}
}

// TestRepliesOfOneOperation takes the replies to transactions, of which each
// but the first has something wrong in it.
func TestRepliesOfOneOperation(t *testing.T) {
	want := transaction("")[0].reply
	const begun = "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n"
	for _, test := range []struct {
		stream, lastError string
	}{
		{begun + "*3\r\n+OK\r\n:12\r\n:1\r\n", ""},
		{begun + "-EXECABORT no\r\n", "EXECABORT no"},
		{begun + "*-1\r\n", "*-1"},
		{begun + "*3\r\n+OK\r\n-ERR no\r\n:1\r\n", "ERR no"},
		{"+OK\r\n-ERR no\r\n+QUEUED\r\n+QUEUED\r\n-EXECABORT no\r\n", "EXECABORT no"},
		{"-CLUSTERDOWN no\r\n-CLUSTERDOWN no\r\n-CLUSTERDOWN no\r\n-CLUSTERDOWN no\r\n-ERR EXEC without MULTI\r\n", "EXEC without MULTI"},
	} {
		for size := 1; size <= 2*len(test.stream); size++ {
			r := replies{want: want, parts: 5}
			answered, refused := takeAll(t, &r, test.stream+test.stream, size)
			wantAnswered, wantRefused := 2, 0
			if test.lastError != "" {
				wantAnswered, wantRefused = 0, 2
			}
			if answered != wantAnswered || refused != wantRefused || !strings.Contains(r.lastError, test.lastError) {
				t.Errorf("%q in pieces of %d: got %d answered, %d refused (%s), want %d, %d (%s)",
					test.stream, size, answered, refused, r.lastError, wantAnswered, wantRefused, test.lastError)
			}
		}
	}
}

func TestHeadsOfLongRepliesAreCut(t *testing.T) {
	stream := "$100\r\n" + strings.Repeat("x", 100) + "\r\n"
	for _, size := range []int{1, 7, len(stream)} {
		var r replies
		takeAll(t, &r, stream, size)
		if got, want := string(r.head), stream[:headBytes]; got != want {
			t.Errorf("pieces of %d: got the head %q, want %q", size, got, want)
		}
	}
}

// takeAll takes a stream in pieces of a size.
func takeAll(t *testing.T, r *replies, stream string, size int) (answered, refused int) {
	t.Helper()
	for stream != "" {
		n := min(size, len(stream))
		a, f, err := r.take([]byte(stream[:n]))
		if err != nil {
			t.Fatalf("pieces of %d: %v", size, err)
		}
		answered, refused, stream = answered+a, refused+f, stream[n:]
	}
	return answered, refused
}
