package behaviour

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/huddlecache/huddle/internal/respclient"
)

// say sends a command and fails the test unless the reply is as wanted. An
// error reply is given as text.
func say(t *testing.T, c *respclient.Client, want any, args ...string) {
	t.Helper()
	got, err := c.Do(args...)
	if reply, isReply := errors.AsType[respclient.Error](err); isReply {
		got = string(reply)
	} else if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q: got %v, want %v", args, got, want)
	}
}

func TestAWatchSeesChangesMadeOnOtherNodes(t *testing.T) {
	w := cluster(t)
	for i := range 3 {
		key := fmt.Sprint("watched", i)
		here, there := w.redis(t, i), w.redis(t, i+1)
		if _, err := there.Do("DEL", key+"absent", key+"other"); err != nil { // of an earlier run
			t.Fatal(err)
		}
		say(t, there, "OK", "SET", key, "1")
		say(t, here, "OK", "WATCH", key)
		say(t, there, "OK", "SET", key, "1")
		say(t, here, "OK", "MULTI")
		say(t, here, "QUEUED", "SET", key, "2")
		say(t, here, nil, "EXEC")

		say(t, here, "OK", "WATCH", key, key+"absent")
		say(t, there, 1, "INCR", key+"other")
		say(t, here, "OK", "MULTI")
		say(t, here, "QUEUED", "INCR", key)
		say(t, here, "QUEUED", "GET", key)
		say(t, here, "[2 2]", "EXEC")
		say(t, there, 2, "GET", key)

		say(t, here, "OK", "WATCH", key+"absent")
		say(t, there, "OK", "SET", key+"absent", "")
		say(t, here, "OK", "MULTI")
		say(t, here, nil, "EXEC")
	}
}

func TestATransactionIsWholeOnEveryNode(t *testing.T) {
	w := cluster(t)
	const a, b = "pair{a}", "pair{b}"
	var writers, readers sync.WaitGroup
	var unknown atomic.Int64
	done := make(chan struct{})
	say(t, w.redis(t, 0), "OK", "MSET", a, "0", b, "0")
	for i := range 3 {
		c, reader := w.redis(t, i), w.redis(t, i)
		writers.Go(func() {
			for range 40 {
				say(t, c, "OK", "MULTI")
				say(t, c, "QUEUED", "INCR", a)
				say(t, c, "QUEUED", "INCR", b)
				if _, err := c.Do("EXEC"); err != nil { // the machine is too slow just now
					unknown.Add(1)
				}
			}
		})
		readers.Go(func() {
			for {
				got, err := reader.Do("MGET", a, b)
				if pair, isPair := got.([]any); err == nil && (!isPair || pair[0] != pair[1]) {
					t.Errorf("got %v, want two that are equal", got)
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
	got, err := w.redis(t, 1).Do("MGET", a, b)
	pair, isPair := got.([]any)
	if err != nil || !isPair || pair[0] != pair[1] {
		t.Fatalf("got %v, %v, want two that are equal", got, err)
	}
	wantCount(t, fmt.Sprint(pair[0]), 120-int(unknown.Load()), 120)
}

// wantCount fails the test unless got is a number from least to most.
func wantCount(t *testing.T, got string, least, most int) {
	t.Helper()
	if n, err := strconv.Atoi(got); err != nil || n < least || n > most {
		t.Errorf("got %s, want %d to %d", got, least, most)
	}
}

// Counting by WATCH, GET, MULTI, SET, EXEC on three nodes at once loses nothing.
// What became of an EXEC may be unknown, if the machine is slow.
func TestWatchedCountersLoseNothing(t *testing.T) {
	w := cluster(t)
	const key, each = "counted", 15
	say(t, w.redis(t, 0), "OK", "SET", key, "0")
	var running sync.WaitGroup
	var unknown atomic.Int64
	for i := range 6 {
		c := w.redis(t, i)
		running.Go(func() {
			for done := 0; done < each; {
				switch isDone, err := countUp(c, key); {
				case isDone:
					done++
				case err != nil:
					if unknown.Add(1) > each {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	running.Wait()
	got, err := w.redis(t, 2).Do("GET", key)
	if err != nil {
		t.Fatal(err)
	}
	wantCount(t, fmt.Sprint(got), 6*each, 6*each+int(unknown.Load()))
}

// countUp adds one, unless another was faster.
func countUp(c *respclient.Client, key string) (done bool, err error) {
	if _, err = c.Do("WATCH", key); err != nil {
		return false, err
	}
	got, err := c.Do("GET", key)
	if err != nil {
		return false, err
	}
	n, err := strconv.Atoi(fmt.Sprint(got))
	if err != nil {
		return false, err
	}
	for _, command := range [][]string{{"MULTI"}, {"SET", key, strconv.Itoa(n + 1)}} {
		if _, err = c.Do(command...); err != nil {
			return false, err
		}
	}
	got, err = c.Do("EXEC")
	return got != nil, err
}

// What is over a quarter of a MiB goes another way through the cluster. All of
// it is sent again while its outcome is unknown, and takes effect once.
func TestLargeTransactionsTakeEffectOnce(t *testing.T) {
	w := cluster(t)
	value := strings.Repeat("x", 3000)
	for i := range 3 {
		key := fmt.Sprint("large", i, time.Now().UnixNano())
		for again := 0; ; again++ {
			c := w.redis(t, i+again)
			say(t, c, "OK", "MULTI")
			say(t, c, "QUEUED", "HINCRBY", key, "n", "1")
			for j := range 500 {
				say(t, c, "QUEUED", "HSET", key, strconv.Itoa(j), value)
			}
			got, err := c.Do("IDEM", key, "EXEC")
			if replies, isArray := got.([]any); isArray && len(replies) == 501 && replies[0] == int64(1) {
				if again > 0 {
					break
				}
				continue // once more, through the next node
			}
			if err == nil || respclient.OutcomeOf(err) == respclient.Answered || again > 10 {
				t.Fatalf("got %v, %v, want 501 replies", got, err)
			}
		}
		say(t, w.redis(t, i+1), 501, "HLEN", key)
		say(t, w.redis(t, i+1), "1", "HGET", key, "n")
	}
}
