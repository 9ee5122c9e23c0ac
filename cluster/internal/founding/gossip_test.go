package founding_test

import (
	"cmp"
	"slices"

	"github.com/huddlecache/huddle/cluster/internal/founding"
)

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
