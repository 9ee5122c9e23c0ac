package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"
)

// TestSymfonyApplication runs examples/symfony in three pods, each of which
// is told the DSN of its own node and nothing else.
func TestSymfonyApplication(t *testing.T) {
	t.Parallel()
	php := needsComponents(t, "php-symfony-framework-bundle, -console, -lock and -rate-limiter",
		"Symfony/Bundle/FrameworkBundle", "Symfony/Component/Console", "Symfony/Component/Lock", "Symfony/Component/RateLimiter")
	w := startNodes(t, 3, false)
	app := startApp(w, php, "symfony", func(n *node) []string {
		return []string{"REDIS_DSN=redis://" + n.redisAddr(), "APP_SECRET=" + w.key}
	})
	t.Run("a limiter of five admits five", func(t *testing.T) { testSymfonyLimiter(t, app) })
	t.Run("a session goes from pod to pod", func(t *testing.T) { testSymfonySession(t, app) })
	t.Run("a tag is gone everywhere", func(t *testing.T) { testSymfonyTags(t, app) })
	t.Run("the purge job runs once", func(t *testing.T) { testSymfonyPurge(t, app) })
}

func testSymfonyLimiter(t *testing.T, app *phpApp) {
	begin := time.Now()
	got := app.browser().spray(t, 200, "POST", "/login", "name", "anna")
	if want := map[int]int{http.StatusOK: 5, http.StatusTooManyRequests: 195}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	t.Logf("200 requests in %v", time.Since(begin).Round(time.Millisecond))
	if got := app.browser().must(t, "POST", "/login", "name", "bob"); got.body != `{"remaining":4}` {
		t.Errorf("another name: got %+v, want 4 remaining", got)
	}
}

// testSymfonySession leaves for the other site from one pod, comes back to
// another, and tries the same state again at the third.
func testSymfonySession(t *testing.T, app *phpApp) {
	pods := app.inService()
	for i := range pods {
		b := app.browser()
		left, err := b.at(pods[i], "GET", "/connect")
		if err != nil || left.code != http.StatusFound {
			t.Fatalf("leaving: got %+v, %v, want a redirect", left, err)
		}
		to, err := url.Parse(left.location)
		if err != nil {
			t.Fatal(err)
		}
		check := "/connect/check?state=" + to.Query().Get("state")
		if got, err := app.browser().at(pods[i], "GET", check); err != nil || got.code != http.StatusForbidden {
			t.Errorf("somebody else coming back: got %+v, %v, want 403", got, err)
		}
		if got, err := b.at(pods[(i+1)%3], "GET", check); err != nil || got.body != `{"connected":true}` {
			t.Errorf("coming back: got %+v, %v, want connected", got, err)
		}
		if got, err := b.at(pods[(i+2)%3], "GET", check); err != nil || got.code != http.StatusForbidden {
			t.Errorf("coming back again: got %+v, %v, want 403", got, err)
		}
	}
}

// testSymfonyTags forgets the prices at each pod in turn.
func testSymfonyTags(t *testing.T, app *phpApp) {
	last := onePrice(t, app, "tea")
	for _, p := range app.inService() {
		if got := onePrice(t, app, "tea"); got != last {
			t.Errorf("got %s, want %s, which was cached", got, last)
		}
		if got, err := app.browser().at(p, "DELETE", "/prices"); err != nil || got.code != http.StatusNoContent {
			t.Fatalf("forgetting: got %+v, %v, want 204", got, err)
		}
		now := onePrice(t, app, "tea")
		if now == last {
			t.Errorf("got %s, which was forgotten at %s", now, p.node.name)
		}
		last = now
	}
}

// onePrice returns the price that all pods show.
func onePrice(t *testing.T, app *phpApp, product string) string {
	t.Helper()
	var first string
	for i, p := range app.inService() {
		got, err := app.browser().at(p, "GET", "/prices/"+product)
		if err != nil || got.code != http.StatusOK {
			t.Fatalf("price at %s: got %+v, %v", p.node.name, got, err)
		}
		if i == 0 {
			first = got.body
		}
		if got.body != first {
			t.Errorf("%s shows %s, another pod %s", p.node.name, got.body, first)
		}
	}
	return first
}

// testSymfonyPurge starts the job on all pods at the same time, night after
// night, and once more in each night.
func testSymfonyPurge(t *testing.T, app *phpApp) {
	pods := app.inService()
	for night := range 5 {
		price := onePrice(t, app, "tea")
		tally := map[string]int{}
		for range 2 {
			said := make([]string, len(pods))
			var wg sync.WaitGroup
			for i, p := range pods {
				wg.Go(func() {
					out, err := p.run("bin/console", "app:purge", fmt.Sprintf("night-%d", night))
					if err != nil {
						t.Errorf("%s: %v: %s", p.node.name, err, out)
					}
					said[i] = out
				})
			}
			wg.Wait()
			for _, out := range said {
				tally[out]++
			}
		}
		if tally["purged"] != 1 || tally["purged"]+tally["done already"]+tally["another pod is at it"] != 6 {
			t.Errorf("night %d: got %v, want it purged once in 6", night, tally)
		}
		if got := onePrice(t, app, "tea"); got == price {
			t.Errorf("night %d: got the price of before", night)
		}
	}
}
