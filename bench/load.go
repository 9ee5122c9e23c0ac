//go:build linux

package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"syscall"
	"time"
)

// grace is how long the operations that a run has begun may still take.
const grace = 10 * time.Second

// workload is one kind of load.
type workload struct {
	op    *operation
	conns int // connections, dealt to the targets in turn
	depth int // commands sent at once, before their replies are awaited
	value int // bytes that are written
	keys  int // how many names there are, drawn evenly
}

// measure is what one run of a workload gave.
type measure struct {
	latency   histogram     // of the operations that succeeded in the span
	all       uint64        // operations of any outcome, those before and behind the span included
	errors    uint64        // operations in the span that did not succeed
	lastError string        // why one of them did not
	own       time.Duration // processor time of the load generator
}

// generator drives all connections from one thread with epoll: it shares the
// machine with the servers, and a goroutine for each connection would take
// several times the processor time.
type generator struct {
	workload workload
	epoll    int
	conns    []*connection
	busy     int // connections that are not done
	random   *rand.Rand
	started  time.Time
	until    time.Time
	result   *measure
	scratch  []byte
}

// run drives the targets for warm-up and then span, and returns what happened
// in the span. What has begun then is waited for, and not counted: a lock would
// stay locked.
func (w workload) run(targets []netip.AddrPort, warmUp, span time.Duration) (*measure, error) {
	before := ownCPU()
	g := &generator{
		workload: w,
		random:   rand.New(rand.NewPCG(1, 2)),
		result:   new(measure),
		scratch:  make([]byte, 256<<10),
	}
	var err error
	if g.epoll, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("creating epoll: %w", err)
	}
	defer g.close()
	for i := range w.conns {
		if err := g.connect(targets[i%len(targets)]); err != nil {
			return nil, err
		}
	}
	g.started = time.Now().Add(warmUp)
	g.until = g.started.Add(span)
	err = g.loop()
	g.result.own = ownCPU() - before
	return g.result, err
}

func (g *generator) close() {
	for _, c := range g.conns {
		syscall.Close(c.fd)
	}
	syscall.Close(g.epoll)
}

// connect opens a connection and prepares what it will send.
func (g *generator) connect(target netip.AddrPort) error {
	w, number := g.workload, len(g.conns)
	c, err := dial(target, w.op.isLocal)
	if c != nil {
		g.conns = append(g.conns, c)
	}
	if err != nil {
		return err
	}
	c.steps = stepsOf(w.op, w.value, w.depth)
	if w.op.perName > 0 {
		for _, s := range c.steps {
			s.name(s.slots[0], number/w.op.perName)
		}
	}
	if err := syscall.EpollCtl(g.epoll, syscall.EPOLL_CTL_ADD, c.fd, &syscall.EpollEvent{
		Events: syscall.EPOLLIN | syscall.EPOLLOUT | syscall.EPOLLRDHUP | edgeTriggered,
		Fd:     int32(number),
	}); err != nil {
		return fmt.Errorf("preparing a connection: %w", err)
	}
	return nil
}

// edgeTriggered is EPOLLET, which package syscall has with a sign.
const edgeTriggered = 1 << 31

// loop serves the connections until all are done.
func (g *generator) loop() error {
	g.busy = len(g.conns)
	for _, c := range g.conns {
		if err := g.begin(c, time.Now()); err != nil {
			return err
		}
	}
	events := make([]syscall.EpollEvent, 256)
	for g.busy > 0 {
		n, err := syscall.EpollWait(g.epoll, events, 10)
		if err != nil && !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("waiting for replies: %w", err)
		}
		for _, event := range events[:max(n, 0)] {
			if err := g.serve(g.conns[event.Fd]); err != nil {
				return err
			}
		}
		if time.Since(g.until) > grace {
			return fmt.Errorf("%d connections had no answer for %v", g.busy, grace)
		}
	}
	return nil
}

// begin starts an operation, or several in a pipeline, with newly drawn names.
func (g *generator) begin(c *connection, now time.Time) error {
	c.at, c.begun = 0, now
	if g.workload.op.perName == 0 {
		for _, slots := range c.steps[0].slots {
			c.steps[0].name(slots, g.random.IntN(g.workload.keys))
		}
	}
	return c.send("")
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
		if err := g.goOn(c, answered, refused); err != nil {
			return err
		}
		if n < len(g.scratch) {
			return nil
		}
	}
}

// goOn counts replies, and sends what comes next when none is missing: an
// operation that was refused is over.
func (g *generator) goOn(c *connection, answered, refused int) error {
	now, isLast := time.Now(), c.at == len(c.steps)-1
	c.waiting -= answered + refused
	if !isLast {
		answered = 0 // of the operation's commands, not all
	}
	g.result.all += uint64(answered + refused)
	if now.After(g.started) && !now.After(g.until) {
		if answered > 0 {
			g.result.latency.add(now.Sub(c.begun), uint64(answered))
		}
		if refused > 0 {
			g.result.errors += uint64(refused)
			g.result.lastError = c.in.lastError
		}
	}
	switch {
	case c.waiting > 0:
		return nil
	case !isLast && refused == 0:
		return c.follow()
	case now.After(g.until):
		g.busy--
		return nil
	}
	return g.begin(c, now)
}
