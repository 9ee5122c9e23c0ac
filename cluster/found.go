package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/huddlecache/huddle/cluster/internal/founding"
	"github.com/huddlecache/huddle/cluster/internal/gossip"
	"github.com/huddlecache/huddle/cluster/internal/peer"
	"github.com/huddlecache/huddle/cluster/machine/wire"
)

// How often the founding protocol looks around, while the node is in no
// cluster and after it.
const (
	lookEvery   = 100 * time.Millisecond
	lookSettled = time.Second
	askTime     = time.Second            // in which a question must be answered
	joinEvery   = 500 * time.Millisecond // between two requests to be taken in
	probeEvery  = 2 * time.Second        // between two looks at who answers at an address
)

// found drives the founding protocol for as long as the identity lives: also a
// node that is in a cluster must tell others how far it is.
func (p *presence) found() {
	began := p.began
	var lastJoin, lastProbe time.Time
	for p.ctx.Err() == nil {
		if time.Since(lastProbe) >= probeEvery {
			lastProbe = time.Now()
			p.probe(began)
			p.lookForTwin()
		}
		p.step(func(c *founding.Core) founding.Step { return c.Tick(p.view(c, time.Since(began))) })
		status := p.foundingStatus()
		if status.Cluster == "" && status.Bound == "" && len(status.Others) == 1 && time.Since(lastJoin) >= joinEvery {
			lastJoin = time.Now()
			p.work.Go(func() { p.join(p.ctx) })
		}
		wait := lookEvery
		if status.Cluster != "" {
			wait = lookSettled
		}
		p.await(wait)
	}
}

// await waits, or until gossip has something new.
func (p *presence) await(d time.Duration) {
	var changes <-chan struct{}
	if p.gossip != nil {
		changes = p.gossip.Changes()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-changes:
	case <-p.ctx.Done():
	}
}

func (p *presence) foundingStatus() founding.Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.core.Status()
}

// step lets the core take one event, and does what follows from it. What must
// be kept is on disk before anything else is done.
func (p *presence) step(event func(*founding.Core) founding.Step) founding.Effects {
	effects, err := p.take(event)
	if err != nil {
		p.node.cfg.Logger.Error("founding cannot go on", slog.Any("error", err))
		return founding.Effects{}
	}
	p.perform(effects)
	return effects
}

func (p *presence) take(event func(*founding.Core) founding.Step) (founding.Effects, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.core == nil {
		return founding.Effects{}, nil // another node was quicker than this one is open
	}
	return event(p.core).After(func(state []byte) error { return p.store.Save(savedFounding, state) })
}

func (p *presence) perform(e founding.Effects) {
	switch {
	case e.Bootstrap != nil:
		p.enter(e.Bootstrap.Cluster, firstConfiguration(e.Bootstrap))
	case e.Join != "":
		p.enter(e.Join, nil)
	}
	for _, ask := range e.Ask {
		p.work.Go(func() { p.put(ask) })
	}
	if len(e.Conflict) > 0 {
		p.node.cfg.Logger.Error("there is more than one cluster behind the names of HUDDLE_JOIN: "+
			"they will never become one; stop the nodes of all but one", slog.Any("clusters", e.Conflict))
	}
	if e.NewIdentity {
		p.end(&renewal{"its cluster never began, and most of its founders are gone"})
	}
}

// enter keeps the cluster that the node is in now, and begins there.
func (p *presence) enter(cluster string, founders *raft.Configuration) {
	if err := p.store.Save(savedCluster, []byte(cluster)); err != nil {
		p.end(fmt.Errorf("keeping the cluster's ID: %w", err))
		return
	}
	p.node.cfg.Logger.Info("in a cluster", slog.String("cluster", cluster), slog.String("id", p.id),
		slog.Bool("founder", founders != nil))
	p.form(formation{cluster, founders})
}

// firstConfiguration is what the founders bootstrap. Addresses are server IDs:
// where a server is, is looked up at each dial.
func firstConfiguration(l *founding.List) *raft.Configuration {
	c := &raft.Configuration{}
	for i, m := range l.Members {
		s := raft.Server{ID: raft.ServerID(m.ID), Address: raft.ServerAddress(m.ID), Suffrage: raft.Voter}
		if i >= l.Voters {
			s.Suffrage = raft.Nonvoter
		}
		c.Servers = append(c.Servers, s)
	}
	return c
}

// put asks one member of the list.
func (p *presence) put(ask founding.Ask) {
	ctx, cancel := context.WithTimeout(p.ctx, askTime)
	defer cancel()
	body, err := p.peer.Call(ctx, ask.To, peer.Small, kindFound, founding.AppendQuestion(nil, ask.Question))
	if remote, isRemote := errors.AsType[*peer.RemoteError](err); isRemote && remote.Text == founding.ErrDead.Error() {
		p.end(&renewal{"the others have called it dead"})
	}
	if err != nil {
		return
	}
	a, err := founding.ParseAnswer(body)
	if err != nil {
		return
	}
	p.step(func(c *founding.Core) founding.Step { return c.Answered(ask.To, a) })
}

// asked answers another node's question.
func (p *presence) asked(from string, body []byte) ([]byte, error) {
	q, err := founding.ParseQuestion(body)
	if err != nil {
		return nil, err
	}
	var asked error
	effects := p.step(func(c *founding.Core) founding.Step {
		s, err := c.Asked(from, q)
		asked = err
		return s
	})
	if asked != nil {
		return nil, asked
	}
	if effects.Answer == nil {
		return nil, errors.New("the answer could not be kept")
	}
	return founding.AppendAnswer(nil, *effects.Answer), nil
}

// acceptRaft decides about a Raft connection of another node.
func (p *presence) acceptRaft(from, cluster string) error {
	// The connection may carry a request for a vote, which binds nobody: a
	// free node is bound by the answer that it was added, and by that alone.
	effects := p.step(func(c *founding.Core) founding.Step { return c.Admit(from, cluster, founding.Vote) })
	if !effects.Admitted {
		return errElsewhere
	}
	return nil
}

var errElsewhere = errors.New("this node is not in that cluster")

// view is what the core is told of the surroundings.
func (p *presence) view(c *founding.Core, now time.Duration) founding.View {
	v := founding.View{Now: now}
	if p.gossip == nil {
		return v
	}
	for _, m := range p.gossip.Members() {
		if m.State == gossip.Alive && m.ID != p.id {
			v.Alive = append(v.Alive, founding.Peer{Member: founder(m), Cluster: m.Cluster})
		}
	}
	dns := p.gossip.DNS()
	v.Addresses, v.Unseen = len(dns.Named), len(dns.Unseen)
	if dns.Complete.IsZero() && len(p.node.cfg.Join) > 0 {
		v.Unresolved = 1
	}
	for _, m := range c.Watch() {
		if e := p.evidence[m.ID]; e != nil && e.Dead() {
			v.Dead = append(v.Dead, m.ID)
			p.cut()
		}
	}
	return v
}

// errCut ends a life, whose connections to a node that was called dead must
// not be used again, and begins the next.
var errCut = errors.New("closing the connections of a node that is dead")

// cut closes all connections of Raft.
func (p *presence) cut() {
	if l := p.node.current(); l != nil && l.on == p {
		l.end(errCut)
	}
}

func founder(m gossip.Member) founding.Member {
	return founding.Member{ID: m.ID, Name: m.Name, Addr: m.PeerAddr().String(), Durable: m.Flags.Has(gossip.Durable)}
}

// probe collects evidence of the life of those whose death matters to the
// founding: what gossip and DNS say, and who answers at their address.
func (p *presence) probe(began time.Time) {
	p.mu.Lock()
	watched := p.core.Watch()
	p.mu.Unlock()
	if p.gossip == nil || len(watched) == 0 {
		clear(p.evidence)
		return
	}
	living := p.living()
	for _, m := range watched {
		e := p.evidence[m.ID]
		now := time.Since(began)
		if e == nil {
			e = &founding.Evidence{LostAt: now, NamedAt: now}
			p.evidence[m.ID] = e
		}
		e.Member, e.Living = m, living
		p.lookUp(e, began)
		if slices.ContainsFunc(living, func(s founding.Sighting) bool { return s.ID == m.ID }) {
			e.LostAt = now
			continue
		}
		if id := p.whoIs(m.Addr); id != "" {
			e.Answering, e.AnsweredAt = id, time.Since(began)
		}
		e.Living = p.prove(living, m, began)
	}
}

// living is whom gossip says is alive.
func (p *presence) living() (list []founding.Sighting) {
	for _, m := range p.gossip.Members() {
		if m.State == gossip.Alive {
			list = append(list, founding.Sighting{Member: founder(m)})
		}
	}
	return list
}

// prove asks those who have a durable member's name whether they are there:
// only then have they taken its place.
func (p *presence) prove(living []founding.Sighting, m founding.Member, began time.Time) []founding.Sighting {
	proved := slices.Clone(living)
	for i := range proved {
		s := &proved[i]
		if m.Durable && s.Name == m.Name && s.ID != p.id && p.whoIs(s.Addr) == s.ID {
			s.ProvedAt = time.Since(began)
		}
	}
	return proved
}

// whoIs returns the ID that is proved at an address, empty if none is.
func (p *presence) whoIs(addr string) string {
	ctx, cancel := context.WithTimeout(p.ctx, askTime)
	defer cancel()
	id, err := p.peer.Identity(ctx, addr)
	if err != nil {
		return ""
	}
	return id
}

// ErrTwin means that another node has this one's identity: a data directory
// was copied, or is used by two nodes.
var ErrTwin = errors.New("another node has the same identity: give this node a data directory of its own, empty")

// twinTime is for how long a claim to this node's identity is looked into.
const twinTime = 10 * time.Second

// lookForTwin asks whoever claims this node's identity from another address
// how long it has been there. The later of the two stops.
func (p *presence) lookForTwin() {
	if p.gossip == nil {
		return
	}
	twin := p.gossip.Twin()
	if twin.Last.IsZero() || time.Since(twin.Last) > twinTime {
		return
	}
	ctx, cancel := context.WithTimeout(p.ctx, askTime)
	defer cancel()
	_, body, err := p.peer.CallAddr(ctx, twin.Peer.String(), p.id, kindAge, nil)
	if err != nil {
		return // it is gone, or it was another node
	}
	r := wire.NewReader(body)
	if age := time.Duration(r.Uvarint()); r.Done() == nil && age > time.Since(p.began) {
		p.end(fmt.Errorf("%s at %s: %w", p.id, twin.Peer, ErrTwin))
	}
}

// age answers a twin: how long this node has had its identity.
func (p *presence) age() []byte {
	return binary.AppendUvarint(nil, uint64(time.Since(p.began)))
}

// lookUp notes what DNS says of a member's address. A name that cannot be
// resolved says nothing.
func (p *presence) lookUp(e *founding.Evidence, began time.Time) {
	dns := p.gossip.DNS()
	at, err := netip.ParseAddrPort(e.Member.Addr)
	if err != nil || dns.Err != nil || dns.Complete.IsZero() {
		return
	}
	addr := netip.AddrPortFrom(at.Addr(), uint16(p.node.cfg.GossipPort))
	if m, found := p.gossip.Member(e.Member.ID); found {
		addr = m.GossipAddr()
	}
	e.LookedUp = time.Since(began)
	e.NamedAt = max(e.NamedAt, e.LookedUp-dns.Absent(addr))
}

// join asks to be taken into the cluster that is in sight.
func (p *presence) join(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	for _, m := range p.gossip.Members() {
		if m.State != gossip.Alive || m.Cluster == "" || m.ID == p.id {
			continue
		}
		leader, a, err := p.askLeader(ctx, m.ID, kindJoin, joinRequest{isNew: true})
		if err == nil && a.status == statusDone {
			p.step(func(c *founding.Core) founding.Step { return c.Admit(leader, a.value, founding.Added) })
			return
		}
	}
}

// askLeader sends a request to the leader, whom the node id may have to name
// first.
func (p *presence) askLeader(ctx context.Context, id string, kind uint8, m joinRequest) (leader string, a joinAnswer, err error) {
	for range 2 {
		body, err := p.peer.Call(ctx, id, peer.Small, kind, m.append(nil))
		if err != nil {
			return id, joinAnswer{}, err
		}
		if a, err = parseJoinAnswer(body); err != nil {
			return id, a, err
		}
		if a.status != statusNotLeader || a.value == "" || a.value == id {
			return id, a, nil
		}
		id = a.value
	}
	return id, a, nil
}
