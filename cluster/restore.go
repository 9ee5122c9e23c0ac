package cluster

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/huddlecache/huddle/cluster/internal/replica"
	"github.com/huddlecache/huddle/cluster/machine"
)

// How long a restore tries to get on while there is no quorum, or no answer.
// Replacing a large state may keep a node busy for seconds.
const (
	stagePatience  = 30 * time.Second // for each piece
	commitPatience = 2 * time.Minute
)

// Restored says what a restore has done.
type Restored struct {
	Backup  BackupInfo `json:"backup"`  // what was restored
	Cluster string     `json:"cluster"` // ID of this cluster
	Index   uint64     `json:"index"`   // of the entry with which it took effect
}

// Restore replaces the replicated state of all features by that of a backup,
// which may be of another cluster, on all nodes at once. Time, numbers,
// idempotency keys and members go on; what had ten minutes left at the backup
// has ten minutes left again; nobody holds a lock, or waits for one.
//
// The backup is read to its end and checked before anything changes, and held
// in memory meanwhile: a node may have no file system to write to, and every
// node will hold the same bytes in its state before they take effect. One node
// takes one restore at a time.
//
// An error that is not machine.ErrUnknown means that nothing was changed. A
// restore can be repeated; of two at a time, the one that began first fails.
func (n *Node) Restore(ctx context.Context, from io.Reader) (Restored, error) {
	if !n.restoring.TryLock() {
		return Restored{}, fmt.Errorf("%w: this node is taking another restore; wait for its end", ErrRefused)
	}
	defer n.restoring.Unlock()
	l := n.current()
	if l == nil {
		return Restored{}, machine.ErrLoading
	}
	u, err := l.receive(from)
	if err != nil {
		return Restored{}, err
	}
	index, err := u.run(ctx)
	if err != nil {
		return Restored{}, fmt.Errorf("restoring: %w", err)
	}
	n.cfg.Logger.Info("restored a backup", slog.String("cluster", u.info.Cluster), slog.Uint64("index", u.info.Index),
		slog.Time("taken", u.info.Time), slog.Int64("bytes", u.size))
	return Restored{Backup: u.info, Cluster: l.cluster, Index: index}, nil
}

// An upload is a backup on its way into the log.
type upload struct {
	node   *Node
	id     string
	info   BackupInfo
	size   int64
	hash   [sha256.Size]byte
	pieces [][]byte // that are not staged yet
	unsure bool     // an attempt of the last item has had an unknown outcome
}

// receive reads a backup and makes sure that it can be restored.
func (l *life) receive(from io.Reader) (*upload, error) {
	u := &upload{node: l.node, id: rand.Text()}
	if err := u.read(from, l.node.cfg.StateBytes); err != nil {
		return nil, err
	}
	f, err := replica.VerifyBackup(u.reader())
	if err != nil {
		return nil, unusable(err)
	}
	u.info, u.hash = backupInfo(f.BackupHead), f.Hash
	size, err := l.replica.TryRestore(u.reader())
	switch {
	case err != nil:
		return nil, unusable(err)
	case size > l.node.cfg.StateBytes:
		return nil, tooLarge(fmt.Sprintf("takes %d bytes", size), l.node.cfg.StateBytes)
	}
	return u, nil
}

// unusable says what to do about a backup that cannot be restored.
func unusable(err error) error {
	advice := "use another copy of it"
	if errors.Is(err, ErrNewer) {
		advice = "run that release on every node first"
	}
	return fmt.Errorf("%w; nothing was changed, %s", err, advice)
}

func tooLarge(what string, limit int64) error {
	return fmt.Errorf("%w: the backup %s and HUDDLE_STATE_BYTES is %d; set a larger one on every node", machine.ErrFull, what, limit)
}

// read takes the backup in pieces.
func (u *upload) read(from io.Reader, limit int64) error {
	for {
		piece := make([]byte, replica.PieceMost)
		n, err := io.ReadFull(from, piece)
		u.size += int64(n)
		if n > 0 {
			u.pieces = append(u.pieces, piece[:n])
		}
		switch {
		case u.size > limit:
			return tooLarge("is longer", limit)
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil // of a backup that was cut, its end is missing
		case err != nil:
			return fmt.Errorf("%w: reading it: %w", ErrDamaged, err)
		}
	}
}

func (u *upload) reader() io.Reader {
	readers := make([]io.Reader, len(u.pieces))
	for i, piece := range u.pieces {
		readers[i] = bytes.NewReader(piece)
	}
	return io.MultiReader(readers...)
}

// run stages the backup and puts it into force. It returns the index at which
// it took effect.
func (u *upload) run(ctx context.Context) (uint64, error) {
	for offset := int64(0); len(u.pieces) > 0; {
		reply, err := u.send(ctx, replica.RestorePiece(u.id, offset, u.pieces[0]), stagePatience)
		if err != nil {
			return 0, u.drop(ctx, err)
		}
		if reply.Status != replica.RestoreDone {
			return 0, errOvertaken
		}
		offset += int64(len(u.pieces[0]))
		u.pieces[0] = nil // the state has it
		u.pieces = u.pieces[1:]
	}
	return u.commit(ctx)
}

var (
	// errOvertaken means that what was staged is gone.
	errOvertaken = fmt.Errorf("%w: another restore began meanwhile, or this node was away for too long; nothing was changed, begin again", ErrRefused)
	// errUnknownRestore means that the backup may be in force, or may still
	// come to be.
	errUnknownRestore = fmt.Errorf("%w; restoring once more does no harm", machine.ErrUnknown)
)

// commit puts what was staged into force.
func (u *upload) commit(ctx context.Context) (uint64, error) {
	reply, err := u.send(ctx, replica.RestoreCommit(u.id, u.size, u.hash), commitPatience)
	switch {
	case errors.Is(err, machine.ErrUnknown):
		return 0, errUnknownRestore
	case err != nil:
		return 0, u.drop(ctx, err)
	case reply.Status == replica.RestoreDone:
		return reply.Index, nil
	case reply.Status == replica.RestoreNewer:
		return 0, unusable(ErrNewer)
	case reply.Status == replica.RestoreDamaged:
		return 0, unusable(ErrDamaged)
	}
	if u.unsure {
		return 0, errUnknownRestore // it took effect, or was dropped before it could
	}
	return 0, errOvertaken
}

// drop gives back the room of a restore that has failed, if that can be done
// now. Otherwise the cluster does it after a minute.
func (u *upload) drop(ctx context.Context, failed error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTime)
	defer cancel()
	_, _ = u.send(ctx, replica.RestoreDrop(u.id), 0)
	if errors.Is(failed, machine.ErrUnknown) {
		// Of a piece, it says only that the piece may lie there.
		failed = machine.ErrNoQuorum
	}
	return fmt.Errorf("%w; nothing was changed, try again", failed)
}

// send has an item applied, and tries again until the reply is known or the
// patience is over. It does no harm to apply one twice. The error is ErrUnknown
// if the item may have been applied.
func (u *upload) send(ctx context.Context, it replica.Item, patience time.Duration) (replica.RestoreReply, error) {
	deadline := time.Now().Add(patience)
	for u.unsure = false; ; {
		reply, err := u.attempt(ctx, it)
		if err == nil {
			return reply, nil
		}
		u.unsure = u.unsure || errors.Is(err, machine.ErrUnknown)
		if ctx.Err() != nil || u.node.isDone() || !time.Now().Before(deadline) {
			if u.unsure {
				err = machine.ErrUnknown
			}
			return replica.RestoreReply{}, err
		}
		u.node.pause(ctx, retryWait)
	}
}

// attempt sends an item once. It travels with the large values, so that other
// commands need not wait for it.
func (u *upload) attempt(ctx context.Context, it replica.Item) (replica.RestoreReply, error) {
	c := &call{items: []replica.Item{it}, size: len(it.Data)}
	if err := u.node.lanes[replica.LaneLarge].do(ctx, c); err != nil {
		return replica.RestoreReply{}, err
	}
	if err := c.replies[0].Err; err != nil {
		return replica.RestoreReply{}, err
	}
	return replica.ParseRestoreReply(c.replies[0].Data)
}

// isDone reports whether the node has stopped.
func (n *Node) isDone() bool {
	select {
	case <-n.done:
		return true
	default:
		return false
	}
}
