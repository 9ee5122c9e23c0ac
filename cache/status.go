package cache

import (
	"maps"
	"slices"
	"strconv"
)

// A Ring says who serves the cache, as one node knows it.
type Ring struct {
	Version uint64       `json:"version" doc:"index of the log entry that changed it last"`
	Settled bool         `json:"settled" doc:"whether all who serve are known to know of it"`
	Members []RingMember `json:"members"`
}

// A RingMember is a node that serves.
type RingMember struct {
	ID    string  `json:"id"`
	Share float64 `json:"share" doc:"of all keys, from 0 to 1"`
}

// Ring returns who serves. It has no members where this node knows of none.
func (c *Cache) Ring() Ring {
	v := c.seat.view()
	r := v.ring()
	if r == nil {
		return Ring{Members: []RingMember{}}
	}
	shares := r.shares()
	out := Ring{Version: r.version, Settled: v.settled && len(v.rings) == 1, Members: make([]RingMember, len(r.members))}
	for i, m := range r.members {
		out.Members[i] = RingMember{m.id, shares[m.id]}
	}
	return out
}

// shares returns how much of the ring is each member's: from each of its spots
// back to the one before it. Where the spots are is consistenthash's doing,
// which does not tell.
func (g *ring) shares() map[string]float64 {
	owners := map[uint32]string{}
	for _, m := range g.members {
		for i := range spots {
			owners[ringHash([]byte(strconv.Itoa(i)+m.id))] = m.id
		}
	}
	shares, at := map[string]float64{}, slices.Sorted(maps.Keys(owners))
	for i, spot := range at {
		arc := float64(spot - at[(i+len(at)-1)%len(at)]) // wraps around
		shares[owners[spot]] += arc / (1 << 32)
	}
	if len(at) == 1 {
		shares[owners[at[0]]] = 1
	}
	return shares
}
