package main

import (
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/huddlecache/huddle"
	"github.com/huddlecache/huddle/internal/local"
)

// A visitor is a browser whose requests are spread over the replicas.
type visitor struct {
	t        *testing.T
	client   *http.Client
	replicas []*url.URL
	next     int
}

func newVisitor(t *testing.T, replicas []*url.URL) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{t: t, client: &http.Client{Jar: jar}, replicas: replicas}
}

// do sends a request to the next replica. The cookies are the same for all: to
// the browser they are one site.
func (v *visitor) do(method, path string) (status int, body string) {
	v.t.Helper()
	target := *v.replicas[v.next%len(v.replicas)]
	v.next++
	req, err := http.NewRequestWithContext(v.t.Context(), method, target.String()+path, nil)
	if err != nil {
		v.t.Fatal(err)
	}
	answer, err := v.client.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// replicas starts the service three times, as three pods.
func replicas(t *testing.T) (nodes []*huddle.Node, at []*url.URL) {
	t.Helper()
	nodes, err := local.Cluster(t.Context(), 3)
	t.Cleanup(func() {
		for _, n := range nodes {
			n.Kill()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		handler, err := newService(n)
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(handler)
		t.Cleanup(server.Close)
		u, err := url.Parse(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		at = append(at, u)
	}
	return nodes, at
}

func TestThreeReplicasAreOneService(t *testing.T) {
	nodes, at := replicas(t)

	// A session begun at one replica is read and changed at the others.
	anna := newVisitor(t, at)
	if status, body := anna.do("POST", "/login?user=anna"); status != 200 {
		t.Fatalf("login: got %d %s, want 200", status, body)
	}
	for _, item := range []string{"bread", "milk", "tea"} {
		if status, body := anna.do("POST", "/cart/"+item); status != 200 {
			t.Fatalf("adding %s: got %d %s, want 200", item, status, body)
		}
	}
	for range at {
		if _, body := anna.do("GET", "/cart"); body != `{"cart":{"bread":1,"milk":1,"tea":1}}` {
			t.Errorf("got the cart %s, want bread, milk and tea", body)
		}
	}

	// A page is rendered once for all replicas.
	_, page := anna.do("GET", "/products/7")
	for range at {
		if _, body := anna.do("GET", "/products/7"); body != page || !strings.HasPrefix(body, "product 7") {
			t.Errorf("got the page %q, want %q", body, page)
		}
	}

	// All replicas together let somebody log in five times a minute.
	bert := newVisitor(t, at)
	admitted := 0
	for range 20 {
		if status, _ := bert.do("POST", "/login?user=bert"); status == 200 {
			admitted++
		}
	}
	if admitted != 5 {
		t.Errorf("%d of 20 logins were admitted, want 5", admitted)
	}

	// The nightly job is run once, whoever tries and however often.
	var runs atomic.Int64
	var trying sync.WaitGroup
	for i := range 9 {
		trying.Go(func() {
			_ = tonight(t.Context(), nodes[i%len(nodes)], func(context.Context, uint64) error { // most do not get the lock
				runs.Add(1)
				return nil
			})
		})
	}
	trying.Wait()
	if got := runs.Load(); got != 1 {
		t.Errorf("the nightly job ran %d times, want once", got)
	}
}

// TestReadmeShowsThis keeps the README's Go code what is compiled here.
func TestReadmeShowsThis(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(readme), "```go\n")[1:]
	if len(blocks) == 0 {
		t.Fatal("README has no Go code")
	}
	for _, block := range blocks {
		code, _, _ := strings.Cut(block, "```")
		for part := range strings.SplitSeq(strings.TrimSpace(code), "\n\n") {
			if !strings.Contains(flush(string(source)), flush(part)) {
				t.Errorf("README shows code that is not in main.go:\n%s", part)
			}
		}
	}
}

// flush takes the indentation away, which is another in a README.
func flush(code string) string {
	lines := strings.Split(code, "\n")
	for i := range lines {
		lines[i] = strings.TrimLeft(lines[i], "\t")
	}
	return strings.Join(lines, "\n")
}
