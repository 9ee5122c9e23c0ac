package founding

import (
	"fmt"
	"slices"
	"strings"
)

// Status is how far a node has come, for people.
type Status struct {
	Cluster      string   // the cluster that it is in; empty if none
	Bound        string   // cluster ID of the list that it has promised and not started; empty if none
	Others       []string // other cluster IDs in sight; a node that is in none waits to be taken in
	Seen, Expect int      // nodes it sees, itself included, and how many must agree
	Unseen       int      // addresses that DNS names at which it sees nobody
	Missing      []string // IDs of members of the promised list that are not known to have promised
	Dead         []string // IDs of members of the list that are dead
	NeedsRecover bool     // only people can go on: the list has started, no majority of it lives, and what it decided may be kept
}

// Status returns how far the node has come.
func (c *Core) Status() Status {
	s := Status{
		Cluster: c.cluster, Seen: 1 + len(c.view.Alive), Expect: c.cfg.Expect, Unseen: c.view.Unseen,
	}
	for _, p := range c.view.Alive {
		if p.Cluster != "" && p.Cluster != c.cluster && !slices.Contains(s.Others, p.Cluster) {
			s.Others = append(s.Others, p.Cluster)
		}
	}
	slices.Sort(s.Others)
	b := c.ballot
	if b == nil {
		return s
	}
	for i, m := range b.list.Members {
		switch {
		case b.dead&(1<<i) != 0:
			s.Dead = append(s.Dead, m.ID)
		case b.promises&(1<<i) == 0:
			s.Missing = append(s.Missing, m.ID)
		}
	}
	if c.phase == bound {
		s.Bound = b.list.Cluster
	}
	s.NeedsRecover = c.phase == started && !c.applied && b.hopeless() &&
		(c.cfg.Self.Durable || b.applied&^b.dead != 0 || c.seesJoined())
	return s
}

// String says in words what the node waits for; empty if for nothing.
func (s Status) String() string {
	switch {
	case s.NeedsRecover:
		return fmt.Sprintf("cluster %s has lost the majority of its founders: run huddle recover", s.Cluster)
	case s.Cluster != "":
		return ""
	case s.Bound != "" && len(s.Dead) > 0:
		return fmt.Sprintf("founding cluster %s: %s died, asking the others", s.Bound, strings.Join(s.Dead, ", "))
	case s.Bound != "":
		return fmt.Sprintf("founding cluster %s: waiting for %s", s.Bound, strings.Join(s.Missing, ", "))
	case len(s.Others) > 0:
		return "waiting to be taken into cluster " + strings.Join(s.Others, " or ")
	case s.Seen < s.Expect:
		return fmt.Sprintf("waiting for others: sees %d nodes of %d", s.Seen, s.Expect)
	case s.Unseen > 0:
		return fmt.Sprintf("waiting for nodes at %d more addresses", s.Unseen)
	}
	return fmt.Sprintf("waiting for the first of %d nodes to propose", s.Seen)
}

// Cluster returns the ID of the cluster that the node is in, for gossip and
// for prefaces; empty if it is in none. For others it is a statement like any
// answer, so it changes only in After, once it is kept.
func (c *Core) Cluster() string { return c.shown }

// Watch returns the nodes whose death would matter and for which evidence is
// therefore to be collected, also when gossip has never shown them.
func (c *Core) Watch() []Member {
	if c.ballot == nil || c.applied {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(c.ballot.list.Members), func(m Member) bool {
		return m.ID == c.cfg.Self.ID || c.dead[m.ID]
	})
}
