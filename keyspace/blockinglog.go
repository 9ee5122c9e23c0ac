package keyspace

import (
	"encoding/binary"
	"errors"
)

// First bytes of what waits, and of what is done about it.
const (
	waitVersion   = 4
	attendVersion = 5
)

// What is done about a waiter.
const (
	attendTake   = 1
	attendCancel = 2
)

// What has become of a waiter.
const (
	outcomeWaits    = 1
	outcomeGone     = 2
	outcomeAnswered = 3
)

// AppendWait appends to dst the command that args are, which blocks: it is
// executed at once if that can be, without taking what is promised to others,
// or else waits as the waiter id. ReadOutcomes reads the reply.
//
//	byte    4, the version of this format
//	16 byte id
//	a command as AppendCommand has it
func AppendWait(dst []byte, id WaiterID, db, proto int, args [][]byte) []byte {
	dst = append(append(dst, waitVersion), id[:]...)
	return AppendCommand(dst, db, proto, args)
}

// An Attention is what is to be done about a waiter: it takes what it was
// offered, and waits on where it was offered nothing or somebody else has taken
// that; or it waits no more.
type Attention struct {
	ID     WaiterID
	Cancel bool
}

// AppendAttend appends to dst the command that attends to waiters, in order.
// ReadOutcomes reads the reply, which has one for each.
//
//	byte    5, the version of this format
//	uvarint number of waiters, at least 1
//	for each:
//	  byte    1 it takes what it was offered, 2 it waits no more
//	  16 byte id
func AppendAttend(dst []byte, list []Attention) []byte {
	dst = binary.AppendUvarint(append(dst, attendVersion), uint64(len(list)))
	for _, a := range list {
		kind := byte(attendTake)
		if a.Cancel {
			kind = attendCancel
		}
		dst = append(append(dst, kind), a.ID[:]...)
	}
	return dst
}

// An Outcome is what became of a waiter, or of a command that was to be one. If
// it neither waits nor has a reply it is gone: it was cancelled, its node was
// taken for dead, or a backup was restored. Nothing was taken for it.
type Outcome struct {
	Waits bool
	Reply []byte // RESP, which it is answered with; it waits no more
}

// errNotOutcomes is what ReadOutcomes says of another reply.
var errNotOutcomes = errors.New("not a reply about waiters")

// ReadOutcomes reads a reply with so many outcomes, and points into it:
//
//	for each:
//	  byte    1 it waits, 2 it is gone, 3 it is answered
//	  uvarint length        (of 3 only)
//	  bytes   RESP
func ReadOutcomes(reply []byte, n int) ([]Outcome, error) {
	list := make([]Outcome, n)
	for i := range list {
		if len(reply) == 0 {
			return nil, errNotOutcomes
		}
		kind := reply[0]
		reply = reply[1:]
		switch kind {
		case outcomeWaits:
			list[i].Waits = true
		case outcomeGone:
		case outcomeAnswered:
			var ok bool
			if list[i].Reply, reply, ok = cutBytes(reply); !ok || len(list[i].Reply) == 0 {
				return nil, errNotOutcomes
			}
		default:
			return nil, errNotOutcomes
		}
	}
	if len(reply) > 0 {
		return nil, errNotOutcomes
	}
	return list, nil
}

// wait executes what AppendWait wrote.
func (c *call) wait(data []byte) error {
	var id WaiterID
	if len(data) < 1+len(id) {
		return errMalformed
	}
	copy(id[:], data[1:])
	data = data[1+len(id):]
	inner := call{space: c.space, tx: c.tx, at: c.at}
	if err := inner.prepare(data); err != nil {
		return err
	}
	if !inner.cmd.Blocks {
		return errMalformed
	}
	if inner.join(id, data) {
		c.reply.buf = append(c.reply.buf, outcomeWaits)
	} else {
		c.answered(&inner)
	}
	return nil
}

// answered appends the outcome of a command that was executed.
func (c *call) answered(inner *call) {
	c.reply.buf = appendBytes(append(c.reply.buf, outcomeAnswered), inner.reply.buf)
}

// join executes a blocking command, or makes a waiter of it.
func (c *call) join(id WaiterID, command []byte) (waits bool) {
	if !c.cmd.Accepts(len(c.args)) {
		c.failArity()
		return false
	}
	q := &c.space.waiters
	if q.named(id) != nil {
		return true
	}
	r, ok := c.cmd.asks(c)
	switch {
	case !ok || c.serve(r, true):
		return false
	case c.isFull():
		c.refuse()
		return false
	}
	w := newWaiter(c.index, r)
	w.id, w.number, w.origin = id, c.tx.Number(), c.tx.Origin
	w.command = append([]byte(nil), command...)
	const longest = maxDeadline / 2
	if 0 < r.timeout && r.timeout < longest {
		w.end = c.at.Lease + r.timeout + waiterGrace
	}
	w.wait(c.at.Lease)
	q.replace(c.tx, nil, w)
	return true
}

// newWaiter returns a waiter for what a request asks for.
func newWaiter(db int, r request) *waiter {
	w := &waiter{db: db, kind: r.kind, count: r.count}
	for _, key := range r.keys {
		w.keys = append(w.keys, string(key))
	}
	return w
}

// attend executes what AppendAttend wrote.
func (c *call) attend(data []byte) error {
	const size = 1 + len(WaiterID{})
	count, data, ok := cutUvarint(data[1:])
	if !ok || count == 0 || count != uint64(len(data)/size) || len(data)%size != 0 {
		return errMalformed
	}
	for ; len(data) > 0; data = data[size:] {
		var err error
		switch id := WaiterID(data[1:size]); data[0] {
		case attendTake:
			err = c.take(id)
		case attendCancel:
			if w := c.space.waiters.named(id); w != nil {
				c.space.waiters.replace(c.tx, w, nil)
			}
			c.reply.buf = append(c.reply.buf, outcomeGone)
		default:
			err = errMalformed
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// take gives a waiter what it was offered.
func (c *call) take(id WaiterID) error {
	q := &c.space.waiters
	w := q.named(id)
	if w == nil {
		c.reply.buf = append(c.reply.buf, outcomeGone)
		return nil
	}
	inner := call{space: c.space, tx: c.tx, at: c.at}
	if w.state == stateOffered {
		if err := inner.prepare(w.command); err != nil {
			return err
		}
		if inner.takeOffered(w) {
			q.replace(c.tx, w, nil)
			c.answered(&inner)
			return nil
		}
	}
	if w.state != stateWaiting {
		next := *w
		next.wait(c.at.Lease)
		q.replace(c.tx, w, &next)
	}
	c.reply.buf = append(c.reply.buf, outcomeWaits)
	return nil
}

// takeOffered executes the command of a waiter with the key that it was
// offered, if that has elements still. Where the state is full the shell lets
// waiters through for what frees, and the rest is refused here.
func (c *call) takeOffered(w *waiter) (done bool) {
	r, ok := c.cmd.asks(c)
	if !ok {
		return true // and answered; it cannot be, for it waited
	}
	e := c.own(r.keys[w.offered])
	switch {
	case e == nil || e.value.kind() != r.kind:
		return false
	case c.isFull() && !c.cmd.Frees(c.args):
		c.reply.fail(errFull)
	default:
		r.pop(r.keys[w.offered])
		c.tx.Refused = false // it is refused, but others in this command are not
	}
	return true
}

// waiterKey names a waiter in the shell's index: what no database begins with,
// then its number.
func waiterKey(number uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{waiterDeadline}, number)
}

const waiterDeadline = 0xff

// numberOfWaiter reads what waiterKey wrote.
func numberOfWaiter(key []byte) (number uint64, ok bool) {
	if len(key) != 9 || key[0] != waiterDeadline {
		return 0, false
	}
	return binary.BigEndian.Uint64(key[1:]), true
}
