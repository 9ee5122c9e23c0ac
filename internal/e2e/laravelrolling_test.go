package e2e

import (
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"
)

const (
	laravelUsers    = 20
	laravelRequests = 1000 // at least
	laravelBrowsers = 8    // at work at a time
)

// TestLaravelRolling replaces every node, and the application beside it, by a
// new one with another name, address and an empty disk, while users click. In
// order nobody notices. Where a machine crashes, requests may fail, but nobody
// is logged out and no session goes back.
func TestLaravelRolling(t *testing.T) {
	t.Run("stopped in order", func(t *testing.T) {
		t.Parallel()
		failed := testLaravelRolling(t, func(app *phpApp) {
			for _, old := range app.inService() {
				app.replacement()
				app.retire(old)
			}
		})
		if failed > 0 {
			t.Errorf("got %d failed requests, want none", failed)
		}
	})
	t.Run("leaders killed", func(t *testing.T) {
		t.Parallel()
		kills := 1
		if long() {
			kills = 10
		}
		failed := testLaravelRolling(t, func(app *phpApp) {
			for range kills {
				app.crash(app.leader())
				app.replacement()
			}
		})
		// Only what was under way when the leader died, or came before there
		// was another one, may fail.
		if limit := kills * 4 * laravelBrowsers; failed > limit {
			t.Errorf("got %d failed requests, want at most %d", failed, limit)
		}
	})
}

// testLaravelRolling returns how many requests failed, which is the only thing
// that may have gone wrong.
func testLaravelRolling(t *testing.T, replace func(app *phpApp)) int {
	app := startLaravel(t)
	r := &rollingUsers{free: make(chan *visitor, laravelUsers), replaced: make(chan struct{})}
	for i := range laravelUsers {
		name := "user" + strconv.Itoa(i)
		r.free <- &visitor{browser: login(t, app, name), name: name}
	}
	var wg sync.WaitGroup
	for range laravelBrowsers {
		wg.Go(func() { r.click(t) })
	}
	begin := time.Now()
	replace(app)
	t.Logf("replaced in %v", time.Since(begin).Round(10*time.Millisecond))
	close(r.replaced)
	wg.Wait()
	if got := len(app.inService()); got != 3 {
		t.Errorf("got %d pods, want 3", got)
	}
	t.Logf("%d requests of %d users, %d failed", r.requests, laravelUsers, r.failed)
	return r.failed
}

// rollingUsers are at work while pods are replaced.
type rollingUsers struct {
	free     chan *visitor // those without a request under way
	replaced chan struct{} // closed when all pods are replaced

	mu       sync.Mutex // guards what follows
	requests int
	failed   int
}

// click lets one user after another send a request, until all pods are
// replaced and there were enough requests, or something went wrong.
func (r *rollingUsers) click(t *testing.T) {
	for !t.Failed() && !r.isOver() {
		u := <-r.free
		ok := u.click(t)
		r.free <- u
		r.mu.Lock()
		r.requests++
		if !ok {
			r.failed++
		}
		r.mu.Unlock()
		time.Sleep(20 * time.Millisecond)
	}
}

func (r *rollingUsers) isOver() bool {
	select {
	case <-r.replaced:
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.requests >= laravelRequests
	default:
		return false
	}
}

// visitor is a logged-in user, who clicks once at a time.
type visitor struct {
	browser *browser
	name    string
	visits  int // as the last answer said
	failed  int // requests since then, which may have counted
}

// click sends one request, and reports whether it was answered. The answer
// must be this user's, and follow the last one.
func (u *visitor) click(t *testing.T) bool {
	got, err := u.browser.do("GET", "/visits")
	if err != nil || got.code == http.StatusInternalServerError {
		u.failed++
		return false
	}
	var page struct {
		User   string
		Visits int
	}
	err = json.Unmarshal([]byte(got.body), &page)
	if err != nil || got.code != http.StatusOK || page.User != u.name || page.Visits <= u.visits || page.Visits > u.visits+1+u.failed {
		t.Errorf("%s after %d visits and %d failures: got %+v, %v", u.name, u.visits, u.failed, got, err)
	}
	u.visits, u.failed = page.Visits, 0
	return true
}
