package redis_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/keyspace"
	"github.com/huddlecache/huddle/server/redis"
)

// A message never comes before what tells the client that it may come, nor
// before the replies of what it sent together with that.
func TestConfirmationsComeBeforeMessages(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		c := w.connect()
		c.do("HELLO 3")
		got := c.pipe("SUBSCRIBE a", "PUBLISH a 1", "SUBSCRIBE b", "PUBLISH b 2", "GET x")
		want := event(3, "subscribe", "a", 1) + ":1\r\n" + event(3, "subscribe", "b", 2) + ":1\r\n_\r\n" + event(3, "message", "a", "1") + event(3, "message", "b", "2")
		if got != want {
			t.Errorf("\n got %q\nwant %q", got, want)
		}
		got = c.pipe("PUBLISH b 2", "MULTI", "UNSUBSCRIBE b", "EXEC")
		want = ":1\r\n" + ok + queued + "*1\r\n" + event(3, "unsubscribe", "b", 1) + event(3, "message", "b", "2")
		if got != want {
			t.Errorf("\n got %q\nwant %q", got, want)
		}
		got = c.pipe("PUBLISH a 3", "UNSUBSCRIBE a", "PUBLISH a 4", "GET x")
		want = ":1\r\n" + event(3, "message", "a", "3") + event(3, "unsubscribe", "a", 0) + ":0\r\n_\r\n"
		if got != want {
			t.Errorf("\n got %q\nwant %q", got, want)
		}
	})
}

// publishes makes the node hear a message that another one has logged.
func (w *world) publishes(channel, message string) {
	w.hears(machine.Event{Kind: keyspace.EventMessage, Key: append([]byte{byte(len(channel))}, channel+message...)})
}

func (w *world) hears(e machine.Event) {
	w.log.mu.Lock()
	heard := w.log.heard
	w.log.mu.Unlock()
	heard(e)
}

func TestAMessageDoesNotOvertakeAReplyUnderWay(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		c := w.connect()
		c.do("HELLO 3")
		c.do("SUBSCRIBE a")
		w.log.set(func() { w.log.delay = time.Second })
		c.send("GET x\r\n")
		time.Sleep(500 * time.Millisecond)
		w.publishes("a", "1")
		c.wantHeard("")
		time.Sleep(time.Second)
		c.wantHeard("_\r\n" + event(3, "message", "a", "1"))
		w.publishes("a", "2") // the connection is idle
		c.wantHeard(event(3, "message", "a", "2"))
	})
}

// What waits for the client already when a command comes may go before its
// reply, and what comes meanwhile not.
func TestAReplyWaitsForTheMessagesBefore(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		c := w.connect()
		c.do("HELLO 3")
		c.do("SUBSCRIBE a")
		w.log.set(func() { w.log.delay = time.Second })
		c.pause()
		for _, text := range []string{"1", "2", "3"} {
			w.publishes("a", text)
			synctest.Wait()
		}
		c.send("GET x\r\n")
		synctest.Wait()
		w.publishes("a", "4")
		c.resume()
		c.wantHeard(event(3, "message", "a", "1") + event(3, "message", "a", "2") + event(3, "message", "a", "3"))
		time.Sleep(2 * time.Second)
		c.wantHeard("_\r\n" + event(3, "message", "a", "4"))
	})
}

// A client that sends commands without a pause gets its messages all the same.
func TestMessagesComeBetweenCommandsWithoutEnd(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		c := w.connect()
		c.do("HELLO 3")
		c.do("SUBSCRIBE a")
		w.log.set(func() { w.log.delay = time.Second })
		for range 10 {
			c.send("GET x\r\n")
			time.Sleep(500 * time.Millisecond)
			w.publishes("a", "1")
			c.send("GET y\r\n") // is there when the first one is answered
			time.Sleep(600 * time.Millisecond)
			c.wantHeard("_\r\n" + event(3, "message", "a", "1"))
			time.Sleep(900 * time.Millisecond)
			c.wantHeard("_\r\n")
		}
	})
}

func TestASlowSubscriberIsCutOff(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		slow, quick := w.connect(), w.connect()
		slow.do("SUBSCRIBE a")
		quick.do("SUBSCRIBE a")
		slow.pause()
		const size = 1 << 20
		message, sent := strings.Repeat("x", size), 0
		for w.server.Counters.Slow.Load() == 0 && sent < 20 {
			w.publishes("a", message)
			sent++
			synctest.Wait()
			if got := quick.heard(); got != event(2, "message", "a", message) {
				t.Fatalf("message %d: the quick client got %d bytes", sent, len(got))
			}
		}
		if sent < 8 || sent > 11 {
			t.Errorf("cut off after %d messages of 1 MiB, want about 8", sent)
		}
		slow.resume()
		if got := slow.heard(); !strings.HasSuffix(got, "CLOSED") {
			t.Errorf("the slow client is connected still, and got %d bytes", len(got))
		}
		w.publishes("a", "more")
		quick.wantHeard(event(2, "message", "a", "more"))
	})
}

// What waits for a client is counted down as it is written: one that reads is
// never cut off, however much it gets, and one message is never too large.
func TestASubscriberThatReadsIsNeverCutOff(t *testing.T) {
	in(t, redis.Config{MaxValue: 16 << 20}, func(w *world) {
		c := w.connect()
		c.do("SUBSCRIBE a")
		for _, size := range []int{9 << 20, 1 << 20, 12 << 20, 1, 5 << 20} {
			for range 3 {
				message := strings.Repeat("y", size)
				w.publishes("a", message)
				c.wantHeard(event(2, "message", "a", message))
			}
		}
		c.pause()
		var want strings.Builder
		for i := range 5000 {
			text := fmt.Sprint(i, strings.Repeat("z", i%300))
			w.publishes("a", text)
			want.WriteString(event(2, "message", "a", text))
		}
		c.resume()
		c.wantHeard(want.String())
	})
}

func TestCloseEndsSubscribersThatDoNotRead(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		slow, idle := w.connect(), w.connect()
		slow.do("SUBSCRIBE a")
		idle.do("SUBSCRIBE a")
		slow.pause()
		w.publishes("a", strings.Repeat("x", 1<<20))
		begin := time.Now()
		if err := w.server.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took > 6*time.Second {
			t.Errorf("Close took %v", took)
		}
		slow.resume()
		for name, c := range map[string]*client{"slow": slow, "idle": idle} {
			if got := c.heard(); !strings.HasSuffix(got, "CLOSED") {
				t.Errorf("the %s client is connected still", name)
			}
		}
	})
}
