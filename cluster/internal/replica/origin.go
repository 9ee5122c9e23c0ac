package replica

import (
	"crypto/sha256"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/cluster/machine/wire"
)

// An origin is a node at one stay in the cluster: batches come from origins,
// and an origin that was closed is never opened again, so a batch that was
// late is refused rather than applied twice. Its name is the index of the
// entry that opened it.
type origin struct {
	id        uint64
	server    string
	nonce     uint64
	isDurable bool // the server keeps its state on disk
	lanes     [lanes]memory
}

// memory is what is kept of a lane: its last batch with the replies of all
// parts that were applied.
type memory struct {
	batch uint64
	parts [][]machine.Reply
}

// An Outcome says what became of a batch.
type Outcome uint8

// Outcomes, in the order in which they are checked.
const (
	// RefusedOrigin: the origin is closed. Nothing of this attempt was applied.
	RefusedOrigin Outcome = iota
	// RefusedSequence: the batch was overtaken and will not be applied any
	// more. Whether it was before is not known.
	RefusedSequence
	// RefusedTerm: the entry was appended in another term than it was made in.
	// Nothing of this attempt was applied.
	RefusedTerm
	// Applied: the replies are those of the items, now or when the batch was
	// applied first. Fewer replies than items mean that the batch was cut: the
	// rest was not applied, and may be sent as the next part.
	Applied
)

// BatchResult answers a batch.
type BatchResult struct {
	Outcome Outcome
	Replies []machine.Reply
}

// maxReplies bounds the replies of one part, in bytes: the item that exceeds
// it is the last one applied.
const maxReplies = 8 << 20

// replySize is what the size account takes for a reply beside its data.
const replySize = 48

// originSize is what the size account takes for an origin.
const originSize = 256

// OpenResult answers an Open entry: the origin, or zero if the server is not a
// member.
type OpenResult struct{ Origin uint64 }

func (r *Replica) applyOpen(rd *wire.Reader) any {
	server, nonce, isDurable := rd.String(), rd.Uint64(), rd.Bool()
	s := &r.state
	if rd.Done() != nil || !s.members[server] {
		return OpenResult{}
	}
	if id, found := s.byServer[server]; found {
		if s.origins[id].nonce == nonce {
			return OpenResult{Origin: id}
		}
		r.closeOrigin(id)
	}
	o := &origin{id: s.stamp.Index, server: server, nonce: nonce, isDurable: isDurable}
	s.origins[o.id] = o
	s.byServer[server] = o.id
	s.own += originSize
	return OpenResult{Origin: o.id}
}

// IsDurable reports whether a server keeps its state on disk, as it said when
// it asked for its origin, and whether it has.
func (r *Replica) IsDurable(server string) (isDurable, known bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	id, known := r.state.byServer[server]
	return known && r.state.origins[id].isDurable, known
}

func (r *Replica) closeOrigin(id uint64) {
	r.unstageOf(id)
	s := &r.state
	o := s.origins[id]
	for i := range o.lanes {
		s.own -= o.lanes[i].size()
	}
	s.own -= originSize
	delete(s.byServer, o.server)
	delete(s.origins, id)
	for _, feature := range slices.Sorted(maps.Keys(s.machines)) {
		if m, watches := s.machines[feature].(machine.OriginWatcher); watches {
			tx := &machine.Tx{Seed: s.seed}
			r.lend(tx, feature)
			m.OriginClosed(tx, id)
		}
	}
}

func (m *memory) size() (n int64) {
	for _, replies := range m.parts {
		n += repliesSize(replies)
	}
	return n
}

func repliesSize(replies []machine.Reply) (n int64) {
	for _, reply := range replies {
		n += replySize + int64(len(reply.Data))
	}
	return n
}

// applyBatch applies a batch, or answers from memory, or refuses it. Only the
// first part of a later batch and the next part of the last one are applied.
func (r *Replica) applyBatch(tx *machine.Tx, b *Batch, isFresh bool) BatchResult {
	o := r.state.origins[b.Origin]
	if o == nil {
		return BatchResult{Outcome: RefusedOrigin}
	}
	m := &o.lanes[b.Lane]
	switch {
	case b.Number == m.batch && b.Part < uint64(len(m.parts)):
		return BatchResult{Outcome: Applied, Replies: m.parts[b.Part]}
	case b.Number == m.batch && b.Part == uint64(len(m.parts)):
	case b.Number > m.batch && b.Part == 0:
	default:
		return BatchResult{Outcome: RefusedSequence}
	}
	if !isFresh {
		return BatchResult{Outcome: RefusedTerm}
	}
	if b.Number > m.batch {
		r.state.own -= m.size()
		*m = memory{batch: b.Number}
	}
	tx.Origin = b.Origin
	replies := r.applyItems(tx, b.Items)
	m.parts = append(m.parts, replies)
	r.state.own += repliesSize(replies)
	return BatchResult{Outcome: Applied, Replies: replies}
}

func (r *Replica) applyItems(tx *machine.Tx, items []Item) []machine.Reply {
	replies := make([]machine.Reply, 0, len(items))
	size := 0
	for i := range items {
		reply := r.applyItem(tx, &items[i])
		if r.failed != nil {
			break
		}
		replies = append(replies, reply)
		if size += len(reply.Data); size > maxReplies {
			break
		}
	}
	return replies
}

func (r *Replica) applyItem(tx *machine.Tx, it *Item) machine.Reply {
	r.state.stamp.Position++
	if it.Feature == shellID {
		return r.applyShell(tx, it)
	}
	m := r.state.machines[it.Feature]
	if m == nil {
		r.fail(machine.ErrUnknownCommand)
		return machine.Reply{}
	}
	if it.Query {
		return machine.Reply{Data: m.Query(r.state.stamp, it.Data)}
	}
	if it.Idem != "" {
		return r.applyOnce(tx, m, it)
	}
	return r.applyCommand(tx, m, it)
}

func (r *Replica) applyCommand(tx *machine.Tx, m machine.Machine, it *Item) machine.Reply {
	if tx.Pressure >= machine.PressureFull && !it.Frees {
		return machine.Reply{Err: machine.ErrFull}
	}
	r.lend(tx, it.Feature)
	return machine.Reply{Data: m.Apply(tx, it.Data)}
}

// Idempotency keys are remembered for idemTime, and at most idemMost of them.
const (
	idemTime = 10 * time.Minute
	idemMost = 100_000
	idemSize = 128 // what the size account takes for one beside its strings
)

// remembered is the reply to a command that came with an idempotency key.
type remembered struct {
	id      string
	command [16]byte // hash of feature and command
	reply   []byte
	until   time.Duration
}

func rememberedLess(a, b remembered) bool { return a.id < b.id }

func (m *remembered) size() int64 { return idemSize + int64(len(m.id)+len(m.reply)) }

// applyOnce applies a command unless one with its key was applied before.
func (r *Replica) applyOnce(tx *machine.Tx, m machine.Machine, it *Item) machine.Reply {
	s := &r.state
	hash := commandHash(it)
	if old, found := s.idem.Get(remembered{id: it.Idem}); found {
		switch {
		case old.until <= s.stamp.Lease: // due, but not swept yet
			r.setDeadline(shellID, old.id, old.until, 0)
			r.forget(old.id)
		case old.command != hash:
			return machine.Reply{Err: machine.ErrReused}
		default:
			return machine.Reply{Data: old.reply}
		}
	}
	if s.idem.Len() >= idemMost {
		return machine.Reply{Err: machine.ErrOverloaded}
	}
	tx.Refused = false
	reply := r.applyCommand(tx, m, it)
	if reply.Err != nil || tx.Refused {
		return reply // nothing was done: the key is still free
	}
	entry := remembered{
		id:      strings.Clone(it.Idem),
		command: hash,
		reply:   reply.Data,
		until:   s.stamp.Lease + idemTime,
	}
	s.idem.Set(entry)
	s.own += entry.size()
	r.setDeadline(shellID, entry.id, 0, entry.until)
	return reply
}

// forget drops a remembered reply that is due.
func (r *Replica) forget(id string) {
	if old, found := r.state.idem.Get(remembered{id: id}); found && old.until <= r.state.stamp.Lease {
		r.state.idem.Delete(old)
		r.state.own -= old.size()
	}
}

func commandHash(it *Item) [16]byte {
	h := sha256.New()
	h.Write([]byte{it.Feature})
	h.Write(it.Data)
	return [16]byte(h.Sum(nil)[:16])
}
