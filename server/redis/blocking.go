package redis

import (
	"crypto/rand"
	"strconv"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/keyspace"
	"github.com/huddlecache/huddle/server/resp"
)

// An endOfWait is why a client waits no more that was given nothing.
type endOfWait int

const (
	timedOut endOfWait = iota
	unblocked
	hungUp
	stopped
)

const errStopped = "TRYAGAIN this node is stopping, and nothing was taken; send the command again, to another node"

// blocks reports whether a name is that of a command that may wait.
func blocks(name []byte) bool {
	cmd, found := keyspace.Lookup(name)
	return found && cmd.Blocks
}

// block answers a command that waits where there is nothing. Whoever waited
// longest, through whichever node, gets what comes.
func (c *conn) block(cmd *keyspace.Command, args [][]byte) {
	c.last.Store(&cmd.Name)
	c.server.Counters.Writes.Add(1)
	timeout, frees := cmd.Patience(args), cmd.Frees(args)
	data := keyspace.AppendWait(nil, keyspace.WaiterID{}, c.db, c.proto, args)
	var end time.Time
	if timeout > 0 {
		end = time.Now().Add(timeout)
	}
	for {
		w := &waiter{verdict: make(chan verdict, 1), unblock: make(chan endOfWait, 1)}
		_, _ = rand.Read(w.id[:]) // it never fails
		data = append([]byte(nil), data...)
		copy(data[1:], w.id[:])
		v, why, isGone := c.waitAs(w, machine.Item{Data: data, Frees: frees}, end)
		if isGone && (end.IsZero() || time.Now().Before(end)) {
			// It has vanished before its time, and nothing was taken for it: the
			// node was removed from the cluster and taken in again, or a backup
			// was restored. It waits again, behind the others.
			continue
		}
		c.endWait(v, why)
		return
	}
}

// waitAs has the machine execute a command, or make the waiter of it, which
// then waits until there is a verdict; what was answered before has been sent.
// It is gone where there is one that the connection has not asked for and that
// says nothing.
func (c *conn) waitAs(w *waiter, item machine.Item, end time.Time) (v verdict, why endOfWait, isGone bool) {
	k := c.server.keeper
	k.enlist(w)
	c.server.Counters.Batches.Add(1)
	replies, at, err := c.server.config.Log.Do(c.context(), item)
	if err == nil {
		err = replies[0].Err
	}
	var outcomes []keyspace.Outcome
	if err == nil {
		outcomes, err = keyspace.ReadOutcomes(replies[0].Data, 1)
	}
	if err != nil {
		k.strike(w, isCertain(err))
		return verdict{err: err}, timedOut, false
	}
	c.note(at)
	if !outcomes[0].Waits {
		k.strike(w, true)
		return verdict{reply: outcomes[0].Reply, at: at}, timedOut, false
	}
	c.release() // messages do not wait for what it waits for
	return c.waitFor(w, end)
}

// waitFor waits for the verdict on a waiter that the machine has, or until the
// connection wants it no more.
func (c *conn) waitFor(w *waiter, end time.Time) (v verdict, why endOfWait, isGone bool) {
	k := c.server.keeper
	ctx, stop := c.whileConnected()
	defer stop()
	k.blocked.Add(1)
	defer k.blocked.Add(-1)
	c.blocked.Store(w)
	defer c.blocked.Store(nil)
	k.queued(w)
	var over <-chan time.Time // never, if there is no limit
	if !end.IsZero() {
		timer := time.NewTimer(time.Until(end))
		defer timer.Stop()
		over = timer.C
	}
	select {
	case v = <-w.verdict:
		return v, timedOut, v.reply == nil && v.err == nil
	case <-over:
		why = timedOut
	case why = <-w.unblock:
	case <-ctx.Done():
		why = hungUp
	}
	if c.server.isClosing.Load() && why == hungUp {
		why = stopped // Close wakes up who reads
	}
	k.leave(w)
	return <-w.verdict, why, false
}

// endWait answers a command that has waited. What was taken for it at the last
// moment is its own.
func (c *conn) endWait(v verdict, why endOfWait) {
	switch {
	case v.reply != nil:
		c.note(v.at)
		c.out = append(c.out, v.reply...)
	case why == hungUp:
		c.leaving = true // nobody is there to read an answer
	case why == stopped && (v.err == nil || isCertain(v.err)):
		c.fail(errStopped)
	case v.err != nil:
		c.failWith(v.err, true)
	case why == unblocked:
		c.fail("UNBLOCKED client unblocked via CLIENT UNBLOCK")
	default:
		c.out = resp.AppendNullArray(c.out, c.proto)
	}
}

// clientUnblock answers CLIENT UNBLOCK id [TIMEOUT | ERROR] with 1 if that
// client waits; it may still get what was offered to it just now. A client that
// waits for a lock is not meant.
func (c *conn) clientUnblock(args [][]byte) {
	why := timedOut
	switch {
	case len(args) > 4:
		c.fail("ERR unknown subcommand or wrong number of arguments for 'unblock'. Try CLIENT HELP.")
		return
	case len(args) == 4 && isWord(args[3], "error"):
		why = unblocked
	case len(args) == 4 && !isWord(args[3], "timeout"):
		c.fail("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
		return
	}
	id, err := strconv.ParseInt(string(args[2]), 10, 64)
	if err != nil {
		c.fail(errNotInteger)
		return
	}
	n := int64(0)
	for _, other := range c.server.all() {
		if w := other.blocked.Load(); other.id == id && w != nil {
			select {
			case w.unblock <- why:
				n = 1
			default: // it was unblocked already
			}
		}
	}
	c.out = resp.AppendInt(c.out, n)
}
