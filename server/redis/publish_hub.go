package redis

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/huddlecache/huddle/keyspace"
	"github.com/huddlecache/huddle/server/resp"
)

// A scope is what a subscription names.
type scope uint8

const (
	channels scope = iota
	patterns
)

// A hub knows which connections of this node have subscribed to what, and
// hands them the messages that the log brings, in the log's order. What it
// does is in proportion to those who get a message and to the patterns.
type hub struct {
	mu       sync.RWMutex        // guards channels, patterns and order
	channels map[string]audience // by name
	patterns map[string]*pattern // by what they are
	order    []*pattern          // in the order in which they came

	// notices counts the channels and patterns that a notice of a key may be
	// for: as long as there is none, notices cost nothing.
	notices atomic.Int64
}

// An audience is the connections that have the same subscription.
type audience map[*conn]struct{}

type pattern struct {
	glob     []byte
	audience audience
}

func newHub() *hub {
	return &hub{channels: map[string]audience{}, patterns: map[string]*pattern{}}
}

// join adds a subscription that the connection has not. Messages that come
// from now on reach it.
func (h *hub) join(s scope, name string, c *conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.audienceLocked(s, name)
	if a == nil {
		a = audience{}
		if s == channels {
			h.channels[name] = a
		} else {
			p := &pattern{[]byte(name), a}
			h.patterns[name], h.order = p, append(h.order, p)
		}
		if mayBeNotice(s, name) {
			h.notices.Add(1)
		}
	}
	a[c] = struct{}{}
}

// leave removes a subscription that the connection has. No message reaches it
// any more that it is not told of already.
func (h *hub) leave(s scope, name string, c *conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.audienceLocked(s, name)
	if delete(a, c); len(a) > 0 {
		return
	}
	if s == channels {
		delete(h.channels, name)
	} else {
		p := h.patterns[name]
		delete(h.patterns, name)
		h.order = slices.DeleteFunc(h.order, func(other *pattern) bool { return other == p })
	}
	if mayBeNotice(s, name) {
		h.notices.Add(-1)
	}
}

// audienceLocked is nil where there is none.
func (h *hub) audienceLocked(s scope, name string) audience {
	if s == channels {
		return h.channels[name]
	}
	if p, found := h.patterns[name]; found {
		return p.audience
	}
	return nil
}

// noticePrefix is what the channels of notices begin with.
const noticePrefix = "__key"

// mayBeNotice reports whether a notice of a key may be for a channel or a
// pattern. Of a pattern it is enough if what comes before its first special
// character fits.
func mayBeNotice(s scope, name string) bool {
	if s == patterns {
		if special := strings.IndexAny(name, `*?[\`); special >= 0 {
			name = name[:min(special, len(noticePrefix))]
			return strings.HasPrefix(noticePrefix, name)
		}
	}
	return strings.HasPrefix(name, noticePrefix)
}

// each calls visit with the audiences of a channel: its own, then those of the
// patterns that match it, with what they are.
func (h *hub) each(channel []byte, visit func(a audience, glob []byte)) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if a := h.channels[string(channel)]; a != nil {
		visit(a, nil)
	}
	if len(h.order) == 0 {
		return
	}
	name := string(channel)
	for _, p := range h.order {
		if keyspace.MatchGlob(p.glob, name) {
			visit(p.audience, p.glob)
		}
	}
}

// publish hands a message to all who have subscribed to its channel. One who
// has done so in several ways gets it as often.
func (h *hub) publish(channel, message []byte) {
	h.each(channel, func(a audience, glob []byte) {
		var forms [2][]byte // by the version of RESP; all who speak it share one
		for c := range a {
			proto := c.face.Load().proto
			form := &forms[proto-resp.Proto2]
			if *form == nil {
				*form = envelope(proto, glob, channel, message)
			}
			c.push(*form)
		}
	})
}

// envelope returns a message as clients get it; glob is nil where it comes by
// the channel's name.
func envelope(proto int, glob, channel, message []byte) []byte {
	const around = 64
	data := make([]byte, 0, around+len(glob)+len(channel)+len(message))
	if glob == nil {
		data = resp.AppendPush(data, proto, 3)
		data = resp.AppendBulk(data, "message")
	} else {
		data = resp.AppendPush(data, proto, 4)
		data = resp.AppendBulk(data, "pmessage")
		data = resp.AppendBulk(data, glob)
	}
	data = resp.AppendBulk(data, channel)
	return resp.AppendBulk(data, message)
}

// notice hands on what was done to a key, as Redis does: first on the key's
// channel, then on that of the deed.
func (h *hub) notice(event []byte) {
	if h.notices.Load() == 0 {
		return
	}
	db, what, key, ok := keyspace.ReadNotice(event)
	if !ok {
		return
	}
	suffix := "@" + strconv.Itoa(db) + "__:"
	h.publish(append([]byte(noticePrefix+"space"+suffix), key...), []byte(what))
	h.publish([]byte(noticePrefix+"event"+suffix+what), key)
}

// receivers returns how many messages go out for one on a channel.
func (h *hub) receivers(channel []byte) (n int) {
	h.each(channel, func(a audience, _ []byte) { n += len(a) })
	return n
}

// cut ends all connections that have subscribed to anything, for they may have
// missed messages: they are to subscribe again, and look at what they listen
// for.
func (h *hub) cut() {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, a := range h.channels {
		a.cut()
	}
	for _, p := range h.order {
		p.audience.cut()
	}
}

func (a audience) cut() {
	for c := range a {
		c.cut()
	}
}

// active returns the channels that have subscribers, in order: those that match
// glob, or all where it is nil.
func (h *hub) active(glob []byte) (names []string) {
	h.mu.RLock()
	for name := range h.channels {
		if glob == nil || keyspace.MatchGlob(glob, name) {
			names = append(names, name)
		}
	}
	h.mu.RUnlock()
	slices.Sort(names)
	return names
}

// subscribers returns how many have subscribed to a channel by its name.
func (h *hub) subscribers(channel []byte) int {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return len(h.channels[string(channel)])
}

// counts returns how many channels and patterns there are.
func (h *hub) counts() (channels, patterns int) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return len(h.channels), len(h.order)
}
