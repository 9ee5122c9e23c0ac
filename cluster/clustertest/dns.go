package clustertest

import (
	"context"
	"net"
	"net/netip"
	"slices"
)

// A view is what one host is told of names.
type view struct {
	names map[string][]netip.Addr // instead of the network's
	err   error                   // if set, every answer
}

// SetDNS says what a name resolves to, from now on. Without addresses there is
// no such name.
func (n *Network) SetDNS(name string, addrs ...string) {
	ips := parseAddrs(addrs)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.names[name] = ips
}

// SetDNSFor says what one host is told of a name, instead of what the others
// are told.
func (n *Network) SetDNSFor(host, name string, addrs ...string) {
	ips := parseAddrs(addrs)
	n.mu.Lock()
	defer n.mu.Unlock()
	v := n.viewLocked(host)
	v.names[name] = ips
}

// ClearDNSFor ends what SetDNSFor and FailDNS have done to a host.
func (n *Network) ClearDNSFor(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.views, netip.MustParseAddr(host))
}

// FailDNS makes every look-up of a host fail, until err is nil.
func (n *Network) FailDNS(host string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.viewLocked(host).err = err
}

func (n *Network) viewLocked(host string) *view {
	ip := netip.MustParseAddr(host)
	if n.views[ip] == nil {
		n.views[ip] = &view{names: make(map[string][]netip.Addr)}
	}
	return n.views[ip]
}

// LookupHost answers what SetDNS and SetDNSFor have said; an address is its
// own answer. While the host is paused it waits.
func (h *Host) LookupHost(ctx context.Context, name string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(name); err == nil {
		return []netip.Addr{ip}, nil
	}
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	stop := context.AfterFunc(ctx, h.net.broadcast(h.wake))
	defer stop()
	for h.paused && !h.killed && ctx.Err() == nil {
		h.wake.Wait()
	}
	switch {
	case h.killed:
		return nil, &net.DNSError{Err: errKilled.Error(), Name: name, UnwrapErr: errKilled}
	case ctx.Err() != nil:
		return nil, &net.DNSError{Err: ctx.Err().Error(), Name: name, UnwrapErr: ctx.Err(), IsTimeout: true}
	}
	addrs := h.net.names[name]
	if v := h.net.views[h.addr]; v != nil {
		if v.err != nil {
			return nil, &net.DNSError{Err: v.err.Error(), Name: name, UnwrapErr: v.err, IsTemporary: true}
		}
		if own, found := v.names[name]; found {
			addrs = own
		}
	}
	if len(addrs) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return slices.Clone(addrs), nil
}

func parseAddrs(addrs []string) []netip.Addr {
	ips := make([]netip.Addr, 0, len(addrs))
	for _, a := range addrs {
		ips = append(ips, netip.MustParseAddr(a))
	}
	return ips
}
