package http_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	serverhttp "github.com/huddlecache/huddle/server/http"
)

// pipeListener is a listener in memory, with one connection.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { close(l.closed); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Net: "pipe"} }

// dial starts a server and connects to it.
func dial(t *testing.T) net.Conn {
	t.Helper()
	api := serverhttp.New(serverhttp.Config{Node: newFake()})
	srv := api.NewHTTPServer(api.Handler())
	client, server := net.Pipe()
	ln := &pipeListener{conns: make(chan net.Conn, 1), closed: make(chan struct{})}
	ln.conns <- server
	served := make(chan error)
	go func() { served <- srv.Serve(ln) }()
	t.Cleanup(func() {
		_ = client.Close()
		_ = srv.Shutdown(context.WithoutCancel(t.Context()))
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serving: %v", err)
		}
	})
	return client
}

func TestAClientThatSendsNothingIsCutOff(t *testing.T) {
	for _, start := range []string{"", "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "} {
		synctest.Test(t, func(t *testing.T) {
			client := dial(t)
			began := time.Now()
			if _, err := io.WriteString(client, start); err != nil {
				t.Fatal(err)
			}
			_, err := io.Copy(io.Discard, client)
			if took := time.Since(began); err != nil || took > 10*time.Second {
				t.Errorf("after %q: ended after %v with %v, want within 10s", start, took, err)
			}
		})
	}
}

func TestAnEndlessHeaderIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := dial(t)
		go func() {
			// Ends when the server closes its side.
			for err := error(nil); err == nil; {
				_, err = fmt.Fprintf(client, "GET / HTTP/1.1\r\nX-Long: %s", strings.Repeat("x", 1<<20))
			}
		}()
		answer, err := http.ReadResponse(bufio.NewReader(client), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := answer.StatusCode, http.StatusRequestHeaderFieldsTooLarge; got != want {
			t.Errorf("got %d, want %d", got, want)
		}
	})
}
