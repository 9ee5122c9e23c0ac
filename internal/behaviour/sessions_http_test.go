package behaviour

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/huddlecache/huddle/sessions"
)

func TestSessionsOverHTTPAreWhatTheContractSays(t *testing.T) {
	t.Parallel()
	d := httpSessions{cluster(t), t}
	path := sessionPath(t.Name())
	put, body, err := d.do(0, "PUT", path+"?ttl=30m&absolute=12h&user=u1", "data")
	if err != nil {
		t.Fatal(err)
	}
	var saved struct{ Version uint64 }
	tag := put.Header.Get("ETag")
	if err := json.Unmarshal([]byte(body), &saved); err != nil || tag != fmt.Sprintf(`"%d"`, saved.Version) {
		t.Errorf("saved: got %s with ETag %s, %v", body, tag, err)
	}
	index := put.Header.Get("Huddle-Index")
	get, body, err := d.do(1, "GET", path, "", "Huddle-Index: "+index)
	if err != nil || body != "data" {
		t.Fatalf("loaded: got %q, %v", body, err)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/octet-stream", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store",
		"ETag": tag, "Huddle-Touched": "",
	} {
		if got := get.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	head, _, err := d.do(2, "HEAD", path, "")
	if err != nil || head.Header.Get("ETag") != tag || head.ContentLength != 4 {
		t.Errorf("HEAD: got %v, %v", head, err)
	}
	for i, header := range []string{"Huddle-Index: 0000-1", "Huddle-Index: " + index + "000000"} { // another cluster, and not reached yet
		if _, body, err := d.do(i, "GET", path, "", header); body != "data" || err != nil {
			t.Errorf("%s: got %q, %v", header, body, err)
		}
	}
	for _, call := range []struct{ method, path string }{{"GET", "/v1/sessions/none"}, {"PATCH", sessionPath("none")}} {
		r, _, err := d.do(1, call.method, call.path, "{}", "If-Match: *", "Accept: application/octet-stream")
		if err == nil || httpPosition(t, r).Index == 0 {
			t.Errorf("%s of none: got %v", call.method, err)
		}
	}
}

func TestMalformedCallsOfSessions(t *testing.T) {
	t.Parallel()
	d := httpSessions{cluster(t), t}
	path := sessionPath(t.Name())
	if _, _, err := d.do(0, "PUT", path, "data"); err != nil {
		t.Fatal(err)
	}
	for i, call := range []struct {
		method, path, header string
		status               int
	}{
		{"PUT", path + "?ttl=30", "", 400},
		{"PUT", path + "?ttl=0s", "", 400},
		{"PUT", path + "?ttl=-1m", "", 400},
		{"PUT", path + "?absolute=x", "", 400},
		{"PUT", path + "?absolute=2000000h", "", 400},
		{"PUT", path + "?tll=1m", "", 422},
		{"PUT", path + "?user=%zz", "", 400},
		{"PUT", path, "If-Match: \"1\"", 412},
		{"PUT", path, "If-Match: \"x\"", 412},
		{"PUT", path, "If-Match: W/\"1\"", 412},
		{"PUT", path, "If-Match: \"0\"", 412},
		{"PUT", path, "If-None-Match: *", 412},
		{"PUT", path, "If-None-Match: \"1\"", 400},
		{"PUT", path, "Idempotency-Key: " + strings.Repeat("x", 257), 400},
		{"PUT", sessionPath(strings.Repeat("x", 513)), "", 400},
		{"PATCH", path, "", 409},
		{"PATCH", path + "?touch=true", "", 422},
		{"GET", path, "Huddle-Index: 812", 400},
		{"GET", path + "?touch=perhaps", "", 422},
		{"GET", "/v1/sessions", "", 422},
		{"GET", "/v1/sessions?user=", "", 422},
		{"GET", "/v1/sessions?user=%zz", "", 400},
		{"GET", "/v1/sessions?user=u", "Huddle-Index: -", 400},
		{"GET", "/v1/sessions?user=" + strings.Repeat("x", 513), "", 400},
		{"DELETE", "/v1/sessions", "", 422},
		{"DELETE", "/v1/sessions/", "", 404},
		{"POST", path, "", 405},
	} {
		r, body, err := d.do(i, call.method, call.path, "{}", call.header)
		if err == nil || r.StatusCode != call.status || r.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %.60s with %.40q: got %s %s, want %d", call.method, call.path, call.header, r.Status, body, call.status)
		}
	}
	r, _, err := d.do(0, "PATCH", path, "no JSON")
	if err == nil || r.StatusCode != http.StatusBadRequest {
		t.Errorf("a patch that is no JSON: got %v, %v", r.Status, err)
	}
	if _, body, err := d.do(0, "GET", path, ""); body != "data" || err != nil {
		t.Errorf("got %q, %v after calls that were refused", body, err)
	}
}

// TestABrowserReadsWhatItWrote goes to another node with each request, which
// reads from its own memory, behind the cookie.
func TestABrowserReadsWhatItWrote(t *testing.T) {
	t.Parallel()
	w := cluster(t)
	var urls []string
	for _, n := range w.nodes {
		s := n.Sessions()
		server := httptest.NewServer(new(sessions.Tracker).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut {
				data, _ := io.ReadAll(r.Body)
				err := retry(func() error {
					_, err := s.Save(r.Context(), t.Name(), data, sessions.SaveOptions{Idem: string(data)})
					return err
				})
				if err != nil {
					http.Error(w, err.Error(), http.StatusInternalServerError)
				}
				return
			}
			var got sessions.Session
			err := retry(func() (err error) {
				got, err = s.Load(r.Context(), t.Name(), sessions.LoadOptions{Consistency: sessions.AtLeast(r.Context())})
				return err
			})
			if err != nil || !sessions.AtLeast(r.Context()).IsLocal() {
				http.Error(w, fmt.Sprint("read ", err), http.StatusInternalServerError)
			}
			_, _ = w.Write(got.Data)
		})))
		defer server.Close()
		urls = append(urls, server.URL) // cookies are for all ports of a host
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, Timeout: 2 * time.Minute}
	send := func(i int, method, body string) string {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, urls[i%len(urls)], strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		response, err := browser.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		got, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("%s: got %s %s, %v", method, response.Status, got, err)
		}
		return string(got)
	}
	for i := range 30 {
		want := fmt.Sprint(t.Name(), " visit ", i)
		send(i, http.MethodPut, want)
		for next := range 2 {
			if got := send(i+1+next, http.MethodGet, ""); got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
	}
}
