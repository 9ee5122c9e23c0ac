package behaviour

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/counters"
	"github.com/huddlecache/huddle/internal/respclient"
)

// A countingConn is a connection to one node's counters and limits, for one
// goroutine at a time. It returns the errors of the Go API. A resolution is how
// exact the times are that it tells.
type countingConn interface {
	add(name string, n int64, o counters.AddOptions) (int64, error)
	get(name string) (value int64, found bool, err error)
	remove(name, idem string) error
	take(l counters.Limit, idem string) (counters.Result, error)
	reset(name string) error
	resolution() time.Duration
}

// A countingDoor makes connections to node i, counted from any number.
type countingDoor func(i int) countingConn

// forCountingDoors runs a test for each door, all at once. The prefix is for
// names.
func forCountingDoors(t *testing.T, test func(t *testing.T, door countingDoor, prefix string)) {
	t.Helper()
	w := cluster(t)
	for name, door := range map[string]func(t *testing.T, i int) countingConn{
		"go": func(t *testing.T, i int) countingConn { return goCounting{t, w.nodes[i%len(w.nodes)].Counters()} },
		"resp": func(t *testing.T, i int) countingConn {
			return respCounting{t, w.redis(t, i), w.nodes[i%len(w.nodes)].Counters()}
		},
		"http": func(t *testing.T, i int) countingConn { return newHTTPCounting(t, w.url(i)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, func(i int) countingConn { return door(t, i) }, newName(t))
		})
	}
}

// newName is a name that no run of a test has had before.
func newName(t *testing.T) string { return fmt.Sprintf("%s é %d/", t.Name(), time.Now().UnixNano()) }

// goCounting is the Go API, in process.
type goCounting struct {
	t *testing.T
	c *counters.Counters
}

func (g goCounting) resolution() time.Duration { return time.Nanosecond }

func (g goCounting) add(name string, n int64, o counters.AddOptions) (int64, error) {
	return g.c.Add(g.t.Context(), name, n, o)
}

func (g goCounting) get(name string) (int64, bool, error) {
	counter, found, err := g.c.Get(g.t.Context(), name)
	return counter.Value, found, err
}

func (g goCounting) remove(name, idem string) error {
	_, err := g.c.Delete(g.t.Context(), name, counters.WriteOptions{Idem: idem})
	return err
}

func (g goCounting) take(l counters.Limit, idem string) (counters.Result, error) {
	results, err := g.c.TakeAll(g.t.Context(), counters.WriteOptions{Idem: idem}, l)
	if err != nil {
		return counters.Result{}, err
	}
	return results[0], nil
}

func (g goCounting) reset(name string) error {
	_, err := g.c.Reset(g.t.Context(), name, counters.WriteOptions{})
	return err
}

// respCounting is Redis' protocol, which has no command that resets a limit.
type respCounting struct {
	t      *testing.T
	client *respclient.Client
	c      *counters.Counters
}

func (r respCounting) resolution() time.Duration { return time.Millisecond }

// do sends a command, behind IDEM if that is not empty.
func (r respCounting) do(idem string, args ...string) (any, error) {
	if idem != "" {
		args = append([]string{"IDEM", idem}, args...)
	}
	reply, err := r.client.Do(args...)
	if err == nil {
		return reply, nil
	}
	for text, of := range map[string]error{
		"CLUSTERDOWN ": machine.ErrNoQuorum, "TRYAGAIN ": machine.ErrOverloaded, "UNAVAILABLE ": machine.ErrUnknown,
		"ERR increment or decrement would overflow": counters.ErrOverflow, "ERR invalid: ": counters.ErrInvalid,
		"ERR unknown algorithm": counters.ErrInvalid, "ERR the idempotency key was used": machine.ErrReused,
	} {
		if strings.HasPrefix(err.Error(), text) {
			return nil, fmt.Errorf("%w: %w", of, err)
		}
	}
	return nil, err
}

func (r respCounting) add(name string, n int64, o counters.AddOptions) (int64, error) {
	args := []string{"COUNTER.ADD", name, strconv.FormatInt(n, 10)}
	if o.TTL > 0 {
		args = append(args, "PX", strconv.FormatInt(o.TTL.Milliseconds(), 10))
	}
	reply, err := r.do(o.Idem, args...)
	value, _ := reply.(int64)
	return value, err
}

func (r respCounting) get(name string) (int64, bool, error) {
	reply, err := r.do("", "COUNTER.GET", name)
	value, found := reply.(int64)
	return value, found, err
}

func (r respCounting) remove(name, idem string) error {
	_, err := r.do(idem, "COUNTER.DEL", name)
	return err
}

func (r respCounting) take(l counters.Limit, idem string) (counters.Result, error) {
	algorithms := map[counters.Algorithm]string{
		counters.FixedWindow: "FIXED", counters.SlidingWindow: "SLIDING", counters.TokenBucket: "BUCKET",
	}
	args := []string{"LIMIT.TAKE", l.Name, algorithms[l.Algorithm], strconv.FormatInt(l.Limit, 10), strconv.FormatInt(l.Window.Milliseconds(), 10)}
	if l.Burst != 0 {
		args = append(args, "BURST", strconv.FormatInt(l.Burst, 10))
	}
	if l.Cost != 0 {
		args = append(args, "COST", strconv.FormatInt(l.Cost, 10))
	}
	reply, err := r.do(idem, args...)
	if err != nil {
		return counters.Result{}, err
	}
	list := reply.([]any)
	number := func(i int) int64 { return list[i].(int64) }
	result := counters.Result{
		Allowed: number(0) == 1, Limit: number(1), Remaining: number(2),
		RetryAfter: time.Duration(number(3)) * time.Millisecond, ResetAfter: time.Duration(number(4)) * time.Millisecond,
	}
	if number(3) < 0 {
		result.RetryAfter = counters.Never
	}
	return result, nil
}

func (r respCounting) reset(name string) error {
	_, err := r.c.Reset(r.t.Context(), name, counters.WriteOptions{})
	return err
}

// httpCounting is HTTP, over a connection of its own.
type httpCounting struct {
	t      *testing.T
	client *http.Client
	url    string
}

func newHTTPCounting(t *testing.T, url string) httpCounting {
	t.Helper()
	transport := &http.Transport{MaxConnsPerHost: 1}
	t.Cleanup(transport.CloseIdleConnections)
	return httpCounting{t, &http.Client{Transport: transport, Timeout: 10 * time.Second}, url}
}

func (h httpCounting) resolution() time.Duration { return time.Second }

// do sends in, if it is not nil, and reads the answer into out, if it is not
// nil.
func (h httpCounting) do(method, path, name, idem string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	if in == nil {
		body = nil
	}
	r, err := http.NewRequestWithContext(h.t.Context(), method, h.url+path+url.PathEscape(name), bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	if idem != "" {
		r.Header.Set("Idempotency-Key", idem)
	}
	answer, err := h.client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err = io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if kind := answer.Header.Get("Content-Type"); kind == "application/problem+json" {
		return countingProblem(answer.StatusCode, body)
	}
	if out != nil {
		return json.Unmarshal(body, out)
	}
	return nil
}

// countingProblem returns the Go API's error for a problem document.
func countingProblem(status int, body []byte) error {
	var problem struct{ Type string }
	if err := json.Unmarshal(body, &problem); err != nil {
		return err
	}
	name := problem.Type[strings.LastIndexByte(problem.Type, '/')+1:]
	of := map[string]error{
		"503 no-quorum": machine.ErrNoQuorum, "503 overloaded": machine.ErrOverloaded, "504 unknown": machine.ErrUnknown,
		"409 overflow": counters.ErrOverflow, "400 malformed": counters.ErrInvalid, "422 malformed": counters.ErrInvalid,
		"422 idempotency-key-reused": machine.ErrReused, "404 not-found": errNoCounter,
	}[fmt.Sprint(status, " ", name)]
	if of == nil {
		of = errors.New("unexpected problem")
	}
	return fmt.Errorf("%w: %d %s", of, status, body)
}

var errNoCounter = errors.New("no such counter")

func (h httpCounting) add(name string, n int64, o counters.AddOptions) (int64, error) {
	in := map[string]any{"add": n}
	if o.TTL > 0 {
		in["ttl"] = o.TTL.String()
	}
	var out struct{ Value int64 }
	err := h.do("POST", "/v1/counters/", name, o.Idem, in, &out)
	return out.Value, err
}

func (h httpCounting) get(name string) (int64, bool, error) {
	var out struct{ Value int64 }
	err := h.do("GET", "/v1/counters/", name, "", nil, &out)
	if errors.Is(err, errNoCounter) {
		return 0, false, nil
	}
	return out.Value, err == nil, err
}

func (h httpCounting) remove(name, idem string) error {
	return h.do("DELETE", "/v1/counters/", name, idem, nil, nil)
}

// limitBody is what POST /v1/limits has for a limit.
func limitBody(l counters.Limit) map[string]any {
	in := map[string]any{"algorithm": l.Algorithm.String(), "limit": l.Limit, "window": l.Window.String()}
	if l.Burst != 0 {
		in["burst"] = l.Burst
	}
	if l.Cost != 0 {
		in["cost"] = l.Cost
	}
	return in
}

func (h httpCounting) take(l counters.Limit, idem string) (counters.Result, error) {
	var out struct {
		Allowed    bool
		Limit      int64
		Remaining  int64
		RetryAfter int64 `json:"retry_after"`
		ResetAfter int64 `json:"reset_after"`
	}
	err := h.do("POST", "/v1/limits/", l.Name, idem, limitBody(l), &out)
	result := counters.Result{
		Allowed: out.Allowed, Limit: out.Limit, Remaining: out.Remaining,
		RetryAfter: time.Duration(out.RetryAfter) * time.Second, ResetAfter: time.Duration(out.ResetAfter) * time.Second,
	}
	if out.RetryAfter < 0 {
		result.RetryAfter = counters.Never
	}
	return result, err
}

func (h httpCounting) reset(name string) error {
	return h.do("DELETE", "/v1/limits/", name, "", nil, nil)
}

// retryCounting repeats a call that can be repeated until it is answered: on a
// starved machine leaders change.
func retryCounting(call func() error) error {
	for start := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		err := call()
		isOpen := errors.Is(err, machine.ErrNoQuorum) || errors.Is(err, machine.ErrOverloaded) || errors.Is(err, machine.ErrUnknown)
		if !isOpen || time.Since(start) > 30*time.Second {
			return err
		}
	}
}
