package redis_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/counters"
	"github.com/huddlecache/huddle/server/redis"
)

// A countingLog is a log of one node that agrees with itself, with a real
// machine of counters and limits behind it. Its lease time is the bubble's.
type countingLog struct {
	machine machine.Machine
	index   uint64
	began   time.Time
	err     error
	idem    []string
}

func (l *countingLog) Do(_ context.Context, items ...machine.Item) ([]machine.Reply, machine.Stamp, error) {
	if l.err != nil {
		return nil, machine.Stamp{}, l.err
	}
	l.index++
	tx := &machine.Tx{Stamp: l.now(), Shell: newMemory()}
	l.idem = append(l.idem, items[0].Idem)
	return []machine.Reply{{Data: l.machine.Apply(tx, items[0].Data)}}, tx.Stamp, nil
}

func (l *countingLog) Query(_ context.Context, _ machine.Consistency, query []byte) ([]byte, machine.Stamp, error) {
	return l.machine.Query(l.now(), query), l.now(), l.err
}

func (l *countingLog) now() machine.Stamp {
	return machine.Stamp{Cluster: "test", Index: l.index, Lease: time.Since(l.began)}
}

func (l *countingLog) Now() (time.Duration, bool)                    { return l.now().Lease, true }
func (l *countingLog) Subscribe(func(machine.Event)) (cancel func()) { return func() {} }

// counting runs test against a server with counters and limits.
func counting(t *testing.T, test func(w *world, log *countingLog, c *client)) {
	t.Helper()
	log := &countingLog{machine: counters.NewMachine()}
	in(t, redis.Config{Counting: counters.New(log)}, func(w *world) {
		log.began = time.Now()
		test(w, log, w.connect())
	})
}

// ints is an array of integers, which are words.
func ints(text string) string {
	words := strings.Fields(text)
	return "*" + string(rune('0'+len(words))) + "\r\n:" + strings.Join(words, "\r\n:") + "\r\n"
}

func TestCounters(t *testing.T) {
	counting(t, func(_ *world, log *countingLog, c *client) {
		for _, step := range []struct{ line, reply string }{
			{"COUNTER.GET n", "$-1\r\n"},
			{"COUNTER.ADD n 5", ":5\r\n"},
			{"counter.add n -7 px 1500", ":-2\r\n"},
			{"COUNTER.GET n", ":-2\r\n"},
			{"COUNTER.ADD n 9223372036854775807", ":9223372036854775805\r\n"},
			{"COUNTER.ADD n 3", "-ERR increment or decrement would overflow\r\n"},
			{"COUNTER.GET n", ":9223372036854775805\r\n"},
			{"COUNTER.ADD n x", "-ERR value is not an integer or out of range\r\n"},
			{"COUNTER.ADD n 1 PX", "-ERR syntax error\r\n"},
			{"COUNTER.ADD n 1 EX 5", "-ERR syntax error\r\n"},
			{"COUNTER.ADD n 1 PX 0", "-ERR invalid expire time in 'counter.add' command\r\n"},
			{"COUNTER.ADD n", "-ERR wrong number of arguments for 'counter.add' command\r\n"},
			{"COUNTER.DEL n", ":1\r\n"},
			{"COUNTER.DEL n", ":0\r\n"},
			{"IDEM i COUNTER.ADD n 1", ":1\r\n"},
			{"IDEM i COUNTER.GET n", "-ERR IDEM does not take 'counter.get'\r\n"},
		} {
			c.want(step.line, step.reply)
		}
		equal(t, "idempotency keys", log.idem[len(log.idem)-1:], []string{"i"})
		c.want("COUNTER.ADD ends 1 PX 1500", ":1\r\n")
		time.Sleep(1499 * time.Millisecond)
		c.want("COUNTER.GET ends", ":1\r\n")
		time.Sleep(time.Millisecond)
		c.want("COUNTER.GET ends", "$-1\r\n")
		c.want("COUNTER.GET "+strings.Repeat("x", 1025), "-ERR invalid: a name of 1025 bytes is not from 1 to 1024\r\n")
	})
}

func TestLimits(t *testing.T) {
	counting(t, func(_ *world, log *countingLog, c *client) {
		for _, step := range []struct{ line, reply string }{
			{"LIMIT.TAKE f FIXED 3 60000", ints("1 3 2 0 60000")},
			{"limit.take f fixed 3 60000 cost 2", ints("1 3 0 0 60000")},
			{"LIMIT.TAKE f FIXED 3 60000", ints("0 3 0 60000 60000")},
			{"LIMIT.TAKE f FIXED 3 60000 COST 4", ints("0 3 0 -1 60000")},
			{"LIMIT.TAKE f FIXED 3 60000 COST 0", ints("0 3 0 60000 60000")},
			{"LIMIT.TAKE s SLIDING 1 1000", ints("1 1 0 0 1000")},
			{"LIMIT.TAKE b BUCKET 3 1000 BURST 7 COST 5", ints("1 7 2 0 1667")},
			{"LIMIT.TAKE b BUCKET 3 1000 BURST 7 COST 3", ints("0 7 2 334 1667")},
			{"LIMIT.TAKE new BUCKET 3 1000 COST 0", ints("1 3 3 0 0")},
			{"LIMIT.TAKE b LEAKY 3 1000", "-ERR unknown algorithm 'LEAKY', there are FIXED, SLIDING and BUCKET\r\n"},
			{"LIMIT.TAKE b FIXED x 1000", "-ERR value is not an integer or out of range\r\n"},
			{"LIMIT.TAKE b FIXED 0 1000", "-ERR invalid: a limit of 0 is not from 1 to 1000000000000\r\n"},
			{"LIMIT.TAKE b FIXED 1 0", "-ERR the window is not a number of milliseconds over 0\r\n"},
			{"LIMIT.TAKE b FIXED 1 1000 BURST 1", "-ERR invalid: only a token-bucket has a burst\r\n"},
			{"LIMIT.TAKE b BUCKET 1 1000 BURST 0", "-ERR the burst is not over 0\r\n"},
			{"LIMIT.TAKE b BUCKET 1 1000 COST", "-ERR syntax error\r\n"},
			{"LIMIT.TAKE b BUCKET 1 1000 COST x", "-ERR value is not an integer or out of range\r\n"},
			{"LIMIT.TAKE b BUCKET 1 1000 SIZE 1", "-ERR syntax error\r\n"},
			{"IDEM i LIMIT.TAKE i BUCKET 1 1000", ints("1 1 0 0 1000")},
		} {
			c.want(step.line, step.reply)
		}
		equal(t, "idempotency keys", log.idem[len(log.idem)-1:], []string{"i"})
		log.err = machine.ErrNoQuorum
		c.wantPrefix("LIMIT.TAKE newer FIXED 3 60000", "-CLUSTERDOWN ")
		log.err = machine.ErrUnknown
		c.wantPrefix("COUNTER.ADD n 1", "-UNAVAILABLE outcome unknown")
	})
}

// TestThrottleAnswersAsRedisCell has the example of redis-cell's documentation
// and the cases of its own tests: a limit of five, one a second.
func TestThrottleAnswersAsRedisCell(t *testing.T) {
	counting(t, func(_ *world, log *countingLog, c *client) {
		c.want("CL.THROTTLE user123 15 30 60", ints("0 16 15 -1 2"))
		for _, step := range []struct {
			at       time.Duration
			quantity string
			reply    string
		}{
			{0, "6", "1 5 5 -1 0"}, // never more than the maximum
			{0, "1", "0 5 4 -1 1"},
			{0, "1", "0 5 3 -1 2"},
			{0, "1", "0 5 2 -1 3"},
			{0, "1", "0 5 1 -1 4"},
			{0, "1", "0 5 0 -1 5"},
			{0, "1", "1 5 0 1 5"},
			{3000 * time.Millisecond, "1", "0 5 2 -1 3"},
			{3100 * time.Millisecond, "1", "0 5 1 -1 4"},
			{4000 * time.Millisecond, "1", "0 5 1 -1 4"},
			{8000 * time.Millisecond, "1", "0 5 4 -1 1"},
			{9500 * time.Millisecond, "1", "0 5 4 -1 1"},
			{9500 * time.Millisecond, "0", "0 5 4 -1 1"}, // only looks
			{9500 * time.Millisecond, "2", "0 5 2 -1 3"},
			{9500 * time.Millisecond, "5", "1 5 2 3 3"},
		} {
			time.Sleep(step.at - log.now().Lease)
			c.want("CL.THROTTLE foo 4 1 1 "+step.quantity, ints(step.reply))
		}
		c.want("CL.THROTTLE foo 4 1", "-ERR wrong number of arguments for 'cl.throttle' command\r\n")
		c.want("CL.THROTTLE foo 4 1 1 1 1", "-ERR wrong number of arguments for 'cl.throttle' command\r\n")
		c.want("CL.THROTTLE foo 4 x 1", "-ERR value is not an integer or out of range\r\n")
		for _, bad := range []string{"-1 1 1", "1 0 1", "1 1 0", "1 1 1 -1", "9223372036854775807 1 1", "1 1 9223372036854775807"} {
			c.want("CL.THROTTLE foo "+bad, "-ERR max-burst and quantity must be 0 or more, count and period over 0\r\n")
		}
	})
}
