//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	// idleTime is how long a fresh node idles until its memory is noted.
	idleTime = 5 * time.Second
	// turns is how often the sizes change.
	turns = 12
)

// A watch is what was seen of a node's memory.
type watch struct {
	settings
	node        *node
	churn       *churn
	out         io.Writer
	idle, bound int64
	most        int64 // resident
	mostCached  float64
	over        int // samples over the bound
	samples     int
	begun       time.Time
}

// soak churns, and watches meanwhile.
func (s settings) soak(ctx context.Context, n *node, out io.Writer) error {
	pause(ctx, min(idleTime, s.span))
	w := &watch{settings: s, node: n, churn: newChurn(n, s.cache, s.seed), out: out}
	var err error
	if w.idle, _, err = n.resident(); err != nil {
		return err
	}
	w.bound = w.idle + s.cache*13/10
	fmt.Fprintf(out, "idle node %s, cache %s, bound 1.3 times that and the idle node: %s\n", mib(w.idle), mib(s.cache), mib(w.bound))

	working, stop := context.WithTimeout(ctx, s.span)
	defer stop()
	var clients sync.WaitGroup
	for i := range s.workers {
		clients.Go(func() { w.churn.work(working, i, s.seed) })
	}
	w.begun = time.Now()
	err = w.watch(working)
	stop()
	clients.Wait()
	return errors.Join(err, ctx.Err(), w.verdict())
}

// watch looks each second, until the context ends or the node does.
func (w *watch) watch(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	next := w.every
	for {
		select {
		case <-ctx.Done():
			return w.report(context.WithoutCancel(ctx))
		case <-tick.C:
		}
		all, _, err := w.node.resident()
		if err != nil {
			return err
		}
		w.samples++
		isWorse := all > w.most && all > w.bound+w.allowance
		w.most = max(w.most, all)
		if all > w.bound+w.allowance {
			w.over++
		}
		since := time.Since(w.begun)
		w.churn.turn.Store(int64(since * turns / w.span))
		if since < next && !isWorse {
			continue
		}
		for next <= since {
			next += w.every
		}
		if err := w.report(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// report prints a line.
func (w *watch) report(ctx context.Context) error {
	all, anonymous, err := w.node.resident()
	if err != nil {
		return err
	}
	m, err := w.node.metrics(ctx)
	if err != nil {
		return err
	}
	cached := m["huddle_cache_bytes"]
	w.mostCached = max(w.mostCached, cached)
	c := w.churn
	_, err = fmt.Fprintf(w.out, "%6s  %-9s  resident %s, %s of no file, at most %s; cached %s in %.0f; gets %d, found %d, sets %d, evicted %.0f, invalidations %d, failed %d\n",
		time.Since(w.begun).Round(time.Second), c.mix().name, mib(all), mib(anonymous), mib(w.most), mib(int64(cached)), m["huddle_cache_entries"],
		c.gets.Load(), c.found.Load(), c.sets.Load(), m["huddle_cache_evictions_total"], c.invalidations.Load(), c.failed.Load())
	return err
}

// verdict says how it was, and returns why that is not good enough.
func (w *watch) verdict() error {
	over := float64(w.most-w.idle) / float64(w.cache)
	fmt.Fprintf(w.out, "at most %s resident in %d samples: the idle node and %.2f times the cache's bound\n", mib(w.most), w.samples, over)
	var errs []error
	if w.over > 0 {
		errs = append(errs, fmt.Errorf("%d of %d samples are over %s", w.over, w.samples, mib(w.bound+w.allowance)))
	}
	if w.mostCached < 0.9*float64(w.cache) {
		errs = append(errs, fmt.Errorf("the cache was never full: %s at most", mib(int64(w.mostCached))))
	}
	c := w.churn
	if failed, failure := c.failed.Load(), c.failure.Load(); failure != nil && failed*1000 > c.gets.Load() {
		errs = append(errs, fmt.Errorf("%d calls failed, one because: %w", failed, *failure))
	}
	return errors.Join(errs...)
}

func mib(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
