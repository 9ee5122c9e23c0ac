package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"

	"github.com/huddlecache/huddle/cluster"
)

// A devNetwork is the machine's network with the ports of one node already
// open: each node must know the others' ports before any of them runs, and a
// port that is only looked up can be taken before it is used.
type devNetwork struct {
	cluster.Network
	gossipPort, peerPort int

	mu      sync.Mutex // guards what follows
	streams map[string]net.Listener
	packets map[string]net.PacketConn
}

// reserveTries is how often a TCP port is taken whose UDP twin is not free.
const reserveTries = 20

// reserve opens free ports for gossip, TCP and UDP, and for peers.
func reserve(ctx context.Context) (*devNetwork, error) {
	n := &devNetwork{
		Network: cluster.HostNetwork("", netip.Addr{}),
		streams: map[string]net.Listener{},
		packets: map[string]net.PacketConn{},
	}
	var lc net.ListenConfig
	var errs []error
	for range reserveTries {
		gossip, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("looking for free ports: %w", err)
		}
		packets, err := lc.ListenPacket(ctx, "udp", gossip.Addr().String())
		if err != nil {
			errs = append(errs, err, gossip.Close())
			continue
		}
		n.streams[gossip.Addr().String()], n.packets[gossip.Addr().String()] = gossip, packets
		n.gossipPort = portOf(gossip)
		peer, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			n.release()
			return nil, fmt.Errorf("looking for free ports: %w", err)
		}
		n.streams[peer.Addr().String()], n.peerPort = peer, portOf(peer)
		return n, nil
	}
	return nil, fmt.Errorf("looking for free ports: %w", errors.Join(errs...))
}

func portOf(ln net.Listener) int {
	addr, _ := ln.Addr().(*net.TCPAddr)
	return addr.Port
}

func (n *devNetwork) gossipAddr() string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(n.gossipPort))
}

// Listen implements cluster.Network.
func (n *devNetwork) Listen(addr string) (net.Listener, error) {
	n.mu.Lock()
	ln, found := n.streams[addr]
	delete(n.streams, addr)
	n.mu.Unlock()
	if found {
		return ln, nil
	}
	return n.Network.Listen(addr)
}

// ListenPacket implements cluster.Network.
func (n *devNetwork) ListenPacket(addr string) (net.PacketConn, error) {
	n.mu.Lock()
	conn, found := n.packets[addr]
	delete(n.packets, addr)
	n.mu.Unlock()
	if found {
		return conn, nil
	}
	return n.Network.ListenPacket(addr)
}

// release closes what no node has asked for.
func (n *devNetwork) release() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, ln := range n.streams {
		_ = ln.Close()
	}
	for _, conn := range n.packets {
		_ = conn.Close()
	}
	clear(n.streams)
	clear(n.packets)
}
