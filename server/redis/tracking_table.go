package redis

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/keyspace"
)

const (
	// A node remembers so many keys, one for each connection that has read it,
	// and so many bytes of their names. Past that it forgets some, and tells
	// those who have read them that they have changed.
	maxRemembered      = 1_000_000
	maxRememberedBytes = 128 << 20

	forgetAtOnce = 256 // keys of a connection that has ended, without letting others in between
)

// A tracking is what a node knows of the copies that its clients keep of what
// they have read (CLIENT TRACKING), so that no copy outlives a change of its
// key, wherever that is made.
//
// Changes come as events, which every node has in the order of the log as it
// applies it; what is read comes from the leader. So there are three ways to
// miss a change, and what is done about each:
//
//  1. It comes between the read and the remembering of the key. Therefore keys
//     are remembered before they are read, and an invalidation that comes
//     meanwhile is written behind the reply (see outbox).
//
//  2. It comes before the key is remembered, and still the reply does not show
//     it: this node has applied an entry that the leader, who reads, has not
//     yet. Therefore a reply counts only if its stamp is not behind the last
//     event that was heard before its keys were remembered (view); what does
//     not count is invalidated behind the reply.
//
//  3. It does not come, because the node is cut off. Therefore the leader must
//     vouch for the copies again and again (vouch.go): past that all of them
//     are invalidated, and so is all that is read from then on.
//
// Where events may have been missed otherwise (machine.Event.Reset) everything
// is invalidated, and nothing counts until the leader has vouched anew.
//
// A connection in broadcasting mode is told of all keys with its prefixes. Its
// client may read them on other connections of the node: what does not count of
// the replies on any is invalidated there too.
type tracking struct {
	server *Server
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	isOn   atomic.Bool   // somebody tracks
	spread atomic.Int64  // how many do so in broadcasting mode
	until  atomic.Int64  // how long the leader has vouched for: nanoseconds since Server.since
	lapse  *time.Timer   // invalidates everything then; does not run while nobody tracks
	wake   chan struct{} // holds a token when the leader is to be asked at once

	mu       sync.Mutex            // guards all below, and tracker.keys
	trackers map[*tracker]struct{} // all
	readers  map[string][]*tracker // by what nameOf returns; each is there once
	prefixes map[string][]*tracker // of broadcasting mode
	lengths  map[int]int           // how many of prefixes are so long
	bytes    int                   // of the names in readers
	items    int                   // of all lists in readers
	most     struct{ items, bytes int }

	cluster string // whose log the indexes are of
	index   uint64 // no event that was heard is of a later entry
	isSure  bool   // both are known
	resets  uint64 // how often they were not known any more
	isKept  bool   // keep runs
}

func newTracking(s *Server) *tracking {
	t := &tracking{
		server: s,
		wake:   make(chan struct{}, 1),

		trackers: map[*tracker]struct{}{},
		readers:  map[string][]*tracker{},
		prefixes: map[string][]*tracker{},
		lengths:  map[int]int{},
	}
	t.ctx, t.cancel = context.WithCancel(s.ctx)
	t.most.items, t.most.bytes = maxRemembered, maxRememberedBytes
	t.lapse = time.AfterFunc(time.Hour, t.giveUp)
	t.lapse.Stop()
	return t
}

// A tracker is a connection whose client keeps copies.
type tracker struct {
	conn     *conn
	options  atomic.Pointer[trackOptions]
	isBroken atomic.Bool         // the connection that it redirects to is gone
	keys     map[string]struct{} // that have it among their readers
}

// trackOptions are those of CLIENT TRACKING ON. They are replaced, never
// changed.
type trackOptions struct {
	redirect                               int64 // the connection that is told instead; 0 is none
	isBroadcast, isOptIn, isOptOut, noLoop bool
	prefixes                               []string // sorted
}

// nameOf is what a key of a database is called in an event.
func nameOf(db int, key []byte) string {
	name := make([]byte, 0, 1+len(key))
	return string(append(append(name, byte(db)), key...))
}

// A view is how far the node was when a read began.
type view struct {
	cluster string
	index   uint64
	isSure  bool
}

// remember notes that a connection is about to read what names are, if it is a
// tracker that is to be told of them.
func (t *tracking) remember(tr *tracker, names []string) view {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, name := range names {
		t.addLocked(tr, name)
	}
	t.boundLocked()
	return view{t.cluster, t.index, t.isSure}
}

func (t *tracking) addLocked(tr *tracker, name string) {
	if _, isKnown := tr.keys[name]; isKnown {
		return
	}
	readers, isKnown := t.readers[name]
	if !isKnown {
		t.bytes += len(name)
	}
	t.readers[name] = append(readers, tr)
	tr.keys[name] = struct{}{}
	t.items++
}

// boundLocked forgets keys at random while there are too many. To their readers
// it is as if they had changed.
func (t *tracking) boundLocked() {
	for t.items > t.most.items || t.bytes > t.most.bytes {
		for name := range t.readers {
			t.invalidateLocked(name)
			break
		}
	}
}

// holds reports whether a reply that was made at a stamp shows every change
// that has been told of before the view, and will be told of the later ones.
func (t *tracking) holds(v view, at machine.Stamp) bool {
	return v.isSure && at.Cluster == v.cluster && at.Index >= v.index && t.isVouched()
}

// spoil tells of keys that were read and may be out of date already: the
// connection that read them, if it is a tracker, and those in broadcasting mode.
func (t *tracking) spoil(tr *tracker, own, spread []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(own) > 0 {
		message := &invalidation{}
		for _, name := range own {
			t.dropLocked(tr, name)
			message.keys = append(message.keys, name[1:])
		}
		t.tellLocked(tr, message)
	}
	for _, name := range spread {
		t.broadcastLocked(&invalidation{keys: []string{name[1:]}})
	}
}

// hear takes an event of the log. It does not wait.
func (t *tracking) hear(e machine.Event) {
	if !t.isOn.Load() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case e.Reset:
		t.isSure, t.index = false, 0
		t.resets++
		t.until.Store(0)
		t.dropAllLocked()
		select {
		case t.wake <- struct{}{}:
		default:
		}
	case e.Kind == keyspace.EventFlushed:
		t.index = max(t.index, e.Index)
		t.dropAllLocked()
	case e.Kind == keyspace.EventChanged:
		t.index = max(t.index, e.Index)
		t.changedLocked(e.Key)
	}
}

// changedLocked tells all who are concerned of a change.
func (t *tracking) changedLocked(name []byte) {
	if _, isRead := t.readers[string(name)]; isRead {
		t.invalidateLocked(string(name))
	}
	if len(t.prefixes) > 0 {
		t.broadcastLocked(&invalidation{keys: []string{string(name[1:])}})
	}
}

// invalidateLocked tells the readers of a key, and forgets it.
func (t *tracking) invalidateLocked(name string) {
	message := &invalidation{keys: []string{name[1:]}}
	readers := t.readers[name]
	t.items -= len(readers)
	t.bytes -= len(name)
	delete(t.readers, name)
	for _, tr := range readers {
		delete(tr.keys, name)
		t.tellLocked(tr, message)
	}
}

func (t *tracking) broadcastLocked(message *invalidation) {
	key := message.keys[0]
	for length := range t.lengths {
		if length > len(key) {
			continue
		}
		for _, tr := range t.prefixes[key[:length]] {
			t.tellLocked(tr, message)
		}
	}
}

// dropAllLocked tells everybody that everything may have changed. Where the
// leader is not reached, replies may be long in coming: this does not wait for
// them, and is told again behind them.
func (t *tracking) dropAllLocked() {
	message := &invalidation{isUrgent: true}
	for tr := range t.trackers {
		tr.keys = map[string]struct{}{}
		t.tellLocked(tr, message)
	}
	t.readers = map[string][]*tracker{} // to clear the old ones would take long
	t.items, t.bytes = 0, 0
}

// dropLocked forgets that a connection has read a key.
func (t *tracking) dropLocked(tr *tracker, name string) {
	if _, isKnown := tr.keys[name]; !isKnown {
		return
	}
	delete(tr.keys, name)
	t.items--
	readers := slices.DeleteFunc(t.readers[name], func(other *tracker) bool { return other == tr })
	if t.readers[name] = readers; len(readers) == 0 {
		delete(t.readers, name)
		t.bytes -= len(name)
	}
}

// join adds a tracker, or gives one other options, and has the leader vouch for
// what it is going to read.
func (t *tracking) join(ctx context.Context, tr *tracker, o *trackOptions) {
	t.mu.Lock()
	was := tr.options.Swap(o)
	tr.isBroken.Store(false)
	t.trackers[tr] = struct{}{}
	t.isOn.Store(true)
	if was == nil && o.isBroadcast {
		t.spread.Add(1)
	}
	for _, prefix := range o.prefixes {
		if was != nil && slices.Contains(was.prefixes, prefix) {
			continue
		}
		if len(t.prefixes[prefix]) == 0 {
			t.lengths[len(prefix)]++
		}
		t.prefixes[prefix] = append(t.prefixes[prefix], tr)
	}
	if !t.isKept {
		t.isKept = true
		t.server.wg.Go(t.keep)
	}
	t.mu.Unlock()
	if !t.isVouched() {
		t.ask(ctx)
	}
}

// leave removes a tracker, which nobody reads for any more.
func (t *tracking) leave(tr *tracker) {
	t.mu.Lock()
	delete(t.trackers, tr)
	if o := tr.options.Load(); o.isBroadcast {
		t.spread.Add(-1)
		for _, prefix := range o.prefixes {
			all := slices.DeleteFunc(t.prefixes[prefix], func(other *tracker) bool { return other == tr })
			if t.prefixes[prefix] = all; len(all) == 0 {
				delete(t.prefixes, prefix)
				if t.lengths[len(prefix)]--; t.lengths[len(prefix)] == 0 {
					delete(t.lengths, len(prefix))
				}
			}
		}
	}
	if len(t.trackers) == 0 {
		// From now on no event is looked at: what is known of the log ends.
		t.isOn.Store(false)
		t.isSure, t.index = false, 0
		t.resets++
		t.until.Store(0)
		t.lapse.Stop()
	}
	t.mu.Unlock()
	for isMore := true; isMore; {
		t.mu.Lock()
		n := 0
		for name := range tr.keys {
			if n++; n > forgetAtOnce {
				break
			}
			t.dropLocked(tr, name)
		}
		isMore = len(tr.keys) > 0
		t.mu.Unlock()
	}
}

// counts returns how many connections track, and what is remembered of them.
func (t *tracking) counts() (trackers, keys, items, prefixes int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.trackers), len(t.readers), t.items, len(t.prefixes)
}
