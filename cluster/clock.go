package cluster

import (
	"sync"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
)

// A reign is a leader's time in office. It begins when the first command entry
// of the leader's term is applied, and keeps the cluster's clocks from there:
// both go on where the last stamp ended, and grow with this machine's monotonic
// clock, so that neither a leader change nor a wrong clock makes anything
// expire early.
type reign struct {
	term    uint64
	stamp   machine.Stamp    // the last one before the reign
	since   time.Time        // when the reign began; carries the monotonic clock
	ownWall func() time.Time // this node's wall clock

	mu     sync.Mutex    // guards the slew
	slew   time.Duration // by how much the wall time was moved towards ownWall
	slewed time.Duration // when that was, as an age of the reign
}

// maxSlew is by how much wall time may be moved in the time given.
func maxSlew(elapsed time.Duration) time.Duration { return elapsed / 1000 }

// newReign begins a reign after the given stamp. The wall time goes on at the
// later of the stamp's and wall, the median of the voters' clocks.
func newReign(term uint64, last machine.Stamp, wall time.Duration, ownWall func() time.Time) *reign {
	last.Wall = max(last.Wall, wall)
	return &reign{term: term, stamp: last, since: time.Now(), ownWall: ownWall}
}

// now returns the cluster's time as a stamp without a place in the log.
func (r *reign) now() machine.Stamp {
	age := time.Since(r.since)
	s := r.stamp
	s.Lease += age
	s.Wall += age + r.slewAt(age)
	return s
}

// slewAt moves the wall time towards this node's clock, by at most a
// millisecond a second.
func (r *reign) slewAt(age time.Duration) time.Duration {
	own := time.Duration(r.ownWall().UnixNano())
	r.mu.Lock()
	defer r.mu.Unlock()
	elapsed := age - r.slewed
	if elapsed <= 0 {
		return r.slew
	}
	want := own - (r.stamp.Wall + age) - r.slew
	limit := maxSlew(elapsed)
	r.slew += min(max(want, -limit), limit)
	r.slewed = age
	return r.slew
}

// lowerMedian returns the middle one of the clocks, the earlier of the two
// middle ones where their number is even: a clock that is ahead does harm, one
// that is behind is corrected by the last stamp.
func lowerMedian(sorted []time.Duration) time.Duration {
	return sorted[(len(sorted)-1)/2]
}
