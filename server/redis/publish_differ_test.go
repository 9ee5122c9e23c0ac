package redis_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/huddlecache/huddle/server/resp"
)

// subscriberLines are what TestSubscriptionsAreRedis draws from; a line may be
// several commands.
var subscriberLines = strings.Split(
	"SUBSCRIBE a;SUBSCRIBE a b a;SUBSCRIBE c abc;PSUBSCRIBE a*;PSUBSCRIBE ? [ab]*;PSUBSCRIBE *c;PSUBSCRIBE a*;UNSUBSCRIBE a;UNSUBSCRIBE b none b;"+
		"UNSUBSCRIBE;PUNSUBSCRIBE;PUNSUBSCRIBE a*;PUNSUBSCRIBE ? none;PING;PING x;PING x y;GET k;GET;SET k v;NOSUCH;CLIENT;CLIENT NOSUCH;CLIENT GETNAME;"+
		"SUBSCRIBE;PSUBSCRIBE;PUBLISH a;PUBSUB;PUBSUB NOSUCH;PUBSUB CHANNELS a b c;PUBSUB NUMPAT x;EXEC;DISCARD;RESET|HELLO;"+
		"PUBSUB CHANNELS a*;PUBSUB NUMSUB;PUBSUB NUMSUB a b none;PUBSUB NUMPAT;MULTI|SUBSCRIBE a b|GET k|UNSUBSCRIBE a|EXEC;MULTI|PSUBSCRIBE a|PING|EXEC;"+
		"MULTI|SUBSCRIBE a|DISCARD;MULTI|SUBSCRIBE|EXEC;CLIENT REPLY SKIP|SUBSCRIBE a;CLIENT REPLY SKIP|UNSUBSCRIBE nix;CLIENT REPLY SKIP|PING", ";")

// TestSubscriptionsAreRedis sends random commands over a connection that
// subscribes, and publishes over another one, here and to a redis-server.
func TestSubscriptionsAreRedis(t *testing.T) {
	sockets := [2]string{startRedis(t), startOurs(t)}
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 0))
	messages, refused := 0, 0
	for round := range 60 {
		proto := 2 + round%2
		var conns [2][2]*wire // Redis and ours; the subscriber and the publisher
		for side, socket := range sockets {
			conns[side] = [2]*wire{dial(t, socket), dial(t, socket)}
			conns[side][0].send(fmt.Sprint("HELLO ", proto))
		}
		var log []string
		check := func(line, got, want string) {
			t.Helper()
			log = append(log, line)
			if got != want {
				t.Fatalf("seed %d, RESP%d:\n  %s\n  got %q\nRedis %q", seed, proto, strings.Join(log[max(0, len(log)-40):], "\n  "), got, want)
			}
		}
		for range 60 {
			if rng.IntN(3) == 0 {
				channel := []string{"a", "b", "abc", "c", "none"}[rng.IntN(5)]
				line := "PUBLISH " + channel + fmt.Sprint(" m", rng.IntN(100))
				check(line, conns[1][1].send(line), conns[0][1].send(line))
				got, want := conns[1][0].until(""), conns[0][0].until("")
				messages += strings.Count(want, "message")
				check("what is heard", got, want)
				continue
			}
			line := subscriberLines[rng.IntN(len(subscriberLines))]
			line = strings.Replace(line, "RESET|HELLO", fmt.Sprint("RESET|HELLO ", proto), 1)
			got, want := conns[1][0].until(line), conns[0][0].until(line)
			refused += strings.Count(want, "are allowed in this context")
			check(line, got, want)
		}
	}
	t.Logf("seed %d, %d messages, %d refused", seed, messages, refused)
}

// until sends commands, which bars separate, and a PING, and returns all that
// comes before the answer to that. What has no order in Redis is put into one:
// the names of channels, and the patterns that a message matches.
func (w *wire) until(line string) string {
	w.t.Helper()
	const last = "the last one"
	lines := append(strings.Split(line, "|"), "PING '"+last+"'")
	if _, err := w.socket.Write([]byte(strings.Join(lines, "\r\n") + "\r\n")); err != nil {
		w.t.Fatal(err)
	}
	var values []resp.Value
	for {
		v, err := w.reader.Read()
		if err != nil {
			w.t.Fatalf("%q: %v", line, err)
		}
		if v.Text == last || len(v.Elems) == 2 && v.Elems[1].Text == last {
			break
		}
		values = append(values, v)
	}
	var got []string
	for _, v := range values {
		if len(v.Elems) == 3 && strings.HasSuffix(v.Elems[0].Text, "unsubscribe") && (line == "UNSUBSCRIBE" || line == "PUNSUBSCRIBE") {
			got = append(got, v.Elems[1].Text)
			v.Elems[1].Text = ""
		}
		if strings.HasPrefix(line, "PUBSUB CHANNELS") {
			slices.SortFunc(v.Elems, func(a, b resp.Value) int { return strings.Compare(a.Text, b.Text) })
		}
		if isID(v) {
			v.Elems = nil
		}
		got = append(got, string(v.Append(nil)))
	}
	if !strings.Contains(line, "SUBSCRIBE") || line == "UNSUBSCRIBE" || line == "PUNSUBSCRIBE" {
		slices.Sort(got)
	}
	return strings.Join(got, "")
}

// isID reports whether v is the reply to HELLO, which has the connection's ID.
func isID(v resp.Value) bool { return len(v.Elems) > 0 && v.Elems[0].Text == "server" }

// noticeLines are what TestNoticesAreRedis draws from.
var noticeLines = strings.Split(
	"SET a 1;SET a 2 EX 100;SET b 3 PX 100000 NX;SET b 4 XX EX 50;SETEX a 100 v;PSETEX b 100000 v;SETNX a x;GETSET a y;SET a z KEEPTTL;MSET a 1 b 2;INCR c;INCRBY c 5;APPEND a x;"+
		"GETDEL a;GETEX a EX 100;GETEX b PERSIST;GETEX a EXAT 1;DEL a;DEL a b c d none;UNLINK b;EXPIRE a 100;EXPIRE b 100 NX;PEXPIRE c 100000 GT;EXPIRE a -1;EXPIREAT c 1;PEXPIREAT d 1;"+
		"PERSIST a;PERSIST b;RENAME a b;RENAME b a;RENAME a a;RENAMENX c d;RENAMENX a b;RENAME none x;COPY a b;COPY a d REPLACE;COPY c b DB 1;MOVE a 1;MOVE b 1;SELECT 0;SELECT 1;SELECT 0;"+
		"LPUSH l 1;LPUSH l 2 3;RPOP l;LPOP l 2;LTRIM l 5 9;LREM l 0 1;LMOVE l m LEFT RIGHT;RPOPLPUSH m l;LMPOP 2 l m LEFT COUNT 2;"+
		"SADD s x y;SREM s x;SREM s x y;SPOP s 5;SMOVE s u x;SINTERSTORE s s u;SDIFFSTORE s s s;SUNIONSTORE u s s;"+
		"ZADD z 1 x 2 y;ZREM z x;ZREM z x y;ZPOPMIN z;ZPOPMAX z 5;ZREMRANGEBYSCORE z 0 9;ZREMRANGEBYRANK z 0 -1;ZUNIONSTORE z 1 z;ZINTERSTORE z 2 z none;ZRANGESTORE z z 5 9;ZMPOP 1 z MIN COUNT 3;"+
		"HSET h f v g w;HDEL h f;HDEL h f g;SORT l STORE m;SORT none STORE l;BITOP AND a none none;BITOP OR d a b;SETRANGE a 0 '';SETRANGE a 1 x;"+
		"MULTI|SET a 1 EX 100|DEL a|EXEC;EVAL \"redis.call('set', 'a', 1, 'px', 1000000) redis.call('persist', 'a') return redis.call('del', 'a', 'b')\" 0;FLUSHDB;SWAPDB 0 1", ";")

// TestNoticesAreRedis compares the notices of keys of classes g and x that
// random commands make with those of a redis-server.
func TestNoticesAreRedis(t *testing.T) {
	sockets := [2]string{startRedis(t), startOurs(t)}
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 0))
	var listeners, writers [2]*wire
	for side, socket := range sockets {
		listeners[side], writers[side] = dial(t, socket), dial(t, socket)
		writers[side].send("CONFIG SET notify-keyspace-events gxKE")
		listeners[side].until("PSUBSCRIBE __key*")
	}
	var log []string
	notices := map[string]int{}
	for range 8_000 {
		line := noticeLines[rng.IntN(len(noticeLines))]
		log = append(log, line)
		for side := range sockets {
			writers[side].until(line)
		}
		got, want := listeners[1].heard(), listeners[0].heard()
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d:\n  %s\n  got %q\nRedis %q", seed, strings.Join(log[max(0, len(log)-40):], "\n  "), got, want)
		}
		for _, n := range want {
			_, deed, _ := strings.Cut(n, ":")
			notices[deed]++
		}
	}
	t.Logf("seed %d, notices %v", seed, notices)
}

// heard returns the messages that a subscriber has been sent, in order, each as
// its channel and itself.
func (w *wire) heard() (all []string) {
	w.t.Helper()
	if _, err := w.socket.Write([]byte("PING\r\n")); err != nil {
		w.t.Fatal(err)
	}
	for {
		v, err := w.reader.Read()
		if err != nil {
			w.t.Fatal(err)
		}
		if len(v.Elems) == 2 {
			return all
		}
		all = append(all, v.Elems[2].Text+" "+v.Elems[3].Text)
	}
}
