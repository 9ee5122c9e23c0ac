package resp_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/huddlecache/huddle/server/resp"
)

var small = resp.Limits{Args: 20, Arg: 100, Command: 300}

// transcript reads all commands and says what came of each, a line each.
func transcript(r *resp.Reader) string {
	var b strings.Builder
	for {
		args, err := r.Read()
		var tooBig *resp.TooBigError
		switch {
		case err == nil:
			fmt.Fprintf(&b, "%q\n", args)
		case errors.As(err, &tooBig):
			fmt.Fprintln(&b, err)
		default:
			fmt.Fprintln(&b, err)
			return b.String()
		}
	}
}

// What Redis 7.0.15 was seen to answer, but for what is about our own limits.
func TestReader(t *testing.T) {
	long := strings.Repeat("x", 200)
	tests := []struct{ in, want string }{
		{"", "EOF"},
		{"*1\r\n$4\r\nPING\r\n", `["PING"] EOF`},
		{"*2\r\n$3\r\nGET\r\n$3\r\na\r\n\r\n*1\r\n$0\r\n\r\n", `["GET" "a\r\n"] [""] EOF`},
		{"*0\r\n*-5\r\n\r\n\nPING\r\n", `["PING"] EOF`},
		{"PING\n  SET a\tb \r\n", `["PING"] ["SET" "a" "b"] EOF`},
		{`PING "a\x41\n\"" 'it\'s\n'` + "\n", `["PING" "aA\n\"" "it's\\n"] EOF`},
		{"PING \"\" ''\n", `["PING" "" ""] EOF`},
		{"\"abc\r\n", "Protocol error: unbalanced quotes in request"},
		{"PING 'a'b\r\n", "Protocol error: unbalanced quotes in request"},
		{"*x\r\n", "Protocol error: invalid multibulk length"},
		{"*\r\n", "Protocol error: invalid multibulk length"},
		{"*+1\r\n", "Protocol error: invalid multibulk length"},
		{"*01\r\n", "Protocol error: invalid multibulk length"},
		{"*21\r\n", "Protocol error: invalid multibulk length"},
		{"*99999999999999999999\r\n", "Protocol error: invalid multibulk length"},
		{"*1\r\nPING\r\n", "Protocol error: expected '$', got 'P'"},
		{"*1\r\n\r\n", "Protocol error: expected '$', got ' '"},
		{"*1\r\n\xff\r\n", "Protocol error: expected '$', got ' '"},
		{"*1\r\n$x\r\n", "Protocol error: invalid bulk length"},
		{"*1\r\n$-1\r\n", "Protocol error: invalid bulk length"},
		{"*1\r\n$536870913\r\n", "Protocol error: invalid bulk length"},
		{"*1\r\n$4\r\nPINGxx", "Protocol error: expected CRLF after the bulk string"},
		{"*1\r\n$4\r\nPINGx\n", "Protocol error: expected CRLF after the bulk string"},
		{strings.Repeat("a", 70_000), "Protocol error: too big inline request"},
		{strings.Repeat("a", 70_000) + "\n", "Protocol error: too big inline request"},
		{"*" + strings.Repeat("1", 70_000), "Protocol error: too big mbulk count string"},
		{"*1\r\n$" + strings.Repeat("1", 70_000), "Protocol error: too big bulk count string"},
		{"\x16\x03\x01\x02\x00", "not a Redis client"},
		{"*1\r\n$4\r\nPI", "unexpected EOF"},
		{"*2\r\n$4\r\nPING\r\n", "unexpected EOF"},
		{"*1", "unexpected EOF"},
		{"PING", "unexpected EOF"},
		{"*2\r\n$3\r\nGET\r\n$200\r\n" + long + "\r\nPING\r\n", `value of 200 bytes is over 100 ["PING"] EOF`},
		{"*3\r\n$101\r\n" + long[:101] + "\r\n$1\r\na\r\n$102\r\n" + long[:102] + "\r\nPING\n", `value of 101 bytes is over 100 ["PING"] EOF`},
		{"ECHO " + long + "\nPING\n", `value of 200 bytes is over 100 ["PING"] EOF`},
		{"*4\r\n" + strings.Repeat("$90\r\n"+long[:90]+"\r\n", 4) + "PING\r\n", `command is over 300 bytes ["PING"] EOF`},
	}
	for _, test := range tests {
		for name, src := range map[string]io.Reader{
			"at once":       strings.NewReader(test.in),
			"byte by byte":  iotest.OneByteReader(strings.NewReader(test.in)),
			"with its end":  iotest.DataErrReader(strings.NewReader(test.in)),
			"half by half ": iotest.HalfReader(strings.NewReader(test.in)),
		} {
			got := strings.TrimSpace(strings.ReplaceAll(transcript(resp.NewReader(src, small)), "\n", " "))
			if got != test.want {
				t.Errorf("%.60q %s: got %s, want %s", test.in, name, got, test.want)
			}
		}
	}
}

func TestReaderOfStrangers(t *testing.T) {
	tests := []struct{ in, want string }{
		{"*10\r\n", "unexpected EOF"},
		{"*11\r\n", "Protocol error: unauthenticated multibulk length"},
		{"*1\r\n$16384\r\n", "unexpected EOF"},
		{"*1\r\n$16385\r\n", "Protocol error: unauthenticated bulk length"},
	}
	for _, test := range tests {
		r := resp.NewReader(strings.NewReader(test.in), resp.Limits{})
		r.Stranger = true
		if got := strings.TrimSpace(transcript(r)); got != test.want {
			t.Errorf("%q: got %s, want %s", test.in, got, test.want)
		}
	}
}

func TestNextReturnsWhatWasRead(t *testing.T) {
	one := "*2\r\n$3\r\nGET\r\n$1\r\na\r\n"
	src := iotest.DataErrReader(strings.NewReader(one + one + "PING\r\n" + one[:10]))
	r := resp.NewReader(src, small)
	if _, found, err := r.Next(); found || err != nil {
		t.Fatalf("before any read: got %t, %v, want nothing", found, err)
	}
	if _, err := r.Read(); err != nil {
		t.Fatal(err)
	}
	if got, want := r.Buffered(), len(one)+len("PING\r\n")+10; got != want {
		t.Errorf("buffered: got %d, want %d", got, want)
	}
	var got []string
	for {
		args, found, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if !found {
			break
		}
		got = append(got, string(bytes.Join(args, []byte(" "))))
	}
	if want := []string{"GET a", "PING"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A silent reader gives what it has, then nothing for ever.
type silent struct{ data io.Reader }

func (s silent) Read(p []byte) (int, error) {
	n, err := s.data.Read(p)
	if err == io.EOF {
		err = io.ErrClosedPipe // where a connection would wait
	}
	return n, err
}

func TestMemoryGrowsWithWhatArrives(t *testing.T) {
	tests := []struct {
		name, in string
		most     int
	}{
		{"huge count", "*1048576\r\n", 4 << 10},
		{"huge argument", "*1\r\n$8388608\r\n", 4 << 10},
		{"huge argument begun", "*1\r\n$8388608\r\n" + strings.Repeat("x", 100_000), 256 << 10},
		{"argument over its limit", "*1\r\n$500000000\r\n" + strings.Repeat("x", 3<<20), 512 << 10},
		{"command over its limit", "*99\r\n" + strings.Repeat("$4194304\r\n"+strings.Repeat("x", 4<<20)+"\r\n", 5), 18 << 20},
		{"long line", strings.Repeat("x", 64<<10), 128 << 10},
		{"pipeline", strings.Repeat("PING\r\n", 1<<17), 256 << 10},
	}
	for _, test := range tests {
		r := resp.NewReader(silent{strings.NewReader(test.in)}, resp.Limits{})
		most := 0
		for {
			_, err := r.Read()
			most = max(most, r.Held())
			if err != nil && !errors.As(err, new(*resp.TooBigError)) {
				break
			}
		}
		if most > test.most {
			t.Errorf("%s: got %d bytes held, want at most %d", test.name, most, test.most)
		}
	}
}

func TestMemoryShrinksAfterALargeCommand(t *testing.T) {
	large := resp.AppendCommand(nil, "SET", "k", strings.Repeat("x", 4<<20))
	r := resp.NewReader(silent{bytes.NewReader(append(large, "*1\r\n"...))}, resp.Limits{})
	if _, err := r.Read(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(); err != io.ErrClosedPipe {
		t.Fatal(err)
	}
	if got, want := r.Held(), 32<<10; got > want {
		t.Errorf("waiting: got %d bytes held, want at most %d", got, want)
	}
}

func TestReaderDoesNotAllocate(t *testing.T) {
	src := &endless{data: resp.AppendCommand(nil, "SET", "key", "value")}
	r := resp.NewReader(src, resp.Limits{})
	got := testing.AllocsPerRun(1000, func() {
		if _, err := r.Read(); err != nil {
			t.Fatal(err)
		}
	})
	if got > 0 {
		t.Errorf("got %v allocations a command, want none", got)
	}
}

// An endless reader repeats its data, once a read.
type endless struct{ data []byte }

func (e *endless) Read(p []byte) (int, error) { return copy(p, e.data), nil }

func BenchmarkReader(b *testing.B) {
	one := resp.AppendCommand(nil, "SET", "session:0123456789abcdef", strings.Repeat("x", 200))
	for _, n := range []int{1, 15} {
		b.Run(fmt.Sprintf("pipeline=%d", n), func(b *testing.B) {
			r := resp.NewReader(&endless{data: bytes.Repeat(one, n)}, resp.Limits{})
			b.SetBytes(int64(len(one)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Read(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What was parsed means the same when it is sent again, whatever the pieces
// in which it came; nothing panics, and no more is held than came.
func FuzzReader(f *testing.F) {
	for _, seed := range []string{
		"*2\r\n$3\r\nGET\r\n$1\r\na\r\n*0\r\nPING \"a\\x41\" 'b'\r\n",
		"*1\r\n$200\r\n" + strings.Repeat("x", 200) + "\r\nPING\r\n",
		"*-1\r\n*x\r\n", "*3\r\n$99\r\n", "\x16\x03", "\"a\n", "*1\r\n$-1\r\n", "*18446744073709551616\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		whole := resp.NewReader(bytes.NewReader(in), small)
		want := transcript(whole)
		pieces := resp.NewReader(iotest.OneByteReader(bytes.NewReader(in)), small)
		if got := transcript(pieces); got != want {
			t.Errorf("in pieces: got %s, want %s", got, want)
		}
		if got, most := whole.Held(), max(4<<10, 4*len(in)); got > most {
			t.Errorf("got %d bytes held for %d, want at most %d", got, len(in), most)
		}
		r := resp.NewReader(bytes.NewReader(in), small)
		for {
			args, err := r.Read()
			if errors.As(err, new(*resp.TooBigError)) {
				continue
			}
			if err != nil {
				break
			}
			again, err := resp.NewReader(bytes.NewReader(resp.AppendCommand(nil, args...)), resp.Limits{}).Read()
			if err != nil || !slices.EqualFunc(again, args, bytes.Equal) {
				t.Errorf("sent again: got %q, %v, want %q", again, err, args)
			}
		}
	})
}
