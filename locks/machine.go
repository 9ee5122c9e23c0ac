package locks

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/tidwall/btree"

	"github.com/huddlecache/huddle/cluster/machine"
)

// offerTime is how long a lock waits for the node that it was offered to.
const offerTime = time.Second

// eventOffered says that the request whose id is the key has been offered its
// lock, and is to be attended to.
const eventOffered = 1

// listedMost is how many holders an answer lists at most.
const listedMost = 1000

// A Machine is the replicated state of all locks.
//
// Every lock has one queue, of those who want it alone, to share it, or as one
// of n. Whoever comes when the lock can be had and nobody waits has it at
// once; whoever waits is offered it in turn. An offer is void unless its node
// confirms it within a second, for the node may be dead; from then on that
// node is silent: its requests keep their places, but are passed over until
// it is heard again. So a dead node delays a lock by one second, however many
// of its requests wait.
type Machine struct {
	requests requests
	silent   *btree.BTreeG[uint64] // origins that did not confirm in time
}

var (
	_ machine.Machine       = (*Machine)(nil)
	_ machine.OriginWatcher = (*Machine)(nil)
	_ machine.Rebaser       = (*Machine)(nil)
)

// NewMachine returns the machine of a cluster without locks.
func NewMachine() machine.Machine { return newMachine() }

func newMachine() *Machine {
	return &Machine{
		requests: newRequests(),
		silent: btree.NewBTreeGOptions(func(a, b uint64) bool { return a < b },
			btree.Options{NoLocks: true}),
	}
}

// originSize is what the size account takes for a silent origin.
const originSize = 16

// Size is the number of bytes that the locks and those who wait take.
func (m *Machine) Size() int64 { return m.requests.size + originSize*int64(m.silent.Len()) }

// Apply executes one command.
func (m *Machine) Apply(tx *machine.Tx, cmd []byte) (reply []byte) {
	r := &reader{data: cmd}
	version, kind := r.byte(), r.byte()
	if version != formatVersion {
		r.fail()
	}
	switch kind {
	case kindAcquire:
		if a := r.acquisition(); m.begins(tx, r) {
			return m.acquire(tx, a).append(nil)
		}
	case kindAttend, kindCancel:
		if claims := r.claims(); m.begins(tx, r) {
			for _, c := range claims {
				reply = m.lookAfter(tx, kind, c).append(reply)
			}
		}
	case kindRenew, kindRelease:
		if holdings := r.holdings(); m.begins(tx, r) {
			for _, h := range holdings {
				reply = binary.AppendUvarint(reply, m.prolong(tx, kind, h))
			}
		}
	default:
		r.fail()
		m.begins(tx, r)
	}
	return reply
}

// begins begins a command that has been read. One that this release cannot
// read stops the node.
func (m *Machine) begins(tx *machine.Tx, r *reader) bool {
	if err := r.done(); err != nil {
		tx.Fail(fmt.Errorf("locks: %w: %w", machine.ErrUnknownCommand, err))
		return false
	}
	m.hear(tx)
	return true
}

// acquire gives a lock, or a place in its queue, or neither. A request that is
// there already is told how it stands.
func (m *Machine) acquire(tx *machine.Tx, a acquisition) *standing {
	m.settle(tx, a.name)
	if e := m.requests.named(a.id); e != nil {
		return standingOf(e, tx.Lease)
	}
	if isLong := a.ttl > day || a.wait > day; isLong && tx.Pressure >= machine.PressureHigh {
		tx.Refused = true
		return &standing{condition: isFull}
	}
	e := &entry{
		id: a.id, name: a.name, owner: a.owner, origin: tx.Origin, slots: a.slots, ttl: a.ttl,
		until: after(tx.Lease, a.wait), state: waiting,
	}
	canHave := m.next(a.name) == nil && m.requests.fits(e)
	if !canHave && a.wait == 0 {
		tx.Refused = true
		return &standing{condition: isRefused, holder: m.firstHolder(a.name, tx.Lease)}
	}
	if !canHave && m.requests.waiting[a.name] >= MaxWaiters {
		tx.Refused = true
		return &standing{condition: isCrowded}
	}
	e.lease, e.end = tx.Number(), e.until
	m.requests.add(e)
	setEnd(tx, e, 0, e.end)
	if canHave {
		e = m.hold(tx, e)
	}
	return standingOf(e, tx.Lease)
}

const day = 24 * time.Hour

// lookAfter attends to a request, or cancels a claim to it.
func (m *Machine) lookAfter(tx *machine.Tx, kind byte, c claim) *standing {
	e := m.requests.named(c.id)
	if e == nil {
		return &standing{condition: isGone}
	}
	m.settle(tx, e.name)
	if e = m.requests.named(c.id); e == nil {
		return &standing{condition: isGone}
	}
	was := standingOf(e, tx.Lease)
	if kind == kindCancel {
		m.disclaim(tx, e, c.attempt)
		return was
	}
	e = m.claim(tx, e, c.attempt)
	if e.state == offered {
		e = m.hold(tx, e)
	}
	return standingOf(e, tx.Lease)
}

// claim notes that a request is an attempt's, and that its node is answerable
// for it now: a call may be repeated through another node.
func (m *Machine) claim(tx *machine.Tx, e *entry, attempt uint64) *entry {
	isNew := attempt != 0 && len(e.attempts) < attemptsMost && !slices.Contains(e.attempts, attempt)
	if e.origin == tx.Origin && !isNew {
		return e
	}
	claimed := *e
	claimed.origin = tx.Origin
	if isNew {
		claimed.attempts = append(slices.Clone(e.attempts), attempt)
	}
	m.replace(tx, e, &claimed)
	if e.origin != claimed.origin {
		m.advance(tx, e.name)
	}
	return m.requests.named(e.id)
}

// disclaim ends an attempt's claim to a request, and with the last one the
// request. An attempt that was told that it has the lock has it while others
// for the same request, which came before or after, give up.
func (m *Machine) disclaim(tx *machine.Tx, e *entry, attempt uint64) {
	rest := slices.DeleteFunc(slices.Clone(e.attempts), func(a uint64) bool { return a == attempt })
	switch {
	case len(e.attempts) == attemptsMost:
		// Others may have come of whom there is no note. It ends by itself.
	case len(rest) == 0:
		m.drop(tx, e)
		m.advance(tx, e.name)
	case len(rest) < len(e.attempts):
		fewer := *e
		fewer.attempts = rest
		m.replace(tx, e, &fewer)
	}
}

// prolong renews a lease, or releases it.
func (m *Machine) prolong(tx *machine.Tx, kind byte, h holding) uint64 {
	m.settle(tx, h.name)
	e := m.requests.leased(h.lease)
	if e == nil || e.name != h.name || e.state != held {
		return notHeld
	}
	if kind == kindRelease {
		m.drop(tx, e)
		m.advance(tx, e.name)
		return isReleased
	}
	if h.ttl > day && e.ttl <= day && tx.Pressure >= machine.PressureHigh {
		return isTooLong
	}
	renewed := *e
	renewed.ttl, renewed.end = h.ttl, after(tx.Lease, h.ttl)
	m.replace(tx, e, &renewed)
	return leftBase + uint64(h.ttl)
}

// Expire ends a state whose time has come.
func (m *Machine) Expire(tx *machine.Tx, key []byte) {
	if len(key) != 8 {
		return
	}
	if e := m.requests.leased(binary.BigEndian.Uint64(key)); e != nil {
		m.settle(tx, e.name)
	}
}

// OriginClosed forgets what a node waits for that has left. What is held stays
// until its lease runs out: whoever holds it may renew it through any node.
func (m *Machine) OriginClosed(tx *machine.Tx, origin uint64) {
	m.silent.Delete(origin)
	list := m.requests.of(origin)
	for _, e := range list {
		if e.state != held {
			m.drop(tx, e)
			continue
		}
		left := *e
		left.origin = 0
		m.replace(tx, e, &left)
	}
	for _, e := range list {
		m.advance(tx, e.name)
	}
}

// hear notes that the origin of a command lives. What it was passed over for
// it may have now, if nobody else has taken it.
func (m *Machine) hear(tx *machine.Tx) {
	if _, wasSilent := m.silent.Delete(tx.Origin); !wasSilent {
		return
	}
	for _, e := range m.requests.of(tx.Origin) {
		m.settle(tx, e.name)
		m.advance(tx, e.name)
	}
}

// settle ends the states of a lock's requests whose time has come, in the
// order in which it has.
func (m *Machine) settle(tx *machine.Tx, name string) {
	for {
		e := m.requests.ending(name)
		if e == nil || !e.isOver(tx.Lease) {
			return
		}
		fellSilent := false
		if e.state == offered && e.origin != tx.Origin { // else it is heard just now
			_, wasSilent := m.silent.Set(e.origin)
			fellSilent = !wasSilent
		}
		if e.state == offered && e.until > tx.Lease {
			back := *e
			back.state, back.end = waiting, e.until
			m.replace(tx, e, &back)
		} else {
			m.drop(tx, e)
		}
		m.advance(tx, name)
		if fellSilent {
			m.pass(tx, e.origin)
		}
	}
}

// pass offers the locks that a silent origin waits for to those behind it.
func (m *Machine) pass(tx *machine.Tx, origin uint64) {
	for _, e := range m.requests.of(origin) {
		m.advance(tx, e.name)
	}
}

// advance offers a lock to those whose turn it is.
func (m *Machine) advance(tx *machine.Tx, name string) {
	for {
		e := m.next(name)
		if e == nil || !m.requests.fits(e) {
			return
		}
		offer := *e
		offer.state, offer.end = offered, after(tx.Lease, offerTime)
		m.replace(tx, e, &offer)
		tx.Emit(machine.Event{Kind: eventOffered, Key: offer.id[:]})
	}
}

// next returns the request whose turn is next, nil where none waits that could
// be offered anything.
func (m *Machine) next(name string) (next *entry) {
	m.requests.queue(name, func(e *entry) bool {
		if _, isSilent := m.silent.Get(e.origin); !isSilent {
			next = e
		}
		return next == nil
	})
	return next
}

// hold gives a lock to a request.
func (m *Machine) hold(tx *machine.Tx, e *entry) *entry {
	holder := *e
	holder.state, holder.token = held, tx.Number()
	holder.until, holder.end = 0, after(tx.Lease, e.ttl)
	m.replace(tx, e, &holder)
	return &holder
}

func (m *Machine) replace(tx *machine.Tx, e, by *entry) {
	m.requests.remove(e)
	m.requests.add(by)
	setEnd(tx, by, e.end, by.end)
}

func (m *Machine) drop(tx *machine.Tx, e *entry) {
	m.requests.remove(e)
	setEnd(tx, e, e.end, 0)
}

// setEnd moves a request's deadline. Its key is the lease, in 8 bytes.
func setEnd(tx *machine.Tx, e *entry, was, at time.Duration) {
	if was == forever {
		was = 0
	}
	if at == forever {
		at = 0
	}
	if was != at {
		tx.Deadline(binary.BigEndian.AppendUint64(nil, e.lease), was, at)
	}
}

func standingOf(e *entry, now time.Duration) *standing {
	if e.state == held {
		return &standing{condition: isHolding, lease: e.lease, token: e.token, left: e.end - now}
	}
	return &standing{condition: isWaiting}
}

func holderOf(e *entry, now time.Duration) Holder {
	return Holder{Owner: e.owner, Token: e.token, Left: e.end - now, Shared: e.slots == 0, Slots: int(e.slots)}
}

// firstHolder returns the one who has had a lock for longest. It has no token
// where the lock is on its way to someone who waited.
func (m *Machine) firstHolder(name string, now time.Duration) (h Holder) {
	m.requests.granted(name, func(e *entry) bool {
		if e.isOver(now) {
			return true
		}
		h = holderOf(e, now)
		return e.state != held
	})
	return h
}

// Rebase forgets everything: those who held a lock or waited for one when a
// backup was made do so no more when it is restored.
func (m *Machine) Rebase(*machine.Tx, time.Duration) { *m = *newMachine() }

// Query tells who holds a lock and how many wait.
func (m *Machine) Query(at machine.Stamp, query []byte) []byte {
	r := &reader{data: query}
	if r.byte() != formatVersion || r.byte() != kindInfo {
		return nil
	}
	name := r.string()
	if r.done() != nil {
		return nil
	}
	var info Info
	m.requests.granted(name, func(e *entry) bool {
		switch {
		case e.state == offered && max(e.end, e.until) > at.Lease:
			info.Waiters++
		case e.state == held && !e.isOver(at.Lease) && len(info.Holders) < listedMost:
			info.Holders = append(info.Holders, holderOf(e, at.Lease))
		}
		return true
	})
	m.requests.queue(name, func(e *entry) bool {
		if !e.isOver(at.Lease) {
			info.Waiters++
		}
		return true
	})
	return info.encode()
}
