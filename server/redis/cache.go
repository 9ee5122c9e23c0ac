package redis

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/huddlecache/huddle/cache"
	"github.com/huddlecache/huddle/server/resp"
)

func cacheCommands() []command {
	return []command{
		{name: "cache.get", arity: -3, waits: true, run: (*conn).cacheGet},
		{name: "cache.invalidate", arity: -3, writes: true, waits: true, run: (*conn).cacheInvalidate},
		{name: "cache.set", arity: -4, writes: true, run: (*conn).cacheSet},
	}
}

// cacheGet answers CACHE.GET group key [LEASE ms] with the value, or nil. With
// LEASE a miss is an array of the lease and nil, or nil where the time was
// spent waiting for another one's value.
func (c *conn) cacheGet(args [][]byte) {
	var lease time.Duration
	switch {
	case len(args) == 3:
	case len(args) == 5 && isWord(args[3], "lease"):
		var ok bool
		if lease, ok = milliseconds(args[4]); !ok {
			c.fail("ERR invalid lease time in 'cache.get' command")
			return
		}
	default:
		c.fail(errSyntax)
		return
	}
	group, key := string(args[1]), string(args[2])
	ctx, stop := c.whileConnected()
	ctx, cancel := context.WithTimeout(ctx, max(lease+time.Second, patience))
	item, right, err := c.server.config.Cache.GetOrClaim(ctx, group, key, lease, false)
	cancel()
	stop()
	switch {
	case err == nil:
		c.out = resp.AppendBulk(c.out, item.Value)
	case !errors.Is(err, cache.ErrNotFound):
		c.failCache(err, false)
	case right.Number != 0:
		c.out = resp.AppendArray(c.out, 2)
		c.out = resp.AppendNull(c.out, c.proto)
		c.bulk(right.String())
	default:
		c.out = resp.AppendNull(c.out, c.proto)
	}
}

// cacheSet answers CACHE.SET group key bytes [PX ms] [TAGS n t…] [LEASE l]
// with OK, or nil where the value is not kept: its lease is over, or it was
// invalidated meanwhile.
func (c *conn) cacheSet(args [][]byte) {
	item := cache.Item{Value: args[3]}
	var right cache.Right
	for rest := args[4:]; len(rest) > 0; {
		if len(rest) < 2 {
			c.fail(errSyntax)
			return
		}
		var ok bool
		used := 2
		switch {
		case isWord(rest[0], "px"):
			if item.TTL, ok = milliseconds(rest[1]); !ok {
				c.fail("ERR invalid expire time in 'cache.set' command")
				return
			}
		case isWord(rest[0], "lease"):
			var err error
			if right, err = cache.ParseRight(string(rest[1])); err != nil {
				c.fail("ERR " + err.Error())
				return
			}
		case isWord(rest[0], "tags"):
			if item.Tags, ok = names(rest[1:]); !ok {
				c.fail(errSyntax)
				return
			}
			used += len(item.Tags)
		default:
			c.fail(errSyntax)
			return
		}
		rest = rest[used:]
	}
	item.Value = append([]byte(nil), item.Value...) // the arguments are the reader's
	err := c.server.config.Cache.Put(c.context(), string(args[1]), string(args[2]), item, right)
	switch {
	case err == nil:
		c.ok()
	case errors.Is(err, cache.ErrConflict):
		c.out = resp.AppendNull(c.out, c.proto)
	default:
		c.failCache(err, true)
	}
}

// names reads a number and as many names behind it.
func names(args [][]byte) (list []string, ok bool) {
	n, err := strconv.Atoi(string(args[0]))
	if err != nil || n < 1 || n > len(args)-1 {
		return nil, false
	}
	for _, arg := range args[1 : n+1] {
		list = append(list, string(arg))
	}
	return list, true
}

// cacheInvalidate answers CACHE.INVALIDATE group KEYS k… | TAGS t… | ALL with
// OK, once no node serves what was made before.
func (c *conn) cacheInvalidate(args [][]byte) {
	var list []string
	for _, arg := range args[3:] {
		list = append(list, string(arg))
	}
	var scope cache.Scope
	switch {
	case isWord(args[2], "all") && len(list) == 0:
		scope = cache.All()
	case isWord(args[2], "keys") && len(list) > 0:
		scope = cache.Keys(list...)
	case isWord(args[2], "tags") && len(list) > 0:
		scope = cache.Tags(list...)
	default:
		c.fail(errSyntax)
		return
	}
	group := string(args[1])
	ctx, stop := c.whileConnected()
	err := c.server.config.Cache.Invalidate(ctx, group, scope)
	stop()
	if err != nil {
		c.failCache(err, true)
		return
	}
	c.ok()
}

// failCache answers with an error of the cache.
func (c *conn) failCache(err error, isWrite bool) {
	switch {
	case errors.Is(err, cache.ErrInvalid):
		c.fail("ERR " + err.Error())
	case errors.Is(err, cache.ErrTooBig):
		c.fail("TOOBIG " + err.Error())
	case errors.Is(err, context.Canceled):
		c.leaving = true // nobody is there to read an answer
	case errors.Is(err, cache.ErrLoader):
		c.fail("ORIGINFAILED " + err.Error())
	default:
		c.failWith(err, isWrite)
	}
}
