package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/huddlecache/huddle/cluster/internal/founding"
	"github.com/huddlecache/huddle/cluster/internal/gossip"
	"github.com/huddlecache/huddle/cluster/internal/replica"
)

// ErrNotMember means that no server of the cluster has that ID.
var ErrNotMember = errors.New("no member has this ID")

// errRemoved ends a life whose node is no member any more.
var errRemoved = errors.New("this node was removed from its cluster")

const (
	attendEvery = 500 * time.Millisecond
	hangTime    = 3 * time.Second // a write that takes longer ends the life
	missedTime  = 5 * time.Second // without a leader, before a member asks whether it is one
	logRoom     = int64(32 << 20) // what is left of a log that took too much room, in bytes
)

// attend looks after what nothing else notices: a disk that hangs, a log that
// grows, and a membership that has ended without a word.
func (l *life) attend(ctx context.Context) {
	l.work.Go(func() {
		// From here on what the cluster decided may live in this node alone.
		if l.replica.Wait(ctx, 1) == nil {
			l.on.step(func(c *founding.Core) founding.Step { return c.Applied() })
		}
	})
	ticker := time.NewTicker(attendEvery)
	defer ticker.Stop()
	asked := time.Now()
	hangs := hangs{last: time.Now()}
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.full:
			l.aside(&l.compacting, l.compact)
		case <-ticker.C:
			if !l.settled.Load() {
				l.aside(&l.judging, func() { l.judgeSettled(ctx) })
			}
		}
		if hangs.see(l.on.store.Stalled(), l.node.raftTime(hangTime)) {
			l.end(&diskError{fmt.Errorf("the disk has not finished a write for %s", l.on.store.Stalled().Round(time.Second))})
		}
		if l.raft.State() == raft.Shutdown {
			l.end(errRemoved)
		}
		if l.isMissed() && time.Since(asked) > missedTime/2 {
			asked = time.Now()
			l.aside(&l.inquiring, func() { l.inquire(ctx) })
		}
	}
}

// hangs tells a disk that hangs from a process that was paused, whose writes
// seem to have taken as long as the pause.
type hangs struct {
	last time.Time // when it was looked last
	seen int       // how often in a row a write took too long
}

// hangsSeen is how often a write must be seen to take too long.
const hangsSeen = 3

func (h *hangs) see(stalled, most time.Duration) bool {
	gap := time.Since(h.last)
	h.last = time.Now()
	h.seen++
	if stalled < most || gap > 2*attendEvery {
		h.seen = 0
	}
	return h.seen >= hangsSeen
}

// aside does something that may take long on a goroutine of its own, unless it
// is being done.
func (l *life) aside(busy *atomic.Bool, do func()) {
	if !busy.CompareAndSwap(false, true) {
		return
	}
	l.work.Go(func() {
		defer busy.Store(false)
		do()
	})
}

// isMissed reports whether the node has been without a leader for long.
func (l *life) isMissed() bool {
	return l.on.gossip != nil && l.raft.State() != raft.Leader && time.Since(l.lastContact()) > missedTime
}

// lastContact is when the leader was heard last, or when the life began.
func (l *life) lastContact() time.Time {
	if last := l.raft.LastContact(); last.After(l.began) {
		return last
	}
	return l.began
}

// inquire asks the others whether this node is still a member.
func (l *life) inquire(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	isSeen := false
	for _, m := range l.on.gossip.Members() {
		if m.State != gossip.Alive || m.ID == l.id || m.Cluster != l.cluster {
			continue
		}
		isSeen = true
		_, a, err := l.on.askLeader(ctx, m.ID, kindJoin, joinRequest{cluster: l.cluster, isNew: l.isEmpty()})
		switch {
		case err != nil:
		case a.status == statusNotMember:
			l.end(errRemoved)
			return
		case a.status == statusDone:
			return
		}
	}
	if !isSeen && l.isEmpty() {
		l.end(&renewal{"the cluster that took it in is gone"})
	}
}

// isEmpty reports whether the node was taken in and has been sent nothing yet.
func (l *life) isEmpty() bool { return l.raft.LastIndex() == 0 }

// compact takes a snapshot and keeps little of the log behind it.
func (l *life) compact() {
	usual := l.raft.ReloadableConfig().TrailingLogs
	l.keepTrailing(min(usual, l.on.store.TrailingFor(logRoom)))
	defer l.keepTrailing(usual)
	if err := l.raft.Snapshot().Error(); err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
		l.node.cfg.Logger.Warn("making the log smaller", slog.Any("error", err))
	}
}

// keepTrailing sets how many entries Raft keeps behind a snapshot.
func (l *life) keepTrailing(n uint64) {
	l.reloading.Lock()
	defer l.reloading.Unlock()
	config := l.raft.ReloadableConfig()
	config.TrailingLogs = n
	if err := l.raft.ReloadConfig(config); err != nil {
		l.node.cfg.Logger.Warn("making the log smaller", slog.Any("error", err))
	}
}

// raise raises the level of the cluster, as the leader.
func (l *life) raise(level uint32) {
	reign := l.reigning()
	if reign == nil {
		return
	}
	entry := replica.Raise{Term: reign.term, Level: level}
	if _, err := l.log(entry.Append(nil)); err == nil {
		l.node.cfg.Logger.Info("the cluster has risen to a new level", slog.Uint64("level", uint64(level)))
	}
}

// raftLogger passes Raft's lines on for debugging: what an operator must know
// is said by the node itself.
func raftLogger(logger *slog.Logger) hclog.Logger {
	level := hclog.Off
	if logger.Enabled(context.Background(), slog.LevelDebug) {
		level = hclog.Debug
	}
	return hclog.New(&hclog.LoggerOptions{Name: "raft", Level: level, Output: lines{logger}, DisableTime: true})
}

// lines logs what is written to it.
type lines struct{ logger *slog.Logger }

var _ io.Writer = lines{}

func (w lines) Write(p []byte) (int, error) {
	w.logger.Debug("raft", slog.String("line", strings.TrimSpace(string(p))))
	return len(p), nil
}

// nowhere is the stream layer of a node without a key, which talks to nobody.
type nowhere struct {
	id   string
	done chan struct{}
}

func newNowhere(id string) *nowhere { return &nowhere{id, make(chan struct{})} }

// Accept waits until Close.
func (n *nowhere) Accept() (net.Conn, error) {
	<-n.done
	return nil, net.ErrClosed
}

// Close ends Accept.
func (n *nowhere) Close() error {
	close(n.done)
	return nil
}

// Addr is the server's ID, as everywhere.
func (n *nowhere) Addr() net.Addr { return serverAddr(n.id) }

// Dial reaches nobody.
func (n *nowhere) Dial(raft.ServerAddress, time.Duration) (net.Conn, error) { return nil, errNotSeen }

// serverAddr is a server's ID as an address.
type serverAddr string

func (serverAddr) Network() string  { return "huddle" }
func (a serverAddr) String() string { return string(a) }
