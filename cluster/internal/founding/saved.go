package founding

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
)

// Flags of what is kept.
const (
	savedList    = 1 << iota // a list follows: bound to it, or started it
	savedStarted             // has started it
	savedJoined              // in a cluster that a leader has added it to
	savedApplied             // a leader's entry has been applied
)

// appendSaved appends what a durable identity must not forget:
//
//	saved    = version byte (1), flags byte,
//	           [list, dead uvarint]     if flags has 1
//	           [cluster string]         if flags has 4
//	           count uvarint, count × answered
//	answered = proposer string, number uvarint
//
// Flags: 1 a list, bound to it or (2) started; 4 in a cluster without a list;
// 8 a leader's entry is applied. Bit i of dead: the list's member i has been
// called dead, so that void is said of the list. Answered are, in ascending
// order, the proposers and the highest numbers of their lists that were
// answered; all but the list above were refused or are dead.
func (c *Core) appendSaved(b []byte) []byte {
	flags := flag(c.ballot != nil, savedList) | flag(c.phase == started, savedStarted) |
		flag(c.phase == joined, savedJoined) | flag(c.applied, savedApplied)
	b = append(b, version, flags)
	if c.ballot != nil {
		b = appendList(b, c.ballot.list)
		b = binary.AppendUvarint(b, c.ballot.dead)
	}
	if c.phase == joined {
		b = appendString(b, c.cluster)
	}
	b = binary.AppendUvarint(b, uint64(len(c.answered)))
	for _, proposer := range slices.Sorted(maps.Keys(c.answered)) {
		b = binary.AppendUvarint(appendString(b, proposer), c.answered[proposer])
	}
	return b
}

// restore is the reverse of appendSaved, on a new core. What the cluster
// needs to be started comes with the first step.
func (c *Core) restore(data []byte) error {
	r := newReader(data)
	flags := r.byte()
	if flags&savedList != 0 {
		l := r.list()
		dead := r.uvarint()
		if r.err != nil {
			return r.err
		}
		if err := c.restoreBallot(l, dead, flags); err != nil {
			return err
		}
	}
	if flags&savedJoined != 0 {
		c.phase, c.cluster = joined, r.string()
		c.out.Join = c.cluster
	}
	n := r.uvarint()
	if n > maxProposers+2 {
		r.fail("%d proposers", n)
	}
	for i := uint64(0); i < n && r.err == nil; i++ {
		proposer := r.string()
		c.answered[proposer] = r.uvarint()
	}
	c.applied = flags&savedApplied != 0
	if flags >= savedApplied<<1 || flags&savedList != 0 && flags&savedJoined != 0 {
		r.fail("flags %d", flags)
	}
	return r.end()
}

func (c *Core) restoreBallot(l List, dead uint64, flags byte) error {
	if err := l.Check(); err != nil {
		return err
	}
	if l.Index(c.cfg.Self.ID) < 0 {
		return fmt.Errorf("list of another identity: %w", ErrNotMember)
	}
	c.phase, c.ballot = bound, newBallot(l, c.cfg.Self.ID)
	for i, m := range l.Members {
		if dead&(1<<i) != 0 {
			c.bury(m.ID)
		}
	}
	if flags&savedStarted != 0 {
		c.phase, c.cluster = started, l.Cluster
		c.ballot.promises = c.ballot.all()
		c.out.Bootstrap = &c.ballot.list
	}
	c.unsaved = false
	return nil
}
