package store

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
)

// boltLog keeps a log in a BoltDB file. BoltDB reads through a memory map and
// panics, or faults, where the file does not hold what it expects; here that
// is an error.
type boltLog struct {
	db *raftboltdb.BoltStore
}

// boltOptions for every opening. The free list is not written with each
// commit, but found again at the next opening.
func boltOptions(noSync bool) raftboltdb.Options {
	return raftboltdb.Options{
		NoSync: noSync,
		BoltOptions: &bbolt.Options{
			Timeout:        time.Second,
			NoFreelistSync: true,
			FreelistType:   bbolt.FreelistMapType,
			NoSync:         noSync,
		},
	}
}

// createBoltLog makes an empty log.
func createBoltLog(path string) (err error) {
	defer guard(&err)()
	options := boltOptions(false)
	options.Path = path
	db, err := raftboltdb.New(options)
	if err != nil {
		return fmt.Errorf("creating log: %w", err)
	}
	return db.Close()
}

func openBoltLog(path string, noSync bool) (_ *boltLog, err error) {
	defer guard(&err)()
	// The file was made with the identity. If it is missing the node has
	// forgotten what it acknowledged, and must not come back as itself.
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s is missing", ErrDamaged, path)
	}
	if err := walkBolt(path); err != nil {
		return nil, err
	}
	options := boltOptions(noSync)
	options.Path = path
	db, err := raftboltdb.New(options)
	if err != nil {
		return nil, fmt.Errorf("opening log: %w", err)
	}
	return &boltLog{db}, nil
}

// walkBolt reads every page that a BoltDB file refers to. Opening it for
// writing does that too, but in a goroutine of its own, where a panic would be
// the process' end.
func walkBolt(path string) (err error) {
	defer guard(&err)()
	db, err := bbolt.Open(path, 0, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return fmt.Errorf("%w: opening log: %w", ErrDamaged, err)
	}
	defer db.Close()
	sum := byte(0)
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error {
			return b.ForEach(func(_, v []byte) error {
				for i := 0; i < len(v); i += slotSize {
					sum ^= v[i]
				}
				return nil
			})
		})
	})
	if err != nil {
		return fmt.Errorf("%w: reading log: %w", ErrDamaged, err)
	}
	return nil
}

// guard returns a function to be deferred that turns a panic, or a fault of
// the memory map, into an error.
func guard(err *error) func() {
	before := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(before)
		if r := recover(); r != nil {
			*err = fmt.Errorf("%w: log: %v", ErrDamaged, r)
		}
	}
}

// FirstIndex returns the index of the oldest entry, or 0.
func (l *boltLog) FirstIndex() (_ uint64, err error) {
	defer guard(&err)()
	return l.db.FirstIndex()
}

// LastIndex returns the index of the newest entry, or 0.
func (l *boltLog) LastIndex() (_ uint64, err error) {
	defer guard(&err)()
	return l.db.LastIndex()
}

// GetLog reads an entry, or returns raft.ErrLogNotFound.
func (l *boltLog) GetLog(index uint64, out *raft.Log) (err error) {
	defer guard(&err)()
	return l.db.GetLog(index, out)
}

// StoreLog appends an entry.
func (l *boltLog) StoreLog(entry *raft.Log) error { return l.StoreLogs([]*raft.Log{entry}) }

// StoreLogs appends entries, all or none.
func (l *boltLog) StoreLogs(entries []*raft.Log) (err error) {
	defer guard(&err)()
	return l.db.StoreLogs(entries)
}

// DeleteRange deletes entries.
func (l *boltLog) DeleteRange(from, to uint64) (err error) {
	defer guard(&err)()
	return l.db.DeleteRange(from, to)
}

func (l *boltLog) sync() (err error) {
	defer guard(&err)()
	return l.db.Sync()
}

func (l *boltLog) close() (err error) {
	defer guard(&err)()
	return l.db.Close()
}
