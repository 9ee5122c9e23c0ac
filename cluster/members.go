package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"

	"github.com/huddlecache/huddle/cluster/internal/founding"
	"github.com/huddlecache/huddle/cluster/internal/gossip"
)

// How a leader judges the members. A server has failed only if gossip says so
// and the leader has not heard it either: a leader that has just woken from a
// pause sees nobody, and would remove all.
const (
	surveyEvery    = time.Second
	reconcileEvery = time.Second
	silence        = 5 * time.Second        // without an answer, before a server can have failed
	stability      = 5 * time.Second        // in sight, before a server may vote
	answering      = 3 * time.Second        // since its last answer, a server counts as answering
	lookTime       = 500 * time.Millisecond // in which a server must answer
	behindMost     = 1024                   // entries that a server may lack and still be healthy
	changeTime     = 5 * time.Second        // in which a change of the configuration must be done
)

// keepMembers makes the Raft configuration follow who is there, for as long as
// this node leads: autopilot decides when to look, this file what to do.
func (l *life) keepMembers(ctx context.Context) {
	k := &keeper{
		life: l, began: time.Now(),
		heard: map[string]time.Time{}, latest: map[string]progressSeen{}, asking: map[string]bool{},
	}
	pilot := autopilot.New(boundRaft{l.raft, l.gone}, k,
		autopilot.WithLogger(raftLogger(l.node.cfg.Logger)),
		autopilot.WithUpdateInterval(surveyEvery),
		autopilot.WithReconcileInterval(reconcileEvery),
		autopilot.WithPromoter(k))
	l.keeper.Store(k)
	defer l.keeper.Store(nil)
	pilot.Start(ctx)
	k.patrol(ctx)
	<-pilot.Stop()
}

// boundRaft is Raft with changes that end when it has shut down (see bound).
type boundRaft struct {
	*raft.Raft
	gone chan struct{}
}

// AddVoter implements autopilot.Raft.
func (r boundRaft) AddVoter(id raft.ServerID, address raft.ServerAddress, prevIndex uint64, timeout time.Duration) raft.IndexFuture {
	future := r.Raft.AddVoter(id, address, prevIndex, timeout)
	bound(future, r.gone)
	return future
}

// DemoteVoter implements autopilot.Raft.
func (r boundRaft) DemoteVoter(id raft.ServerID, prevIndex uint64, timeout time.Duration) raft.IndexFuture {
	future := r.Raft.DemoteVoter(id, prevIndex, timeout)
	bound(future, r.gone)
	return future
}

// A keeper is what autopilot knows of this program, for one reign.
type keeper struct {
	life  *life
	began time.Time

	mu     sync.Mutex              // guards all below
	heard  map[string]time.Time    // server -> when it answered last
	latest map[string]progressSeen // server -> what it answered then
	asking map[string]bool         // server -> it is being asked
}

// progressSeen is what a server answered, and how many entries of the leader's
// log it lacked when it was asked.
type progressSeen struct {
	statusAnswer
	behind uint64
}

// AutopilotConfig implements autopilot.ApplicationIntegration.
func (k *keeper) AutopilotConfig() *autopilot.Config {
	return &autopilot.Config{
		CleanupDeadServers:      true,
		LastContactThreshold:    answering,
		MaxTrailingLogs:         behindMost,
		ServerStabilizationTime: stability,
	}
}

// NotifyState implements autopilot.ApplicationIntegration.
func (k *keeper) NotifyState(*autopilot.State) {}

// FetchServerStats implements autopilot.ApplicationIntegration: what the last
// look around found.
func (k *keeper) FetchServerStats(_ context.Context, servers map[raft.ServerID]*autopilot.Server) map[raft.ServerID]*autopilot.ServerStats {
	stats := map[raft.ServerID]*autopilot.ServerStats{}
	k.mu.Lock()
	defer k.mu.Unlock()
	for id := range servers {
		if a, found := k.latest[string(id)]; found && time.Since(k.heard[string(id)]) < answering {
			// Autopilot compares with the leader's log as it is now, and it has
			// grown since the server answered.
			last := k.life.raft.LastIndex()
			stats[id] = &autopilot.ServerStats{LastContact: a.contact, LastTerm: a.lastTerm, LastIndex: last - min(last, a.behind)}
		}
	}
	return stats
}

// look asks all servers how far they are. One that does not answer in time is
// not waited for, nor asked again before it has.
func (k *keeper) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	var asking sync.WaitGroup
	for _, s := range k.life.configuration().Servers {
		id := string(s.ID)
		k.mu.Lock()
		isBusy := k.asking[id]
		k.asking[id] = true
		k.mu.Unlock()
		if isBusy {
			continue
		}
		asking.Add(1)
		k.life.work.Go(func() {
			defer asking.Done()
			_, _ = k.ask(ctx, id) // who does not answer is not heard
			k.mu.Lock()
			k.asking[id] = false
			k.mu.Unlock()
		})
	}
	k.life.work.Go(func() {
		asking.Wait()
		cancel()
	})
	<-ctx.Done()
}

// prune removes the servers that have failed and will not come back.
func (k *keeper) prune() {
	for _, s := range k.life.configuration().Servers {
		if id := string(s.ID); k.hasFailed(id) && k.mayRemove(id) {
			k.expel(id)
		}
	}
}

func (k *keeper) expel(id string) {
	if err := k.remove(id); err != nil {
		k.life.node.cfg.Logger.Warn("a dead server stays a member", slog.String("id", id), slog.Any("error", err))
	}
}

// ask asks a server how far it is, and notes that it answers.
func (k *keeper) ask(ctx context.Context, id string) (statusAnswer, error) {
	own := k.life.raft.LastIndex()
	a := k.life.progress()
	var err error
	if id != k.life.id {
		a, err = k.life.on.askProgress(ctx, id)
	}
	if err == nil && a.cluster == k.life.cluster {
		k.mu.Lock()
		k.heard[id], k.latest[id] = time.Now(), progressSeen{a, own - min(own, a.last)}
		k.mu.Unlock()
	}
	return a, err
}

// silent is how long a server has not answered.
func (k *keeper) silent(id string) time.Duration {
	if id == k.life.id {
		return 0
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	last, found := k.heard[id]
	if !found {
		last = k.began
	}
	return time.Since(last)
}

// answers reports whether a server has answered lately.
func (k *keeper) answers(id string) bool {
	k.mu.Lock()
	_, found := k.heard[id]
	k.mu.Unlock()
	return id == k.life.id || found && k.silent(id) < answering
}

// KnownServers implements autopilot.ApplicationIntegration. The servers are
// those of the Raft configuration, whatever gossip sees.
func (k *keeper) KnownServers() map[raft.ServerID]*autopilot.Server {
	known := map[raft.ServerID]*autopilot.Server{}
	for _, s := range k.life.configuration().Servers {
		server := &autopilot.Server{
			ID: s.ID, Address: s.Address, NodeStatus: autopilot.NodeAlive,
			NodeType: autopilot.NodeVoter, IsLeader: string(s.ID) == k.life.id,
		}
		if m, found := k.life.on.find(string(s.ID)); found {
			server.Name = m.Name
		}
		if k.hasFailed(string(s.ID)) {
			server.NodeStatus = autopilot.NodeFailed
		}
		known[s.ID] = server
	}
	return known
}

func (k *keeper) hasFailed(id string) bool {
	m, found := k.life.on.find(id)
	return (!found || m.State != gossip.Alive) && k.silent(id) >= silence
}

// mayRemove reports whether a server that has failed will not come back: an
// ephemeral one never does, a durable one not if another node has its name.
func (k *keeper) mayRemove(id string) bool {
	m, found := k.life.on.find(id)
	if !found {
		isDurable, known := k.life.replica.IsDurable(id)
		return known && !isDurable
	}
	if !m.Flags.Has(gossip.Durable) {
		return true
	}
	return slices.ContainsFunc(k.life.on.seen(), func(o gossip.Member) bool {
		return o.ID != id && o.Name == m.Name && o.State == gossip.Alive && o.Cluster == k.life.cluster
	})
}

// RemoveFailedServer implements autopilot.ApplicationIntegration.
func (k *keeper) RemoveFailedServer(s *autopilot.Server) {
	k.life.work.Go(func() { k.expel(string(s.ID)) })
}

// remove takes a server out of the configuration, if the voters that answer
// are a majority of those that remain.
func (k *keeper) remove(id string) error {
	remaining, answer := 0, 0
	found := false
	for _, s := range k.life.configuration().Servers {
		if string(s.ID) == id {
			found = true
			continue
		}
		if s.Suffrage == raft.Voter {
			remaining++
			if k.answers(string(s.ID)) {
				answer++
			}
		}
	}
	if !found {
		return nil
	}
	if answer < remaining/2+1 {
		return fmt.Errorf("removing %s: only %d of the %d remaining voters answer", id, answer, remaining)
	}
	err := k.life.change(func() raft.IndexFuture { return k.life.raft.RemoveServer(raft.ServerID(id), 0, changeTime) })
	if err != nil {
		return fmt.Errorf("removing %s: %w", id, err)
	}
	k.life.node.cfg.Logger.Info("removed a server", slog.String("id", id))
	return nil
}

// GetServerExt implements autopilot.Promoter.
func (k *keeper) GetServerExt(*autopilot.Config, *autopilot.ServerState) any { return nil }

// GetStateExt implements autopilot.Promoter.
func (k *keeper) GetStateExt(*autopilot.Config, *autopilot.State) any { return nil }

// GetNodeTypes implements autopilot.Promoter.
func (k *keeper) GetNodeTypes(_ *autopilot.Config, s *autopilot.State) map[raft.ServerID]autopilot.NodeType {
	types := map[raft.ServerID]autopilot.NodeType{}
	for id := range s.Servers {
		types[id] = autopilot.NodeVoter
	}
	return types
}

// IsPotentialVoter implements autopilot.Promoter.
func (k *keeper) IsPotentialVoter(t autopilot.NodeType) bool { return t == autopilot.NodeVoter }

// FilterFailedServerRemovals implements autopilot.Promoter.
func (k *keeper) FilterFailedServerRemovals(_ *autopilot.Config, _ *autopilot.State, f *autopilot.FailedServers) *autopilot.FailedServers {
	stays := func(s *autopilot.Server) bool { return !k.mayRemove(string(s.ID)) }
	f.FailedVoters = slices.DeleteFunc(f.FailedVoters, stays)
	f.FailedNonVoters = slices.DeleteFunc(f.FailedNonVoters, stays)
	f.StaleVoters, f.StaleNonVoters = nil, nil
	return f
}

// CalculatePromotionsAndDemotions implements autopilot.Promoter: of the
// servers that live, as many vote as should, an odd number unless there are
// two. While a dead voter waits for its removal nobody is promoted.
//
// Stability is taken from gossip, which every node keeps: autopilot's own
// begins anew with each leader.
func (k *keeper) CalculatePromotionsAndDemotions(_ *autopilot.Config, s *autopilot.State) (changes autopilot.RaftChanges) {
	var voters, candidates []raft.ServerID
	living := 0
	for id, server := range s.Servers {
		failed := k.hasFailed(string(id))
		isVoter := server.HasVotingRights()
		if failed && isVoter && k.mayRemove(string(id)) {
			return changes
		}
		if !failed {
			living++
		}
		switch {
		case isVoter:
			voters = append(voters, id)
		case server.Health.Healthy && k.isStable(string(id)):
			candidates = append(candidates, id)
		}
	}
	want := founding.Voters(living, k.life.node.cfg.Voters, k.life.node.cfg.Expect)
	slices.Sort(candidates)
	if missing := want - len(voters); missing > 0 {
		changes.Promotions = candidates[:min(missing, len(candidates))]
	}
	if len(voters) > want && k.isWhole(s) {
		changes.Demotions = k.superfluous(voters, len(voters)-want)
	}
	return changes
}

// isWhole reports whether autopilot's view is that of the present
// configuration, and everybody in it answers and stays. Only then may a vote
// be taken from somebody: what looks like one voter too many may be one that
// is being removed, or is dead.
func (k *keeper) isWhole(s *autopilot.State) bool {
	servers := k.life.configuration().Servers
	if len(servers) != len(s.Servers) {
		return false
	}
	for _, server := range servers {
		m, found := k.life.on.find(string(server.ID))
		isThere := found && m.State == gossip.Alive && !m.Flags.Has(gossip.Leaving) && k.answers(string(server.ID))
		if s.Servers[server.ID] == nil || !isThere {
			return false
		}
	}
	return true
}

func (k *keeper) isStable(id string) bool {
	m, found := k.life.on.find(id)
	return found && m.State == gossip.Alive && !m.Flags.Has(gossip.Leaving) && time.Since(m.Since) >= stability
}

// superfluous chooses voters to lose their vote: not the leader.
func (k *keeper) superfluous(voters []raft.ServerID, n int) []raft.ServerID {
	others := slices.DeleteFunc(slices.Clone(voters), func(id raft.ServerID) bool { return string(id) == k.life.id })
	slices.Sort(others)
	return others[len(others)-min(n, len(others)):]
}

// levelStable is for how long all members must know a level before the
// cluster rises to it.
const levelStable = 30 * time.Second

// patrol looks around and removes the dead, and raises the level once every
// server of the configuration has reported it for long enough.
func (k *keeper) patrol(ctx context.Context) {
	var since time.Time
	for ctx.Err() == nil {
		k.look(ctx)
		k.prune()
		level := k.life.replica.Stamp().Level
		common := k.commonLevel()
		switch {
		case common <= level:
			since = time.Time{}
		case since.IsZero():
			since = time.Now()
		case time.Since(since) >= levelStable:
			since = time.Time{}
			k.life.raise(level + 1)
		}
		k.life.node.pause(ctx, reconcileEvery)
	}
}

// commonLevel is the newest level that all members know.
func (k *keeper) commonLevel() uint32 {
	common := k.life.node.cfg.Level
	for _, s := range k.life.configuration().Servers {
		if string(s.ID) == k.life.id {
			continue
		}
		m, found := k.life.on.find(string(s.ID))
		if !found || m.State != gossip.Alive {
			return 0
		}
		common = min(common, m.Level)
	}
	return common
}

// find is what gossip knows of a server.
func (p *presence) find(id string) (gossip.Member, bool) {
	if p.gossip == nil {
		return gossip.Member{}, false
	}
	return p.gossip.Member(id)
}
