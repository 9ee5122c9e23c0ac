package founding

import (
	"fmt"
	"slices"
)

// Asked answers another node's question: Effects.Answer is set. The asker
// must have proved its ID.
//
// A node that has started a list goes on asking members who are not known to
// have: its word that it has started binds a member that was free again.
func (c *Core) Asked(from string, q Question) (Step, error) {
	switch {
	case c.phase == gone:
		return c.step(), ErrGone
	case c.dead[from]:
		return c.step(), ErrDead
	case !c.ticked:
		return c.step(), ErrNotReady
	}
	if err := q.List.Check(); err != nil {
		return c.step(), err
	}
	if from == c.cfg.Self.ID || q.List.Index(from) < 0 || q.List.Index(c.cfg.Self.ID) < 0 {
		return c.step(), fmt.Errorf("question of %.40q: %w", from, ErrNotMember)
	}
	if c.phase == looking && q.Own.Stand >= Started {
		c.bind(q.List)
	}
	c.decide(q.List)
	q.Own.Cluster = q.List.Cluster
	c.hear(from, q.Own)
	c.weigh()
	c.out.Answer = c.stand(q.List)
	return c.step(), nil
}

// Answered takes another node's answer to a question.
func (c *Core) Answered(from string, a Answer) Step {
	c.hear(from, a)
	c.weigh()
	return c.step()
}

// decide gives the one answer that a list ever gets, if it has none yet.
// Lists of one proposer below the highest that was answered are dead: it
// proposes one after another.
func (c *Core) decide(l List) {
	if c.phase >= started || l.Number <= c.answered[l.Proposer] || l.Proposer == c.cfg.Self.ID {
		return
	}
	if _, known := c.answered[l.Proposer]; !known && len(c.answered) >= maxProposers {
		return
	}
	hasDead := slices.ContainsFunc(l.Members, func(m Member) bool { return c.dead[m.ID] })
	if c.phase == looking && !c.seesCluster() && !hasDead {
		c.promise(l)
		return
	}
	c.answered[l.Proposer], c.unsaved = l.Number, true
}

// promise is the answer that binds.
func (c *Core) promise(l List) {
	c.answered[l.Proposer] = l.Number
	c.bind(l)
}

func (c *Core) bind(l List) {
	c.answered[l.Proposer] = max(c.answered[l.Proposer], l.Number)
	c.phase, c.ballot, c.unsaved = bound, newBallot(l, c.cfg.Self.ID), true
	c.nextAsk = c.now
	for id := range c.dead {
		c.ballot.bury(id)
	}
}

// hear notes what another node says about the list, unless it is dead.
func (c *Core) hear(from string, a Answer) {
	if c.ballot != nil && !c.dead[from] && from != c.cfg.Self.ID {
		c.ballot.hear(from, a)
	}
}

// weigh draws the conclusions from what is known of the list.
func (c *Core) weigh() {
	switch c.phase {
	case bound:
		c.weighBound()
	case started:
		c.weighStarted()
	}
}

// weighBound starts the list when all have promised, and drops it when it is
// dead: when somebody has refused it, or when everybody who lives knows of a
// death and has not started.
func (c *Core) weighBound() {
	b := c.ballot
	if b.complete() {
		c.start()
		return
	}
	if b.refused || b.abandoned() {
		c.phase, c.ballot, c.unsaved = looking, nil, true
		c.stillSince = c.now
	}
}

// start founds the cluster, as every member of the list does, and tells the
// others at once.
func (c *Core) start() {
	b := c.ballot
	c.phase, c.cluster, c.unsaved = started, b.list.Cluster, true
	b.promises, b.refused = b.all(), false
	c.out.Bootstrap = &b.list
	c.weighStarted()
	c.ask()
}

// weighStarted notices that the cluster was founded in vain: too many died
// before a leader's entry was applied here.
func (c *Core) weighStarted() {
	if c.applied {
		return
	}
	if vain := c.ballot.hopeless() && !c.seesJoined(); vain != c.ballot.vain {
		c.ballot.vain = vain
		c.nextAsk = c.now
	}
}

// giveUp ends an identity whose cluster was founded in vain, when nobody who
// lives has applied an entry of its leader. A durable identity is kept, and
// waits for people.
func (c *Core) giveUp() {
	if c.phase == started && c.ballot.inVain() && !c.cfg.Self.Durable {
		c.phase, c.ballot, c.cluster = gone, nil, ""
		c.out = Effects{NewIdentity: true}
	}
}

// seesJoined says whether a living node that was not a founder is in this
// cluster: then it had a leader, and somebody may hold what it decided.
func (c *Core) seesJoined() bool {
	return slices.ContainsFunc(c.view.Alive, func(p Peer) bool {
		return p.Cluster == c.cluster && c.ballot.list.Index(p.ID) < 0
	})
}

// stand is what this node says about a list.
func (c *Core) stand(l List) *Answer {
	a := &Answer{Cluster: l.Cluster, Stand: Refused}
	mine := c.ballot != nil && c.ballot.list.equal(l)
	switch {
	case mine:
		a.Promises = c.ballot.promises
		a.Stand = c.ownStand()
	case c.cluster == l.Cluster && c.applied:
		a.Stand = Applied
	case c.cluster == l.Cluster: // a leader has taken it in again after it had dropped the list
		a.Stand = Started
	case c.cluster != "":
		a.Stand = Elsewhere
	}
	return a
}

func (c *Core) ownStand() Stand {
	switch {
	case c.phase == bound && c.ballot.void():
		return Void
	case c.phase == bound:
		return Promised
	case c.applied:
		return Applied
	case c.ballot.vain:
		return Vain
	}
	return Started
}

// ask asks those who may know what this node does not.
func (c *Core) ask() {
	if c.ballot == nil {
		return
	}
	b := c.ballot
	c.nextAsk = c.now + askEvery
	for i, m := range b.list.Members {
		if b.unknown(c.phase)&(1<<i) != 0 {
			c.out.Ask = append(c.out.Ask, Ask{To: m.ID, Question: Question{List: b.list, Own: *c.stand(b.list)}})
		}
	}
}

// Traffic is what comes from another node in the name of a cluster.
type Traffic uint8

// Kinds of traffic.
const (
	Vote   Traffic = iota // RequestVote, RequestPreVote, TimeoutNow
	Append                // AppendEntries, InstallSnapshot
	Added                 // a leader's answer that it has added this node
)

// Admit says, in Effects.Admitted, whether traffic of a cluster from a node
// that has proved its ID may be taken. A node that is in a cluster takes that
// cluster's. An empty one takes that of the list which it has promised, which
// proves that somebody has started it; or, bound to none, what only a leader
// sends that has added it, which binds it. It never takes another's request
// for a vote: its vote would count in a cluster that it knows nothing of.
//
// What was admitted ends with Forbids: connections of a node that is called
// dead must be closed.
func (c *Core) Admit(from, cluster string, t Traffic) Step {
	switch {
	case cluster == "" || c.dead[from] || c.phase == gone:
	case c.cluster != "":
		c.out.Admitted = cluster == c.cluster
	case c.phase == bound:
		if cluster == c.ballot.list.Cluster && c.ballot.list.Index(from) >= 0 {
			c.out.Admitted = true
			c.hear(from, Answer{Cluster: cluster, Stand: Started})
			c.weigh()
		}
	case t != Vote:
		c.out.Admitted = true
		c.join(cluster)
	}
	return c.step()
}

// Forbids says whether this identity has been called dead: nothing is taken
// from it any more, and its connections are to be closed.
func (c *Core) Forbids(id string) bool { return c.dead[id] }

func (c *Core) join(cluster string) {
	c.phase, c.ballot, c.cluster, c.unsaved = joined, nil, cluster, true
	c.out.Join = cluster
}

// Applied tells the core that an entry of a leader is committed here, as soon
// as Raft says so: from then on what the cluster decided may live in this
// node, and it never gives up its identity by itself.
func (c *Core) Applied() Step {
	if !c.applied && c.cluster != "" && c.phase != gone {
		c.applied, c.unsaved = true, true
		if c.ballot != nil {
			c.ballot.vain = false
		}
	}
	return c.step()
}

// Recovered tells the core that people have made this node the seed of a new
// cluster.
func (c *Core) Recovered(cluster string) Step {
	if c.phase != gone {
		c.join(cluster)
		c.applied = true
		c.out.Join = ""
	}
	return c.step()
}
