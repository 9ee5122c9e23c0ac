package counters_test

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/huddlecache/huddle/counters"
)

// Somebody who guesses passwords has five guesses a minute, however many nodes
// are asked.
func ExampleCounters_Take() {
	logIn := func(ctx context.Context, c *counters.Counters, user string) error {
		result, err := c.Take(ctx, counters.Limit{
			Name: "login:" + user, Algorithm: counters.SlidingWindow, Limit: 5, Window: time.Minute,
		})
		if err != nil {
			return fmt.Errorf("asking for the limit of logins: %w", err)
		}
		if !result.Allowed {
			return fmt.Errorf("too many guesses: come again in %s", result.RetryAfter)
		}
		return nil // look at the password now
	}
	_ = logIn
}

// Each address has a hundred requests a minute, and no more than twenty of them
// at once.
func ExampleCounters_Middleware() {
	serve := func(c *counters.Counters, api http.Handler) error {
		limited, err := c.Middleware(counters.MiddlewareConfig{Limits: []counters.Limit{
			{Name: "minute", Algorithm: counters.SlidingWindow, Limit: 100, Window: time.Minute},
			{Name: "burst", Algorithm: counters.TokenBucket, Limit: 100, Window: time.Minute, Burst: 20},
		}})
		if err != nil {
			return err
		}
		return http.ListenAndServe("127.0.0.1:8080", limited(api))
	}
	_ = serve
}
