package goclients

import (
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"
)

// TestRueidisCaches shows that rueidis' copies are used, and die when the key
// is changed through any node.
func TestRueidisCaches(t *testing.T) {
	t.Parallel()
	s, ctx := newService(t), t.Context()
	a, b, c := s.goRedisEach(t, 3)
	writers := []*redis.Client{a, b, c}
	page := s.key("page")
	for i := range s.nodes {
		reader := s.rueidis(t, func(*rueidis.ClientOption) {})
		get := func() rueidis.RedisResult {
			return reader.DoCache(ctx, reader.B().Get().Key(page).Cache(), time.Minute)
		}
		must(writers[i].Set(ctx, page, "0", time.Hour).Result())(t)
		hits := 0
		for range 20 {
			reply := get()
			if got := must(reply.ToString())(t); got != "0" {
				t.Errorf("got %q, want 0", got)
			}
			if reply.IsCacheHit() {
				hits++
			}
		}
		if hits < 15 {
			t.Errorf("got %d of 20 reads from memory", hits)
		}
		for n := range 30 {
			want := strconv.Itoa(n + 1)
			must(writers[n%3].Set(ctx, page, want, time.Hour).Result())(t)
			eventually(t, "the new value is seen", func() bool { return must(get().ToString())(t) == want })
		}
		must(writers[i].Del(ctx, page).Result())(t)
		eventually(t, "that there is none is seen", func() bool { return rueidis.IsRedisNil(get().Error()) })
	}
}

// TestRueidisCachesBroadcast lets rueidis be told of all keys with a prefix.
func TestRueidisCachesBroadcast(t *testing.T) {
	t.Parallel()
	s, ctx := newService(t), t.Context()
	a, b, c := s.goRedisEach(t, 3)
	reader := s.rueidis(t, func(o *rueidis.ClientOption) {
		o.ClientTrackingOptions = []string{"PREFIX", s.key("x:"), "BCAST"}
	})
	get := func() string {
		reply := reader.DoCache(ctx, reader.B().Get().Key(s.key("x:page")).Cache(), time.Minute)
		return must(reply.ToString())(t)
	}
	for n, writer := range []*redis.Client{a, b, c, a, b, c} {
		want := strconv.Itoa(n)
		must(writer.Set(ctx, s.key("x:page"), want, time.Hour).Result())(t)
		eventually(t, "the new value is seen", func() bool { return get() == want })
	}
}

// TestGoRedisCaches shows the same of go-redis.
func TestGoRedisCaches(t *testing.T) {
	t.Parallel()
	s, ctx := newService(t), t.Context()
	a, b, c := s.goRedisEach(t, 3)
	writers := []*redis.Client{a, b, c}
	for _, node := range s.nodes {
		reader := redis.NewClient(&redis.Options{Addr: node, Protocol: 3, ClientSideCacheConfig: &redis.ClientSideCacheConfig{}})
		defer reader.Close()
		page := s.key("page " + node)
		must(a.Set(ctx, page, "0", time.Hour).Result())(t)
		for range 20 {
			if got := must(reader.Get(ctx, page).Result())(t); got != "0" {
				t.Errorf("got %q, want 0", got)
			}
		}
		if got := reader.CSCStats().Hits; got < 15 {
			t.Errorf("got %d of 20 reads from memory", got)
		}
		for n := range 30 {
			want := strconv.Itoa(n + 1)
			must(writers[n%3].Set(ctx, page, want, time.Hour).Result())(t)
			eventually(t, "the new value is seen", func() bool { return must(reader.Get(ctx, page).Result())(t) == want })
		}
	}
}
