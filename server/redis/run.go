package redis

import (
	"context"
	"strings"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/keyspace"
	"github.com/huddlecache/huddle/server/resp"
)

const (
	// A log answers within three seconds by itself, and knows better than a
	// deadline what became of a command. The context is there for one that
	// does not. It is used again for patienceReuse.
	patience      = 3500 * time.Millisecond
	patienceReuse = 250 * time.Millisecond

	firstBatch   = 128     // commands of a batch, until it is seen how long the replies are
	smallReplies = 1 << 20 // bytes of a batch's replies that let it grow
	largeReplies = 8 << 20 // and that make it smaller

	maxIdem = 256 // bytes of an idempotency key
)

// A run is commands for the log that follow each other. Its slices are made
// anew for every call of the log, which may keep them after it has answered.
type run struct {
	items  []machine.Item
	data   []byte // what the items point into
	size   int    // of their arguments
	writes int
	isMute bool // the first reply is dropped, after CLIENT REPLY SKIP

	publications []publication
}

// seen is a place in a cluster's log that a client has seen the effect of.
type seen struct {
	cluster string
	index   uint64
}

// keyed returns the keyspace command that args are, and its own arguments:
// those behind IDEM and its id, if that is what they begin with. It is not
// keyed if there is no such command or it cannot be executed.
func (c *conn) keyed(args [][]byte) (cmd *keyspace.Command, rest [][]byte, id string, isKeyed bool) {
	if cmd, found := keyspace.Lookup(args[0]); found {
		return cmd, args, "", cmd.Accepts(len(args)) && !cmd.Blocks
	}
	if !isWord(args[0], "idem") || len(args) < 3 || len(args[1]) == 0 || len(args[1]) > maxIdem {
		return nil, nil, "", false
	}
	cmd, found := keyspace.Lookup(args[2])
	if !found || !cmd.Writes || cmd.Blocks || !cmd.Accepts(len(args)-2) {
		return nil, nil, "", false
	}
	return cmd, args[2:], string(args[1]), true
}

// idemOwn answers IDEM id COMMAND … where COMMAND is one of a feature, or says
// why neither that nor keyed takes it.
func (c *conn) idemOwn(args [][]byte) {
	cmd, found := keyspace.Lookup(args[2])
	own, isOwn := find(c.server.commands, args[2])
	switch {
	case len(args[1]) == 0 || len(args[1]) > maxIdem:
		c.fail("ERR the id of IDEM must have 1 to 256 bytes")
	case isWord(args[2], "idem"):
		c.fail("ERR IDEM cannot be nested")
	case found && !cmd.Writes:
		c.fail("ERR IDEM takes commands that write, and '" + cmd.Name + "' does not: it may be repeated without")
	case found && cmd.Blocks && cmd.Accepts(len(args)-2):
		c.fail("ERR IDEM does not take '" + cmd.Name + "', which may wait: use LMOVE, or a transaction")
	case found:
		c.fail(wrongArity(cmd.Name))
	case isOwn && own.idem:
		c.idem = string(args[1])
		c.call(own, args[2:])
		c.idem = ""
	case isOwn && strings.Contains(own.name, "."):
		c.fail("ERR IDEM does not take '" + own.name + "'")
	case isOwn:
		c.fail("ERR IDEM takes commands that write keys, and '" + own.name + "' is about the connection or the server")
	default:
		c.fail(unknownCommand(args[2:]))
	}
}

// context is for a call of the log that a feature makes.
func (c *conn) context() context.Context { return c.guard.context(c.server.ctx) }

// failWith answers with what an error of the log means for a command of a
// feature.
func (c *conn) failWith(err error, isWrite bool) {
	c.server.Counters.failed(err).Add(1)
	c.fail(explain(machine.Item{Query: !isWrite}, err))
}

// add puts a command at the end of the run.
func (c *conn) add(cmd *keyspace.Command, args [][]byte, id string) {
	size := 32
	for _, arg := range args {
		size += len(arg) + 4
	}
	r := &c.run
	if len(r.items) == 0 {
		ahead := c.reader.Buffered()
		r.data = make([]byte, 0, size+ahead)
		r.items = make([]machine.Item, 0, 1+min(ahead/32, 32))
		r.isMute, c.skip = c.skip, false
	}
	if cap(r.data)-len(r.data) < size {
		// The items before keep the old room: nothing is copied.
		r.data = make([]byte, 0, size+c.reader.Buffered())
	}
	c.willRead(cmd, args, id)
	from := len(r.data)
	r.data = keyspace.AppendCommand(r.data, c.db, c.proto, args)
	item := machine.Item{Data: r.data[from:len(r.data):len(r.data)], Query: !cmd.Writes, Idem: id}
	if cmd.Writes {
		item.Frees = cmd.Frees(args)
		r.writes++
	}
	if cmd.Name == "publish" {
		r.publications = append(r.publications, publication{len(r.items), string(args[1])})
	}
	r.items = append(r.items, item)
	r.size += size
}

// execute has the log execute the run, and answers it.
func (c *conn) execute() {
	r := c.run
	if len(r.items) == 0 {
		return
	}
	c.run = run{}
	c.server.Counters.Writes.Add(uint64(r.writes))
	c.server.Counters.Reads.Add(uint64(len(r.items) - r.writes))
	var size int
	if c.isLocal && r.writes == 0 {
		size = c.executeLocally(r)
	} else {
		size = c.executeTogether(r)
	}
	c.fit(len(r.items), size)
}

// executeTogether has all of the run executed in order, with nothing between.
func (c *conn) executeTogether(r run) (size int) {
	c.server.Counters.Batches.Add(1)
	reading := c.beginReading()
	replies, at, err := c.server.config.Log.Do(c.guard.context(c.server.ctx), r.items...)
	if err == nil {
		c.note(at)
		c.tally(r.publications, replies)
	}
	for i, item := range r.items {
		reply := machine.Reply{Err: err}
		if err == nil {
			reply = replies[i]
		}
		c.reply(item, reply, r.isMute && i == 0)
		size += len(reply.Data)
	}
	if err == nil {
		reading.isOld = reading.isOld || size > largeReplies // they may be of several states
		c.endReading(&reading, at)
	}
	return size
}

// executeLocally asks this node's replica, once it knows what the client has
// seen.
func (c *conn) executeLocally(r run) (size int) {
	reading := c.beginReading()
	for i, item := range r.items {
		c.server.Counters.Batches.Add(1)
		data, at, err := c.server.config.Log.Query(c.guard.context(c.server.ctx), c.consistency(), item.Data)
		if err == nil {
			c.note(at)
			c.endReading(&reading, at)
		}
		c.reply(item, machine.Reply{Data: data, Err: err}, r.isMute && i == 0)
		size += len(data)
	}
	return size
}

// consistency is that of a local read: never older than what the client has
// written or read.
func (c *conn) consistency() machine.Consistency {
	if c.seen.index == 0 {
		return machine.Local
	}
	return machine.AtLeast(c.seen.cluster, c.seen.index)
}

// note remembers how far the client has seen.
func (c *conn) note(at machine.Stamp) {
	if at.Cluster != c.seen.cluster || at.Index > c.seen.index {
		c.seen = seen{at.Cluster, at.Index}
	}
}

// reply answers one item.
func (c *conn) reply(item machine.Item, reply machine.Reply, isMute bool) {
	err := reply.Err
	if err == nil && len(reply.Data) == 0 {
		err = errNoReply
	}
	if err != nil {
		c.server.Counters.failed(err).Add(1)
		reply.Data = resp.AppendError(nil, explain(item, err))
	}
	if isMute || c.silent || c.leaving {
		return
	}
	if len(reply.Data) >= directReply {
		c.flush()
		c.write(reply.Data)
		return
	}
	c.out = append(c.out, reply.Data...)
}

// fit makes the next batch as large as its replies may be expected to allow:
// the log holds all of them at a time.
func (c *conn) fit(items, size int) {
	switch {
	case size > largeReplies:
		c.batch = max(1, items*(largeReplies>>10)/(size>>10))
	case size < smallReplies && items >= c.batch/2:
		c.batch = min(2*c.batch, maxBatch)
	}
}

// A guard bounds the wait for the log. It keeps a context, against the rule,
// because a new one for each command would cost more than all else here.
type guard struct {
	ctx    context.Context
	cancel context.CancelFunc
	until  time.Time // when the next one is due
}

// context returns one that has most of its time left.
func (g *guard) context(parent context.Context) context.Context {
	if now := time.Now(); g.ctx == nil || now.After(g.until) {
		g.end()
		g.ctx, g.cancel = context.WithTimeout(parent, patience)
		g.until = now.Add(patienceReuse)
	}
	return g.ctx
}

func (g *guard) end() {
	if g.cancel != nil {
		g.cancel()
	}
}
