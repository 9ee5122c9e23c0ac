package redis_test

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"
)

// A waitingWire is a connection whose replies may come late.
type waitingWire struct {
	*wire
	id        string
	replies   chan string
	isWaiting bool
}

func dialWaiting(t *testing.T, socket string, proto int) *waitingWire {
	t.Helper()
	w := &waitingWire{wire: dial(t, socket), replies: make(chan string, 16)}
	w.send(fmt.Sprint("HELLO ", proto))
	w.id = strings.Trim(w.send("CLIENT ID"), ":\r\n")
	go func() { // ends with the connection
		for {
			value, err := w.reader.Read()
			if err != nil {
				close(w.replies)
				return
			}
			w.replies <- string(value.Append(nil))
		}
	}()
	return w
}

// ask sends a command and returns its reply, or none if the server says by
// another connection that the client is blocked.
func (w *waitingWire) ask(by *wire, line string) string {
	w.t.Helper()
	if _, err := w.socket.Write([]byte(line + "\r\n")); err != nil {
		w.t.Fatal(err)
	}
	for range 5000 {
		select {
		case reply := <-w.replies:
			return reply
		case <-time.After(time.Millisecond):
		}
		if isBlocked(by, w.id) {
			w.isWaiting = true
			return ""
		}
	}
	w.t.Fatalf("%s: neither answered nor blocked", line)
	return ""
}

func isBlocked(by *wire, id string) bool {
	return strings.Contains(by.send("CLIENT LIST ID "+id), " flags=bU ")
}

// late waits for the reply to a command that waited.
func (w *waitingWire) late() string {
	w.isWaiting = false
	select {
	case reply := <-w.replies:
		return reply
	case <-time.After(5 * time.Second):
		return "nothing"
	}
}

// blockingWaits are what clients wait with in TestBlockingIsRedis, and
// blockingActs what another one does meanwhile; # is a new element, and | parts
// commands that are sent at once. No value of another kind is overwritten by what
// somebody waits for: Redis 7.0 does not see that. And what it finds first after a
// SWAPDB follows from no rule.
var (
	blockingWaits = strings.Split("BLPOP a 0;BLPOP a b 0;BLPOP c b a 0;BRPOP a 0;BRPOP b c 0;BLMOVE a b LEFT RIGHT 0;BLMOVE b c RIGHT LEFT 0;BLMOVE a a LEFT RIGHT 0;"+
		"BRPOPLPUSH b a 0;BRPOPLPUSH c z 0;BLMPOP 0 1 a LEFT;BLMPOP 0 2 b c RIGHT COUNT 2;BZPOPMIN z 0;BZPOPMAX y z 0;BZMPOP 0 2 z y MIN COUNT 3;BZPOPMIN a z 0;BLPOP z a 0", ";")
	blockingActs = strings.Split("RPUSH a #;RPUSH b # #;LPUSH c # #;LPUSH a # # #;ZADD z 1 # 2 #;ZADD y 3 #;MULTI|RPUSH b #|RPUSH a #|EXEC;MULTI|RPUSH a #|LPOP a|EXEC;"+
		"MULTI|RPUSH c #|ZADD z 5 #|LPUSH c #|EXEC;RPUSH n # #|RENAME n a;RPUSH n #|COPY n b|DEL n;RPUSH n 2 1|SORT n STORE c|DEL n;RPUSH n #|LMOVE n a LEFT LEFT;"+
		"EVAL 'redis.call(\"RPUSH\",\"b\",\"#\") return redis.call(\"RPUSH\",\"a\",\"#\")' 0;LPOP a;DEL b;SELECT 1|RPUSH c #|MOVE c 0|SELECT 0;UNBLOCK;UNBLOCK ERROR;"+
		"SET n v|RENAME n y|DEL y;DEL z|ZADD n 1 #|ZUNIONSTORE z 1 n|DEL n;SET s v|DEL s", ";")
	numbers = regexp.MustCompile("#")
)

// TestBlockingIsRedis has clients wait for keys of which another one makes
// something, here and at a redis-server: who is served, with what and in what
// order, and what is left, is the same.
func TestBlockingIsRedis(t *testing.T) {
	sockets := [2]string{startRedis(t), startOurs(t)}
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 0))
	served := 0
	for round := range 12 {
		var actors [2]*wire
		var clients [2][4]*waitingWire
		for side, socket := range sockets {
			actors[side] = dial(t, socket)
			actors[side].send("FLUSHALL")
			for i := range clients[side] {
				clients[side][i] = dialWaiting(t, socket, 2+round%2)
			}
		}
		var log []string
		check := func(line, got, want string) {
			t.Helper()
			log = append(log, line)
			if got != want {
				t.Fatalf("seed %d, round %d:\n  %s\n  got %q\nRedis %q", seed, round, strings.Join(log, "\n  "), got, want)
			}
		}
		element := 0
		for range 50 {
			if i := rng.IntN(8); i < 4 && !clients[0][i].isWaiting {
				line := blockingWaits[rng.IntN(len(blockingWaits))]
				want, got := clients[0][i].ask(actors[0], line), clients[1][i].ask(actors[1], line)
				check(fmt.Sprint(i, " ", line), got, want)
			} else {
				line := blockingActs[rng.IntN(len(blockingActs))]
				line = numbers.ReplaceAllStringFunc(line, func(string) string { element++; return fmt.Sprint("e", element) })
				i := rng.IntN(4)
				var replies [2]string
				for side, actor := range actors {
					sent := strings.Replace(line, "UNBLOCK", "CLIENT UNBLOCK "+clients[side][i].id, 1)
					replies[side] = actor.send(strings.Split(sent, "|")...)
				}
				check(line, replies[1], replies[0])
			}
			for i, client := range clients[0] {
				if client.isWaiting && !isBlocked(actors[0], client.id) {
					served++
					check(fmt.Sprint(i, " is answered"), clients[1][i].late(), client.late())
				}
			}
			for i, client := range clients[1] {
				if client.isWaiting && !isBlocked(actors[1], client.id) {
					check(fmt.Sprint(i, " is answered"), client.late(), "")
				}
			}
			look := []string{"LRANGE a 0 -1", "LRANGE b 0 -1", "LRANGE c 0 -1", "ZRANGE z 0 -1", "ZRANGE y 0 -1"}
			check("what is left", actors[1].send(look...), actors[0].send(look...))
		}
	}
	t.Logf("seed %d: %d were served", seed, served)
	if served < 30 {
		t.Error("the test is weak")
	}
}
