package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/huddlecache/huddle/cluster/internal/gossip"
	"github.com/huddlecache/huddle/cluster/internal/peer"
	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/cluster/machine/wire"
)

// A server answers the calls of one feature on other nodes.
type server func(ctx context.Context, from string, request []byte) ([]byte, error)

// servers are those of this node, by feature.
type servers [256]atomic.Pointer[server]

// Peers returns the other nodes as the feature sees them.
func (n *Node) Peers(feature uint8) machine.Peers { return featurePeers{n, feature} }

type featurePeers struct {
	node    *Node
	feature uint8
}

// Self implements machine.Peers.
func (f featurePeers) Self() (id, cluster string) {
	if l := f.node.current(); l != nil {
		return l.on.id, l.cluster
	}
	return "", ""
}

// Call implements machine.Peers.
func (f featurePeers) Call(ctx context.Context, id string, request []byte) ([]byte, error) {
	l := f.node.current()
	if l == nil {
		return nil, machine.ErrUnreachable
	}
	m := featureRequest{l.cluster, f.feature, request}
	body := m.append(make([]byte, 0, len(request)+64))
	reply, err := l.ask(ctx, id, laneOf(len(body)), kindFeature, body)
	remote, isRemote := errors.AsType[*peer.RemoteError](err)
	switch {
	case err == nil:
		return reply, nil
	case isRemote:
		return nil, remote
	case notSent(err):
		return nil, fmt.Errorf("%w: %w", machine.ErrUnreachable, err)
	}
	return nil, fmt.Errorf("%w: %w", machine.ErrNoAnswer, err)
}

// Serve implements machine.Peers.
func (f featurePeers) Serve(fn func(ctx context.Context, from string, request []byte) ([]byte, error)) (stop func()) {
	s := server(fn)
	f.node.servers[f.feature].Store(&s)
	return func() { f.node.servers[f.feature].CompareAndSwap(&s, nil) }
}

// Reach implements machine.Peers.
func (f featurePeers) Reach(ctx context.Context, cluster string, index uint64) error {
	l := f.node.current()
	if l == nil || l.cluster != cluster || !l.hasTold.Load() {
		return machine.ErrLoading
	}
	return l.replica.Wait(ctx, index)
}

// IsDead implements machine.Peers.
func (f featurePeers) IsDead(id string) bool {
	p := f.node.presence.Load()
	if p == nil || p.gossip == nil || id == p.id {
		return false
	}
	m, found := p.gossip.Member(id)
	return found && (m.State == gossip.Dead || m.State == gossip.Left)
}

// serve answers another node's feature.
func (l *life) serve(ctx context.Context, from string, body []byte) ([]byte, error) {
	m, err := parseFeature(body)
	if err != nil {
		return nil, err
	}
	s := l.node.servers[m.feature].Load()
	if m.cluster != l.cluster || s == nil {
		return nil, peer.ErrBusy
	}
	return (*s)(ctx, from, m.data)
}

// featureRequest is what a feature asks the same one on another node. The
// answer is the feature's own.
//
//	cluster string, feature 1 byte, data byte string
type featureRequest struct {
	cluster string
	feature uint8
	data    []byte
}

func (m *featureRequest) append(b []byte) []byte {
	return wire.AppendBytes(append(wire.AppendString(b, m.cluster), m.feature), m.data)
}

func parseFeature(body []byte) (m featureRequest, err error) {
	r := wire.NewReader(body)
	m.cluster, m.feature, m.data = r.String(), r.Byte(), r.Bytes()
	return m, r.Done()
}
