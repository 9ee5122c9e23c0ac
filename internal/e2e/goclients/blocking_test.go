package goclients

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"
)

// jobsOf lets workers wait for jobs until the list is ended, while others push
// them through all nodes, and fails the test if a job is not done once. A pop
// returns "" where none came in time.
func jobsOf(t *testing.T, pop func() (string, error), push func(jobs ...string) error) {
	t.Helper()
	const workers, jobs = 6, 300
	var mu sync.Mutex // guards done
	var done []string
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() { // until it gets an end
			for {
				job, err := pop()
				if err != nil {
					t.Error(err)
					return
				}
				if job == "end" {
					return
				}
				mu.Lock()
				done = append(done, job)
				mu.Unlock()
			}
		})
	}
	var want []string
	for i := range jobs {
		want = append(want, fmt.Sprintf("%03d", i))
	}
	var pushing sync.WaitGroup
	for some := range slices.Chunk(want, jobs/3) {
		pushing.Go(func() {
			for _, job := range some {
				if err := push(job); err != nil {
					t.Error(err)
				}
			}
		})
	}
	pushing.Wait()
	if err := push(slices.Repeat([]string{"end"}, workers)...); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	slices.Sort(done)
	if !slices.Equal(done, want) {
		t.Errorf("got %d jobs done, want each of %d once: %q", len(done), len(want), done)
	}
}

func TestGoRedisBlocks(t *testing.T) {
	t.Parallel()
	for _, protocol := range []int{2, 3} {
		t.Run(fmt.Sprintf("RESP%d", protocol), func(t *testing.T) {
			s, ctx := newService(t), t.Context()
			client := s.goRedis(t, protocol)
			jobsOf(t, func() (string, error) {
				got, err := client.BLPop(ctx, 0, s.key("none"), s.key("jobs")).Result()
				if err != nil {
					return "", err
				}
				return got[1], nil
			}, func(jobs ...string) error {
				return client.RPush(ctx, s.key("jobs"), jobs).Err()
			})
			if err := client.BRPop(ctx, time.Second, s.key("jobs")).Err(); !errors.Is(err, redis.Nil) {
				t.Errorf("got %v of an empty list, want nil after a second", err)
			}

			// Sorted sets, as asynq and BullMQ use them.
			var wg sync.WaitGroup
			wg.Go(func() {
				got, err := client.BZPopMin(ctx, 0, s.key("scores")).Result()
				if err != nil || got.Member != "first" || got.Score != 1.5 {
					t.Errorf("got %v (%v), want first with 1.5", got, err)
				}
			})
			must(client.ZAdd(ctx, s.key("scores"), redis.Z{Score: 1.5, Member: "first"}).Result())(t)
			wg.Wait()
			wg.Go(func() {
				got, err := client.BLMove(ctx, s.key("todo"), s.key("doing"), "LEFT", "RIGHT", 0).Result()
				if err != nil || got != "job" {
					t.Errorf("got %q (%v), want job", got, err)
				}
			})
			must(client.RPush(ctx, s.key("todo"), "job").Result())(t)
			wg.Wait()
			if got := must(client.LRange(ctx, s.key("doing"), 0, -1).Result())(t); !slices.Equal(got, []string{"job"}) {
				t.Errorf("got %q being done, want the job", got)
			}
		})
	}
}

// TestGoRedisGivesUpWaiting shows that who no longer waits takes nothing: the
// client closes a connection whose command it has given up.
func TestGoRedisGivesUpWaiting(t *testing.T) {
	t.Parallel()
	s, ctx := newService(t), t.Context()
	a, b, c := s.goRedisEach(t, 3)
	impatient := redis.NewClient(&redis.Options{
		Addr: s.nodes[0], ClientName: "impatient", ContextTimeoutEnabled: true, MaxRetries: -1,
	})
	defer impatient.Close()
	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	if got, err := impatient.BLPop(short, 0, s.key("list")).Result(); err == nil {
		t.Fatalf("got %q of an empty list", got)
	}
	eventually(t, "the node knows", func() bool {
		return !strings.Contains(must(a.ClientList(ctx).Result())(t), " name=impatient ")
	})
	must(b.RPush(ctx, s.key("list"), "kept").Result())(t)
	if got := must(c.BLPop(ctx, 5*time.Second, s.key("list")).Result())(t); got[1] != "kept" {
		t.Errorf("got %q, want what was pushed", got)
	}
}

func TestRueidisBlocks(t *testing.T) {
	t.Parallel()
	s, ctx := newService(t), t.Context()
	client := s.rueidis(t, func(o *rueidis.ClientOption) { o.DisableCache = true })
	b := client.B
	jobsOf(t, func() (string, error) {
		got, err := client.Do(ctx, b().Blpop().Key(s.key("none"), s.key("jobs")).Timeout(0).Build()).AsStrSlice()
		if err != nil {
			return "", err
		}
		return got[1], nil
	}, func(jobs ...string) error {
		return client.Do(ctx, b().Rpush().Key(s.key("jobs")).Element(jobs...).Build()).Error()
	})
	// A connection of one's own goes on as it was after it has waited.
	if err := client.Dedicated(func(c rueidis.DedicatedClient) error {
		for i := range 3 {
			err := c.Do(ctx, c.B().Bzpopmax().Key(s.key("scores")).Timeout(0.1).Build()).Error()
			if !rueidis.IsRedisNil(err) {
				return fmt.Errorf("got %w of an empty set, want nil", err)
			}
			must(client.Do(ctx, b().Zadd().Key(s.key("scores")).ScoreMember().ScoreMember(float64(i), strconv.Itoa(i)).Build()).AsInt64())(t)
			got, err := c.Do(ctx, c.B().Bzmpop().Timeout(5).Numkeys(1).Key(s.key("scores")).Max().Count(2).Build()).ToArray()
			if err != nil || len(got) != 2 {
				return fmt.Errorf("got %v (%w), want a key and its members", got, err)
			}
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
