package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/huddlecache/huddle/internal/respclient"
)

// A coldKey is one value that many want.
type coldKey struct {
	w    *world
	path string
	made atomic.Int64 // how often somebody had the lease to make it
	work time.Duration
	told tally
}

// do sends one request to a node.
func (k *coldKey) do(n *node, method, query, body, lease string) (r *http.Response, content string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, n.url()+k.path+query, strings.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	if lease != "" {
		request.Header.Set("Huddle-Lease", lease)
	}
	if r, err = http.DefaultClient.Do(request); err != nil {
		return nil, "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	return r, string(b), err
}

// want gets the value, or makes it, through whichever node answers.
func (k *coldKey) want(i int) error {
	var last error
	for begin := time.Now(); time.Since(begin) < time.Minute; i++ {
		nodes := k.w.inService()
		r, body, err := k.do(nodes[i%len(nodes)], http.MethodGet, "?lease=20s", "", "")
		if err != nil {
			last = err
			time.Sleep(20 * time.Millisecond)
			continue
		}
		lease := r.Header.Get("Huddle-Lease")
		switch {
		case r.StatusCode == http.StatusOK && body == "made":
			return nil
		case r.StatusCode == http.StatusNotFound && lease != "":
			k.made.Add(1)
			time.Sleep(k.work)
			k.put(i, lease)
		default:
			last = fmt.Errorf("%s %s", r.Status, body)
			time.Sleep(20 * time.Millisecond)
		}
	}
	return errors.Join(errors.New("no value within a minute"), last)
}

// put brings what was made, once more where it was certainly not kept.
func (k *coldKey) put(i int, lease string) {
	for begin := time.Now(); time.Since(begin) < 20*time.Second; i++ {
		nodes := k.w.inService()
		r, _, err := k.do(nodes[i%len(nodes)], http.MethodPut, "", "made", lease)
		if err == nil && r.StatusCode != http.StatusServiceUnavailable {
			k.told.add(respclient.Error("PUT:" + strconv.Itoa(r.StatusCode)))
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// owner finds out which node keeps the key, by keeping something there. Nothing
// is there afterwards.
func (k *coldKey) owner() *node {
	k.w.t.Helper()
	puts := func() (counts []int) {
		for _, n := range k.w.inService() {
			_, body, err := get(n.url() + "/metrics")
			at := strings.Index(body, "\nhuddle_cache_puts_total ")
			if err != nil || at < 0 {
				k.w.t.Fatalf("the metrics of %s lack huddle_cache_puts_total: %v", n.name, err)
			}
			count, _ := strconv.Atoi(strings.Fields(body[at:])[1])
			counts = append(counts, count)
		}
		return counts
	}
	before := puts()
	for _, method := range []string{http.MethodPut, http.MethodDelete} {
		eventually(k.w.t, 20*time.Second, func() error {
			r, _, err := k.do(k.w.inService()[0], method, "", "probe", "")
			if err == nil && r.StatusCode != http.StatusNoContent {
				err = errors.New(r.Status)
			}
			return err
		})
	}
	after := puts()
	for i, n := range k.w.inService() {
		if after[i] > before[i] {
			return n
		}
	}
	k.w.t.Fatalf("nobody has kept it: %v, %v", before, after)
	return nil
}

// all has 200 callers want the value, and returns how long that took.
func (k *coldKey) all(amid func()) time.Duration {
	begin := time.Now()
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			if err := k.want(i); err != nil {
				k.w.t.Error(err)
			}
		})
	}
	amid()
	wg.Wait()
	return time.Since(begin)
}

// TestOneCallerWorksForAll has 200 callers over three nodes ask for one key
// that is not there, and then for another one whose owner is killed while it is
// being made.
func TestOneCallerWorksForAll(t *testing.T) {
	t.Parallel()
	w := startNodes(t, 3, false)
	w.awaitRing()
	once := &coldKey{w: w, path: "/v1/cache/g/cold", work: 300 * time.Millisecond}
	took := once.all(func() {})
	if n := once.made.Load(); n != 1 {
		t.Errorf("the work was done %d times, want once", n)
	}
	t.Logf("200 callers had the value after %v; the work was done %d times; %v", took.Round(time.Millisecond), once.made.Load(), &once.told)

	killed := &coldKey{w: w, path: "/v1/cache/g/owned", work: time.Second}
	owner := killed.owner()
	took = killed.all(func() {
		eventually(t, 20*time.Second, func() error {
			if killed.made.Load() == 0 {
				return errors.New("nobody makes it")
			}
			return nil
		})
		w.kill(owner)
	})
	if n := killed.made.Load(); n < 1 || n > 2 {
		t.Errorf("the work was done %d times though the key's owner was killed but once, want two at most", n)
	}
	if slices.Contains(w.inService(), owner) {
		t.Error("the owner is still there")
	}
	t.Logf("with the owner killed: 200 callers had the value after %v; the work was done %d times; %v",
		took.Round(time.Millisecond), killed.made.Load(), &killed.told)
}
