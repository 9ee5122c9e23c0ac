package behaviour

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cache"
	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/internal/respclient"
)

// A cacheDoor is a way to the cache. Each call goes to node i, counted from any
// number, over a connection of its own, and returns the errors of the Go API.
type cacheDoor interface {
	// put keeps a value. A lease that is not empty is one that claim gave.
	put(i int, group, key string, item cache.Item, lease string) error
	get(i int, group, key string) (value string, err error)
	// claim returns the value, or ErrNotFound and perhaps a lease to make it.
	// A client that loses patience hangs up, which is errHungUp.
	claim(i int, group, key string, lasts, patience time.Duration) (value, lease string, err error)
	invalidate(i int, group string, s cache.Scope) error
}

// errHungUp means that the client has gone before it was answered.
var errHungUp = errors.New("hung up")

// forCacheDoors runs a test for each door, all at once. The group is one that
// nobody has used before.
func forCacheDoors(t *testing.T, test func(t *testing.T, d cacheDoor, group string)) {
	t.Helper()
	w := cluster(t)
	for name, door := range map[string]func(t *testing.T) cacheDoor{
		"go":   func(t *testing.T) cacheDoor { return goCache{t, w} },
		"resp": func(t *testing.T) cacheDoor { return respCache{w} },
		"http": func(t *testing.T) cacheDoor { return httpCache{t, w} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, door(t), newName(t))
		})
	}
}

// goCache is the Go API, in process.
type goCache struct {
	t *testing.T
	w *world
}

func (d goCache) at(i int) *cache.Cache { return d.w.nodes[i%len(d.w.nodes)].Cache() }

func (d goCache) put(i int, group, key string, item cache.Item, lease string) error {
	right, err := cache.ParseRight(lease)
	if err != nil {
		return err
	}
	return retry(func() error { return d.at(i).Put(d.t.Context(), group, key, item, right) })
}

func (d goCache) get(i int, group, key string) (value string, err error) {
	err = retry(func() error {
		item, err := d.at(i).Get(d.t.Context(), group, key)
		value = string(item.Value)
		return err
	})
	return value, err
}

func (d goCache) claim(i int, group, key string, lasts, patience time.Duration) (value, lease string, err error) {
	ctx, hangUp := context.WithCancel(d.t.Context())
	defer hangUp()
	defer time.AfterFunc(patience, hangUp).Stop()
	bounded, cancel := context.WithTimeout(ctx, lasts+time.Second)
	defer cancel()
	item, right, err := d.at(i).GetOrClaim(bounded, group, key, lasts, false)
	if ctx.Err() != nil {
		return "", "", errHungUp
	}
	return string(item.Value), right.String(), err
}

func (d goCache) invalidate(i int, group string, s cache.Scope) error {
	return retry(func() error { return d.at(i).Invalidate(d.t.Context(), group, s) })
}

// respCache is Redis' protocol.
type respCache struct{ w *world }

// respPatience is how long a client waits where it does not hang up.
const respPatience = 30 * time.Second

// do sends one command and hangs up when it is out of patience.
func (d respCache) do(i int, patience time.Duration, args ...string) (reply any, err error) {
	client := respclient.New(d.w.nodes[i%len(d.w.nodes)].RedisAddrs()[0].String(), patience)
	defer client.Close()
	reply, err = client.Do(args...)
	return reply, respCacheError(err)
}

// respCacheError returns the Go API's error for a reply.
func respCacheError(err error) error {
	if errors.Is(err, respclient.ErrBroken) {
		return errHungUp
	}
	text := fmt.Sprint(err)
	for part, of := range map[string]error{
		"CLUSTERDOWN ": machine.ErrNoQuorum, "TRYAGAIN ": machine.ErrOverloaded, "UNAVAILABLE ": machine.ErrUnknown,
		"TOOBIG ": cache.ErrTooBig, "ERR invalid ": cache.ErrInvalid, "ERR syntax error": cache.ErrInvalid,
	} {
		if strings.HasPrefix(text, part) {
			return of
		}
	}
	return err
}

func (d respCache) put(i int, group, key string, item cache.Item, lease string) error {
	args := []string{"CACHE.SET", group, key, string(item.Value)}
	if item.TTL > 0 {
		args = append(args, "PX", strconv.FormatInt(item.TTL.Milliseconds(), 10))
	}
	if len(item.Tags) > 0 {
		args = append(append(args, "tags", strconv.Itoa(len(item.Tags))), item.Tags...)
	}
	if lease != "" {
		args = append(args, "LEASE", lease)
	}
	return retry(func() error {
		reply, err := d.do(i, respPatience, args...)
		switch {
		case err != nil:
			return err
		case reply == nil:
			return cache.ErrConflict
		case reply != "OK":
			return fmt.Errorf("got %v, want OK or nil", reply)
		}
		return nil
	})
}

func (d respCache) get(i int, group, key string) (value string, err error) {
	err = retry(func() error {
		reply, err := d.do(i, respPatience, "CACHE.GET", group, key)
		if err == nil && reply == nil {
			return cache.ErrNotFound
		}
		value, _ = reply.(string)
		return err
	})
	return value, err
}

func (d respCache) claim(i int, group, key string, lasts, patience time.Duration) (value, lease string, err error) {
	reply, err := d.do(i, patience, "CACHE.GET", group, key, "LEASE", strconv.FormatInt(lasts.Milliseconds(), 10))
	switch reply := reply.(type) {
	case string:
		return reply, "", err
	case []any:
		if len(reply) != 2 || reply[0] != nil {
			return "", "", fmt.Errorf("got %v, want nil and a lease", reply)
		}
		return "", reply[1].(string), cache.ErrNotFound
	}
	if err == nil {
		err = cache.ErrNotFound
	}
	return "", "", err
}

func (d respCache) invalidate(i int, group string, s cache.Scope) error {
	for _, args := range [][]string{append([]string{"KEYS"}, s.Keys...), append([]string{"tags"}, s.Tags...), {"ALL"}} {
		if len(args) == 1 && (args[0] != "ALL" || !s.All) {
			continue
		}
		err := retry(func() error {
			reply, err := d.do(i, respPatience, append([]string{"CACHE.INVALIDATE", group}, args...)...)
			if err == nil && reply != "OK" {
				return fmt.Errorf("got %v, want OK", reply)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// httpCache is HTTP.
type httpCache struct {
	t *testing.T
	w *world
}

// do sends a request, and hangs up when it is out of patience.
func (d httpCache) do(i int, patience time.Duration, method, path string, body []byte, headers ...string) (*http.Response, string, error) {
	ctx, cancel := context.WithTimeout(d.t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, d.w.url(i)+"/v1/cache/"+path, bytes.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	for n := 0; n+1 < len(headers); n += 2 {
		r.Header.Set(headers[n], headers[n+1])
	}
	transport := &http.Transport{DisableKeepAlives: true}
	answer, err := (&http.Client{Transport: transport}).Do(r)
	if ctx.Err() != nil {
		return nil, "", errHungUp
	}
	if err != nil {
		return nil, "", err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, "", err
	}
	return answer, string(content), httpCacheError(answer, content)
}

// httpCacheError returns the Go API's error for a problem.
func httpCacheError(r *http.Response, body []byte) error {
	if r.StatusCode < 300 {
		return nil
	}
	var problem struct{ Type, Detail string }
	if err := json.Unmarshal(body, &problem); err != nil || r.Header.Get("Content-Type") != "application/problem+json" {
		return fmt.Errorf("%s is no problem document: %s", r.Status, body)
	}
	if r.Header.Get("Huddle-Cache") == "no-quorum" {
		return machine.ErrNoQuorum
	}
	kind := problem.Type[strings.LastIndexByte(problem.Type, '/')+1:]
	for name, of := range map[string]error{
		"404 not-found": cache.ErrNotFound, "409 not-kept": cache.ErrConflict, "413 too-big": cache.ErrTooBig,
		"503 no-quorum": machine.ErrNoQuorum, "503 overloaded": machine.ErrOverloaded, "504 unknown": machine.ErrUnknown,
		"400 malformed": cache.ErrInvalid, "422 malformed": cache.ErrInvalid,
	} {
		if name == fmt.Sprint(r.StatusCode, " ", kind) {
			return of
		}
	}
	return fmt.Errorf("%s: %s", r.Status, body)
}

// cachePath is the path of a key, dots escaped too.
func cachePath(group, key string) string {
	return strings.ReplaceAll(url.PathEscape(group)+"/"+url.PathEscape(key), ".", "%2E")
}

func (d httpCache) put(i int, group, key string, item cache.Item, lease string) error {
	query, headers := url.Values{}, []string{"Content-Type", "application/octet-stream"}
	if item.TTL > 0 {
		query.Set("ttl", item.TTL.String())
	}
	if len(item.Tags) > 0 {
		query.Set("tags", strings.Join(item.Tags, ","))
	}
	if lease != "" {
		headers = append(headers, "Huddle-Lease", lease)
	}
	return retry(func() error {
		answer, body, err := d.do(i, respPatience, http.MethodPut, cachePath(group, key)+"?"+query.Encode(), item.Value, headers...)
		if err == nil && (answer.StatusCode != http.StatusNoContent || body != "") {
			return fmt.Errorf("got %s with %q, want 204", answer.Status, body)
		}
		return err
	})
}

func (d httpCache) get(i int, group, key string) (value string, err error) {
	err = retry(func() error {
		_, value, err = d.do(i, respPatience, http.MethodGet, cachePath(group, key), nil)
		return err
	})
	if err != nil {
		value = ""
	}
	return value, err
}

func (d httpCache) claim(i int, group, key string, lasts, patience time.Duration) (value, lease string, err error) {
	answer, value, err := d.do(i, patience, http.MethodGet, cachePath(group, key)+"?lease="+lasts.String(), nil)
	if err != nil && answer != nil {
		return "", answer.Header.Get("Huddle-Lease"), err
	}
	return value, "", err
}

func (d httpCache) invalidate(i int, group string, s cache.Scope) error {
	if !s.All && len(s.Tags) == 0 && len(s.Keys) == 1 {
		return retry(func() error {
			_, _, err := d.do(i, respPatience, http.MethodDelete, cachePath(group, s.Keys[0]), nil)
			return err
		})
	}
	body, err := json.Marshal(map[string]any{"keys": s.Keys, "tags": s.Tags, "all": s.All})
	if err != nil {
		return err
	}
	return retry(func() error {
		_, _, err := d.do(i, respPatience, http.MethodPost, url.PathEscape(group)+"/invalidate", body, "Content-Type", "application/json")
		return err
	})
}
