package gossip

import (
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// maxRemembered is how many dead and left members are kept, the newest.
const maxRemembered = 1024

// A State is what gossip says of a member.
type State uint8

// The states of a member. One that is only suspected is alive.
const (
	Alive State = iota
	Dead        // answers nobody
	Left        // has said that it was leaving, and is gone
)

// String returns the state's name.
func (s State) String() string {
	switch s {
	case Alive:
		return "alive"
	case Dead:
		return "dead"
	case Left:
		return "left"
	}
	return "state " + strconv.Itoa(int(s))
}

// A Member is a node that was heard of, alive or not.
type Member struct {
	Meta
	Addr       netip.Addr // of the node, for all its ports
	GossipPort uint16
	State      State
	Since      time.Time // when it came to be in this state, as seen here
}

// PeerAddr is where the member's peer port is.
func (m Member) PeerAddr() netip.AddrPort { return netip.AddrPortFrom(m.Addr, m.PeerPort) }

// GossipAddr is where the member gossips, and what DNS names.
func (m Member) GossipAddr() netip.AddrPort { return netip.AddrPortFrom(m.Addr, m.GossipPort) }

// A Twin is a node that claims our ID from another address. It may be gone
// already: a durable node that comes back with a new address is told of its
// former one until that is found dead. Only asking the address decides.
type Twin struct {
	Peer netip.AddrPort // its peer port
	Last time.Time      // when it was last heard of
}

// A table holds all members, also those that memberlist has forgotten. It is
// told of changes by memberlist, which holds a lock meanwhile: nothing here
// may wait or call back.
type table struct {
	self    string
	changed chan struct{} // one token: something has changed
	lost    chan struct{} // one token: a member was lost

	mu      sync.Mutex // guards the rest
	members map[string]Member
	moved   map[string]netip.AddrPort // member -> other address that claims its ID
	twin    Twin
	latest  time.Time // when anything was last heard that was new
	closed  bool      // memberlist's timers may still fire
}

func newTable(self string) *table {
	return &table{
		self:    self,
		changed: make(chan struct{}, 1),
		lost:    make(chan struct{}, 1),
		members: make(map[string]Member),
		moved:   make(map[string]netip.AddrPort),
	}
}

// NotifyAlive implements memberlist.AliveDelegate: who cannot be understood is
// no member.
func (t *table) NotifyAlive(node *memberlist.Node) error {
	_, err := parseMeta(node.Name, node.Meta)
	return err
}

// NotifyJoin implements memberlist.EventDelegate.
func (t *table) NotifyJoin(node *memberlist.Node) { t.heard(node, true) }

// NotifyUpdate implements memberlist.EventDelegate.
func (t *table) NotifyUpdate(node *memberlist.Node) { t.heard(node, false) }

// heard stores what a living member says of itself.
func (t *table) heard(node *memberlist.Node, joined bool) {
	meta, err := parseMeta(node.Name, node.Meta)
	addr, ok := netip.AddrFromSlice(node.Addr)
	if err != nil || !ok {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	m := Member{Meta: meta, Addr: addr.Unmap(), GossipPort: node.Port, Since: time.Now()}
	if !joined {
		m.Since = t.members[meta.ID].Since
	}
	t.members[meta.ID] = m
	if m.GossipAddr() == t.moved[meta.ID] {
		delete(t.moved, meta.ID)
	}
	t.latest = time.Now()
	signal(t.changed)
}

// NotifyLeave implements memberlist.EventDelegate. memberlist does not tell
// whether the member left or died; its last words do.
func (t *table) NotifyLeave(node *memberlist.Node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m, found := t.members[node.Name]
	if !found || t.closed {
		return
	}
	m.State, m.Since = Dead, time.Now()
	if m.Flags.Has(Leaving) {
		m.State = Left
	}
	t.members[m.ID] = m
	t.latest = m.Since
	t.pruneLocked()
	signal(t.changed)
	signal(t.lost)
}

// NotifyConflict implements memberlist.ConflictDelegate. memberlist refuses a
// member at a new address while it believes the old one alive, and forgets
// that it did.
func (t *table) NotifyConflict(_, other *memberlist.Node) {
	addr, ok := netip.AddrFromSlice(other.Addr)
	meta, err := parseMeta(other.Name, other.Meta)
	if !ok || err != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	_, found := t.members[meta.ID]
	switch {
	case meta.ID == t.self:
		t.twin = Twin{Peer: netip.AddrPortFrom(addr.Unmap(), meta.PeerPort), Last: time.Now()}
		signal(t.changed)
	case found:
		t.moved[meta.ID] = netip.AddrPortFrom(addr.Unmap(), other.Port)
	}
}

// returned gives the addresses of those who are gone from where they were, but
// were heard of elsewhere.
func (t *table) returned() (addrs []netip.AddrPort) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, addr := range t.moved {
		if t.members[id].State != Alive {
			addrs = append(addrs, addr)
		}
	}
	return addrs
}

// pruneLocked forgets the oldest of too many dead.
func (t *table) pruneLocked() {
	var gone []Member
	for _, m := range t.members {
		if m.State != Alive {
			gone = append(gone, m)
		}
	}
	if len(gone) <= maxRemembered {
		return
	}
	oldest := slices.MinFunc(gone, func(a, b Member) int { return a.Since.Compare(b.Since) })
	t.removeLocked(oldest.ID)
}

// list returns all members by ID.
func (t *table) list() []Member {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.SortedFunc(maps.Values(t.members), func(a, b Member) int { return strings.Compare(a.ID, b.ID) })
}

func (t *table) find(id string) (Member, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m, found := t.members[id]
	return m, found
}

// forget removes a member that is not alive.
func (t *table) forget(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if m, found := t.members[id]; found && m.State != Alive {
		t.removeLocked(id)
		signal(t.changed)
	}
}

func (t *table) removeLocked(id string) {
	delete(t.members, id)
	delete(t.moved, id)
}

func (t *table) lastTwin() Twin {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.twin
}

// news returns when anything was last heard that was new.
func (t *table) news() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.latest
}

func (t *table) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
}

// signal leaves a token where there is none.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// addrPortOf is the inverse of net.UDPAddr's and net.TCPAddr's String.
func addrPortOf(a net.Addr) (netip.AddrPort, error) {
	at, err := netip.ParseAddrPort(a.String())
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), err
}
