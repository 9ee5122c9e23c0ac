package founding_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
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
	two      bool // two clusters have lived at once
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
		if w.refused[key] {
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
		if w.refused[m.ID+" "+l.Cluster] {
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
	if n > 1 && !w.two {
		w.two = true
		w.fault("two clusters")
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
