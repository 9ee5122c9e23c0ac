package locks

import (
	"fmt"
	"slices"
	"time"
)

// A model is the locks as one would explain them: a list of requests in the
// order in which they came.
type model struct {
	list   []*entry
	silent map[uint64]bool
	number uint64
	events []string
}

func (m *model) find(is func(*entry) bool) *entry {
	if i := slices.IndexFunc(m.list, is); i >= 0 {
		return m.list[i]
	}
	return nil
}

func (m *model) remove(e *entry) {
	m.list = slices.DeleteFunc(m.list, func(o *entry) bool { return o == e })
}

// fits looks whether all who have the lock and e agree.
func (m *model) fits(e *entry) bool {
	set := []*entry{e}
	for _, o := range m.list {
		if o.name == e.name && o.state != waiting {
			set = append(set, o)
		}
	}
	for _, o := range set {
		if len(set) > 1 && (o.slots == 0) != (e.slots == 0) || o.slots > 0 && len(set) > int(o.slots) {
			return false
		}
	}
	return true
}

func (m *model) next(name string) *entry {
	return m.find(func(e *entry) bool { return e.name == name && e.state == waiting && !m.silent[e.origin] })
}

func (m *model) advance(name string, now time.Duration) {
	for e := m.next(name); e != nil && m.fits(e); e = m.next(name) {
		e.state, e.end = offered, now+time.Second
		m.events = append(m.events, fmt.Sprintf("%x", e.id))
	}
}

func (m *model) hold(e *entry, now time.Duration) {
	m.number++
	e.state, e.token, e.until, e.end = held, m.number, 0, now+e.ttl
}

// settle ends what is over of one lock, the earliest first.
func (m *model) settle(name string, origin uint64, now time.Duration) {
	for {
		var first *entry
		fell := uint64(0) // the origin that is found to be silent
		for _, e := range m.list {
			if e.name == name && e.end <= now && (first == nil || e.end < first.end) {
				first = e
			}
		}
		switch {
		case first == nil:
			return
		case first.state == offered:
			if first.origin != origin && !m.silent[first.origin] {
				m.silent[first.origin] = true
				fell = first.origin
			}
			first.state, first.end = waiting, first.until
			if first.until <= now {
				m.remove(first)
			}
		default:
			m.remove(first)
		}
		m.advance(name, now)
		for _, e := range slices.Clone(m.list) {
			if fell != 0 && e.origin == fell {
				m.advance(e.name, now)
			}
		}
	}
}

func (m *model) hear(origin uint64, now time.Duration) {
	if !m.silent[origin] {
		return
	}
	delete(m.silent, origin)
	for _, e := range slices.Clone(m.list) {
		if e.origin == origin && slices.Contains(m.list, e) {
			m.settle(e.name, origin, now)
			m.advance(e.name, now)
		}
	}
}

func (m *model) standing(e *entry, now time.Duration) standing {
	if e.state == held {
		return standing{condition: isHolding, lease: e.lease, token: e.token, left: e.end - now}
	}
	return standing{condition: isWaiting}
}

func (m *model) acquire(a acquisition, origin uint64, now time.Duration) standing {
	m.settle(a.name, origin, now)
	if e := m.find(func(e *entry) bool { return e.id == a.id }); e != nil {
		return m.standing(e, now)
	}
	e := &entry{
		id: a.id, name: a.name, owner: a.owner, origin: origin, slots: a.slots, ttl: a.ttl,
		until: after(now, a.wait), state: waiting,
	}
	isFree := m.next(a.name) == nil && m.fits(e)
	if !isFree && a.wait == 0 {
		return standing{condition: isRefused}
	}
	m.number++
	e.lease, e.end = m.number, e.until
	m.list = append(m.list, e)
	if isFree {
		m.hold(e, now)
	}
	return m.standing(e, now)
}

func (m *model) lookAfter(kind byte, c claim, origin uint64, now time.Duration) standing {
	is := func(e *entry) bool { return e.id == c.id }
	e := m.find(is)
	if e == nil {
		return standing{condition: isGone}
	}
	m.settle(e.name, origin, now)
	if e = m.find(is); e == nil {
		return standing{condition: isGone}
	}
	if kind == kindCancel {
		was := m.standing(e, now)
		if len(e.attempts) < attemptsMost {
			e.attempts = slices.DeleteFunc(e.attempts, func(a uint64) bool { return a == c.attempt })
			if len(e.attempts) == 0 {
				m.remove(e)
				m.advance(e.name, now)
			}
		}
		return was
	}
	if c.attempt > 0 && !slices.Contains(e.attempts, c.attempt) && len(e.attempts) < attemptsMost {
		e.attempts = append(e.attempts, c.attempt)
	}
	if e.origin != origin {
		e.origin = origin
		m.advance(e.name, now)
	}
	if e.state == offered {
		m.hold(e, now)
	}
	return m.standing(e, now)
}

func (m *model) prolong(kind byte, h holding, origin uint64, now time.Duration) uint64 {
	m.settle(h.name, origin, now)
	e := m.find(func(e *entry) bool { return e.lease == h.lease && e.name == h.name && e.state == held })
	switch {
	case e == nil:
		return notHeld
	case kind == kindRelease:
		m.remove(e)
		m.advance(e.name, now)
		return isReleased
	}
	e.ttl, e.end = h.ttl, now+h.ttl
	return leftBase + uint64(h.ttl)
}

func (m *model) close(origin uint64, now time.Duration) {
	delete(m.silent, origin)
	var touched []string
	for _, e := range slices.Clone(m.list) {
		if e.origin != origin {
			continue
		}
		touched = append(touched, e.name)
		if e.state == held {
			e.origin = 0
		} else {
			m.remove(e)
		}
	}
	for _, name := range touched {
		m.advance(name, now)
	}
}

func (m *model) info(name string, now time.Duration) (i Info) {
	for _, e := range m.list {
		switch {
		case e.name != name:
		case e.state == held && e.end > now:
			i.Holders = append(i.Holders, holderOf(e, now))
		case e.state != held && max(e.end, e.until) > now:
			i.Waiters++
		}
	}
	return i
}
