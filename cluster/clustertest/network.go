package clustertest

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"
)

// A Network connects hosts in memory. Faults belong to addresses and to one
// direction, from one host to another; they can be changed at any time, also
// before the hosts exist. What is random is drawn from the network's seed; the
// order in which goroutines run is not part of it.
//
// A malformed address given to a method is a mistake of the test, and panics.
type Network struct {
	mu     sync.Mutex // guards everything here, and all hosts, connections and listeners
	random *rand.Rand
	hosts  map[netip.Addr]*Host // running hosts
	links  map[direction]*link  // faults; a missing one is a perfect link
	flows  map[*flow]struct{}   // those that hold something undelivered
	made   uint64               // flows made so far, gives them an order
	parked []*packet            // packets from or to paused hosts
	names  map[string][]netip.Addr
	views  map[netip.Addr]*view // what single hosts are told of names
}

// A direction is the way from one host to another.
type direction struct {
	from, to netip.Addr
}

// A link holds the faults of one direction.
type link struct {
	cut      bool
	min, max time.Duration
	packets  PacketFaults
}

// PacketFaults are probabilities, from 0 to 1, of what may happen to one
// packet. Streams are never hurt by them.
type PacketFaults struct {
	Loss      float64
	Duplicate float64
	Reorder   float64 // held back up to 20 ms, so that later ones overtake it
}

// NewNetwork returns a network without hosts. Equal seeds draw equal faults.
func NewNetwork(seed uint64) *Network {
	return &Network{
		random: rand.New(rand.NewPCG(seed, seed)),
		hosts:  make(map[netip.Addr]*Host),
		links:  make(map[direction]*link),
		flows:  make(map[*flow]struct{}),
		names:  make(map[string][]netip.Addr),
		views:  make(map[netip.Addr]*view),
	}
}

// Host returns the running host at an address. Where there is none, or the
// last one was killed, it starts a new one.
func (n *Network) Host(addr string) *Host {
	ip := netip.MustParseAddr(addr)
	n.mu.Lock()
	defer n.mu.Unlock()
	if h := n.hosts[ip]; h != nil {
		return h
	}
	h := &Host{
		net:       n,
		addr:      ip,
		nextPort:  firstEphemeral,
		listeners: make(map[uint16]*listener),
		packets:   make(map[uint16]*packetConn),
		conns:     make(map[*conn]struct{}),
	}
	h.wake = sync.NewCond(&n.mu)
	n.hosts[ip] = h
	return h
}

// Cut stops everything that is sent from one host to another: packets are
// lost; what streams carry is held, and delivered after Heal; dials hang. The
// other direction goes on.
func (n *Network) Cut(from, to string) {
	n.change(from, to, func(l *link) { l.cut = true })
}

// Heal ends a Cut.
func (n *Network) Heal(from, to string) {
	n.change(from, to, func(l *link) { l.cut = false })
}

// Partition cuts all hosts of one side from all of the other, both ways.
func (n *Network) Partition(one, other []string) {
	for _, a := range one {
		for _, b := range other {
			n.Cut(a, b)
			n.Cut(b, a)
		}
	}
}

// HealAll ends all cuts.
func (n *Network) HealAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.links {
		l.cut = false
	}
	n.pumpLocked()
}

// Delay makes everything from one host to another take a random time between
// least and most. Streams keep their order, packets need not. Zero takes the
// delay away from what is sent from now on.
func (n *Network) Delay(from, to string, least, most time.Duration) {
	if least < 0 || most < least {
		panic(fmt.Sprintf("clustertest: delay from %v to %v", least, most))
	}
	n.change(from, to, func(l *link) { l.min, l.max = least, most })
}

// Packets sets what happens to packets from one host to another.
func (n *Network) Packets(from, to string, faults PacketFaults) {
	n.change(from, to, func(l *link) { l.packets = faults })
}

// Pause makes a host look to the others as if it had received SIGSTOP: nothing
// that it sends is delivered, nothing reaches it, and it gets no answers from
// DNS. All is held until Resume. The code that runs on the host goes on.
func (n *Network) Pause(addr string) { n.pause(addr, true) }

// Resume ends a Pause: everything that was held is delivered.
func (n *Network) Resume(addr string) { n.pause(addr, false) }

// Kill ends a host for good: its connections are reset, its listeners are
// gone, and nothing more is heard of it. Everything that code still does on it
// fails. Host starts a new one, at this address or another.
func (n *Network) Kill(addr string) {
	ip := netip.MustParseAddr(addr)
	n.mu.Lock()
	defer n.mu.Unlock()
	if h := n.hosts[ip]; h != nil {
		delete(n.hosts, ip)
		h.killLocked()
		n.pumpLocked()
	}
}

func (n *Network) change(from, to string, set func(*link)) {
	way := direction{netip.MustParseAddr(from), netip.MustParseAddr(to)}
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.links[way]
	if l == nil {
		l = new(link)
		n.links[way] = l
	}
	set(l)
	n.pumpLocked()
}

func (n *Network) pause(addr string, paused bool) {
	ip := netip.MustParseAddr(addr)
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.hosts[ip]
	if h == nil {
		panic("clustertest: no host at " + addr)
	}
	h.paused = paused
	h.wake.Broadcast()
	n.pumpLocked()
}

// pumpLocked delivers what a change of faults has set free, oldest flow first.
func (n *Network) pumpLocked() {
	parked := n.parked
	n.parked = nil
	for _, p := range parked {
		p.arriveLocked()
	}
	for _, f := range inOrder(n.flows) {
		f.pumpLocked()
	}
}

func (n *Network) linkLocked(way direction) link {
	if l := n.links[way]; l != nil {
		return *l
	}
	return link{}
}

// pausedLocked reports whether one end of a direction is paused.
func (n *Network) pausedLocked(way direction) bool {
	from, to := n.hosts[way.from], n.hosts[way.to]
	return from != nil && from.paused || to != nil && to.paused
}

// delayLocked draws how long something takes in one direction.
func (n *Network) delayLocked(way direction) time.Duration {
	l := n.linkLocked(way)
	if l.max == 0 {
		return 0
	}
	return l.min + time.Duration(n.random.Int64N(int64(l.max-l.min)+1))
}

func (n *Network) chanceLocked(probability float64) bool {
	return probability > 0 && n.random.Float64() < probability
}

// broadcast returns a function that wakes those who wait for a condition.
func (n *Network) broadcast(wake *sync.Cond) func() {
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		wake.Broadcast()
	}
}
