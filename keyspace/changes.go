package keyspace

import (
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
)

// Kinds of events for those who keep copies of what they have read.
const (
	EventChanged = 1 // a key was changed, removed, or has expired; ReadChanged reads its Key
	EventFlushed = 2 // a database was emptied or exchanged; its Key is the byte of its number
)

// changed tells of a change of a key of the selected database, whose deadline
// was one and is another now. Whoever puts an entry into a database, takes one
// out or says that it is another one than before calls this, so that no change
// of a key is missed; a key that is as it was may be told of all the same. A
// key whose time comes is told of when it is removed, which is not when it is
// gone, but soon after.
//
// The Key of the event is what names the key in the shell's index too:
//
//	byte  database
//	bytes key
func (c *call) changed(key string, was, at time.Duration) {
	name := deadlineKey(c.index, key)
	if was != at {
		c.tx.Deadline(name, was, at)
	}
	c.tx.Emit(machine.Event{Kind: EventChanged, Key: name})
}

// ReadChanged returns the database and the key of an EventChanged. The key
// points into that of the event.
func ReadChanged(event []byte) (db int, key []byte, ok bool) {
	if len(event) == 0 || int(event[0]) >= Databases {
		return 0, nil, false
	}
	return int(event[0]), event[1:], true
}

// flushed tells that all keys of a database may have changed.
func (c *call) flushed(index int) {
	c.tx.Emit(machine.Event{Kind: EventFlushed, Key: []byte{byte(index)}})
}
