//go:build !linux || !(amd64 || arm64)

package socket

import "net"

func quickConn(c *net.TCPConn) net.Conn { return c }

func quickPacketConn(c *net.UDPConn) net.PacketConn { return c }
