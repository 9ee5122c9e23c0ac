package http_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cache"
	serverhttp "github.com/huddlecache/huddle/server/http"
)

// A transport answers requests of loaders.
type transport func(r *http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

func TestValuesAreFetchedFromAnApplication(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h http.Handler
		app := transport(func(r *http.Request) (*http.Response, error) {
			answer := httptest.NewRecorder()
			switch r.URL.Path {
			case "/page":
				answer.Header().Set("Content-Type", "text/html")
				answer.Header().Set("Cache-Control", "max-age=60, stale-while-revalidate=30")
				answer.Body.WriteString("<h1>")
			case "/none":
				answer.WriteHeader(http.StatusNotFound)
			case "/slow":
				<-r.Context().Done()
				return nil, r.Context().Err()
			case "/loop":
				answer.Code = do(t, h, "GET", "/v1/cache/pages/loop", "", "CDN-Loop: other, "+r.Header.Get("CDN-Loop")).StatusCode
			default:
				answer.WriteHeader(http.StatusInternalServerError)
			}
			return answer.Result(), nil
		})
		c := cache.New(&cacheLog{machine: cache.NewMachine()}, lonely{}, cache.Config{Bytes: 1 << 20, MaxValue: 1 << 10, Transport: app})
		defer c.Close()
		time.Sleep(time.Second) // it takes its seat
		h = serverhttp.New(serverhttp.Config{Node: newFake(), Cache: c, MaxValue: 1 << 10}).Handler()

		checkProblem(t, "no loader", do(t, h, "GET", "/v1/cache/pages", ""), 404, "/not-found")
		for _, body := range []string{
			`{"loader":"app"}`, `{"loader":"http://u:p@app"}`, `{"loader":"http://app","ttl":"-1s"}`, `{"loader":"http://app","stale":"x"}`,
		} {
			checkProblem(t, body, do(t, h, "PUT", "/v1/cache/pages", body, jsonBody), 400, "/malformed")
		}
		checkProblem(t, "no body", do(t, h, "PUT", "/v1/cache/pages", `{}`, jsonBody), 422, "/malformed")
		set := `{"loader":"http://app","ttl":"1m0s","stale":"1h0m0s","negative":"10s"}`
		if answer := do(t, h, "PUT", "/v1/cache/pages", set, jsonBody); answer.StatusCode != http.StatusNoContent {
			t.Fatalf("got %d %s, want 204", answer.StatusCode, text(t, answer))
		}
		if got := strings.TrimSpace(text(t, do(t, h, "GET", "/v1/cache/pages", ""))); got != set {
			t.Errorf("got %s, want %s", got, set)
		}

		page := do(t, h, "GET", "/v1/cache/pages/page", "")
		for name, want := range map[string]string{
			"Content-Type": "text/html", "X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox",
			"Huddle-TTL": "1m30s", "Cache-Control": "no-store",
		} {
			if got := page.Header.Get(name); got != want {
				t.Errorf("got %s %q, want %q", name, got, want)
			}
		}
		if got := text(t, page); page.StatusCode != 200 || got != "<h1>" {
			t.Errorf("got %d %q, want the application's page", page.StatusCode, got)
		}
		checkProblem(t, "none", do(t, h, "GET", "/v1/cache/pages/none?lease=5s", ""), 404, "/not-found")
		checkProblem(t, "broken", do(t, h, "GET", "/v1/cache/pages/broken", ""), 502, "/origin-failed")
		checkProblem(t, "slow", do(t, h, "GET", "/v1/cache/pages/slow?wait=2s", ""), 502, "/origin-failed")
		checkProblem(t, "leading out", do(t, h, "GET", "/v1/cache/pages/..%2Fadmin", ""), 400, "/malformed")
		checkProblem(t, "loop", do(t, h, "GET", "/v1/cache/pages/loop", ""), 502, "/origin-failed")
		checkProblem(t, "within a loop", do(t, h, "GET", "/v1/cache/pages/loop", "", "CDN-Loop: huddle; v=1"), 508, "/loop")

		if answer := do(t, h, "PUT", "/v1/cache/pages", `{"loader":""}`, jsonBody); answer.StatusCode != http.StatusNoContent {
			t.Fatalf("got %d %s, want 204", answer.StatusCode, text(t, answer))
		}
		checkProblem(t, "without a loader", do(t, h, "GET", "/v1/cache/pages/page", ""), 404, "/not-found")
	})
}
