package redis

import (
	"errors"
	"strconv"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/server/resp"
	"github.com/huddlecache/huddle/sessions"
)

// sessionCommands returns the commands of sessions, which are the same from
// every database.
func sessionCommands() []command {
	return []command{
		{name: "session.set", arity: -3, writes: true, idem: true, run: (*conn).sessionSet},
		{name: "session.get", arity: -2, run: (*conn).sessionGet},
		{name: "session.merge", arity: -3, writes: true, idem: true, run: (*conn).sessionMerge},
		{name: "session.del", arity: 2, writes: true, idem: true, run: (*conn).sessionDel},
		{name: "session.list", arity: 3, run: (*conn).sessionList},
		{name: "session.delall", arity: 3, writes: true, idem: true, run: (*conn).sessionDelAll},
	}
}

// sessionSet answers SESSION.SET id bytes [PX ms] [ABS ms] [USER u] [IFVER v]
// with the new version, or nil where v is not the session's. Version 0 is that
// of a session that does not exist.
func (c *conn) sessionSet(args [][]byte) {
	o, ok := c.sessionOptions("session.set", args[3:], true)
	if !ok {
		return
	}
	saved, err := c.server.config.Sessions.Save(c.context(), string(args[1]), args[2], o)
	c.sessionSaved(saved, err)
}

// sessionMerge answers SESSION.MERGE id json [PX ms] [ABS ms] with the new
// version.
func (c *conn) sessionMerge(args [][]byte) {
	o, ok := c.sessionOptions("session.merge", args[3:], false)
	if !ok {
		return
	}
	saved, err := c.server.config.Sessions.Merge(c.context(), string(args[1]), args[2], o)
	c.sessionSaved(saved, err)
}

// sessionOptions reads the options behind a session, USER and IFVER only if
// isSet.
func (c *conn) sessionOptions(name string, args [][]byte, isSet bool) (o sessions.SaveOptions, ok bool) {
	o.Idem = c.idem
	for ; len(args) > 1; args = args[2:] {
		value := string(args[1])
		switch {
		case isWord(args[0], "px"):
			o.TTL, ok = c.sessionTime(name, value)
		case isWord(args[0], "abs"):
			o.Limit, ok = c.sessionTime(name, value)
		case isSet && isWord(args[0], "user"):
			o.User, ok = value, true
		case isSet && isWord(args[0], "ifver"):
			version, err := strconv.ParseUint(value, 10, 64)
			if o.If, ok = sessions.AtVersion(version), err == nil; !ok {
				c.fail(errNotInteger)
			}
		default:
			c.fail(errSyntax)
			return o, false
		}
		if !ok {
			return o, false
		}
	}
	if len(args) > 0 {
		c.fail(errSyntax)
		return o, false
	}
	return o, true
}

// sessionTime reads milliseconds.
func (c *conn) sessionTime(name, value string) (time.Duration, bool) {
	n, err := strconv.ParseInt(value, 10, 64)
	switch {
	case err != nil:
		c.fail(errNotInteger)
	case n <= 0 || n > sessions.MaxTTL.Milliseconds():
		c.fail("ERR invalid expire time in '" + name + "' command")
	default:
		return time.Duration(n) * time.Millisecond, true
	}
	return 0, false
}

// sessionSaved answers with a version.
func (c *conn) sessionSaved(saved sessions.Saved, err error) {
	c.noteSessions(saved.At)
	switch {
	case errors.Is(err, sessions.ErrConflict):
		c.out = resp.AppendNull(c.out, c.proto)
	case err != nil:
		c.failSession(err, true)
	default:
		c.out = resp.AppendInt(c.out, int64(saved.Version))
	}
}

// sessionGet answers SESSION.GET id [TOUCH] with the session and its version,
// or nil. After CLIENT READS LOCAL it is answered from this node's replica,
// unless it touches. A session that was read and could not be touched is
// answered all the same.
func (c *conn) sessionGet(args [][]byte) {
	var o sessions.LoadOptions
	switch {
	case len(args) == 3 && isWord(args[2], "touch"):
		o.Touch = true
	case len(args) > 2:
		c.fail(errSyntax)
		return
	case c.isLocal:
		o.Consistency = c.consistency()
	}
	got, err := c.server.config.Sessions.Load(c.context(), string(args[1]), o)
	c.noteSessions(got.At)
	switch {
	case errors.Is(err, sessions.ErrNotFound):
		c.out = resp.AppendNullArray(c.out, c.proto)
	case err != nil:
		c.failSession(err, false)
	default:
		c.out = resp.AppendArray(c.out, 2)
		c.out = resp.AppendBulk(c.out, got.Data)
		c.out = resp.AppendInt(c.out, int64(got.Version))
	}
}

// sessionDel answers SESSION.DEL id with 1, or 0 where there was none.
func (c *conn) sessionDel(args [][]byte) {
	gone, err := c.server.config.Sessions.Destroy(c.context(), string(args[1]), sessions.DestroyOptions{Idem: c.idem})
	c.sessionsGone(gone, err)
}

// sessionDelAll answers SESSION.DELALL USER u with how many there were.
func (c *conn) sessionDelAll(args [][]byte) {
	if !isWord(args[1], "user") {
		c.fail(errSyntax)
		return
	}
	gone, err := c.server.config.Sessions.DestroyAll(c.context(), string(args[2]), sessions.DestroyOptions{Idem: c.idem})
	c.sessionsGone(gone, err)
}

func (c *conn) sessionsGone(gone sessions.Destroyed, err error) {
	c.noteSessions(gone.At)
	if err != nil {
		c.failSession(err, true)
		return
	}
	c.out = resp.AppendInt(c.out, int64(gone.Count))
}

// sessionList answers SESSION.LIST USER u with the IDs of a user's sessions.
func (c *conn) sessionList(args [][]byte) {
	if !isWord(args[1], "user") {
		c.fail(errSyntax)
		return
	}
	consistency := machine.Linearizable
	if c.isLocal {
		consistency = c.consistency()
	}
	list, err := c.server.config.Sessions.List(c.context(), string(args[2]), consistency)
	c.noteSessions(list.At)
	if err != nil {
		c.failSession(err, false)
		return
	}
	c.out = resp.AppendArray(c.out, len(list.IDs))
	for _, id := range list.IDs {
		c.bulk(id)
	}
}

// noteSessions remembers how far the client has seen.
func (c *conn) noteSessions(at sessions.Position) {
	if at.Index > 0 {
		c.note(machine.Stamp{Cluster: at.Cluster, Index: at.Index})
	}
}

// failSession answers with an error of sessions.
func (c *conn) failSession(err error, isWrite bool) {
	switch {
	case errors.Is(err, sessions.ErrInvalid), errors.Is(err, sessions.ErrPatch):
		c.fail("ERR " + err.Error())
	case errors.Is(err, sessions.ErrNotObject):
		c.fail("WRONGTYPE " + err.Error())
	default:
		if tooBig, isTooBig := errors.AsType[*sessions.TooBigError](err); isTooBig {
			c.server.Counters.TooBig.Add(1)
			c.fail("TOOBIG " + tooBig.Error())
			return
		}
		c.failWith(err, isWrite)
	}
}
