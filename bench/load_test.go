//go:build linux

package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestRepliesInPieces(t *testing.T) {
	const stream = "+OK\r\n:12\r\n$5\r\na\r\nbc\r\n$-1\r\n$0\r\n\r\n-ERR no\r\n"
	for size := 1; size <= len(stream); size++ {
		var r replies
		var answered, refused int
		for rest := stream; rest != ""; {
			n := min(size, len(rest))
			a, f, err := r.take([]byte(rest[:n]))
			if err != nil {
				t.Fatalf("pieces of %d: %v", size, err)
			}
			answered, refused, rest = answered+a, refused+f, rest[n:]
		}
		if answered != 5 || refused != 1 || r.lastError != "ERR no" {
			t.Errorf("pieces of %d: got %d answered, %d refused (%q), want 5, 1 (ERR no)", size, answered, refused, r.lastError)
		}
	}
	for _, bad := range []string{"\n", "HTTP/1.1 400\r\n", "$x\r\n"} {
		if _, _, err := new(replies).take([]byte(bad)); err == nil {
			t.Errorf("%q: got no error, want one", bad)
		}
	}
}

// TestRunCountsWhatIsAnswered runs against a server that answers every third
// command with an error, and counts with the client.
func TestRunCountsWhatIsAnswered(t *testing.T) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var commands, refusals atomic.Int64
	go func() { // until the listener is closed
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go answer(conn, &commands, &refusals)
		}
	}()
	target := netip.MustParseAddrPort(listener.Addr().String())
	w := workload{op: "SET", conns: 7, depth: 16, value: 10_000, keys: 1000}
	m, err := w.run([]netip.AddrPort{target}, 0, 200*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	seen := int64(m.latency.total + m.errors)
	if total := commands.Load(); seen == 0 || seen > total || seen < total-int64(w.conns*w.depth) {
		t.Errorf("got %d replies, want the server's %d but for those under way", seen, total)
	}
	errors, refused := int64(m.errors), refusals.Load()
	if errors == 0 || errors > refused || errors < refused-int64(w.conns*w.depth) {
		t.Errorf("got %d errors, want the server's %d but for those under way", errors, refused)
	}
	if got, want := m.lastError, "TRYAGAIN later"; got != want {
		t.Errorf("got error %q, want %q", got, want)
	}
}

// answer reads SET commands with equal keys' lengths until the connection
// ends.
func answer(conn net.Conn, commands, refusals *atomic.Int64) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for n := 0; ; n++ {
		for line := range 7 {
			text, err := in.ReadString('\n')
			if err != nil {
				return
			}
			if line == 4 && (!strings.HasPrefix(text, "key:") || len(text) != len("key:\r\n")+keyDigits) {
				fmt.Fprintf(conn, "malformed key %q\r\n", text)
				return
			}
		}
		commands.Add(1)
		reply := "+OK\r\n"
		if n%3 == 0 {
			refusals.Add(1)
			reply = "-TRYAGAIN later\r\n"
		}
		if _, err := io.WriteString(conn, reply); err != nil {
			return
		}
	}
}
