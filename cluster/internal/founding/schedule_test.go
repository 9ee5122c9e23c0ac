package founding_test

import (
	"slices"
	"strings"
	"testing"
	"time"
)

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
func (w *world) heal(rounds int) {
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
	for range rounds {
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
		w.heal(500)
	}
	return w
}

func (w *world) report(t *testing.T, seed uint64) {
	t.Helper()
	t.Errorf("seed %d, %v: %s\n%s", seed, w.setting, w.bad, strings.Join(w.trace, "\n"))
}
