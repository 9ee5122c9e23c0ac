package cache

import (
	"slices"
	"time"
)

// A handover is what this node has still to give and to get since the ring has
// changed.
//
// A key goes along all who have owned it, one after another, for each of them
// may have kept something newer: it comes from the node that owned it before
// this one did, and goes to the one that owned it next. So the rings are
// remembered since the last one by which everything was in its place. Where a
// third ring comes before that, a node that has lost what it had hardly gained
// is still given it, and hands it on.
type handover struct {
	rings    []*ring             // the last one by which nothing was under way, and those after it
	arrivals map[string]*arrival // from whom something may come, by ID
	given    uint64              // version of the last ring by which this node has given everything
	changed  chan struct{}       // closed when given has grown, or an arrival has ended
}

// An arrival is what another node has still to hand over.
type arrival struct {
	until   time.Time          // by when it is given up
	written map[place]struct{} // what was kept here since: whatever arrives is older
}

// present returns the present ring, nil where none is known.
func (h *handover) present() *ring {
	if len(h.rings) == 0 {
		return nil
	}
	return h.rings[len(h.rings)-1]
}

// source returns who owned a key before this node, when it did last, if that
// was since the first of the rings; and empty where nobody did.
func (h *handover) source(self, key string) string {
	wasMine := false
	for _, r := range slices.Backward(h.rings) {
		owner := r.owner(key)
		if wasMine && owner != self {
			return owner
		}
		wasMine = wasMine || owner == self
	}
	return ""
}

// heir returns who owned a key after this node, when it did last, and empty
// where it is this node's still, or never was.
func (h *handover) heir(self, key string) (next string) {
	for _, r := range slices.Backward(h.rings) {
		owner := r.owner(key)
		if owner == self {
			return next
		}
		next = owner
	}
	return ""
}

// passesOn reports whether something that another node has still to hand over
// may be a third one's by now: it became this node's when this one came or the
// other one went, and somebody has come since, or this one has gone.
func (h *handover) passesOn(self, from string) bool {
	gained := false
	for i := 1; i < len(h.rings); i++ {
		r, before := h.rings[i], h.rings[i-1]
		if gained && (r.find(self) < 0 || slices.ContainsFunc(r.members, func(m member) bool { return before.find(m.id) < 0 })) {
			return true
		}
		cameNow := r.find(self) >= 0 && before.find(self) < 0
		wentNow := r.find(from) < 0 && before.find(from) >= 0
		gained = gained || cameNow || wentNow
	}
	return false
}

// trim forgets rings that matter no more.
func (h *handover) trim() {
	if last := len(h.rings) - 1; last > 0 && len(h.arrivals) == 0 && h.given >= h.rings[last].version {
		h.rings = h.rings[last:]
	}
}
