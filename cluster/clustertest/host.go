package clustertest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
)

const (
	firstEphemeral = 32768
	lastEphemeral  = 60999
)

// A Host is the network as one machine sees it. It satisfies cluster.Network.
// Whoever is dialled from it sees its address.
type Host struct {
	net       *Network
	addr      netip.Addr
	nextPort  uint16 // where the search for a free port goes on
	paused    bool
	killed    bool
	wake      *sync.Cond // signalled when paused or killed changes
	listeners map[uint16]*listener
	packets   map[uint16]*packetConn
	conns     map[*conn]struct{} // open ones of this end
}

// Addr is the host's address.
func (h *Host) Addr() netip.Addr { return h.addr }

// LocalAddr is the address that others see when the host speaks to them.
func (h *Host) LocalAddr(netip.Addr) (netip.Addr, error) { return h.addr, nil }

// Listen accepts streams at "ip:port", where ip is the host's own address, an
// unspecified one or missing, and port 0 takes a free one.
func (h *Host) Listen(addr string) (net.Listener, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	at, err := h.bindLocked(addr, func(port uint16) bool { return h.listeners[port] != nil })
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Err: err}
	}
	l := &listener{host: h, addr: at, wake: sync.NewCond(&h.net.mu)}
	h.listeners[at.Port()] = l
	return l, nil
}

// ListenPacket receives packets at an address as Listen takes it. The
// connection's WriteTo takes *net.UDPAddr, and any net.Addr that is written
// "ip:port".
func (h *Host) ListenPacket(addr string) (net.PacketConn, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	at, err := h.bindLocked(addr, func(port uint16) bool { return h.packets[port] != nil })
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "udp", Err: err}
	}
	c := &packetConn{host: h, addr: at, wake: sync.NewCond(&h.net.mu)}
	h.packets[at.Port()] = c
	return c, nil
}

// Dial connects to "ip:port". Where nobody listens, or no host runs, it is
// refused at once; across a cut, or to a paused host, it hangs until that
// changes or the context ends, two minutes at most.
func (h *Host) Dial(ctx context.Context, addr string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
	}
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	c, err := h.dialLocked(ctx, to)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: err}
	}
	return c, nil
}

// bindLocked checks an address to listen on, and finds a free port for port 0.
func (h *Host) bindLocked(addr string, taken func(uint16) bool) (netip.AddrPort, error) {
	if strings.HasPrefix(addr, ":") {
		addr = "0.0.0.0" + addr
	}
	at, err := netip.ParseAddrPort(addr)
	switch {
	case err != nil:
		return at, err
	case h.killed:
		return at, errKilled
	case at.Addr() != h.addr && !at.Addr().IsUnspecified():
		return at, fmt.Errorf("%v on host %v: %w", at, h.addr, syscall.EADDRNOTAVAIL)
	case at.Port() == 0:
		port, err := h.freePortLocked(taken)
		return netip.AddrPortFrom(h.addr, port), err
	case taken(at.Port()):
		return at, fmt.Errorf("%v on host %v: %w", at, h.addr, syscall.EADDRINUSE)
	}
	return netip.AddrPortFrom(h.addr, at.Port()), nil
}

func (h *Host) freePortLocked(taken func(uint16) bool) (uint16, error) {
	for range lastEphemeral - firstEphemeral + 1 {
		port := h.nextPort
		if h.nextPort++; h.nextPort > lastEphemeral {
			h.nextPort = firstEphemeral
		}
		if !taken(port) {
			return port, nil
		}
	}
	return 0, syscall.EADDRINUSE
}

// killLocked fails everything that is open on the host. Of what it sent, what
// was not delivered is lost, and a reset follows it.
func (h *Host) killLocked() {
	h.killed = true
	h.paused = false
	h.wake.Broadcast()
	sent := make(map[*flow]struct{})
	for f := range h.net.flows {
		if f.owner == h {
			sent[f] = struct{}{}
		}
	}
	for c := range h.conns {
		sent[c.out.flow] = struct{}{}
		c.failLocked(errKilled)
	}
	for _, l := range h.listeners {
		l.closeLocked()
	}
	for _, c := range h.packets {
		c.closeLocked()
	}
	for _, f := range inOrder(sent) {
		f.dropLocked()
		f.sendLocked(f.reset)
	}
}

// errKilled is what code gets that goes on using a host that was killed.
var errKilled = errors.New("host was killed")
