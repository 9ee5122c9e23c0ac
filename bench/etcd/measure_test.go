//go:build linux

package main

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestOperationsOfTheSpanAreCounted runs in virtual time, so that every figure
// is known.
func TestOperationsOfTheSpanAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended atomic.Int64
		operation := func(context.Context) error {
			time.Sleep(3 * time.Millisecond)
			if ended.Add(1)%4 == 0 {
				return errors.New("no leader")
			}
			return nil
		}
		begin := time.Now()
		f := measure(t.Context(), []func(context.Context) error{operation, operation}, 10*time.Millisecond, 20*time.Millisecond)
		if got, want := time.Since(begin), 30*time.Millisecond; got != want {
			t.Errorf("got a run of %v, want %v", got, want)
		}
		// Each ends one at 3, 6, … 30 ms; those at 12 to 27 ms are in the span.
		if got, want := ended.Load(), int64(20); got != want {
			t.Errorf("got %d operations made, want %d", got, want)
		}
		if got, want := f.All, uint64(18); got != want {
			t.Errorf("got %d operations, want %d", got, want)
		}
		if got, want := f.Latency[3000]+f.Errors, uint64(12); got != want || len(f.Latency) != 1 {
			t.Errorf("got latencies %v and %d errors, want %d in all, of 3,000 µs", f.Latency, f.Errors, want)
		}
		if f.Errors != 3 || f.LastError != "no leader" {
			t.Errorf("got %d errors (%s), want 3 (no leader)", f.Errors, f.LastError)
		}
	})
}
