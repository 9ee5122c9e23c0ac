package clustertest

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// A flow carries things from one host to another in the order in which they
// were sent, subject to the faults of their direction. Each half of a
// connection is one.
type flow struct {
	net   *Network
	id    uint64
	owner *Host // the sender; nothing of what it sent survives it
	way   direction
	reset func() // delivered instead of the rest where the sender is killed
	queue []item // sent and not yet delivered
	timer *time.Timer
}

// An item is delivered by calling arrive, with the network locked.
type item struct {
	at     time.Time // not before
	arrive func()
}

func (n *Network) newFlowLocked(owner *Host, way direction) *flow {
	n.made++
	return &flow{net: n, id: n.made, owner: owner, way: way}
}

// sendLocked sends something, which is delivered before it returns where no
// fault prevents that.
func (f *flow) sendLocked(arrive func()) {
	at := time.Now().Add(f.net.delayLocked(f.way))
	f.queue = append(f.queue, item{at, arrive})
	f.net.flows[f] = struct{}{}
	if len(f.queue) == 1 {
		f.pumpLocked()
	}
}

// pumpLocked delivers what is due.
func (f *flow) pumpLocked() {
	for len(f.queue) > 0 {
		if f.net.linkLocked(f.way).cut || f.net.pausedLocked(f.way) {
			return
		}
		if wait := time.Until(f.queue[0].at); wait > 0 {
			f.armLocked(wait)
			return
		}
		arrive := f.queue[0].arrive
		f.queue = f.queue[1:]
		arrive()
	}
	delete(f.net.flows, f)
}

func (f *flow) armLocked(wait time.Duration) {
	if f.timer != nil {
		f.timer.Stop()
	}
	f.timer = time.AfterFunc(wait, func() {
		f.net.mu.Lock()
		defer f.net.mu.Unlock()
		f.pumpLocked()
	})
}

// dropLocked forgets everything that was not delivered.
func (f *flow) dropLocked() {
	f.queue = nil
	delete(f.net.flows, f)
}

// inOrder returns flows in the order in which they were made.
func inOrder(flows map[*flow]struct{}) []*flow {
	return slices.SortedFunc(maps.Keys(flows), func(a, b *flow) int { return cmp.Compare(a.id, b.id) })
}
