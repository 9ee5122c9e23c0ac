package redis

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/keyspace"
	"github.com/huddlecache/huddle/server/resp"
)

// trackingCommands are the subcommands of CLIENT about copies. Inside MULTI
// they are refused: what they change could not be taken back where EXEC fails.
func trackingCommands() []command {
	return []command{
		{name: "client|caching", arity: 3, noMulti: true, run: (*conn).clientCaching},
		{name: "client|getredir", arity: 2, run: func(c *conn, _ [][]byte) { c.out = resp.AppendInt(c.out, c.redirection()) }},
		{name: "client|tracking", arity: -3, noMulti: true, run: (*conn).clientTracking},
		{name: "client|trackinginfo", arity: 2, run: (*conn).clientTrackingInfo},
	}
}

// clientTracking answers CLIENT TRACKING ON|OFF [REDIRECT id] [PREFIX p …]
// [BCAST] [OPTIN] [OPTOUT] [NOLOOP].
func (c *conn) clientTracking(args [][]byte) {
	o, complaint := c.trackOptions(args[3:])
	isOn := isWord(args[2], "on")
	switch {
	case complaint != "":
	case !isOn && !isWord(args[2], "off"):
		complaint = errSyntax
	case isOn:
		complaint = c.mayTrack(o)
	}
	if complaint != "" {
		c.fail(complaint)
		return
	}
	if isOn {
		c.track(o)
	} else {
		c.untrack()
	}
	c.ok()
}

// trackOptions reads the options of CLIENT TRACKING.
func (c *conn) trackOptions(args [][]byte) (o *trackOptions, complaint string) {
	o = &trackOptions{}
	for i := 0; i < len(args); i++ {
		isLast := i == len(args)-1
		switch {
		case isWord(args[i], "redirect") && !isLast:
			i++
			if o.redirect != 0 {
				return nil, "ERR A client can only redirect to a single other client"
			}
			id, err := strconv.ParseInt(string(args[i]), 10, 64)
			if err != nil {
				return nil, errNotInteger
			}
			if c.server.byID(id) == nil {
				return nil, "ERR The client ID you want redirect to does not exist"
			}
			o.redirect = id
		case isWord(args[i], "bcast"):
			o.isBroadcast = true
		case isWord(args[i], "optin"):
			o.isOptIn = true
		case isWord(args[i], "optout"):
			o.isOptOut = true
		case isWord(args[i], "noloop"):
			o.noLoop = true
		case isWord(args[i], "prefix") && !isLast:
			i++
			o.prefixes = append(o.prefixes, string(args[i]))
		default:
			return nil, errSyntax
		}
	}
	return o, ""
}

// mayTrack says what is wrong with options, in view of those that the
// connection has already.
func (c *conn) mayTrack(o *trackOptions) (complaint string) {
	was := &trackOptions{isBroadcast: o.isBroadcast}
	if c.tracker != nil {
		was = c.tracker.options.Load()
	}
	switch {
	case !o.isBroadcast && len(o.prefixes) > 0:
		return "ERR PREFIX option requires BCAST mode to be enabled"
	case o.isBroadcast != was.isBroadcast:
		return "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode."
	case o.isBroadcast && (o.isOptIn || o.isOptOut):
		return "ERR OPTIN and OPTOUT are not compatible with BCAST"
	case o.isOptIn && o.isOptOut:
		return "ERR You can't specify both OPTIN mode and OPTOUT mode"
	case o.isOptIn && was.isOptOut || o.isOptOut && was.isOptIn:
		return "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode."
	}
	return c.mayBroadcast(o.prefixes, was.prefixes)
}

// mayBroadcast says what is wrong with prefixes in view of those that there are
// already.
func (c *conn) mayBroadcast(prefixes, already []string) (complaint string) {
	size := 0
	for i, prefix := range prefixes {
		if other, found := overlapping(prefix, already); found {
			return fmt.Sprintf("ERR Prefix '%s' overlaps with an existing prefix '%s'. Prefixes for a single client must not overlap.", quoted(prefix), quoted(other))
		}
		if other, found := overlapping(prefix, prefixes[i+1:]); found {
			return fmt.Sprintf("ERR Prefix '%s' overlaps with another provided prefix '%s'. Prefixes for a single client must not overlap.", quoted(prefix), quoted(other))
		}
	}
	for _, prefix := range slices.Concat(prefixes, already) {
		size += len(prefix) + subscriptionExtra
	}
	if limit := c.server.maxTransaction(); size > limit {
		c.server.Counters.TooBig.Add(1)
		return fmt.Sprintf("TOOBIG the prefixes are over %d bytes", limit)
	}
	return ""
}

func quoted(prefix string) []byte { return clip([]byte(prefix), quotedBytes) }

// overlapping returns the first of others that the prefix begins with, or that
// begins with it.
func overlapping(prefix string, others []string) (other string, found bool) {
	i := slices.IndexFunc(others, func(other string) bool {
		return strings.HasPrefix(prefix, other) || strings.HasPrefix(other, prefix)
	})
	if i < 0 {
		return "", false
	}
	return others[i], true
}

// track has the client told of changes from now on. Prefixes add up.
func (c *conn) track(o *trackOptions) {
	if o.isBroadcast && len(o.prefixes) == 0 {
		o.prefixes = []string{""}
	}
	tr := c.tracker
	if tr == nil {
		tr = &tracker{conn: c, keys: map[string]struct{}{}}
	} else {
		o.prefixes = append(o.prefixes, tr.options.Load().prefixes...)
	}
	slices.Sort(o.prefixes)
	o.prefixes = slices.Compact(o.prefixes)
	c.listen()
	c.server.tracking.join(c.context(), tr, o)
	c.tracker = tr
	c.show(func(f *face) { f.tracker = tr })
}

// untrack forgets what the client has read.
func (c *conn) untrack() {
	if c.tracker == nil {
		return
	}
	c.server.tracking.leave(c.tracker)
	c.tracker, c.isCaching = nil, false
	c.show(func(f *face) { f.tracker = nil })
}

// clientCaching answers CLIENT CACHING YES|NO, which is about the next command,
// or the transaction that it begins.
func (c *conn) clientCaching(args [][]byte) {
	o := &trackOptions{}
	if c.tracker != nil {
		o = c.tracker.options.Load()
	}
	switch isYes := isWord(args[2], "yes"); {
	case c.tracker == nil:
		c.fail("ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled")
	case isYes && !o.isOptIn:
		c.fail("ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.")
	case isYes:
		c.isCaching = true
		c.ok()
	case !isWord(args[2], "no"):
		c.fail(errSyntax)
	case !o.isOptOut:
		c.fail("ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.")
	default:
		c.isCaching = true
		c.ok()
	}
}

// endCaching ends what CLIENT CACHING began, with any command but one of
// CLIENT, outside of a transaction.
func (c *conn) endCaching(args [][]byte) {
	if c.isCaching && !c.transaction.isOpen && !isWord(args[0], "client") {
		c.isCaching = false
	}
}

// redirection is what CLIENT GETREDIR answers.
func (c *conn) redirection() int64 { return c.face.Load().redirection() }

func (f *face) redirection() int64 {
	if f.tracker == nil {
		return -1
	}
	return f.tracker.options.Load().redirect
}

// trackFlags adds those of CLIENT LIST to a connection's flags.
func (f *face) trackFlags(flags string) string {
	if f.tracker == nil {
		return flags
	}
	flags = strings.TrimPrefix(flags, "N") + "t"
	if f.tracker.isBroken.Load() {
		flags += "R"
	}
	if f.tracker.options.Load().isBroadcast {
		flags += "B"
	}
	return flags
}

func (c *conn) clientTrackingInfo([][]byte) {
	flags, prefixes := []string{"off"}, []string(nil)
	if c.tracker != nil {
		o := c.tracker.options.Load()
		flags, prefixes = flags[:0], o.prefixes
		for _, f := range []struct {
			isSet bool
			name  string
		}{
			{true, "on"},
			{o.isBroadcast, "bcast"},
			{o.isOptIn, "optin"},
			{o.isOptIn && c.isCaching, "caching-yes"},
			{o.isOptOut, "optout"},
			{o.isOptOut && c.isCaching, "caching-no"},
			{o.noLoop, "noloop"},
			{c.tracker.isBroken.Load(), "broken_redirect"},
		} {
			if f.isSet {
				flags = append(flags, f.name)
			}
		}
	}
	c.out = resp.AppendMap(c.out, c.proto, 3)
	c.bulk("flags")
	c.out = resp.AppendSet(c.out, c.proto, len(flags))
	for _, flag := range flags {
		c.bulk(flag)
	}
	c.bulk("redirect")
	c.out = resp.AppendInt(c.out, c.redirection())
	c.bulk("prefixes")
	c.out = resp.AppendArray(c.out, len(prefixes))
	for _, prefix := range prefixes {
		c.bulk(prefix)
	}
}

// A reading is what the commands that are about to be executed read, as far as
// copies of it may be kept.
type reading struct {
	own    []string // that the connection's own client may keep
	spread []string // that clients in broadcasting mode may keep
	isOld  bool     // the replies may be those to an earlier command
	view   view
}

// willRead notes what a command reads. Redis does so for scripts as they read;
// here it is the keys that they are given.
func (c *conn) willRead(cmd *keyspace.Command, args [][]byte, id string) {
	isSpread := c.server.tracking.spread.Load() > 0
	if c.tracker == nil && !isSpread || cmd.Writes && cmd.Group != "scripting" {
		return
	}
	r := &c.reading
	r.isOld = r.isOld || id != ""
	isOwn := false
	if c.tracker != nil {
		o := c.tracker.options.Load()
		isOwn = !o.isBroadcast && (!o.isOptIn || c.isCaching) && (!o.isOptOut || !c.isCaching)
	}
	for _, i := range cmd.Keys(args) {
		name := nameOf(c.db, args[i])
		if isOwn {
			r.own = append(r.own, name)
		}
		if isSpread {
			r.spread = append(r.spread, name)
		}
	}
}

// beginReading is called before what was noted is read, and endReading once
// there are the replies. For replies that were made one after the other
// endReading is called for each.
func (c *conn) beginReading() (r reading) {
	r, c.reading = c.reading, reading{}
	if len(r.own)+len(r.spread) > 0 {
		r.view = c.server.tracking.remember(c.tracker, r.own)
	}
	return r
}

// endReading invalidates what was read where a copy of it cannot be kept. The
// client gets that behind the replies.
func (c *conn) endReading(r *reading, at machine.Stamp) {
	if len(r.own)+len(r.spread) == 0 || !r.isOld && c.server.tracking.holds(r.view, at) {
		return
	}
	c.server.tracking.spoil(c.tracker, r.own, r.spread)
	r.own, r.spread = nil, nil
}

// An invalidation is a message that keys have changed, all where keys is nil.
// All who get it share its forms.
type invalidation struct {
	keys     []string
	isUrgent bool      // it is told before replies that are under way, and behind them
	forms    [2][]byte // by the version of RESP
}

// in returns the message in a version of RESP; in version 2 it is one of a
// channel.
func (m *invalidation) in(proto int) []byte {
	form := &m.forms[proto-resp.Proto2]
	if *form != nil {
		return *form
	}
	var data []byte
	if proto == resp.Proto2 {
		data = resp.AppendPush(data, proto, 3)
		data = resp.AppendBulk(data, "message")
		data = resp.AppendBulk(data, "__redis__:invalidate")
	} else {
		data = resp.AppendPush(data, proto, 2)
		data = resp.AppendBulk(data, "invalidate")
	}
	if m.keys == nil {
		data = resp.AppendNull(data, proto)
	} else {
		data = resp.AppendArray(data, len(m.keys))
	}
	for _, key := range m.keys {
		data = resp.AppendBulk(data, key)
	}
	*form = data
	return data
}

// tellLocked hands a message to a tracker, or to the connection that it
// redirects to. That one must either speak version 3, or have subscribed to
// something: else it cannot be told, as in Redis.
func (t *tracking) tellLocked(tr *tracker, message *invalidation) {
	to, redirect := tr.conn, tr.options.Load().redirect
	if redirect != 0 {
		if to = t.server.byID(redirect); to == nil {
			tr.isBroken.Store(true)
			if tr.conn.face.Load().proto == resp.Proto3 {
				lost := resp.AppendPush(nil, resp.Proto3, 2)
				lost = resp.AppendBulk(lost, "tracking-redir-broken")
				tr.conn.push(resp.AppendInt(lost, redirect))
			}
			return
		}
	}
	f := to.face.Load()
	switch {
	case f.proto != resp.Proto3 && (redirect == 0 || f.channels+f.patterns == 0):
	case message.isUrgent:
		to.pushTwice(message.in(f.proto))
	default:
		to.push(message.in(f.proto))
	}
}
