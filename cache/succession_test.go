package cache

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// A key goes along its owners, each of which knows the one before it and the
// one behind it, however the ring changes meanwhile.
func TestKeysGoAlongTheirOwners(t *testing.T) {
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 1))
		var h handover
		for version := range uint64(2 + random.IntN(5)) {
			r := roster{version: version + 1}
			for i := range 6 {
				if i == 0 || random.IntN(3) > 0 {
					r.members = append(r.members, member{id: fmt.Sprint("node", i)})
				}
			}
			h.rings = append(h.rings, newRing(&r, h.present()))
		}
		for k := range 200 {
			key := fmt.Sprint("key", k)
			var owners []string // one after another
			for _, r := range h.rings {
				if o := r.owner(key); len(owners) == 0 || owners[len(owners)-1] != o {
					owners = append(owners, o)
				}
			}
			source, heir := map[string]string{}, map[string]string{}
			for i, o := range owners { // the last time counts
				source[o], heir[o] = "", ""
				if i > 0 {
					source[o] = owners[i-1]
				}
				if i+1 < len(owners) {
					heir[o] = owners[i+1]
				}
			}
			for i := range 6 {
				id := fmt.Sprint("node", i)
				if got := h.source(id, key); got != source[id] {
					t.Errorf("seed %d: %s of %v has it from %q, want %q", seed, id, owners, got, source[id])
				}
				if got := h.heir(id, key); got != heir[id] {
					t.Errorf("seed %d: %s of %v gives it to %q, want %q", seed, id, owners, got, heir[id])
				}
				if from := source[id]; from != "" && heir[id] != "" && !h.passesOn(id, from) {
					t.Errorf("seed %d: %s of %v does not wait for %s", seed, id, owners, from)
				}
			}
		}
	}
}
