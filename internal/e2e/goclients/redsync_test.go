package goclients

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-redsync/redsync/v4"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/go-redis/v9"
)

// TestRedsyncExcludes lets workers add to a counter without any atomicity but
// the lock's. The nodes are one service, so each worker has one of them, not
// all of them as if they were independent.
func TestRedsyncExcludes(t *testing.T) {
	t.Parallel()
	const workers, turns = 12, 5
	s, ctx := newService(t), t.Context()
	shared := s.goRedis(t, 3)
	var inside atomic.Int32
	var wg sync.WaitGroup
	for i := range workers {
		client := redis.NewClient(&redis.Options{Addr: s.nodes[i%len(s.nodes)]})
		defer client.Close()
		mutex := redsync.New(goredis.NewPool(client)).NewMutex(s.key("lock"),
			redsync.WithExpiry(30*time.Second), redsync.WithTries(10_000), redsync.WithRetryDelay(10*time.Millisecond))
		wg.Go(func() {
			for range turns {
				if err := mutex.LockContext(ctx); err != nil {
					t.Error(err)
					return
				}
				if got := inside.Add(1); got != 1 {
					t.Errorf("%d hold the lock", got)
				}
				n, err := shared.Get(ctx, s.key("count")).Int()
				if err != nil && !errors.Is(err, redis.Nil) {
					t.Error(err)
				}
				time.Sleep(time.Millisecond) // others have the time to come in between
				if err := shared.Set(ctx, s.key("count"), n+1, 0).Err(); err != nil {
					t.Error(err)
				}
				inside.Add(-1)
				if isReleased, err := mutex.UnlockContext(ctx); !isReleased || err != nil {
					t.Errorf("got %v (%v) of unlocking, want true", isReleased, err)
				}
			}
		})
	}
	wg.Wait()
	if got := must(shared.Get(ctx, s.key("count")).Int())(t); got != workers*turns {
		t.Errorf("got %d, want %d", got, workers*turns)
	}
}

// TestRedsyncHolds shows what one sees at another node, and that who has lost
// the lock learns of it and takes nothing from the next holder.
func TestRedsyncHolds(t *testing.T) {
	t.Parallel()
	s, ctx := newService(t), t.Context()
	a, b, c := s.goRedisEach(t, 3)
	mine := redsync.New(goredis.NewPool(a)).NewMutex(s.key("lock"), redsync.WithExpiry(time.Minute))
	other := redsync.New(goredis.NewPool(b)).NewMutex(s.key("lock"), redsync.WithExpiry(time.Minute))
	if err := mine.LockContext(ctx); err != nil {
		t.Fatal(err)
	}
	var taken *redsync.ErrTaken
	if err := other.TryLockContext(ctx); !errors.As(err, &taken) {
		t.Errorf("got %v of a lock that another has, want ErrTaken", err)
	}
	must(c.PExpire(ctx, s.key("lock"), 10*time.Second).Result())(t)
	if isExtended := must(mine.ExtendContext(ctx))(t); !isExtended {
		t.Error("a lock that is held was not extended")
	}
	if got := must(c.PTTL(ctx, s.key("lock")).Result())(t); got <= 10*time.Second || got > time.Minute {
		t.Errorf("got a TTL of %v, want a minute at most", got)
	}

	// The lock ends, as it would after a long pause, and another takes it.
	must(c.Del(ctx, s.key("lock")).Result())(t)
	if err := other.LockContext(ctx); err != nil {
		t.Fatal(err)
	}
	if isExtended, err := mine.ExtendContext(ctx); isExtended || err == nil {
		t.Errorf("got %v (%v) of extending a lost lock, want an error", isExtended, err)
	}
	if isReleased, err := mine.UnlockContext(ctx); isReleased || err == nil {
		t.Errorf("got %v (%v) of unlocking a lost lock, want an error", isReleased, err)
	}
	if isReleased := must(other.UnlockContext(ctx))(t); !isReleased {
		t.Error("the new holder lost its lock to the old one")
	}
}
