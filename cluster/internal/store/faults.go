package store

import (
	"errors"
	"fmt"
	"sync"

	"github.com/hashicorp/raft"
)

// Kill closes the store as a killed process would: nothing is synced, and a
// directory bears no mark of an orderly stop. It is for tests, like Lossy.
func (s *Store) Kill() error { return s.end(false) }

// errCrashed is what a log gets to see of its machine's crash.
var errCrashed = errors.New("the machine has crashed")

// Lossy is a disk that loses, fails and hangs when it is told to, at the seam
// of the log: Wrap is a Config.Wrap. The zero value is a good disk. It outlives
// the node that uses it, which calls Wrap again at each start.
//
// A hanging call waits on a channel made by Hang: in a testing/synctest bubble
// it is durably blocked if Hang was called in it.
type Lossy struct {
	mu   sync.Mutex // guards the fields below, and those of log
	log  *lossyLog  // the newest that Wrap has returned
	hold bool
	err  error
	hang chan struct{} // closed by Release; nil if the disk does not hang
}

// Wrap puts the disk's faults in front of a log. What an earlier log still
// held is lost.
func (l *Lossy) Wrap(under raft.LogStore) raft.LogStore {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.log != nil {
		l.log.crashed = true
	}
	l.log = &lossyLog{disk: l, under: under}
	return l.log
}

// Hold makes writes return before they are synced, and keep them where Crash
// loses them until Sync.
func (l *Lossy) Hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hold = true
}

// Sync writes what is held, and ends Hold.
func (l *Lossy) Sync() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hold = false
	if l.log == nil {
		return nil
	}
	return l.log.flushLocked()
}

// Crash loses what is held. The log fails from now on, hanging calls included;
// the disk is well again, for the next Wrap.
func (l *Lossy) Crash() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.log != nil {
		l.log.crashed = true
	}
	l.err = nil
	l.releaseLocked()
}

// Hang makes writes wait for Release, and then take effect, or for Crash.
func (l *Lossy) Hang() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hang == nil {
		l.hang = make(chan struct{})
	}
}

// Release ends Hang.
func (l *Lossy) Release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.releaseLocked()
}

func (l *Lossy) releaseLocked() {
	if l.hang != nil {
		close(l.hang)
		l.hang = nil
	}
}

// Fail makes writes fail with err and change nothing, until Fail(nil).
func (l *Lossy) Fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

// lossyLog is a log on a Lossy disk. While it holds anything, what it shows is
// the entries of under up to kept, then those of held.
type lossyLog struct {
	disk    *Lossy
	under   raft.LogStore
	crashed bool
	dirty   bool      // under is not what this log shows
	first   uint64    // if dirty: index of the oldest entry; 0 if there is none
	kept    uint64    // if dirty: index of the newest entry that under has; 0 if it has none
	held    memoryLog // if dirty: entries after kept
}

// write waits while the disk hangs, and calls fn with the lock held unless it
// fails.
func (l *lossyLog) write(fn func() error) error {
	d := l.disk
	for {
		d.mu.Lock()
		hang := d.hang
		if l.crashed {
			d.mu.Unlock()
			return errCrashed
		}
		if hang == nil {
			defer d.mu.Unlock()
			if d.err != nil {
				return d.err
			}
			return fn()
		}
		d.mu.Unlock()
		<-hang
	}
}

// holdLocked prepares for a write that under is not to see yet.
func (l *lossyLog) holdLocked() (err error) {
	if l.dirty {
		return nil
	}
	if l.first, err = l.under.FirstIndex(); err != nil {
		return err
	}
	if l.kept, err = l.under.LastIndex(); err != nil {
		return err
	}
	l.dirty = true
	return nil
}

// flushLocked makes under what this log shows.
func (l *lossyLog) flushLocked() error {
	if !l.dirty || l.crashed {
		return nil
	}
	first, err := l.under.FirstIndex()
	if err != nil {
		return err
	}
	last, err := l.under.LastIndex()
	if err != nil {
		return err
	}
	cuts := [][2]uint64{{l.kept + 1, last}, {first, min(l.first-1, last)}}
	if l.kept == 0 {
		cuts = [][2]uint64{{first, last}}
	}
	for _, cut := range cuts {
		if first > 0 && cut[0] <= cut[1] {
			if err := l.under.DeleteRange(cut[0], cut[1]); err != nil {
				return err
			}
		}
	}
	entries := make([]*raft.Log, l.held.entries.len())
	for i := range entries {
		entry := l.held.entries.at(i)
		entries[i] = &entry
	}
	if err := l.under.StoreLogs(entries); len(entries) > 0 && err != nil {
		return err
	}
	l.dirty, l.first, l.kept, l.held.entries = false, 0, 0, deque[raft.Log]{}
	return nil
}

// StoreLog appends an entry.
func (l *lossyLog) StoreLog(entry *raft.Log) error { return l.StoreLogs([]*raft.Log{entry}) }

// StoreLogs appends entries.
func (l *lossyLog) StoreLogs(entries []*raft.Log) error {
	return l.write(func() error {
		if !l.disk.hold && !l.dirty {
			return l.under.StoreLogs(entries)
		}
		if err := l.holdLocked(); err != nil {
			return err
		}
		if last := l.lastLocked(); last > 0 && entries[0].Index != last+1 {
			return fmt.Errorf("entry %d does not follow entry %d", entries[0].Index, last)
		}
		if err := l.held.StoreLogs(entries); err != nil {
			return err
		}
		if l.first == 0 {
			l.first = entries[0].Index
		}
		return nil
	})
}

// DeleteRange deletes entries at either end.
func (l *lossyLog) DeleteRange(from, to uint64) error {
	return l.write(func() error {
		if !l.disk.hold && !l.dirty {
			return l.under.DeleteRange(from, to)
		}
		if err := l.holdLocked(); err != nil {
			return err
		}
		last := l.lastLocked()
		lo, hi := clip(from, to, l.first, last)
		switch {
		case lo > hi:
			return nil
		case lo == l.first && hi == last:
			l.first, l.kept = 0, 0
		case lo == l.first:
			l.first = hi + 1
			if l.kept < l.first {
				l.kept = 0
			}
		case hi == last:
			if l.kept >= lo {
				l.kept = lo - 1
			}
		default:
			return errMiddle
		}
		return l.held.DeleteRange(lo, hi)
	})
}

func (l *lossyLog) lastLocked() uint64 {
	if l.held.entries.len() > 0 {
		return l.held.lastLocked()
	}
	return l.kept
}

// FirstIndex returns the index of the oldest entry, or 0.
func (l *lossyLog) FirstIndex() (uint64, error) {
	l.disk.mu.Lock()
	defer l.disk.mu.Unlock()
	if l.dirty {
		return l.first, nil
	}
	return l.under.FirstIndex()
}

// LastIndex returns the index of the newest entry, or 0.
func (l *lossyLog) LastIndex() (uint64, error) {
	l.disk.mu.Lock()
	defer l.disk.mu.Unlock()
	if l.dirty {
		return l.lastLocked(), nil
	}
	return l.under.LastIndex()
}

// GetLog reads an entry, or returns raft.ErrLogNotFound.
func (l *lossyLog) GetLog(index uint64, out *raft.Log) error {
	l.disk.mu.Lock()
	defer l.disk.mu.Unlock()
	if !l.dirty {
		return l.under.GetLog(index, out)
	}
	if l.first == 0 || index < l.first {
		return raft.ErrLogNotFound
	}
	if index <= l.kept {
		return l.under.GetLog(index, out)
	}
	return l.held.GetLog(index, out)
}
