package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cache"
	"github.com/huddlecache/huddle/cluster/clustertest"
)

// An app is an application that loaders ask, in the bubble of a test. It answers
// with the host and path that were asked for, and the number of the request.
type app struct {
	mu     sync.Mutex // guards what follows
	calls  int
	takes  time.Duration
	header http.Header
	status int
	err    error // instead of an answer
}

func (a *app) RoundTrip(r *http.Request) (*http.Response, error) {
	a.mu.Lock()
	a.calls++
	answer := httptest.NewRecorder()
	for name, values := range a.header {
		answer.Header()[name] = values
	}
	answer.WriteHeader(max(a.status, http.StatusOK))
	_, _ = fmt.Fprintf(answer, "%s%s %d", r.URL.Host, r.URL.Path, a.calls)
	takes, err := a.takes, a.err
	a.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	return answer.Result(), err
}

// answers has the app answer otherwise from now on.
func (a *app) answers(status int, control string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.status, a.err, a.header = status, err, http.Header{}
	if control != "" {
		a.header.Set("Cache-Control", control)
	}
}

func (a *app) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.calls
}

// inApplication is inCluster with an application that caches can fetch from.
func inApplication(t *testing.T, o clustertest.Options, test func(w *world, a *app)) {
	t.Helper()
	inCluster(t, o, func(w *world) {
		a := &app{}
		for _, p := range w.cluster.Pods() {
			w.caches[p].Close()
			w.fetching(p, a, nil)
		}
		time.Sleep(5 * time.Second)
		test(w, a)
	})
}

func (w *world) fetching(p *clustertest.Pod, a *app, loaders map[string]string) {
	w.caches[p] = cache.New(p.Node.Log(feature), p.Node.Peers(feature), cache.Config{Bytes: 8 << 20, Transport: a, Loaders: loaders})
}

func (w *world) setLoader(i int, group string, l cache.HTTPLoader) {
	w.Helper()
	if err := w.on(i).SetLoader(w.Context(), group, l); err != nil {
		w.Fatalf("setting the loader of %s through pod %d: %v", group, i, err)
	}
}

// fetched is what a pod answers.
func (w *world) fetched(i int, group, key string) string {
	w.Helper()
	item, err := w.on(i).Get(w.Context(), group, key)
	switch {
	case errors.Is(err, cache.ErrNotFound):
		return "none"
	case errors.Is(err, cache.ErrLoader):
		return "failed"
	case err != nil:
		w.Errorf("pod %d: %s %s: %v", i, group, key, err)
	}
	return string(item.Value)
}

func TestAnApplicationIsAskedOnceForAll(t *testing.T) {
	inApplication(t, clustertest.Options{}, func(w *world, a *app) {
		w.setLoader(0, "pages", cache.HTTPLoader{URL: "http://app/p"})
		a.takes = time.Second
		a.header = http.Header{"Content-Type": {"text/html"}, "Surrogate-Key": {"news all"}, "Cache-Control": {"max-age=60"}}
		var all sync.WaitGroup
		for i := range 200 {
			all.Go(func() {
				item, err := w.on(i%3).Get(w.Context(), "pages", "cold")
				if err != nil || string(item.Value) != "app/p/cold 1" || item.Type != "text/html" || strings.Join(item.Tags, " ") != "news all" {
					t.Errorf("got %q of %s with %v, %v", item.Value, item.Type, item.Tags, err)
				}
			})
		}
		all.Wait()
		if n := a.count(); n != 1 {
			t.Errorf("200 callers: the application was asked %d times, want once", n)
		}
		time.Sleep(40 * time.Second)
		for i := range 3 {
			if got := w.fetched(i, "pages", "cold"); got != "app/p/cold 1" {
				t.Errorf("pod %d: later got %q", i, got)
			}
		}
		if err := w.on(1).Invalidate(w.Context(), "pages", cache.Tags("news")); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			if got := w.fetched(i, "pages", "cold"); got != "app/p/cold 2" {
				t.Errorf("pod %d: after an invalidation got %q, want another value", i, got)
			}
		}
		item, right, err := w.on(2).GetOrClaim(w.Context(), "pages", "other", time.Second, false)
		if err != nil || string(item.Value) != "app/p/other 3" || right.Number != 0 {
			t.Errorf("with a lease: got %q, %v, %v", item.Value, right, err)
		}
	})
}

// Each line is three reads, each on another pod: the second one a second after
// the first, the third after that long.
func TestWhatAnApplicationSaysOfItsAnswersIsHonoured(t *testing.T) {
	inApplication(t, clustertest.Options{}, func(w *world, a *app) {
		w.setLoader(0, "plain", cache.HTTPLoader{URL: "http://app", TTL: 20 * time.Second})
		w.setLoader(0, "stale", cache.HTTPLoader{URL: "http://app", TTL: 20 * time.Second, Stale: time.Minute, Negative: 20 * time.Second})
		for i, test := range []struct {
			group, control string
			status         int
			wait           time.Duration
			want           string // number of the request that each read brings
		}{
			{"plain", "", 200, 15 * time.Second, "1 1 1"},
			{"plain", "", 200, 21 * time.Second, "1 1 2"},
			{"plain", "max-age=10", 200, 11 * time.Second, "1 1 2"},
			{"plain", "max-age=60", 200, 50 * time.Second, "1 1 1"},
			{"plain", "max-age=600, s-maxage=10", 200, 11 * time.Second, "1 1 2"},
			{"plain", "max-age=10, stale-while-revalidate=20", 200, 15 * time.Second, "1 1 1"},
			{"plain", "max-age=10, stale-while-revalidate=20", 200, 35 * time.Second, "1 1 2"},
			{"plain", "no-store", 200, time.Second, "1 2 3"},
			{"plain", "private", 200, time.Second, "1 2 3"},
			{"plain", "no-cache", 200, time.Second, "1 2 3"},
			{"plain", "max-age=0", 200, time.Second, "1 2 3"},
			{"stale", "", 200, 50 * time.Second, "1 1 1"},
			{"stale", "max-age=10", 200, 50 * time.Second, "1 1 1"},
			{"stale", "max-age=10, must-revalidate", 200, 11 * time.Second, "1 1 2"},
			{"stale", "no-store", 200, time.Second, "1 2 3"},
			{"plain", "", 404, time.Second, "none none none, 3"},
			{"stale", "", 404, 15 * time.Second, "none none none, 1"},
			{"stale", "", 410, 21 * time.Second, "none none none, 2"},
			{"stale", "no-store", 404, time.Second, "none none none, 3"},
			{"plain", "max-age=30", 404, 25 * time.Second, "none none none, 1"},
			{"stale", "", 500, time.Second, "failed failed failed, 3"},
			{"stale", "", 403, time.Second, "failed failed failed, 3"},
		} {
			a.answers(test.status, test.control, nil)
			before, key := a.count(), fmt.Sprint("k", i)
			var got []string
			for pod, wait := range []time.Duration{0, time.Second, test.wait} {
				time.Sleep(wait)
				value, number := w.fetched(pod, test.group, key), 0
				if _, err := fmt.Sscanf(value, "app/"+key+" %d", &number); err == nil {
					value = fmt.Sprint(number - before)
				}
				got = append(got, value)
			}
			text := strings.Join(got, " ")
			if test.status != 200 {
				text += fmt.Sprint(", ", a.count()-before)
			}
			if text != test.want {
				t.Errorf("%s, %d %q, after %s: got %s, want %s", test.group, test.status, test.control, test.wait, text, test.want)
			}
			time.Sleep(2 * time.Second) // what goes on behind is over
		}
	})
}

func TestAnApplicationThatIsDown(t *testing.T) {
	inApplication(t, clustertest.Options{}, func(w *world, a *app) {
		w.setLoader(0, "g", cache.HTTPLoader{URL: "http://app", TTL: 10 * time.Second, Stale: time.Minute})
		if got := w.fetched(0, "g", "warm"); got != "app/warm 1" {
			t.Fatalf("got %q", got)
		}
		a.answers(0, "", errors.New("connection refused"))
		time.Sleep(15 * time.Second)
		before := a.count()
		for range 100 {
			for pod := range 3 {
				if got := w.fetched(pod, "g", "warm"); got != "app/warm 1" {
					t.Errorf("pod %d: got %q, want what there was", pod, got)
				}
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := a.count() - before; n < 2 || n > 12 {
			t.Errorf("in ten seconds an application that is down was asked %d times, want about one each second", n)
		}
		if got := w.fetched(1, "g", "cold"); got != "failed" {
			t.Errorf("what is not kept: got %q, want that it has failed", got)
		}
		a.answers(200, "", nil)
		time.Sleep(2 * time.Second)
		w.fetched(2, "g", "warm")
		time.Sleep(2 * time.Second)
		if got := w.fetched(2, "g", "warm"); got == "app/warm 1" {
			t.Errorf("once it is up again: got %q, want another value", got)
		}
		time.Sleep(80 * time.Second)
		a.answers(500, "", nil)
		if got := w.fetched(0, "g", "warm"); got != "failed" {
			t.Errorf("after the stale time: got %q, want that it has failed", got)
		}
	})
}

func TestASlowApplicationDoesNotHoldItsCallers(t *testing.T) {
	inApplication(t, clustertest.Options{}, func(w *world, a *app) {
		w.setLoader(0, "g", cache.HTTPLoader{URL: "http://app"})
		a.takes = time.Minute
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := w.on(1).Get(ctx, "g", "k")
		if took := time.Since(start); !errors.Is(err, cache.ErrLoader) || took != time.Second {
			t.Errorf("with a second to wait: got %v after %s", err, took)
		}
		_, err = w.on(1).Get(w.Context(), "g", "k")
		if took := time.Since(start); !errors.Is(err, cache.ErrLoader) || took > 35*time.Second {
			t.Errorf("without: got %v after %s, want an error when the loader's 30 seconds are over", err, took)
		}
	})
}

func TestALoaderIsReplaced(t *testing.T) {
	inApplication(t, clustertest.Options{}, func(w *world, a *app) {
		a.takes = 30 * time.Millisecond
		a.answers(200, "max-age=3600", nil)
		stop := make(chan struct{})
		var readers sync.WaitGroup
		for i := range 9 {
			readers.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					case <-time.After(time.Duration(n%7) * time.Millisecond):
						_, _ = w.on(i%3).Get(w.Context(), "g", fmt.Sprint("k", n%50))
					}
				}
			})
		}
		for round := range 20 {
			url := fmt.Sprint("http://app-", round)
			if round%5 == 4 {
				url = ""
			}
			w.setLoader(round%3, "g", cache.HTTPLoader{URL: url})
			var all sync.WaitGroup
			for k := range 60 {
				all.Go(func() {
					got, want := w.fetched(k%3, "g", fmt.Sprint("k", k)), fmt.Sprintf("app-%d/k%d ", round, k)
					if url == "" {
						want = "none"
					}
					if !strings.HasPrefix(got, want) {
						t.Errorf("round %d: got %q, want what begins with %q", round, got, want)
					}
				})
			}
			all.Wait()
		}
		close(stop)
		readers.Wait()
	})
}

func TestLoadersOutliveNodes(t *testing.T) {
	inApplication(t, clustertest.Options{Durable: true}, func(w *world, a *app) {
		expect := func(what string, want ...string) {
			t.Helper()
			for i := range w.cluster.Pods() {
				for g, want := range want {
					w.cluster.Wait(time.Minute, "the loaders are known", func() bool {
						l, _ := w.on(i).HTTPLoader(fmt.Sprint("g", g))
						return l.URL == want
					})
					if l, _ := w.on(i).HTTPLoader(fmt.Sprint("g", g)); want != "" && l.Stale != time.Hour {
						t.Errorf("%s: pod %d has a loader for g%d that is stale for %s", what, i, g, l.Stale)
					}
				}
			}
		}
		w.setLoader(0, "g0", cache.HTTPLoader{URL: "http://a", Stale: time.Hour})
		w.setLoader(0, "g1", cache.HTTPLoader{URL: "http://b", Stale: time.Hour})
		expect("set", "http://a", "http://b")

		added := w.cluster.Add(1)[0]
		w.fetching(added, a, nil)
		w.cluster.WaitReady(time.Minute)
		expect("a new node", "http://a", "http://b")
		if got := w.fetched(3, "g0", "k"); got != "a/k 1" {
			t.Errorf("a new node: got %q", got)
		}

		var backup bytes.Buffer
		b, err := w.cluster.Pods()[0].Node.Backup(w.Context())
		if err == nil {
			_, err = b.WriteTo(&backup)
		}
		if err != nil {
			t.Fatal(err)
		}
		w.setLoader(1, "g0", cache.HTTPLoader{URL: "http://c", Stale: time.Hour})
		w.setLoader(1, "g1", cache.HTTPLoader{})
		w.setLoader(1, "g2", cache.HTTPLoader{URL: "http://d", Stale: time.Hour})
		expect("changed", "http://c", "", "http://d")
		if _, err := w.cluster.Pods()[0].Node.Restore(w.Context(), &backup); err != nil {
			t.Fatal(err)
		}
		expect("restored", "http://a", "http://b", "")

		pods := w.cluster.Pods()
		for _, p := range pods {
			w.caches[p].Close()
			delete(w.caches, p)
			w.cluster.Kill(p)
		}
		for _, p := range pods {
			w.cluster.Restart(p, false)
			w.fetching(p, a, nil)
		}
		w.cluster.WaitReady(time.Minute)
		expect("restarted", "http://a", "http://b", "")
	})
}

func TestTheClustersLoaderGoesBeforeTheNodes(t *testing.T) {
	inApplication(t, clustertest.Options{}, func(w *world, a *app) {
		a.answers(200, "max-age=3600", nil)
		for _, p := range w.cluster.Pods() {
			w.caches[p].Close()
			w.fetching(p, a, map[string]string{"set": "http://setting", "broken": "no URL"})
			w.group(p, &counting{}, cache.GroupConfig{})
		}
		time.Sleep(5 * time.Second)
		for _, step := range []struct{ url, set, made string }{
			{"", "setting", "k made"},
			{"http://log", "log", "log/k"},
			{"http://other", "other", "other/k"},
			{"", "setting", "k made"},
		} {
			w.setLoader(0, "set", cache.HTTPLoader{URL: step.url})
			w.setLoader(0, "made", cache.HTTPLoader{URL: step.url})
			for i, p := range w.cluster.Pods() {
				if got := w.fetched(i, "set", "k"); !strings.HasPrefix(got, step.set+"/k ") {
					t.Errorf("with %q pod %d has %q, want that of %s", step.url, i, got, step.set)
				}
				got, err := w.group(p, unused, cache.GroupConfig{}).Get(w.Context(), "k")
				if err != nil || !strings.HasPrefix(string(got), step.made) {
					t.Errorf("with %q pod %d makes %q, %v, want %q", step.url, i, got, err, step.made)
				}
			}
		}
		if got := w.fetched(0, "broken", "k"); got != "failed" {
			t.Errorf("a setting that is no URL: got %q, want that it has failed", got)
		}
	})
}

// unused is a loader that is never run: the group has another one already.
var unused = cache.LoaderFunc(func(context.Context, string) (cache.Value, error) { panic("the first loader stays") })

func TestLoadersThatAreRefused(t *testing.T) {
	inApplication(t, clustertest.Options{}, func(w *world, a *app) {
		for _, test := range []struct {
			group string
			l     cache.HTTPLoader
		}{
			{"g", cache.HTTPLoader{URL: "app"}},
			{"g", cache.HTTPLoader{URL: "file:///etc/passwd"}},
			{"g", cache.HTTPLoader{URL: "http://me:secret@app"}},
			{"g", cache.HTTPLoader{URL: "http://app", Stale: -1}},
			{"", cache.HTTPLoader{URL: "http://app"}},
			{"", cache.HTTPLoader{}},
			{strings.Repeat("g", 1025), cache.HTTPLoader{}},
		} {
			if err := w.on(0).SetLoader(w.Context(), test.group, test.l); !errors.Is(err, cache.ErrInvalid) {
				t.Errorf("%.9q %v: got %v, want that it is invalid", test.group, test.l, err)
			}
		}
		w.setLoader(0, "g", cache.HTTPLoader{URL: "http://app"})
		if _, err := w.on(1).Get(w.Context(), "g", "../k"); !errors.Is(err, cache.ErrInvalid) || a.count() != 0 {
			t.Errorf("a key that leads out: got %v and %d requests, want that it is invalid", err, a.count())
		}
		a.header = http.Header{"Cache-Tag": {strings.Repeat("x", 1025)}}
		if got := w.fetched(0, "g", "tagged"); got != "failed" {
			t.Errorf("a tag that is too long: got %q, want that it has failed", got)
		}
	})
}
