package keyspace

import (
	"strings"
	"time"

	"github.com/tidwall/btree"
)

// entryCost is what Size counts for a key besides its own bytes and its
// value's: 130 bytes for the entry and its place in the tree, as measured by
// BenchmarkFootprint, and 50 for its deadline in the shell's index.
const entryCost = 180

// maxDeadline stands for a deadline that lease time cannot express, 292 years
// away. What is left of it is told by wall time.
const maxDeadline = time.Duration(1<<63 - 1)

// An expiry is when a key ends. The zero expiry is never.
type expiry struct {
	deadline time.Duration // lease time, the only one that decides; negative: it ended before it began
	wall     int64         // what EXPIRETIME answers: milliseconds since the epoch, as given or as expected when it was set
}

func (x expiry) isSet() bool { return x.deadline != 0 }

// isOver reports whether the time has come. A key is gone at its deadline, not
// behind it.
func (x expiry) isOver(lease time.Duration) bool {
	return x.deadline != 0 && x.deadline <= lease
}

// An entry is a key with what it holds.
//
// Snapshots share entries and values with the Space. An entry of the present
// generation (Space.generation) is shared with none: it was made, or copied
// with its value, after the last snapshot was taken, and may be changed in
// place. One of an earlier generation is never changed: a command puts another
// entry in its place, and copies the value before it changes that.
type entry struct {
	key   string
	value value
	expiry
	number     uint64 // of the last change, by the cluster's number source
	generation uint64 // of the value: whether it may be changed in place
}

func (e *entry) size() int64 { return entryCost + int64(len(e.key)) + e.value.size() }

// An item is an entry in its tree, with the hash that orders it close by.
type item struct {
	hash  uint64
	entry *entry // nil only in a pivot, which stands before all entries of its hash
}

func less(a, b item) bool {
	if a.hash != b.hash {
		return a.hash < b.hash
	}
	if a.entry == nil || b.entry == nil {
		return a.entry == nil && b.entry != nil
	}
	return strings.Compare(a.entry.key, b.entry.key) < 0
}

// A database is a tree of entries ordered by hash, then key: the order of SCAN
// and of snapshots. A Go map beside it would answer GET faster, but cannot be
// copied in O(1).
type database struct {
	tree    *btree.BTreeG[item]
	removed uint64 // number of the last change that took a key away
	swapped uint64 // number of the last SWAPDB
}

// hasEnded is set in the number of a key whose time has come and that has not
// been removed yet.
const hasEnded = 1 << 63

// watched returns the number that WATCH compares: it is another one after any
// change of the key. What happens to other keys may change that of an absent
// one too. The entry is that of the key, or nil.
func (d *database) watched(e *entry, lease time.Duration) uint64 {
	switch {
	case e == nil:
		return max(d.removed, d.swapped)
	case e.isOver(lease):
		return max(e.number, d.swapped) | hasEnded
	}
	return max(e.number, d.swapped)
}

// isUntouched reports whether the database has never held a key.
func (d *database) isUntouched() bool {
	return d.tree.Len() == 0 && d.removed == 0 && d.swapped == 0
}

func newTree() *btree.BTreeG[item] {
	return btree.NewBTreeGOptions(less, btree.Options{NoLocks: true})
}

// find returns the entry of key, expired or not, or nil.
func (d *database) find(hash uint64, key []byte) (found *entry) {
	d.tree.Ascend(item{hash: hash}, func(it item) bool {
		if it.hash == hash && it.entry.key == string(key) {
			found = it.entry
		}
		return it.hash == hash && found == nil
	})
	return found
}

// put stores e in place of what its key held.
func (d *database) put(hash uint64, e *entry) { d.tree.Set(item{hash, e}) }

// remove takes e out.
func (d *database) remove(hash uint64, e *entry) { d.tree.Delete(item{hash, e}) }

// deadlineKey names a key in the shell's index: its database, then its bytes.
func deadlineKey(db int, key string) []byte {
	name := make([]byte, 0, 1+len(key))
	return append(append(name, byte(db)), key...)
}
