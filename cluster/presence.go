package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/huddlecache/huddle/cluster/internal/founding"
	"github.com/huddlecache/huddle/cluster/internal/gossip"
	"github.com/huddlecache/huddle/cluster/internal/peer"
	"github.com/huddlecache/huddle/cluster/internal/store"
)

// A presence is one identity of a node: where it keeps what belongs to it, its
// ports, what it sees of others, and how it came into a cluster.
type presence struct {
	node   *Node
	id     string
	store  *store.Store
	peer   *peer.Peer     // nil if there is no key
	gossip *gossip.Gossip // nil if there is no key
	killed atomic.Bool    // end without a farewell

	ctx  context.Context // ends with the presence
	stop context.CancelFunc
	work sync.WaitGroup // all goroutines of the presence

	mu       sync.Mutex                    // guards core; held while founding's answers are saved, for they must not overtake each other
	core     *founding.Core                // nil until all ports are open
	evidence map[string]*founding.Evidence // of those whose death matters; the founding loop's own

	formed chan formation // how it came into a cluster; holds one
	over   chan error     // why the identity is over: a renewal, or why the node must stop; holds one
	began  time.Time
}

// A formation is a cluster that the node is in, and its first configuration if
// the node is a founder.
type formation struct {
	cluster  string
	founders *raft.Configuration
}

// Names under which a store keeps what is not Raft's.
const (
	savedCluster  = "cluster"
	savedFounding = "founding"
)

// appear opens an identity: the store's own, or a new one in memory.
func (n *Node) appear(ctx context.Context) (p *presence, err error) {
	p = &presence{
		node: n, evidence: map[string]*founding.Evidence{},
		formed: make(chan formation, 1), over: make(chan error, 1), began: time.Now(),
	}
	p.ctx, p.stop = context.WithCancel(ctx)
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close(false))
		}
	}()
	if p.store, err = n.openStore(p); err != nil {
		return p, err
	}
	p.id = p.store.ID()
	saved, err := p.load()
	if err != nil {
		return p, err
	}
	if len(n.cfg.Keys) > 0 {
		if err := p.connect(ctx, saved); err != nil {
			return p, err
		}
	}
	core, err := founding.New(p.foundingConfig(saved))
	if err != nil {
		return p, err
	}
	p.mu.Lock()
	p.core = core
	p.mu.Unlock()
	n.presence.Store(p)
	p.work.Go(p.found)
	return p, nil
}

// loaded is what a store keeps beside Raft's.
type loaded struct {
	cluster  string
	founding []byte
}

func (p *presence) load() (l loaded, err error) {
	cluster, _, err := p.store.Load(savedCluster)
	if err != nil {
		return l, err
	}
	l.cluster = string(cluster)
	saved, found, err := p.store.Load(savedFounding)
	if found {
		l.founding = saved
	}
	return l, err
}

func (n *Node) openStore(p *presence) (*store.Store, error) {
	cfg := store.Config{NoSync: n.cfg.NoSync, Wrap: n.cfg.Logs, OnFull: p.shrink}
	if n.cfg.DataDir == "" {
		return store.OpenMemory(cfg)
	}
	s, err := store.OpenDisk(n.cfg.DataDir, cfg)
	if err == nil && s.Renewed() != "" {
		n.cfg.Logger.Warn("the data directory has a new identity", slog.String("reason", s.Renewed()))
	}
	return s, err
}

// connect opens the ports for other nodes.
func (p *presence) connect(ctx context.Context, saved loaded) (err error) {
	cfg := &p.node.cfg
	p.peer, err = peer.Open(peer.Config{
		ID: p.id, Keys: cfg.Keys, Addr: netip.AddrPortFrom(cfg.Bind, uint16(cfg.PeerPort)).String(),
		Address: p.address, Handle: p.handle, AcceptRaft: p.acceptRaft,
		MaxFrame: 2*cfg.maxCall() + frameRoom, MaxBulkFrame: 2*cfg.maxCall() + frameRoom,
		Network: cfg.Network, Logger: cfg.Logger,
	})
	if err != nil {
		return err
	}
	keys := make([][]byte, len(cfg.Keys))
	for i, key := range cfg.Keys {
		keys[i] = peer.GossipKey(key)
	}
	p.gossip, err = gossip.Open(ctx, gossip.Config{
		Network: cfg.Network, Bind: cfg.Bind, Advertise: cfg.Advertise, Port: cfg.GossipPort,
		Keys: keys, Label: gossipLabel, Join: cfg.Join, Meta: p.meta(saved.cluster), Logger: cfg.Logger,
	})
	return err
}

// gossipLabel keeps Huddle's gossip apart from that of other programs.
const gossipLabel = "huddle/1"

// frameRoom is what a frame may hold beside commands and replies.
const frameRoom = 256 << 20

// peerPort is the port that the peer listens on.
func (p *presence) peerPort() uint16 {
	at, err := netip.ParseAddrPort(p.peer.Addr().String())
	if err != nil {
		return uint16(p.node.cfg.PeerPort)
	}
	return at.Port()
}

// meta is what the node says of itself in gossip.
func (p *presence) meta(cluster string) gossip.Meta {
	cfg := &p.node.cfg
	m := gossip.Meta{
		ID: p.id, Name: cfg.Name, PeerPort: p.peerPort(), Cluster: cluster,
		Version: cfg.Version, Level: cfg.Level,
	}
	if p.store.Durable() {
		m.Flags |= gossip.Durable
	}
	if p.node.draining.Load() {
		m.Flags |= gossip.Leaving
	}
	return m
}

// announce tells the others what has changed of this node.
func (p *presence) announce() {
	if p.gossip == nil {
		return
	}
	if err := p.gossip.Update(p.meta(p.cluster())); err != nil {
		p.node.cfg.Logger.Debug("announcing this node", slog.Any("error", err))
	}
}

// cluster is the ID of the cluster that the node is in.
func (p *presence) cluster() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.core.Cluster()
}

// address is where the peer port of a server is.
func (p *presence) address(id string) (string, error) {
	if p.gossip == nil {
		return "", errNotSeen
	}
	return p.gossip.Address(id)
}

var errNotSeen = errors.New("no such node is seen")

func (p *presence) foundingConfig(saved loaded) founding.Config {
	cfg := &p.node.cfg
	self := founding.Member{ID: p.id, Name: cfg.Name, Durable: p.store.Durable()}
	if p.gossip != nil {
		self.Addr = netip.AddrPortFrom(p.gossip.Addr().Addr(), p.peerPort()).String()
	}
	return founding.Config{
		Self: self, Expect: cfg.Expect, Voters: cfg.Voters, Alone: len(cfg.Join) == 0,
		NewClusterID: newClusterID, Saved: saved.founding, Cluster: saved.cluster,
	}
}

func newClusterID() string { return fmt.Sprintf("%016x%016x", randomNumber(), randomNumber()) }

// form passes on that the node is in a cluster now.
func (p *presence) form(f formation) {
	select {
	case p.formed <- f:
	default:
	}
}

// exist is in one life after another until the identity is over.
func (p *presence) exist(ctx context.Context) error {
	f, err := p.awaitFormation(ctx)
	for err == nil {
		var l *life
		if l, err = p.start(f.cluster, f.founders); err != nil {
			return err
		}
		p.node.life.Store(l)
		p.announce()
		reason := p.accompany(ctx, l)
		p.node.life.Store(nil)
		_, isDisk := errors.AsType[*diskError](reason)
		if closeErr := l.close(isDisk); closeErr != nil {
			p.node.cfg.Logger.Debug("closing the log", slog.Any("error", closeErr))
		}
		f.founders = nil
		err = p.resume(ctx, &f, reason)
	}
	return err
}

// resume does what must be done between two lives, or returns why there will
// be no other one under this identity.
func (p *presence) resume(ctx context.Context, f *formation, reason error) error {
	if disk, isDisk := errors.AsType[*diskError](reason); isDisk {
		return p.repair(ctx, disk)
	}
	if r, isRecovery := errors.AsType[*recovery](reason); isRecovery {
		err := p.recover(r.cluster)
		if err == nil {
			f.cluster = r.cluster
		}
		r.done <- err
		return nil // where it did not succeed, the old life goes on: its state may be the last
	}
	if errors.Is(reason, errCut) {
		return nil
	}
	if errors.Is(reason, errRemoved) {
		if p.store.Durable() {
			p.node.cfg.Logger.Warn("this node was removed from its cluster: it asks to be added again")
			return nil
		}
		return &renewal{reason.Error()}
	}
	return reason
}

func (p *presence) awaitFormation(ctx context.Context) (formation, error) {
	select {
	case f := <-p.formed:
		return f, nil
	case reason := <-p.over:
		return formation{}, reason
	case <-ctx.Done():
		return formation{}, ctx.Err()
	}
}

// accompany waits until the life or the identity is over.
func (p *presence) accompany(ctx context.Context, l *life) error {
	select {
	case reason := <-l.over:
		return reason
	case reason := <-p.over:
		return reason
	case <-p.store.Failed():
		return &diskError{p.store.Err()}
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A diskError ends a life, and not the identity.
type diskError struct{ cause error }

func (e *diskError) Error() string { return fmt.Sprintf("writing the log: %v", e.cause) }

func (e *diskError) Unwrap() error { return e.cause }

// repair waits until the disk takes writes again.
func (p *presence) repair(ctx context.Context, reason error) error {
	p.node.cfg.Logger.Error("the disk does not take writes: this node serves again once it does",
		slog.Any("error", reason))
	for {
		err := p.store.Reopen()
		if err == nil {
			p.node.cfg.Logger.Info("the disk takes writes again")
			return nil
		}
		if _, cannot := errors.AsType[*renewal](err); cannot || errors.Is(err, store.ErrDamaged) {
			return err
		}
		p.node.pause(ctx, time.Second)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// close ends the identity's stay. One that is given up is thrown away.
func (p *presence) close(isOver bool) error {
	p.stop()
	var errs []error
	if p.gossip != nil {
		if !p.killed.Load() {
			leave, cancel := context.WithTimeout(context.Background(), time.Second)
			errs = append(errs, p.gossip.Leave(leave))
			cancel()
		}
		errs = append(errs, p.gossip.Close())
	}
	if p.peer != nil {
		errs = append(errs, p.peer.Close())
	}
	p.work.Wait()
	if p.store != nil {
		if isOver && p.store.Durable() {
			_, err := p.store.NewIdentity()
			errs = append(errs, err)
		}
		if p.killed.Load() {
			errs = append(errs, p.store.Kill())
		} else {
			errs = append(errs, p.store.Close())
		}
	}
	return errors.Join(errs...)
}

// raftLayer is the way of Raft's messages. Without a key there is nobody to
// send them to.
func (p *presence) raftLayer(cluster string) raft.StreamLayer {
	if p.peer == nil {
		return newNowhere(p.id)
	}
	return p.peer.RaftLayer(cluster)
}

// end ends the identity for the first reason given.
func (p *presence) end(reason error) {
	select {
	case p.over <- reason:
	default:
	}
}

// isCutOff reports whether the node is in a cluster with others and sees none
// of them.
func (p *presence) isCutOff() bool {
	l := p.node.current()
	if l == nil || p.gossip == nil || l.isSole() {
		return false
	}
	for _, m := range p.gossip.Members() {
		if m.ID != p.id && m.State == gossip.Alive {
			return false
		}
	}
	return true
}

// shrink makes the log smaller when it takes too much room.
func (p *presence) shrink() {
	if l := p.node.current(); l != nil && l.on == p {
		signal(l.full)
	}
}
