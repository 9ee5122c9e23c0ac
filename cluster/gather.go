package cluster

import (
	"context"
	"time"
)

const (
	gatherTime = time.Millisecond // the longest that something waits for company
	gatherRest = 64               // rounds that are made without waiting, at most, after nobody came
)

// A gathering decides when those who wait are served together, in one round.
//
// Callers who wait for their answers call again as soon as they have them. So
// when a round is answered, those who were in it are waited for, together with
// those who came meanwhile: else the two would stay apart for ever, in rounds
// half as full, and a full round costs little more than an empty one. Nobody
// waits longer than gatherTime, and where that was in vain the next rounds are
// made without waiting.
//
// It is guarded by the mutex of whoever has it.
type gathering struct {
	want   int // how many are enough; 0 where one is
	misses int // how many rounds rest was last
	rest   int // rounds to be made without waiting
}

// landed notes that a round of n was answered, while others wait.
func (g *gathering) landed(n, waiting int) {
	if g.rest > 0 {
		g.rest--
		return
	}
	g.want = n + waiting
}

// isFull reports whether those who wait are to be served.
func (g *gathering) isFull(waiting int) bool { return waiting >= max(g.want, 1) }

// leave notes that those who wait are served now. It must be called as well
// where nobody does, before whoever comes next is relied on to wake the one who
// serves.
func (g *gathering) leave(waiting int) {
	if waiting < g.want {
		g.misses = min(2*g.misses+1, gatherRest)
		g.rest = g.misses
	} else {
		g.misses = 0
	}
	g.want = 0
}

// gather waits for gatherTime, unless isFull reports true before. It is asked
// again whenever wake tells. It is called after a round, whether somebody waits
// or not.
func gather(ctx context.Context, wake <-chan struct{}, isFull func() bool) {
	if isFull() {
		return
	}
	patience := time.NewTimer(gatherTime)
	defer patience.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-patience.C:
			return
		case <-wake:
			if isFull() {
				return
			}
		}
	}
}
