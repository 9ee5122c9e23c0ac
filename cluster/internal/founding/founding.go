// Package founding decides how nodes that know nothing found one cluster
// together.
//
// The node with the lowest ID proposes a list of nodes. Whoever is asked
// about a list promises or refuses it, once, for as long as its identity
// lives; whoever learns that all of the list have promised founds the
// cluster, and one refusal kills the list. What deaths leave undecided is
// resolved by asking (see weigh): no promise ever runs out, for a promise
// that runs out is how two clusters come about.
//
// Core is the state machine of one node. It does no I/O, has no goroutine,
// no clock and no randomness: its owner tells it what it sees and hears, and
// does what the Effects of each Step say. It is not safe for concurrent use.
//
// Two clusters are impossible while EXPECT and a majority of a list's voters
// together exceed the pods that can exist; see Voters.
package founding

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Times of the protocol.
const (
	// DefaultStill is how long a view has to stand still before a proposal.
	DefaultStill = time.Second

	// askEvery is how often a node asks again what it does not know yet.
	askEvery = 250 * time.Millisecond

	// patience is how long every address that DNS names must be seen before
	// a proposal; after that not more than half of them may be unseen.
	patience = time.Minute
)

// Errors of Asked: the asker gets no answer.
var (
	// ErrDead says that the asker has been called dead. Nothing is ever
	// taken again from such an identity.
	ErrDead = errors.New("this identity has been called dead")

	// ErrGone says that this node has given up its identity.
	ErrGone = errors.New("this identity has been given up")

	// ErrNotReady says that this node has not looked around yet.
	ErrNotReady = errors.New("not looked around yet")

	// ErrNotMember says that asker or asked is not on the list in question.
	ErrNotMember = errors.New("not on the list")
)

// Config describes one identity. A node that takes a new identity makes a
// new Core.
type Config struct {
	Self         Member
	Expect       int           // how many nodes must agree; 1
	Voters       int           // at most so many vote; 5
	Alone        bool          // there is no name to find others by: do not wait for any
	Still        time.Duration // how long the view has to stand still; DefaultStill
	NewClusterID func() string // a new, random cluster ID
	Saved        []byte        // what a durable identity kept last; nil for a new one
	Cluster      string        // ID of the cluster that the node is in already, if Saved does not say so
}

// Peer is a node as gossip shows it.
type Peer struct {
	Member
	Cluster string // ID of the cluster that it says it is in; empty if none
}

// View is what a node sees. The caller decides who is dead (see Evidence);
// whoever has once been in Dead stays dead for this Core.
type View struct {
	Now        time.Duration // monotonic, from any origin
	Alive      []Peer        // nodes that gossip says are alive; the node itself may be among them
	Dead       []string      // IDs of the dead; each needs to be named once only
	Addresses  int           // addresses that DNS names, the node's own included
	Unseen     int           // those of them at which no living node is seen
	Unresolved int           // names that DNS has never answered for
}

// phase is how far an identity has come. It never goes back, except from
// bound to looking when the list is dead.
type phase uint8

const (
	looking phase = iota // bound to no list, in no cluster
	bound                // has promised a list
	started              // its list has founded the cluster
	joined               // was added to a cluster by a leader
	gone                 // has been given up
)

// Core is the founding protocol of one identity.
type Core struct {
	cfg     Config
	phase   phase
	ballot  *ballot // the list that the node is bound to or has started; else nil
	cluster string  // the cluster that the node is in; else empty
	shown   string  // the same, once it is kept
	applied bool    // a leader's entry has been applied here

	answered map[string]uint64 // proposer -> highest number of its lists that was answered
	dead     map[string]bool   // identities that were called dead

	ticked     bool
	now        time.Duration // of the last view
	born       time.Duration // of the first view
	stillSince time.Duration // when Alive last changed, or a list died
	nextAsk    time.Duration // when to ask again
	view       View          // the last one; Alive without the dead and the node itself, by ID
	conflict   []string      // cluster IDs that were reported last, if more than one

	unsaved bool // what a durable identity must keep has changed
	out     Effects
}

// New returns the protocol of one identity, a durable one as it was when it
// was saved last.
func New(cfg Config) (*Core, error) {
	cfg.Expect = max(cfg.Expect, 1)
	cfg.Voters = cmp.Or(cfg.Voters, 5)
	cfg.Still = cmp.Or(cfg.Still, DefaultStill)
	if cfg.Expect > MaxMembers || cfg.Voters < 1 || cfg.Voters > MaxMembers {
		return nil, fmt.Errorf("expect %d and voters %d must be 1 to %d", cfg.Expect, cfg.Voters, MaxMembers)
	}
	if err := cfg.Self.check(); err != nil {
		return nil, fmt.Errorf("own identity: %w", err)
	}
	c := &Core{cfg: cfg, answered: map[string]uint64{}, dead: map[string]bool{}}
	if cfg.Saved != nil {
		if err := c.restore(cfg.Saved); err != nil {
			return nil, fmt.Errorf("reading what was kept of founding: %w", err)
		}
	}
	if c.phase < started && cfg.Cluster != "" {
		c.phase, c.ballot, c.cluster = joined, nil, cfg.Cluster
	}
	c.shown = c.cluster
	return c, nil
}

// Tick tells the core what the node sees now. To be called often: every
// 100 ms, and whenever something has changed.
func (c *Core) Tick(v View) Step {
	if c.phase == gone {
		return c.step()
	}
	c.look(v)
	c.weigh()
	if c.phase == looking {
		c.propose()
		c.weigh()
	}
	c.giveUp()
	if c.now >= c.nextAsk {
		c.ask()
	}
	return c.step()
}

// look takes in a view.
func (c *Core) look(v View) {
	for _, id := range v.Dead {
		c.bury(id)
	}
	v.Dead = nil
	v.Alive = slices.DeleteFunc(slices.Clone(v.Alive), func(p Peer) bool {
		return p.ID == c.cfg.Self.ID || c.dead[p.ID] || p.check() != nil
	})
	slices.SortFunc(v.Alive, func(a, b Peer) int { return cmp.Compare(a.ID, b.ID) })
	if !c.ticked {
		c.ticked, c.born, c.stillSince = true, v.Now, v.Now
	}
	if !slices.EqualFunc(v.Alive, c.view.Alive, func(a, b Peer) bool { return a.ID == b.ID }) {
		c.stillSince = v.Now
	}
	c.now, c.view = v.Now, v
	for _, p := range v.Alive {
		c.hearGossip(p)
	}
	c.compare()
}

// bury remembers that an identity is dead.
func (c *Core) bury(id string) {
	if id == c.cfg.Self.ID || c.dead[id] {
		return
	}
	c.dead[id] = true
	if c.ballot != nil && c.ballot.bury(id) {
		c.unsaved = true
	}
}

// hearGossip takes the cluster ID that a member of the list shows for the
// statement that it is.
func (c *Core) hearGossip(p Peer) {
	if c.ballot == nil || p.Cluster == "" {
		return
	}
	stand := Elsewhere
	if p.Cluster == c.ballot.list.Cluster {
		stand = Started
	}
	c.hear(p.ID, Answer{Cluster: c.ballot.list.Cluster, Stand: stand})
}

// compare reports when more than one cluster ID is in sight. Nothing else is
// ever done about it.
func (c *Core) compare() {
	var ids []string
	if c.cluster != "" {
		ids = append(ids, c.cluster)
	}
	for _, p := range c.view.Alive {
		if p.Cluster != "" && !slices.Contains(ids, p.Cluster) {
			ids = append(ids, p.Cluster)
		}
	}
	slices.Sort(ids)
	if len(ids) < 2 {
		ids = nil
	}
	if ids != nil && !slices.Equal(ids, c.conflict) {
		c.out.Conflict = ids
	}
	c.conflict = ids
}

// seesCluster says whether a living node shows a cluster ID.
func (c *Core) seesCluster() bool {
	return slices.ContainsFunc(c.view.Alive, func(p Peer) bool { return p.Cluster != "" })
}

// propose makes the node with the lowest ID propose a list, once it has seen
// enough for long enough.
func (c *Core) propose() {
	if c.seesCluster() || !c.cfg.Alone && !c.settled() {
		return
	}
	seen := []Member{c.cfg.Self}
	for _, p := range c.view.Alive {
		seen = append(seen, p.Member)
	}
	slices.SortFunc(seen, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	if len(seen) < c.cfg.Expect || seen[0].ID != c.cfg.Self.ID {
		return
	}
	members := seen[:max(c.cfg.Expect, min(c.cfg.Voters, len(seen)))]
	list := List{
		Cluster:  c.cfg.NewClusterID(),
		Proposer: c.cfg.Self.ID,
		Number:   c.answered[c.cfg.Self.ID] + 1,
		Members:  slices.Clone(members),
		Voters:   Voters(len(members), c.cfg.Voters, c.cfg.Expect),
	}
	// Two nodes with one address: one of them is dead, and not yet known to be.
	if list.Check() != nil {
		return
	}
	c.promise(list)
}

// settled says whether the view can be taken for the whole.
func (c *Core) settled() bool {
	if c.now-c.stillSince < c.cfg.Still {
		return false
	}
	if c.now-c.born < patience {
		return c.view.Unseen == 0 && c.view.Unresolved == 0
	}
	return 2*c.view.Unseen <= c.view.Addresses
}
