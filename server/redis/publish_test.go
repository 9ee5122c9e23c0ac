package redis_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/server/redis"
	"github.com/huddlecache/huddle/server/resp"
)

const null2 = "\x00" // in event: what is not there

// event is what a connection of that version gets of a subscription.
func event(proto int, words ...any) string {
	out := resp.AppendPush(nil, proto, len(words))
	for _, w := range words {
		switch w := w.(type) {
		case int:
			out = resp.AppendInt(out, int64(w))
		case string:
			if w == null2 {
				out = resp.AppendNull(out, proto)
			} else {
				out = resp.AppendBulk(out, w)
			}
		}
	}
	return string(out)
}

func restricted(command string) string {
	return "-ERR Can't execute '" + command + "': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context\r\n"
}

// wantHeard fails the test unless the client has been sent exactly this.
func (c *client) wantHeard(want string) {
	c.w.t.Helper()
	synctest.Wait()
	if got := c.heard(); got != want {
		c.w.t.Errorf("heard\n got %q\nwant %q", got, want)
	}
}

func TestMessagesReachSubscribersInOrder(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		old, young, other, publisher := w.connect(), w.connect(), w.connect(), w.connect()
		young.do("HELLO 3")
		old.want("SUBSCRIBE news sport", event(2, "subscribe", "news", 1)+event(2, "subscribe", "sport", 2))
		young.want("SUBSCRIBE news", event(3, "subscribe", "news", 1))
		other.want("PSUBSCRIBE n*", event(2, "psubscribe", "n*", 1))
		publisher.want("PUBLISH news one", ":3\r\n")
		publisher.want("PUBLISH sport two", ":1\r\n")
		publisher.want("PUBLISH weather three", ":0\r\n")
		got := publisher.pipe("PUBLISH nix four", "SET a b", "PUBLISH news five", "GET a")
		if want := ":1\r\n+OK\r\n:3\r\n$1\r\nb\r\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		old.wantHeard(event(2, "message", "news", "one") + event(2, "message", "sport", "two") + event(2, "message", "news", "five"))
		young.wantHeard(event(3, "message", "news", "one") + event(3, "message", "news", "five"))
		other.wantHeard(event(2, "pmessage", "n*", "news", "one") + event(2, "pmessage", "n*", "nix", "four") + event(2, "pmessage", "n*", "news", "five"))
	})
}

func TestEverySubscriptionThatMatchesGetsAMessage(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		c, publisher := w.connect(), w.connect()
		c.do("SUBSCRIBE ab")
		c.do("PSUBSCRIBE a* [a-c]b x* a*")
		publisher.want("PUBLISH ab m", ":3\r\n")
		c.wantHeard(event(2, "message", "ab", "m") + event(2, "pmessage", "a*", "ab", "m") + event(2, "pmessage", "[a-c]b", "ab", "m"))
		c.do("PUNSUBSCRIBE a*")
		c.do("UNSUBSCRIBE ab")
		publisher.want("PUBLISH ab m", ":1\r\n")
		c.wantHeard(event(2, "pmessage", "[a-c]b", "ab", "m"))
	})
}

func TestASubscriberOfVersion2MayDoNothingElse(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		c := w.connect()
		c.do("SUBSCRIBE a")
		for line, want := range map[string]string{
			"GET x": restricted("get"), "CLIENT ID": restricted("client|id"), "PUBLISH a b": restricted("publish"), "MULTI": restricted("multi"),
			"GET": "-ERR wrong number of arguments for 'get' command\r\n", "CLIENT X": "-ERR unknown subcommand 'X'. Try CLIENT HELP.\r\n",
			"PING": "*2\r\n$4\r\npong\r\n$0\r\n\r\n", "PING hi": "*2\r\n$4\r\npong\r\n$2\r\nhi\r\n",
			"PSUBSCRIBE p": event(2, "psubscribe", "p", 2), "IDEM a SET b c": restricted("idem"), "SUBSCRIBE": "-ERR wrong number of arguments for 'subscribe' command\r\n",
		} {
			c.want(line, want)
		}
		c.want("UNSUBSCRIBE a", event(2, "unsubscribe", "a", 1))
		c.want("GET x", restricted("get"))
		c.want("PUNSUBSCRIBE", event(2, "punsubscribe", "p", 0))
		c.want("GET x", "$-1\r\n")
		c.want("UNSUBSCRIBE", event(2, "unsubscribe", null2, 0))
		c.do("SUBSCRIBE a")
		c.want("RESET", "+RESET\r\n")
		c.want("PUBLISH a b", ":0\r\n")
		c.do("SUBSCRIBE a")
		c.want("QUIT", ok+"CLOSED")
	})
}

func TestASubscriberOfVersion3MayDoEverything(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		c := w.connect()
		c.do("HELLO 3")
		c.do("SUBSCRIBE a")
		c.want("PING", "+PONG\r\n")
		c.want("GET x", "_\r\n")
		c.want("PUBLISH a b", ":1\r\n"+event(3, "message", "a", "b"))
		c.want("UNSUBSCRIBE a nosuch", event(3, "unsubscribe", "a", 0)+event(3, "unsubscribe", "nosuch", 0))
		c.want("PUNSUBSCRIBE", event(3, "punsubscribe", null2, 0))
		c.do("SUBSCRIBE a")
		c.wantPrefix("HELLO 2", "*14\r\n")
		c.want("GET x", restricted("get"))
	})
}

func TestMessagesThatMayHaveBeenMissedCutSubscribersOff(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		c, p, plain, past := w.connect(), w.connect(), w.connect(), w.connect()
		c.do("SUBSCRIBE a")
		p.do("PSUBSCRIBE a")
		past.do("SUBSCRIBE a")
		past.do("UNSUBSCRIBE a")
		w.hears(machine.Event{Reset: true})
		c.wantHeard("CLOSED")
		p.wantHeard("CLOSED")
		plain.want("PUBSUB CHANNELS", "*0\r\n")
		plain.want("PUBSUB NUMPAT", ":0\r\n")
		past.want("PING", "+PONG\r\n")
	})
}

func TestPublishAndSubscribeInTransactions(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		c, listener := w.connect(), w.connect()
		listener.do("SUBSCRIBE a")
		c.pipe("MULTI", "PUBLISH a 1", "SET k v", "PUBLISH a 2")
		listener.wantHeard("")
		c.want("EXEC", "*3\r\n:0\r\n+OK\r\n:0\r\n")
		listener.wantHeard(event(2, "message", "a", "1") + event(2, "message", "a", "2"))
		c.pipe("MULTI", "PUBLISH a 3", "NOSUCH")
		c.wantPrefix("EXEC", "-EXECABORT")
		listener.wantHeard("")

		c.pipe("MULTI", "SUBSCRIBE b c", "GET k")
		w.publishes("b", "too early")
		c.want("EXEC", "*2\r\n"+event(2, "subscribe", "b", 1)+event(2, "subscribe", "c", 2)+"$1\r\nv\r\n")
		w.publishes("b", "1")
		c.wantHeard(event(2, "message", "b", "1"))
		c.do("UNSUBSCRIBE")

		// What is not executed subscribes to nothing, and ends nothing.
		c.do("HELLO 3")
		c.do("SUBSCRIBE stays")
		c.pipe("MULTI", "SUBSCRIBE b", "PSUBSCRIBE *", "UNSUBSCRIBE stays", "SET k w")
		w.log.set(func() { w.log.err = machine.ErrNoQuorum })
		c.wantPrefix("EXEC", "-CLUSTERDOWN")
		w.log.set(func() { w.log.err = nil })
		w.publishes("b", "no")
		w.publishes("stays", "yes")
		c.wantHeard(event(3, "message", "stays", "yes"))
		c.want("SUBSCRIBE stays", event(3, "subscribe", "stays", 1))
	})
}

func TestScriptsPublish(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		c, listener := w.connect(), w.connect()
		listener.do("SUBSCRIBE a")
		c.want(`EVAL "redis.call('set', 'k', 1); return redis.call('publish', 'a', ARGV[1])" 0 hello`, ":0\r\n")
		listener.wantHeard(event(2, "message", "a", "hello"))
		// An error leaves what was done, as in Redis; a script that is stopped
		// leaves nothing.
		c.wantPrefix(`EVAL "redis.call('publish', 'a', '1'); error('x')" 0`, "-ERR")
		listener.wantHeard(event(2, "message", "a", "1"))
		c.wantPrefix(`EVAL "redis.call('publish', 'a', '2'); redis.call('set', 'k', 2); redis.call('del', 'k'); while true do end" 0`, "-ERR script stopped")
		listener.wantHeard("")
		c.want("GET k", "$1\r\n1\r\n")
		c.wantPrefix(`EVAL_RO "return redis.call('publish', 'a', '3')" 0`, "-ERR Write commands are not allowed")
		c.wantPrefix(`EVAL "return redis.call('subscribe', 'a')" 0`, "-ERR This Redis command is not allowed")
		listener.wantHeard("")
	})
}

func TestNoticesOfKeys(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		key, deed, all, c := w.connect(), w.connect(), w.connect(), w.connect()
		c.want("CONFIG SET notify-keyspace-events Egx", ok)
		c.wantPrefix("CONFIG SET notify-keyspace-events Q", "-ERR CONFIG SET failed (possibly related to argument 'notify-keyspace-events') - Invalid event class character.")
		c.do("SET before 1")
		c.do("DEL before")
		key.do("SUBSCRIBE __keyspace@0__:k")
		deed.do("SUBSCRIBE __keyevent@2__:expired")
		all.do("PSUBSCRIBE __keyevent@*__:[de]*")
		c.do("SET k v EX 10")
		c.do("PERSIST k")
		c.do("UNLINK k none")
		c.do("SELECT 2")
		c.do("SET k v PX 100")
		w.log.set(func() { w.log.at.Lease += time.Second })
		c.do("DEL k")
		key.wantHeard(event(2, "message", "__keyspace@0__:k", "expire") + event(2, "message", "__keyspace@0__:k", "persist") + event(2, "message", "__keyspace@0__:k", "del"))
		deed.wantHeard(event(2, "message", "__keyevent@2__:expired", "k"))
		pattern := "__keyevent@*__:[de]*"
		all.wantHeard(event(2, "pmessage", pattern, "__keyevent@0__:expire", "k") + event(2, "pmessage", pattern, "__keyevent@0__:del", "k") +
			event(2, "pmessage", pattern, "__keyevent@2__:expire", "k") + event(2, "pmessage", pattern, "__keyevent@2__:expired", "k"))
		key.do("UNSUBSCRIBE")
		key.do("PSUBSCRIBE __*")
		c.do("SET k v")
		c.do("DEL k")
		key.wantHeard(event(2, "pmessage", "__*", "__keyspace@2__:k", "del") + event(2, "pmessage", "__*", "__keyevent@2__:del", "k"))
	})
}

func TestSubscribersAreCounted(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		c, s := w.connect(), w.connect()
		s.do("SUBSCRIBE a b")
		s.do("PSUBSCRIBE x*")
		c.do("HELLO 3")
		c.do("SUBSCRIBE a")
		c.want("PUBSUB CHANNELS", "*2\r\n$1\r\na\r\n$1\r\nb\r\n")
		c.want("PUBSUB CHANNELS [b-z]", "*1\r\n$1\r\nb\r\n")
		c.want("PUBSUB NUMSUB a b c", "*6\r\n$1\r\na\r\n:2\r\n$1\r\nb\r\n:1\r\n$1\r\nc\r\n:0\r\n")
		c.want("PUBSUB NUMPAT", ":1\r\n")
		if got := c.do("INFO stats"); !strings.Contains(got, "\r\npubsub_channels:2\r\npubsub_patterns:1\r\n") {
			t.Errorf("INFO: got %q", got)
		}
		if got := c.do("CLIENT LIST TYPE pubsub"); !strings.Contains(got, "id=2 ") || !strings.Contains(got, " flags=P db=0 sub=2 psub=1 ") || !strings.Contains(got, " sub=1 psub=0 ") {
			t.Errorf("CLIENT LIST TYPE pubsub: got %q", got)
		}
		c.do("UNSUBSCRIBE a")
		c.want("CLIENT KILL TYPE pubsub", ":1\r\n")
		s.wantHeard("CLOSED")
		c.want("PUBSUB CHANNELS", "*0\r\n")
	})
}

func TestClientReplyLeavesMessagesAlone(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		c := w.connect()
		c.do("HELLO 3")
		if got, want := c.pipe("CLIENT REPLY OFF", "SUBSCRIBE a", "PING", "GET x", "PUBLISH a 1"), event(3, "subscribe", "a", 1)+event(3, "message", "a", "1"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got, want := c.pipe("CLIENT REPLY ON", "CLIENT REPLY SKIP", "UNSUBSCRIBE a", "PING"), ok+event(3, "unsubscribe", "a", 0)+"+PONG\r\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestSubscriptionsAreBounded(t *testing.T) {
	in(t, redis.Config{MaxValue: 1 << 10}, func(w *world) {
		c := w.connect()
		var lines []string
		for i := range 10 {
			line := "SUBSCRIBE"
			for k := range 1000 {
				line += fmt.Sprintf(" %0100d", 1000*i+k)
			}
			lines = append(lines, line)
		}
		got := c.pipe(lines...)
		const most = (1<<10 + 1<<20) / (100 + 64)
		if n := strings.Count(got, "\nsubscribe\r"); n != most {
			t.Errorf("got %d confirmations, want %d", n, most)
		}
		if want := "-TOOBIG what is subscribed to is over 1049600 bytes\r\n"; !strings.HasSuffix(got, want) {
			t.Errorf("got %q at the end, want %q", got[max(0, len(got)-100):], want)
		}
		c.wantPrefix("UNSUBSCRIBE", "*3\r\n")
		c.want("SUBSCRIBE a", event(2, "subscribe", "a", 1))
	})
}
