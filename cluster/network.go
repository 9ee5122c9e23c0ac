package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// HostNetwork is the machine's own network. Names are resolved as the machine
// does it, or, where dns ("host:port") is given, by asking that server. Other
// nodes are called from the source address, unless it is zero or unspecified:
// a firewall then knows a node by one address.
func HostNetwork(dns string, source netip.Addr) Network {
	h := &hostNetwork{resolver: net.DefaultResolver}
	if source.IsValid() && !source.IsUnspecified() {
		h.calls.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0))
	}
	if dns != "" {
		h.resolver = &net.Resolver{
			PreferGo: true,
			Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return h.dialer.DialContext(ctx, network, dns)
			},
		}
	}
	return h
}

// hostNetwork implements Network with the sockets of the machine.
type hostNetwork struct {
	resolver *net.Resolver
	dialer   net.Dialer // for DNS and routes
	calls    net.Dialer // for other nodes
	listener net.ListenConfig
}

// Listen implements Network.
func (h *hostNetwork) Listen(addr string) (net.Listener, error) {
	return h.listener.Listen(context.Background(), "tcp", addr)
}

// ListenPacket implements Network.
func (h *hostNetwork) ListenPacket(addr string) (net.PacketConn, error) {
	return h.listener.ListenPacket(context.Background(), "udp", addr)
}

// Dial implements Network.
func (h *hostNetwork) Dial(ctx context.Context, addr string) (net.Conn, error) {
	return h.calls.DialContext(ctx, "tcp", addr)
}

// LookupHost implements Network: A and AAAA records, hosts files included.
func (h *hostNetwork) LookupHost(ctx context.Context, name string) ([]netip.Addr, error) {
	addrs, err := h.resolver.LookupNetIP(ctx, "ip", name)
	for i, a := range addrs {
		addrs[i] = a.Unmap()
	}
	return addrs, err
}

// LocalAddr returns the address that this machine uses towards another one.
// Without a target, or with none that can be routed to, it is the first
// address of an interface that is up and no loopback.
func (h *hostNetwork) LocalAddr(target netip.Addr) (netip.Addr, error) {
	if target.IsValid() {
		if addr, err := h.routeTo(target); err == nil {
			return addr, nil
		}
	}
	return interfaceAddr()
}

// routeTo lets the kernel choose an address; connecting a UDP socket sends
// nothing.
func (h *hostNetwork) routeTo(target netip.Addr) (netip.Addr, error) {
	const discard = 9
	c, err := h.dialer.DialContext(context.Background(), "udp", netip.AddrPortFrom(target, discard).String())
	if err != nil {
		return netip.Addr{}, err
	}
	defer c.Close()
	local, err := netip.ParseAddrPort(c.LocalAddr().String())
	return local.Addr().Unmap().WithZone(""), err
}

func interfaceAddr() (netip.Addr, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return netip.Addr{}, fmt.Errorf("listing network interfaces: %w", err)
	}
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			return netip.Addr{}, fmt.Errorf("listing addresses of %s: %w", i.Name, err)
		}
		for _, a := range addrs {
			prefix, err := netip.ParsePrefix(a.String())
			if err == nil && prefix.Addr().IsGlobalUnicast() {
				return prefix.Addr().Unmap(), nil
			}
		}
	}
	return netip.Addr{}, errors.New("no network interface has an address that others could reach")
}
