package socket_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/internal/socket"
)

// tcpPair returns the two ends of a connection, as package net has them, with
// little room between them.
func tcpPair(t *testing.T) (here, there *net.TCPConn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	c, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	here = c.(*net.TCPConn)
	t.Cleanup(func() { here.Close() })
	c, err = listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	there = c.(*net.TCPConn)
	t.Cleanup(func() { there.Close() })
	if err := errors.Join(here.SetWriteBuffer(64<<10), there.SetReadBuffer(64<<10)); err != nil {
		t.Fatal(err)
	}
	return here, there
}

func udp(t *testing.T, addr string) *net.UDPConn {
	t.Helper()
	c, err := net.ListenPacket("udp", addr)
	if err != nil {
		t.Skipf("SKIPPED: no UDP on %s: %v", addr, err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.UDPConn)
}

// On the platforms that we release for, sockets of package net are not used as
// they are; whatever else there is stays what it is.
func TestWhatIsReplaced(t *testing.T) {
	here, _ := tcpPair(t)
	packets := udp(t, "127.0.0.1:0")
	want := runtime.GOOS == "linux" && (runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64")
	if got := socket.Conn(here) != net.Conn(here); got != want {
		t.Errorf("TCP connection replaced: got %v, want %v", got, want)
	}
	if got := socket.PacketConn(packets) != net.PacketConn(packets); got != want {
		t.Errorf("UDP socket replaced: got %v, want %v", got, want)
	}
	pipe, _ := net.Pipe()
	if socket.Conn(pipe) != pipe {
		t.Error("a pipe was replaced")
	}
}

// All that is written is read, in order, in pieces of any length, though there
// is never room for all of it.
func TestConnCarriesEverything(t *testing.T) {
	here, there := tcpPair(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	sent := make([]byte, 1<<20)
	for i := range sent {
		sent[i] = byte(random.Uint32())
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		w := socket.Conn(here)
		for rest := sent; len(rest) > 0; {
			n, err := w.Write(rest[:min(len(rest), random.IntN(8<<10))])
			if err != nil {
				t.Errorf("writing: %v", err)
				break
			}
			rest = rest[n:]
		}
		here.CloseWrite()
	})
	got, err := io.ReadAll(socket.Conn(there))
	if err != nil {
		t.Errorf("reading: %v", err)
	}
	if !bytes.Equal(got, sent) {
		t.Errorf("got %d bytes that differ from the %d sent", len(got), len(sent))
	}
	wg.Wait()
}

// A write that has no room waits for it, and says how much of it was sent when
// its time is over.
func TestWriteWithoutRoom(t *testing.T) {
	here, there := tcpPair(t)
	w := socket.Conn(here)
	w.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
	sent := 0
	var err error
	for piece := make([]byte, 3000); err == nil; {
		var n int
		n, err = w.Write(piece)
		sent += n
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("writing without room: got %v, want %v", err, os.ErrDeadlineExceeded)
	}
	here.Close()
	got, err := io.ReadAll(socket.Conn(there))
	if len(got) != sent || err != nil {
		t.Errorf("reading: got %d bytes, %v, want the %d that Write has told", len(got), err, sent)
	}
}

func TestConnFaults(t *testing.T) {
	for _, test := range []struct {
		name  string
		spoil func(here, there *net.TCPConn)
		use   func(c net.Conn) error
		want  error
	}{
		{"read after the deadline", func(here, _ *net.TCPConn) { here.SetReadDeadline(time.Unix(1, 0)) }, read, os.ErrDeadlineExceeded},
		{"write after the deadline", func(here, _ *net.TCPConn) { here.SetWriteDeadline(time.Unix(1, 0)) }, write, os.ErrDeadlineExceeded},
		{"read of a closed one", func(here, _ *net.TCPConn) { here.Close() }, read, net.ErrClosed},
		{"write to a closed one", func(here, _ *net.TCPConn) { here.Close() }, write, net.ErrClosed},
		{"read after the end", func(_, there *net.TCPConn) { there.CloseWrite() }, read, io.EOF},
		{"read after a reset", reset, read, syscall.ECONNRESET},
		{"write after the end", func(here, _ *net.TCPConn) { here.CloseWrite() }, write, syscall.EPIPE},
	} {
		t.Run(test.name, func(t *testing.T) {
			here, there := tcpPair(t)
			c := socket.Conn(here)
			test.spoil(here, there)
			err := test.use(c)
			if !errors.Is(err, test.want) {
				t.Fatalf("got %v, want %v", err, test.want)
			}
			if _, isNet := errors.AsType[*net.OpError](err); !isNet && err != io.EOF {
				t.Errorf("got a %T, want a *net.OpError", err)
			}
		})
	}
}

func reset(_, there *net.TCPConn) {
	there.SetLinger(0)
	there.Close()
}

func read(c net.Conn) error {
	_, err := c.Read(make([]byte, 8))
	return err
}

func write(c net.Conn) error {
	_, err := c.Write(make([]byte, 8))
	return err
}

// Close ends a read that waits.
func TestCloseEndsRead(t *testing.T) {
	here, _ := tcpPair(t)
	c := socket.Conn(here)
	ended := make(chan error)
	go func() { ended <- read(c) }()
	runtime.Gosched()
	c.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want %v", err, net.ErrClosed)
	}
}

// Packets come as they were sent, from whom they were sent, over sockets of
// either family and of both.
func TestPacketConn(t *testing.T) {
	for _, test := range []struct{ name, from, to, via string }{
		{"IPv4", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1"},
		{"IPv6", "[::1]:0", "[::1]:0", "::1"},
		{"IPv4 from all", ":0", "127.0.0.1:0", "127.0.0.1"},
		{"IPv4 to all", "127.0.0.1:0", "0.0.0.0:0", "127.0.0.1"},
		{"IPv6 to all", "[::1]:0", "[::]:0", "::1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			from, to := udp(t, test.from), udp(t, test.to)
			a, b := socket.PacketConn(from), socket.PacketConn(to)
			for _, sent := range []string{"ping", "", "a longer one"} {
				target := &net.UDPAddr{IP: net.ParseIP(test.via), Port: to.LocalAddr().(*net.UDPAddr).Port}
				if n, err := a.WriteTo([]byte(sent), target); n != len(sent) || err != nil {
					t.Fatalf("sending %q: got %d, %v", sent, n, err)
				}
				buf := make([]byte, 64)
				n, sender, err := b.ReadFrom(buf)
				if string(buf[:n]) != sent || err != nil {
					t.Fatalf("got %q, %v, want %q", buf[:n], err, sent)
				}
				want := net.UDPAddr{IP: net.ParseIP(test.via), Port: from.LocalAddr().(*net.UDPAddr).Port}
				if got, isUDP := sender.(*net.UDPAddr); !isUDP || got.String() != want.String() {
					t.Errorf("sender: got %v, want %v", sender, &want)
				}
			}
		})
	}
}

func TestPacketConnFaults(t *testing.T) {
	packets := udp(t, "127.0.0.1:0")
	c := socket.PacketConn(packets)
	if _, err := c.WriteTo(make([]byte, 1<<17), packets.LocalAddr()); !errors.Is(err, syscall.EMSGSIZE) {
		t.Errorf("a packet of 128 KiB: got %v, want %v", err, syscall.EMSGSIZE)
	}
	if _, err := c.WriteTo([]byte("x"), &net.UDPAddr{IP: net.IPv6loopback, Port: 9}); err == nil {
		t.Error("an IPv4 socket has sent to an IPv6 address")
	}
	c.SetReadDeadline(time.Unix(1, 0))
	if _, _, err := c.ReadFrom(make([]byte, 8)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after the deadline: got %v, want %v", err, os.ErrDeadlineExceeded)
	}
	c.Close()
	if _, _, err := c.ReadFrom(make([]byte, 8)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: got %v, want %v", err, net.ErrClosed)
	}
}
