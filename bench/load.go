//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"syscall"
	"time"
)

// workload is one kind of load.
type workload struct {
	op    string // SET, INCR or GET
	conns int    // connections, dealt to the targets in turn
	depth int    // commands sent at once, before their replies are awaited
	value int    // bytes that SET writes
	keys  int    // how many keys there are, drawn evenly
}

// measure is what one run of a workload gave.
type measure struct {
	span      time.Duration
	latency   histogram // of the commands that were answered without an error
	all       uint64    // replies of any kind, those of the warm-up included
	errors    uint64    // error replies
	lastError string
}

// generator drives all connections from one thread with epoll: it shares the
// machine with the servers, and a goroutine for each connection would take
// several times the processor time.
type generator struct {
	epoll   int
	conns   []*connection
	random  *rand.Rand
	keys    int
	started time.Time
	until   time.Time
	result  *measure
	scratch []byte
}

// connection sends depth commands, reads all replies, and begins anew.
type connection struct {
	fd      int
	request []byte // depth commands; keys are written into it before it is sent
	slots   []int  // where in request the keys' digits begin
	unsent  []byte // rest of request that the socket did not take
	sent    time.Time
	waiting int // replies that are still to come
	in      replies
}

// keyDigits is the length of a key's number, so that all requests are equal
// in length.
const keyDigits = 9

// run drives the targets for warm-up and then span, and returns what happened
// in the span.
func (w workload) run(targets []netip.AddrPort, warmUp, span time.Duration) (*measure, error) {
	g := &generator{
		random:  rand.New(rand.NewPCG(1, 2)),
		keys:    w.keys,
		result:  &measure{span: span},
		scratch: make([]byte, 256<<10),
	}
	var err error
	if g.epoll, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("creating epoll: %w", err)
	}
	defer g.close()
	for i := range w.conns {
		if err := g.connect(targets[i%len(targets)], w); err != nil {
			return nil, err
		}
	}
	g.started = time.Now().Add(warmUp)
	g.until = g.started.Add(span)
	return g.result, g.loop()
}

func (g *generator) close() {
	for _, c := range g.conns {
		syscall.Close(c.fd)
	}
	syscall.Close(g.epoll)
}

// connect opens a connection and prepares what it will send.
func (g *generator) connect(target netip.AddrPort, w workload) error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening a socket: %w", err)
	}
	c := &connection{fd: fd}
	g.conns = append(g.conns, c)
	if err := syscall.Connect(fd, &syscall.SockaddrInet4{Addr: target.Addr().As4(), Port: int(target.Port())}); err != nil {
		return fmt.Errorf("connecting to %v: %w", target, err)
	}
	if err := errors.Join(
		syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1),
		syscall.SetNonblock(fd, true),
		syscall.EpollCtl(g.epoll, syscall.EPOLL_CTL_ADD, fd, &syscall.EpollEvent{
			Events: syscall.EPOLLIN | syscall.EPOLLOUT | syscall.EPOLLRDHUP | edgeTriggered,
			Fd:     int32(len(g.conns) - 1),
		}),
	); err != nil {
		return fmt.Errorf("preparing a connection: %w", err)
	}
	for range w.depth {
		c.request = append(c.request, w.command()...)
		c.slots = append(c.slots, len(c.request)-w.tail()-keyDigits)
	}
	return nil
}

// edgeTriggered is EPOLLET, which package syscall has with a sign.
const edgeTriggered = 1 << 31

// command returns one command with zeros for the key's number.
func (w workload) command() []byte {
	key := "key:" + string(bytes.Repeat([]byte{'0'}, keyDigits))
	args := []string{w.op, key}
	switch w.op {
	case "INCR":
		args[1] = "ctr:" + key[4:]
	case "SET":
		args = append(args, string(bytes.Repeat([]byte{'x'}, w.value)))
	}
	b := fmt.Appendf(nil, "*%d\r\n", len(args))
	for _, arg := range args {
		b = fmt.Appendf(b, "$%d\r\n%s\r\n", len(arg), arg)
	}
	return b
}

// tail is how many bytes follow the key in a command.
func (w workload) tail() int {
	if w.op != "SET" {
		return len("\r\n")
	}
	return len("\r\n$\r\n\r\n") + len(strconv.Itoa(w.value)) + w.value
}

// loop serves the connections until the time is up.
func (g *generator) loop() error {
	for _, c := range g.conns {
		if err := g.begin(c, time.Now()); err != nil {
			return err
		}
	}
	events := make([]syscall.EpollEvent, 256)
	for {
		n, err := syscall.EpollWait(g.epoll, events, 10)
		if err != nil && !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("waiting for replies: %w", err)
		}
		now := time.Now()
		if now.After(g.until) {
			return nil
		}
		for _, event := range events[:max(n, 0)] {
			if err := g.serve(g.conns[event.Fd]); err != nil {
				return err
			}
		}
	}
}

// begin sends the next commands with newly drawn keys.
func (g *generator) begin(c *connection, now time.Time) error {
	for _, at := range c.slots {
		n := g.random.IntN(g.keys)
		for i := at + keyDigits - 1; i >= at; i-- {
			c.request[i] = byte('0' + n%10)
			n /= 10
		}
	}
	c.sent, c.waiting, c.unsent = now, len(c.slots), c.request
	return c.flush()
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

// serve takes what has come for a connection. A read that does not fill the
// buffer has emptied the socket, and another event will come.
func (g *generator) serve(c *connection) error {
	if err := c.flush(); err != nil {
		return err
	}
	for {
		n, err := syscall.Read(c.fd, g.scratch)
		switch {
		case errors.Is(err, syscall.EAGAIN):
			return nil
		case errors.Is(err, syscall.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("receiving: %w", err)
		case n == 0:
			return errors.New("a server closed a connection")
		}
		answered, refused, err := c.in.take(g.scratch[:n])
		if err != nil {
			return err
		}
		now := time.Now()
		g.result.all += uint64(answered + refused)
		if now.After(g.started) {
			if answered > 0 {
				g.result.latency.add(now.Sub(c.sent), uint64(answered))
			}
			if refused > 0 {
				g.result.errors += uint64(refused)
				g.result.lastError = c.in.lastError
			}
		}
		if c.waiting -= answered + refused; c.waiting == 0 {
			if err := g.begin(c, now); err != nil {
				return err
			}
		}
		if n < len(g.scratch) {
			return nil
		}
	}
}
