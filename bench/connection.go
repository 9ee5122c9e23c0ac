//go:build linux

package main

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"

	"github.com/huddlecache/huddle/internal/respclient"
)

// connection makes an operation, or several in a pipeline, and begins anew when
// it has all replies.
type connection struct {
	fd      int
	steps   []step // of its operation; names are written into them before they are sent
	at      int    // the step that was sent last
	begun   time.Time
	unsent  []byte // what the socket did not take yet
	waiting int    // replies that are still to come
	in      replies
}

// dial opens a connection, which is not nil if it must be closed. If isLocal, it
// reads the local replica.
func dial(target netip.AddrPort, isLocal bool) (*connection, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening a socket: %w", err)
	}
	c := &connection{fd: fd}
	if err := syscall.Connect(fd, &syscall.SockaddrInet4{Addr: target.Addr().As4(), Port: int(target.Port())}); err != nil {
		return c, fmt.Errorf("connecting to %v: %w", target, err)
	}
	if isLocal {
		if err := c.readLocal(); err != nil {
			return c, err
		}
	}
	if err := errors.Join(
		syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1),
		syscall.SetNonblock(fd, true),
	); err != nil {
		return c, fmt.Errorf("preparing a connection: %w", err)
	}
	return c, nil
}

// readLocal has the connection, which still blocks, answered by the local
// replica.
func (c *connection) readLocal() error {
	c.unsent = respclient.AppendCommand(nil, "CLIENT", "READS", "LOCAL")
	if err := c.flush(); err != nil {
		return err
	}
	timeout := syscall.NsecToTimeval(int64(grace))
	if err := syscall.SetsockoptTimeval(c.fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &timeout); err != nil {
		return fmt.Errorf("preparing a connection: %w", err)
	}
	var reply [64]byte
	n, err := syscall.Read(c.fd, reply[:])
	if err != nil {
		return fmt.Errorf("receiving: %w", err)
	}
	if got := string(reply[:n]); got != "+OK\r\n" {
		return fmt.Errorf("CLIENT READS LOCAL was answered with %q", got)
	}
	return nil
}

// send sends the step that is due, with a lease where it has one.
func (c *connection) send(lease string) error {
	s := &c.steps[c.at]
	c.unsent, c.waiting, c.in.want, c.in.parts = s.with(lease), len(s.slots), s.reply, s.parts
	return c.flush()
}

// follow sends the next command of an operation, with the lease that the last
// one gave if it takes one.
func (c *connection) follow() error {
	c.at++
	if c.steps[c.at].lease == 0 {
		return c.send("")
	}
	lease, err := leaseOf(c.in.head)
	if err != nil {
		return err
	}
	return c.send(lease)
}

// flush sends what the socket takes.
func (c *connection) flush() error {
	for len(c.unsent) > 0 {
		n, err := syscall.Write(c.fd, c.unsent)
		switch {
		case errors.Is(err, syscall.EAGAIN):
			return nil
		case errors.Is(err, syscall.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("sending: %w", err)
		}
		c.unsent = c.unsent[n:]
	}
	return nil
}
