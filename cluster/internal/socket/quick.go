//go:build linux && (amd64 || arm64)

package socket

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"unsafe"
)

// A conn is a TCP connection.
type conn struct {
	net.Conn
	socket
}

func quickConn(c *net.TCPConn) net.Conn {
	raw, err := c.SyscallConn()
	if err != nil {
		return c
	}
	quick := &conn{Conn: c}
	quick.init(raw)
	return quick
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	n, _, errno, err := c.receive(b)
	switch {
	case err != nil:
		return 0, err
	case errno != 0:
		return 0, fault("read", c.LocalAddr(), c.RemoteAddr(), errno)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// longWrite is from how many bytes on the scheduler had better know of a write:
// the kernel copies them, and on the loopback does the receiver's part as well.
// Bodies of 1 MiB were an eighth slower without.
const longWrite = 4 << 10

// Write implements net.Conn.
func (c *conn) Write(b []byte) (int, error) {
	if len(b) == 0 || len(b) >= longWrite {
		return c.Conn.Write(b)
	}
	n, errno, err := c.send(b, address{})
	if err == nil && errno != 0 {
		err = fault("write", c.LocalAddr(), c.RemoteAddr(), errno)
	}
	return n, err
}

// A packetConn is a UDP socket.
type packetConn struct {
	net.PacketConn
	socket
	is6 bool // a socket of IPv6, which may carry IPv4 too
}

func quickPacketConn(c *net.UDPConn) net.PacketConn {
	raw, err := c.SyscallConn()
	if err != nil {
		return c
	}
	domain := 0
	controlErr := raw.Control(func(fd uintptr) {
		domain, err = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_DOMAIN)
	})
	if controlErr != nil || err != nil {
		return c
	}
	quick := &packetConn{PacketConn: c, is6: domain == syscall.AF_INET6}
	quick.init(raw)
	return quick
}

// ReadFrom implements net.PacketConn.
func (c *packetConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, errno, err := c.receive(b)
	switch {
	case err != nil:
		return 0, nil, err
	case errno != 0:
		return 0, nil, fault("read", c.LocalAddr(), nil, errno)
	}
	return n, net.UDPAddrFromAddrPort(from.addrPort()), nil
}

// WriteTo implements net.PacketConn.
func (c *packetConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	u, isUDP := addr.(*net.UDPAddr)
	if !isUDP {
		return c.PacketConn.WriteTo(b, addr)
	}
	to, ok := addressOf(u.AddrPort(), c.is6)
	if !ok {
		return c.PacketConn.WriteTo(b, addr)
	}
	n, errno, err := c.send(b, to)
	if err == nil && errno != 0 {
		err = fault("write", c.LocalAddr(), addr, errno)
	}
	return n, err
}

// fault is the error that package net would return.
func fault(op string, from, to net.Addr, errno syscall.Errno) error {
	return &net.OpError{Op: op, Net: from.Network(), Source: from, Addr: to, Err: os.NewSyscallError(op, errno)}
}

// A socket sends and receives.
type socket struct {
	raw     syscall.RawConn
	in, out transfer
}

func (s *socket) init(raw syscall.RawConn) {
	s.raw = raw
	s.in.try, s.out.try = s.in.receive, s.out.send
}

// receive fills b with what has come, waiting until something has. It returns
// whom a packet is from.
func (s *socket) receive(b []byte) (n int, from address, errno syscall.Errno, err error) {
	t := &s.in
	t.mu.Lock()
	defer t.mu.Unlock()
	t.begin(b, address{})
	err = s.raw.Read(t.try)
	n, from, errno = t.end()
	return n, from, errno, err
}

// send sends all of b, waiting until there is room. A packet goes to the
// address.
func (s *socket) send(b []byte, to address) (n int, errno syscall.Errno, err error) {
	t := &s.out
	t.mu.Lock()
	defer t.mu.Unlock()
	t.begin(b, to)
	err = s.raw.Write(t.try)
	n, _, errno = t.end()
	return n, errno, err
}

// A transfer is one direction of a socket. What a call needs is kept in it, so
// that a call takes no memory.
type transfer struct {
	try func(fd uintptr) (done bool) // receive or send

	mu      sync.Mutex // held by the call in progress; guards what follows
	b       []byte
	address address
	n       int           // bytes transferred
	errno   syscall.Errno // of the last system call
}

func (t *transfer) begin(b []byte, a address) {
	t.b, t.address, t.n, t.errno = b, a, 0, 0
}

func (t *transfer) end() (n int, a address, errno syscall.Errno) {
	t.b = nil
	return t.n, t.address, t.errno
}

// receive tries to receive something.
func (t *transfer) receive(fd uintptr) (done bool) {
	for {
		t.address.size = uint32(len(t.address.bytes))
		n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd,
			uintptr(unsafe.Pointer(unsafe.SliceData(t.b))), uintptr(len(t.b)), 0,
			uintptr(unsafe.Pointer(&t.address.bytes)), uintptr(unsafe.Pointer(&t.address.size)))
		t.errno = errno
		switch errno {
		case 0:
			t.n = int(n)
			return true
		case syscall.EAGAIN:
			return false
		case syscall.EINTR:
		default:
			return true
		}
	}
}

// send tries to send what is left.
func (t *transfer) send(fd uintptr) (done bool) {
	for {
		left := t.b[t.n:]
		n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, fd,
			uintptr(unsafe.Pointer(unsafe.SliceData(left))), uintptr(len(left)), syscall.MSG_NOSIGNAL,
			uintptr(unsafe.Pointer(&t.address.bytes)), uintptr(t.address.size))
		t.errno = errno
		switch errno {
		case 0:
			t.n += int(n)
			if t.n == len(t.b) {
				return true
			}
		case syscall.EAGAIN:
			return false
		case syscall.EINTR:
		default:
			return true
		}
	}
}
