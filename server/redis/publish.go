package redis

import (
	"fmt"
	"maps"
	"slices"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/keyspace"
	"github.com/huddlecache/huddle/server/resp"
)

// subscriptionExtra is what a subscription takes beyond its name, about.
const subscriptionExtra = 64

// publishCommands are those of who listens. PUBLISH is one of the keyspace.
func publishCommands() []command {
	const group = "pubsub"
	return []command{
		{name: "psubscribe", arity: -2, group: group, run: subscribe(patterns, "psubscribe")},
		{name: "pubsub", arity: -2, group: group, subs: table(
			command{name: "pubsub|channels", arity: -2, run: (*conn).pubsubChannels},
			command{name: "pubsub|help", arity: 2, run: help("PUBSUB",
				"CHANNELS [<pattern>]", "Return the channels that clients of this node have subscribed to, or those matching a <pattern>.",
				"NUMPAT", "Return the number of patterns that clients of this node have subscribed to.",
				"NUMSUB [<channel> ...]", "Return the number of subscribers on this node for the specified channels, without those by pattern.",
			)},
			command{name: "pubsub|numpat", arity: 2, run: (*conn).pubsubNumPat},
			command{name: "pubsub|numsub", arity: -2, run: (*conn).pubsubNumSub},
		)},
		{name: "punsubscribe", arity: -1, group: group, run: unsubscribe(patterns, "punsubscribe")},
		{name: "subscribe", arity: -2, group: group, run: subscribe(channels, "subscribe")},
		{name: "unsubscribe", arity: -1, group: group, run: unsubscribe(channels, "unsubscribe")},
	}
}

// subscriptions are what a connection has subscribed to; nil is nothing.
type subscriptions struct {
	names [2]map[string]struct{} // by scope
	size  int                    // bytes that they take, about
}

func (s *subscriptions) has(in scope, name string) (found bool) {
	if s != nil {
		_, found = s.names[in][name]
	}
	return found
}

// list returns the names, in order.
func (s *subscriptions) list(in scope) []string {
	if s == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(s.names[in]))
}

func (s *subscriptions) count(in scope) int {
	if s == nil {
		return 0
	}
	return len(s.names[in])
}

func (s *subscriptions) clone() *subscriptions {
	if s == nil {
		return nil
	}
	other := *s
	for i, names := range s.names {
		other.names[i] = maps.Clone(names)
	}
	return &other
}

// isSubscriber reports whether the connection must do nothing but listen: in
// version 2 a message looks like a reply.
func (c *conn) isSubscriber() bool {
	return c.proto == resp.Proto2 && c.subscriptions.count(channels)+c.subscriptions.count(patterns) > 0
}

// refuseSubscriber answers a command that only who does not listen may send.
// What is wrong with it anyway is left to others to say.
func (c *conn) refuseSubscriber(args [][]byte) (isRefused bool) {
	name := ""
	if keyed, found := keyspace.Lookup(args[0]); found {
		if keyed.Accepts(len(args)) {
			name = keyed.Name
		}
	} else if own, complaint := c.server.own(args); complaint == "" && own != nil && own.accepts(len(args)) {
		name = own.name
	}
	switch name {
	case "", "ping", "psubscribe", "punsubscribe", "quit", "reset", "subscribe", "unsubscribe":
		return false
	}
	c.reject(args[0], "ERR Can't execute '"+name+"': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context")
	return true
}

// subscribe returns the handler of SUBSCRIBE or PSUBSCRIBE.
func subscribe(in scope, verb string) func(*conn, [][]byte) {
	return func(c *conn, args [][]byte) {
		c.listen()
		c.isPushed = true
		for _, arg := range args[1:] {
			name := string(arg)
			if !c.subscriptions.has(in, name) && !c.join(in, name) {
				c.server.Counters.TooBig.Add(1)
				c.fail(fmt.Sprintf("TOOBIG what is subscribed to is over %d bytes", c.server.maxTransaction()))
				break
			}
			c.confirm(verb, name)
		}
		c.showSubscriptions()
	}
}

// unsubscribe returns the handler of UNSUBSCRIBE or PUNSUBSCRIBE. Nothing of a
// channel comes after it was confirmed.
func unsubscribe(in scope, verb string) func(*conn, [][]byte) {
	return func(c *conn, args [][]byte) {
		c.isPushed = true
		names := c.subscriptions.list(in)
		if len(args) > 1 {
			names = names[:0]
			for _, arg := range args[1:] {
				names = append(names, string(arg))
			}
		} else if len(names) == 0 {
			c.confirmNothing(verb)
		}
		for _, name := range names {
			if c.subscriptions.has(in, name) {
				c.leave(in, name)
				if !c.isExecuting {
					c.settle()
				}
			}
			c.confirm(verb, name)
		}
		c.showSubscriptions()
	}
}

// join adds a subscription, unless all of them would take too much.
func (c *conn) join(in scope, name string) bool {
	if c.subscriptions == nil {
		c.subscriptions = &subscriptions{}
	}
	s := c.subscriptions
	size := len(name) + subscriptionExtra
	if s.size+size > c.server.maxTransaction() {
		return false
	}
	if s.names[in] == nil {
		s.names[in] = map[string]struct{}{}
	}
	s.names[in][name] = struct{}{}
	s.size += size
	c.server.hub.join(in, name, c)
	return true
}

// leave ends a subscription that there is.
func (c *conn) leave(in scope, name string) {
	s := c.subscriptions
	delete(s.names[in], name)
	s.size -= len(name) + subscriptionExtra
	c.server.hub.leave(in, name, c)
}

// forget ends all subscriptions.
func (c *conn) forget() { c.resubscribe(nil) }

// resubscribe makes the subscriptions those of before.
func (c *conn) resubscribe(before *subscriptions) {
	if c.subscriptions == nil {
		return
	}
	for _, in := range []scope{channels, patterns} {
		for _, name := range c.subscriptions.list(in) {
			if !before.has(in, name) {
				c.leave(in, name)
			}
		}
		for _, name := range before.list(in) {
			if !c.subscriptions.has(in, name) {
				c.join(in, name)
			}
		}
	}
	c.showSubscriptions()
}

// showSubscriptions tells others how many there are.
func (c *conn) showSubscriptions() {
	c.show(func(f *face) {
		f.channels, f.patterns = c.subscriptions.count(channels), c.subscriptions.count(patterns)
	})
}

// confirm answers for one name, with the number of subscriptions that there
// are now.
func (c *conn) confirm(verb, name string) {
	c.out = resp.AppendPush(c.out, c.proto, 3)
	c.bulk(verb)
	c.bulk(name)
	c.countSubscriptions()
}

// confirmNothing answers who ends all subscriptions, and has none.
func (c *conn) confirmNothing(verb string) {
	c.out = resp.AppendPush(c.out, c.proto, 3)
	c.bulk(verb)
	c.out = resp.AppendNull(c.out, c.proto)
	c.countSubscriptions()
}

func (c *conn) countSubscriptions() {
	c.out = resp.AppendInt(c.out, int64(c.subscriptions.count(channels)+c.subscriptions.count(patterns)))
}

func (c *conn) pubsubChannels(args [][]byte) {
	var glob []byte
	switch len(args) {
	case 2:
	case 3:
		glob = args[2]
	default:
		c.fail("ERR unknown subcommand or wrong number of arguments for '" + string(clip(args[1], quotedBytes)) + "'. Try PUBSUB HELP.")
		return
	}
	names := c.server.hub.active(glob)
	c.out = resp.AppendArray(c.out, len(names))
	for _, name := range names {
		c.bulk(name)
	}
}

func (c *conn) pubsubNumPat([][]byte) {
	_, patterns := c.server.hub.counts()
	c.out = resp.AppendInt(c.out, int64(patterns))
}

func (c *conn) pubsubNumSub(args [][]byte) {
	c.out = resp.AppendArray(c.out, 2*len(args[2:]))
	for _, channel := range args[2:] {
		c.out = resp.AppendBulk(c.out, channel)
		c.out = resp.AppendInt(c.out, int64(c.server.hub.subscribers(channel)))
	}
}

// A publication is a PUBLISH of a run.
type publication struct {
	item    int
	channel string
}

// tally replaces the replies to publications, which the log cannot know: how
// many clients of this node they go to, as in a Redis cluster.
func (c *conn) tally(all []publication, replies []machine.Reply) {
	for _, p := range all {
		if r := &replies[p.item]; r.Err == nil {
			r.Data = resp.AppendInt(nil, int64(c.server.hub.receivers([]byte(p.channel))))
		}
	}
}
