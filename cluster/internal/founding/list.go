package founding

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Bounds of what is sent and kept.
const (
	MaxMembers = 64  // of a list
	MaxString  = 255 // bytes of an ID, a name, an address

	// maxProposers bounds the memory of answers. Whoever proposes past it is
	// refused, which needs no memory.
	maxProposers = 1024
)

// ErrList says that a list breaks a rule that every list keeps.
var ErrList = errors.New("not a list of founders")

// Member is one node on a list. A list carries more than IDs so that each
// member can judge whether the others live, also those it has never seen.
type Member struct {
	ID      string
	Name    string // what people call it; a replaced durable node is known by it
	Addr    string // of the peer port
	Durable bool
}

// check says what is wrong with a member.
func (m Member) check() error {
	if m.ID == "" || max(len(m.ID), len(m.Name), len(m.Addr)) > MaxString {
		return fmt.Errorf("%w: member %.40q", ErrList, m.ID)
	}
	return nil
}

// List is one proposal: these nodes, and no others, found that cluster. It
// is also the first Raft configuration: the first Voters of the members
// vote, the others are in it without a vote.
type List struct {
	Cluster  string   // ID of the cluster to be
	Proposer string   // ID of the first member, who proposed it
	Number   uint64   // of the proposer's lists, from 1; a later one is proposed only after the earlier is dead
	Members  []Member // by ID
	Voters   int
}

// Check says what is wrong with a list.
func (l List) Check() error {
	if l.Cluster == "" || len(l.Cluster) > MaxString || l.Number == 0 {
		return fmt.Errorf("%w: cluster %.40q, number %d", ErrList, l.Cluster, l.Number)
	}
	if n := len(l.Members); n == 0 || n > MaxMembers || l.Voters < 1 || l.Voters > n {
		return fmt.Errorf("%w: %d of %d members vote", ErrList, l.Voters, n)
	}
	if l.Proposer != l.Members[0].ID {
		return fmt.Errorf("%w: proposed by %.40q, who is not its first", ErrList, l.Proposer)
	}
	addrs := make(map[string]bool, len(l.Members))
	for i, m := range l.Members {
		if err := m.check(); err != nil {
			return err
		}
		if i > 0 && m.ID <= l.Members[i-1].ID || addrs[m.Addr] {
			return fmt.Errorf("%w: member %.40q out of order or twice", ErrList, m.ID)
		}
		addrs[m.Addr] = true
	}
	return nil
}

// Index returns a member's place on the list, -1 if it is not on it.
func (l List) Index(id string) int {
	i, found := slices.BinarySearchFunc(l.Members, id, func(m Member, id string) int { return cmp.Compare(m.ID, id) })
	if !found {
		return -1
	}
	return i
}

// equal says whether two lists are the same proposal.
func (l List) equal(o List) bool {
	return l.Cluster == o.Cluster && l.Proposer == o.Proposer && l.Number == o.Number &&
		l.Voters == o.Voters && slices.Equal(l.Members, o.Members)
}

// Voters returns how many of n members vote: at most limit, and an odd
// number, since an even one survives no more failures. Two stay two, so that
// nothing acknowledged is lost with one of them.
//
// An even number also stays where one voter less would need a smaller
// majority than expect nodes do. Two clusters are impossible only while
// expect and that majority together exceed the pods there can be: with 6
// pods and expect 4, a list of 4 of which 3 vote lives on with 2, and the
// other 4 pods, two of them started anew, found a second cluster.
func Voters(n, limit, expect int) int {
	n = min(n, limit)
	if n > 2 && n%2 == 0 && majority(n-1) >= majority(min(n, expect)) {
		n--
	}
	return n
}

func majority(n int) int { return n/2 + 1 }
