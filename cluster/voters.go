package cluster

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// voters asks the voters of the latest configuration whether the leader's term
// is still the last one that they know of.
//
// Raft's own VerifyLeader will not do: it counts late answers to earlier
// questions, and answers of servers without a vote, so that a deposed leader
// woken from a pause and one cut off from all other voters were confirmed.
type voters struct {
	life *life
	turn chan struct{} // holds a token while a question is open: there is one at a time

	mu     sync.Mutex // guards all below
	round  uint64     // the newest question
	open   bool       // it has not got its majority yet
	term   uint64     // its term
	answer chan voterAnswer
	askers map[string]*asker        // voter -> who asks it
	skew   map[string]time.Duration // voter -> by how much its clock was ahead of ours at its last answer
}

// voterAnswer is what one voter said.
type voterAnswer struct {
	round uint64
	id    string
	term  uint64
	wall  time.Duration
}

// An asker puts the newest question to one voter, one at a time: a voter that
// does not answer holds up no other, and piles up nothing.
type asker struct {
	id   string
	wake chan struct{} // holds a token while there may be a question not yet put
	stop context.CancelFunc
}

func newVoters(l *life) *voters {
	return &voters{life: l, turn: make(chan struct{}, 1), askers: map[string]*asker{}, skew: map[string]time.Duration{}}
}

// majority asks a new question and waits until a majority of the voters, as
// the latest configuration has them when it is sent, have answered that they
// know of no later term.
func (v *voters) majority(ctx context.Context, term uint64) bool {
	_, ok := v.poll(ctx, term, 0)
	return ok
}

// clockWait is how long a new leader waits for the clocks of the voters that
// are no more needed for a majority.
const clockWait = 100 * time.Millisecond

// clocks returns the wall clocks of as many voters as answer, sorted, and
// whether they are a majority.
func (v *voters) clocks(ctx context.Context, term uint64) (clocks []time.Duration, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	clocks, ok = v.poll(ctx, term, clockWait)
	slices.Sort(clocks)
	return clocks, ok
}

// poll asks a new question and collects answers until there is a majority,
// and then for as long as it may linger.
func (v *voters) poll(ctx context.Context, term uint64, linger time.Duration) (clocks []time.Duration, ok bool) {
	select {
	case v.turn <- struct{}{}:
		defer func() { <-v.turn }()
	case <-ctx.Done():
		return nil, false
	}
	ids, isVoter := v.configured()
	need := len(ids)/2 + 1
	if isVoter {
		clocks = append(clocks, v.life.node.ownWall())
	}
	if len(clocks) == len(ids) {
		return clocks, len(ids) > 0
	}
	round, answers := v.ask(ids, term)
	defer v.close(round)
	answered := map[string]bool{v.life.id: true}
	var enough <-chan time.Time
	for len(clocks) < len(ids) {
		if len(clocks) >= need && enough == nil {
			if linger == 0 {
				return clocks, true
			}
			enough = time.After(linger)
		}
		select {
		case <-enough:
			return clocks, true
		case <-ctx.Done():
			return clocks, len(clocks) >= need
		case a := <-answers:
			if a.round != round || answered[a.id] {
				continue
			}
			if a.term > term {
				return clocks, false
			}
			answered[a.id] = true
			clocks = append(clocks, a.wall)
		}
	}
	return clocks, true
}

// configured returns the voters of the latest configuration, committed or not,
// and whether this node is one of them.
func (v *voters) configured() (ids []string, isVoter bool) {
	for _, s := range v.life.configuration().Servers {
		if s.Suffrage != raft.Voter {
			continue
		}
		ids = append(ids, string(s.ID))
		isVoter = isVoter || string(s.ID) == v.life.id
	}
	return ids, isVoter
}

// ask puts a new question to all others of ids.
func (v *voters) ask(ids []string, term uint64) (uint64, <-chan voterAnswer) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.round++
	v.open = true
	v.term = term
	v.answer = make(chan voterAnswer, len(ids))
	for id, a := range v.askers {
		if !slices.Contains(ids, id) {
			a.stop()
			delete(v.askers, id)
			delete(v.skew, id)
		}
	}
	for _, id := range ids {
		if id == v.life.id {
			continue
		}
		if v.askers[id] == nil {
			v.askers[id] = v.start(id)
		}
		signal(v.askers[id].wake)
	}
	return v.round, v.answer
}

// start starts an asker. It ends when the voter is one no more, and with the
// life.
func (v *voters) start(id string) *asker {
	ctx, stop := context.WithCancel(v.life.ctx)
	a := &asker{id: id, wake: make(chan struct{}, 1), stop: stop}
	v.life.work.Go(func() { a.run(ctx, v) })
	return a
}

func (a *asker) run(ctx context.Context, v *voters) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.wake:
		}
		v.mu.Lock()
		round, term, answers := v.round, v.term, v.answer
		v.mu.Unlock()
		if !a.put(ctx, v, round, term, answers) {
			// No answer: the question stands until there is a newer one or the
			// voter is reached again.
			v.life.node.pause(ctx, retryWait)
			signal(a.wake)
		}
	}
}

// put puts one question. It reports whether the voter need not be asked again.
func (a *asker) put(ctx context.Context, v *voters, round, term uint64, answers chan<- voterAnswer) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	m := confirmRequest{cluster: v.life.cluster, round: round, asked: a.id, term: term}
	body, err := v.life.ask(ctx, a.id, laneSmall, kindConfirm, m.append(nil))
	if err != nil {
		return !v.isOpen(round)
	}
	got, err := parseConfirmAnswer(body)
	isStale := err != nil || got.cluster != m.cluster || got.round != round || got.asked != a.id
	if isStale || got.term < term { // or it has not heard of this leader yet
		return !v.isOpen(round)
	}
	v.noteSkew(a.id, got.wall-v.life.node.ownWall())
	select {
	case answers <- voterAnswer{round, a.id, got.term, got.wall}:
	default: // the round has all the answers it can take
	}
	return true
}

// isOpen reports whether an answer to the question is still waited for.
func (v *voters) isOpen(round uint64) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.open && v.round == round
}

// close ends the wait for answers to a question.
func (v *voters) close(round uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.round == round {
		v.open = false
	}
}

// maxSkew is by how much two clocks may differ without a warning.
const maxSkew = time.Second

func (v *voters) noteSkew(id string, skew time.Duration) {
	v.mu.Lock()
	was := v.skew[id]
	v.skew[id] = skew
	v.mu.Unlock()
	if skew.Abs() > maxSkew && was.Abs() <= maxSkew {
		v.life.node.cfg.Logger.Warn("the clock of a node is wrong, or this one's", slog.String("id", id),
			slog.Duration("ahead", skew))
	}
}

// skews returns by how much the clocks of others are wrong, if they are.
func (v *voters) skews() map[string]time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	wrong := map[string]time.Duration{}
	for id, skew := range v.skew {
		if skew.Abs() > maxSkew {
			wrong[id] = skew
		}
	}
	return wrong
}

// vouch answers a leader's question: the term that this node knows of now.
func (l *life) vouch(m confirmRequest) confirmAnswer {
	a := confirmAnswer{confirmRequest: m, wall: l.node.ownWall()}
	a.asked = l.id
	a.term = 0
	if m.cluster == l.cluster && m.asked == l.id {
		a.term = l.raft.CurrentTerm()
	}
	return a
}
