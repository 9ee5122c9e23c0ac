package redis_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/locks"
	"github.com/huddlecache/huddle/server/redis"
)

// A lockLog is a log of one node with locks behind it. Its lease time is the
// bubble's, and nothing ends before somebody asks.
type lockLog struct {
	began time.Time

	mu     sync.Mutex // guards what follows
	m      machine.Machine
	number uint64
	hear   func(machine.Event)
	events []machine.Event // to be heard
	err    error           // of Do and Query
}

func (l *lockLog) Do(ctx context.Context, items ...machine.Item) ([]machine.Reply, machine.Stamp, error) {
	if ctx.Err() != nil {
		return nil, machine.Stamp{}, machine.ErrNoQuorum
	}
	l.mu.Lock()
	at := l.now()
	replies := make([]machine.Reply, len(items))
	for i, item := range items {
		if item.Query {
			replies[i].Data = l.m.Query(at, item.Data)
		} else if l.err == nil {
			replies[i].Data = l.m.Apply(&machine.Tx{Stamp: at, Shell: l, Origin: 1}, item.Data)
		}
	}
	hear, events, err := l.hear, l.events, l.err
	l.events = nil
	l.mu.Unlock()
	for _, e := range events {
		hear(e)
	}
	return replies, at, err
}

func (l *lockLog) Query(_ context.Context, _ machine.Consistency, query []byte) ([]byte, machine.Stamp, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.m.Query(l.now(), query), l.now(), l.err
}

func (l *lockLog) now() machine.Stamp {
	return machine.Stamp{Cluster: "test", Index: 7, Lease: time.Hour + time.Since(l.began)}
}

func (l *lockLog) Now() (time.Duration, bool) { return l.now().Lease, true }
func (l *lockLog) Subscribe(fn func(machine.Event)) (cancel func()) {
	l.hear = fn
	return func() {}
}
func (l *lockLog) Number() uint64                                { l.number++; return l.number }
func (l *lockLog) Deadline([]byte, time.Duration, time.Duration) {}
func (l *lockLog) Emit(e machine.Event)                          { l.events = append(l.events, e) }
func (l *lockLog) Fail(err error)                                { panic(err) }

func (l *lockLog) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

// inLocks runs a test with a server of locks.
func inLocks(t *testing.T, test func(w *world, log *lockLog)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		log := &lockLog{m: locks.NewMachine(), number: 100, began: time.Now()}
		l := locks.New(log)
		defer l.Close()
		w := &world{t: t, log: newMemory(), place: newPlace(), port: 40000}
		var err error
		w.server, err = redis.Open(redis.Config{Log: w.log, Locks: l, Listeners: []net.Listener{w.place}})
		if err != nil {
			t.Fatal(err)
		}
		defer w.server.Close()
		test(w, log)
	})
}

func TestLockCommands(t *testing.T) {
	inLocks(t, func(w *world, log *lockLog) {
		const (
			syntax  = "-ERR syntax error\r\n"
			integer = "-ERR value is not an integer or out of range\r\n"
		)
		expire := func(name string) string { return "-ERR invalid expire time in '" + name + "' command\r\n" }
		lease := func(id, token, ms int) string { return fmt.Sprintf("*3\r\n$3\r\n%d\r\n:%d\r\n:%d\r\n", id, token, ms) }
		c := w.connect()
		for _, step := range []struct{ line, want string }{
			{"LOCK.INFO l", "*2\r\n*0\r\n:0\r\n"},
			{"LOCK.ACQUIRE l PX 10000 OWNER me", lease(101, 102, 9990)},
			{"lock.acquire l px 10000", "*-1\r\n"},
			{"LOCK.INFO l", "*2\r\n*1\r\n*4\r\n$2\r\nme\r\n:102\r\n:10000\r\n:1\r\n:0\r\n"},
			{"LOCK.RENEW l 101 PX 20000", ":1\r\n"},
			{"LOCK.RENEW l 102 PX 20000", ":0\r\n"},
			{"LOCK.RENEW m 101 PX 20000", ":0\r\n"},
			{"LOCK.RENEW l none PX 20000", ":0\r\n"},
			{"LOCK.RELEASE m 101", ":0\r\n"},
			{"LOCK.RELEASE l 101", ":1\r\n"},
			{"LOCK.RELEASE l 101", ":0\r\n"},
			{"LOCK.ACQUIRE l SHARED PX 1000 WAIT 0", lease(103, 104, 999)},
			{"LOCK.ACQUIRE l PX 1000 SHARED", lease(105, 106, 999)},
			{"LOCK.ACQUIRE l PX 1000 SLOTS 2", "*-1\r\n"},
			{"LOCK.ACQUIRE m PX 1000 SLOTS 2", lease(107, 108, 999)},
			{"LOCK.ACQUIRE m PX 1000 SLOTS 2", lease(109, 110, 999)},
			{"LOCK.ACQUIRE m PX 1000 SLOTS 2", "*-1\r\n"},
			{"IDEM 1 LOCK.ACQUIRE n PX 1", lease(111, 112, 0)},

			{"LOCK.ACQUIRE l", "-ERR wrong number of arguments for 'lock.acquire' command\r\n"},
			{"LOCK.RENEW l 1 PX", "-ERR wrong number of arguments for 'lock.renew' command\r\n"},
			{"LOCK.ACQUIRE l OWNER me", syntax},
			{"LOCK.ACQUIRE l PX 1 OWNER", syntax},
			{"LOCK.ACQUIRE l PX 1 EX 2", syntax},
			{"LOCK.RENEW l 1 WAIT 5", syntax},
			{"LOCK.ACQUIRE l PX many", integer},
			{"LOCK.ACQUIRE l PX 1 WAIT many", integer},
			{"LOCK.ACQUIRE l PX 1 SLOTS 0", integer},
			{"LOCK.ACQUIRE l PX 0", expire("lock.acquire")},
			{"LOCK.ACQUIRE l PX 1 WAIT -1", expire("lock.acquire")},
			{"LOCK.RENEW l 1 PX 9223372036854775807", expire("lock.renew")},
			{"LOCK.ACQUIRE l PX 1 SLOTS 1001", "-ERR invalid lock: slots must be from 1 to 1000\r\n"},
			{"LOCK.ACQUIRE l PX 1 SLOTS 2 SHARED", "-ERR invalid lock: it is shared or has slots, not both\r\n"},
			{"LOCK.ACQUIRE '' PX 1", "-ERR invalid lock: a name must have 1 to 1024 bytes\r\n"},
			{"IDEM 1 LOCK.RENEW l 1 PX 5", "-ERR IDEM does not take 'lock.renew'\r\n"},
		} {
			c.want(step.line, step.want)
		}
		c.wantPrefix("HELLO 3", "%7")
		c.want("LOCK.ACQUIRE m PX 1000", "_\r\n")
		log.fail(machine.ErrNoQuorum)
		c.wantPrefix("LOCK.ACQUIRE l PX 1000", "-CLUSTERDOWN ")
		c.wantPrefix("LOCK.INFO l", "-CLUSTERDOWN ")
		log.fail(machine.ErrUnknown)
		c.wantPrefix("LOCK.RELEASE l 1", "-UNAVAILABLE outcome unknown")
		log.fail(machine.ErrFull)
		c.wantPrefix("LOCK.ACQUIRE l PX 1000 WAIT 5", "-OOM ")
		log.fail(nil)
	})
}

func TestALockIsWaitedFor(t *testing.T) {
	inLocks(t, func(w *world, _ *lockLog) {
		a, b := w.connect(), w.connect()
		a.wantPrefix("LOCK.ACQUIRE l PX 60000", "*3\r\n$3\r\n101\r\n")
		if got := b.pipe("LOCK.ACQUIRE l PX 60000 WAIT 30000", "ECHO behind"); got != "" {
			t.Errorf("got %q from one that waits", got)
		}
		if got := b.sent("ECHO la"); got != "" { // half a command
			t.Errorf("got %q from one that waits", got)
		}
		a.want("LOCK.INFO l", "*2\r\n*1\r\n*4\r\n$0\r\n\r\n:102\r\n:60000\r\n:1\r\n:1\r\n")
		a.want("LOCK.RELEASE l 101", ":1\r\n")
		synctest.Wait()
		if got, want := b.heard(), "*3\r\n$3\r\n103\r\n:104\r\n:59940\r\n$6\r\nbehind\r\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got, want := b.sent("ter\r\n"), "$5\r\nlater\r\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}

		a.send("LOCK.ACQUIRE l PX 60000 WAIT 2000\r\n")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got, want := a.heard(), "*-1\r\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestAClientThatHangsUpDoesNotGetTheLock(t *testing.T) {
	inLocks(t, func(w *world, _ *lockLog) {
		a, b, c := w.connect(), w.connect(), w.connect()
		a.wantPrefix("LOCK.ACQUIRE l PX 60000", "*3\r\n$3\r\n101\r\n")
		b.do("LOCK.ACQUIRE l PX 60000 WAIT 30000")
		c.do("LOCK.ACQUIRE l PX 60000 WAIT 30000")
		if err := b.socket.Close(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := a.do("LOCK.INFO l"); !strings.HasSuffix(got, ":1\r\n") {
			t.Errorf("got %q, want one that waits", got)
		}
		a.want("LOCK.RELEASE l 101", ":1\r\n")
		synctest.Wait()
		if got := c.heard(); !strings.HasPrefix(got, "*3\r\n") {
			t.Errorf("the next one got %q", got)
		}
	})
}

func TestAServerThatClosesLetsNobodyWaitForLocks(t *testing.T) {
	inLocks(t, func(w *world, _ *lockLog) {
		a, b := w.connect(), w.connect()
		a.wantPrefix("LOCK.ACQUIRE l PX 60000", "*3\r\n$3\r\n101\r\n")
		b.do("LOCK.ACQUIRE l PX 60000 WAIT 30000")
		start := time.Now()
		if err := w.server.Close(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("closing took %s", took)
		}
		synctest.Wait()
		if got := b.heard(); !strings.HasPrefix(got, "-TRYAGAIN this node is stopping") {
			t.Errorf("got %q", got)
		}
	})
}

// What was answered before a command that waits is sent before it waits.
func TestRepliesAreNotHeldBackByAWait(t *testing.T) {
	inLocks(t, func(w *world, _ *lockLog) {
		w.connect().do("LOCK.ACQUIRE l PX 60000")
		c := w.connect()
		c.want("PING\r\nLOCK.ACQUIRE l PX 1000 WAIT 60000", "+PONG\r\n")
	})
}
