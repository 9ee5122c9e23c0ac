package cache

import (
	"github.com/cespare/xxhash/v2"
	"github.com/golang/groupcache/consistenthash"
)

// spots is how many places a member has on the ring: with so many the largest
// share is about a tenth over the mean.
const spots = 256

// A ring says which member owns a key. It follows from the members alone, so
// every node that knows of the same ones has the same ring. It is never
// changed.
type ring struct {
	roster
	hash *consistenthash.Map
	prev *ring // the one before it, which has none; nil where none was known
}

func newRing(r *roster, before *ring) *ring {
	g := &ring{roster: *r, hash: consistenthash.New(spots, ringHash)}
	if before != nil {
		g.prev = &ring{roster: before.roster, hash: before.hash}
	}
	ids := make([]string, len(r.members))
	for i, m := range r.members {
		ids[i] = m.id
	}
	g.hash.Add(ids...)
	return g
}

// ringHash places members and keys. All nodes and releases must agree on it.
func ringHash(b []byte) uint32 { return uint32(xxhash.Sum64(b)) }

// owner returns the ID of the member that a key belongs to, empty where nobody
// serves.
func (g *ring) owner(key string) string {
	if g == nil {
		return ""
	}
	return g.hash.Get(key)
}

// gains reports whether a key has become a node's by this ring.
func (g *ring) gains(self, key string) bool { return g.owner(key) == self && g.prev.owner(key) != self }

// ringKey is what places a key of a group on the ring.
func (p place) ringKey() string { return p.group + "\x00" + p.key }
