package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	hclog "github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// A data directory. What belongs to an identity lies in a directory of its
// own, so that taking a new one is a single rename, of the file identity.
//
//	DIR/lock                     held (flock) while a process has the directory open
//	DIR/format                   "huddle 1": the version of this layout; the last file to be made
//	DIR/identity                 the server ID, 26 characters
//	DIR/nodes/ID/log.db          the Raft log, in BoltDB
//	DIR/nodes/ID/vote            term and vote (see voteFile)
//	DIR/nodes/ID/snapshots/      the newest two snapshots, as raft.FileSnapshotStore has them
//	DIR/nodes/ID/values/NAME     what was saved: CRC-32C of the value (4 bytes, big endian), the value
//	DIR/nodes/ID/unsynced        there if log.db may hold what is not on the disk yet: the kernel's boot ID
//
// All text files are one line. A name that ends in ".tmp" is a file that was
// being written when the process ended. Everything else is left alone.
const (
	layoutVersion   = 1
	formatPrefix    = "huddle "
	tmpSuffix       = ".tmp"
	snapshotsKept   = 2
	probeSize       = 1 << 20
	bootIDFile      = "/proc/sys/kernel/random/boot_id"
	renewedUnsynced = "the machine may have lost log entries that were not synced: it started again, and this node was not stopped in order before"
)

// disk is the medium of a durable node.
type disk struct {
	dir    string
	noSync bool
	boot   string // boot ID; empty if the system has none
	lock   *os.File
	saving sync.Mutex // orders writes of values, and is held while they are synced

	mu sync.Mutex // guards the field below
	id string
}

// OpenDisk opens or makes a data directory.
func OpenDisk(dir string, cfg Config) (*Store, error) {
	cfg.MaxBytes = cmp.Or(cfg.MaxBytes, diskMaxBytes)
	cfg.CacheBytes = cmp.Or(cfg.CacheBytes, defaultCacheBytes)
	s, err := openDisk(dir, cfg)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", dir, err)
	}
	return s, nil
}

func openDisk(dir string, cfg Config) (_ *Store, err error) {
	if err := os.MkdirAll(filepath.Join(dir, "nodes"), 0o700); err != nil {
		return nil, err
	}
	d := &disk{dir: dir, noSync: cfg.NoSync, boot: cfg.BootID}
	if d.boot == "" {
		// A system without a boot ID counts as started again at each opening.
		content, _ := os.ReadFile(bootIDFile)
		d.boot = string(bytes.TrimSpace(content))
	}
	if d.lock, err = lockFile(filepath.Join(dir, "lock")); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.lock.Close())
		}
	}()
	if err := d.settle(); err != nil {
		return nil, err
	}
	renewed, err := d.checkUnsynced()
	if err != nil {
		return nil, err
	}
	s, err := newStore(d, true, cfg)
	if err != nil {
		return nil, err
	}
	s.renewed = renewed
	return s, nil
}

// settle checks the format of the directory, or makes it.
func (d *disk) settle() error {
	format, err := readLine(d.path("format"))
	if errors.Is(err, os.ErrNotExist) {
		if _, err := os.Stat(d.path("identity")); errors.Is(err, os.ErrNotExist) {
			if err := d.renew(); err != nil {
				return err
			}
		}
		return writeFile(d.path("format"), fmt.Appendf(nil, "%s%d\n", formatPrefix, layoutVersion))
	}
	if err != nil {
		return err
	}
	number, isFormat := strings.CutPrefix(format, formatPrefix)
	version, err := strconv.Atoi(number)
	switch {
	case !isFormat || err != nil || version < 1:
		return fmt.Errorf("%w: %s does not say which format it is", ErrDamaged, d.path("format"))
	case version > layoutVersion:
		return fmt.Errorf("%w: its format is %d, this one knows %d", ErrNewer, version, layoutVersion)
	}
	return nil
}

// checkUnsynced takes a new identity if the log may lack entries that it had.
func (d *disk) checkUnsynced() (renewed string, err error) {
	if err := d.readIdentity(); err != nil {
		return "", err
	}
	boot, err := readLine(d.node("unsynced"))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "", nil
	case err != nil && !errors.Is(err, ErrDamaged):
		return "", err
	case err == nil && boot == d.boot && boot != "":
		return "", nil
	}
	return renewedUnsynced, d.renew()
}

func (d *disk) path(name string) string { return filepath.Join(d.dir, name) }

// node returns the path of something that belongs to the identity.
func (d *disk) node(elem ...string) string {
	return filepath.Join(append([]string{d.dir, "nodes", d.identity()}, elem...)...)
}

func (d *disk) identity() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.id
}

func (d *disk) readIdentity() error {
	id, err := readLine(d.path("identity"))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("%w: %s is missing", ErrDamaged, d.path("identity"))
	case err != nil:
		return err
	case !validID(id):
		return fmt.Errorf("%w: %s holds no server ID", ErrDamaged, d.path("identity"))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.id = id
	return nil
}

// renew makes all that a new identity needs, and then makes it the
// directory's. What belonged to the old one is removed by the next open.
func (d *disk) renew() error {
	id := newID()
	node := filepath.Join(d.dir, "nodes", id)
	for _, sub := range []string{"snapshots", "values"} {
		if err := os.MkdirAll(filepath.Join(node, sub), 0o700); err != nil {
			return err
		}
	}
	if err := createVoteFile(filepath.Join(node, "vote")); err != nil {
		return err
	}
	if err := createBoltLog(filepath.Join(node, "log.db")); err != nil {
		return err
	}
	if err := errors.Join(syncDir(node), syncDir(d.path("nodes"))); err != nil {
		return err
	}
	if err := writeFile(d.path("identity"), []byte(id+"\n")); err != nil {
		return err
	}
	return d.readIdentity()
}

// open opens what belongs to the identity that the directory has.
func (d *disk) open() (_ parts, err error) {
	if err := d.readIdentity(); err != nil {
		return parts{}, err
	}
	if err := d.sweep(); err != nil {
		return parts{}, err
	}
	log, err := openBoltLog(d.node("log.db"), d.noSync)
	if err != nil {
		return parts{}, err
	}
	votes, err := openVoteFile(d.node("vote"))
	if err != nil {
		return parts{}, errors.Join(err, log.close())
	}
	closeBoth := func() error { return errors.Join(log.close(), votes.close()) }
	if err := d.markUnsynced(log); err != nil {
		return parts{}, errors.Join(err, closeBoth())
	}
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(d.node(), snapshotsKept, hclog.NewNullLogger())
	if err != nil {
		return parts{}, errors.Join(fmt.Errorf("opening snapshots: %w", err), closeBoth())
	}
	closed := false
	return parts{log: log, snapshots: snapshots, votes: votes, close: func(clean bool) error {
		if closed {
			return nil
		}
		closed = true
		if !clean || !d.noSync {
			return closeBoth()
		}
		err := log.sync()
		if err == nil {
			err = removeFile(d.node("unsynced"))
		}
		return errors.Join(err, closeBoth())
	}}, nil
}

// markUnsynced leaves the mark that log.db must not be trusted after another
// boot, or takes it away, after a sync of what an earlier process left.
func (d *disk) markUnsynced(log *boltLog) error {
	if d.noSync {
		return writeFile(d.node("unsynced"), []byte(d.boot+"\n"))
	}
	if _, err := os.Stat(d.node("unsynced")); err != nil {
		return nil
	}
	if err := log.sync(); err != nil {
		return fmt.Errorf("syncing the log: %w", err)
	}
	return removeFile(d.node("unsynced"))
}

// sweep removes what former identities and unfinished snapshots have left.
func (d *disk) sweep() error {
	// Which identity is the former one must be on disk first.
	if err := syncDir(d.dir); err != nil {
		return err
	}
	nodes, err := os.ReadDir(d.path("nodes"))
	if err != nil {
		return err
	}
	for _, n := range nodes {
		if validID(n.Name()) && n.Name() != d.identity() {
			if err := os.RemoveAll(filepath.Join(d.dir, "nodes", n.Name())); err != nil {
				return err
			}
		}
	}
	unfinished, err := filepath.Glob(d.node("snapshots", "*"+tmpSuffix))
	if err != nil {
		return err
	}
	for _, path := range unfinished {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return nil
}

// probe finds out whether the disk takes writes, of more than a few bytes, and
// makes sure of what was written before.
func (d *disk) probe() error {
	path := d.path("probe" + tmpSuffix)
	err := writeSynced(path, make([]byte, probeSize))
	if err := errors.Join(err, removeFile(path)); err != nil {
		return err
	}
	return errors.Join(rewrite(d.node("log.db")), rewrite(d.node("vote")))
}

func (d *disk) save(name string, value []byte) error {
	d.saving.Lock()
	defer d.saving.Unlock()
	content := binary.BigEndian.AppendUint32(nil, crc32.Checksum(value, castagnoli))
	return writeFile(d.node("values", name), append(content, value...))
}

func (d *disk) load(name string) ([]byte, bool, error) {
	content, err := os.ReadFile(d.node("values", name))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, false, nil
	case err != nil:
		return nil, false, err
	case len(content) < 4 || binary.BigEndian.Uint32(content) != crc32.Checksum(content[4:], castagnoli):
		return nil, false, fmt.Errorf("%w: %s is not what was saved", ErrDamaged, d.node("values", name))
	}
	return content[4:], true, nil
}

func (d *disk) close() error { return d.lock.Close() }
