package e2e

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/huddlecache/huddle/internal/respclient"
	"github.com/huddlecache/huddle/server/resp"
)

// lastMessage is published when all else has been.
const lastMessage = "that was all"

// A listener keeps what one connection is sent of the channel "news".
type listener struct {
	n      *node
	socket net.Conn
	done   chan struct{} // closed when it has heard the last message, or the connection is over
	heard  []string      // messages in the order in which they came; valid once done is closed
	err    error         // why the connection is over; likewise
}

// listen subscribes, by the channel or by a pattern that matches it, and
// returns when that is confirmed.
func listen(t *testing.T, n *node, proto int, byPattern bool) *listener {
	t.Helper()
	socket, err := new(net.Dialer).DialContext(t.Context(), "tcp", n.redisAddr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	l := &listener{n: n, socket: socket, done: make(chan struct{})}
	subscribe := []string{"SUBSCRIBE", "news"}
	if byPattern {
		subscribe = []string{"PSUBSCRIBE", "n[e]*"}
	}
	commands := respclient.AppendCommand(nil, "HELLO", fmt.Sprint(proto))
	if _, err := socket.Write(respclient.AppendCommand(commands, subscribe...)); err != nil {
		t.Fatal(err)
	}
	replies := resp.NewReplyReader(socket)
	for range 2 {
		v, err := replies.Read()
		if err != nil || v.Err() != nil {
			t.Fatalf("subscribing at %s: %v, %v", n.name, v, err)
		}
	}
	go l.read(replies) // until the last message or the end of the connection
	return l
}

func (l *listener) read(replies *resp.ReplyReader) {
	defer close(l.done)
	for {
		v, err := replies.Read()
		if err != nil {
			l.err = err
			return
		}
		message := v.Elems[len(v.Elems)-1].Text
		if strings.HasPrefix(message, lastMessage) {
			return
		}
		l.heard = append(l.heard, message)
	}
}

// A publisher sends messages one after another, never the same one twice.
type publisher struct {
	name     string
	tally    *tally
	answered []string // acknowledged, in order
	refused  []string // certainly not published
}

func (p *publisher) run(ctx context.Context, w *world, first int) {
	c := newCaller(w, first)
	defer c.close()
	for i := 0; ctx.Err() == nil; i++ {
		message := fmt.Sprintf("%s %d", p.name, i)
		_, err := c.do("PUBLISH", "news", message)
		p.tally.add(err)
		switch respclient.OutcomeOf(err) {
		case respclient.Answered:
			p.answered = append(p.answered, message)
		case respclient.Refused:
			p.refused = append(p.refused, message)
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// TestMessagesReachEverybodyOnce publishes through all nodes while the leader
// is killed. Every connection that stays gets each message that was
// acknowledged, once, and all get the same ones in the same order; so does one
// that begins later, from then on. The connections to the node that was killed
// have got the beginning of that.
func TestMessagesReachEverybodyOnce(t *testing.T) {
	t.Parallel()
	w := startNodes(t, 3, false)
	w.waitWhole(time.Minute)
	var listeners []*listener
	for _, n := range w.inService() {
		for _, proto := range []int{2, 3} {
			listeners = append(listeners, listen(t, n, proto, false), listen(t, n, proto, true))
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	y, publishers := &tally{}, make([]*publisher, 6)
	var publishing sync.WaitGroup
	for i := range publishers {
		p := &publisher{name: fmt.Sprintf("p%d", i), tally: y}
		publishers[i] = p
		publishing.Go(func() { p.run(ctx, w, i) })
	}

	time.Sleep(time.Second)
	leader := w.leader(20 * time.Second)
	others := slices.DeleteFunc(slices.Clone(w.inService()), func(n *node) bool { return n == leader })
	late := listen(t, others[0], 3, false)
	w.kill(leader)
	took := w.otherLeader(leader, 20*time.Second)
	after := listen(t, w.inService()[0], 2, true)
	c := newCaller(w, 0)
	defer c.close()
	marks := []string{publishUntil(t, c, "mark")} // which after must hear
	time.Sleep(time.Second)
	stop()
	publishing.Wait()
	marks = append(marks, publishUntil(t, c, "other mark"))
	publishUntil(t, c, lastMessage)

	common := firstThatStayed(t, listeners, leader)
	for _, l := range append(listeners, late, after) {
		<-l.done
		switch {
		case l.n == leader:
			if len(l.heard) > len(common) || !slices.Equal(l.heard, common[:len(l.heard)]) {
				t.Errorf("a connection to %s, which was killed, has heard what is no beginning of what others have", l.n.name)
			}
		case l.err != nil:
			t.Errorf("a connection to %s was closed: %v", l.n.name, l.err)
		case l == late || l == after:
			if begin := len(common) - len(l.heard); begin < 0 || !slices.Equal(l.heard, common[begin:]) {
				t.Errorf("a connection that began later has heard what is no end of what others have")
			}
		case !slices.Equal(l.heard, common):
			t.Errorf("a connection to %s has heard %d messages, another one %d, or in another order", l.n.name, len(l.heard), len(common))
		}
	}
	for _, mark := range marks {
		if !slices.Contains(after.heard, mark) {
			t.Errorf("%q has not come to who had subscribed before", mark)
		}
	}
	checkMessages(t, publishers, common)
	t.Logf("%d messages; the leader was replaced within %v; answers: %v", len(common), took.Round(time.Millisecond), y)
}

// publishUntil publishes until that is acknowledged, each time another message
// that begins with prefix, and returns the one that was.
func publishUntil(t *testing.T, c *caller, prefix string) (message string) {
	t.Helper()
	sent := 0
	eventually(t, 20*time.Second, func() error {
		sent++
		message = fmt.Sprintf("%s %d", prefix, sent)
		_, err := c.do("PUBLISH", "news", message)
		return err
	})
	return message
}

// firstThatStayed returns what the first connection heard whose node was not
// killed.
func firstThatStayed(t *testing.T, listeners []*listener, killed *node) []string {
	t.Helper()
	for _, l := range listeners {
		if l.n == killed {
			continue
		}
		select {
		case <-l.done:
			return l.heard
		case <-time.After(20 * time.Second):
			t.Fatalf("the last message has not reached %s", l.n.name)
		}
	}
	return nil
}

// checkMessages holds what was heard against what the publishers were told.
func checkMessages(t *testing.T, publishers []*publisher, heard []string) {
	t.Helper()
	times, order := map[string]int{}, map[string][]string{}
	for _, message := range heard {
		if times[message]++; times[message] > 1 {
			t.Errorf("%q came %d times", message, times[message])
		}
		name, _, _ := strings.Cut(message, " ")
		order[name] = append(order[name], message)
	}
	for _, p := range publishers {
		for _, message := range p.refused {
			if times[message] > 0 {
				t.Errorf("%q was certainly not published, and came", message)
			}
		}
		// Those without an answer may be between.
		isAnswered := map[string]bool{}
		for _, message := range p.answered {
			isAnswered[message] = true
		}
		acknowledged := slices.DeleteFunc(order[p.name], func(m string) bool { return !isAnswered[m] })
		if !slices.Equal(acknowledged, p.answered) || len(p.answered) == 0 {
			t.Errorf("%s: %d of %d acknowledged messages came, or in another order", p.name, len(acknowledged), len(p.answered))
		}
	}
}
