package redis_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/huddlecache/huddle/server/redis"
)

// Over real sockets a client reads why its connection is closed, whatever
// else it has sent.
func TestTheLastReplyArrives(t *testing.T) {
	web := httptest.NewTLSServer(nil)
	defer web.Close()
	insecure := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // what is tested is not the certificate

	for _, network := range []struct{ name, kind, addr string }{
		{"tcp", "tcp", "127.0.0.1:0"},
		{"tls", "tcp", "127.0.0.1:0"},
		{"unix", "unix", filepath.Join(t.TempDir(), "redis.sock")},
	} {
		t.Run(network.name, func(t *testing.T) {
			listener, err := new(net.ListenConfig).Listen(t.Context(), network.kind, network.addr)
			if err != nil {
				t.Fatal(err)
			}
			addr := listener.Addr().String()
			if network.name == "tls" {
				listener = tls.NewListener(listener, web.TLS)
			}
			server, err := redis.Open(redis.Config{Log: newMemory(), Listeners: []net.Listener{listener}})
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			socket, err := new(net.Dialer).DialContext(t.Context(), network.kind, addr)
			if err != nil {
				t.Fatal(err)
			}
			defer socket.Close()
			if network.name == "tls" {
				socket = tls.Client(socket, insecure)
			}
			send(socket, "SET a 1\r\nGET a\r\n*1\r\n$x\r\n"+strings.Repeat("x", 100_000))
			got, err := io.ReadAll(socket)
			if want := "+OK\r\n$1\r\n1\r\n-ERR Protocol error: invalid bulk length\r\n"; string(got) != want || err != nil {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
			if err := server.Close(); err != nil {
				t.Errorf("closing: got %v, want nil", err)
			}
		})
	}
}
