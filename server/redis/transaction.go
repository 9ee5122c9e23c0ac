package redis

import (
	"fmt"
	"strings"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/keyspace"
	"github.com/huddlecache/huddle/server/resp"
)

const (
	maxQueued   = 100_000 // commands of a transaction
	queuedExtra = 1 << 20 // bytes beyond Config.MaxValue that they may have, as a command may

	errNested       = "ERR MULTI calls can not be nested"
	errWatchInside  = "ERR WATCH inside MULTI is not allowed"
	errNotInside    = "ERR Command not allowed inside a transaction"
	errAbort        = "EXECABORT Transaction discarded because of previous errors."
	errAbortBecause = "EXECABORT Transaction discarded because of: "
)

func transactionCommands() []command {
	const group = "transactions"
	return []command{
		{name: "discard", arity: 1, group: group, atOnce: true, run: (*conn).discard},
		{name: "exec", arity: 1, group: group, atOnce: true, idem: true, run: (*conn).exec},
		{name: "multi", arity: 1, group: group, atOnce: true, run: (*conn).multi},
		{name: "unwatch", arity: 1, group: group, run: (*conn).unwatch},
		{name: "watch", arity: -2, group: group, atOnce: true, isKeyed: true, run: (*conn).watch},
	}
}

// A transaction is what a connection has begun of one: the keys that it
// watches, and the commands since MULTI. They become one command of the log
// with EXEC, so that nothing comes between, and are checked against the watches
// when that is applied, wherever the keys were changed.
type transaction struct {
	isOpen   bool // since MULTI
	isBroken bool // a command could not be queued, so that EXEC aborts
	queue    []queued
	size     int // of the queue, as run.size counts

	watches   []keyspace.Watch
	isWatched map[watchedKey]bool // what watches holds
	watchSize int                 // bytes that the watches take in the log, at most
	resets    uint64              // Server.resets before the first key was watched
}

// A queued command is one of the keyspace, or else one that is answered here.
type queued struct {
	keyed *keyspace.Command
	own   *command
	args  [][]byte
}

type watchedKey struct {
	db  int
	key string
}

// maxTransaction is how many bytes a connection may queue, and also watch. Both
// together are within what the log takes.
func (s *Server) maxTransaction() int { return s.config.MaxValue + queuedExtra }

// watch answers WATCH key …. A key that is watched already keeps its number.
func (c *conn) watch(args [][]byte) {
	t := &c.transaction
	if t.isOpen {
		c.fail(errWatchInside)
		return
	}
	var fresh []keyspace.Watch
	seen := map[watchedKey]bool{}
	size := t.watchSize
	for _, key := range args[1:] {
		id := watchedKey{c.db, string(key)}
		if t.isWatched[id] || seen[id] {
			continue
		}
		seen[id] = true
		fresh = append(fresh, keyspace.Watch{DB: c.db, Key: []byte(id.key)})
		size += len(key) + 20
	}
	if limit := c.server.maxTransaction(); size > limit {
		c.server.Counters.TooBig.Add(1)
		c.fail(fmt.Sprintf("TOOBIG the watched keys are over %d bytes", limit))
		return
	}
	resets := c.server.resets.Load()
	if len(fresh) > 0 && !c.number(fresh) {
		return
	}
	if len(t.watches) == 0 {
		t.resets, t.isWatched = resets, seen
	}
	for id := range seen {
		t.isWatched[id] = true
	}
	t.watches, t.watchSize = append(t.watches, fresh...), size
	c.ok()
}

// number asks for the present numbers of watches, also where the connection
// reads locally. It answers where there is none to be had.
func (c *conn) number(watches []keyspace.Watch) (done bool) {
	c.server.Counters.Batches.Add(1)
	c.server.Counters.Reads.Add(1)
	data, at, err := c.server.config.Log.Query(c.context(), machine.Linearizable, keyspace.AppendWatch(nil, watches))
	if err == nil {
		err = keyspace.ReadWatch(data, watches)
	}
	if err != nil {
		c.failWith(err, false)
		return false
	}
	c.note(at)
	return true
}

// unwatch answers UNWATCH. Inside MULTI it comes too late to matter, as in
// Redis.
func (c *conn) unwatch([][]byte) {
	t := &c.transaction
	t.watches, t.isWatched, t.watchSize = nil, nil, 0
	c.ok()
}

func (c *conn) multi([][]byte) {
	if c.transaction.isOpen {
		c.fail(errNested)
		return
	}
	c.transaction.isOpen = true
	c.ok()
}

func (c *conn) discard([][]byte) {
	if !c.transaction.isOpen {
		c.fail("ERR DISCARD without MULTI")
		return
	}
	c.transaction = transaction{}
	c.ok()
}

// enqueue answers a command inside MULTI. What can be known to be wrong with it
// is said now, and keeps the others from being executed.
func (c *conn) enqueue(args [][]byte) {
	q, complaint := c.queueable(args)
	switch {
	case complaint != "":
		c.reject(args[0], complaint)
		return
	case q.own != nil && q.own.atOnce:
		c.call(q.own, args)
		return
	case q.keyed != nil:
		c.last.Store(&q.keyed.Name)
	default:
		c.last.Store(&q.own.name)
	}
	if t := &c.transaction; !t.isBroken {
		size := t.size + 32
		for _, arg := range args {
			size += len(arg) + 4
		}
		if limit := c.server.maxTransaction(); size > limit {
			c.server.Counters.TooBig.Add(1)
			c.reject(args[0], fmt.Sprintf("TOOBIG the transaction is over %d bytes", limit))
			return
		}
		if len(t.queue) >= maxQueued {
			c.reject(args[0], fmt.Sprintf("ERR the transaction has over %d commands", maxQueued))
			return
		}
		q.args = copied(args)
		t.queue, t.size = append(t.queue, q), size
	}
	c.out = append(c.out, "+QUEUED\r\n"...)
}

// queueable looks a command up that comes inside MULTI, or says why it cannot
// be queued.
func (c *conn) queueable(args [][]byte) (q queued, complaint string) {
	if keyed, found := keyspace.Lookup(args[0]); found {
		if !keyed.Accepts(len(args)) {
			return q, wrongArity(keyed.Name)
		}
		return queued{keyed: keyed}, ""
	}
	own, complaint := c.server.own(args)
	switch {
	case complaint != "":
		return q, complaint
	case own == nil:
		return q, unknownCommand(args)
	case own.name == "idem" && len(args) == 3 && isWord(args[2], "exec"):
		own = &command{name: own.name, arity: own.arity, atOnce: true, run: own.run}
	case !own.accepts(len(args)) && !own.atOnce:
		return q, wrongArity(own.name)
	case own.notQueued():
		return q, errNotInside
	}
	return queued{own: own}, ""
}

// notQueued reports whether the command is refused inside MULTI: what changes
// the protocol of the replies or acts on other connections, and the features,
// whose state is not that of the keyspace.
func (c *command) notQueued() bool { return c.noMulti || strings.Contains(c.name, ".") }

// copied returns args in memory of their own, which is one piece.
func copied(args [][]byte) [][]byte {
	size := 0
	for _, arg := range args {
		size += len(arg)
	}
	data, all := make([]byte, 0, size), make([][]byte, len(args))
	for i, arg := range args {
		from := len(data)
		data = append(data, arg...)
		all[i] = data[from:len(data):len(data)]
	}
	return all
}

// reject answers a command that has a fault. A transaction that it would belong
// to is aborted; if it is EXEC itself, at once.
func (c *conn) reject(name []byte, complaint string) {
	if isWord(name, "exec") {
		c.transaction = transaction{}
		complaint = errAbortBecause + strings.TrimPrefix(complaint, "ERR ")
	}
	c.spoil()
	c.fail(complaint)
}

// spoil makes EXEC abort the transaction, if there is one. Its commands are
// not needed any more.
func (c *conn) spoil() {
	if t := &c.transaction; t.isOpen {
		t.isBroken, t.queue = true, nil
	}
}

// exec answers EXEC, and IDEM id EXEC.
func (c *conn) exec([][]byte) {
	if !c.transaction.isOpen {
		c.fail("ERR EXEC without MULTI")
		return
	}
	t := c.transaction
	c.transaction = transaction{}
	switch {
	case t.isBroken:
		c.fail(errAbort)
		return
	case len(t.watches) > 0 && t.resets != c.server.resets.Load():
		c.out = resp.AppendNullArray(c.out, c.proto)
		return
	}
	db, face, subscriptions := c.db, c.face.Load(), c.subscriptions.clone()
	item, complaint := c.transact(&t)
	if complaint != "" {
		c.fail(complaint)
	} else {
		reply := c.commit(item, c.isLocal && item.Query && len(t.watches) == 0)
		c.reply(item, reply, c.isHushed)
		if isArray(reply.Data) {
			return
		}
	}
	c.db = db // nothing was executed, SELECT and SUBSCRIBE neither
	c.face.Store(face)
	c.resubscribe(subscriptions)
}

// isArray reports whether a reply of RESP is an array, and there.
func isArray(reply []byte) bool {
	return len(reply) > 1 && reply[0] == '*' && reply[1] != '-'
}

// transact makes one command of the log of a transaction. What is answered here
// is executed meanwhile, so that SELECT holds for what follows.
func (c *conn) transact(t *transaction) (item machine.Item, complaint string) {
	c.reading = reading{}
	steps := make([]keyspace.Step, len(t.queue))
	item = machine.Item{Query: true, Frees: true, Idem: c.idem}
	size, limit := t.size, c.server.maxTransaction()
	for i, q := range t.queue {
		if q.own != nil {
			steps[i].Reply = c.captured(q)
			if size += len(steps[i].Reply); size > limit {
				c.server.Counters.TooBig.Add(1)
				return item, fmt.Sprintf("TOOBIG the transaction is over %d bytes, with the replies that are known; it was not applied", limit)
			}
			continue
		}
		steps[i] = keyspace.Step{DB: c.db, Args: q.args}
		c.willRead(q.keyed, q.args, c.idem)
		if q.keyed.Writes {
			item.Query = false
			item.Frees = item.Frees && q.keyed.Frees(q.args)
		}
	}
	if item.Query { // which may be repeated without an id, and needs no room
		item.Frees, item.Idem = false, ""
	}
	room := make([]byte, 0, size+t.watchSize+32)
	item.Data = keyspace.AppendTransaction(room, c.proto, t.watches, steps)
	return item, ""
}

// captured returns the reply of a command that is answered here.
func (c *conn) captured(q queued) []byte {
	out := c.out
	c.out, c.isExecuting = nil, true
	q.own.run(c, q.args)
	reply := c.out
	c.out, c.isExecuting = out, false
	return reply
}

// commit has the log execute a transaction.
func (c *conn) commit(item machine.Item, locally bool) (reply machine.Reply) {
	n := &c.server.Counters
	n.Batches.Add(1)
	if item.Query {
		n.Reads.Add(1)
	} else {
		n.Writes.Add(1)
	}
	reading := c.beginReading()
	var at machine.Stamp
	if locally {
		reply.Data, at, reply.Err = c.server.config.Log.Query(c.context(), c.consistency(), item.Data)
	} else {
		var replies []machine.Reply
		if replies, at, reply.Err = c.server.config.Log.Do(c.context(), item); reply.Err == nil {
			reply = replies[0]
			c.note(at)
			c.endReading(&reading, at)
			return reply
		}
	}
	if reply.Err == nil {
		c.note(at)
		c.endReading(&reading, at)
	}
	return reply
}
