//go:build linux

package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestRunCountsWhatIsAnswered runs against a server that answers every third
// command with an error, and counts with the client.
func TestRunCountsWhatIsAnswered(t *testing.T) {
	var commands, refusals atomic.Int64
	target := startFake(t, func() func(args []string) string {
		n := 0
		return func(args []string) string {
			if len(args) != 3 || len(args[1]) != len("key:")+keyDigits {
				return fmt.Sprintf("malformed command %q\r\n", args)
			}
			commands.Add(1)
			if n++; n%3 == 1 {
				refusals.Add(1)
				return "-TRYAGAIN later\r\n"
			}
			return "+OK\r\n"
		}
	})
	w := workload{op: operationOf("SET"), conns: 7, depth: 16, value: 10_000, keys: 1000}
	m := runSome(t, w, target, func() {
		commands.Store(0)
		refusals.Store(0)
	})
	seen := int64(m.latency.total + m.errors)
	if total := commands.Load(); seen > total || seen < total-int64(w.conns*w.depth) {
		t.Errorf("got %d replies, want the server's %d but for those under way", seen, total)
	}
	errors, refused := int64(m.errors), refusals.Load()
	if errors > refused || errors < refused-int64(w.conns*w.depth) {
		t.Errorf("got %d errors, want the server's %d but for those under way", errors, refused)
	}
	if got, want := m.lastError, "TRYAGAIN later"; got != want {
		t.Errorf("got error %q, want %q", got, want)
	}
}

// TestLocksAreGivenBack runs against a server that knows who holds what: a
// release must have the lease of its acquisition, and none may be missing when
// the run is over.
func TestLocksAreGivenBack(t *testing.T) {
	var mu sync.Mutex // guards what follows
	var given, released, denied uint64
	held := make(map[string]uint64) // name -> lease
	names := make(map[string]bool)
	target := startFake(t, func() func(args []string) string {
		return func(args []string) string {
			mu.Lock()
			defer mu.Unlock()
			names[args[1]] = true
			switch {
			case args[0] == "LOCK.ACQUIRE" && held[args[1]] == 0 && (given+denied)%5 != 4:
				given++
				held[args[1]] = 1 << (given % 60)
				lease := strconv.FormatUint(held[args[1]], 10)
				return fmt.Sprintf("*3\r\n$%d\r\n%s\r\n:7\r\n:10000\r\n", len(lease), lease)
			case args[0] == "LOCK.ACQUIRE":
				denied++
				return "*-1\r\n"
			case args[2] != strconv.FormatUint(held[args[1]], 10):
				return ":0\r\n"
			}
			released++
			delete(held, args[1])
			return ":1\r\n"
		}
	})
	for _, test := range []struct {
		op    string
		names int
	}{{"LOCK", 25}, {"LOCK-CONTENDED", 3}} {
		w := workload{op: operationOf(test.op), conns: 25, depth: 1, keys: 10}
		m := runSome(t, w, target, func() {
			mu.Lock()
			defer mu.Unlock()
			given, released, denied = 0, 0, 0
			clear(names)
		})
		mu.Lock()
		if released != given || len(held) != 0 {
			t.Errorf("%s: got %d locks released, %d held, want all of %d released", test.op, released, len(held), given)
		}
		if got, want := m.all, released+denied; got != want {
			t.Errorf("%s: got %d operations, want %d", test.op, got, want)
		}
		if slack := uint64(w.conns); m.latency.total > released || m.latency.total+slack < released {
			t.Errorf("%s: got %d latencies, want about %d", test.op, m.latency.total, released)
		}
		if m.errors > denied || m.errors+uint64(w.conns) < denied {
			t.Errorf("%s: got %d errors, want about %d", test.op, m.errors, denied)
		}
		if got := len(names); got != test.names {
			t.Errorf("%s: got %d names, want %d", test.op, got, test.names)
		}
		mu.Unlock()
	}
}

// TestLocalReadsAreAskedForFirst runs against a server that denies reads to
// connections that have not asked to read its replica.
func TestLocalReadsAreAskedForFirst(t *testing.T) {
	target := startFake(t, func() func(args []string) string {
		isLocal := false
		return func(args []string) string {
			switch {
			case slices.Equal(args, []string{"CLIENT", "READS", "LOCAL"}):
				isLocal = true
				return "+OK\r\n"
			case !isLocal:
				return "-ERR not local\r\n"
			case args[0] == "GET":
				return "$3\r\nabc\r\n"
			}
			return "*2\r\n$3\r\nabc\r\n:1\r\n"
		}
	})
	for _, test := range []struct {
		op      string
		isLocal bool
	}{{"GET", false}, {"GET-LOCAL", true}, {"SESSION-GET", false}, {"SESSION-GET-LOCAL", true}} {
		w := workload{op: operationOf(test.op), conns: 3, depth: 1, keys: 10}
		m := runSome(t, w, target, func() {})
		if good := m.errors == 0; good != test.isLocal {
			t.Errorf("%s: got %d answers and %d errors (%s)", test.op, m.latency.total, m.errors, m.lastError)
		}
	}
}

// TestTransactionsCountOnce runs against a server that refuses every other
// transaction at its end, and wants the commands of each to have one name.
func TestTransactionsCountOnce(t *testing.T) {
	var done, aborted atomic.Uint64
	target := startFake(t, func() func(args []string) string {
		var names []string
		n := 0
		return func(args []string) string {
			switch args[0] {
			case "MULTI":
				names = nil
				return "+OK\r\n"
			case "EXEC":
				if n++; n%2 == 0 || len(names) != 3 || len(slices.Compact(names)) != 1 {
					aborted.Add(1)
					return "-EXECABORT " + fmt.Sprint(n%2) + "\r\n"
				}
				done.Add(1)
				return "*3\r\n+OK\r\n:12\r\n:1\r\n"
			}
			names = append(names, args[1][strings.IndexByte(args[1], ':'):])
			return "+QUEUED\r\n"
		}
	})
	w := workload{op: operationOf("MULTI-3"), conns: 3, depth: 1, value: 10, keys: 1000}
	m := runSome(t, w, target, func() {
		done.Store(0)
		aborted.Store(0)
	})
	if got, want := m.all, done.Load()+aborted.Load(); got != want {
		t.Errorf("got %d operations, want %d", got, want)
	}
	if slack := uint64(w.conns); m.latency.total > done.Load() || m.latency.total+slack < done.Load() {
		t.Errorf("got %d latencies, want about %d", m.latency.total, done.Load())
	}
	if m.errors > 0 && !strings.HasSuffix(m.lastError, `-EXECABORT 0\r\n"`) {
		t.Errorf("got the error %s, want EXECABORT 0", m.lastError)
	}
}

// runSome runs a workload for longer and longer, until something was counted: on
// a busy machine a short run may see nothing. It calls reset before each run.
func runSome(t *testing.T, w workload, target netip.AddrPort, reset func()) *measure {
	t.Helper()
	for span := 50 * time.Millisecond; ; span *= 2 {
		reset()
		m, err := w.run([]netip.AddrPort{target}, 0, span)
		if err != nil {
			t.Fatalf("%s: %v", w.op.name, err)
		}
		if m.latency.total+m.errors > 0 {
			return m
		}
	}
}

// startFake starts a server that answers as answerer's functions do, one for
// each connection, until the test ends.
func startFake(t *testing.T, answerer func() func(args []string) string) netip.AddrPort {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(func() {
		listener.Close()
		serving.Wait()
	})
	serving.Go(func() { // until the listener is closed
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			answer := answerer()
			serving.Go(func() { // until the client hangs up
				defer conn.Close()
				for in := bufio.NewReader(conn); ; {
					args, err := readCommand(in)
					if err != nil {
						return
					}
					if _, err := io.WriteString(conn, answer(args)); err != nil {
						return
					}
				}
			})
		}
	})
	return netip.MustParseAddrPort(listener.Addr().String())
}

// readCommand reads one command, an array of bulk strings.
func readCommand(in *bufio.Reader) ([]string, error) {
	var count, size int
	if _, err := fmt.Fscanf(in, "*%d\r\n", &count); err != nil {
		return nil, err
	}
	args := make([]string, count)
	for i := range args {
		if _, err := fmt.Fscanf(in, "$%d\r\n", &size); err != nil {
			return nil, err
		}
		arg := make([]byte, size+len("\r\n"))
		if _, err := io.ReadFull(in, arg); err != nil {
			return nil, err
		}
		args[i] = string(arg[:size])
	}
	return args, nil
}
