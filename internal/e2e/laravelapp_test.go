package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestLaravelApplication runs examples/laravel in three pods, each of which
// is told the address of its own node and nothing else. One of them uses
// predis, the others phpredis.
func TestLaravelApplication(t *testing.T) {
	t.Parallel()
	app := startLaravel(t)
	t.Run("tags are gone everywhere", func(t *testing.T) { testLaravelTags(t, app) })
	t.Run("a lock is had by one", func(t *testing.T) { testLaravelLock(t, app) })
	t.Run("limits of five admit five", func(t *testing.T) { testLaravelLimits(t, app) })
	t.Run("a blocked session loses nothing", func(t *testing.T) { testLaravelBlock(t, app) })
	t.Run("clearing the cache logs nobody out", func(t *testing.T) { testLaravelClear(t, app) })
	t.Run("a job is run once", func(t *testing.T) { testLaravelQueue(t, app) })
}

// startLaravel founds three nodes and starts the application beside them.
func startLaravel(t *testing.T) *phpApp {
	t.Helper()
	php := needsLaravel(t)
	w := startNodes(t, 3, false)
	return startApp(w, php, "laravel", func(n *node) []string {
		client := "phpredis"
		if n.name == "pod-3" {
			client = "predis"
		}
		return []string{
			"APP_KEY=base64:" + w.key,
			"REDIS_HOST=" + n.addr.String(),
			"REDIS_PORT=" + strconv.Itoa(n.p.redis),
			"REDIS_CLIENT=" + client,
		}
	})
}

// guest returns a browser that has a session.
func guest(t *testing.T, app *phpApp) *browser {
	t.Helper()
	b := app.browser()
	b.must(t, "GET", "/")
	return b
}

// login returns a browser whose session is the user's.
func login(t *testing.T, app *phpApp, user string) *browser {
	t.Helper()
	b := guest(t, app)
	b.must(t, "POST", "/login", "name", user)
	return b
}

// testLaravelTags forgets the prices at each pod in turn.
func testLaravelTags(t *testing.T, app *phpApp) {
	b := guest(t, app)
	last := onePrice(t, app, "tea")
	for _, p := range app.inService() {
		if got := onePrice(t, app, "tea"); got != last {
			t.Errorf("got %s, want %s, which was cached", got, last)
		}
		if got, err := b.at(p, "DELETE", "/prices"); err != nil || got.code != http.StatusNoContent {
			t.Fatalf("forgetting: got %+v, %v, want 204", got, err)
		}
		now := onePrice(t, app, "tea")
		if now == last {
			t.Errorf("got %s, which was forgotten at %s", now, p.node.name)
		}
		last = now
	}
}

// testLaravelLock asks all pods at once for a report that takes 200 ms.
func testLaravelLock(t *testing.T, app *phpApp) {
	b := guest(t, app)
	for range 3 {
		got := b.spray(t, 3, "POST", "/report")
		if want := map[int]int{http.StatusOK: 1, http.StatusConflict: 2}; !maps.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

func testLaravelLimits(t *testing.T, app *phpApp) {
	b := guest(t, app)
	got := b.spray(t, 60, "POST", "/passwords/anna")
	if want := map[int]int{http.StatusOK: 5, http.StatusTooManyRequests: 55}; !maps.Equal(got, want) {
		t.Errorf("a limiter under a lock: got %v, want %v", got, want)
	}
	// The throttle's window begins with one request: Laravel begins it anew for
	// another one that was stamped in the second before.
	b.must(t, "POST", "/codes")
	got = b.spray(t, 59, "POST", "/codes")
	if want := map[int]int{http.StatusOK: 4, http.StatusTooManyRequests: 55}; !maps.Equal(got, want) {
		t.Errorf("a throttle, after one request: got %v, want %v", got, want)
	}
}

// testLaravelBlock puts items into one cart, two at a time at different pods.
// A session is written as a whole: what one of two requests has put into it is
// there afterwards only if the other one waited.
func testLaravelBlock(t *testing.T, app *phpApp) {
	const pairs = 40
	b := login(t, app, "anna")
	var want []string
	for pair := range pairs {
		var wg sync.WaitGroup
		for _, side := range []string{"a", "b"} {
			item := side + strconv.Itoa(pair)
			want = append(want, item)
			wg.Go(func() {
				if got, err := b.do("POST", "/cart/"+item); err != nil || got.code != http.StatusOK {
					t.Errorf("putting %s: got %+v, %v", item, got, err)
				}
			})
		}
		wg.Wait()
	}
	var cart struct{ Items []string }
	decode(t, b.must(t, "GET", "/cart"), &cart)
	slices.Sort(cart.Items)
	slices.Sort(want)
	if !slices.Equal(cart.Items, want) {
		t.Errorf("got %d items %q, want %d", len(cart.Items), cart.Items, len(want))
	}
}

// testLaravelClear clears the cache, which is database 1. What is in database
// 0, sessions and limits, stays.
func testLaravelClear(t *testing.T, app *phpApp) {
	b := login(t, app, "anna")
	for range 5 {
		b.must(t, "POST", "/passwords/carl")
	}
	price := onePrice(t, app, "tea")
	if out, err := app.inService()[0].run("artisan", "cache:clear"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got := onePrice(t, app, "tea"); got == price {
		t.Errorf("got the price of before")
	}
	b.must(t, "GET", "/visits")
	if got, err := b.do("POST", "/passwords/carl"); err != nil || got.code != http.StatusTooManyRequests {
		t.Errorf("the sixth try: got %+v, %v, want 429", got, err)
	}
}

// testLaravelQueue places orders at all pods while a worker waits in each, and
// tells the workers to end at one of them.
func testLaravelQueue(t *testing.T, app *phpApp) {
	const orders = 60
	workers := startWorkers(t, app)
	time.Sleep(time.Second) // they are waiting
	b := guest(t, app)
	var want []string
	place := func(upTo int) {
		for order := len(want); order < upTo; order++ {
			want = append(want, strconv.Itoa(order))
			b.must(t, "POST", "/orders/"+strconv.Itoa(order))
		}
	}
	place(1)
	receipts(t, b, 1, 3*time.Second) // had they not waited, they would sleep
	place(orders)
	receipts(t, b, orders, 20*time.Second)
	if out, err := app.inService()[0].run("artisan", "queue:restart"); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	for i, cmd := range workers {
		err := cmd.Wait()
		said := cmd.Stdout.(*strings.Builder).String()
		if err != nil || strings.Contains(said, "ERROR") {
			t.Errorf("worker %d: %v: %s", i, err, said)
		}
		t.Logf("worker %d did %d jobs", i, strings.Count(said, "Processed:"))
	}
	got := receipts(t, b, orders, time.Second)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %d receipts %q, want one for each of %d orders", len(got), got, orders)
	}
}

// startWorkers starts a worker in each pod. One that does not end by itself
// is killed after a while.
func startWorkers(t *testing.T, app *phpApp) []*exec.Cmd {
	t.Helper()
	var workers []*exec.Cmd
	for _, p := range app.inService() {
		cmd := p.command("artisan", "queue:work", "--sleep=5", "--tries=1")
		cmd.Stdout = &strings.Builder{}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(40*time.Second, func() { cmd.Process.Kill() })
		t.Cleanup(func() { timer.Stop() })
		workers = append(workers, cmd)
	}
	return workers
}

// receipts waits until there are so many receipts, or more.
func receipts(t *testing.T, b *browser, count int, limit time.Duration) []string {
	t.Helper()
	var receipts struct{ Sent []string }
	eventually(t, limit, func() error {
		decode(t, b.must(t, "GET", "/receipts"), &receipts)
		if len(receipts.Sent) < count {
			return fmt.Errorf("%d of %d jobs are done", len(receipts.Sent), count)
		}
		return nil
	})
	return receipts.Sent
}

func decode(t *testing.T, a answer, to any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), to); err != nil {
		t.Fatalf("%s: %v", a.body, err)
	}
}
