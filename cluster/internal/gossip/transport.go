package gossip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/huddlecache/huddle/cluster/internal/socket"
)

const (
	packetBuffer = 64 << 10
	portTries    = 16                     // for one port that is free for streams and for packets
	errorPause   = 100 * time.Millisecond // after an error of a socket: too many open files, perhaps
)

var errShutdown = errors.New("gossip transport is shut down")

// A transport carries memberlist's packets and streams over a Network.
type transport struct {
	network   Network
	listener  net.Listener
	packets   net.PacketConn
	advertise netip.AddrPort
	packetCh  chan *memberlist.Packet
	streamCh  chan net.Conn
	done      chan struct{} // closed by Shutdown
	wg        sync.WaitGroup

	mu       sync.Mutex         // guards the rest
	open     map[*handle]func() // ends dials and streams that are open
	closed   bool
	lastSent time.Time // of a packet
}

// A handle stands for something that Shutdown must end.
type handle struct{ _ byte }

// listen opens a port for streams and packets; port 0 takes any that is free
// for both.
func listen(network Network, bind netip.Addr, port int) (*transport, error) {
	host := ""
	if bind.IsValid() {
		host = bind.String()
	}
	tries := 1
	if port == 0 {
		tries = portTries
	}
	var err error
	for range tries {
		var t *transport
		if t, err = listenOnce(network, host, port); err == nil {
			return t, nil
		}
	}
	return nil, err
}

func listenOnce(network Network, host string, port int) (*transport, error) {
	listener, err := network.Listen(net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("listening for gossip streams: %w", err)
	}
	at, err := addrPortOf(listener.Addr())
	if err != nil {
		listener.Close()
		return nil, fmt.Errorf("listening for gossip streams: %w", err)
	}
	packets, err := network.ListenPacket(net.JoinHostPort(host, strconv.Itoa(int(at.Port()))))
	if err != nil {
		listener.Close()
		return nil, fmt.Errorf("listening for gossip packets: %w", err)
	}
	return &transport{
		network:   network,
		listener:  listener,
		packets:   socket.PacketConn(packets),
		advertise: at,
		packetCh:  make(chan *memberlist.Packet),
		streamCh:  make(chan net.Conn),
		done:      make(chan struct{}),
		open:      make(map[*handle]func()),
	}, nil
}

// start begins to receive.
func (t *transport) start() {
	t.wg.Go(t.accept)
	t.wg.Go(t.receive)
}

// FinalAdvertiseAddr implements memberlist.Transport.
func (t *transport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return t.advertise.Addr().AsSlice(), int(t.advertise.Port()), nil
}

// WriteTo implements memberlist.Transport.
func (t *transport) WriteTo(b []byte, addr string) (time.Time, error) {
	return t.WriteToAddress(b, memberlist.Address{Addr: addr})
}

// WriteToAddress implements memberlist.NodeAwareTransport. Errors of the
// network are returned as they are: memberlist looks at their type to tell
// whether the other node failed.
func (t *transport) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	at, err := netip.ParseAddrPort(to.Addr)
	if err != nil {
		return time.Time{}, fmt.Errorf("sending a packet: %w", err)
	}
	now := time.Now()
	t.mu.Lock()
	closed := t.closed
	if !closed {
		t.lastSent = now
	}
	t.mu.Unlock()
	if closed {
		return time.Time{}, errShutdown
	}
	_, err = t.packets.WriteTo(b, net.UDPAddrFromAddrPort(at))
	return now, err
}

// PacketCh implements memberlist.Transport.
func (t *transport) PacketCh() <-chan *memberlist.Packet { return t.packetCh }

// StreamCh implements memberlist.Transport.
func (t *transport) StreamCh() <-chan net.Conn { return t.streamCh }

// DialTimeout implements memberlist.Transport.
func (t *transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// DialAddressTimeout implements memberlist.NodeAwareTransport.
func (t *transport) DialAddressTimeout(to memberlist.Address, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	dialling, err := t.track(cancel)
	if err != nil {
		return nil, err
	}
	defer t.release(dialling)
	c, err := t.network.Dial(ctx, to.Addr)
	if err != nil {
		return nil, err
	}
	return t.stream(c)
}

// Shutdown implements memberlist.Transport. It ends everything that is open,
// also what memberlist would leave open.
func (t *transport) Shutdown() error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil
	}
	t.closed = true
	open := t.open
	t.open = nil
	t.mu.Unlock()

	close(t.done)
	err := errors.Join(t.listener.Close(), t.packets.Close())
	for _, end := range open {
		end()
	}
	t.wg.Wait()
	return err
}

// lastPacket is when memberlist last sent one.
func (t *transport) lastPacket() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lastSent
}

// accept hands incoming streams to memberlist until the listener is closed.
func (t *transport) accept() {
	for {
		c, err := t.listener.Accept()
		if err == nil {
			t.handOver(c)
			continue
		}
		select {
		case <-t.done:
			return
		case <-time.After(errorPause):
		}
	}
}

func (t *transport) handOver(c net.Conn) {
	s, err := t.stream(c)
	if err != nil {
		return
	}
	select {
	case t.streamCh <- s:
	case <-t.done:
	}
}

// receive hands incoming packets to memberlist until the port is closed.
func (t *transport) receive() {
	buf := make([]byte, packetBuffer)
	for {
		count, from, err := t.packets.ReadFrom(buf)
		if err != nil {
			select {
			case <-t.done:
				return
			case <-time.After(errorPause):
				continue
			}
		}
		if count == 0 {
			continue
		}
		p := &memberlist.Packet{Buf: append([]byte(nil), buf[:count]...), From: from, Timestamp: time.Now()}
		select {
		case t.packetCh <- p:
		case <-t.done:
			return
		}
	}
}

// track notes what Shutdown must end.
func (t *transport) track(end func()) (*handle, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, errShutdown
	}
	h := new(handle)
	t.open[h] = end
	return h, nil
}

func (t *transport) release(h *handle) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, h)
}

// stream makes a connection end with Shutdown.
func (t *transport) stream(c net.Conn) (net.Conn, error) {
	h, err := t.track(func() { c.Close() })
	if err != nil {
		c.Close()
		return nil, err
	}
	return &stream{Conn: c, transport: t, handle: h}, nil
}

// A stream is a connection that its transport knows of.
type stream struct {
	net.Conn
	transport *transport
	handle    *handle
}

// Close implements net.Conn.
func (s *stream) Close() error {
	s.transport.release(s.handle)
	return s.Conn.Close()
}
