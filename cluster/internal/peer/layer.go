package peer

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/hashicorp/raft"
)

// A Layer carries the Raft traffic of one cluster: it is a
// [raft.StreamLayer] whose addresses are server IDs. Raft's configuration
// thus never holds an address that could belong to another node one day.
type Layer struct {
	self     *identity
	cluster  string
	accepted chan net.Conn
	done     chan struct{} // closed by Close, under identity.mu
}

var _ raft.StreamLayer = (*Layer)(nil)

// RaftLayer returns a layer for the cluster with that ID, under the node's
// present identity. There is one at a time: a former one is closed.
func (p *Peer) RaftLayer(cluster string) *Layer {
	s := p.self.Load()
	l := &Layer{self: s, cluster: cluster, accepted: make(chan net.Conn), done: make(chan struct{})}
	s.mu.Lock()
	former := s.layer
	closed := s.closed
	if !closed {
		s.layer = l
	}
	s.mu.Unlock()
	if former != nil {
		former.Close()
	}
	if closed {
		l.Close()
	}
	return l
}

// hostRaft returns how a Raft connection of the node from is served.
func (s *identity) hostRaft(from, cluster string) (func(*conn), error) {
	if ask := s.p.cfg.AcceptRaft; ask != nil {
		if err := ask(from, cluster); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	l := s.layer
	s.mu.Unlock()
	if l == nil || l.cluster != cluster {
		return nil, fmt.Errorf("this node is not part of cluster %q", cluster)
	}
	return l.offer, nil
}

// offer waits until Raft takes a connection.
func (l *Layer) offer(c *conn) {
	if l.self.keep(c.raw, l) != nil {
		return
	}
	tooLong := time.NewTimer(l.self.p.cfg.Handshake)
	defer tooLong.Stop()
	select {
	case l.accepted <- c:
	case <-l.done:
		c.Close()
	case <-tooLong.C:
		c.Close()
	}
}

// Accept returns the next connection of another node.
func (l *Layer) Accept() (net.Conn, error) {
	select {
	case <-l.done:
		return nil, net.ErrClosed
	default:
	}
	select {
	case c := <-l.accepted:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Dial connects to the node whose server ID is address.
func (l *Layer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	id := string(address)
	addr, err := l.self.p.cfg.Address(id)
	if err != nil {
		return nil, fmt.Errorf("looking up the address of %s: %w", id, err)
	}
	if timeout <= 0 {
		timeout = l.self.p.cfg.Dial
	}
	ctx, cancel := context.WithTimeout(l.self.ctx, timeout)
	defer cancel()
	c, err := l.self.dial(ctx, addr, id, protocolRaft, l.cluster)
	if err == nil {
		err = l.self.keep(c.raw, l)
	}
	if err != nil {
		return nil, fmt.Errorf("connecting to %s at %s: %w", id, addr, err)
	}
	return c, nil
}

// Close ends Accept and closes every connection of the layer, dialled or
// accepted.
func (l *Layer) Close() error {
	s := l.self
	s.mu.Lock()
	select {
	case <-l.done:
	default:
		close(l.done)
	}
	if s.layer == l {
		s.layer = nil
	}
	var conns []net.Conn
	for raw, layer := range s.conns {
		if layer == l {
			conns = append(conns, raw)
		}
	}
	s.mu.Unlock()
	for _, raw := range conns {
		s.forget(raw)
		raw.Close()
	}
	return nil
}

// Addr returns the node's server ID, which is its address to Raft.
func (l *Layer) Addr() net.Addr { return raftAddr(l.self.id) }

// raftAddr is a server ID as an address.
type raftAddr string

func (raftAddr) Network() string  { return "huddle" }
func (a raftAddr) String() string { return string(a) }
