package counters

import (
	"context"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
)

// sightTime is how long this node may deny by itself after it has asked the
// log something, and so how long a reset elsewhere may go unnoticed.
const sightTime = time.Second

// A sighting is what an answer of the log tells of the cluster. The question
// was sent before the answer was stamped, so that
//
//   - whatever was acknowledged before the question was sent is at or below
//     index: a replica that has applied index knows all of it;
//   - the lease time was at most lease when the question was sent, and at least
//     lease when the answer came: a new leader's clock goes on where the last
//     stamp ended, and never ahead of this.
//
// That is why machine.Log's Now is not enough here: that a node has heard from
// the leader says nothing about what its replica has applied, and a leader that
// is only written to does not count as having heard.
type sighting struct {
	cluster  string
	index    uint64
	lease    time.Duration
	sent     time.Time
	answered time.Time
}

// drift is by how much two clocks may differ within a time.
func drift(elapsed time.Duration) time.Duration { return elapsed / 1000 }

// latest is the latest that the lease time can be.
func (s *sighting) latest(now time.Time) time.Duration {
	elapsed := now.Sub(s.sent)
	return s.lease + elapsed + drift(elapsed)
}

// earliest is the earliest that the lease time can be under one leader. While
// there is none it stands still, and nobody can say when anything will be
// admitted.
func (s *sighting) earliest(now time.Time) time.Duration {
	elapsed := now.Sub(s.answered)
	return s.lease + elapsed - drift(elapsed)
}

func (s *sighting) isRecent(now time.Time) bool { return s != nil && now.Sub(s.sent) < sightTime }

// sightings are what this node has heard lately. They are replaced, never
// changed.
type sightings struct {
	reached *sighting // the replica has applied it; nil where there is none
	next    *sighting // the replica may have to catch up with it
}

func newSighting(sent time.Time, at machine.Stamp) *sighting {
	return &sighting{cluster: at.Cluster, index: at.Index, lease: at.Lease, sent: sent, answered: time.Now()}
}

// note remembers an answer. One that the replica may not have applied yet is
// kept until it has: were it replaced by each later one, a node that denies all
// the time would never catch up with the last of them.
func (c *Counters) note(heard *sighting) {
	for {
		old, next := c.seen.Load(), &sightings{next: heard}
		if old != nil && old.isOf(heard.cluster) {
			if old.next.isRecent(heard.answered) {
				return
			}
			next.reached = old.reached
		}
		if c.seen.CompareAndSwap(old, next) {
			return
		}
	}
}

// isOf reports whether all that was seen was seen of one cluster.
func (s *sightings) isOf(cluster string) bool {
	return (s.next == nil || s.next.cluster == cluster) && (s.reached == nil || s.reached.cluster == cluster)
}

// deny answers calls that are certainly denied by this node's replica, and
// nil where they may not be.
func (c *Counters) deny(ctx context.Context, calls []call) []Result {
	seen, now := c.seen.Load(), time.Now()
	if seen == nil || !seen.next.isRecent(now) && !seen.reached.isRecent(now) {
		return nil
	}
	reply, at, err := c.log.Query(ctx, machine.Local, appendDeny(nil, seen.bounds(now), calls))
	if err != nil || !c.hasReached(seen, at, now) {
		return nil
	}
	d, err := opened(reply)
	if err != nil {
		return nil // statusAsk, as a rule
	}
	results, err := d.results(len(calls))
	if err != nil {
		return nil
	}
	return results
}

// bounds are between what the lease time is now, by all that was seen lately.
func (s *sightings) bounds(now time.Time) (b bounds) {
	for _, one := range []*sighting{s.reached, s.next} {
		if !one.isRecent(now) {
			continue
		}
		if latest := one.latest(now); b.latest == 0 || latest < b.latest {
			b.latest = latest
		}
		b.earliest = max(b.earliest, one.earliest(now))
	}
	b.earliest = min(b.earliest, b.latest)
	return b
}

// hasReached reports whether a replica at a stamp knows all that was
// acknowledged a second ago.
func (c *Counters) hasReached(seen *sightings, at machine.Stamp, now time.Time) bool {
	if next := seen.next; next != nil && at.Cluster == next.cluster && at.Index >= next.index {
		c.seen.CompareAndSwap(seen, &sightings{reached: next})
		return next.isRecent(now)
	}
	reached := seen.reached
	return reached.isRecent(now) && at.Cluster == reached.cluster && at.Index >= reached.index
}
