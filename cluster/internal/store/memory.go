package store

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/hashicorp/raft"
)

// OpenMemory makes a store in memory, with a new identity.
func OpenMemory(cfg Config) (*Store, error) {
	cfg.MaxBytes = cmp.Or(cfg.MaxBytes, memoryMaxBytes)
	m := &memory{}
	if err := m.renew(); err != nil {
		return nil, err
	}
	return newStore(m, false, cfg)
}

// memory is the medium of an ephemeral node.
type memory struct {
	mu        sync.Mutex // guards the fields below
	id        string
	log       *memoryLog
	snapshots *memorySnapshots
	votes     *memoryVotes
	values    map[string][]byte
}

func (m *memory) identity() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.id
}

func (m *memory) open() (parts, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return parts{
		log: m.log, snapshots: m.snapshots, votes: m.votes,
		close: func(bool) error { return nil },
	}, nil
}

func (m *memory) renew() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.id = newID()
	m.log, m.snapshots, m.votes = &memoryLog{}, &memorySnapshots{}, &memoryVotes{}
	m.values = make(map[string][]byte)
	return nil
}

func (m *memory) probe() error { return nil }
func (m *memory) close() error { return nil }

func (m *memory) save(name string, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values[name] = bytes.Clone(value)
	return nil
}

func (m *memory) load(name string) ([]byte, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	value, found := m.values[name]
	return bytes.Clone(value), found, nil
}

// memoryVotes keeps term and vote as long as the process lives.
type memoryVotes struct {
	values map[string]string
}

func (v *memoryVotes) read() map[string]string { return maps.Clone(v.values) }

func (v *memoryVotes) write(values map[string]string) error {
	v.values = values
	return nil
}

// memoryLog keeps a log's entries, which follow each other without a gap. They
// share their data with whoever stored them.
type memoryLog struct {
	mu      sync.RWMutex // guards the fields below
	entries deque[raft.Log]
	first   uint64 // index of entries.at(0), if there is one
}

// FirstIndex returns the index of the oldest entry, or 0.
func (l *memoryLog) FirstIndex() (uint64, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.entries.len() == 0 {
		return 0, nil
	}
	return l.first, nil
}

// LastIndex returns the index of the newest entry, or 0.
func (l *memoryLog) LastIndex() (uint64, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.lastLocked(), nil
}

func (l *memoryLog) lastLocked() uint64 {
	if l.entries.len() == 0 {
		return 0
	}
	return l.first + uint64(l.entries.len()) - 1
}

// GetLog returns an entry, or raft.ErrLogNotFound.
func (l *memoryLog) GetLog(index uint64, out *raft.Log) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.entries.len() == 0 || index < l.first || index > l.lastLocked() {
		return raft.ErrLogNotFound
	}
	*out = l.entries.at(int(index - l.first))
	return nil
}

// StoreLog appends an entry.
func (l *memoryLog) StoreLog(entry *raft.Log) error { return l.StoreLogs([]*raft.Log{entry}) }

// StoreLogs appends entries, all or none.
func (l *memoryLog) StoreLogs(entries []*raft.Log) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := l.lastLocked() + 1
	if l.entries.len() == 0 && len(entries) > 0 {
		next = entries[0].Index
	}
	for i, entry := range entries {
		if entry.Index != next+uint64(i) {
			return fmt.Errorf("entry %d does not follow entry %d", entry.Index, next+uint64(i)-1)
		}
	}
	if l.entries.len() == 0 {
		l.first = next
	}
	for _, entry := range entries {
		l.entries.push(*entry)
	}
	return nil
}

// DeleteRange deletes entries at either end.
func (l *memoryLog) DeleteRange(from, to uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := l.lastLocked()
	if last == 0 {
		return nil
	}
	lo, hi := clip(from, to, l.first, last)
	switch {
	case lo > hi:
	case lo == l.first:
		for range hi - lo + 1 {
			l.entries.popFront()
		}
		l.first = hi + 1
	case hi == last:
		for range hi - lo + 1 {
			l.entries.popBack()
		}
	default:
		return errMiddle
	}
	return nil
}

// memorySnapshots keeps the newest complete snapshot. One that is being
// written, or was cancelled, is nobody else's; one that is being read lives
// until its readers let go of it.
type memorySnapshots struct {
	mu      sync.Mutex // guards the fields below
	newest  *memorySnapshot
	created int // makes IDs unique
}

type memorySnapshot struct {
	meta   raft.SnapshotMeta
	chunks [][]byte
}

// chunkSize is how much memory a snapshot takes at a time as it grows.
const chunkSize = 256 << 10

// Create begins a snapshot.
func (s *memorySnapshots) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration,
	configurationIndex uint64, _ raft.Transport,
) (raft.SnapshotSink, error) {
	if version != 1 {
		return nil, fmt.Errorf("creating snapshot: version %d is not known", version)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.created++
	return &memorySink{store: s, snapshot: &memorySnapshot{meta: raft.SnapshotMeta{
		Version: version, ID: fmt.Sprintf("%d-%d-%d", term, index, s.created), Index: index, Term: term,
		Configuration: configuration.Clone(), ConfigurationIndex: configurationIndex,
	}}}, nil
}

// List returns the newest snapshot, if there is one.
func (s *memorySnapshots) List() ([]*raft.SnapshotMeta, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.newest == nil {
		return nil, nil
	}
	meta := s.newest.meta
	return []*raft.SnapshotMeta{&meta}, nil
}

// Open returns a reader of its own for each caller.
func (s *memorySnapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.newest == nil || s.newest.meta.ID != id {
		return nil, nil, fmt.Errorf("opening snapshot %s: it is not there", id)
	}
	meta := s.newest.meta
	return &meta, &chunkReader{chunks: slices.Clone(s.newest.chunks)}, nil
}

// memorySink takes a snapshot in. It is used by one goroutine.
type memorySink struct {
	store    *memorySnapshots
	snapshot *memorySnapshot // nil once closed or cancelled
	id       string
}

var errSinkDone = errors.New("the snapshot was closed or cancelled before")

func (k *memorySink) ID() string {
	if k.snapshot != nil {
		return k.snapshot.meta.ID
	}
	return k.id
}

func (k *memorySink) Write(p []byte) (int, error) {
	if k.snapshot == nil {
		return 0, errSinkDone
	}
	s, n := k.snapshot, len(p)
	s.meta.Size += int64(n)
	for len(p) > 0 {
		last := len(s.chunks) - 1
		if last < 0 || len(s.chunks[last]) == cap(s.chunks[last]) {
			s.chunks = append(s.chunks, make([]byte, 0, chunkSize))
			last++
		}
		room := min(cap(s.chunks[last])-len(s.chunks[last]), len(p))
		s.chunks[last] = append(s.chunks[last], p[:room]...)
		p = p[room:]
	}
	return n, nil
}

// Close makes the snapshot the newest.
func (k *memorySink) Close() error {
	done := k.snapshot
	if done == nil {
		return nil
	}
	k.id, k.snapshot = done.meta.ID, nil
	k.store.mu.Lock()
	defer k.store.mu.Unlock()
	k.store.newest = done
	return nil
}

// Cancel forgets the snapshot; after Close it does nothing.
func (k *memorySink) Cancel() error {
	if k.snapshot != nil {
		k.id, k.snapshot = k.snapshot.meta.ID, nil
	}
	return nil
}

type chunkReader struct {
	chunks [][]byte
}

func (r *chunkReader) Read(p []byte) (int, error) {
	for len(r.chunks) > 0 && len(r.chunks[0]) == 0 {
		r.chunks = r.chunks[1:]
	}
	if len(r.chunks) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.chunks[0])
	r.chunks[0] = r.chunks[0][n:]
	return n, nil
}

func (r *chunkReader) Close() error {
	r.chunks = nil
	return nil
}
