package counters_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/counters"
)

// limited returns a handler behind limits, which answers 200.
func limited(t *testing.T, c *counters.Counters, cfg counters.MiddlewareConfig) http.Handler {
	t.Helper()
	wrap, err := c.Middleware(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
}

// asked sends a request from an address, and returns the answer.
func asked(t *testing.T, h http.Handler, from string) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
	r.RemoteAddr = from
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func TestRequestsAreLimited(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		h := limited(t, w.leading(), counters.MiddlewareConfig{Limits: []counters.Limit{
			{Name: "burst", Algorithm: counters.TokenBucket, Limit: 1, Window: time.Second, Burst: 2},
			{Name: "hour", Algorithm: counters.SlidingWindow, Limit: 3, Window: time.Hour},
		}})
		for _, step := range []struct {
			wait, from, state, retry string
			status                   int
		}{
			{"0s", "10.0.0.1:1", `"burst";r=1;t=1, "hour";r=2;t=3600`, "", 200},
			{"0s", "10.0.0.1:2", `"burst";r=0;t=2, "hour";r=1;t=3600`, "", 200},
			{"300ms", "10.0.0.1:1", `"burst";r=0;t=2, "hour";r=1;t=3600`, "1", 429},
			{"0s", "[2001:db8::1]:1", `"burst";r=1;t=1, "hour";r=2;t=3600`, "", 200},
			{"700ms", "10.0.0.1:1", `"burst";r=0;t=2, "hour";r=0;t=3600`, "", 200},
			{"1s", "10.0.0.1:1", `"burst";r=1;t=1, "hour";r=0;t=3599`, "3598", 429},
		} {
			d, err := time.ParseDuration(step.wait)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(d)
			answer := asked(t, h, step.from)
			equal(t, "status", answer.StatusCode, step.status)
			equal(t, "RateLimit", answer.Header.Get("RateLimit"), step.state)
			equal(t, "RateLimit-Policy", answer.Header.Get("RateLimit-Policy"), `"burst";q=2;w=2, "hour";q=3;w=3600`)
			equal(t, "Retry-After", answer.Header.Get("Retry-After"), step.retry)
		}
	})
}

func TestKeysAndCosts(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		h := limited(t, w.leading(), counters.MiddlewareConfig{
			Limits: []counters.Limit{{Name: "n", Algorithm: counters.FixedWindow, Limit: 5, Window: time.Minute}},
			Key:    func(r *http.Request) string { return r.RemoteAddr },
			Cost:   func(*http.Request) int64 { return 3 },
			Denied: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }),
		})
		equal(t, "first", asked(t, h, "a").StatusCode, 200)
		equal(t, "second", asked(t, h, "a").StatusCode, http.StatusTeapot)
		equal(t, "of another", asked(t, h, "b").StatusCode, 200)
		for range 10 {
			answer := asked(t, h, "")
			equal(t, "without a key", answer.StatusCode, 200)
			equal(t, "RateLimit", answer.Header.Get("RateLimit"), "")
		}
	})
}

func TestWithoutTheLogRequestsFailAsSet(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		var failed error
		cfg := counters.MiddlewareConfig{
			Limits: []counters.Limit{{Name: "n", Algorithm: counters.FixedWindow, Limit: 5, Window: time.Minute}},
			Failed: func(_ *http.Request, err error) { failed = err },
		}
		closed := limited(t, w.leading(), cfg)
		cfg.FailOpen = true
		open := limited(t, w.leading(), cfg)
		w.err = machine.ErrNoQuorum
		answer := asked(t, closed, "10.0.0.1:1")
		equal(t, "closed", answer.StatusCode, 503)
		equal(t, "Retry-After", answer.Header.Get("Retry-After"), "1")
		equal(t, "told", errors.Is(failed, machine.ErrNoQuorum), true)
		equal(t, "open", asked(t, open, "10.0.0.1:1").StatusCode, 200)
	})
}

func TestAMiddlewareWithoutLimitsIsRefused(t *testing.T) {
	for _, cfg := range []counters.MiddlewareConfig{{}, {Limits: []counters.Limit{{Name: "n"}}}} {
		if _, err := counters.New(&recorder{}).Middleware(cfg); !errors.Is(err, counters.ErrInvalid) {
			t.Errorf("%+v: got %v, want ErrInvalid", cfg, err)
		}
	}
}

func TestNamesInHeadersAreASCII(t *testing.T) {
	header := http.Header{}
	limit := counters.Limit{Name: "a\"b\\c é\r\n%", Algorithm: counters.FixedWindow, Limit: 1, Window: 1500 * time.Millisecond}
	counters.SetHeaders(header, []counters.Limit{limit}, []counters.Result{{RetryAfter: counters.Never, ResetAfter: 1}})
	equal(t, "RateLimit", header.Get("RateLimit"), `"a\"b\\c %C3%A9%0D%0A%25";r=0;t=1`)
	equal(t, "RateLimit-Policy", header.Get("RateLimit-Policy"), `"a\"b\\c %C3%A9%0D%0A%25";q=1;w=2`)
	equal(t, "Retry-After", header.Get("Retry-After"), "")
}
