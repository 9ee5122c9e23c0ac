package store

import (
	"encoding/binary"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
)

// keyCurrentTerm is hashicorp/raft's name for the term, which it panics about
// when it cannot be saved.
const keyCurrentTerm = "CurrentTerm"

// votes keeps a small set of values. read returns what write has last taken;
// once write has returned nil, that outlives a power failure.
type votes interface {
	read() map[string]string
	write(values map[string]string) error
}

// stable is the store of term and vote. It holds them in memory, writes a set
// of them as one, and writes nothing that has not changed: Raft sets its term
// again at each start, which must not fail on a full disk.
type stable struct {
	votes  votes
	health *health
	stall  *stall

	writing sync.Mutex // orders writes, and is held while they are synced; reads do not take it
	values  atomic.Pointer[map[string]string]
}

func newStable(v votes, h *health, st *stall) *stable {
	s := &stable{votes: v, health: h, stall: st}
	values := v.read()
	s.values.Store(&values)
	return s
}

// Get returns the value of key, or nil.
func (s *stable) Get(key []byte) ([]byte, error) {
	if v, found := (*s.values.Load())[string(key)]; found {
		return []byte(v), nil
	}
	return nil, nil
}

// GetUint64 returns the number of key, or 0.
func (s *stable) GetUint64(key []byte) (uint64, error) {
	v, found := (*s.values.Load())[string(key)]
	switch {
	case !found:
		return 0, nil
	case len(v) != 8:
		return 0, fmt.Errorf("%w: %s is no number", ErrDamaged, key)
	}
	return binary.BigEndian.Uint64([]byte(v)), nil
}

// Set saves a value. After a failed write it refuses: what Raft says of its
// log may be wrong then, so it must not vote.
func (s *stable) Set(key, value []byte) error {
	if err := s.health.refuse(); err != nil {
		return fmt.Errorf("saving %s: %w", key, err)
	}
	return s.put(string(key), string(value))
}

// SetUint64 saves a number.
//
// Raft panics if its term cannot be saved, and a process that starts again
// would do so again. So for the term there is no error: the caller is held
// until the store is interrupted, as on a disk that hangs, while Failed tells
// the owner. It is then let go with a term that is not on disk. That does no
// harm, because nothing that would need it to be there can happen any more:
// no vote is saved and no entry appended after the interruption.
func (s *stable) SetUint64(key []byte, value uint64) error {
	if old, err := s.GetUint64(key); err == nil && old == value {
		return nil
	}
	number := binary.BigEndian.AppendUint64(nil, value)
	if string(key) != keyCurrentTerm {
		return s.Set(key, number)
	}
	if s.health.stopped() == nil && s.put(keyCurrentTerm, string(number)) != nil {
		<-s.health.halted
	}
	return nil
}

func (s *stable) put(key, value string) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.health.stopped(); err != nil {
		return fmt.Errorf("saving %s: %w", key, err)
	}
	old := *s.values.Load()
	if v, found := old[key]; found && v == value {
		return nil
	}
	values := maps.Clone(old)
	if values == nil {
		values = make(map[string]string, 1)
	}
	values[key] = value
	defer s.stall.begin().end()
	if err := s.votes.write(values); err != nil {
		err = fmt.Errorf("saving %s: %w", key, err)
		s.health.fail(err)
		return err
	}
	s.values.Store(&values)
	return nil
}
