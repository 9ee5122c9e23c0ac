package store

import "github.com/hashicorp/raft"

// A cache keeps the newest entries of a log, so many at most and in so many
// bytes: Raft reads what it has just written once for each follower, and once
// more to apply it. It is bounded in bytes, as raft.LogCache is not: 512
// entries of the longest value would be gigabytes. Its owner locks it.
type cache struct {
	entries  deque[raft.Log]
	first    uint64 // index of entries.at(0), if there is one
	bytes    int64
	maxCount int
	maxBytes int64
}

func newCache(maxCount int, maxBytes int64) *cache {
	return &cache{maxCount: maxCount, maxBytes: maxBytes}
}

// add takes the entry that follows the newest.
func (c *cache) add(entry *raft.Log) {
	if c.entries.len() == 0 {
		c.first = entry.Index
	}
	c.entries.push(*entry)
	c.bytes += int64(sizeOf(entry))
	for c.entries.len() > c.maxCount || c.bytes > c.maxBytes {
		c.popFront()
	}
}

func (c *cache) get(index uint64, out *raft.Log) bool {
	if index < c.first || index-c.first >= uint64(c.entries.len()) {
		return false
	}
	*out = c.entries.at(int(index - c.first))
	return true
}

// remove forgets lo to hi, which are the beginning or the end of the log.
func (c *cache) remove(lo, hi uint64) {
	for c.entries.len() > 0 && lo <= c.first && c.first <= hi {
		c.popFront()
	}
	for n := c.entries.len(); n > 0 && lo <= c.first+uint64(n)-1 && c.first+uint64(n)-1 <= hi; n-- {
		entry := c.entries.popBack()
		c.bytes -= int64(sizeOf(&entry))
	}
}

func (c *cache) popFront() {
	entry := c.entries.popFront()
	c.bytes -= int64(sizeOf(&entry))
	c.first++
}
