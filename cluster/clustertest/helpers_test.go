package clustertest_test

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/clustertest"
)

// listen listens on any port of a host.
func listen(t *testing.T, n *clustertest.Network, addr string) net.Listener {
	t.Helper()
	l, err := n.Host(addr).Listen(addr + ":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// connect returns the two ends of a stream, the one that dialled first.
func connect(t *testing.T, n *clustertest.Network, from, to string) (dialled, accepted net.Conn) {
	t.Helper()
	l := listen(t, n, to)
	dialled, err := n.Host(from).Dial(t.Context(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if accepted, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		dialled.Close()
		accepted.Close()
	})
	return dialled, accepted
}

func write(t *testing.T, c net.Conn, data []byte) {
	t.Helper()
	if got, err := c.Write(data); err != nil || got != len(data) {
		t.Errorf("wrote %d of %d bytes: %v", got, len(data), err)
	}
}

func expect(t *testing.T, c net.Conn, want string) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(time.Hour))
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Errorf("read %q, %v; want %q", got, err, want)
	}
}

// expectNothing looks for a virtual hour.
func expectNothing(t *testing.T, c net.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(time.Hour))
	got := make([]byte, 100)
	if count, err := c.Read(got); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read %q, %v; want nothing in an hour", got[:count], err)
	}
	c.SetReadDeadline(time.Time{})
}

func listenPacket(t *testing.T, n *clustertest.Network, addr string) net.PacketConn {
	t.Helper()
	c, err := n.Host(addr).ListenPacket(addr + ":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func send(t *testing.T, from, to net.PacketConn, data string) {
	t.Helper()
	if _, err := from.WriteTo([]byte(data), to.LocalAddr()); err != nil {
		t.Error(err)
	}
}

// receiveAll returns what arrives until nothing has for a virtual second.
func receiveAll(t *testing.T, c net.PacketConn) (got []string) {
	t.Helper()
	buf := make([]byte, 100)
	for {
		c.SetReadDeadline(time.Now().Add(time.Second))
		count, _, err := c.ReadFrom(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(buf[:count]))
	}
}

func expectPacket(t *testing.T, c net.PacketConn, want string) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(time.Hour))
	got := make([]byte, 100)
	count, _, err := c.ReadFrom(got)
	if err != nil || string(got[:count]) != want {
		t.Errorf("received %q, %v; want %q", got[:count], err, want)
	}
}

func expectNoPacket(t *testing.T, c net.PacketConn) {
	t.Helper()
	if got := receiveAll(t, c); len(got) > 0 {
		t.Errorf("received %q, want nothing", got)
	}
}
