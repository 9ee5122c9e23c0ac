package goclients

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"
)

// rueidis returns a client whose connections each go to the next node.
func (s *service) rueidis(t *testing.T, more func(*rueidis.ClientOption)) rueidis.Client {
	t.Helper()
	options := rueidis.ClientOption{
		InitAddress: []string{"service:6379"},
		DialCtxFn: func(ctx context.Context, _ string, _ *net.Dialer, _ *tls.Config) (net.Conn, error) {
			return s.dial(ctx)
		},
		ClientName: "worker",
	}
	more(&options)
	client, err := rueidis.NewClient(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func TestRueidis(t *testing.T) {
	protocols := map[string]func(*rueidis.ClientOption){
		"RESP2":             func(o *rueidis.ClientOption) { o.DisableCache, o.AlwaysRESP2 = true, true },
		"RESP3":             func(o *rueidis.ClientOption) { o.DisableCache = true },
		"RESP3 and a cache": func(*rueidis.ClientOption) {},
	}
	for what, test := range map[string]func(*testing.T, *service, rueidis.Client){
		"cache":        rueidisCache,
		"pipelines":    rueidisPipelines,
		"transactions": rueidisTransactions,
		"scans":        rueidisScans,
		"scripts":      rueidisScripts,
	} {
		for protocol, more := range protocols {
			t.Run(protocol+" "+what, func(t *testing.T) {
				t.Parallel()
				s := newService(t)
				test(t, s, s.rueidis(t, more))
			})
		}
	}
}

func rueidisCache(t *testing.T, s *service, client rueidis.Client) {
	ctx, b := t.Context(), client.B
	if got := client.Mode(); got != rueidis.ClientModeStandalone {
		t.Errorf("got the mode %v, want standalone", got)
	}
	if got := must(client.Do(ctx, b().ClientGetname().Build()).ToString())(t); got != "worker" {
		t.Errorf("got the name %q, want worker", got)
	}
	page := s.key("page")
	if err := client.Do(ctx, b().Set().Key(page).Value("body").Px(time.Minute).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	if err := client.Do(ctx, b().Set().Key(page).Value("other").Nx().Ex(time.Minute).Build()).Error(); !rueidis.IsRedisNil(err) {
		t.Errorf("got %v of SET NX of a key that is there, want nil", err)
	}
	if got := must(client.Do(ctx, b().Get().Key(page).Build()).ToString())(t); got != "body" {
		t.Errorf("got %q, want body", got)
	}
	if got := must(client.Do(ctx, b().Pttl().Key(page).Build()).AsInt64())(t); got <= 0 || got > 60_000 {
		t.Errorf("got a TTL of %d ms, want a minute at most", got)
	}
	must(client.Do(ctx, b().Hset().Key(s.key("user")).FieldValue().FieldValue("name", "Ada").FieldValue("visits", "3").Build()).AsInt64())(t)
	user := must(client.Do(ctx, b().Hgetall().Key(s.key("user")).Build()).AsStrMap())(t)
	if len(user) != 2 || user["name"] != "Ada" || user["visits"] != "3" {
		t.Errorf("got %v, want Ada and 3 visits", user)
	}
	must(client.Do(ctx, b().Zadd().Key(s.key("board")).ScoreMember().ScoreMember(1.5, "one").ScoreMember(2, "two").Build()).AsInt64())(t)
	board := must(client.Do(ctx, b().Zrange().Key(s.key("board")).Min("0").Max("-1").Withscores().Build()).AsZScores())(t)
	if want := []rueidis.ZScore{{Member: "one", Score: 1.5}, {Member: "two", Score: 2}}; !slices.Equal(board, want) {
		t.Errorf("got %v, want %v", board, want)
	}
}

func rueidisPipelines(t *testing.T, s *service, client rueidis.Client) {
	ctx, b := t.Context(), client.B
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			var commands []rueidis.Completed
			for range 100 {
				commands = append(commands, b().Incr().Key(s.key("count")).Build())
			}
			last := int64(0)
			for _, reply := range client.DoMulti(ctx, commands...) {
				n, err := reply.AsInt64()
				if err != nil || n <= last {
					t.Errorf("got %d (%v) after %d", n, err, last)
				}
				last = n
			}
			for range 50 { // those of all goroutines share connections
				if err := client.Do(ctx, b().Incr().Key(s.key("count")).Build()).Error(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := must(client.Do(ctx, b().Get().Key(s.key("count")).Build()).AsInt64())(t); got != 1800 {
		t.Errorf("got %d after 1800 increments", got)
	}
}

// rueidisTransactions counts with WATCH and MULTI on connections of their own.
func rueidisTransactions(t *testing.T, s *service, client rueidis.Client) {
	const workers, turns = 12, 5
	ctx, count := t.Context(), s.key("count")
	add := func(c rueidis.DedicatedClient) error {
		if err := c.Do(ctx, c.B().Watch().Key(count).Build()).Error(); err != nil {
			return err
		}
		n, err := c.Do(ctx, c.B().Get().Key(count).Build()).AsInt64()
		if err != nil && !rueidis.IsRedisNil(err) {
			return err
		}
		replies := c.DoMulti(ctx, c.B().Multi().Build(),
			c.B().Set().Key(count).Value(strconv.FormatInt(n+1, 10)).Build(), c.B().Exec().Build())
		return replies[2].Error()
	}
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for left := turns; left > 0; {
				switch err := client.Dedicated(add); {
				case err == nil:
					left--
				case !rueidis.IsRedisNil(err):
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if got := must(client.Do(ctx, client.B().Get().Key(count).Build()).AsInt64())(t); got != workers*turns {
		t.Errorf("got %d, want %d", got, workers*turns)
	}
}

func rueidisScans(t *testing.T, s *service, client rueidis.Client) {
	ctx := t.Context()
	pairs := map[string]string{}
	for i := range 1000 {
		pairs[s.key("scan:"+strconv.Itoa(i))] = "x"
	}
	for key, err := range rueidis.MSet(client, ctx, pairs) {
		if err != nil {
			t.Fatalf("setting %s: %v", key, err)
		}
	}
	scanner := rueidis.NewScanner(func(cursor uint64) (rueidis.ScanEntry, error) {
		return client.Do(ctx, client.B().Scan().Cursor(cursor).Match(s.key("scan:*")).Count(50).Build()).AsScanEntry()
	})
	found := map[string]bool{}
	for key := range scanner.Iter() {
		found[key] = true
	}
	if err := scanner.Err(); err != nil || len(found) != len(pairs) {
		t.Errorf("got %d keys (%v), want %d", len(found), err, len(pairs))
	}
}

func rueidisScripts(t *testing.T, s *service, client rueidis.Client) {
	ctx := t.Context()
	// The text is new, so that no node knows it before: EVALSHA fails, EVAL
	// teaches it to all.
	text := fmt.Sprintf("-- %s\nreturn {redis.call('incrby', KEYS[1], ARGV[1]), 'x', false, 3.9}", s.run)
	script := rueidis.NewLuaScript(text)
	for i := range 6 {
		got := must(script.Exec(ctx, client, []string{s.key("n")}, []string{"2"}).ToArray())(t)
		if len(got) != 4 {
			t.Fatalf("got %v, want 4 values", got)
		}
		n, err1 := got[0].AsInt64()
		x, err2 := got[1].ToString()
		three, err3 := got[3].AsInt64()
		if err := errors.Join(err1, err2, err3); err != nil || n != int64(2*(i+1)) || x != "x" || !got[2].IsNil() || three != 3 {
			t.Errorf("got %v (%v), want %d, x, nil, 3", got, err, 2*(i+1))
		}
	}
	err := client.Do(ctx, client.B().Evalsha().Sha1(strings.Repeat("0", 40)).Numkeys(0).Build()).Error()
	if redisErr, ok := rueidis.IsRedisErr(err); !ok || !redisErr.IsNoScript() {
		t.Errorf("got %v, want NOSCRIPT", err)
	}
}
