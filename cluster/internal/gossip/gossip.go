// Package gossip knows who is there: it wraps memberlist, whose failure
// detector and broadcasts it uses, and finds other nodes through DNS.
//
// What memberlist leaves out is added here: names are resolved again and again
// and everybody they name is joined, for ever; the dead are remembered, for
// their death must be judged later; Close ends everything.
package gossip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

// Network is how gossip reaches others; addresses are "ip:port". One that can
// also say which of its addresses others see (LocalAddrer) needs no Advertise.
type Network interface {
	Listen(addr string) (net.Listener, error)
	ListenPacket(addr string) (net.PacketConn, error)
	Dial(ctx context.Context, addr string) (net.Conn, error)
	LookupHost(ctx context.Context, name string) ([]netip.Addr, error)
}

// A LocalAddrer is a Network that knows the address which is used towards a
// target, or, without one, the machine's best.
type LocalAddrer interface {
	LocalAddr(target netip.Addr) (netip.Addr, error)
}

// Config describes the gossip of one node.
type Config struct {
	Network   Network
	Bind      netip.Addr    // address to listen on; all if zero
	Advertise netip.Addr    // address given to others; found by itself if zero
	Port      int           // for streams and packets, and of those whom Join names without one; any free one if 0
	Keys      [][]byte      // 32 bytes each: the first encrypts, all are accepted; at least one
	Label     string        // only nodes with the same one understand each other
	Join      []string      // host[:port] of others
	Meta      Meta          // what to say of ourselves; its ID stays, the rest changes with Update
	Probe     time.Duration // interval at which members are probed; one that dies is dead after about seven; 500 ms
	Logger    *slog.Logger  // discards by default
}

const (
	defaultProbe  = 500 * time.Millisecond
	streamTimeout = 3 * time.Second
	leaveTimeout  = 2 * time.Second
	keyBytes      = 32
)

// ErrClosed means that this Gossip has left or was closed.
var ErrClosed = errors.New("gossip is closed")

// Gossip is one node's part in the gossip. An instance that has left stays
// out: the node goes on with a new one, which may use the same port.
type Gossip struct {
	probe     time.Duration
	logger    *slog.Logger
	table     *table
	transport *transport
	list      *memberlist.Memberlist
	discovery *discovery
	meta      atomic.Pointer[[]byte] // encoded, what memberlist sends
	cancel    context.CancelFunc     // ends the discovery
	wg        sync.WaitGroup

	updating sync.Mutex    // serialises Update: memberlist reads our state unlocked meanwhile
	mu       sync.Mutex    // guards the rest
	left     chan struct{} // made by the first Leave, closed when it is done
	closed   bool
	finished chan struct{} // closed when Close is done
}

// Open begins to gossip and to look for others. The context bounds the wait
// for an answer of DNS, from which the own address may be found.
func Open(ctx context.Context, cfg Config) (*Gossip, error) {
	meta, err := cfg.Meta.encode()
	if err != nil {
		return nil, err
	}
	keyring, err := newKeyring(cfg.Keys)
	if err != nil {
		return nil, err
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Probe == 0 {
		cfg.Probe = defaultProbe
	}
	t, err := listen(cfg.Network, cfg.Bind, cfg.Port)
	if err != nil {
		return nil, err
	}
	g := &Gossip{
		probe:     cfg.Probe,
		logger:    cfg.Logger,
		table:     newTable(cfg.Meta.ID),
		transport: t,
		finished:  make(chan struct{}),
	}
	g.meta.Store(&meta)
	if err := g.start(ctx, cfg, keyring); err != nil {
		_ = t.Shutdown() // what went wrong first is the error
		return nil, err
	}
	return g, nil
}

// start does what follows once the port is open.
func (g *Gossip) start(ctx context.Context, cfg Config, keyring *memberlist.Keyring) error {
	port := g.transport.advertise.Port()
	targets, err := parseTargets(cfg.Join, port)
	if err != nil {
		return err
	}
	own, err := ownAddr(ctx, cfg, targets)
	if err != nil {
		return fmt.Errorf("finding the address to advertise: %w", err)
	}
	g.transport.advertise = netip.AddrPortFrom(own.Unmap(), port)
	g.list, err = memberlist.Create(g.listConfig(cfg, keyring))
	if err != nil {
		return fmt.Errorf("starting memberlist: %w", err)
	}
	// Not sooner: memberlist answers before it counts itself among the members,
	// and who had joined it then would see nobody here.
	g.transport.start()
	g.discovery = newDiscovery(cfg.Network, targets, g.transport.advertise, g.table, g.list, g.logger)
	ctx, g.cancel = context.WithCancel(context.Background())
	g.wg.Go(func() { g.discovery.run(ctx) })
	return nil
}

// listConfig is memberlist's for a local network, with a quicker detection:
// with up to ten members a silent one is dead after two probes that fail and
// four intervals of suspicion.
func (g *Gossip) listConfig(cfg Config, keyring *memberlist.Keyring) *memberlist.Config {
	c := memberlist.DefaultLANConfig()
	c.Name = cfg.Meta.ID
	c.Transport = g.transport
	c.Label = cfg.Label
	c.Keyring = keyring
	c.BindPort = int(g.transport.advertise.Port())
	c.AdvertisePort = c.BindPort
	c.ProbeInterval = cfg.Probe
	c.ProbeTimeout = cfg.Probe / 2
	c.SuspicionMaxTimeoutMult = 3
	c.TCPTimeout = streamTimeout
	c.EnableCompression = false // it costs more than it saves at this size
	c.DeadNodeReclaimTime = 1   // a dead member may come back at another address at once
	c.Delegate = (*delegate)(g)
	c.Events = g.table
	c.Conflict = g.table
	c.Alive = g.table
	c.Logger = listLogger(cfg.Logger)
	return c
}

func newKeyring(keys [][]byte) (*memberlist.Keyring, error) {
	if len(keys) == 0 {
		return nil, errors.New("no gossip key")
	}
	for i, k := range keys {
		if len(k) != keyBytes {
			return nil, fmt.Errorf("gossip key %d has %d bytes, want %d", i, len(k), keyBytes)
		}
	}
	keyring, err := memberlist.NewKeyring(keys[1:], keys[0])
	if err != nil {
		return nil, fmt.Errorf("making gossip's keyring: %w", err)
	}
	return keyring, nil
}

// ownAddr decides which address the others are given.
func ownAddr(ctx context.Context, cfg Config, targets []*target) (netip.Addr, error) {
	switch {
	case cfg.Advertise.IsValid():
		return cfg.Advertise, nil
	case cfg.Bind.IsValid() && !cfg.Bind.IsUnspecified():
		return cfg.Bind, nil
	}
	network, ok := cfg.Network.(LocalAddrer)
	if !ok {
		return netip.Addr{}, errors.New("this network needs Advertise or Bind to be set")
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	for _, t := range targets {
		if addrs, err := cfg.Network.LookupHost(ctx, t.host); err == nil && len(addrs) > 0 {
			return network.LocalAddr(addrs[0])
		}
	}
	return network.LocalAddr(netip.Addr{})
}

// Addr is where others reach our gossip.
func (g *Gossip) Addr() netip.AddrPort { return g.transport.advertise }

// Members returns everybody who was heard of, ourselves too, sorted by ID. The
// dead are among them until they come back or Forget is called; of more than
// 1,024 the newest are kept.
func (g *Gossip) Members() []Member { return g.table.list() }

// Member returns one of the members.
func (g *Gossip) Member(id string) (m Member, found bool) { return g.table.find(id) }

// Address returns the "ip:port" of a member's peer port, as last heard, be it
// alive or not.
func (g *Gossip) Address(id string) (string, error) {
	m, found := g.table.find(id)
	if !found {
		return "", fmt.Errorf("address of node %q is not known", id)
	}
	return m.PeerAddr().String(), nil
}

// Forget removes a member that is dead or left. It is remembered again should
// it come back.
func (g *Gossip) Forget(id string) { g.table.forget(id) }

// Twin returns the last node that claimed our ID from another address; its
// Last is zero if there was none.
func (g *Gossip) Twin() Twin { return g.table.lastTwin() }

// Changes has a token when members have changed since it was last received
// from. It is for one receiver.
func (g *Gossip) Changes() <-chan struct{} { return g.table.changed }

// DNS returns what the names to join were last resolved to.
func (g *Gossip) DNS() View { return g.discovery.view() }

// Update changes what we say of ourselves. It travels with the next gossip.
func (g *Gossip) Update(meta Meta) error {
	if meta.ID != g.table.self {
		return fmt.Errorf("%w: ID changed from %q to %q", ErrMeta, g.table.self, meta.ID)
	}
	encoded, err := meta.encode()
	if err != nil {
		return err
	}
	g.mu.Lock()
	gone := g.closed || g.left != nil
	g.mu.Unlock()
	if gone {
		return ErrClosed
	}
	g.updating.Lock()
	defer g.updating.Unlock()
	if old := g.meta.Swap(&encoded); string(*old) != string(encoded) {
		g.spread(time.Nanosecond)
	}
	return nil
}

// spread tells the others what we say of ourselves, and waits until that is
// sent. It only reports that time was not enough: the message is under way.
func (g *Gossip) spread(wait time.Duration) {
	if err := g.list.UpdateNode(wait); err != nil {
		g.logger.Debug("gossip is still spreading our metadata", slog.Any("error", err))
	}
}

// Leave tells the others that we go, and returns when that was sent or the
// context ends; two seconds at most for each of two messages. Close must
// still be called.
func (g *Gossip) Leave(ctx context.Context) error {
	g.mu.Lock()
	switch {
	case g.closed:
		g.mu.Unlock()
		return ErrClosed
	case g.left == nil:
		g.left = make(chan struct{})
		g.wg.Go(g.leave)
	}
	left := g.left
	g.mu.Unlock()
	select {
	case <-left:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("leaving gossip: %w", ctx.Err())
	}
}

// leave first makes sure that our last words say Leaving, so that we are
// remembered as left.
func (g *Gossip) leave() {
	defer close(g.left)
	g.cancel()
	g.updating.Lock()
	defer g.updating.Unlock()
	last := append([]byte(nil), *g.meta.Load()...)
	last[metaFlags] |= byte(Leaving)
	if old := g.meta.Swap(&last); string(*old) != string(last) {
		g.spread(leaveTimeout)
	}
	if err := g.list.Leave(leaveTimeout); err != nil {
		g.logger.Debug("gossip has not heard our farewell out", slog.Any("error", err))
	}
}

// Close ends everything, without a word to the others, who find us dead unless
// Leave was called. It waits until the last probe has ended, which may take a
// probe interval.
func (g *Gossip) Close() error {
	g.mu.Lock()
	left, first := g.left, !g.closed
	g.closed = true
	g.mu.Unlock()
	if !first {
		<-g.finished
		return nil
	}
	defer close(g.finished)
	if left != nil {
		<-left // memberlist panics if it leaves after it was shut down
	}
	g.cancel()
	err := g.list.Shutdown()
	g.table.close()
	g.wg.Wait()
	g.linger()
	if err != nil {
		return fmt.Errorf("closing gossip: %w", err)
	}
	return nil
}

// linger waits for the goroutines of memberlist, which does not: a probe waits
// for its answer, longer where memberlist believes that this node is slow, and
// starts with a packet.
func (g *Gossip) linger() {
	last := g.transport.lastPacket()
	if last.IsZero() {
		return
	}
	longest := g.probe * time.Duration(g.list.GetHealthScore()+1)
	time.Sleep(time.Until(last.Add(longest)))
}
