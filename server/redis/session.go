package redis

import (
	"crypto/sha256"
	"crypto/subtle"
	"math"
	"net"
	"slices"
	"strconv"

	"github.com/huddlecache/huddle/keyspace"
	"github.com/huddlecache/huddle/server/resp"
)

// user is the only one there is.
const user = "default"

func (c *conn) bulk(s string) { c.out = resp.AppendBulk(c.out, s) }

// login tells whether someone may come in. The comparison takes as long for
// any password.
func (c *conn) login(name, password []byte) bool {
	want, got := sha256.Sum256([]byte(c.server.config.Password)), sha256.Sum256(password)
	isRight := subtle.ConstantTimeCompare(want[:], got[:]) == 1 || c.server.config.Password == ""
	if string(name) != user || !isRight {
		c.server.Counters.BadAuth.Add(1)
		c.fail(errWrongPass)
		return false
	}
	c.know(true)
	return true
}

func (c *conn) know(isKnown bool) {
	c.isKnown, c.reader.Stranger = isKnown, !isKnown
}

// auth answers AUTH [user] password.
func (c *conn) auth(args [][]byte) {
	name := []byte(user)
	switch {
	case len(args) > 3:
		c.fail(errSyntax)
		return
	case len(args) == 3:
		name = args[1]
	case c.server.config.Password == "":
		c.server.Counters.BadAuth.Add(1)
		c.fail(errNoPassword)
		return
	}
	if c.login(name, args[len(args)-1]) {
		c.ok()
	}
}

// hello answers HELLO [proto [AUTH user password] [SETNAME name]]. Nothing
// changes unless all of it is right, but for the login, as in Redis.
func (c *conn) hello(args [][]byte) {
	proto := c.proto
	if len(args) > 1 {
		n, err := strconv.Atoi(string(args[1]))
		if err != nil {
			c.fail("ERR Protocol version is not an integer or out of range")
			return
		}
		if proto = n; proto != resp.Proto2 && proto != resp.Proto3 {
			c.fail(errNoProto)
			return
		}
	}
	var name, password, title []byte
	for i := 2; i < len(args); i++ {
		switch more := len(args) - 1 - i; {
		case isWord(args[i], "auth") && more >= 2:
			name, password = args[i+1], args[i+2]
			i += 2
		case isWord(args[i], "setname") && more >= 1:
			if title = args[i+1]; !isName(title) {
				c.fail(errClientName)
				return
			}
			i++
		default:
			c.fail("ERR Syntax error in HELLO option '" + string(clip(args[i], quotedBytes)) + "'")
			return
		}
	}
	if name != nil && !c.login(name, password) {
		return
	}
	if !c.isKnown {
		c.fail(errNoAuthHello)
		return
	}
	c.proto = proto
	if proto == resp.Proto3 { // so that others may redirect invalidations to it
		c.listen()
	}
	c.show(func(f *face) {
		f.proto = proto
		if title != nil {
			f.name = string(title)
		}
	})
	c.greet()
}

// greet answers HELLO.
func (c *conn) greet() {
	c.out = resp.AppendMap(c.out, c.proto, 7)
	c.bulk("server")
	c.bulk("redis")
	c.bulk("version")
	c.bulk(RedisVersion)
	c.bulk("proto")
	c.out = resp.AppendInt(c.out, int64(c.proto))
	c.bulk("id")
	c.out = resp.AppendInt(c.out, c.id)
	c.bulk("mode")
	c.bulk("standalone")
	c.bulk("role")
	c.bulk("master")
	c.bulk("modules")
	c.out = resp.AppendArray(c.out, 0)
}

// isName reports whether s can be the name of a connection or a library.
func isName(s []byte) bool {
	for _, b := range s {
		if b < '!' || b > '~' {
			return false
		}
	}
	return true
}

func (c *conn) ping(args [][]byte) {
	switch {
	case len(args) <= 2 && c.isSubscriber(): // an answer that cannot be mistaken for a message
		c.out = resp.AppendArray(c.out, 2)
		c.bulk("pong")
		c.bulk(string(slices.Concat(args[1:]...)))
	case len(args) == 1:
		c.out = append(c.out, "+PONG\r\n"...)
	case len(args) == 2:
		c.out = resp.AppendBulk(c.out, args[1])
	default:
		c.fail(wrongArity("ping"))
	}
}

func (c *conn) quit([][]byte) {
	c.ok()
	c.leaving, c.linger = true, true
}

// reset makes the connection as new.
func (c *conn) reset([][]byte) {
	c.know(c.server.config.Password == "")
	c.db, c.proto = 0, resp.Proto2
	c.silent, c.skip, c.isLocal = false, false, false
	c.transaction = transaction{}
	c.forget()
	c.untrack()
	c.settle()
	c.show(func(f *face) { f.name, f.db, f.proto = "", c.db, c.proto })
	c.out = append(c.out, "+RESET\r\n"...)
}

// choose answers SELECT.
func (c *conn) choose(args [][]byte) {
	n, err := strconv.ParseInt(string(args[1]), 10, 64)
	switch {
	case err != nil:
		c.fail(errNotInteger)
	case n < math.MinInt32 || n > math.MaxInt32:
		c.fail("ERR value is out of range, value must between -2147483648 and 2147483647")
	case n < 0 || n >= keyspace.Databases:
		c.fail("ERR DB index is out of range")
	default:
		if c.db != int(n) {
			c.db = int(n)
			c.show(func(f *face) { f.db = c.db })
		}
		c.ok()
	}
}

// role answers as a Redis that has no replicas.
func (c *conn) role([][]byte) {
	c.out = resp.AppendArray(c.out, 3)
	c.bulk("master")
	c.out = resp.AppendInt(c.out, 0)
	c.out = resp.AppendArray(c.out, 0)
}

// wait answers WAIT as a Redis that has no replicas, but does not wait for
// one to come: what was acknowledged is on a majority of the nodes already.
func (c *conn) wait(args [][]byte) {
	if _, err := strconv.ParseInt(string(args[1]), 10, 64); err != nil {
		c.fail(errNotInteger)
		return
	}
	timeout, err := strconv.ParseInt(string(args[2]), 10, 64)
	switch {
	case err != nil:
		c.fail("ERR timeout is not an integer or out of range")
	case timeout < 0:
		c.fail("ERR timeout is negative")
	default:
		c.out = resp.AppendInt(c.out, 0)
	}
}

// masterAddr answers clients that ask a sentinel for the master: it is here,
// where they have reached it.
func (c *conn) masterAddr([][]byte) {
	host, port, err := net.SplitHostPort(c.socket.LocalAddr().String())
	if err != nil { // a unix socket
		host, port = c.socket.LocalAddr().String(), "0"
	}
	c.out = resp.AppendArray(c.out, 2)
	c.bulk(host)
	c.bulk(port)
}
