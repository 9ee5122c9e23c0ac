package goclients

import (
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// goRedis returns a client with a pool of connections, each to the next node.
func (s *service) goRedis(t *testing.T, protocol int) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{
		Dialer:     func(ctx context.Context, _, _ string) (net.Conn, error) { return s.dial(ctx) },
		ClientName: "worker",
		Protocol:   protocol,
		PoolSize:   12,
	})
	t.Cleanup(func() { client.Close() })
	return client
}

// goRedisEach returns a client for each node.
func (s *service) goRedisEach(t *testing.T, protocol int) (a, b, c *redis.Client) {
	t.Helper()
	var clients []*redis.Client
	for _, node := range s.nodes {
		client := redis.NewClient(&redis.Options{Addr: node, Protocol: protocol})
		t.Cleanup(func() { client.Close() })
		clients = append(clients, client)
	}
	return clients[0], clients[1], clients[2]
}

func TestGoRedis(t *testing.T) {
	for _, protocol := range []int{2, 3} {
		for what, test := range map[string]func(*testing.T, int){
			"handshake":    goRedisHandshake,
			"cache":        goRedisCache,
			"types":        goRedisTypes,
			"pipelines":    goRedisPipelines,
			"transactions": goRedisTransactions,
			"watch":        goRedisWatch,
			"scans":        goRedisScans,
			"scripts":      goRedisScripts,
		} {
			t.Run(fmt.Sprintf("RESP%d %s", protocol, what), func(t *testing.T) {
				t.Parallel()
				test(t, protocol)
			})
		}
	}
}

func goRedisHandshake(t *testing.T, protocol int) {
	s := newService(t)
	client := s.goRedis(t, protocol)
	info := must(client.ClientInfo(t.Context()).Result())(t)
	if info.Name != "worker" || info.Resp != protocol || !strings.HasPrefix(info.LibName, "go-redis") {
		t.Errorf("got the name %q, RESP%d and the library %q, want worker, RESP%d, go-redis", info.Name, info.Resp, info.LibName, protocol)
	}
	other := redis.NewClient(&redis.Options{Addr: s.nodes[1], DB: 5, Protocol: protocol})
	defer other.Close()
	if err := other.Set(t.Context(), s.key("in db 5"), "x", time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	if err := client.Get(t.Context(), s.key("in db 5")).Err(); !errors.Is(err, redis.Nil) {
		t.Errorf("got %v in database 0, want nothing", err)
	}
	hello := must(client.Do(t.Context(), "HELLO").Result())(t)
	if protocol == 3 && hello.(map[any]any)["proto"] != int64(3) {
		t.Errorf("got %v, want proto 3", hello)
	}
}

func goRedisCache(t *testing.T, protocol int) {
	s, ctx := newService(t), t.Context()
	a, b, c := s.goRedisEach(t, protocol)
	page := s.key("page")
	if err := a.Set(ctx, page, "body", time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	if got := must(b.Get(ctx, page).Result())(t); got != "body" {
		t.Errorf("got %q, want body", got)
	}
	if got := must(c.PTTL(ctx, page).Result())(t); got <= 0 || got > time.Minute {
		t.Errorf("got a TTL of %v, want a minute at most", got)
	}
	if isSet := must(a.SetNX(ctx, page, "other", time.Minute).Result())(t); isSet {
		t.Error("SET NX has set a key that was there")
	}
	if got := must(b.SetArgs(ctx, page, "new", redis.SetArgs{Get: true, KeepTTL: true}).Result())(t); got != "body" {
		t.Errorf("got %q before, want body", got)
	}
	if got := must(c.GetEx(ctx, page, 0).Result())(t); got != "new" {
		t.Errorf("got %q, want new", got)
	}
	if got := must(a.GetDel(ctx, page).Result())(t); got != "new" {
		t.Errorf("got %q, want new", got)
	}
	if err := b.Get(ctx, page).Err(); !errors.Is(err, redis.Nil) {
		t.Errorf("got %v of a key that was deleted, want redis.Nil", err)
	}
	must(a.Set(ctx, page, "brief", 100*time.Millisecond).Result())(t)
	eventually(t, "a key of 100 ms is gone", func() bool { return errors.Is(c.Get(ctx, page).Err(), redis.Nil) })

	must(a.MSet(ctx, s.key("x"), 1, s.key("y"), 2).Result())(t)
	got := must(b.MGet(ctx, s.key("x"), s.key("none"), s.key("y")).Result())(t)
	if want := []any{"1", nil, "2"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if err := c.LPush(ctx, s.key("x"), "x").Err(); err == nil || !strings.HasPrefix(err.Error(), "WRONGTYPE ") {
		t.Errorf("got %v, want WRONGTYPE", err)
	}
}

func goRedisTypes(t *testing.T, protocol int) {
	s, ctx := newService(t), t.Context()
	a, b, c := s.goRedisEach(t, protocol)
	must(a.HSet(ctx, s.key("user"), "name", "Ada", "visits", 1).Result())(t)
	must(b.HIncrBy(ctx, s.key("user"), "visits", 2).Result())(t)
	var user struct {
		Name   string `redis:"name"`
		Visits int    `redis:"visits"`
	}
	if err := c.HGetAll(ctx, s.key("user")).Scan(&user); err != nil || user.Name != "Ada" || user.Visits != 3 {
		t.Errorf("got %+v (%v), want Ada and 3 visits", user, err)
	}
	must(a.ZAdd(ctx, s.key("board"), redis.Z{Score: 1.5, Member: "one"}, redis.Z{Score: 2, Member: "two"}).Result())(t)
	board := must(b.ZRangeWithScores(ctx, s.key("board"), 0, -1).Result())(t)
	if want := []redis.Z{{Score: 1.5, Member: "one"}, {Score: 2, Member: "two"}}; !slices.Equal(board, want) {
		t.Errorf("got %v, want %v", board, want)
	}
	if got := must(c.ZIncrBy(ctx, s.key("board"), 0.25, "one").Result())(t); got != 1.75 {
		t.Errorf("got the score %v, want 1.75", got)
	}
	must(a.SAdd(ctx, s.key("tags"), "x", "y", "x").Result())(t)
	tags := must(b.SMembersMap(ctx, s.key("tags")).Result())(t)
	if want := (map[string]struct{}{"x": {}, "y": {}}); !reflect.DeepEqual(tags, want) {
		t.Errorf("got %v, want %v", tags, want)
	}
	must(a.RPush(ctx, s.key("list"), 1, 2, 3).Result())(t)
	if got := must(b.LRange(ctx, s.key("list"), 0, -1).Result())(t); !slices.Equal(got, []string{"1", "2", "3"}) {
		t.Errorf("got %v, want 1 2 3", got)
	}
	if got := must(c.BitField(ctx, s.key("bits"), "INCRBY", "u8", 0, 200, "OVERFLOW", "SAT", "INCRBY", "u8", 0, 200).Result())(t); !slices.Equal(got, []int64{200, 255}) {
		t.Errorf("got %v, want 200 255", got)
	}
}

func goRedisPipelines(t *testing.T, protocol int) {
	s, ctx := newService(t), t.Context()
	client := s.goRedis(t, protocol)
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			replies, err := client.Pipelined(ctx, func(p redis.Pipeliner) error {
				for range 100 {
					p.Incr(ctx, s.key("count"))
				}
				return nil
			})
			if err != nil || len(replies) != 100 {
				t.Errorf("got %d replies (%v), want 100", len(replies), err)
			}
		})
	}
	wg.Wait()
	if got := must(client.Get(ctx, s.key("count")).Int())(t); got != 1200 {
		t.Errorf("got %d after 1200 increments", got)
	}
	replies, err := client.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.LPop(ctx, s.key("count"))
		p.Get(ctx, s.key("count"))
		return nil
	})
	if err == nil || !strings.HasPrefix(err.Error(), "WRONGTYPE") || replies[1].(*redis.StringCmd).Val() != "1200" {
		t.Errorf("got %v and %v, want WRONGTYPE and then 1200", err, replies)
	}
}

func goRedisTransactions(t *testing.T, protocol int) {
	s, ctx := newService(t), t.Context()
	client := s.goRedis(t, protocol)
	replies, err := client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.Set(ctx, s.key("t"), 1, 0)
		p.LPush(ctx, s.key("t"), "x")
		p.Incr(ctx, s.key("t"))
		return nil
	})
	if err == nil || !strings.HasPrefix(err.Error(), "WRONGTYPE") {
		t.Errorf("got %v, want WRONGTYPE of the second command", err)
	}
	if got := replies[2].(*redis.IntCmd).Val(); got != 2 {
		t.Errorf("got %d of the third command, want 2", got)
	}
	// Nobody sees half of a transaction: two keys that change together never
	// differ.
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { // until the writer is done
			for {
				got, err := client.MGet(ctx, s.key("left"), s.key("right")).Result()
				if err != nil || got[0] != got[1] {
					t.Errorf("got %v (%v), want two that are equal", got, err)
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for i := range 100 {
		if _, err := client.TxPipelined(ctx, func(p redis.Pipeliner) error {
			p.Set(ctx, s.key("left"), i, time.Minute)
			p.Set(ctx, s.key("right"), i, time.Minute)
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
	close(done)
	wg.Wait()
}

// goRedisWatch counts with WATCH, GET, MULTI, SET, EXEC, which counts exactly
// only where EXEC knows what was written through the other nodes.
func goRedisWatch(t *testing.T, protocol int) {
	const workers, turns = 12, 5
	s, ctx := newService(t), t.Context()
	client := s.goRedis(t, protocol)
	count := s.key("count")
	add := func(tx *redis.Tx) error {
		n, err := tx.Get(ctx, count).Int()
		if err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
		_, err = tx.TxPipelined(ctx, func(p redis.Pipeliner) error {
			p.Set(ctx, count, n+1, 0)
			return nil
		})
		return err
	}
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for left := turns; left > 0; {
				switch err := client.Watch(ctx, add, count); {
				case err == nil:
					left--
				case !errors.Is(err, redis.TxFailedErr):
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if got := must(client.Get(ctx, count).Int())(t); got != workers*turns {
		t.Errorf("got %d, want %d", got, workers*turns)
	}
	if got := s.dials.Load(); got < workers {
		t.Errorf("got %d connections, want one a worker at least", got)
	}
}

func goRedisScans(t *testing.T, protocol int) {
	s, ctx := newService(t), t.Context()
	a, b, c := s.goRedisEach(t, protocol)
	var want []string
	var pairs []any
	for i := range 1000 {
		want = append(want, s.key("scan:"+strconv.Itoa(i)))
		pairs = append(pairs, want[i], "x")
	}
	slices.Sort(want)
	must(a.MSet(ctx, pairs...).Result())(t)

	found := map[string]bool{}
	for it := b.Scan(ctx, 0, s.key("scan:*"), 100).Iterator(); it.Next(ctx); {
		found[it.Val()] = true
	}
	if got := sorted(found); !slices.Equal(got, want) {
		t.Errorf("got %d keys, want 1000", len(got))
	}
	// One scan, each step of it at the next node.
	clear(found)
	cursor, clients := uint64(0), []*redis.Client{a, b, c}
	for step := 0; step == 0 || cursor != 0; step++ {
		var keys []string
		var err error
		if keys, cursor, err = clients[step%3].ScanType(ctx, cursor, s.key("scan:*"), 50, "string").Result(); err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			found[key] = true
		}
	}
	if got := sorted(found); !slices.Equal(got, want) {
		t.Errorf("got %d keys of a scan over all nodes, want 1000", len(got))
	}
}

func sorted(set map[string]bool) []string {
	keys := make([]string, 0, len(set))
	for key := range set {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func goRedisScripts(t *testing.T, protocol int) {
	s, ctx := newService(t), t.Context()
	a, b, c := s.goRedisEach(t, protocol)
	// The text is new, so that no node knows it before: EVALSHA fails, EVAL
	// teaches it to all.
	script := redis.NewScript(fmt.Sprintf(`-- %s
		return {redis.call('incrby', KEYS[1], ARGV[1]), 'x', false, 3.9, {'y'}}`, s.run))
	if _, err := script.EvalSha(ctx, a, []string{s.key("n")}, 2).Result(); !redis.HasErrorPrefix(err, "NOSCRIPT") {
		t.Errorf("got %v, want NOSCRIPT", err)
	}
	for i, client := range []*redis.Client{a, b, c} {
		got := must(script.Run(ctx, client, []string{s.key("n")}, 2).Slice())(t)
		if want := []any{int64(2 * (i + 1)), "x", nil, int64(3), []any{"y"}}; !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	if got := must(script.Exists(ctx, c).Result())(t); !slices.Equal(got, []bool{true}) {
		t.Errorf("got %v, want true", got)
	}
	if got, err := script.EvalShaRO(ctx, b, []string{s.key("n")}, 2).Result(); err == nil {
		t.Errorf("got %v of a script that may not write and does, want an error", got)
	}
	if got := must(c.Get(ctx, s.key("n")).Int())(t); got != 6 {
		t.Errorf("got %d, want 6", got)
	}
}
