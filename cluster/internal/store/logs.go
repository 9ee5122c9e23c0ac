package store

import (
	"errors"
	"fmt"
	"sync"

	"github.com/hashicorp/raft"
)

// entryOverhead is about what an entry takes beside its data.
const entryOverhead = 128

// logs is the log as Raft sees it. It stands in front of what the entries are
// kept in and owns what both kinds need: contiguous indexes, the size in
// bytes, the recent entries, the watch over failed and hanging writes.
type logs struct {
	under     raft.LogStore
	health    *health
	stall     *stall
	snapshots *snapshots
	maxBytes  int64
	onFull    func()

	mu    sync.RWMutex // guards the fields below, which describe under; not held while it works
	first uint64       // index of the oldest entry; 0 if there is none
	sizes deque[uint32]
	bytes int64 // sum of sizes
	full  bool  // onFull was called, and nothing deleted since
	cache *cache
}

func sizeOf(l *raft.Log) uint32 {
	return uint32(len(l.Data) + len(l.Extensions) + entryOverhead)
}

// load reads the log from end to end: it learns the sizes, and finds out here,
// with an error, what would be a panic in raft.NewRaft.
func (l *logs) load() error {
	first, err := l.under.FirstIndex()
	if err != nil {
		return fmt.Errorf("reading the log: %w", err)
	}
	last, err := l.under.LastIndex()
	if err != nil {
		return fmt.Errorf("reading the log: %w", err)
	}
	if first == 0 {
		return nil
	}
	covered := l.snapshots.newestIndex()
	if first > covered+1 {
		return fmt.Errorf("%w: the log begins at %d, and no whole snapshot reaches further than %d", ErrDamaged, first, covered)
	}
	for i := first; i <= last; i++ {
		var entry raft.Log
		if err := l.under.GetLog(i, &entry); err != nil {
			return fmt.Errorf("%w: reading log entry %d of %d to %d: %w", ErrDamaged, i, first, last, err)
		}
		if entry.Index != i {
			return fmt.Errorf("%w: log entry %d says that it is %d", ErrDamaged, i, entry.Index)
		}
		l.addLocked(&entry)
	}
	return nil
}

// last returns the index of the newest entry; 0 if there is none.
func (l *logs) lastLocked() uint64 {
	if l.first == 0 {
		return 0
	}
	return l.first + uint64(l.sizes.len()) - 1
}

func (l *logs) addLocked(entry *raft.Log) {
	if l.first == 0 {
		l.first = entry.Index
	}
	n := sizeOf(entry)
	l.sizes.push(n)
	l.bytes += int64(n)
	if l.cache != nil {
		l.cache.add(entry)
	}
}

// FirstIndex returns the index of the oldest entry, or 0.
func (l *logs) FirstIndex() (uint64, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.first, nil
}

// LastIndex returns the index of the newest entry, or 0.
func (l *logs) LastIndex() (uint64, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.lastLocked(), nil
}

// GetLog reads one entry, or returns raft.ErrLogNotFound.
func (l *logs) GetLog(index uint64, out *raft.Log) error {
	l.mu.RLock()
	found := index >= l.first && index <= l.lastLocked() && l.first > 0
	cached := found && l.cache != nil && l.cache.get(index, out)
	l.mu.RUnlock()
	switch {
	case !found:
		return raft.ErrLogNotFound
	case cached:
		return nil
	}
	return l.under.GetLog(index, out)
}

// StoreLog appends one entry.
func (l *logs) StoreLog(entry *raft.Log) error { return l.StoreLogs([]*raft.Log{entry}) }

// StoreLogs appends entries, which must follow the last one or, where a
// snapshot holds all that is left out, begin after it.
func (l *logs) StoreLogs(entries []*raft.Log) error {
	if len(entries) == 0 {
		return nil
	}
	if err := l.health.refuse(); err != nil {
		return fmt.Errorf("appending to the log: %w", err)
	}
	defer l.stall.begin().end()
	err := l.closeGap(entries)
	if err == nil {
		err = l.under.StoreLogs(entries)
	}
	if err != nil {
		err = fmt.Errorf("appending to the log: %w", err)
		l.health.fail(err)
		return err
	}
	if l.record(entries) && l.onFull != nil {
		l.onFull()
	}
	return nil
}

// closeGap drops the log if entries do not follow it, and a snapshot allows
// that. Anything else out of order means that Raft's idea of the log is not
// ours, as it is after a failed write, and is refused.
func (l *logs) closeGap(entries []*raft.Log) error {
	for i := range entries[1:] {
		if entries[i+1].Index != entries[i].Index+1 {
			return fmt.Errorf("entry %d does not follow entry %d", entries[i+1].Index, entries[i].Index)
		}
	}
	l.mu.RLock()
	first, last := l.first, l.lastLocked()
	l.mu.RUnlock()
	next := entries[0].Index
	switch {
	case next == last+1:
		return nil
	case next <= last || next-1 > l.snapshots.newestIndex():
		return fmt.Errorf("entry %d does not follow entry %d, nor a snapshot", next, last)
	case last == 0:
		return nil
	}
	if err := l.under.DeleteRange(first, last); err != nil {
		return fmt.Errorf("dropping what the snapshot holds: %w", err)
	}
	l.forget(first, last)
	return nil
}

// record takes note of appended entries and reports whether the log has now
// grown full.
func (l *logs) record(entries []*raft.Log) (full bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, entry := range entries {
		l.addLocked(entry)
	}
	if l.full || l.bytes <= l.maxBytes {
		return false
	}
	l.full = true
	return true
}

var errMiddle = errors.New("the range is neither the beginning nor the end of the log")

// DeleteRange deletes entries at the beginning or at the end of the log, both
// bounds included. Parts of the range that the log does not hold are no error.
func (l *logs) DeleteRange(from, to uint64) error {
	if err := l.health.refuse(); err != nil {
		return fmt.Errorf("deleting log entries %d to %d: %w", from, to, err)
	}
	l.mu.RLock()
	first, last := l.first, l.lastLocked()
	l.mu.RUnlock()
	lo, hi := clip(from, to, first, last)
	if lo > hi {
		return nil
	}
	if lo > first && hi < last {
		return fmt.Errorf("deleting log entries %d to %d of %d to %d: %w", from, to, first, last, errMiddle)
	}
	defer l.stall.begin().end()
	if err := l.under.DeleteRange(lo, hi); err != nil {
		err = fmt.Errorf("deleting log entries %d to %d: %w", lo, hi, err)
		l.health.fail(err)
		return err
	}
	l.forget(lo, hi)
	return nil
}

// clip returns the part of lo to hi that lies within first to last; nothing
// (lo > hi) if there is none.
func clip(lo, hi, first, last uint64) (uint64, uint64) {
	if first == 0 {
		return 1, 0
	}
	return max(lo, first), min(hi, last)
}

// forget takes note of deleted entries. The log may have changed since the
// caller looked: Raft compacts it from another goroutine than it appends from.
func (l *logs) forget(lo, hi uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lo, hi = clip(lo, hi, l.first, l.lastLocked())
	if lo > hi {
		return
	}
	l.full = false
	if l.cache != nil {
		l.cache.remove(lo, hi)
	}
	pop := l.sizes.popFront
	if lo > l.first {
		pop = l.sizes.popBack
	} else {
		l.first = hi + 1
	}
	for range hi - lo + 1 {
		l.bytes -= int64(pop())
	}
	if l.sizes.len() == 0 {
		l.first = 0
	}
}

func (l *logs) size() int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.bytes
}

func (l *logs) trailingFor(bytes int64) uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	n := l.sizes.len()
	for i := n - 1; i >= 0; i-- {
		if bytes -= int64(l.sizes.at(i)); bytes < 0 {
			return uint64(n - 1 - i)
		}
	}
	return uint64(n)
}
