package keyspace

import (
	"encoding/binary"

	"github.com/huddlecache/huddle/cluster/machine"
)

// Kinds of events for those who have subscribed to channels.
const (
	EventMessage = 3 // a message was published; ReadMessage reads its Key
	EventNotice  = 4 // something was done to a key; ReadNotice reads its Key
)

// publishCommands are the commands of messages.
func publishCommands() []Command {
	return []Command{
		{
			// It changes no key, but goes through the log, so that all nodes
			// have all messages in one order.
			Name: "publish", Arity: 3, Writes: true,
			Flags: []string{"pubsub", "loading", "stale", "fast"}, Group: "pubsub", Since: "2.0.0",
			Summary: "Post a message to a channel",
			run:     publish, frees: always,
		},
	}
}

// publish answers with 0: who has subscribed is known to each node for itself
// and must not be part of what all of them agree on.
//
// The Key of its event:
//
//	uvarint length of the channel
//	bytes   channel
//	bytes   message
func publish(c *call) {
	channel, message := c.args[1], c.args[2]
	key := make([]byte, 0, binary.MaxVarintLen32+len(channel)+len(message))
	key = appendBytes(key, channel)
	key = append(key, message...)
	c.tx.Emit(machine.Event{Kind: EventMessage, Key: key})
	c.reply.integer(0)
}

// ReadMessage returns the channel and the message of an EventMessage, which
// point into its Key.
func ReadMessage(key []byte) (channel, message []byte, ok bool) { return cutBytes(key) }

// A notice is what was done to a key, of Redis' classes g and x.
type notice byte

const (
	noticeDel notice = iota + 1
	noticeExpire
	noticePersist
	noticeExpired
	noticeRenameFrom
	noticeRenameTo
	noticeMoveFrom
	noticeMoveTo
	noticeCopyTo
)

// noticeNames are the names of notices in Redis.
var noticeNames = [...]string{
	noticeDel:        "del",
	noticeExpire:     "expire",
	noticePersist:    "persist",
	noticeExpired:    "expired",
	noticeRenameFrom: "rename_from",
	noticeRenameTo:   "rename_to",
	noticeMoveFrom:   "move_from",
	noticeMoveTo:     "move_to",
	noticeCopyTo:     "copy_to",
}

// notify tells what was done to a key of the selected database.
func (c *call) notify(what notice, key []byte) { emitNotice(c.tx, c.index, what, key) }

// emitNotice makes the event of a notice, whether or not a client wants it:
// that differs from node to node. Its Key:
//
//	byte  database
//	byte  the notice
//	bytes key
func emitNotice(tx *machine.Tx, db int, what notice, key []byte) {
	k := make([]byte, 0, 2+len(key))
	k = append(k, byte(db), byte(what))
	tx.Emit(machine.Event{Kind: EventNotice, Key: append(k, key...)})
}

// ReadNotice returns what an EventNotice tells: the key, the database that it
// is in, and Redis' name for what was done to it. The key points into that of
// the event.
func ReadNotice(event []byte) (db int, what string, key []byte, ok bool) {
	if len(event) < 2 || event[1] == 0 || int(event[1]) >= len(noticeNames) {
		return 0, "", nil, false
	}
	return int(event[0]), noticeNames[event[1]], event[2:], true
}

// MatchGlob reports whether all of s matches the pattern, as in Redis' KEYS
// and PSUBSCRIBE.
func MatchGlob(pattern []byte, s string) bool { return matchGlob(pattern, s) }
