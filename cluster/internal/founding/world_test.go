package founding_test

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/internal/founding"
)

// setting is one kind of world.
type setting struct {
	pods, late int // pods from the beginning, and more that may come while there is no cluster
	expect     int
	voters     int     // 0: the default
	durable    float64 // share of the pods that keep their identity
	kills      int     // at most so many deaths

	// Planted faults.
	forget     bool // answers run out
	allDead    bool // a pod learns of deaths on its list only when all others of it are dead
	inPlace    bool // nobody asks who answers at an address, which stays in DNS
	keep       bool // nobody gives up an identity
	countVotes func(l founding.List) int
}

func (s setting) String() string {
	return fmt.Sprintf("%d+%d pods, expect %d, voters %d, durable %.1f", s.pods, s.late, s.expect, s.voters, s.durable)
}

// pod is one identity. A slot (an address) has one at a time.
type pod struct {
	founding.Member
	label     string // for traces
	slot      int
	up, gone  bool // running; can never come back
	core      *founding.Core
	saved     []byte
	applied   bool
	forgotten bool
	sees      map[*pod]string // alive in gossip -> cluster ID it showed last
	lost      map[*pod]time.Duration
	named     map[*pod]time.Duration
	proved    map[*pod]time.Duration
	answered  map[*pod]answered
}

type answered struct {
	id string
	at time.Duration
}

type message struct {
	from, to *pod
	question []byte
	answer   []byte
	traffic  founding.Traffic // where neither is set
	cluster  string
}

// world is pods, a network, DNS and something like Raft, under faults.
type world struct {
	setting
	r        *rand.Rand
	now      time.Duration
	pods     []*pod
	byID     map[string]*pod
	slots    []*pod
	links    [][]bool
	msgs     []message
	lists    []founding.List // started somewhere
	promised map[string]bool // "identity cluster": has said so
	refused  map[string]bool // "identity cluster": its first answer
	existed  map[string]bool // a majority of the voters had started at once
	began    map[string]bool // an entry was applied
	conflict map[string]bool // IDs of those who reported more than one cluster ID
	kills    int
	fair     bool
	quiet    bool // links, starts and deaths are not left to chance
	bad      string
	trace    []string
}

func newWorld(seed uint64, s setting) *world {
	n := s.pods + s.late
	w := &world{
		setting: s, r: rand.New(rand.NewPCG(seed, 1)), slots: make([]*pod, n), byID: map[string]*pod{},
		promised: map[string]bool{}, refused: map[string]bool{}, existed: map[string]bool{},
		began: map[string]bool{}, conflict: map[string]bool{},
	}
	w.links = make([][]bool, n)
	for i := range w.links {
		w.links[i] = make([]bool, n)
	}
	return w
}

func (w *world) log(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf("%8v ", w.now)+fmt.Sprintf(format, args...))
}

func (w *world) fault(format string, args ...any) {
	if w.bad == "" {
		w.bad = fmt.Sprintf(format, args...)
	}
}

func (w *world) linked(a, b *pod) bool { return w.links[a.slot][b.slot] }

func (w *world) names(l founding.List) string {
	var b strings.Builder
	for i, m := range l.Members {
		if i == l.Voters {
			b.WriteString(" |")
		}
		b.WriteString(" " + w.byID[m.ID].label)
	}
	return l.Cluster + "{" + b.String() + " }"
}

// start runs what is in a slot again, or a new identity.
func (w *world) start(slot int) {
	p := w.slots[slot]
	if p != nil && p.up {
		return
	}
	if p == nil || p.gone {
		generation := 0
		for _, o := range w.pods {
			if o.slot == slot {
				generation++
			}
		}
		if len(w.pods) > 60 {
			return
		}
		p = &pod{
			Member: founding.Member{
				ID: fmt.Sprintf("%016x", w.r.Uint64()), Name: fmt.Sprintf("pod-%d", slot), Addr: fmt.Sprintf("10.0.0.%d:7947", slot),
				Durable: w.r.Float64() < w.durable,
			},
			label: string(rune('A'+slot)) + strings.Repeat("'", generation), slot: slot,
		}
		w.pods, w.slots[slot], w.byID[p.ID] = append(w.pods, p), p, p
	}
	p.up = true
	p.sees, p.answered = map[*pod]string{}, map[*pod]answered{}
	p.lost, p.named, p.proved = map[*pod]time.Duration{}, map[*pod]time.Duration{}, map[*pod]time.Duration{}
	core, err := founding.New(founding.Config{
		Self: p.Member, Expect: w.expect, Voters: w.voters, Saved: p.saved,
		NewClusterID: func() string { return fmt.Sprintf("c%06x", w.r.Uint32N(1<<24)) },
	})
	if err != nil {
		panic(err)
	}
	p.core = core
	w.log("%s starts", p.label)
}

func (w *world) kill(p *pod) {
	p.up = false
	if !p.Durable || w.r.IntN(8) == 0 { // sometimes a disk is lost
		p.gone = true
	}
	w.kills++
	w.log("%s dies, for good: %v", p.label, p.gone)
}

// do does what a step asks for, and checks what must be true of it.
func (w *world) do(p *pod, s founding.Step) founding.Effects {
	e, err := s.After(func(state []byte) error {
		if !p.Durable {
			w.fault("%s is ephemeral and saves", p.label)
		}
		if !w.fair && w.r.IntN(20) == 0 {
			return errors.New("disk")
		}
		p.saved = slices.Clone(state)
		return nil
	})
	if err != nil {
		return founding.Effects{}
	}
	if e.Bootstrap != nil {
		w.bootstrap(p, *e.Bootstrap)
	}
	if e.Join != "" {
		w.log("%s joins %s", p.label, e.Join)
	}
	if e.Conflict != nil {
		w.conflict[p.ID] = true
		w.log("%s reports %v", p.label, e.Conflict)
	}
	if e.NewIdentity && !w.keep {
		w.log("%s gives its identity up", p.label)
		p.up, p.gone = false, true
		w.start(p.slot)
	}
	for _, a := range e.Ask {
		w.said(p, a.Question.Own, a.Question.List)
		w.msgs = append(w.msgs, message{from: p, to: w.byID[a.To], question: founding.AppendQuestion(nil, a.Question)})
	}
	return e
}

// said notes and checks what a pod says about a list: the first answer is
// the only one.
func (w *world) said(p *pod, a founding.Answer, l founding.List) {
	key := p.ID + " " + l.Cluster
	switch a.Stand {
	case founding.Promised, founding.Void:
		if !w.promised[key] {
			w.log("%s promises %s", p.label, w.names(l))
		}
		w.promised[key] = true
		if w.refused[key] && !w.forget {
			w.fault("%s promises %s after it had refused it", p.label, l.Cluster)
		}
	case founding.Refused, founding.Elsewhere:
		if !w.promised[key] {
			w.refused[key] = true
		}
	}
}

func (w *world) bootstrap(p *pod, l founding.List) {
	w.log("%s bootstraps %s", p.label, w.names(l))
	for _, m := range l.Members {
		if w.refused[m.ID+" "+l.Cluster] && !w.forget {
			w.fault("%s bootstraps %s, which %s has refused", p.label, l.Cluster, m.Name)
		}
	}
	if !slices.ContainsFunc(w.lists, func(o founding.List) bool { return o.Cluster == l.Cluster }) {
		w.lists = append(w.lists, l)
	}
}

// votes returns how many of a list's members vote.
func (w *world) votes(l founding.List) int {
	if w.countVotes != nil {
		return w.countVotes(l)
	}
	return l.Voters
}

// leader returns who leads a list's cluster: somebody who reaches a majority
// of the voters.
func (w *world) leader(l founding.List) *pod {
	voters := l.Members[:w.votes(l)]
	for _, m := range voters {
		p, reached := w.byID[m.ID], 0
		for _, v := range voters {
			o := w.byID[v.ID]
			if o.up && w.linked(p, o) && o.core.Cluster() == l.Cluster && !o.core.Forbids(p.ID) {
				reached++
			}
		}
		if p.up && p.core.Cluster() == l.Cluster && reached > len(voters)/2 {
			return p
		}
	}
	return nil
}

// lives says whether a majority of the voters runs and has started the list.
func (w *world) lives(l founding.List) bool {
	n := 0
	voters := l.Members[:w.votes(l)]
	for _, m := range voters {
		if p := w.byID[m.ID]; p.up && p.core.Cluster() == l.Cluster {
			n++
		}
	}
	return n > len(voters)/2
}

func (w *world) check() {
	n := 0
	for _, l := range w.lists {
		if w.lives(l) {
			n++
			if !w.existed[l.Cluster] {
				w.log("== cluster %s exists", l.Cluster)
			}
			w.existed[l.Cluster] = true
		}
	}
	if n > 1 {
		w.fault("two clusters")
	}
}

// discover is gossip: a learns of b, and what it says it is in.
func (w *world) discover(a, b *pod) {
	if a == b || !a.up || !b.up || !w.linked(a, b) {
		return
	}
	if _, seen := a.sees[b]; !seen {
		a.named[b] = max(a.named[b], w.now)
	}
	a.sees[b] = b.core.Cluster()
	a.proved[b] = w.now
}

// doubt is gossip: a loses b, if it cannot reach it, and tries its address.
func (w *world) doubt(a, b *pod) {
	if a == b || !a.up || b.up && w.linked(a, b) {
		return
	}
	if _, seen := a.sees[b]; seen {
		delete(a.sees, b)
		a.lost[b] = w.now
	} else if _, lost := a.lost[b]; !lost {
		a.lost[b], a.named[b] = w.now, w.now // known from a list only
	}
	if o := w.slots[b.slot]; w.now > a.lost[b] && o.up && w.links[a.slot][b.slot] && !w.inPlace {
		a.answered[b] = answered{id: o.ID, at: w.now}
	}
}

// dead returns whom the evidence allows a pod to call dead.
func (w *world) dead(a *pod) (ids []string) {
	living := []founding.Sighting{}
	for b := range a.sees {
		living = append(living, founding.Sighting{Member: b.Member, ProvedAt: a.proved[b]})
	}
	for b, lost := range a.lost {
		if o := w.slots[b.slot]; o.up { // DNS names the addresses of what runs
			a.named[b] = w.now
		}
		if a.core.Forbids(b.ID) {
			continue
		}
		e := founding.Evidence{
			Member: b.Member, Living: living, LostAt: lost, Forgotten: b.forgotten,
			Answering: a.answered[b].id, AnsweredAt: a.answered[b].at, LookedUp: w.now, NamedAt: a.named[b],
		}
		if e.Dead() {
			if b.up || !b.gone {
				w.fault("%s calls %s dead, which is not", a.label, b.label)
			}
			ids = append(ids, b.ID)
		}
	}
	if w.allDead && len(ids) < len(a.core.Watch()) {
		return nil
	}
	slices.Sort(ids) // the order of a map must not decide a run
	for _, id := range ids {
		w.log("%s calls %s dead", a.label, w.byID[id].label)
	}
	return ids
}

func (w *world) tick(p *pod) {
	if !p.up {
		return
	}
	v := founding.View{Now: w.now, Dead: w.dead(p)}
	for o, cluster := range p.sees {
		v.Alive = append(v.Alive, founding.Peer{Member: o.Member, Cluster: cluster})
	}
	slices.SortFunc(v.Alive, func(a, b founding.Peer) int { return cmp.Compare(a.ID, b.ID) })
	for _, o := range w.slots {
		if o == nil || !o.up || !w.fair && w.r.IntN(5) == 0 { // DNS may name less than there is
			continue
		}
		v.Addresses++
		if _, seen := p.sees[o]; !seen && o != p {
			v.Unseen++
		}
	}
	was := p.core.Status().String()
	w.do(p, p.core.Tick(v))
	if p.up && w.forget && w.r.IntN(10) == 0 {
		p.core.ForgetAnswers()
	}
	if is := p.core.Status().String(); p.up && is != was && !w.fair {
		w.log("%s: %s", p.label, is)
	}
	if !w.fair && p.Durable && w.r.IntN(100) == 0 && w.kills < w.setting.kills {
		w.kill(p)
	}
}

func (w *world) deliver(m message) {
	p := m.to
	if !p.up || !w.linked(m.from, p) {
		return
	}
	switch {
	case m.question != nil:
		q, err := founding.ParseQuestion(m.question)
		if err != nil {
			w.fault("parsing a question: %v", err)
			return
		}
		step, err := p.core.Asked(m.from.ID, q)
		if e := w.do(p, step); err == nil && e.Answer != nil {
			w.said(p, *e.Answer, q.List)
			w.msgs = append(w.msgs, message{from: p, to: m.from, answer: founding.AppendAnswer(nil, *e.Answer)})
		}
	case m.answer != nil:
		a, err := founding.ParseAnswer(m.answer)
		if err != nil {
			w.fault("parsing an answer: %v", err)
			return
		}
		w.do(p, p.core.Answered(m.from.ID, a))
	default:
		wasEmpty := p.core.Status().Cluster == "" && !p.core.Promises()
		e := w.do(p, p.core.Admit(m.from.ID, m.cluster, m.traffic))
		if e.Admitted && wasEmpty && m.traffic == founding.Vote {
			w.fault("%s takes a vote request of %s", p.label, m.from.label)
		}
	}
}

// raft is what a pod of a started list does: candidates ask for votes, a
// leader sends entries to the members and takes in whom it sees.
func (w *world) raft(p *pod) {
	if !p.up || p.core.Cluster() == "" {
		return
	}
	for _, l := range w.lists {
		if l.Cluster != p.core.Cluster() {
			continue
		}
		leads := w.leader(l) == p
		for _, m := range l.Members {
			t := founding.Vote
			if leads {
				t = founding.Append
			}
			w.msgs = append(w.msgs, message{from: p, to: w.byID[m.ID], traffic: t, cluster: l.Cluster})
		}
		if leads {
			w.lead(p, l)
		}
	}
}

func (w *world) lead(p *pod, l founding.List) {
	for _, o := range w.pods {
		if cluster, seen := p.sees[o]; seen && cluster == "" {
			t := []founding.Traffic{founding.Append, founding.Added}[w.r.IntN(2)]
			w.msgs = append(w.msgs, message{from: p, to: o, traffic: t, cluster: l.Cluster})
		}
		if (w.fair || w.r.IntN(3) == 0) && o.up && w.linked(p, o) && o.core.Cluster() == l.Cluster {
			w.do(o, o.core.Applied())
			o.applied, w.began[l.Cluster] = true, true
		}
	}
}

// cut draws new links: some, or two sides, or all.
func (w *world) cut() {
	n := len(w.slots)
	sides, share := w.r.IntN(2) == 0, []int{100, 60, 30}[w.r.IntN(3)]
	side := w.r.Perm(n)
	for i := range n {
		for j := range i + 1 {
			up := i == j || w.r.IntN(100) < share
			if sides {
				up = side[i]%2 == side[j]%2
			}
			w.links[i][j], w.links[j][i] = up, up
		}
	}
}

// split links the slots of one set with each other, and the others likewise.
func (w *world) split(one map[int]bool) {
	w.quiet = true
	for i := range w.links {
		for j := range w.links {
			w.links[i][j] = one[i] == one[j]
		}
	}
}

func (w *world) any() *pod { return w.pods[w.r.IntN(len(w.pods))] }

// faulty lets anything happen.
func (w *world) faulty() {
	w.cut()
	for s := range w.setting.pods {
		if w.r.IntN(4) > 0 {
			w.start(s)
		}
	}
	w.start(0)
	for range 20 + w.r.IntN(500) {
		if w.event(); w.bad != "" {
			return
		}
	}
}

// hostile draws what splits a cluster if anything does: some found one while
// the others are cut off, some of them die while they do, start anew, and
// from then on see only the others.
func (w *world) hostile() {
	n := len(w.slots)
	order := w.r.Perm(n)
	first := map[int]bool{}
	for _, s := range order[:w.expect+w.r.IntN(n-w.expect+1)] {
		first[s] = true
		w.start(s)
	}
	w.split(first)
	for range 100 + w.r.IntN(300) {
		if w.event(); w.bad != "" || len(w.lists) > 0 && w.r.IntN(20) == 0 {
			break
		}
	}
	for _, s := range order {
		if p := w.slots[s]; first[s] && p.up && w.kills < w.setting.kills && w.r.IntN(2) == 0 {
			w.kill(p)
			delete(first, s)
		}
	}
	w.split(first)
	for _, s := range order {
		w.start(s)
	}
	for range 300 + w.r.IntN(300) {
		if w.event(); w.bad != "" {
			return
		}
	}
}

// event lets one thing happen.
func (w *world) event() {
	w.now += time.Duration(w.r.IntN(100)) * time.Millisecond
	switch a := w.r.IntN(1000); {
	case a < 30 && !w.quiet:
		if s := w.r.IntN(len(w.slots)); s < w.setting.pods || len(w.existed) > 0 || w.r.IntN(4) == 0 {
			w.start(s)
		}
	case a < 50 && !w.quiet:
		if p := w.any(); p.up && w.kills < w.setting.kills {
			w.kill(p)
		}
	case a < 60 && !w.quiet:
		w.cut()
	case a < 65:
		w.now += time.Duration(w.r.IntN(30)) * time.Second
	case a < 250:
		for range 6 {
			w.discover(w.any(), w.any())
		}
	case a < 320:
		w.doubt(w.any(), w.any())
	case a < 600:
		w.tick(w.any())
	case a < 660:
		w.raft(w.any())
	case len(w.msgs) > 0:
		i := w.r.IntN(len(w.msgs))
		m := w.msgs[i]
		if w.r.IntN(10) > 0 { // else it comes again
			w.msgs = slices.Delete(w.msgs, i, i+1)
		}
		if w.r.IntN(12) > 0 { // else it is lost
			w.deliver(m)
		}
	}
	if len(w.msgs) > 200 {
		w.msgs = w.msgs[100:]
	}
	w.check()
}

// heal ends all faults; some of what is down stays so, but enough lives.
func (w *world) heal() {
	w.fair = true
	w.log("-- failures stop")
	for i := range w.links {
		for j := range w.links {
			w.links[i][j] = true
		}
	}
	living := 0
	for _, s := range w.r.Perm(len(w.slots)) {
		p := w.slots[s]
		if p != nil && !p.gone || w.r.IntN(2) == 0 {
			w.start(s)
		}
		if w.slots[s] != nil && w.slots[s].up {
			living++
		}
	}
	for s := range w.slots {
		if p := w.slots[s]; living < w.expect && (p == nil || !p.up) {
			w.start(s)
			living++
		}
	}
	for _, p := range w.pods { // people forget what will not come back
		p.forgotten = p.gone && p.Durable && !w.slots[p.slot].up
	}
	for range 500 {
		w.now += 500 * time.Millisecond
		for _, a := range w.pods {
			for _, b := range w.pods {
				if a.up {
					w.discover(a, b)
					w.doubt(a, b)
				}
			}
		}
		for _, i := range w.r.Perm(len(w.pods)) {
			w.tick(w.pods[i])
			w.raft(w.pods[i])
		}
		for range 4 {
			msgs := w.msgs
			w.msgs = nil
			w.r.Shuffle(len(msgs), func(i, j int) { msgs[i], msgs[j] = msgs[j], msgs[i] })
			for _, m := range msgs {
				w.deliver(m)
			}
		}
		w.msgs = nil
		if w.check(); w.bad != "" || w.done() {
			return
		}
	}
	if !w.excused() {
		w.explain()
	}
}

// done says whether everybody who runs is in one living cluster.
func (w *world) done() bool {
	cluster := ""
	for _, p := range w.pods {
		if !p.up {
			continue
		}
		if p.core.Cluster() == "" || cluster != "" && p.core.Cluster() != cluster {
			return false
		}
		cluster = p.core.Cluster()
	}
	return slices.ContainsFunc(w.lists, func(l founding.List) bool { return l.Cluster == cluster && w.lives(l) })
}

// excused says whether only people can go on: a cluster has begun and lost
// its majority, or durable pods have started one in vain and say so.
func (w *world) excused() bool {
	for _, l := range w.lists {
		voters, left := l.Members[:w.votes(l)], 0
		for _, m := range voters {
			if !w.byID[m.ID].gone {
				left++
			}
		}
		if left > len(voters)/2 {
			continue
		}
		for _, p := range w.pods {
			if !p.up || p.core.Cluster() != l.Cluster {
				continue
			}
			founder := l.Index(p.ID) >= 0
			if p.applied || !founder || p.Durable && p.core.Status().NeedsRecover {
				return true
			}
		}
	}
	return false
}

func (w *world) explain() {
	w.fault("stuck")
	for _, p := range w.pods {
		if p.up {
			w.log("%s in %q, bound %v: %s", p.label, p.core.Cluster(), p.core.Promises(), p.core.Status())
		}
	}
}

// run explores one seed and returns what went wrong.
func run(seed uint64, s setting) *world {
	w := newWorld(seed, s)
	s.kills = w.r.IntN(s.kills + 1)
	w.setting = s
	if w.r.IntN(3) == 0 {
		w.hostile()
	} else {
		w.faulty()
	}
	if w.bad == "" {
		w.heal()
	}
	return w
}

func (w *world) report(t *testing.T, seed uint64) {
	t.Helper()
	t.Errorf("seed %d, %v: %s\n%s", seed, w.setting, w.bad, strings.Join(w.trace, "\n"))
}
