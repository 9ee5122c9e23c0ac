package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/huddlecache/huddle/cluster/internal/peer"
	"github.com/huddlecache/huddle/cluster/internal/replica"
	"github.com/huddlecache/huddle/cluster/machine"
)

// origin returns the origin under which this node's batches go now, and asks
// the leader for one if there is none.
func (l *life) origin(ctx context.Context) (uint64, error) {
	if id := l.originID.Load(); id != noOrigin {
		return id, nil
	}
	select {
	case <-ctx.Done():
		return noOrigin, ctx.Err()
	case <-l.opening:
	}
	defer func() { l.opening <- struct{}{} }()
	if id := l.originID.Load(); id != noOrigin {
		return id, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	id, err := l.openOrigin(ctx)
	if err == nil {
		l.originID.Store(id)
	}
	return id, err
}

// introduce asks for an origin before there is a command to send: with it the
// leader learns whether this node keeps its state.
func (l *life) introduce(ctx context.Context) {
	for ctx.Err() == nil {
		if _, err := l.origin(ctx); err == nil {
			return
		}
		l.node.pause(ctx, time.Second)
	}
}

// dropOrigin forgets an origin that is closed. The next one is asked for as a
// new one.
func (l *life) dropOrigin(id uint64) {
	if l.originID.CompareAndSwap(id, noOrigin) {
		l.nonce.Store(randomNumber())
	}
}

func (l *life) nextBatch(lane uint8) uint64 { return l.batches[lane].Add(1) }

func (l *life) openOrigin(ctx context.Context) (uint64, error) {
	leader, found := l.leader()
	if !found {
		return noOrigin, machine.ErrNoQuorum
	}
	m := openRequest{l.cluster, l.nonce.Load(), l.on.store.Durable()}
	if leader == l.id {
		return l.grantOrigin(l.id, m)
	}
	body, err := l.ask(ctx, leader, peer.Small, kindOpen, m.append(nil))
	if err != nil {
		return noOrigin, err
	}
	return parseOrigin(body)
}

// grantOrigin opens an origin for a server, as the leader.
func (l *life) grantOrigin(server string, m openRequest) (uint64, error) {
	entry := replica.Open{Term: l.raft.CurrentTerm(), Server: server, Nonce: m.nonce, Durable: m.isDurable}
	response, err := l.log(entry.Append(nil))
	if err != nil {
		return noOrigin, fmt.Errorf("opening an origin: %w", err)
	}
	result, ok := response.(replica.OpenResult)
	if !ok || result.Origin == noOrigin {
		return noOrigin, errNotMember
	}
	return result.Origin, nil
}

var errNotMember = errors.New("this node is not a member of the cluster")
