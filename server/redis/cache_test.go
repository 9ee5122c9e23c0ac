package redis_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cache"
	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/server/redis"
)

// A cacheLog is a log of one node, and what that node knows of others: none.
type cacheLog struct {
	machine machine.Machine

	mu     sync.Mutex // guards what follows
	index  uint64
	hear   func(machine.Event)
	events []machine.Event // to be heard
	err    error           // of Do and Query
}

func (l *cacheLog) Do(_ context.Context, items ...machine.Item) ([]machine.Reply, machine.Stamp, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return nil, machine.Stamp{}, l.err
	}
	l.index++
	at := machine.Stamp{Cluster: "test", Index: l.index}
	reply := l.machine.Apply(&machine.Tx{Stamp: at, Shell: l, Origin: 1}, items[0].Data)
	for _, e := range l.events {
		e.Index = l.index
		l.hear(e)
	}
	l.events = nil
	return []machine.Reply{{Data: reply}}, at, nil
}

func (l *cacheLog) Query(_ context.Context, _ machine.Consistency, query []byte) ([]byte, machine.Stamp, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := machine.Stamp{Cluster: "test", Index: l.index}
	return l.machine.Query(at, query), at, l.err
}

func (l *cacheLog) Now() (time.Duration, bool) { return 0, true }

func (l *cacheLog) Subscribe(fn func(machine.Event)) (cancel func()) {
	l.hear = fn
	return func() {}
}

func (l *cacheLog) Number() uint64                                { return 0 }
func (l *cacheLog) Deadline([]byte, time.Duration, time.Duration) {}
func (l *cacheLog) Emit(e machine.Event)                          { l.events = append(l.events, e) }
func (l *cacheLog) Fail(err error)                                { panic(err) }

func (l *cacheLog) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

// A lonely node has no peers.
type lonely struct{}

func (lonely) Self() (id, cluster string) { return "a1", "test" }
func (lonely) Call(context.Context, string, []byte) ([]byte, error) {
	return nil, machine.ErrUnreachable
}

func (lonely) Serve(func(context.Context, string, []byte) ([]byte, error)) func() { return func() {} }
func (lonely) Reach(context.Context, string, uint64) error                        { return nil }
func (lonely) IsDead(string) bool                                                 { return false }

// inCache runs a test with a server of a cache.
func inCache(t *testing.T, test func(w *world, log *cacheLog)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		log := &cacheLog{machine: cache.NewMachine()}
		kept := cache.New(log, lonely{}, cache.Config{Bytes: 1 << 20, MaxValue: 2 << 10})
		defer kept.Close()
		time.Sleep(time.Second) // it takes its seat
		w := &world{t: t, log: newMemory(), place: newPlace(), port: 40000}
		var err error
		w.server, err = redis.Open(redis.Config{Log: w.log, Cache: kept, MaxValue: 2 << 10, Listeners: []net.Listener{w.place}})
		if err != nil {
			t.Fatal(err)
		}
		defer w.server.Close()
		test(w, log)
	})
}

func TestCacheCommands(t *testing.T) {
	long := strings.Repeat("n", 1025)
	inCache(t, func(w *world, log *cacheLog) {
		const (
			syntax = "-ERR syntax error\r\n"
			none   = "$-1\r\n"
		)
		c := w.connect()
		for _, step := range []struct{ line, want string }{
			{"CACHE.GET g k", none},
			{"CACHE.SET g k v", ok},
			{"cache.get g k", "$1\r\nv\r\n"},
			{"CACHE.GET g k LEASE 1000", "$1\r\nv\r\n"},
			{"CACHE.SET g k w PX 10000 TAGS 2 a b", ok},
			{"CACHE.INVALIDATE g TAGS b none", ok},
			{"CACHE.GET g k", none},
			{"CACHE.INVALIDATE g keys k", ok},
			{"CACHE.INVALIDATE g all", ok},
			{"CACHE.SET g k v LEASE 1-1", none},
			{"CACHE.GET g", "-ERR wrong number of arguments for 'cache.get' command\r\n"},
			{"CACHE.SET g k", "-ERR wrong number of arguments for 'cache.set' command\r\n"},
			{"CACHE.INVALIDATE g", "-ERR wrong number of arguments for 'cache.invalidate' command\r\n"},
			{"CACHE.GET g k LEASE", syntax},
			{"CACHE.GET g k LEASE 0", "-ERR invalid lease time in 'cache.get' command\r\n"},
			{"CACHE.GET g k LEASE x", "-ERR invalid lease time in 'cache.get' command\r\n"},
			{"CACHE.SET g k v PX", syntax},
			{"CACHE.SET g k v PX -1", "-ERR invalid expire time in 'cache.set' command\r\n"},
			{"CACHE.SET g k v TAGS 2 a", syntax},
			{"CACHE.SET g k v TAGS 0", syntax},
			{"CACHE.SET g k v EX 10", syntax},
			{"CACHE.INVALIDATE g ALL k", syntax},
			{"CACHE.INVALIDATE g KEYS", syntax},
			{"CACHE.SET g k v LEASE some", "-ERR invalid argument: \"some\" is no lease\r\n"},
			{"CACHE.GET g " + long, "-ERR invalid argument: a key has 1 to 1024 bytes\r\n"},
			{"CACHE.GET " + long + " k", "-ERR invalid argument: a group's name has 1 to 1024 bytes\r\n"},
			{"CACHE.SET g k v TAGS 1 " + long, "-ERR invalid argument: a tag has 1 to 1024 bytes\r\n"},
			{"CACHE.SET g k v TAGS 65" + strings.Repeat(" t", 65), "-ERR invalid argument: a value has 64 tags at most\r\n"},
			{"CACHE.SET g k " + strings.Repeat("v", 2049), "-TOOBIG value of 2049 bytes is over HUDDLE_MAX_VALUE (2048)\r\n"},
		} {
			if got := c.do(step.line); got != step.want {
				t.Errorf("%.60s: got %q, want %q", step.line, got, step.want)
			}
		}
		log.fail(machine.ErrUnknown)
		if got := c.do("CACHE.INVALIDATE g ALL"); !strings.HasPrefix(got, "-UNAVAILABLE outcome unknown: ") {
			t.Errorf("an invalidation that is lost: got %q", got)
		}
		log.fail(machine.ErrNoQuorum)
		time.Sleep(3 * time.Second) // the lease is over
		for _, line := range []string{"CACHE.GET g k", "CACHE.SET g k v", "CACHE.INVALIDATE g ALL"} {
			if got := c.do(line); !strings.HasPrefix(got, "-CLUSTERDOWN ") {
				t.Errorf("%s without a quorum: got %q", line, got)
			}
		}
	})
}

func TestALeaseIsTheFirstCallers(t *testing.T) {
	inCache(t, func(w *world, _ *cacheLog) {
		maker, waiter, gone := w.connect(), w.connect(), w.connect()
		got := maker.do("CACHE.GET g k LEASE 5000")
		lease := strings.TrimSuffix(strings.TrimPrefix(got, "*2\r\n$-1\r\n$"), "\r\n")
		_, lease, isLease := strings.Cut(lease, "\r\n")
		if !isLease {
			t.Fatalf("got %q, want nil and a lease", got)
		}
		if got := waiter.do("CACHE.GET g k LEASE 1000"); got != "" {
			t.Errorf("whoever waits is answered %q", got)
		}
		time.Sleep(3600 * time.Millisecond) // longer than any wait for a lease of a second
		if got := waiter.heard(); got != "$-1\r\n" {
			t.Errorf("whoever has waited in vain got %q, want nil", got)
		}
		waiter.do("CACHE.GET g k LEASE 5000")
		gone.do("CACHE.GET g k LEASE 5000")
		gone.socket.Close()
		if got := maker.do("CACHE.SET g k made LEASE " + lease); got != ok {
			t.Errorf("the maker: got %q, want OK", got)
		}
		if got := waiter.heard(); got != "$4\r\nmade\r\n" {
			t.Errorf("the waiter: got %q, want the value", got)
		}
		if got := maker.do("CACHE.SET g k again LEASE " + lease); got != "$-1\r\n" {
			t.Errorf("a lease that was used: got %q, want nil", got)
		}
	})
}
