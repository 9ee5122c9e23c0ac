package founding

import "time"

// unnamed is how long DNS must not have named an address before its owner can
// be called dead.
const unnamed = time.Minute

// Evidence is what is known of a node's life. Times are of one monotonic
// clock. Dead in gossip alone is no evidence: it may be cut off. Nor is an
// address that DNS names: a container restarted in place keeps its pod's.
type Evidence struct {
	Member    Member
	Living    []Sighting    // those whom gossip says alive
	LostAt    time.Duration // when the member was last seen alive in gossip; when its name was first heard, if never
	Forgotten bool          // people have said that it will not come back

	Answering  string        // identity that was last proved in a handshake at the member's address; empty if none
	AnsweredAt time.Duration // when

	LookedUp time.Duration // last time that DNS answered for all names
	NamedAt  time.Duration // last time that it named the member's address; when that was first heard, if never
}

// Sighting is a node that gossip says is alive.
type Sighting struct {
	Member
	ProvedAt time.Duration // last time that it proved its ID or answered on a connection on which it had; zero if never
}

// Dead says whether the evidence suffices to call the node dead, which is
// never taken back. A durable node that is gone may return as itself: it is
// dead only when another took its name, or people said so. The other must have
// proved itself since the member was last seen: gossip goes on showing a dead
// node for a while, and the older of two of one name must not bury the newer.
func (e Evidence) Dead() bool {
	replaced := false
	for _, m := range e.Living {
		if m.ID == e.Member.ID {
			return false
		}
		replaced = replaced || m.Name != "" && m.Name == e.Member.Name && m.ProvedAt > e.LostAt
	}
	if e.Forgotten {
		return true
	}
	if e.Member.Durable {
		return replaced
	}
	// A handshake from before it was last seen was of the address's owner
	// before it.
	if e.Answering != "" && e.Answering != e.Member.ID && e.AnsweredAt > e.LostAt {
		return true
	}
	answers := e.Answering == e.Member.ID && e.AnsweredAt > e.LookedUp-unnamed
	return !answers && e.LookedUp-max(e.NamedAt, e.LostAt) >= unnamed
}
