//go:build linux

package main

import (
	"context"
	"sync"
	"time"
)

// measure runs the operations, each again and again by a goroutine of its own,
// for warmUp and then span, and tells what ended in the span. What has begun
// then is waited for, and not counted: a lock would stay locked.
func measure(ctx context.Context, operations []func(context.Context) error, warmUp, span time.Duration) *figures {
	started := time.Now().Add(warmUp)
	until := started.Add(span)
	parts := make([]figures, len(operations))
	var workers sync.WaitGroup
	for i, operation := range operations {
		workers.Go(func() { // ends with the span
			part := &parts[i]
			part.Latency = make(map[int64]uint64)
			for now := time.Now(); now.Before(until); {
				err := operation(ctx)
				begun := now
				if now = time.Now(); now.Before(until) {
					part.count(now.Sub(begun), err, now.After(started))
				}
			}
		})
	}
	workers.Wait()
	sum := &figures{Latency: make(map[int64]uint64)}
	for i := range parts {
		sum.merge(&parts[i])
	}
	return sum
}

// count counts one operation.
func (f *figures) count(took time.Duration, err error, inSpan bool) {
	f.All++
	switch {
	case !inSpan:
	case err != nil:
		f.Errors++
		f.LastError = err.Error()
	default:
		f.Latency[took.Microseconds()]++
	}
}

func (f *figures) merge(other *figures) {
	for took, n := range other.Latency {
		f.Latency[took] += n
	}
	f.All += other.All
	f.Errors += other.Errors
	if other.LastError != "" {
		f.LastError = other.LastError
	}
}
