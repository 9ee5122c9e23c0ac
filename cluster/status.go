package cluster

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/huddlecache/huddle/cluster/internal/gossip"
	"github.com/huddlecache/huddle/cluster/internal/peer"
)

// Roles of a member.
const (
	RoleLeader   = "leader"
	RoleVoter    = "voter"
	RoleNonvoter = "nonvoter"
	RoleJoining  = "joining"
)

// States of a member.
const (
	StateAlive   = "alive"
	StateLeaving = "leaving"
	StateDead    = "dead"
)

// Status is what one node knows of the cluster.
type Status struct {
	Cluster  string   `json:"cluster"` // cluster ID; empty until one is founded or joined
	Node     string   `json:"node"`    // ID of the node that answers
	Leader   string   `json:"leader"`  // ID, empty if none is known
	Term     uint64   `json:"term"`
	Index    uint64   `json:"index"`  // last applied
	Quorum   bool     `json:"quorum"` // a leader was confirmed by a majority within the last seconds
	Level    uint32   `json:"level"`
	Problems []string `json:"problems"` // what is wrong, in words, with what to do; never nil
	Members  []Member `json:"members"`  // by ID
}

// Member is one node as another one sees it.
type Member struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Address string `json:"address"` // of the peer port
	Role    string `json:"role"`
	State   string `json:"state"`
	Index   uint64 `json:"index"` // last applied, as last heard
	Version string `json:"version"`
	Durable bool   `json:"durable"`
}

// statusTime is how long Status waits for the other nodes.
const statusTime = time.Second

// Status returns what this node knows of the cluster. It asks the other
// members how far they are.
func (n *Node) Status(ctx context.Context) Status {
	s := Status{Problems: []string{}, Members: []Member{}}
	p, l := n.presence.Load(), n.life.Load()
	if p == nil {
		s.Problems = append(s.Problems, "this node is between two identities: wait a moment")
		return s
	}
	s.Node = p.id
	if l == nil {
		s.Problems = append(s.Problems, "this node is in no cluster: "+p.foundingStatus().String())
		s.Members = p.members(nil)
		return s
	}
	s.Cluster, s.Term, s.Index = l.cluster, l.raft.CurrentTerm(), l.replica.Applied()
	s.Leader, _ = l.leader()
	s.Level = l.replica.Stamp().Level
	progress := l.survey(ctx)
	s.Members = p.members(l)
	for i := range s.Members {
		m := &s.Members[i]
		if a, found := progress[m.ID]; found {
			m.Index = a.applied
			s.Quorum = s.Quorum || a.quorum && a.leader == s.Leader && s.Leader == m.ID
		}
	}
	s.Problems = append(s.Problems, l.problems(&s, progress)...)
	return s
}

// survey asks all members how far they are.
func (l *life) survey(ctx context.Context) map[string]statusAnswer {
	ctx, cancel := context.WithTimeout(ctx, statusTime)
	defer cancel()
	progress := map[string]statusAnswer{l.id: l.progress()}
	var mu sync.Mutex // guards progress
	var asking sync.WaitGroup
	for _, server := range l.configuration().Servers {
		id := string(server.ID)
		if id == l.id {
			continue
		}
		asking.Go(func() {
			a, err := l.on.askProgress(ctx, id)
			if err != nil || a.cluster != l.cluster {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			progress[id] = a
		})
	}
	asking.Wait()
	return progress
}

func (p *presence) askProgress(ctx context.Context, id string) (a statusAnswer, err error) {
	if p.peer == nil {
		return a, peer.ErrNotSent
	}
	body, err := p.peer.Call(ctx, id, peer.Small, kindStatus, nil)
	if err != nil {
		return a, err
	}
	return parseStatus(body)
}

// progress says how far this node is.
func (l *life) progress() statusAnswer {
	a := statusAnswer{
		cluster: l.cluster, last: l.raft.LastIndex(), applied: l.replica.Applied(),
		lastTerm: l.lastTerm(), contact: math.MaxInt64,
	}
	a.leader, _ = l.leader()
	if last := l.raft.LastContact(); !last.IsZero() {
		a.contact = time.Since(last)
	}
	if l.reigning() != nil {
		a.contact, a.quorum = 0, true
	} else if a.leader != "" && a.leader != l.id {
		a.quorum = a.contact < callTime
	}
	return a
}

// members returns everybody who is in the Raft configuration or alive.
func (p *presence) members(l *life) []Member {
	roles := map[string]string{}
	leader := ""
	if l != nil {
		leader, _ = l.leader()
		for _, server := range l.configuration().Servers {
			roles[string(server.ID)] = RoleNonvoter
			if server.Suffrage == raft.Voter {
				roles[string(server.ID)] = RoleVoter
			}
		}
		if roles[leader] != "" {
			roles[leader] = RoleLeader
		}
	}
	known := map[string]Member{p.id: p.self()}
	for _, g := range p.seen() {
		if roles[g.ID] != "" || g.State == gossip.Alive {
			known[g.ID] = member(g)
		}
	}
	for id := range roles {
		if _, found := known[id]; !found {
			known[id] = Member{ID: id, State: StateDead}
		}
	}
	list := make([]Member, 0, len(known))
	for id, m := range known {
		if m.Role = roles[id]; m.Role == "" {
			m.Role = RoleJoining
		}
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b Member) int { return strings.Compare(a.ID, b.ID) })
	return list
}

// seen is what gossip knows.
func (p *presence) seen() []gossip.Member {
	if p.gossip == nil {
		return nil
	}
	return p.gossip.Members()
}

func (p *presence) self() Member {
	m := Member{
		ID: p.id, Name: p.node.cfg.Name, State: StateAlive,
		Version: p.node.cfg.Version, Durable: p.store.Durable(),
	}
	if p.node.draining.Load() {
		m.State = StateLeaving
	}
	return m
}

func member(g gossip.Member) Member {
	m := Member{
		ID: g.ID, Name: g.Name, Address: g.PeerAddr().String(), State: StateAlive,
		Version: g.Version, Durable: g.Flags.Has(gossip.Durable),
	}
	switch {
	case g.State != gossip.Alive:
		m.State = StateDead
	case g.Flags.Has(gossip.Leaving):
		m.State = StateLeaving
	}
	return m
}

// problems says in words what is wrong and what to do.
func (l *life) problems(s *Status, progress map[string]statusAnswer) (list []string) {
	var dead, lost []string
	voters, living := 0, 0
	for _, m := range s.Members {
		isVoter := m.Role == RoleVoter || m.Role == RoleLeader
		if isVoter {
			voters++
		}
		if _, answers := progress[m.ID]; answers && isVoter {
			living++
		}
		if m.State == StateDead && m.Role != RoleJoining {
			dead = append(dead, label(m))
			if m.Durable {
				lost = append(lost, label(m))
			}
		}
	}
	if !s.Quorum {
		list = append(list, l.noQuorum(living, voters, s, progress))
	}
	if len(dead) > 0 && s.Quorum {
		list = append(list, "dead: "+strings.Join(dead, ", ")+": they are removed when that is safe")
	}
	if len(lost) > 0 {
		list = append(list, "durable and dead: "+strings.Join(lost, ", ")+
			": start them again, or, if they will not come back, run: huddle forget ID")
	}
	return append(list, l.warnings()...)
}

func label(m Member) string {
	if m.Name == "" {
		return m.ID
	}
	return fmt.Sprintf("%s (%s)", m.Name, m.ID)
}

// noQuorum says what to do when a majority of the voters is missing.
func (l *life) noQuorum(living, voters int, s *Status, progress map[string]statusAnswer) string {
	if living > voters/2 {
		return "no leader: the voters that are there are electing one; wait a few seconds"
	}
	text := fmt.Sprintf("no quorum: %d of %d voters answer, %d are needed; start the others again", living, voters, voters/2+1)
	seed := l.id
	for id, a := range progress {
		best := progress[seed]
		if a.lastTerm > best.lastTerm || a.lastTerm == best.lastTerm && (a.last > best.last || a.last == best.last && id < seed) {
			seed = id
		}
	}
	for _, m := range s.Members {
		if m.ID == seed {
			return text + ", or, if they are lost for good, run on " + label(m) + ": huddle recover"
		}
	}
	return text
}

// warnings are what does not stop the cluster and should be known.
func (l *life) warnings() (list []string) {
	for id, skew := range l.voters.skews() {
		list = append(list, fmt.Sprintf("the clock of %s is %s away from this node's: set it right", id, skew.Round(time.Millisecond)))
	}
	slices.Sort(list)
	if others := l.on.foundingStatus().Others; len(others) > 0 {
		list = append(list, "another cluster is behind the same names ("+strings.Join(others, ", ")+
			"): they never become one; stop the nodes of one of them")
	}
	switch l.pressure() {
	case 0:
	default:
		list = append(list, fmt.Sprintf("the replicated state takes %d bytes of HUDDLE_STATE_BYTES=%d: raise it, or delete or expire keys",
			l.replica.Size(), l.node.cfg.StateBytes))
	}
	return list
}

// Note is what should be known of a node that is ready all the same; empty if
// all is well.
func (n *Node) Note() string {
	l := n.current()
	if l == nil {
		return ""
	}
	if a := l.progress(); a.quorum {
		return ""
	}
	voters, living := 0, 0
	for _, m := range l.on.members(l) {
		if m.Role == RoleVoter || m.Role == RoleLeader {
			voters++
			if m.State != StateDead {
				living++
			}
		}
	}
	if living > voters/2 {
		return "no quorum: no leader at the moment; writes and linearizable reads wait or fail until one is elected"
	}
	return fmt.Sprintf("no quorum: %d of %d voters are alive; start the others again, or, if they are lost for good, "+
		"run huddle recover on the node that huddle status names", living, voters)
}
