package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/hashicorp/raft"

	"github.com/huddlecache/huddle/cluster/internal/founding"
	"github.com/huddlecache/huddle/cluster/internal/gossip"
	"github.com/huddlecache/huddle/cluster/machine"
)

// replace makes another server vote before one that leaves is removed, if too
// few voters would stay.
func (k *keeper) replace(ctx context.Context, leaving string) {
	for range k.life.configuration().Servers {
		index, heir, missing := k.vacancy(ctx, leaving)
		if !missing || heir == "" {
			return
		}
		err := k.life.change(func() raft.IndexFuture {
			return k.life.raft.AddVoter(heir, raft.ServerAddress(heir), index, changeTime)
		})
		if err != nil {
			return
		}
		k.life.node.cfg.Logger.Info("promoted a server in the place of one that leaves",
			slog.String("id", string(heir)), slog.String("leaves", leaving))
	}
}

// vacancy reports whether too few voters stay when one leaves, who may vote in
// its place, and the index of the configuration that this was judged by.
func (k *keeper) vacancy(ctx context.Context, leaving string) (index uint64, heir raft.ServerID, missing bool) {
	future := k.life.raft.GetConfiguration()
	if future.Error() != nil {
		return 0, "", false
	}
	voters, living := 0, 0
	last := k.life.raft.LastIndex()
	for _, s := range future.Configuration().Servers {
		id := string(s.ID)
		m, found := k.life.on.find(id)
		isStaying := id != leaving && found && m.State == gossip.Alive && !m.Flags.Has(gossip.Leaving)
		if !isStaying {
			continue
		}
		living++
		if s.Suffrage == raft.Voter {
			voters++
			continue
		}
		if a, err := k.ask(ctx, id); err == nil && a.applied > 0 && a.last+behindMost >= last {
			heir = s.ID
		}
	}
	return future.Index(), heir, voters < founding.Voters(living, k.life.node.cfg.Voters, k.life.node.cfg.Expect)
}

// admit adds a server, as the leader. One that was a member and is one no more
// comes back only if it has kept its log on disk.
func (l *life) admit(ctx context.Context, from string, m joinRequest) joinAnswer {
	for _, s := range l.configuration().Servers {
		if string(s.ID) == from {
			return joinAnswer{status: statusDone, value: l.cluster}
		}
	}
	member, found := l.on.find(from)
	if !found {
		return joinAnswer{status: statusElsewhere, value: "the leader does not see this node yet"}
	}
	if !m.isNew && !member.Flags.Has(gossip.Durable) {
		// It will throw its state away: this must be no leader of the past, and
		// the removal no plan.
		if r := l.reigning(); r == nil || l.replica.HasMember(from) || !l.rounds.confirm(ctx, r) {
			return joinAnswer{status: statusNotLeader}
		}
		return joinAnswer{status: statusNotMember, value: "this identity was removed"}
	}
	if member.Level < l.replica.Stamp().Level {
		return joinAnswer{status: statusElsewhere, value: "this release is too old for the cluster's level"}
	}
	err := l.change(func() raft.IndexFuture {
		return l.raft.AddNonvoter(raft.ServerID(from), raft.ServerAddress(from), 0, changeTime)
	})
	if err != nil {
		return joinAnswer{status: statusLost, value: err.Error()}
	}
	l.node.cfg.Logger.Info("added a server", slog.String("id", from), slog.String("name", member.Name))
	return joinAnswer{status: statusDone, value: l.cluster}
}

// dismiss removes a server, as the leader: the one that asks, or a durable one
// that is dead and will not come back.
func (l *life) dismiss(ctx context.Context, from, target string) joinAnswer {
	k := l.keeper.Load()
	if k == nil {
		return joinAnswer{status: statusNotLeader}
	}
	if target == "" {
		target = from
	}
	if target == l.id {
		return joinAnswer{status: statusOverloaded, value: "it leads: stop it instead"}
	}
	if target == from {
		k.replace(ctx, target)
	} else if m, found := l.on.find(target); found && m.State == gossip.Alive {
		return joinAnswer{status: statusOverloaded, value: "it is alive: stop it first"}
	}
	if err := k.remove(target); err != nil {
		return joinAnswer{status: statusOverloaded, value: err.Error()}
	}
	if target != from && l.on.gossip != nil {
		l.on.gossip.Forget(target)
	}
	return joinAnswer{status: statusDone, value: l.cluster}
}

// leave gives this node's part to others: its leadership, and, if it will not
// come back, its membership.
func (l *life) leave(ctx context.Context) {
	for ctx.Err() == nil && !l.isOver() {
		if l.isSole() {
			return
		}
		leader, found := l.leader()
		switch {
		case !found:
		case leader == l.id:
			if k := l.keeper.Load(); k != nil && !l.on.store.Durable() {
				k.replace(ctx, l.id)
			}
			if !l.hasOtherVoter() {
				return
			}
			if err := l.abdicate(ctx); err != nil {
				l.node.cfg.Logger.Debug("moving leadership", slog.Any("error", err))
			}
		case l.on.store.Durable():
			return
		default:
			_, a, err := l.on.askLeader(ctx, leader, kindLeave, joinRequest{cluster: l.cluster})
			if err == nil && a.status == statusDone {
				return
			}
		}
		l.node.pause(ctx, 5*retryWait)
	}
}

// abdicate moves the leadership to the voter that is furthest on, of those
// that answer and stay.
func (l *life) abdicate(ctx context.Context) error {
	progress := l.survey(ctx)
	var heir raft.Server
	var last uint64
	for _, s := range l.configuration().Servers {
		a, answers := progress[string(s.ID)]
		m, found := l.on.find(string(s.ID))
		isLeaving := !found || m.Flags.Has(gossip.Leaving)
		if s.Suffrage == raft.Voter && string(s.ID) != l.id && answers && !isLeaving && a.last >= last {
			heir, last = s, a.last
		}
	}
	if heir.ID == "" {
		return errors.New("no other voter answers")
	}
	future := l.raft.LeadershipTransferToServer(heir.ID, heir.Address)
	bound(future, l.gone)
	return future.Error()
}

func (l *life) hasOtherVoter() bool {
	return slices.ContainsFunc(l.configuration().Servers, func(s raft.Server) bool {
		return s.Suffrage == raft.Voter && string(s.ID) != l.id
	})
}

// Forget removes a durable node that is dead and will not come back.
func (n *Node) Forget(ctx context.Context, id string) error {
	l := n.current()
	if l == nil {
		return fmt.Errorf("forgetting %s: %w", id, machine.ErrLoading)
	}
	isMember := slices.ContainsFunc(l.configuration().Servers, func(s raft.Server) bool { return string(s.ID) == id })
	if !isMember {
		return fmt.Errorf("forgetting %s: %w", id, ErrNotMember)
	}
	leader, found := l.leader()
	if !found {
		return fmt.Errorf("forgetting %s: %w", id, machine.ErrNoQuorum)
	}
	var a joinAnswer
	var err error
	if leader == l.id {
		a = l.dismiss(ctx, l.id, id)
	} else {
		_, a, err = l.on.askLeader(ctx, leader, kindLeave, joinRequest{cluster: l.cluster, target: id})
	}
	if err != nil {
		return fmt.Errorf("forgetting %s: asking the leader: %w", id, err)
	}
	if a.status != statusDone {
		return fmt.Errorf("forgetting %s: %w: %s", id, ErrRefused, strings.TrimSpace(a.value))
	}
	return nil
}
