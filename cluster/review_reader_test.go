package cluster

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster/internal/replica"
)

func reviewOutage(t *testing.T, outage time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		r := newReader(&Node{})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { r.run(ctx) })
		for start := time.Now(); time.Since(start) < outage; time.Sleep(time.Millisecond) {
			wg.Go(func() {
				err := r.do(ctx, &read{queries: make([]replica.Query, 1), size: 1})
				if err == nil || errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			})
		}
		cancel()
		wg.Wait()
	})
}

func TestReviewReadsWithoutLeader(t *testing.T) {
	for _, d := range []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second} {
		t.Run(d.String(), func(t *testing.T) { reviewOutage(t, d) })
	}
}
