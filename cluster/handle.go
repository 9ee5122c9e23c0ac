package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/huddlecache/huddle/cluster/internal/peer"
	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/cluster/machine/wire"
)

// handle answers another node.
func (p *presence) handle(ctx context.Context, from string, kind uint8, body []byte) ([]byte, error) {
	if p.node.draining.Load() && p.killed.Load() {
		return nil, peer.ErrBusy
	}
	switch kind {
	case kindFound:
		return p.asked(from, body)
	case kindAge:
		return p.age(), nil
	}
	l := p.node.current()
	if l == nil || l.on != p {
		return elsewhere(kind)
	}
	switch kind {
	case kindPropose:
		m, err := parsePropose(body)
		return l.answerAt(m.cluster, err, func() answer { return l.lead(ctx, m) })
	case kindQuery:
		m, err := parseQuery(body)
		return l.answerAt(m.cluster, err, func() answer { return l.read(ctx, m.queries) })
	case kindConfirm:
		m, err := parseConfirm(body)
		a := l.vouch(m)
		return a.append(nil), err
	case kindOpen:
		return l.answerOpen(from, body)
	case kindJoin:
		return l.answerMember(body, func(m joinRequest) joinAnswer { return l.admit(ctx, from, m) })
	case kindLeave:
		return l.answerMember(body, func(m joinRequest) joinAnswer { return l.dismiss(ctx, from, m.target) })
	case kindStatus:
		a := l.progress()
		return a.append(nil), nil
	case kindFeature:
		return l.serve(ctx, from, body)
	}
	return nil, fmt.Errorf("kind %d: %w", kind, wire.ErrMalformed)
}

// elsewhere answers in the name of a node that is in no cluster.
func elsewhere(kind uint8) ([]byte, error) {
	switch kind {
	case kindPropose, kindQuery, kindOpen:
		return []byte{statusElsewhere}, nil
	case kindJoin, kindLeave:
		a := joinAnswer{status: statusElsewhere, value: "not in a cluster"}
		return a.append(nil), nil
	}
	return nil, errElsewhere
}

// answerAt answers a request of this cluster.
func (l *life) answerAt(cluster string, malformed error, do func() answer) ([]byte, error) {
	switch {
	case malformed != nil:
		return []byte{statusMalformed}, nil
	case cluster != l.cluster:
		return []byte{statusElsewhere}, nil
	}
	a := do()
	return a.append(make([]byte, 0, answerSize(&a))), nil
}

// answerSize is about how long an answer is.
func answerSize(a *answer) int {
	size := 64
	for _, replies := range [][]machine.Reply{a.replies, a.queried} {
		for _, reply := range replies {
			size += len(reply.Data) + 8
		}
	}
	return size
}

func (l *life) answerOpen(from string, body []byte) ([]byte, error) {
	m, err := parseOpen(body)
	if err != nil || m.cluster != l.cluster {
		return []byte{statusElsewhere}, nil
	}
	if l.reigning() == nil {
		return []byte{statusNotLeader}, nil
	}
	id, err := l.grantOrigin(from, m)
	switch {
	case errors.Is(err, errNotMember):
		return []byte{statusNotMember}, nil
	case err != nil:
		return []byte{statusLost}, nil
	}
	return binary.AppendUvarint([]byte{statusDone}, id), nil
}

// parseOrigin reads the answer to a request for an origin.
func parseOrigin(body []byte) (uint64, error) {
	r := wire.NewReader(body)
	switch status := r.Byte(); status {
	case statusDone:
		id := r.Uvarint()
		return id, r.Done()
	case statusNotMember:
		return noOrigin, errNotMember
	}
	return noOrigin, machine.ErrNoQuorum
}

func (l *life) answerMember(body []byte, do func(joinRequest) joinAnswer) ([]byte, error) {
	m, err := parseJoin(body)
	var a joinAnswer
	switch {
	case err != nil:
		a = joinAnswer{status: statusMalformed, value: err.Error()}
	case m.cluster != "" && m.cluster != l.cluster:
		a = joinAnswer{status: statusElsewhere, value: "this is cluster " + l.cluster}
	case l.reigning() == nil:
		leader, _ := l.leader()
		a = joinAnswer{status: statusNotLeader, value: leader}
	default:
		a = do(m)
	}
	return a.append(nil), nil
}
