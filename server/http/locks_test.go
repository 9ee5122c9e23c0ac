package http_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/locks"
	serverhttp "github.com/huddlecache/huddle/server/http"
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

func (l *lockLog) Do(_ context.Context, items ...machine.Item) ([]machine.Reply, machine.Stamp, error) {
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

// A pipes is a listener of connections in memory, and what dials it.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return ours, nil
}

// A lockClient calls a real server, in a bubble.
type lockClient struct {
	t      *testing.T
	log    *lockLog
	client *http.Client
}

// inLocks runs a test against a server of locks, with the time limits that it
// really has.
func inLocks(t *testing.T, test func(t *testing.T, c *lockClient)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		log := &lockLog{m: locks.NewMachine(), number: 100, began: time.Now()}
		l := locks.New(log)
		defer l.Close()
		p := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		server := serverhttp.New(serverhttp.Config{Node: newFake(), Locks: l})
		srv := server.NewHTTPServer(server.Handler())
		var serving sync.WaitGroup
		serving.Go(func() { _ = srv.Serve(p) })
		defer serving.Wait()
		defer srv.Close() //nolint:errcheck // nothing is left to be lost
		transport := &http.Transport{DialContext: p.dial, DisableKeepAlives: true}
		test(t, &lockClient{t, log, &http.Client{Transport: transport}})
	})
}

// call makes one call, and returns the status and the body as one text.
func (c *lockClient) call(ctx context.Context, method, path, body string) string {
	c.t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, "http://node/v1/locks/"+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := c.client.Do(r)
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close() //nolint:errcheck // only read
	got, err := io.ReadAll(answer.Body)
	if err != nil {
		c.t.Error(err)
	}
	return answer.Status + " " + strings.TrimSpace(string(got))
}

func TestLockCalls(t *testing.T) {
	inLocks(t, func(t *testing.T, c *lockClient) {
		const problems = `"type":"https://github.com/huddlecache/huddle/problems/`
		for _, step := range []struct{ method, path, body, want string }{
			{"GET", "l", "", `200 OK {"holders":[],"waiters":0}`},
			{"POST", "l", `{"ttl":"20s","owner":"me"}`, `200 OK {"lease":"101","token":102,"ttl":"19.98s"}`},
			{"GET", "l", "", `200 OK {"holders":[{"owner":"me","token":102,"ttl":"20s","slots":1}],"waiters":0}`},
			{"POST", "l", `{}`, `409 Conflict {` + problems + `lock-held"`},
			{"POST", "l", `{}`, `"holder":{"owner":"me","token":102,"ttl":"20s","slots":1}}`},
			{"PUT", "l", `{"lease":"101","ttl":"1m"}`, `200 OK {"lease":"101","ttl":"59.94s"}`},
			{"PUT", "l", `{"lease":"7","ttl":"1m"}`, `409 Conflict {` + problems + `lock-lost"`},
			{"DELETE", "l?lease=7", "", `409 Conflict {` + problems + `lock-lost"`},
			{"DELETE", "l?lease=101", "", `204 No Content`},
			{"POST", "l", "", `200 OK {"lease":"103","token":104,"ttl":"9.99s"}`},
			{"POST", "s", `{"shared":true}`, `200 OK {"lease":"105","token":106,"ttl":"9.99s"}`},
			{"GET", "s", "", `200 OK {"holders":[{"owner":"","token":106,"ttl":"10s","shared":true}],"waiters":0}`},
			{"POST", "l", `{"ttl":"soon"}`, `400 Bad Request {` + problems + `malformed"`},
			{"POST", "l", `{"wait":"2h"}`, `400 Bad Request {` + problems + `malformed"`},
			{"POST", "l", `{"ttl":"-1s"}`, `400 Bad Request {` + problems + `malformed"`},
			{"POST", "l", `{"slots":1001}`, `400 Bad Request {` + problems + `malformed"`},
			{"POST", "l", `{"slot":1}`, `422 Unprocessable Entity {` + problems + `malformed"`},
			{"PUT", "l", `{"ttl":"1m"}`, `422 Unprocessable Entity {` + problems + `malformed"`},
			{"DELETE", "l", "", `422 Unprocessable Entity {` + problems + `malformed"`},
		} {
			if got := c.call(t.Context(), step.method, step.path, step.body); !strings.Contains(got, step.want) {
				t.Errorf("%s %s %s:\n got %s\nwant %s", step.method, step.path, step.body, got, step.want)
			}
		}
		for err, want := range map[error]string{
			machine.ErrNoQuorum: "503 ", machine.ErrUnknown: "504 ", machine.ErrFull: "507 ",
		} {
			c.log.mu.Lock()
			c.log.err = err
			c.log.mu.Unlock()
			if got := c.call(t.Context(), "POST", "l", `{"wait":"1s"}`); !strings.HasPrefix(got, want) {
				t.Errorf("%v: got %s", err, got)
			}
		}
		c.log.mu.Lock()
		c.log.err = nil
		c.log.mu.Unlock()
	})
}

// A wait outlasts the times that a server gives other calls to be read and
// answered.
func TestALockMayBeWaitedForLong(t *testing.T) {
	inLocks(t, func(t *testing.T, c *lockClient) {
		if got := c.call(t.Context(), "POST", "l", `{"ttl":"1h"}`); !strings.HasPrefix(got, "200") {
			t.Fatal(got)
		}
		waited := make(chan string, 1)
		go func() { waited <- c.call(t.Context(), "POST", "l", `{"ttl":"1h","wait":"10m"}`) }()
		time.Sleep(5 * time.Minute)
		if got := c.call(t.Context(), "DELETE", "l?lease=101", ""); !strings.HasPrefix(got, "204") {
			t.Error(got)
		}
		var lease struct{ Lease string }
		body, isDone := strings.CutPrefix(<-waited, "200 OK ")
		if err := json.Unmarshal([]byte(body), &lease); err != nil || !isDone || lease.Lease == "" {
			t.Errorf("got %s, %v", body, err)
		}
		start := time.Now()
		if got := c.call(t.Context(), "POST", "l", `{"wait":"2m"}`); !strings.HasPrefix(got, "409") {
			t.Error(got)
		}
		if took := time.Since(start); took != 2*time.Minute {
			t.Errorf("waited %s, want 2m", took)
		}
	})
}

func TestACallerThatHangsUpDoesNotGetTheLock(t *testing.T) {
	inLocks(t, func(t *testing.T, c *lockClient) {
		if got := c.call(t.Context(), "POST", "l", `{"ttl":"1h"}`); !strings.HasPrefix(got, "200") {
			t.Fatal(got)
		}
		ctx, hangUp := context.WithTimeout(t.Context(), 2*time.Minute)
		defer hangUp()
		if got := c.call(ctx, "POST", "l", `{"ttl":"1h","wait":"10m"}`); !strings.Contains(got, "deadline") {
			t.Errorf("got %s", got)
		}
		synctest.Wait()
		if got := c.call(t.Context(), "GET", "l", ""); !strings.HasSuffix(got, `"waiters":0}`) {
			t.Errorf("got %s, want nobody who waits", got)
		}
	})
}
