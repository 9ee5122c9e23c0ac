//go:build linux

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

// grace is how long the operations that a run has begun may still take.
const grace = 10 * time.Second

// driver has the clients.
type driver struct {
	endpoints []string
	clients   []*client
}

// client is one connection.
type client struct {
	kv      *clientv3.Client
	session *concurrency.Session // nil until a lock is wanted
}

func (d *driver) close() {
	for _, c := range d.clients {
		if c.session != nil {
			c.session.Close()
		}
		c.kv.Close()
	}
}

// carryOut makes one run.
func (d *driver) carryOut(o order) (*figures, error) {
	if o.Conns < 1 || o.Keys < 1 || o.PerName < 1 {
		return nil, fmt.Errorf("malformed order %+v", o)
	}
	if err := d.prepare(o.Conns, o.Op == "lock"); err != nil {
		return nil, err
	}
	if o.Op == "fill" {
		return new(figures), d.fill(o)
	}
	operations := make([]func(context.Context) error, o.Conns)
	for i := range operations {
		if operations[i] = d.operation(o, i); operations[i] == nil {
			return nil, fmt.Errorf("unknown operation %q", o.Op)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), o.WarmUp+o.Span+grace)
	defer cancel()
	before := ownCPU()
	f := measure(ctx, operations, o.WarmUp, o.Span)
	f.CPU = ownCPU() - before
	return f, nil
}

// prepare makes the clients, and sessions for the locks, that are not there.
func (d *driver) prepare(count int, wantSessions bool) error {
	for len(d.clients) < count {
		endpoint := d.endpoints[len(d.clients)%len(d.endpoints)]
		kv, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, DialTimeout: grace})
		if err != nil {
			return fmt.Errorf("connecting to %s: %w", endpoint, err)
		}
		d.clients = append(d.clients, &client{kv: kv})
	}
	for _, c := range d.clients[:count] {
		if !wantSessions || c.session != nil {
			continue
		}
		session, err := concurrency.NewSession(c.kv)
		if err != nil {
			return fmt.Errorf("making a session: %w", err)
		}
		c.session = session
	}
	return nil
}

// fill writes all keys, as soon as the cluster takes writes.
func (d *driver) fill(o order) error {
	ctx, cancel := context.WithTimeout(context.Background(), 6*grace)
	defer cancel()
	value := strings.Repeat("x", o.Value)
	failures := make([]error, o.Conns)
	var workers sync.WaitGroup
	for i, c := range d.clients[:o.Conns] {
		workers.Go(func() {
			for n := i; n < o.Keys; n += o.Conns {
				if _, err := c.kv.Put(ctx, keyOf(n), value); err != nil {
					failures[i] = fmt.Errorf("filling: %w", err)
					return
				}
			}
		})
	}
	workers.Wait()
	for _, err := range failures {
		if err != nil {
			return err
		}
	}
	return nil
}

// operation returns what client i does again and again, nil if that is unknown.
func (d *driver) operation(o order, i int) func(context.Context) error {
	c, random := d.clients[i], rand.New(rand.NewPCG(1, uint64(i)))
	switch o.Op {
	case "put":
		value := strings.Repeat("x", o.Value)
		return func(ctx context.Context) error {
			_, err := c.kv.Put(ctx, keyOf(random.IntN(o.Keys)), value)
			return err
		}
	case "get":
		return func(ctx context.Context) error {
			got, err := c.kv.Get(ctx, keyOf(random.IntN(o.Keys)))
			if err == nil && len(got.Kvs) != 1 {
				err = fmt.Errorf("got %d keys, want 1", len(got.Kvs))
			}
			return err
		}
	case "lock":
		mutex := concurrency.NewMutex(c.session, fmt.Sprintf("lock/%d", i/o.PerName))
		return func(ctx context.Context) error {
			if err := mutex.Lock(ctx); err != nil {
				return err
			}
			return mutex.Unlock(ctx)
		}
	}
	return nil
}

func keyOf(n int) string { return fmt.Sprintf("key:%09d", n) }

// ownCPU returns the processor time of this process.
func ownCPU() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
