package http_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/counters"
	serverhttp "github.com/huddlecache/huddle/server/http"
)

// A countingLog is a log of one node that agrees with itself, with a real
// machine of counters and limits behind it. Its lease time is the bubble's.
type countingLog struct {
	machine machine.Machine
	index   uint64
	began   time.Time
	err     error
	idem    string // of the last command
}

func (l *countingLog) Do(_ context.Context, items ...machine.Item) ([]machine.Reply, machine.Stamp, error) {
	if l.err != nil {
		return nil, machine.Stamp{}, l.err
	}
	l.index++
	l.idem = items[0].Idem
	tx := &machine.Tx{Stamp: l.now(), Shell: blankShell{}}
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

// A blankShell keeps no deadlines.
type blankShell struct{}

func (blankShell) Number() uint64                                { return 0 }
func (blankShell) Deadline([]byte, time.Duration, time.Duration) {}
func (blankShell) Emit(machine.Event)                            {}
func (blankShell) Fail(err error)                                { panic(err) }

// counting runs test in a bubble against a handler with counters and limits.
func counting(t *testing.T, test func(t *testing.T, log *countingLog, h http.Handler)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		log := &countingLog{machine: counters.NewMachine(), began: time.Now()}
		test(t, log, serverhttp.New(serverhttp.Config{Node: newFake(), Counting: counters.New(log)}).Handler())
	})
}

// sameJSON fails the test unless an answer has the status and the JSON value.
func sameJSON(t *testing.T, what string, answer *http.Response, status int, want string) {
	t.Helper()
	body := text(t, answer)
	var got, wanted any
	if want != "" && json.Unmarshal([]byte(want), &wanted) != nil {
		t.Fatalf("%s is no JSON", want)
	}
	if body != "" && json.Unmarshal([]byte(body), &got) != nil {
		t.Fatalf("%s: %d %s is no JSON", what, answer.StatusCode, body)
	}
	if answer.StatusCode != status || fmt.Sprint(got) != fmt.Sprint(wanted) {
		t.Errorf("%s: got %d %s, want %d %s", what, answer.StatusCode, body, status, want)
	}
}

func TestCountersOverHTTP(t *testing.T) {
	counting(t, func(t *testing.T, log *countingLog, h http.Handler) {
		const path = "/v1/counters/page%2Fviews"
		equalStatus(t, do(t, h, "GET", path, ""), 404)
		sameJSON(t, "empty", do(t, h, "POST", path, ""), 200, `{"value":1}`)
		sameJSON(t, "add", do(t, h, "POST", path, `{"add":-4,"ttl":"1h"}`, jsonBody, "Idempotency-Key: k"), 200, `{"value":-3}`)
		if log.idem != "k" {
			t.Errorf("idempotency key: got %q, want k", log.idem)
		}
		time.Sleep(90 * time.Second)
		sameJSON(t, "get", do(t, h, "GET", path, ""), 200, `{"value":-3,"ttl":"58m30s"}`)
		sameJSON(t, "large", do(t, h, "POST", "/v1/counters/large", `{"add":9223372036854775807}`, jsonBody), 200, `{"value":9223372036854775807}`)
		overflow := do(t, h, "POST", "/v1/counters/large", `{"add":1}`, jsonBody)
		if body := text(t, overflow); overflow.StatusCode != 409 || !strings.Contains(body, "/overflow") {
			t.Errorf("overflow: got %d %s", overflow.StatusCode, body)
		}
		for _, bad := range []string{`{"ttl":"1"}`, `{"ttl":"-1s"}`, `{"ttl":"soon"}`} {
			equalStatus(t, do(t, h, "POST", path, bad, jsonBody), 400)
		}
		for _, bad := range []string{`{"add":"1"}`, `{"add":1.5}`, `{"more":1}`} {
			equalStatus(t, do(t, h, "POST", path, bad, jsonBody), 422)
		}
		for range 2 {
			equalStatus(t, do(t, h, "DELETE", path, ""), 204)
		}
		equalStatus(t, do(t, h, "GET", path, ""), 404)
		log.err = machine.ErrNoQuorum
		equalStatus(t, do(t, h, "POST", path, ""), 503)
		log.err = machine.ErrUnknown
		equalStatus(t, do(t, h, "POST", path, ""), 504)
	})
}

func equalStatus(t *testing.T, answer *http.Response, want int) {
	t.Helper()
	if answer.StatusCode != want {
		t.Errorf("got %d %s, want %d", answer.StatusCode, text(t, answer), want)
	}
}

func TestLimitsOverHTTP(t *testing.T) {
	counting(t, func(t *testing.T, log *countingLog, h http.Handler) {
		const sliding = `{"algorithm":"sliding-window","limit":2,"window":"1m"}`
		for _, step := range []struct {
			name, body    string
			status        int
			answer        string
			state, policy string
			retry         string
		}{
			{
				"bob", sliding, 200, `{"allowed":true,"limit":2,"remaining":1,"retry_after":0,"reset_after":60}`,
				`"bob";r=1;t=60`, `"bob";q=2;w=60`, "",
			},
			{
				"bob", sliding, 200, `{"allowed":true,"limit":2,"remaining":0,"retry_after":0,"reset_after":60}`,
				`"bob";r=0;t=60`, `"bob";q=2;w=60`, "",
			},
			{
				"bob", sliding, 429, `{"allowed":false,"limit":2,"remaining":0,"retry_after":60,"reset_after":60}`,
				`"bob";r=0;t=60`, `"bob";q=2;w=60`, "60",
			},
			{
				"bob", `{"algorithm":"sliding-window","limit":2,"window":"1m","cost":3}`, 429,
				`{"allowed":false,"limit":2,"remaining":0,"retry_after":-1,"reset_after":60}`,
				`"bob";r=0;t=60`, `"bob";q=2;w=60`, "",
			},
			{
				"eve", `{"algorithm":"token-bucket","limit":10,"window":"1s","burst":25,"cost":25}`, 200,
				`{"allowed":true,"limit":25,"remaining":0,"retry_after":0,"reset_after":3}`,
				`"eve";r=0;t=3`, `"eve";q=25;w=3`, "",
			},
			{
				"eve", `{"algorithm":"token-bucket","limit":10,"window":"1s","burst":25}`, 429,
				`{"allowed":false,"limit":25,"remaining":0,"retry_after":1,"reset_after":3}`,
				`"eve";r=0;t=3`, `"eve";q=25;w=3`, "1",
			},
			{
				"new", `{"algorithm":"fixed-window","limit":5,"window":"1h30m","cost":0}`, 200,
				`{"allowed":true,"limit":5,"remaining":5,"retry_after":0,"reset_after":0}`,
				`"new";r=5;t=0`, `"new";q=5;w=5400`, "",
			},
		} {
			answer := do(t, h, "POST", "/v1/limits/"+step.name, step.body, jsonBody)
			sameJSON(t, step.body, answer, step.status, step.answer)
			for header, want := range map[string]string{"RateLimit": step.state, "RateLimit-Policy": step.policy, "Retry-After": step.retry} {
				if got := answer.Header.Get(header); got != want {
					t.Errorf("%s: %s: got %q, want %q", step.body, header, got, want)
				}
			}
		}
		equalStatus(t, do(t, h, "DELETE", "/v1/limits/bob", ""), 204)
		equalStatus(t, do(t, h, "POST", "/v1/limits/bob", sliding, jsonBody, "Idempotency-Key: k"), 200)
		if log.idem != "k" {
			t.Errorf("idempotency key: got %q, want k", log.idem)
		}
		log.err = machine.ErrNoQuorum
		equalStatus(t, do(t, h, "POST", "/v1/limits/another", sliding, jsonBody), 503)
	})
}

func TestSeveralLimitsOverHTTP(t *testing.T) {
	counting(t, func(t *testing.T, _ *countingLog, h http.Handler) {
		const body = `{"limits":[
			{"name":"second","algorithm":"fixed-window","limit":1,"window":"1s"},
			{"name":"hour","algorithm":"sliding-window","limit":5,"window":"1h"}]}`
		answer := do(t, h, "POST", "/v1/limits", body, jsonBody)
		sameJSON(t, "admitted", answer, 200, `{"allowed":true,"retry_after":0,"limits":[
			{"name":"second","allowed":true,"limit":1,"remaining":0,"retry_after":0,"reset_after":1},
			{"name":"hour","allowed":true,"limit":5,"remaining":4,"retry_after":0,"reset_after":3600}]}`)
		answer = do(t, h, "POST", "/v1/limits", body, jsonBody)
		sameJSON(t, "denied", answer, 429, `{"allowed":false,"retry_after":1,"limits":[
			{"name":"second","allowed":false,"limit":1,"remaining":0,"retry_after":1,"reset_after":1},
			{"name":"hour","allowed":true,"limit":5,"remaining":4,"retry_after":0,"reset_after":3600}]}`)
		if got, want := answer.Header.Get("RateLimit"), `"second";r=0;t=1, "hour";r=4;t=3600`; got != want {
			t.Errorf("RateLimit: got %s, want %s", got, want)
		}
		twice := strings.ReplaceAll(body, "hour", "second")
		equalStatus(t, do(t, h, "POST", "/v1/limits", twice, jsonBody), 400)
		equalStatus(t, do(t, h, "POST", "/v1/limits", `{"limits":[]}`, jsonBody), 422)
	})
}

func TestMalformedLimitsAreRefused(t *testing.T) {
	counting(t, func(t *testing.T, log *countingLog, h http.Handler) {
		for _, test := range []struct {
			body   string
			status int
			says   string
		}{
			{`{"algorithm":"leaky-bucket","limit":1,"window":"1m"}`, 422, "fixed-window, sliding-window, token-bucket"},
			{`{"limit":1,"window":"1m"}`, 422, "algorithm"},
			{`{"algorithm":"fixed-window","limit":0,"window":"1m"}`, 422, "limit"},
			{`{"algorithm":"fixed-window","limit":1}`, 422, "window"},
			{`{"algorithm":"fixed-window","limit":1,"window":"60"}`, 400, "window"},
			{`{"algorithm":"fixed-window","limit":1,"window":"1us"}`, 400, "window"},
			{`{"algorithm":"fixed-window","limit":1,"window":"1m","burst":2}`, 400, "burst"},
			{`{"algorithm":"fixed-window","limit":1,"window":"1m","cost":-1}`, 422, "cost"},
			{`{"algorithm":"token-bucket","limit":1000000,"window":"1ms"}`, 400, "more than one each"},
			{``, 400, "body"},
		} {
			answer := do(t, h, "POST", "/v1/limits/l", test.body, jsonBody)
			if body := text(t, answer); answer.StatusCode != test.status || !strings.Contains(body, test.says) || !strings.Contains(body, "/malformed") {
				t.Errorf("%s: got %d %s, want %d, malformed, with %q", test.body, answer.StatusCode, body, test.status, test.says)
			}
		}
		if log.index > 0 {
			t.Error("something reached the log")
		}
	})
}
