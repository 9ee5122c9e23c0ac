package http_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cache"
	"github.com/huddlecache/huddle/cluster/machine"
	serverhttp "github.com/huddlecache/huddle/server/http"
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

// A lonely node has no peers. Its ID is that of the fake node.
type lonely struct{}

func (lonely) Self() (id, cluster string) { return "a1", "test" }
func (lonely) Call(context.Context, string, []byte) ([]byte, error) {
	return nil, machine.ErrUnreachable
}

func (lonely) Serve(func(context.Context, string, []byte) ([]byte, error)) func() { return func() {} }
func (lonely) Reach(context.Context, string, uint64) error                        { return nil }
func (lonely) IsDead(string) bool                                                 { return false }

// caching runs a test in a bubble against a handler with a cache.
func caching(t *testing.T, test func(t *testing.T, log *cacheLog, h http.Handler)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		log := &cacheLog{machine: cache.NewMachine()}
		c := cache.New(log, lonely{}, cache.Config{Bytes: 1 << 20, MaxValue: 1 << 10})
		defer c.Close()
		time.Sleep(time.Second) // it takes its seat
		test(t, log, serverhttp.New(serverhttp.Config{Node: newFake(), Cache: c, MaxValue: 1 << 10}).Handler())
	})
}

func TestCacheMetricsAndRing(t *testing.T) {
	caching(t, func(t *testing.T, _ *cacheLog, h http.Handler) {
		for _, key := range []string{"a", "b"} {
			if answer := do(t, h, "PUT", "/v1/cache/g/"+key, "value"); answer.StatusCode != http.StatusNoContent {
				t.Fatalf("got %d %s, want 204", answer.StatusCode, text(t, answer))
			}
		}
		for _, key := range []string{"a", "b", "c"} {
			do(t, h, "GET", "/v1/cache/g/"+key, "")
		}
		do(t, h, "DELETE", "/v1/cache/g/a", "")
		got := text(t, do(t, h, "GET", "/metrics", ""))
		for _, want := range []string{
			"huddle_cache_hits_total 2\n", "huddle_cache_misses_total 1\n", "huddle_cache_puts_total 2\n",
			"huddle_cache_invalidated_total 1\n", "huddle_cache_evictions_total 0\n", "huddle_cache_loads_total 0\n",
			"huddle_cache_entries 1\n", "huddle_cache_bound_bytes 1.048576e+06\n", "huddle_cache_share 1\n",
			"huddle_cache_members 1\n", "huddle_cache_ring_settled 1\n", "# TYPE huddle_cache_hits_total counter\n",
		} {
			if !strings.Contains(got, want) {
				t.Errorf("metrics lack %q", want)
			}
		}
		answer := text(t, do(t, h, "GET", "/v1/cluster", ""))
		if want := `"ring":{"version":1,"settled":true,"members":[{"id":"a1","share":1}]}`; !strings.Contains(answer, want) {
			t.Errorf("got %s, want %s in it", answer, want)
		}
	})
}

func TestCacheErrorsAreProblems(t *testing.T) {
	caching(t, func(t *testing.T, log *cacheLog, h http.Handler) {
		long := strings.Repeat("n", 1025)
		for _, test := range []struct {
			method, path, body string
			headers            []string
			status             int
			kind               string
		}{
			{"GET", "/g/none", "", nil, 404, "/not-found"},
			{"GET", "/g/" + long, "", nil, 400, "/malformed"},
			{"GET", "/" + long + "/k", "", nil, 400, "/malformed"},
			{"GET", "/g/k?lease=0s", "", nil, 400, "/malformed"},
			{"GET", "/g/k?lease=11m", "", nil, 400, "/malformed"},
			{"GET", "/g/k?wait=x", "", nil, 400, "/malformed"},
			{"GET", "/g/k?late=1s", "", nil, 422, "/malformed"},
			{"PUT", "/g/k?ttl=-1s", "v", nil, 400, "/malformed"},
			{"PUT", "/g/k?tags=a,,b", "v", nil, 400, "/malformed"},
			{"PUT", "/g/k?tags=t" + strings.Repeat(",t", 64), "v", nil, 400, "/malformed"},
			{"PUT", "/g/k", "v", []string{"Huddle-Lease: some"}, 400, "/malformed"},
			{"PUT", "/g/k", "v", []string{"Huddle-Lease: 1-1"}, 409, "/not-kept"},
			{"PUT", "/g/k", strings.Repeat("v", 1025), nil, 413, "/too-big"},
			{"POST", "/g/invalidate", `{}`, []string{jsonBody}, 400, "/malformed"},
			{"POST", "/g/invalidate", `{"keys":[""]}`, []string{jsonBody}, 400, "/malformed"},
			{"POST", "/g/invalidate", `{"every":true}`, []string{jsonBody}, 422, "/malformed"},
			{"PATCH", "/g/k", "", nil, 405, "/method-not-allowed"},
		} {
			what := test.method + " " + test.path[:min(len(test.path), 40)]
			checkProblem(t, what, do(t, h, test.method, "/v1/cache"+test.path, test.body, test.headers...), test.status, test.kind)
		}
		log.mu.Lock()
		log.err = machine.ErrUnknown
		log.mu.Unlock()
		checkProblem(t, "an invalidation that is lost", do(t, h, "DELETE", "/v1/cache/g/k", ""), 504, "/unknown")
		log.mu.Lock()
		log.err = machine.ErrNoQuorum
		log.mu.Unlock()
		time.Sleep(3 * time.Second) // the lease is over
		answer := do(t, h, "GET", "/v1/cache/g/k", "")
		if got := answer.Header.Get("Huddle-Cache"); got != "no-quorum" {
			t.Errorf("got Huddle-Cache %q, want no-quorum", got)
		}
		checkProblem(t, "a miss without a quorum", answer, 404, "/not-found")
		checkProblem(t, "putting without a quorum", do(t, h, "PUT", "/v1/cache/g/k", "v"), 503, "/no-quorum")
	})
}
