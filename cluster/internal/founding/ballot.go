package founding

import "math/bits"

// Stand is how a node stands to a list.
type Stand uint8

// Refused and Elsewhere kill a list for whoever hears them before it has
// started. The stands from Started on prove that all have promised.
const (
	Promised  Stand = iota + 1 // is bound to it
	Void                       // is bound to it, knows a member dead, and starts it only if a living member says that it has
	Refused                    // is not bound to it: has refused it, or knows that it is dead
	Elsewhere                  // is in another cluster
	Started                    // has started it
	Applied                    // has started it and applied an entry of its leader
	Vain                       // has started it, applied nothing, and knows that no majority of its voters is left
)

// Answer is what a node says about one list.
type Answer struct {
	Cluster  string // of the list
	Stand    Stand
	Promises uint64 // bit i: member i of the list is known to have promised
}

// Question asks how another node stands to a list. It carries the list, and
// so counts as the proposal, and the asker's own answer.
type Question struct {
	List List
	Own  Answer
}

// ballot is what a node knows of the list that it is bound to. Sets of
// members are bits, by place on the list.
type ballot struct {
	list      List
	self      uint64
	promises  uint64 // known to have promised
	dead      uint64
	voids     uint64 // said Void
	elsewhere uint64 // said Elsewhere
	started   uint64 // said that they have started it
	applied   uint64 // said Applied
	vains     uint64 // said Vain
	refused   bool   // somebody has refused it, or knows that it is dead
	vain      bool   // this node says Vain
}

func newBallot(l List, self string) *ballot {
	b := &ballot{list: l, self: 1 << l.Index(self)}
	b.promises = b.self
	return b
}

// all is the set of all members.
func (b *ballot) all() uint64 { return ^uint64(0) >> (MaxMembers - len(b.list.Members)) }

// bury notes a death and reports whether it is news to the list.
func (b *ballot) bury(id string) bool {
	i := b.list.Index(id)
	if i < 0 || b.dead&(1<<i) != 0 {
		return false
	}
	b.dead |= 1 << i
	return true
}

// void says whether this node says Void. It never takes that back, but may
// still start the list.
func (b *ballot) void() bool { return b.dead != 0 }

// hear notes what a member has said. What it said before and has grown out
// of may arrive late, so nothing that was noted is taken back.
func (b *ballot) hear(id string, a Answer) {
	i := b.list.Index(id)
	if i < 0 || a.Cluster != b.list.Cluster {
		return
	}
	member := uint64(1) << i
	b.promises |= a.Promises & b.all()
	switch a.Stand {
	case Promised:
		b.promises |= member
	case Void:
		b.promises |= member
		b.voids |= member
	case Refused:
		b.refused = true
	case Elsewhere:
		b.refused = true
		b.elsewhere |= member
	case Started, Applied, Vain:
		b.promises = b.all()
		b.started |= member
	}
	switch a.Stand {
	case Applied:
		b.applied |= member
	case Vain:
		b.vains |= member
	}
}

// complete says whether all are known to have promised, in a way that this
// node may act on: once it has said Void, only a living member's word that it
// has started will do.
func (b *ballot) complete() bool {
	return b.started != 0 || !b.void() && b.promises == b.all()
}

// abandoned says whether this node and every other member that lives have
// said Void, so that nobody is left who could start the list by itself. One
// of them may have followed a member that had, and has died since: it will
// say so (see Asked).
func (b *ballot) abandoned() bool {
	return b.void() && b.self|b.dead|b.voids == b.all()
}

// hopeless says whether those who are left are no majority of the voters.
// Deaths are final, and so is a member's being in another cluster: no leader
// will ever be elected again.
func (b *ballot) hopeless() bool {
	voters := ^uint64(0) >> (MaxMembers - b.list.Voters)
	return bits.OnesCount64(voters&^(b.dead|b.elsewhere)) < majority(b.list.Voters)
}

// inVain says whether everybody who is left has said Vain.
func (b *ballot) inVain() bool {
	return b.vain && b.self|b.dead|b.elsewhere|b.vains == b.all()
}

// unknown is the set of those whom there is a reason to ask.
func (b *ballot) unknown(p phase) uint64 {
	others := b.all() &^ (b.self | b.dead)
	switch {
	case p == bound:
		return others
	case b.vain:
		return others &^ (b.vains | b.elsewhere)
	}
	return others &^ (b.started | b.elsewhere)
}
