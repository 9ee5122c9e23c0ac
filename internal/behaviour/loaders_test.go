package behaviour

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// call makes an HTTP call to node i, counted from any number.
func (w *world) call(t *testing.T, i int, method, path, body string) (status int, answer string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, w.url(i)+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Errorf("%s %s: %v", method, path, err)
		return 0, ""
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Errorf("%s %s: %v", method, path, err)
	}
	return response.StatusCode, string(data)
}

// What is missing is fetched from the application once, for clients of all
// nodes and doors.
func TestAnApplicationIsTheLoader(t *testing.T) {
	w, group := cluster(t), newName(t)
	path := "/v1/cache/" + url.PathEscape(group)
	var asked atomic.Int64
	app := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		n := asked.Add(1)
		time.Sleep(300 * time.Millisecond) // so that all callers find it under way
		out.Header().Set("Cache-Control", "max-age=600")
		_, _ = fmt.Fprintf(out, "%s %d", r.URL.Path, n)
	}))
	defer app.Close()
	set := fmt.Sprintf(`{"loader":"%s/products"}`, app.URL)
	if status, answer := w.call(t, 0, "PUT", path, set); status != http.StatusNoContent {
		t.Fatalf("got %d %s, want 204", status, answer)
	}
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			if i%4 == 0 {
				if got, err := w.redis(t, i/4).Do("CACHE.GET", group, "42"); err != nil || got != "/products/42 1" {
					t.Errorf("CACHE.GET: got %v, %v", got, err)
				}
				return
			}
			if status, answer := w.call(t, i, "GET", path+"/42", ""); status != 200 || answer != "/products/42 1" {
				t.Errorf("got %d %q", status, answer)
			}
		})
	}
	all.Wait()
	if n := asked.Load(); n != 1 {
		t.Errorf("200 callers: the application was asked %d times, want once", n)
	}
	if status, answer := w.call(t, 1, "DELETE", path+"/42", ""); status != http.StatusNoContent {
		t.Fatalf("got %d %s, want 204", status, answer)
	}
	for i := range 3 {
		if _, answer := w.call(t, i, "GET", path+"/42", ""); answer != "/products/42 2" {
			t.Errorf("node %d, after an invalidation: got %q", i, answer)
		}
	}
	app.Close()
	if status, _ := w.call(t, 2, "GET", path+"/43", ""); status != http.StatusBadGateway {
		t.Errorf("the application is down: got %d, want 502", status)
	}
	if _, err := w.redis(t, 0).Do("CACHE.GET", group, "43"); err == nil || !strings.HasPrefix(err.Error(), "ORIGINFAILED ") {
		t.Errorf("the application is down: got %v, want ORIGINFAILED", err)
	}
}
