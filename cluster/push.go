package cluster

import (
	"context"
	"encoding/binary"
	"sync"
	"time"

	"github.com/huddlecache/huddle/cluster/internal/wire"
	"github.com/huddlecache/huddle/cluster/machine"
)

const (
	pushMost = 4096                   // events that wait to be pushed, of one leader
	pushTime = 300 * time.Millisecond // for which a node that does not answer keeps the others waiting
)

// A pusher tells other nodes, as the leader, what they alone wait for: they
// would learn it with the next entry, or when Raft next says what is
// committed. What is lost on the way they still learn then.
type pusher struct {
	life *life
	wake chan struct{} // holds a token while events may wait

	mu      sync.Mutex         // guards all below
	waiting map[string][]event // by server
	count   int
}

// An event is one of a feature.
type event struct {
	feature uint8
	machine.Event
}

func newPusher(l *life) *pusher {
	return &pusher{life: l, wake: make(chan struct{}, 1), waiting: map[string][]event{}}
}

// push is called as entries are applied, on every node.
func (p *pusher) push(server string, feature uint8, e machine.Event) {
	if server == p.life.id || p.life.office.Load() == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.count >= pushMost {
		return
	}
	p.count++
	p.waiting[server] = append(p.waiting[server], event{feature, e})
	signal(p.wake)
}

func (p *pusher) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		}
		p.mu.Lock()
		waiting := p.waiting
		p.waiting, p.count = map[string][]event{}, 0
		p.mu.Unlock()
		p.send(ctx, waiting)
	}
}

// send tells each server in one message.
func (p *pusher) send(ctx context.Context, waiting map[string][]event) {
	ctx, cancel := context.WithTimeout(ctx, pushTime)
	defer cancel()
	var sending sync.WaitGroup
	for server, events := range waiting {
		sending.Go(func() {
			m := pushRequest{p.life.cluster, events}
			// Whoever does not get it learns it from the log.
			_, _ = p.life.ask(ctx, server, laneSmall, kindPush, m.append(nil))
		})
	}
	sending.Wait()
}

// pushed passes on what the leader says that this node's subscribers wait for.
func (l *life) pushed(body []byte) ([]byte, error) {
	m, err := parsePush(body)
	if err != nil || m.cluster != l.cluster || !l.caughtUp.Load() {
		return nil, err
	}
	for _, e := range m.events {
		l.node.subs.deliver(e.feature, e.Event)
	}
	return nil, nil
}

// pushRequest is events that only the receiver waits for:
//
//	cluster string, count uvarint, each:
//	  feature 1 byte, kind 1 byte, origin uvarint, key byte string
type pushRequest struct {
	cluster string
	events  []event
}

func (m *pushRequest) append(b []byte) []byte {
	b = wire.AppendString(b, m.cluster)
	b = binary.AppendUvarint(b, uint64(len(m.events)))
	for _, e := range m.events {
		b = binary.AppendUvarint(append(b, e.feature, e.Kind), e.Origin)
		b = wire.AppendBytes(b, e.Key)
	}
	return b
}

func parsePush(body []byte) (m pushRequest, err error) {
	r := wire.NewReader(body)
	m.cluster = r.String()
	m.events = make([]event, r.Count(4))
	for i := range m.events {
		m.events[i].feature, m.events[i].Kind = r.Byte(), r.Byte()
		m.events[i].Origin, m.events[i].Key = r.Uvarint(), r.Bytes()
	}
	return m, r.Done()
}
