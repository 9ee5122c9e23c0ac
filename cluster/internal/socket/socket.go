// Package socket reads and writes sockets without announcing each system call
// to Go's scheduler.
//
// An announcement is for calls that may block, which those on a socket of Go's
// never do: where nothing can be read or written they say so, and the goroutine
// is parked, here as in package net. If all else sleeps, each announcement wakes
// the runtime's monitor thread and keeps it busy for a while. In a node that
// sends and gets a few dozen small messages a second, as an idle one does, that
// was a third of all that it computed.
package socket

import "net"

// Conn returns c, with cheaper reads and writes if it is a TCP connection and
// the platform allows it.
func Conn(c net.Conn) net.Conn {
	if t, isTCP := c.(*net.TCPConn); isTCP {
		return quickConn(t)
	}
	return c
}

// PacketConn returns c, with cheaper reads and writes if it is a UDP socket and
// the platform allows it.
func PacketConn(c net.PacketConn) net.PacketConn {
	if u, isUDP := c.(*net.UDPConn); isUDP {
		return quickPacketConn(u)
	}
	return c
}
