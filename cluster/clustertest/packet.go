package clustertest

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	maxPacket = 65507 // longest payload of UDP over IPv4
	maxQueued = 1024  // packets that wait at one receiver, more are lost
	maxParked = 65536 // packets that wait for paused hosts, more are lost
	reorderBy = 20 * time.Millisecond
)

// A packet is under way.
type packet struct {
	sender   *Host
	from, to netip.AddrPort
	data     []byte
}

// sendLocked sends a packet into the faults of its direction.
func (p *packet) sendLocked() {
	n, way := p.sender.net, p.way()
	link := n.linkLocked(way)
	if link.cut || n.chanceLocked(link.packets.Loss) {
		return
	}
	copies := 1
	if n.chanceLocked(link.packets.Duplicate) {
		copies = 2
	}
	for range copies {
		wait := n.delayLocked(way)
		if n.chanceLocked(link.packets.Reorder) {
			wait += time.Duration(n.random.Int64N(int64(reorderBy)) + 1)
		}
		if wait == 0 {
			p.arriveLocked()
			continue
		}
		time.AfterFunc(wait, func() {
			n.mu.Lock()
			defer n.mu.Unlock()
			p.arriveLocked()
		})
	}
}

// arriveLocked delivers a packet, parks it while an end is paused, or loses it
// where the way was cut, the sender killed or nobody listens.
func (p *packet) arriveLocked() {
	n := p.sender.net
	switch {
	case p.sender.killed || n.linkLocked(p.way()).cut:
	case n.pausedLocked(p.way()):
		if len(n.parked) < maxParked {
			n.parked = append(n.parked, p)
		}
	default:
		h := n.hosts[p.to.Addr()]
		if h == nil {
			return
		}
		if c := h.packets[p.to.Port()]; c != nil && len(c.queue) < maxQueued {
			c.queue = append(c.queue, p)
			c.wake.Broadcast()
		}
	}
}

func (p *packet) way() direction { return direction{p.from.Addr(), p.to.Addr()} }

// A packetConn implements net.PacketConn.
type packetConn struct {
	host   *Host
	addr   netip.AddrPort
	closed bool
	queue  []*packet
	wake   *sync.Cond
	read   deadline
}

// ReadFrom implements net.PacketConn. What does not fit into b is lost.
func (c *packetConn) ReadFrom(b []byte) (int, net.Addr, error) {
	c.host.net.mu.Lock()
	defer c.host.net.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, nil, c.opError("read", net.ErrClosed)
		case c.read.passed():
			return 0, nil, c.opError("read", os.ErrDeadlineExceeded)
		case len(c.queue) > 0:
			p := c.queue[0]
			c.queue = c.queue[1:]
			return copy(b, p.data), net.UDPAddrFromAddrPort(p.from), nil
		}
		c.wake.Wait()
	}
}

// WriteTo implements net.PacketConn.
func (c *packetConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	to, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return 0, c.opError("write", err)
	}
	c.host.net.mu.Lock()
	defer c.host.net.mu.Unlock()
	switch {
	case c.closed:
		return 0, c.opError("write", net.ErrClosed)
	case len(b) > maxPacket:
		return 0, c.opError("write", syscall.EMSGSIZE)
	}
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	p := &packet{sender: c.host, from: c.addr, to: to, data: append([]byte(nil), b...)}
	p.sendLocked()
	return len(b), nil
}

// Close implements net.PacketConn. The port can be used again at once.
func (c *packetConn) Close() error {
	c.host.net.mu.Lock()
	defer c.host.net.mu.Unlock()
	if c.closed {
		return c.opError("close", net.ErrClosed)
	}
	c.closeLocked()
	return nil
}

func (c *packetConn) closeLocked() {
	c.closed = true
	c.queue = nil
	c.read.stop()
	delete(c.host.packets, c.addr.Port())
	c.wake.Broadcast()
}

// LocalAddr implements net.PacketConn.
func (c *packetConn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(c.addr) }

// SetDeadline implements net.PacketConn. Writes never wait.
func (c *packetConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetReadDeadline implements net.PacketConn.
func (c *packetConn) SetReadDeadline(t time.Time) error {
	c.host.net.mu.Lock()
	defer c.host.net.mu.Unlock()
	if c.closed {
		return c.opError("set", net.ErrClosed)
	}
	c.read.set(t, c.wake)
	return nil
}

// SetWriteDeadline implements net.PacketConn. Writes never wait.
func (c *packetConn) SetWriteDeadline(time.Time) error { return nil }

func (c *packetConn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "udp", Source: c.LocalAddr(), Err: err}
}
