package redis

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/huddlecache/huddle/server/resp"
)

// clientCommands returns the table of the subcommands of CLIENT.
func clientCommands() map[string]*command {
	return table(append(trackingCommands(),
		command{name: "client|getname", arity: 2, run: (*conn).clientGetName},
		command{name: "client|help", arity: 2, run: help("CLIENT",
			"CACHING (YES|NO)", "Track, or do not track, what the next command reads, in OPTIN or OPTOUT mode.",
			"GETREDIR", "Return the client ID that invalidations are redirected to.",
			"GETNAME", "Return the name of the current connection.",
			"ID", "Return the ID of the current connection.",
			"INFO", "Return information about the current client connection.",
			"KILL <ip:port>", "Kill connection made from <ip:port>.",
			"KILL <option> <value> [<option> <value> [...]]", "Kill connections by ADDR, ID, LADDR, TYPE or USER, and not the current one unless SKIPME is no.",
			"LIST [TYPE <type> | ID <id> [...]]", "Return information about client connections of this node.",
			"NO-EVICT (ON|OFF)", "Do nothing: no connection is evicted.",
			"READS (LOCAL|LINEARIZABLE)", "Let reads be answered by this node's replica, or by the leader.",
			"REPLY (ON|OFF|SKIP)", "Control the replies sent to the current connection.",
			"SETINFO (LIB-NAME|LIB-VER) <value>", "Say which library the client uses.",
			"SETNAME <name>", "Assign the name <name> to the current connection.",
			"TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]] [OPTIN] [OPTOUT] [NOLOOP]", "Tell the client when keys that it has read are changed.",
			"TRACKINGINFO", "Report tracking status for the current connection.",
			"UNBLOCK <clientid> [TIMEOUT|ERROR]", "Unblock the specified blocked client.",
		)},
		command{name: "client|id", arity: 2, run: func(c *conn, _ [][]byte) { c.out = resp.AppendInt(c.out, c.id) }},
		command{name: "client|info", arity: 2, run: func(c *conn, _ [][]byte) { c.listed([]*conn{c}) }},
		command{name: "client|kill", arity: -3, noMulti: true, run: (*conn).clientKill},
		command{name: "client|list", arity: -2, run: (*conn).clientList},
		command{name: "client|no-evict", arity: 3, run: (*conn).clientNoEvict},
		command{name: "client|reads", arity: 3, noMulti: true, run: (*conn).clientReads},
		command{name: "client|reply", arity: 3, noMulti: true, run: (*conn).clientReply},
		command{name: "client|setinfo", arity: 4, run: (*conn).clientSetInfo},
		command{name: "client|setname", arity: 3, run: (*conn).clientSetName},
		command{name: "client|unblock", arity: -3, run: (*conn).clientUnblock},
	)...)
}

func (c *conn) clientGetName([][]byte) {
	if name := c.face.Load().name; name != "" {
		c.bulk(name)
		return
	}
	c.out = resp.AppendNull(c.out, c.proto)
}

func (c *conn) clientSetName(args [][]byte) {
	if !isName(args[2]) {
		c.fail(errClientName)
		return
	}
	c.show(func(f *face) { f.name = string(args[2]) })
	c.ok()
}

// clientSetInfo is of Redis 7.2; all newer clients send it.
func (c *conn) clientSetInfo(args [][]byte) {
	field := strings.ToLower(string(args[2]))
	switch {
	case field != "lib-name" && field != "lib-ver":
		c.fail("ERR Unrecognized option '" + string(clip(args[2], quotedBytes)) + "'")
		return
	case !isName(args[3]):
		c.fail("ERR " + field + " cannot contain spaces, newlines or special characters.")
		return
	}
	c.show(func(f *face) {
		if field == "lib-name" {
			f.library = string(args[3])
		} else {
			f.libraryVersion = string(args[3])
		}
	})
	c.ok()
}

func (c *conn) clientNoEvict(args [][]byte) {
	if !isWord(args[2], "on") && !isWord(args[2], "off") {
		c.fail(errSyntax)
		return
	}
	c.ok()
}

// clientReads chooses who answers reads that have no write beside them.
func (c *conn) clientReads(args [][]byte) {
	switch {
	case isWord(args[2], "local"):
		c.isLocal = true
	case isWord(args[2], "linearizable"):
		c.isLocal = false
	default:
		c.fail(errSyntax)
		return
	}
	c.ok()
}

func (c *conn) clientReply(args [][]byte) {
	switch {
	case isWord(args[2], "on"):
		c.silent = false
		c.ok()
	case isWord(args[2], "off"):
		c.silent = true
	case isWord(args[2], "skip"):
		c.skip = true
	default:
		c.fail(errSyntax)
	}
}

// clientList answers CLIENT LIST [TYPE type] [ID id …].
func (c *conn) clientList(args [][]byte) {
	conns := c.server.all()
	switch {
	case len(args) == 2:
	case len(args) == 4 && isWord(args[2], "type"):
		isOf, isType := clientType(args[3])
		if !isType {
			c.fail("ERR Unknown client type '" + string(clip(args[3], quotedBytes)) + "'")
			return
		}
		conns = slices.DeleteFunc(conns, func(other *conn) bool { return !isOf(other) })
	case len(args) > 3 && isWord(args[2], "id"):
		ids := make(map[int64]bool)
		for _, arg := range args[3:] {
			id, err := strconv.ParseInt(string(arg), 10, 64)
			if err != nil {
				c.fail("ERR Invalid client ID")
				return
			}
			ids[id] = true
		}
		conns = slices.DeleteFunc(conns, func(other *conn) bool { return !ids[other.id] })
	default:
		c.fail(errSyntax)
		return
	}
	c.listed(conns)
}

// listed answers with a line for each connection.
func (c *conn) listed(conns []*conn) {
	var b strings.Builder
	for _, other := range conns {
		other.describe(&b)
	}
	c.out = resp.AppendVerbatim(c.out, c.proto, "txt", b.String())
}

// describe writes the connection's line of CLIENT LIST, without what Redis
// says of buffers and events that are not as here.
func (c *conn) describe(b *strings.Builder) {
	f := c.face.Load()
	age := time.Since(c.since)
	last, flags := "NULL", "N"
	if name := c.last.Load(); name != nil {
		last = *name
	}
	if f.channels+f.patterns > 0 {
		flags = "P"
	}
	if c.blocked.Load() != nil {
		flags = strings.TrimPrefix(flags, "N") + "b"
	}
	flags = f.trackFlags(flags)
	if _, isUnix := c.socket.(*net.UnixConn); isUnix {
		flags = strings.TrimPrefix(flags, "N") + "U"
	}
	fmt.Fprintf(b, "id=%d addr=%s laddr=%s name=%s age=%d idle=%d flags=%s db=%d sub=%d psub=%d ssub=0 multi=-1 cmd=%s user=%s redir=%d resp=%d lib-name=%s lib-ver=%s\n",
		c.id, c.address(), c.local(), f.name,
		int(age.Seconds()), int((age - time.Duration(c.active.Load())).Seconds()), flags,
		f.db, f.channels, f.patterns, last, user, f.redirection(), f.proto, f.library, f.libraryVersion)
}

// address returns where the client is, and local where it is served, as Redis
// writes it: the socket's path for both where it is no network.
func (c *conn) address() string {
	if _, isUnix := c.socket.(*net.UnixConn); isUnix {
		return c.local()
	}
	return c.socket.RemoteAddr().String()
}

func (c *conn) local() string {
	if a, isUnix := c.socket.LocalAddr().(*net.UnixAddr); isUnix {
		return a.Name + ":0"
	}
	return c.socket.LocalAddr().String()
}

// clientType reads a type of connections. Those that have subscribed are of
// pubsub, all others normal.
func clientType(arg []byte) (isOf func(*conn) bool, isType bool) {
	isPubSub := func(c *conn) bool { f := c.face.Load(); return f.channels+f.patterns > 0 }
	switch strings.ToLower(string(arg)) {
	case "normal":
		return func(c *conn) bool { return !isPubSub(c) }, true
	case "pubsub":
		return isPubSub, true
	case "master", "replica", "slave":
		return func(*conn) bool { return false }, true
	}
	return nil, false
}

// clientKill answers CLIENT KILL, the old form with an address and the new
// one with filters.
func (c *conn) clientKill(args [][]byte) {
	if len(args) == 3 {
		if c.kill(func(other *conn) bool { return other.address() == string(args[2]) }) == 0 {
			c.fail("ERR No such client")
			return
		}
		c.ok()
		return
	}
	isMeant, complaint := c.killFilter(args[2:])
	if complaint != "" {
		c.fail(complaint)
		return
	}
	c.out = resp.AppendInt(c.out, int64(c.kill(isMeant)))
}

// killFilter reads the filters of CLIENT KILL. All must match.
func (c *conn) killFilter(args [][]byte) (isMeant func(*conn) bool, complaint string) {
	if len(args)%2 != 0 {
		return nil, errSyntax
	}
	skipMe := true
	var filters []func(*conn) bool
	for ; len(args) > 0; args = args[2:] {
		value := string(args[1])
		switch strings.ToLower(string(args[0])) {
		case "id":
			id, err := strconv.ParseInt(value, 10, 64)
			if err != nil || id < 1 {
				return nil, "ERR client-id should be greater than 0"
			}
			filters = append(filters, func(other *conn) bool { return other.id == id })
		case "addr":
			filters = append(filters, func(other *conn) bool { return other.address() == value })
		case "laddr":
			filters = append(filters, func(other *conn) bool { return other.local() == value })
		case "type":
			isOf, isType := clientType(args[1])
			if !isType {
				return nil, "ERR Unknown client type '" + string(clip(args[1], quotedBytes)) + "'"
			}
			filters = append(filters, isOf)
		case "user":
			if value != user {
				return nil, "ERR No such user '" + string(clip(args[1], quotedBytes)) + "'"
			}
		case "skipme":
			if !isWord(args[1], "yes") && !isWord(args[1], "no") {
				return nil, errSyntax
			}
			skipMe = isWord(args[1], "yes")
		default:
			return nil, errSyntax
		}
	}
	return func(other *conn) bool {
		if other == c && skipMe {
			return false
		}
		return !slices.ContainsFunc(filters, func(matches func(*conn) bool) bool { return !matches(other) })
	}, ""
}

// kill closes the connections that are meant; this one after its reply.
func (c *conn) kill(isMeant func(*conn) bool) (killed int) {
	for _, other := range c.server.all() {
		if !isMeant(other) {
			continue
		}
		killed++
		if other == c {
			c.leaving, c.linger = true, true
		} else {
			_ = other.socket.Close()
		}
	}
	return killed
}
