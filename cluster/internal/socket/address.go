package socket

import (
	"encoding/binary"
	"net/netip"
)

// Linux' numbers of address families.
const (
	family4 = 2
	family6 = 10
)

// An address is the kernel's form of an IP address and a port, or nothing.
// Ports are big-endian; family, flow and zone are in the machine's byte order.
//
//	IPv4  family uint16, port uint16, address 4 bytes, 8 zeros
//	IPv6  family uint16, port uint16, flow uint32, address 16 bytes, zone uint32
type address struct {
	bytes [28]byte
	size  uint32 // bytes used
}

// addressOf returns the kernel's form for a socket of IPv6 or one of IPv4. It
// reports false where that would take more than to write it down: for an
// address with a zone, or of the other family.
func addressOf(at netip.AddrPort, is6 bool) (a address, ok bool) {
	ip := at.Addr()
	if !ip.IsValid() || ip.Zone() != "" || !is6 && !ip.Unmap().Is4() {
		return a, false
	}
	binary.BigEndian.PutUint16(a.bytes[2:], at.Port())
	if is6 {
		binary.NativeEndian.PutUint16(a.bytes[:], family6)
		b := ip.As16()
		copy(a.bytes[8:], b[:])
		a.size = 28
		return a, true
	}
	binary.NativeEndian.PutUint16(a.bytes[:], family4)
	b := ip.Unmap().As4()
	copy(a.bytes[4:], b[:])
	a.size = 16
	return a, true
}

// addrPort returns the address, without its zone, or none if it is neither of
// IPv4 nor of IPv6.
func (a *address) addrPort() netip.AddrPort {
	port := binary.BigEndian.Uint16(a.bytes[2:])
	switch binary.NativeEndian.Uint16(a.bytes[:]) {
	case family4:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(a.bytes[4:8])), port)
	case family6:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(a.bytes[8:24])).Unmap(), port)
	}
	return netip.AddrPort{}
}
