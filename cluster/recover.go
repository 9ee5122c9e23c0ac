package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/raft"

	"github.com/huddlecache/huddle/cluster/internal/founding"
	"github.com/huddlecache/huddle/cluster/internal/gossip"
	"github.com/huddlecache/huddle/cluster/internal/replica"
	"github.com/huddlecache/huddle/cluster/internal/store"
)

// RecoverOptions say how to recover.
type RecoverOptions struct {
	DryRun bool // only say what would be done
	Force  bool // also where another node is further on, or a quorum is there
}

// ErrRefused means that a recovery, a restore or the removal of a member would
// do harm or is not needed.
var ErrRefused = errors.New("refused")

// A recovery ends a life and begins another one, in a new cluster of which
// this node is the only member, with all of the state.
type recovery struct {
	cluster string
	done    chan error // holds one
}

func (r *recovery) Error() string { return "recovered as the seed of cluster " + r.cluster }

// Recover makes this node the seed of a new cluster, with all that it knows,
// after a majority of the voters was lost for good. It returns in words what
// was, or would be, done.
func (n *Node) Recover(ctx context.Context, o RecoverOptions) (string, error) {
	l := n.current()
	if l == nil {
		return "", fmt.Errorf("%w: this node is in no cluster", ErrRefused)
	}
	progress := l.survey(ctx)
	report, obstacle := l.weighRecovery(progress)
	if obstacle != "" && !o.Force {
		return report, fmt.Errorf("%w: %s", ErrRefused, obstacle)
	}
	if o.DryRun {
		return report + "dry run: nothing was changed\n", nil
	}
	r := &recovery{cluster: newClusterID(), done: make(chan error, 1)}
	orphans := l.orphans(progress)
	if !l.end(r) {
		return report, fmt.Errorf("%w: this node is about to stop or to begin again; try again", ErrRefused)
	}
	select {
	case err := <-r.done:
		if err != nil {
			return report, fmt.Errorf("recovering: %w", err)
		}
	case <-n.done:
		return report, fmt.Errorf("%w: this node has stopped", ErrRefused)
	case <-ctx.Done():
		return report, fmt.Errorf("recovering: %w", ctx.Err())
	}
	report += fmt.Sprintf("this node is now the seed of cluster %s\n", r.cluster)
	for _, m := range orphans {
		report += fmt.Sprintf("restart %s: it still belongs to the old cluster\n", label(member(m)))
	}
	return report, nil
}

// orphans are the members that answer, which a recovery leaves behind.
func (l *life) orphans(progress map[string]statusAnswer) (list []gossip.Member) {
	for _, m := range l.on.seen() {
		if _, answers := progress[m.ID]; answers && m.ID != l.id {
			list = append(list, m)
		}
	}
	return list
}

// weighRecovery lists what is known of the others, and what speaks against a
// recovery here.
func (l *life) weighRecovery(progress map[string]statusAnswer) (report, obstacle string) {
	var b strings.Builder
	own := l.progress()
	fmt.Fprintf(&b, "this node %s: last entry %d of term %d\n", l.id, own.last, own.lastTerm)
	voters, living := 0, 0
	for _, s := range l.configuration().Servers {
		id := string(s.ID)
		a, answers := progress[id]
		if s.Suffrage == raft.Voter {
			voters++
			if answers {
				living++
			}
		}
		switch {
		case id == l.id:
		case !answers:
			fmt.Fprintf(&b, "%s: does not answer\n", id)
		default:
			fmt.Fprintf(&b, "%s: last entry %d of term %d\n", id, a.last, a.lastTerm)
			if a.lastTerm > own.lastTerm || a.lastTerm == own.lastTerm && a.last > own.last {
				obstacle = fmt.Sprintf("%s is further on: recover there", id)
			}
		}
	}
	if living > voters/2 {
		obstacle = fmt.Sprintf("%d of %d voters answer: the cluster has a quorum, or will have one in a few seconds", living, voters)
	}
	return b.String(), obstacle
}

// recover makes the store's log that of a new cluster.
func (p *presence) recover(cluster string) error {
	if err := refound(p.node, p.store, cluster); err != nil {
		return err
	}
	p.step(func(c *founding.Core) founding.Step { return c.Recovered(cluster) })
	return nil
}

// refound rewrites a store whose Raft is shut down: all entries are taken for
// committed, as some were, and the configuration becomes this server alone.
func refound(n *Node, s *store.Store, cluster string) error {
	id := s.ID()
	trans := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: newNowhere(id), Logger: raftLogger(n.cfg.Logger),
	})
	defer trans.Close()
	seed := raft.Configuration{Servers: []raft.Server{{ID: raft.ServerID(id), Address: raft.ServerAddress(id)}}}
	rep := replica.New(replica.Config{Features: factories(n.cfg.Features), MaxLevel: n.cfg.Level})
	logs := configurations{s.Logs(), rep}
	fsm := refounding{rep, cluster, id}
	if err := raft.RecoverCluster(n.raftConfig(id), fsm, logs, s.Stable(), s.Snapshots(), trans, seed); err != nil {
		return fmt.Errorf("rewriting the log: %w", err)
	}
	return s.Save(savedCluster, []byte(cluster))
}

// configurations is a log whose configurations reach the state as it is read:
// RecoverCluster applies commands only, and without its members the state
// would refuse their commands.
type configurations struct {
	raft.LogStore
	state *replica.Replica
}

// GetLog implements raft.LogStore.
func (c configurations) GetLog(index uint64, l *raft.Log) error {
	err := c.LogStore.GetLog(index, l)
	if err == nil && l.Type == raft.LogConfiguration {
		c.state.Apply(l)
	}
	return err
}

// refounding is the state as it is given to a new cluster.
type refounding struct {
	*replica.Replica
	cluster, id string
}

// Snapshot implements raft.FSM.
func (r refounding) Snapshot() (raft.FSMSnapshot, error) {
	r.Refound(r.cluster, r.id)
	return r.Replica.Snapshot()
}

// RecoverDir does what Recover does with a data directory that no process
// uses. Nobody else is asked: the caller must know that no other node is
// further on.
func RecoverDir(_ context.Context, cfg Config, o RecoverOptions) (report string, err error) {
	cfg, err = cfg.complete()
	if err != nil {
		return "", err
	}
	s, err := store.OpenDisk(cfg.DataDir, store.Config{NoSync: cfg.NoSync})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	last, err := s.Logs().LastIndex()
	if err != nil {
		return "", err
	}
	old, _, err := s.Load(savedCluster)
	if err != nil {
		return "", err
	}
	report = fmt.Sprintf("server %s of cluster %s: last entry in the log %d\n", s.ID(), old, last)
	if len(old) == 0 {
		return report, fmt.Errorf("%w: the directory belongs to no cluster", ErrRefused)
	}
	if o.DryRun {
		return report + "dry run: nothing was changed\n", nil
	}
	cluster := newClusterID()
	if err := refound(&Node{cfg: cfg}, s, cluster); err != nil {
		return report, err
	}
	if err := moveFounding(s, cfg, cluster); err != nil {
		return report, err
	}
	return report + fmt.Sprintf("this directory is now the seed of cluster %s\n", cluster), nil
}

// moveFounding makes what a directory keeps of founding agree with its new
// cluster.
func moveFounding(s *store.Store, cfg Config, cluster string) error {
	saved, _, err := s.Load(savedFounding)
	if err != nil {
		return err
	}
	core, err := founding.New(founding.Config{
		Self:   founding.Member{ID: s.ID(), Name: cfg.Name, Durable: true},
		Expect: cfg.Expect, Voters: cfg.Voters, Saved: saved,
	})
	if err != nil {
		return err
	}
	_, err = core.Recovered(cluster).After(func(state []byte) error { return s.Save(savedFounding, state) })
	return err
}
