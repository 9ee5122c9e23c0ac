package replica

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/cluster/machine/snap"
	"github.com/huddlecache/huddle/cluster/machine/wire"
)

// A backup is the state of the features at one time, without what belongs to
// the cluster's own life: members, origins, remembered replies, deadlines.
//
//	magic    4 bytes, "HUDB"
//	version  1 byte, 1
//	head     byte string: cluster string, index uvarint, lease 8 bytes, wall 8 bytes, level uvarint, number 8 bytes
//	sections each
//	  feature  1 byte, in ascending order
//	  chunks   each a byte string that is not empty; an empty one ends the section
//	end      1 byte, 255
//	hash     32 bytes: SHA-256 of everything before it
//
// A section is what the feature's machine wrote, as in a snapshot.
const (
	backupMagic   = "HUDB"
	backupVersion = 1
	headMost      = 1 << 10 // bytes of a head
)

// Errors of reading a backup.
var (
	// ErrDamaged means that it is not what a node wrote.
	ErrDamaged = errors.New("the backup is damaged or not whole")
	// ErrNewer means that this release or this cluster is too old for it.
	ErrNewer = errors.New("the backup is of a newer release")
)

// A BackupHead says what a backup is of.
type BackupHead struct {
	Stamp  machine.Stamp // cluster, index, times and level at the backup
	Number uint64        // of the number source
}

// A Backup is the state of the features, frozen. It may be written while the
// replica goes on.
type Backup struct {
	BackupHead
	features []uint8
	machines []io.WriterTo
}

// Backup freezes the state. The time is now where that is later than the last
// stamp: in an idle cluster it may be much later, and what is left of a TTL is
// counted from it.
func (r *Replica) Backup(now machine.Stamp) (*Backup, error) {
	v, err := r.freeze()
	if err != nil {
		return nil, err
	}
	b := &Backup{BackupHead{v.stamp, v.number}, v.features, v.machines}
	b.Stamp.Position = 0
	b.Stamp.Lease, b.Stamp.Wall = max(b.Stamp.Lease, now.Lease), max(b.Stamp.Wall, now.Wall)
	return b, nil
}

// WriteTo implements io.WriterTo.
func (b *Backup) WriteTo(w io.Writer) (int64, error) {
	count := &snap.Counter{To: w}
	sum := sha256.New()
	buf := bufio.NewWriterSize(io.MultiWriter(count, sum), chunkSize)
	buf.WriteString(backupMagic)
	buf.WriteByte(backupVersion)
	buf.Write(wire.AppendBytes(nil, b.append(nil)))
	for i, id := range b.features {
		err := writeSection(buf, id, func(w io.Writer) error {
			_, err := b.machines[i].WriteTo(w)
			return err
		})
		if err != nil {
			return count.N, err
		}
	}
	buf.WriteByte(sectionEnd)
	if err := buf.Flush(); err != nil {
		return count.N, err
	}
	_, err := count.Write(sum.Sum(nil))
	return count.N, err
}

func (h *BackupHead) append(b []byte) []byte {
	b = binary.AppendUvarint(wire.AppendString(b, h.Stamp.Cluster), h.Stamp.Index)
	b = binary.BigEndian.AppendUint64(b, uint64(h.Stamp.Lease))
	b = binary.BigEndian.AppendUint64(b, uint64(h.Stamp.Wall))
	b = binary.AppendUvarint(b, uint64(h.Stamp.Level))
	return binary.BigEndian.AppendUint64(b, h.Number)
}

func parseHead(b []byte) (h BackupHead, err error) {
	r := wire.NewReader(b)
	h.Stamp = machine.Stamp{Cluster: r.String(), Index: r.Uvarint()}
	h.Stamp.Lease, h.Stamp.Wall = time.Duration(r.Uint64()), time.Duration(r.Uint64())
	level := r.Uvarint()
	h.Stamp.Level, h.Number = uint32(level), r.Uint64()
	if err := r.Done(); err != nil {
		return h, err
	}
	// Numbers must be able to go on growing: tokens and versions are of them.
	if h.Stamp.Lease < 0 || h.Stamp.Wall < 0 || uint64(h.Stamp.Level) != level || h.Number > math.MaxInt64/2 {
		return h, wire.ErrMalformed
	}
	return h, nil
}

// A BackupFile reads what Backup.WriteTo wrote.
type BackupFile struct {
	BackupHead
	Hash [sha256.Size]byte // of everything; set when Sections has returned nil
	r    *hashedReader
}

// OpenBackup reads the head of a backup. Its errors, and those of the methods,
// are ErrDamaged, ErrNewer or the reader's.
func OpenBackup(r io.Reader) (*BackupFile, error) {
	f := &BackupFile{r: &hashedReader{r: bufio.NewReaderSize(r, chunkSize), sum: sha256.New()}}
	magic := make([]byte, len(backupMagic)+1)
	if _, err := io.ReadFull(f.r, magic); err != nil {
		return nil, damaged(err)
	}
	if string(magic[:4]) != backupMagic {
		return nil, fmt.Errorf("%w: it does not begin like one", ErrDamaged)
	}
	if magic[4] != backupVersion {
		return nil, fmt.Errorf("%w: its format is %d, this release knows %d", ErrNewer, magic[4], backupVersion)
	}
	size, err := binary.ReadUvarint(f.r)
	if err != nil || size > headMost {
		return nil, damaged(err)
	}
	head := make([]byte, size)
	if _, err := io.ReadFull(f.r, head); err != nil {
		return nil, damaged(err)
	}
	if f.BackupHead, err = parseHead(head); err != nil {
		return nil, damaged(err)
	}
	return f, nil
}

// damaged is ErrDamaged with its cause, or an error that is no fault of the
// backup.
func damaged(cause error) error {
	switch {
	case cause == nil:
		return ErrDamaged
	case errors.Is(cause, ErrDamaged), errors.Is(cause, ErrNewer):
		return cause
	case errors.Is(cause, io.EOF), errors.Is(cause, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: it ends too early", ErrDamaged)
	case errors.Is(cause, machine.ErrUnknownCommand):
		return fmt.Errorf("%w: %w", ErrNewer, cause)
	}
	return fmt.Errorf("%w: %w", ErrDamaged, cause)
}

// Sections calls read with each section, in order, until the end. It checks
// the hash of everything, so that what was read counts only if Sections
// returns nil.
func (f *BackupFile) Sections(read func(feature uint8, section io.Reader) error) error {
	last := -1
	for {
		id, err := f.r.ReadByte()
		if err != nil {
			return damaged(err)
		}
		if id == sectionEnd {
			return f.end()
		}
		if int(id) <= last || id == shellID {
			return fmt.Errorf("%w: section %d is out of place", ErrDamaged, id)
		}
		last = int(id)
		section := &sectionReader{r: f.r}
		if err := read(id, section); err != nil {
			return damaged(fmt.Errorf("section %d: %w", id, err))
		}
		if n, err := io.Copy(io.Discard, section); err != nil || n > 0 {
			return damaged(err)
		}
	}
}

// end checks what follows the sections.
func (f *BackupFile) end() error {
	want := [sha256.Size]byte(f.r.sum.Sum(nil))
	if _, err := io.ReadFull(f.r, f.Hash[:]); err != nil {
		return damaged(err)
	}
	if f.Hash != want {
		return fmt.Errorf("%w: its hash is not that of its contents", ErrDamaged)
	}
	if _, err := f.r.ReadByte(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something follows its end", ErrDamaged)
	}
	return nil
}

// VerifyBackup reads a backup to its end and checks its hash, and nothing of
// what the sections hold.
func VerifyBackup(r io.Reader) (*BackupFile, error) {
	f, err := OpenBackup(r)
	if err != nil {
		return nil, err
	}
	return f, f.Sections(func(_ uint8, section io.Reader) error {
		_, err := io.Copy(io.Discard, section)
		return err
	})
}

// A hashedReader hashes what is taken of it, and not what it has read ahead.
type hashedReader struct {
	r    *bufio.Reader
	sum  hash.Hash
	byte [1]byte
}

func (h *hashedReader) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	h.sum.Write(p[:n])
	return n, err
}

func (h *hashedReader) ReadByte() (byte, error) {
	b, err := h.r.ReadByte()
	if err == nil {
		h.byte[0] = b
		h.sum.Write(h.byte[:])
	}
	return b, err
}
