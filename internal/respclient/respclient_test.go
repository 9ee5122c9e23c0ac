package respclient_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"reflect"
	"testing"
	"time"

	"github.com/huddlecache/huddle/internal/respclient"
)

// serve answers every connection's first bytes with answer and closes it.
func serve(t *testing.T, answer string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() { // until the listener is closed
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			bufio.NewReader(conn).ReadByte()
			io.WriteString(conn, answer)
			conn.Close()
		}
	}()
	return l.Addr().String()
}

func TestDo(t *testing.T) {
	for _, test := range []struct {
		answer  string
		reply   any
		outcome respclient.Outcome
	}{
		{"+OK\r\n", "OK", respclient.Answered},
		{":-7\r\n", int64(-7), respclient.Answered},
		{"$3\r\na\r\n\r\n", "a\r\n", respclient.Answered},
		{"$-1\r\n", nil, respclient.Answered},
		{"*3\r\n$1\r\nx\r\n$-1\r\n*1\r\n-ERR y\r\n", []any{"x", nil, []any{respclient.Error("ERR y")}}, respclient.Answered},
		{"-WRONGTYPE no\r\n", nil, respclient.Answered},
		{"-CLUSTERDOWN no quorum\r\n", nil, respclient.Refused},
		{"-TRYAGAIN busy\r\n", nil, respclient.Refused},
		{"-LOADING joining\r\n", nil, respclient.Refused},
		{"-UNAVAILABLE outcome unknown: leader lost\r\n", nil, respclient.Unknown},
		{"", nil, respclient.Unknown},
		{"$5\r\nabc", nil, respclient.Unknown},
		{"$99999999999\r\n", nil, respclient.Unknown},
		{"*99999999999\r\n", nil, respclient.Unknown},
		{"HTTP/1.1 400 Bad Request\r\n", nil, respclient.Unknown},
	} {
		c := respclient.New(serve(t, test.answer), 5*time.Second)
		reply, err := c.Do("PING")
		if got, want := respclient.OutcomeOf(err), test.outcome; got != want {
			t.Errorf("%q: got outcome %v (%v), want %v", test.answer, got, err, want)
		}
		if got, want := reply, test.reply; !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %#v, want %#v", test.answer, got, want)
		}
		c.Close()
	}
}

func TestNothingSentIsRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	_, err = respclient.New(l.Addr().String(), time.Second).Do("PING")
	if !errors.Is(err, respclient.ErrUnsent) {
		t.Errorf("got %v, want ErrUnsent", err)
	}
	if got, want := respclient.OutcomeOf(err), respclient.Refused; got != want {
		t.Errorf("got outcome %v, want %v", got, want)
	}
}

func TestAppendCommand(t *testing.T) {
	got := string(respclient.AppendCommand(nil, "SET", "k", ""))
	if want := "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
