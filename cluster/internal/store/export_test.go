package store

import "github.com/hashicorp/raft"

// What the tests see of the inside.

func NewID() string { return newID() }

func NewMemoryLog() raft.LogStore { return &memoryLog{} }

func NewBoltLog(path string) (log raft.LogStore, closeLog func() error, err error) {
	if err := createBoltLog(path); err != nil {
		return nil, nil, err
	}
	l, err := openBoltLog(path, true)
	if err != nil {
		return nil, nil, err
	}
	return l, l.close, nil
}

// FailingVotes makes the next syncs of term and vote fail, after the write,
// while fail returns an error.
func (s *Store) FailingVotes(fail func() error) {
	v := s.current().stable.votes.(*voteFile)
	v.file = failingFile{v.file, fail}
}

type failingFile struct {
	slotFile
	fail func() error
}

func (f failingFile) Sync() error {
	if err := f.fail(); err != nil {
		return err
	}
	return f.slotFile.Sync()
}

func AppendSlot(number uint64, values map[string]string) ([]byte, error) {
	return appendSlot(nil, number, values)
}

func ParseSlot(b []byte) (uint64, map[string]string, error) { return parseSlot(b) }

// CacheHeld says what is in the cache.
func (s *Store) CacheHeld() (entries int, bytes int64) {
	l := s.current().logs
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.cache.entries.len(), l.cache.bytes
}
