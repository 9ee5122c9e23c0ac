package cache

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A twin is a store as one would explain it: it keeps all that happened, and
// looks through it.
type twin struct {
	stored   map[place]twinEntry
	voided   []twinVoid // since the last reset
	recent   []twinVoid // those remembered, by when they happened
	most     int        // of recent
	floor    uint64
	isClosed bool
	era      int // of near copies
}

type twinEntry struct {
	entry
	era int
}

type twinVoid struct {
	name  subjectName
	index uint64
	since time.Time
}

// depends reports whether what is at a place is hidden by an invalidation.
func (v *twinVoid) hides(p place, e *entry) bool {
	if v.index <= e.born || v.name.group != p.group {
		return false
	}
	switch v.name.kind {
	case ofGroup:
		return true
	case ofTag:
		return slices.Contains(e.tags, v.name.name)
	default:
		return v.name.name == p.key
	}
}

func (m *twin) get(p place, now time.Time) (twinEntry, bool) {
	e, found := m.stored[p]
	if !found || !e.end.IsZero() && !now.Before(e.end) || e.isNear && e.era != m.era {
		return twinEntry{}, false
	}
	isHidden := slices.ContainsFunc(m.voided, func(v twinVoid) bool { return v.hides(p, &e.entry) })
	return e, !isHidden
}

func (m *twin) takes(p place, e *entry) bool {
	isHidden := slices.ContainsFunc(m.recent, func(v twinVoid) bool { return v.hides(p, e) })
	return !m.isClosed && e.born >= m.floor && !isHidden
}

func (m *twin) put(p place, e *entry) { m.stored[p] = twinEntry{*e, m.era} }

func (m *twin) invalidate(index uint64, names []subjectName) {
	for _, name := range names {
		v := twinVoid{name: name, index: index}
		m.voided = append(m.voided, v)
		if i := slices.IndexFunc(m.recent, func(v twinVoid) bool { return v.name == name }); i >= 0 {
			v.index = max(v.index, m.recent[i].index)
			m.recent = slices.Delete(m.recent, i, i+1)
		}
		m.recent = append(m.recent, v)
		for len(m.recent) > m.most {
			m.forget()
		}
	}
}

func (m *twin) forget() {
	m.floor = max(m.floor, m.recent[0].index)
	m.recent = m.recent[1:]
}

func (m *twin) age(now time.Time) {
	for i := range m.recent {
		if m.recent[i].since.IsZero() {
			m.recent[i].since = now
		}
	}
	for len(m.recent) > 0 && now.Sub(m.recent[0].since) >= rememberTime {
		m.forget()
	}
}

// A trial does the same to a store and to its twin.
type trial struct {
	t       *testing.T
	random  *rand.Rand
	store   *store
	twin    *twin
	now     time.Time
	index   uint64 // of the log
	isTight bool   // there is not room for everything: entries may be missing
}

func TestStoreDoesWhatItsTwinDoes(t *testing.T) {
	for _, bound := range []int64{1 << 20, 16 << 10, 5 << 10} {
		t.Run(fmt.Sprint(bound), func(t *testing.T) {
			for seed := range trialSeeds() {
				t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { runTrial(t, seed, bound) })
			}
		})
	}
}

// trialSeeds returns how many trials there are of each bound: HUDDLE_SEEDS, or
// a few.
func trialSeeds() uint64 {
	if n, err := strconv.ParseUint(os.Getenv("HUDDLE_SEEDS"), 10, 64); err == nil && n > 0 {
		return n
	}
	return 20
}

func runTrial(t *testing.T, seed uint64, bound int64) {
	x := &trial{
		t:       t,
		random:  rand.New(rand.NewPCG(seed, 5)),
		store:   newStore(bound),
		now:     time.Now(),
		isTight: bound < 1<<20,
	}
	x.twin = &twin{stored: map[place]twinEntry{}}
	x.setMost()
	for range 1500 {
		x.step()
		audit(t, x.store)
		if got := x.store.bytes(); got > bound {
			t.Fatalf("the store takes %d bytes, want %d at most", got, bound)
		}
	}
	x.compare()
}

// setMost has invalidations forgotten for their number, in every third trial.
func (x *trial) setMost() {
	x.store.memory.most = []int{7, 50, 1000}[x.random.IntN(3)]
	x.twin.most = x.store.memory.most
}

func (x *trial) step() {
	switch n := x.random.IntN(100); {
	case n < 35:
		x.get(x.place())
	case n < 65:
		x.put()
	case n < 77:
		x.invalidate()
	case n < 80:
		p := x.place()
		x.store.remove(p)
		delete(x.twin.stored, p)
	case n < 90:
		x.now = x.now.Add(time.Duration(x.random.IntN(2000)) * time.Millisecond)
	case n < 95:
		x.store.sweep(x.now, 30+x.random.IntN(2000)) // there are 26 names to forget
		x.twin.age(x.now)
	case n < 96:
		x.now = x.now.Add(time.Duration(x.random.IntN(15)) * time.Minute)
	case n < 97:
		x.store.dropNear()
		x.twin.era++
	case n < 98:
		x.keep()
	case n < 99:
		x.compare()
	default:
		x.reset()
	}
}

func (x *trial) group() string { return "g" + fmt.Sprint(x.random.IntN(2)) }

func (x *trial) place() place { return place{x.group(), "k" + fmt.Sprint(x.random.IntN(8))} }

func (x *trial) names(prefix string, n, most int) []string {
	var list []string
	for range x.random.IntN(most + 1) {
		list = append(list, prefix+fmt.Sprint(x.random.IntN(n)))
	}
	return list
}

func (x *trial) get(p place) {
	x.t.Helper()
	got, isFound := x.store.get(p, x.now)
	want, isWanted := x.twin.get(p, x.now)
	switch {
	case isFound && !isWanted:
		x.t.Fatalf("get of %v at %d found what is hidden: %+v", p, x.index, got)
	case !isFound && isWanted && !x.isTight:
		x.t.Fatalf("get of %v at %d found nothing, want %+v", p, x.index, want)
	case isFound && !isSame(got, &want.entry):
		x.t.Fatalf("get of %v found %+v, want %+v", p, got, want)
	case !isFound && isWanted:
		delete(x.twin.stored, p) // evicted
	}
}

func isSame(a, b *entry) bool {
	return string(a.value) == string(b.value) && a.born == b.born && a.fresh.Equal(b.fresh) && a.end.Equal(b.end) &&
		slices.Equal(a.tags, b.tags) && a.isNegative == b.isNegative && a.isNear == b.isNear
}

func (x *trial) put() {
	p := x.place()
	e := &entry{
		value:      []byte(strings.Repeat(fmt.Sprint(x.random.IntN(10)), x.random.IntN(600))),
		born:       x.index - min(x.index, uint64(x.random.IntN(6))),
		tags:       x.names("t", 4, 2),
		isNegative: x.random.IntN(5) == 0,
		isNear:     x.random.IntN(4) == 0,
	}
	if x.random.IntN(2) == 0 {
		e.fresh = x.now.Add(time.Duration(x.random.IntN(30)) * time.Second)
		e.end = e.fresh.Add(time.Duration(x.random.IntN(30)) * time.Second)
	}
	takes := x.twin.takes(p, e)
	var took bool
	if x.random.IntN(3) > 0 {
		took = x.store.put(p, e)
	} else {
		x.get(p) // in case it was evicted
		old, found := x.twin.get(p, x.now)
		takes = takes && (!found || old.isNear)
		took = x.store.add(p, e, x.now)
	}
	if took && !takes || takes && !took && !x.isTight {
		x.t.Fatalf("put of %+v at %v says %v, want %v", e, p, took, takes)
	}
	if took {
		x.twin.put(p, e)
	}
	x.get(p)
}

func (x *trial) invalidate() {
	x.index++
	index := x.index
	if x.random.IntN(20) == 0 {
		index -= min(index, 3) // told late
	}
	group, isAll := x.group(), x.random.IntN(10) == 0
	keys, tags := x.names("k", 8, 2), x.names("t", 4, 1)
	var names []subjectName
	if isAll {
		names = append(names, subjectName{kind: ofGroup, group: group})
	}
	for _, tag := range tags {
		names = append(names, subjectName{ofTag, group, tag})
	}
	for _, key := range keys {
		names = append(names, subjectName{ofKey, group, key})
	}
	x.store.invalidate(index, group, isAll, keys, tags)
	x.twin.invalidate(index, names)
}

func (x *trial) keep() {
	isKept := func(p place) bool { return p.key < "k6" }
	x.store.keep(isKept)
	for p, e := range x.twin.stored {
		if !e.isNear && !isKept(p) {
			delete(x.twin.stored, p)
		}
	}
}

func (x *trial) reset() {
	x.store.reset()
	x.twin = &twin{stored: map[place]twinEntry{}, era: x.twin.era, isClosed: true}
	x.setMost()
	for range x.random.IntN(4) {
		x.put()
		x.invalidate()
	}
	floor := x.index - min(x.index, uint64(x.random.IntN(4)))
	x.store.setFloor(floor)
	x.store.setFloor(floor + 1_000_000) // means nothing now
	x.twin.isClosed = false
	x.twin.floor = max(x.twin.floor, floor)
}

// compare compares all that is visible, by a walk, and that only this stays.
func (x *trial) compare() {
	x.t.Helper()
	seen := map[place]bool{}
	for p, e := range x.store.all(x.now) {
		want, found := x.twin.get(p, x.now)
		if seen[p] || !found || !isSame(e, &want.entry) {
			x.t.Fatalf("a walk found %+v at %v, want %+v %v", e, p, want, found)
		}
		seen[p] = true
	}
	wanted := 0
	for p := range x.twin.stored {
		_, found := x.twin.get(p, x.now)
		if !found {
			continue
		}
		wanted++
		if _, found := x.store.get(p, x.now); found != seen[p] || !found && !x.isTight {
			x.t.Fatalf("the walk found %v: %v, get: %v", p, seen[p], found)
		}
	}
	x.store.sweep(x.now, 10_000)
	x.store.sweep(x.now, 10_000)
	x.twin.age(x.now)
	if got := x.store.len(); got != int64(len(seen)) || !x.isTight && len(seen) != wanted {
		x.t.Fatalf("%d entries are left of %d seen and %d wanted", got, len(seen), wanted)
	}
}

// audit checks that all parts of a store agree.
func audit(t *testing.T, s *store) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	users := map[*subject]int{}
	var size int64
	for i, r := range s.records {
		if r.position != i || s.shard(r.hash).records[r.hash] != r || s.hash(r.place) != r.hash {
			t.Fatalf("the record of %v is not where it should be", r.place)
		}
		if r.node.Size() != entrySize(r.place, r.held) {
			t.Fatalf("%v counts as %d bytes, want %d", r.place, r.node.Size(), entrySize(r.place, r.held))
		}
		size += r.node.Size()
		users[r.held.group]++
		for _, sub := range r.held.more {
			users[sub]++
		}
	}
	inShards := 0
	for i := range s.shards {
		inShards += len(s.shards[i].records)
	}
	if n := len(s.records); inShards != n || s.index.Len() != n || s.index.Bytes() != size {
		t.Fatalf("%d records of %d bytes, but %d in shards, %d of %d bytes in the index", n, size, inShards, s.index.Len(), s.index.Bytes())
	}
	auditMemory(t, &s.memory, users)
}

func auditMemory(t *testing.T, m *memory, users map[*subject]int) {
	t.Helper()
	var bytes, remembered int64
	count := 0
	for sub := m.oldest; sub != nil; sub = sub.newer {
		if !sub.isRemembered || m.subjects[sub.name] != sub {
			t.Fatalf("%v is remembered, but not known", sub.name)
		}
		count++
		remembered += sub.size()
	}
	for name, sub := range m.subjects {
		if users[sub] == 0 && !sub.isRemembered || sub.name != name {
			t.Fatalf("there is no reason to know %v", name)
		}
		users[sub] += 0
	}
	for sub, n := range users {
		if sub.users != n {
			t.Fatalf("%v has %d users, want %d", sub.name, sub.users, n)
		}
		if m.subjects[sub.name] != sub && sub.name.kind != nearCopies {
			t.Fatalf("%v is there twice", sub.name)
		}
		bytes += sub.size()
	}
	if m.bytes != bytes || m.remembered != remembered || m.count != count || count > m.most {
		t.Fatalf("memory counts %d bytes, %d for %d remembered, want %d, %d, %d", m.bytes, m.remembered, m.count, bytes, remembered, count)
	}
}
