package clustertest

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	// window is how much one side may have sent that the other has not read.
	window = 256 << 10

	// dialPatience is how long a dial hangs that nothing else ends.
	dialPatience = 2 * time.Minute
)

// A conn is one end of a stream.
type conn struct {
	net           *Network
	host          *Host // nil at the accepting end until the dial has arrived
	local, remote netip.AddrPort
	peer          *conn
	in, out       *half
	established   bool
	closed        bool  // by this end
	err           error // why it broke, if it did
	read, write   deadline
}

// A half carries bytes in one direction.
type half struct {
	*flow
	unread      []byte     // delivered
	outstanding int        // bytes sent and not yet read
	ended       bool       // the sender has closed, and all it sent is delivered
	wake        *sync.Cond // signalled when reader or writer may have something to do
}

func (n *Network) newHalfLocked(owner *Host, from, to netip.AddrPort) *half {
	way := direction{from.Addr(), to.Addr()}
	return &half{flow: n.newFlowLocked(owner, way), wake: sync.NewCond(&n.mu)}
}

// dialLocked connects to an address, waiting with the network unlocked.
func (h *Host) dialLocked(ctx context.Context, to netip.AddrPort) (*conn, error) {
	if h.killed {
		return nil, errKilled
	}
	port, err := h.freePortLocked(func(uint16) bool { return false })
	if err != nil {
		return nil, err
	}
	from := netip.AddrPortFrom(h.addr, port)
	there, back := h.net.newHalfLocked(h, from, to), h.net.newHalfLocked(nil, to, from)
	c := &conn{net: h.net, host: h, local: from, remote: to, in: back, out: there}
	s := &conn{net: h.net, local: to, remote: from, in: there, out: back, established: true}
	c.peer, s.peer = s, c
	there.reset = func() { s.failLocked(syscall.ECONNRESET) }
	back.reset = func() { c.failLocked(syscall.ECONNRESET) }
	h.conns[c] = struct{}{}
	there.sendLocked(s.openLocked)

	ctx, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	defer context.AfterFunc(ctx, h.net.broadcast(back.wake))()
	for !c.established && c.err == nil && ctx.Err() == nil {
		back.wake.Wait()
	}
	if c.err == nil && !c.established {
		c.failLocked(ctx.Err())
		there.dropLocked()
		there.sendLocked(there.reset)
	}
	return c, c.err
}

// openLocked is the arrival of a dial at the host that it is for.
func (c *conn) openLocked() {
	h := c.net.hosts[c.local.Addr()]
	if h == nil || h.listeners[c.local.Port()] == nil {
		c.out.sendLocked(func() { c.peer.failLocked(syscall.ECONNREFUSED) })
		return
	}
	c.host, c.out.owner = h, h
	h.conns[c] = struct{}{}
	l := h.listeners[c.local.Port()]
	l.backlog = append(l.backlog, c)
	l.wake.Broadcast()
	c.out.sendLocked(func() {
		if c.peer.err == nil {
			c.peer.established = true
			c.in.wake.Broadcast()
			c.out.wake.Broadcast()
		}
	})
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, c.opError("read", net.ErrClosed)
		case c.read.passed():
			return 0, c.opError("read", os.ErrDeadlineExceeded)
		case c.err != nil:
			return 0, c.opError("read", c.err)
		case len(p) == 0:
			return 0, nil
		case len(c.in.unread) > 0:
			count := copy(p, c.in.unread)
			c.in.unread = c.in.unread[count:]
			c.in.outstanding -= count
			c.in.wake.Broadcast()
			return count, nil
		case c.in.ended:
			return 0, io.EOF
		}
		c.in.wake.Wait()
	}
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (written int, err error) {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	for {
		switch {
		case written > 0 && written == len(p):
			return written, nil
		case c.closed:
			return written, c.opError("write", net.ErrClosed)
		case c.write.passed():
			return written, c.opError("write", os.ErrDeadlineExceeded)
		case c.err != nil:
			return written, c.opError("write", c.err)
		case len(p) == 0:
			return 0, nil
		case c.out.outstanding < window:
			count := min(len(p)-written, window-c.out.outstanding)
			data := append([]byte(nil), p[written:written+count]...)
			written += count
			c.out.outstanding += count
			c.out.sendLocked(func() { c.peer.receiveLocked(data) })
		default:
			c.out.wake.Wait()
		}
	}
}

// receiveLocked is the arrival of bytes. An end that no longer takes them
// answers with a reset.
func (c *conn) receiveLocked(data []byte) {
	if c.closed || c.err != nil {
		c.in.outstanding -= len(data)
		c.out.sendLocked(c.out.reset)
	} else {
		c.in.unread = append(c.in.unread, data...)
	}
	c.in.wake.Broadcast()
}

// Close implements net.Conn. What was written before is still delivered.
func (c *conn) Close() error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if c.closed {
		return c.opError("close", net.ErrClosed)
	}
	c.closed = true
	if c.err == nil {
		c.out.sendLocked(func() {
			c.out.ended = true
			c.out.wake.Broadcast()
		})
	}
	c.releaseLocked()
	return nil
}

// failLocked breaks this end.
func (c *conn) failLocked(err error) {
	if c.err == nil {
		c.err = err
	}
	c.releaseLocked()
}

// releaseLocked frees what an end holds that is not used any more, and wakes
// whoever waits at it.
func (c *conn) releaseLocked() {
	if c.host != nil {
		delete(c.host.conns, c)
	}
	c.in.outstanding -= len(c.in.unread)
	c.in.unread = nil
	c.read.stop()
	c.write.stop()
	c.in.wake.Broadcast()
	c.out.wake.Broadcast()
}

// LocalAddr implements net.Conn.
func (c *conn) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(c.local) }

// RemoteAddr implements net.Conn.
func (c *conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	return c.setDeadlines(t, true, true)
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error {
	return c.setDeadlines(t, true, false)
}

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error {
	return c.setDeadlines(t, false, true)
}

func (c *conn) setDeadlines(t time.Time, read, write bool) error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if c.closed {
		return c.opError("set", net.ErrClosed)
	}
	if read {
		c.read.set(t, c.in.wake)
	}
	if write {
		c.write.set(t, c.out.wake)
	}
	return nil
}

func (c *conn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

// A listener implements net.Listener.
type listener struct {
	host    *Host
	addr    netip.AddrPort
	closed  bool
	backlog []*conn
	wake    *sync.Cond
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	l.host.net.mu.Lock()
	defer l.host.net.mu.Unlock()
	for !l.closed && len(l.backlog) == 0 {
		l.wake.Wait()
	}
	if l.closed {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
	}
	c := l.backlog[0]
	l.backlog = l.backlog[1:]
	return c, nil
}

// Close implements net.Listener. The port can be used again at once.
func (l *listener) Close() error {
	l.host.net.mu.Lock()
	defer l.host.net.mu.Unlock()
	if l.closed {
		return &net.OpError{Op: "close", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
	}
	l.closeLocked()
	return nil
}

// closeLocked frees the port and resets who was not accepted.
func (l *listener) closeLocked() {
	l.closed = true
	delete(l.host.listeners, l.addr.Port())
	for _, c := range l.backlog {
		c.failLocked(net.ErrClosed)
		c.out.sendLocked(c.out.reset)
	}
	l.backlog = nil
	l.wake.Broadcast()
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.addr) }

// A deadline wakes those who wait when it has passed.
type deadline struct {
	at    time.Time // none if zero
	timer *time.Timer
}

func (d *deadline) passed() bool {
	return !d.at.IsZero() && !time.Now().Before(d.at)
}

func (d *deadline) set(at time.Time, wake *sync.Cond) {
	d.stop()
	d.at = at
	if wait := time.Until(at); !at.IsZero() && wait > 0 {
		d.timer = time.AfterFunc(wait, func() {
			wake.L.Lock()
			defer wake.L.Unlock()
			wake.Broadcast()
		})
	}
	wake.Broadcast()
}

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
	}
}
