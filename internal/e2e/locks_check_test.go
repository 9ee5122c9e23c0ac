package e2e

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// A hold is what one client knows of a lock that it was given. All times are
// of the test's monotonic clock. The client held the lock for certain from
// when the answer came until it sent the release, or until the lease may have
// ended, counted from before it asked for it; that may be no time at all.
type hold struct {
	name   string
	slots  int // how many may have it at a time, in this holder's eyes; 0: it is shared
	client int
	token  int64
	lease  string

	asked, from  time.Duration
	end          time.Duration // when the lease may have ended
	released     time.Duration // when the release was sent; 0 if it was not
	deniedBefore time.Duration // when it had been told that the lease is not held; 0 if it was not
}

// until is when the client no longer held the lock for certain.
func (h *hold) until() time.Duration {
	if h.released > 0 {
		return min(h.end, h.released)
	}
	return h.end
}

func (h *hold) String() string {
	return fmt.Sprintf("client %d with token %d of %s (%d slots), asked %v, held %v to %v (lease %v, released %v)",
		h.client, h.token, h.name, h.slots, h.asked, h.from, h.until(), h.end, h.released)
}

// A fencedWrite is one to what a lock protects, which refuses a token that is
// lower than one it has seen.
type fencedWrite struct {
	name     string
	token    int64
	certain  bool // its client held the lock for certain
	accepted bool
}

// A sighting is a linearizable look at who holds a lock.
type sighting struct {
	name      string
	call, ret time.Duration
	tokens    []int64
	slots     []int
}

// A lockHistory is all that was seen of some locks. Writes are in the order in
// which the protected things had them.
type lockHistory struct {
	holds     []*hold
	writes    []fencedWrite
	sightings []sighting
}

// check returns what must not have happened, a few of each kind.
func (h *lockHistory) check() []string {
	return slices.Concat(first(h.tokensGrow()), first(h.excluded()), first(h.fenced()), first(h.ended()), first(h.seen()))
}

// first keeps what a person will read of a list.
func first(list []string) []string { return list[:min(len(list), 3)] }

// tokensGrow finds tokens given twice, and tokens not higher than those of
// whoever had been given a lock, any lock, before they were asked for.
func (h *lockHistory) tokensGrow() (wrong []string) {
	byToken, leases := make(map[int64]*hold), make(map[string]*hold)
	for _, a := range h.holds {
		if b := byToken[a.token]; b != nil {
			wrong = append(wrong, fmt.Sprintf("one token twice: %v; %v", a, b))
		}
		if b := leases[a.lease]; b != nil {
			wrong = append(wrong, fmt.Sprintf("one lease twice: %v; %v", a, b))
		}
		byToken[a.token], leases[a.lease] = a, a
	}
	given := slices.SortedFunc(slices.Values(h.holds), func(a, b *hold) int { return cmp.Compare(a.from, b.from) })
	asked := slices.SortedFunc(slices.Values(h.holds), func(a, b *hold) int { return cmp.Compare(a.asked, b.asked) })
	var highest *hold
	for _, b := range asked {
		for len(given) > 0 && given[0].from < b.asked {
			if highest == nil || given[0].token > highest.token {
				highest = given[0]
			}
			given = given[1:]
		}
		if highest != nil && highest.token >= b.token {
			wrong = append(wrong, fmt.Sprintf("a token that is not higher than an earlier one: %v; before it %v", b, highest))
		}
	}
	return wrong
}

// excluded finds holders at one time of whom one excludes another, and
// exclusive holders whose tokens are not in the order of their times.
func (h *lockHistory) excluded() (wrong []string) {
	byName := make(map[string][]*hold)
	for _, a := range h.holds {
		if a.from < a.until() {
			byName[a.name] = append(byName[a.name], a)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		holds := byName[name]
		slices.SortFunc(holds, func(a, b *hold) int { return cmp.Compare(a.from, b.from) })
		var active []*hold
		for i, a := range holds {
			active = slices.DeleteFunc(active, func(b *hold) bool { return b.until() <= a.from })
			active = append(active, a)
			most := slices.MinFunc(active, func(a, b *hold) int { return cmp.Compare(a.slots, b.slots) }).slots
			isMixed := slices.ContainsFunc(active, func(b *hold) bool { return (b.slots == 0) != (a.slots == 0) })
			if isMixed || most > 0 && len(active) > most {
				wrong = append(wrong, fmt.Sprintf("at one time: %v", active))
			}
			if i > 0 && a.slots == 1 && holds[i-1].slots == 1 && holds[i-1].token > a.token {
				wrong = append(wrong, fmt.Sprintf("tokens not in the order of their times: %v; %v", holds[i-1], a))
			}
		}
	}
	return wrong
}

// fenced finds writes of certain holders that were refused, for somebody with
// a later token had written before, and writes with old tokens that were not.
func (h *lockHistory) fenced() (wrong []string) {
	highest := make(map[string]int64)
	for _, w := range h.writes {
		switch {
		case w.accepted && w.token < highest[w.name]:
			wrong = append(wrong, fmt.Sprintf("accepted after a write with token %d: %+v", highest[w.name], w))
		case w.certain && !w.accepted:
			wrong = append(wrong, fmt.Sprintf("two holders, the other with token %d: %+v", highest[w.name], w))
		}
		if w.accepted {
			highest[w.name] = max(highest[w.name], w.token)
		}
	}
	return wrong
}

// ended finds holders who were told that they hold nothing before their lease
// could have ended.
func (h *lockHistory) ended() (wrong []string) {
	for _, a := range h.holds {
		if a.deniedBefore > 0 && a.deniedBefore < a.end {
			wrong = append(wrong, fmt.Sprintf("ended at %v, before its time: %v", a.deniedBefore, a))
		}
	}
	return wrong
}

// seen finds looks at a lock that do not show who held it for certain all the
// while, or show more holders than there may be, or one of an earlier time.
func (h *lockHistory) seen() (wrong []string) {
	byName := make(map[string][]*hold)
	for _, a := range h.holds {
		byName[a.name] = append(byName[a.name], a)
	}
	for _, s := range h.sightings {
		for _, a := range byName[s.name] {
			if a.from <= s.call && s.ret <= a.until() && !slices.Contains(s.tokens, a.token) {
				wrong = append(wrong, fmt.Sprintf("not seen in %+v: %v", s, a))
			}
			if isOver := a.released == 0 && a.deniedBefore > 0 && a.deniedBefore < s.call; isOver && slices.Contains(s.tokens, a.token) {
				wrong = append(wrong, fmt.Sprintf("seen in %+v after it had ended: %v", s, a))
			}
		}
		if most := slices.Min(append(slices.Clone(s.slots), 1<<30)); most > 0 && len(s.tokens) > most || most == 0 && slices.Max(s.slots) > 0 {
			wrong = append(wrong, fmt.Sprintf("more holders than there may be: %+v", s))
		}
	}
	return wrong
}

// overtaken returns who got a lock before somebody who had waited for longer.
// The places are in the order in which their clients came; who was not given
// the lock has no token.
func overtaken(places []*place) (wrong []string) {
	var before *place
	for _, p := range places {
		if p.token == 0 {
			continue
		}
		if before != nil && p.token < before.token {
			wrong = append(wrong, fmt.Sprintf("waiter %d at %s (token %d) was overtaken by waiter %d at %s (token %d)",
				before.number, before.at, before.token, p.number, p.at, p.token))
		}
		if before == nil || p.token > before.token {
			before = p
		}
	}
	return wrong
}

// TestLockChecksCatchPlantedFaults shows the checks histories with faults in
// them, and one without.
func TestLockChecksCatchPlantedFaults(t *testing.T) {
	const s = time.Second
	good := func() *lockHistory {
		return &lockHistory{
			holds: []*hold{
				{name: "x", slots: 1, client: 1, token: 11, lease: "1", asked: 0, from: 1 * s, end: 5 * s, released: 2 * s},
				{name: "x", slots: 1, client: 2, token: 12, lease: "2", asked: 0, from: 2 * s, end: 4 * s, deniedBefore: 5 * s},
				{name: "x", slots: 1, client: 3, token: 13, lease: "3", asked: 3 * s, from: 4 * s, end: 9 * s},
				{name: "n", slots: 2, client: 4, token: 14, lease: "4", asked: 3 * s, from: 4 * s, end: 9 * s},
				{name: "n", slots: 2, client: 5, token: 15, lease: "5", asked: 5 * s, from: 6 * s, end: 9 * s},
				{name: "r", slots: 0, client: 6, token: 16, lease: "6", asked: 5 * s, from: 6 * s, end: 8 * s},
				{name: "r", slots: 0, client: 7, token: 17, lease: "7", asked: 5 * s, from: 6 * s, end: 8 * s},
				{name: "r", slots: 1, client: 8, token: 18, lease: "8", asked: 7 * s, from: 8 * s, end: 9 * s},
			},
			writes: []fencedWrite{
				{name: "x", token: 11, certain: true, accepted: true},
				{name: "x", token: 13, certain: true, accepted: true},
				{name: "x", token: 11},
			},
			sightings: []sighting{
				{name: "x", call: 4 * s, ret: 5 * s, tokens: []int64{13}, slots: []int{1}},
				{name: "n", call: 7 * s, ret: 8 * s, tokens: []int64{14, 15}, slots: []int{2, 2}},
			},
		}
	}
	for _, test := range []struct {
		name  string
		plant func(h *lockHistory)
		want  string // part of what is found; empty if nothing is
	}{
		{"none", func(*lockHistory) {}, ""},
		{"a holder at the time of another", func(h *lockHistory) { h.holds[0].released = 3 * s }, "at one time"},
		{"a holder before the lease has ended", func(h *lockHistory) { h.holds[1].end = 5 * s }, "at one time"},
		{"one too many", func(h *lockHistory) {
			h.holds = append(h.holds, &hold{name: "n", slots: 2, token: 19, lease: "9", asked: 7 * s, from: 8 * s, end: 9 * s})
		}, "at one time"},
		{"exclusive beside shared", func(h *lockHistory) { h.holds[7].from = 7 * s }, "at one time"},
		{"the same token", func(h *lockHistory) { h.holds[4].token = 14 }, "one token twice"},
		{"the same lease", func(h *lockHistory) { h.holds[4].lease = "4" }, "one lease twice"},
		{"a lower token at another lock", func(h *lockHistory) { h.holds[4].token = 10 }, "not higher"},
		{"a lower token of a waiter", func(h *lockHistory) { h.holds[1].token = 9 }, "order of their times"},
		{"an old token accepted", func(h *lockHistory) { h.writes[2].accepted = true }, "accepted after"},
		{"a certain holder refused", func(h *lockHistory) { h.writes[2].certain = true }, "two holders"},
		{"a lease that ended early", func(h *lockHistory) { h.holds[1].deniedBefore = 3 * s }, "before its time"},
		{"a holder not seen", func(h *lockHistory) { h.sightings[0].tokens = nil }, "not seen"},
		{"a holder seen too long", func(h *lockHistory) {
			h.sightings = append(h.sightings, sighting{name: "x", call: 8 * s, ret: 9 * s, tokens: []int64{12, 13}, slots: []int{2, 2}})
		}, "after it had ended"},
		{"too many seen", func(h *lockHistory) { h.sightings[1].slots[1] = 1 }, "more holders"},
	} {
		h := good()
		test.plant(h)
		got := strings.Join(h.check(), "\n")
		if test.want == "" && got != "" || !strings.Contains(got, test.want) {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

func TestOvertakingIsSeen(t *testing.T) {
	for _, test := range []struct {
		tokens []int64
		want   int
	}{
		{[]int64{3, 5, 0, 9}, 0},
		{[]int64{3, 9, 0, 5}, 1},
		{[]int64{9, 3, 5}, 2},
		{nil, 0},
	} {
		var places []*place
		for i, token := range test.tokens {
			places = append(places, &place{number: i, token: token})
		}
		if got := overtaken(places); len(got) != test.want {
			t.Errorf("%v: got %q, want %d", test.tokens, got, test.want)
		}
	}
}
