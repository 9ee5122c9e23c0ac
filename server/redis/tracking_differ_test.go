package redis_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/huddlecache/huddle/server/resp"
)

// TestTrackingIsRedis compares what is answered to the subcommands of CLIENT
// about copies with a redis-server.
func TestTrackingIsRedis(t *testing.T) {
	sockets := [2]string{startRedis(t), startOurs(t)}
	lines := strings.Split(
		"CLIENT TRACKING;CLIENT TRACKING x;CLIENT TRACKING on nonsense;CLIENT TRACKING OFF;CLIENT TRACKING ON;CLIENT TRACKING ON OPTIN;CLIENT TRACKING ON OPTOUT;"+
			"CLIENT TRACKING ON OPTIN OPTOUT;CLIENT TRACKING ON BCAST;CLIENT TRACKING ON BCAST OPTIN;CLIENT TRACKING ON PREFIX a;CLIENT TRACKING ON BCAST PREFIX a PREFIX b;"+
			"CLIENT TRACKING ON BCAST PREFIX c;CLIENT TRACKING ON BCAST PREFIX ab;CLIENT TRACKING ON BCAST PREFIX x PREFIX xy;CLIENT TRACKING ON PREFIX;CLIENT TRACKING ON NOLOOP;"+
			"CLIENT TRACKING ON REDIRECT;CLIENT TRACKING ON REDIRECT x;CLIENT TRACKING ON REDIRECT 0;CLIENT TRACKING ON REDIRECT 99999;CLIENT TRACKING ON REDIRECT -1 PREFIX a;"+
			"CLIENT TRACKING OFF BCAST;CLIENT TRACKING OFF REDIRECT 99999;CLIENT CACHING YES;CLIENT CACHING NO;CLIENT CACHING x;CLIENT CACHING;CLIENT TRACKINGINFO;CLIENT TRACKINGINFO x;"+
			"CLIENT GETREDIR;CLIENT GETREDIR x;GET k;PING;RESET|HELLO 3;RESET;CLIENT CACHING YES|CLIENT TRACKINGINFO;CLIENT CACHING YES|GET k|CLIENT TRACKINGINFO;"+
			"CLIENT CACHING NO|CLIENT GETNAME|CLIENT TRACKINGINFO;CLIENT CACHING YES|MULTI|GET k|EXEC|CLIENT TRACKINGINFO;MULTI|CLIENT TRACKINGINFO|CLIENT GETREDIR|EXEC;"+
			"CLIENT CACHING YES|MULTI|DISCARD|CLIENT TRACKINGINFO;CLIENT CACHING YES|NOSUCH|CLIENT TRACKINGINFO", ";")
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for round := range 100 {
		var conns [2]*wire
		for side, socket := range sockets {
			conns[side] = dial(t, socket)
			conns[side].send(fmt.Sprint("HELLO ", 2+round%2))
		}
		var log []string
		for range 40 {
			line := lines[r.IntN(len(lines))]
			log = append(log, line)
			if got, want := conns[1].until(line), conns[0].until(line); got != want {
				t.Fatalf("seed %d, RESP%d:\n  %s\n  got %q\nRedis %q", seed, 2+round%2, strings.Join(log, "\n  "), got, want)
			}
		}
	}
}

// A keeper is a wire whose client keeps copies: what tells it of changes is put
// apart from replies.
type keeper struct {
	*wire
	told map[string]bool // keys, and (all)
}

// do sends commands, which bars separate, and returns their replies.
func (k *keeper) do(line string) (replies string) {
	k.t.Helper()
	const last = "the last one"
	// What the commands change themselves is told of behind the batch here, and
	// in Redis behind each command; another PING comes behind both.
	for _, lines := range []string{line, ""} {
		if _, err := k.socket.Write([]byte(strings.Join(append(strings.Split(lines, "|"), "PING '"+last+"'"), "\r\n") + "\r\n")); err != nil {
			k.t.Fatal(err)
		}
		for {
			v, err := k.reader.Read()
			if err != nil {
				k.t.Fatalf("%q: %v", line, err)
			}
			if v.Text == last || len(v.Elems) == 2 && v.Elems[1].Text == last {
				break
			}
			if !k.hear(v) {
				replies += string(v.Append(nil))
			}
		}
	}
	return replies
}

// hear takes what is no reply.
func (k *keeper) hear(v resp.Value) bool {
	n := len(v.Elems)
	isPush := v.Kind == resp.Push && n == 2 && v.Elems[0].Text == "invalidate"
	isMessage := v.Kind == resp.Array && n == 3 && v.Elems[0].Text == "message" && v.Elems[1].Text == "__redis__:invalidate"
	switch {
	case v.Kind == resp.Push && v.Elems[0].Text == "tracking-redir-broken":
		k.told[fmt.Sprintf("(broken %d)", n)] = true
		return true
	case !isPush && !isMessage:
		return false
	case v.Elems[n-1].IsNull(): // in Redis of the tracker's version, not of that of who gets it
		k.told["(all)"] = true
	}
	for _, key := range v.Elems[n-1].Elems {
		k.told[key.Text] = true
	}
	return true
}

// takeTold returns all that was told since it was called last, in order.
func (k *keeper) takeTold() string {
	names := slices.Sorted(maps.Keys(k.told))
	clear(k.told)
	return strings.Join(names, " ")
}

// TestInvalidationsAreRedis compares whom a redis-server tells of which keys.
func TestInvalidationsAreRedis(t *testing.T) {
	sockets := [2]string{startRedis(t), startOurs(t)}
	reads := strings.Split("GET a;GET b;GET none;MGET a b c;HGETALL h;STRLEN a;EXISTS a b;TTL a;TYPE a;OBJECT ENCODING a;LRANGE l 0 -1;SINTER s t;ZRANGE z 0 -1;GETRANGE a 0 1;"+
		"MULTI|GET a|GET b|EXEC;MULTI|GET a|DISCARD;EVAL \"return redis.call('get', KEYS[1])\" 1 a;EVAL_RO \"return redis.call('get', KEYS[1])\" 1 b;CLIENT CACHING YES|GET a;"+
		"CLIENT CACHING NO|GET a;CLIENT CACHING YES|MULTI|GET a|GET c|EXEC;SELECT 0;DBSIZE;SORT_RO l;SET a own;DEL b;GETEX a;INCR c;GET a|SET a x", ";")
	writes := strings.Split("SET a 1;SET b 2;SET c 3;DEL a;DEL a b c;INCR c;EXPIRE a 100;PERSIST a;HSET h f v;HDEL h f;RPUSH l 1;LPOP l;SADD s x;SREM s x;SADD t y;ZADD z 1 m;ZREM z m;"+
		"RENAME a b;RENAME b c;COPY a b;MSET a 1 b 2;MULTI|SET a 1|SET b 2|EXEC;EVAL \"return redis.call('set', KEYS[1], 1)\" 1 a;SUNIONSTORE s s t;SET a 1|FLUSHDB;SET a 1|FLUSHALL;GETSET a 1;SETNX a 1;GET a", ";")
	modes := []string{"ON", "ON OPTIN", "ON OPTOUT", "ON BCAST", "ON BCAST PREFIX a PREFIX l"}
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	told := 0
	for round := range 40 {
		mode, isRedirected := modes[round%len(modes)], round%4 > 1
		proto := 2 + round%2
		if !isRedirected {
			proto = 3
		}
		var conns [2][3]*keeper // Redis and ours: the client, the one it redirects to, who else writes
		for side, socket := range sockets {
			for i := range conns[side] {
				conns[side][i] = &keeper{dial(t, socket), map[string]bool{}}
			}
			c := conns[side]
			options := mode
			c[0].do(fmt.Sprint("HELLO ", proto))
			if isRedirected {
				c[1].do(fmt.Sprint("HELLO ", 2+round/2%2))
				id := c[1].wire.send("CLIENT ID")
				c[1].do("SUBSCRIBE __redis__:invalidate")
				options += " REDIRECT " + strings.Trim(id, ":\r\n")
			}
			if got := c[0].do("FLUSHALL|CLIENT TRACKING " + options); got != "+OK\r\n+OK\r\n" {
				t.Fatalf("CLIENT TRACKING %s: %q", options, got)
			}
		}
		var log []string
		for range 60 {
			who, line := 0, reads[r.IntN(len(reads))]
			if r.IntN(2) == 0 {
				who, line = 2, writes[r.IntN(len(writes))]
			}
			log = append(log, fmt.Sprint(who, " ", line))
			var got [2]string
			for side := range conns {
				got[side] = conns[side][who].do(line)
				for i, c := range conns[side] {
					c.do("")
					got[side] += fmt.Sprintf(" %d told %q", i, c.takeTold())
				}
			}
			if got[1] != got[0] {
				t.Fatalf("seed %d, %s, redirected %v, RESP%d:\n  %s\n  got %s\nRedis %s", seed, mode, isRedirected, proto, strings.Join(log, "\n  "), got[1], got[0])
			}
			told += strings.Count(got[0], `" `)
		}
	}
	t.Logf("seed %d", seed)
	if told == 0 {
		t.Error("nothing was told")
	}
}

// TestABrokenRedirectionIsRedis compares what is said where the connection that
// is redirected to is gone.
func TestABrokenRedirectionIsRedis(t *testing.T) {
	var got [2]string
	for side, socket := range [2]string{startRedis(t), startOurs(t)} {
		target := &keeper{dial(t, socket), map[string]bool{}}
		target.do("HELLO 3")
		id := strings.Trim(target.wire.send("CLIENT ID"), ":\r\n")
		one, other := &keeper{dial(t, socket), map[string]bool{}}, &keeper{dial(t, socket), map[string]bool{}}
		one.do("HELLO 3")
		one.do("CLIENT TRACKING ON REDIRECT " + id + "|GET a")
		other.do("SET a 1")
		target.do("")
		got[side] = target.takeTold()
		_ = target.socket.Close()
		for other.do("CLIENT LIST ID "+id) != "$0\r\n\r\n" {
			time.Sleep(time.Millisecond)
		}
		one.do("GET a")
		other.do("SET a 2")
		got[side] += one.do("CLIENT TRACKINGINFO") + one.takeTold()
		got[side] = strings.ReplaceAll(got[side], ":"+id+"\r\n", ":ID\r\n")
	}
	if got[1] != got[0] {
		t.Errorf("got %q\nRedis %q", got[1], got[0])
	}
}
