package cache

import (
	"strings"
	"sync/atomic"
	"time"
)

const (
	// rememberTime is how long an invalidation is remembered at least, so that
	// what was made before it is refused.
	rememberTime = 10 * time.Minute
	// mostRemembered is how many are remembered at most.
	mostRemembered = 100_000
)

// A subjectKind says what a subject is.
type subjectKind uint8

const (
	ofGroup    subjectKind = iota + 1 // all of a group
	ofTag                             // what has a tag, in a group
	ofKey                             // a key of a group
	nearCopies                        // all near copies
)

// A subjectName names something that can be invalidated.
type subjectName struct {
	kind        subjectKind
	group, name string
}

// A subject is something that can be invalidated. There is at most one of a
// name, and it lives while versions depend on it, or it is remembered that it
// was invalidated.
type subject struct {
	name subjectName
	last atomic.Uint64 // index of its last invalidation; 0 for none that matters

	// What follows is guarded by store.mu.
	users        int       // the versions that depend on it
	isRemembered bool      // it is in memory's list
	since        time.Time // the first sweep after its last invalidation, zero before that
	older, newer *subject  // its neighbours in the list
}

// A memory holds the subjects, and remembers what was invalidated a short time
// ago. What it forgets raises its floor: whatever is born below is too old to
// be judged. Entries that are stored already have been judged, and stay. It is
// guarded by store.mu.
type memory struct {
	subjects       map[subjectName]*subject
	peak           int      // the most subjects since the map was made
	oldest, newest *subject // the list of those remembered, by when they were invalidated last
	count, most    int      // how many are in the list, and may be
	bytes          int64    // that all subjects take
	remembered     int64    // that those in the list take
	floor          uint64
	isClosed       bool // there is no floor yet: everything is refused
}

func newMemory() memory {
	return memory{subjects: map[subjectName]*subject{}, most: mostRemembered}
}

// link returns the version of an entry, with all that it depends on. Its tags
// share the memory of the subjects' names, and none with the caller.
func (m *memory) link(group string, e *entry) *version {
	v := &version{entry: *e, group: m.use(subjectName{kind: ofGroup, group: group})}
	v.tags = nil
	if n := len(e.tags); n > 0 {
		v.tags = make([]string, n)
		v.more = make([]*subject, n, n+extra(e))
		for i, tag := range e.tags {
			v.more[i] = m.use(subjectName{ofTag, group, tag})
			v.tags[i] = v.more[i].name.name
		}
	}
	if e.isNear {
		v.more = append(v.more, m.use(subjectName{kind: nearCopies}))
	}
	return v
}

// extra returns how many subjects an entry has beside its group and tags.
func extra(e *entry) int {
	if e.isNear {
		return 1
	}
	return 0
}

// unlink takes back what link did.
func (m *memory) unlink(v *version) {
	m.unuse(v.group)
	for _, sub := range v.more {
		m.unuse(sub)
	}
}

// isOutdated reports whether something that a version depends on was
// invalidated after it was born, or this is not known.
func (m *memory) isOutdated(p place, v *version) bool {
	if m.isClosed || v.born < m.floor || v.isVoid() {
		return true
	}
	key := m.subjects[subjectName{ofKey, p.group, p.key}]
	return key != nil && key.last.Load() > v.born
}

// void notes that a subject was invalidated.
func (m *memory) void(name subjectName, index uint64) {
	sub := m.subject(name)
	if sub.isRemembered {
		m.leave(sub)
	}
	sub.last.Store(max(sub.last.Load(), index))
	m.enter(sub)
	if m.count > m.most {
		m.forget()
	}
}

// voidNear hides all near copies, and none that is stored later.
func (m *memory) voidNear() {
	name := subjectName{kind: nearCopies}
	if sub := m.subjects[name]; sub != nil {
		sub.last.Store(^uint64(0))
		delete(m.subjects, name)
	}
}

// forgetOver forgets the oldest invalidations until they take no more than
// some bytes.
func (m *memory) forgetOver(bytes int64) {
	for m.remembered > bytes {
		m.forget()
	}
}

// age lets time pass, and forgets up to n invalidations that are old enough.
// One that nobody has seen before is as old as this call.
func (m *memory) age(now time.Time, n int) {
	for sub := m.newest; sub != nil && sub.since.IsZero(); sub = sub.older {
		sub.since = now
	}
	for ; n > 0 && m.oldest != nil && now.Sub(m.oldest.since) >= rememberTime; n-- {
		m.forget()
	}
}

// forget forgets the oldest invalidation.
func (m *memory) forget() {
	sub := m.oldest
	m.floor = max(m.floor, sub.last.Load())
	m.leave(sub)
	m.dropUnused(sub)
}

// enter makes a subject the newest of those remembered.
func (m *memory) enter(sub *subject) {
	sub.isRemembered, sub.since = true, time.Time{}
	sub.older = m.newest
	if m.newest != nil {
		m.newest.newer = sub
	} else {
		m.oldest = sub
	}
	m.newest = sub
	m.count++
	m.remembered += sub.size()
}

// leave takes a subject out of those remembered.
func (m *memory) leave(sub *subject) {
	if sub.older != nil {
		sub.older.newer = sub.newer
	} else {
		m.oldest = sub.newer
	}
	if sub.newer != nil {
		sub.newer.older = sub.older
	} else {
		m.newest = sub.older
	}
	sub.isRemembered, sub.older, sub.newer = false, nil, nil
	m.count--
	m.remembered -= sub.size()
}

// subject returns the subject of a name.
func (m *memory) subject(name subjectName) *subject {
	sub := m.subjects[name]
	if sub == nil {
		name.group, name.name = strings.Clone(name.group), strings.Clone(name.name)
		sub = &subject{name: name}
		m.subjects[name] = sub
		m.peak = max(m.peak, len(m.subjects))
		m.bytes += sub.size()
	}
	return sub
}

func (m *memory) use(name subjectName) *subject {
	sub := m.subject(name)
	sub.users++
	return sub
}

func (m *memory) unuse(sub *subject) {
	sub.users--
	m.dropUnused(sub)
}

// dropUnused drops a subject that there is no reason to keep.
func (m *memory) dropUnused(sub *subject) {
	if sub.users > 0 || sub.isRemembered {
		return
	}
	m.bytes -= sub.size()
	if m.subjects[sub.name] != sub {
		return // near copies of before voidNear
	}
	delete(m.subjects, sub.name)
	if len(m.subjects) < m.peak/4 {
		m.subjects = rebuilt(m.subjects)
		m.peak = len(m.subjects)
	}
}
