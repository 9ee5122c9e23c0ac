// Package store is where a node keeps what Raft must not forget: its log, its
// term and vote, its snapshots, and the identity that all of it belongs to.
//
// There are two kinds behind one type. A durable node keeps everything in a
// directory and comes back as itself; an ephemeral one keeps it in memory and
// is somebody else at every start. On disk the log is BoltDB, and term and
// vote are a file of two slots written in place, so that they are synced at
// all times and need no room on a full disk.
//
// A write that fails ends the life of the Raft instance above it, not of the
// process: hashicorp/raft's memory no longer matches its log then (and it
// panics where a term cannot be saved). The store refuses every write from
// that moment on and says so through [Store.Failed]; the owner shuts Raft
// down with the help of [Store.Interrupt], and once [Store.Reopen] has found
// the disk to be well again, makes a new instance from what is really there.
package store

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

var (
	// ErrLocked means that another process has the directory open.
	ErrLocked = errors.New("data directory is in use by another process")
	// ErrNewer means that a later release wrote the directory.
	ErrNewer = errors.New("data directory was written by a newer release")
	// ErrDamaged means that a file does not hold what was written to it.
	ErrDamaged = errors.New("data directory is damaged")
	// ErrStopped means that the store takes no more writes: it was
	// interrupted, closed, or opened anew.
	ErrStopped = errors.New("store is stopped")
	// ErrSuperseded means that a snapshot was finished after a newer one.
	ErrSuperseded = errors.New("a newer snapshot is there already")
)

// Config describes a Store. The zero value is the default.
type Config struct {
	NoSync     bool   // the log is written without waiting for the disk; term, vote and values are always synced
	MaxBytes   int64  // size of the log past which OnFull is called; 64 MiB in memory, 512 MiB on disk
	CacheBytes int64  // most memory of the cache in front of a log on disk; 16 MiB
	BootID     string // what the kernel calls this boot; its own if empty

	// OnFull asks for a snapshot: the log has grown past MaxBytes. It is
	// called by the goroutine that appends, without a lock, once until the log
	// has shrunk. It must not block.
	OnFull func()

	// Wrap stands between the log and what it is kept in, for tests that lose
	// or hang it (see Lossy). It is called again by Reopen and NewIdentity.
	Wrap func(raft.LogStore) raft.LogStore
}

const (
	memoryMaxBytes    = 64 << 20
	diskMaxBytes      = 512 << 20
	defaultCacheBytes = 16 << 20
	cacheEntries      = 512
)

// A medium is what a Store keeps its parts in: a directory, or memory. Its
// methods are called by one goroutine at a time, but for save and load.
type medium interface {
	identity() string
	open() (parts, error)
	renew() error // gives up the identity and all that belongs to it; parts are closed
	probe() error // writes and syncs something
	save(name string, value []byte) error
	load(name string) ([]byte, bool, error)
	close() error
}

// parts are what a medium keeps for one identity.
type parts struct {
	log       raft.LogStore
	snapshots raft.SnapshotStore
	votes     votes
	close     func(clean bool) error
}

// A Store holds the parts of one node. All methods may be called at any time
// and from any goroutine, unless they say otherwise.
type Store struct {
	cfg     Config
	medium  medium
	durable bool
	renewed string
	stall   *stall

	admin sync.Mutex // serialises Reopen, NewIdentity, Close and Kill, which do I/O; nothing else takes it

	mu     sync.RWMutex // guards the fields below
	id     string
	life   *life
	closed bool
}

// A life is what one Raft instance uses, from the store's opening to its next.
type life struct {
	health    *health
	logs      *logs
	stable    *stable
	snapshots *snapshots
	close     func(clean bool) error
}

// newStore opens the first life of a store over m.
func newStore(m medium, durable bool, cfg Config) (*Store, error) {
	s := &Store{cfg: cfg, medium: m, durable: durable, stall: newStall()}
	if err := s.begin(); err != nil {
		return nil, err
	}
	return s, nil
}

// begin opens the medium's parts and puts a new life in front of them.
func (s *Store) begin() error {
	p, err := s.medium.open()
	if err != nil {
		return err
	}
	h := newHealth()
	snaps, err := newSnapshots(p.snapshots)
	if err != nil {
		return errors.Join(err, p.close(false))
	}
	under := p.log
	if s.cfg.Wrap != nil {
		under = s.cfg.Wrap(under)
	}
	l := &logs{
		under: under, health: h, stall: s.stall, snapshots: snaps,
		maxBytes: s.cfg.MaxBytes, onFull: s.cfg.OnFull,
	}
	if s.durable {
		l.cache = newCache(cacheEntries, s.cfg.CacheBytes)
	}
	if err := l.load(); err != nil {
		return errors.Join(err, p.close(false))
	}
	st := newStable(p.votes, h, s.stall)

	s.mu.Lock()
	defer s.mu.Unlock()
	s.id = s.medium.identity()
	s.life = &life{health: h, logs: l, stable: st, snapshots: snaps, close: p.close}
	return nil
}

func (s *Store) current() *life {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.life
}

// ID is the server ID: 128 random bits in 26 lower-case base32 characters, a
// legal DNS label.
func (s *Store) ID() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.id
}

// Durable reports whether the store is on disk.
func (s *Store) Durable() bool { return s.durable }

// Renewed says, for the log, why opening the directory gave it a new identity;
// empty if it did not.
func (s *Store) Renewed() string { return s.renewed }

// Logs returns the log. It is Raft's until the store is interrupted, closed,
// opened anew or given a new identity; so are Stable and Snapshots.
//
// A gap, as Raft leaves one behind after it has installed a snapshot, is
// closed by dropping what lies before it: the snapshot holds all of that, and
// entries before a gap may contradict it. So indexes are contiguous at all
// times. All the same it is no raft.MonotonicLogStore: of such a one Raft
// deletes the whole log after each InstallSnapshot, entries behind the
// snapshot included, which it may have acknowledged.
func (s *Store) Logs() raft.LogStore { return s.current().logs }

// Stable returns the store of term and vote.
func (s *Store) Stable() raft.StableStore { return s.current().stable }

// Snapshots returns the store of snapshots. One that is finished after a newer
// one (by term, then index) is refused with ErrSuperseded.
func (s *Store) Snapshots() raft.SnapshotStore { return s.current().snapshots }

// Save keeps a small value for as long as the identity lives. It is atomic,
// and synced before Save returns. Names are of a to z, 0 to 9, '.' and '-'.
func (s *Store) Save(name string, value []byte) error {
	if !validName(name) {
		return fmt.Errorf("saving value: %q is not a name", name)
	}
	h := s.current().health
	if err := h.stopped(); err != nil {
		return fmt.Errorf("saving %s: %w", name, err)
	}
	defer s.stall.begin().end()
	if err := s.medium.save(name, value); err != nil {
		return fmt.Errorf("saving %s: %w", name, err)
	}
	return nil
}

// Load returns what was saved under name, and whether anything was.
func (s *Store) Load(name string) (value []byte, found bool, err error) {
	if !validName(name) {
		return nil, false, fmt.Errorf("loading value: %q is not a name", name)
	}
	value, found, err = s.medium.load(name)
	if err != nil {
		return nil, false, fmt.Errorf("loading %s: %w", name, err)
	}
	return value, found, nil
}

// LogBytes is the size of the log: its entries' data and what holds them.
func (s *Store) LogBytes() int64 { return s.current().logs.size() }

// TrailingFor returns how many of the newest entries fit in so many bytes. An
// owner who is told OnFull lowers Raft's TrailingLogs to it, or the snapshot
// that it takes will not make the log smaller.
func (s *Store) TrailingFor(bytes int64) uint64 { return s.current().logs.trailingFor(bytes) }

// Stalled is how long the oldest write in progress has been under way, and
// zero if there is none. It takes no lock.
func (s *Store) Stalled() time.Duration { return s.stall.longest() }

// Failed is closed when a write of log, term or vote has failed. It is another
// channel after Reopen and NewIdentity.
func (s *Store) Failed() <-chan struct{} { return s.current().health.failed }

// Err is the error of the write that has failed, or nil.
func (s *Store) Err() error { return s.current().health.cause() }

// Interrupt makes the store refuse all further writes, and lets those return
// that wait for a failed disk. An owner calls it when it shuts down Raft after
// a failure, before it waits for Raft's goroutines. A write that hangs in the
// kernel it cannot help.
func (s *Store) Interrupt() { s.current().health.stop() }

// Reopen opens the log, term, vote and snapshots anew, as they are on disk,
// after a write has failed. It first tries the disk, and can be called again
// if that failed too. Raft must have been shut down.
func (s *Store) Reopen() error {
	return s.restart("opening the store again", s.medium.probe)
}

// NewIdentity throws away log, term, vote, snapshots and values, and begins a
// new identity with none of them. A crash leaves either the old identity with
// all that was its own, or the new one with nothing. Raft must have been shut
// down.
func (s *Store) NewIdentity() (id string, err error) {
	if err := s.restart("taking a new identity", s.medium.renew); err != nil {
		return "", err
	}
	return s.ID(), nil
}

// restart ends one life, does what must be done between two, and begins the
// next. If that fails the store stays stopped, and restart may be called again.
func (s *Store) restart(act string, between func() error) error {
	s.admin.Lock()
	defer s.admin.Unlock()
	s.mu.RLock()
	old, closed := s.life, s.closed
	s.mu.RUnlock()
	if closed {
		return fmt.Errorf("%s: %w", act, ErrStopped)
	}
	old.health.stop()
	// What is wrong with the old parts is the reason for being here, or of no
	// more interest.
	_ = old.close(false)
	if err := between(); err != nil {
		return fmt.Errorf("%s: %w", act, err)
	}
	if err := s.begin(); err != nil {
		return fmt.Errorf("%s: %w", act, err)
	}
	return nil
}

// Close syncs and closes the store. Raft must have been shut down.
func (s *Store) Close() error { return s.end(true) }

func (s *Store) end(clean bool) error {
	s.admin.Lock()
	defer s.admin.Unlock()
	s.mu.Lock()
	l, closed := s.life, s.closed
	s.closed = true
	s.mu.Unlock()
	if closed {
		return nil
	}
	clean = clean && l.health.cause() == nil
	l.health.stop()
	if err := errors.Join(l.close(clean), s.medium.close()); err != nil {
		return fmt.Errorf("closing the store: %w", err)
	}
	return nil
}

func validName(name string) bool {
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '-' {
			return false
		}
	}
	return name != "" && name[0] != '.' && len(name) <= 64
}
