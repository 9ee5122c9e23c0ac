package cluster

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/huddlecache/huddle/cluster/internal/replica"
	"github.com/huddlecache/huddle/cluster/machine"
)

// Errors of a backup that cannot be restored. Nothing was changed.
var (
	// ErrDamaged means that it is not what Backup wrote.
	ErrDamaged = replica.ErrDamaged
	// ErrNewer means that this release, or the level of this cluster, is older
	// than the one it was taken at.
	ErrNewer = replica.ErrNewer
)

// BackupInfo says what a backup is of.
type BackupInfo struct {
	Cluster string    `json:"cluster"` // cluster ID
	Index   uint64    `json:"index"`   // of the last entry that is in it
	Level   uint32    `json:"level"`   // of the cluster
	Time    time.Time `json:"time"`    // by the cluster's clock
}

func backupInfo(h replica.BackupHead) BackupInfo {
	return BackupInfo{
		Cluster: h.Stamp.Cluster, Index: h.Stamp.Index, Level: h.Stamp.Level,
		Time: time.Unix(0, int64(h.Stamp.Wall)).UTC(),
	}
}

// A Backup is the replicated state of all features at one moment. It shares
// what has not changed since with the state itself, so it should be written
// soon, and let go of.
type Backup struct {
	BackupInfo
	io.WriterTo // writes the backup while the node goes on, and the same each time
}

// Backup freezes the replicated state as this node has it, once it has
// everything that was acknowledged anywhere before the call. It returns within
// three seconds.
func (n *Node) Backup(ctx context.Context) (*Backup, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	for {
		l := n.current()
		if l == nil {
			return nil, machine.ErrLoading
		}
		if a := l.query(ctx, nil); a.status == statusDone {
			return l.freeze(ctx, a.stamp)
		}
		n.pause(ctx, retryWait)
		if ctx.Err() != nil {
			return nil, n.unavailable()
		}
	}
}

// freeze returns the state as it was at a stamp that the leader has confirmed,
// or later.
func (l *life) freeze(ctx context.Context, at machine.Stamp) (*Backup, error) {
	if l.replica.Wait(ctx, at.Index) != nil {
		return nil, fmt.Errorf("%w, or is far behind", machine.ErrLoading)
	}
	frozen, err := l.replica.Backup(at)
	if err != nil {
		return nil, fmt.Errorf("freezing the state: %w", err)
	}
	return &Backup{backupInfo(frozen.BackupHead), frozen}, nil
}

// VerifyBackup reads a backup to its end and returns what it is of. Its error
// is ErrDamaged unless the backup is whole, or ErrNewer if its format is.
func VerifyBackup(r io.Reader) (BackupInfo, error) {
	f, err := replica.VerifyBackup(r)
	if err != nil {
		return BackupInfo{}, err
	}
	return backupInfo(f.BackupHead), nil
}
