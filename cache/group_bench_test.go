package cache_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/huddlecache/huddle"
	"github.com/huddlecache/huddle/cache"
	"github.com/huddlecache/huddle/internal/local"
)

// benched is a cluster on the loopback, with a group on each node that makes
// values of 100 bytes.
type benched struct {
	nodes  []*huddle.Node
	groups []*cache.Group
	key    string // which the first node owns
}

func newBenched(b *testing.B, nodes int) *benched {
	b.Helper()
	w := &benched{}
	var err error
	w.nodes, err = local.Cluster(b.Context(), nodes)
	b.Cleanup(func() {
		for _, n := range w.nodes {
			n.Kill()
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range w.nodes {
		g, err := n.Cache().Group("made", cache.GroupConfig{TTL: 24 * time.Hour, Loader: cache.LoaderFunc(
			func(context.Context, string) (cache.Value, error) { return cache.Value{Bytes: make([]byte, 100)}, nil },
		)})
		if err != nil {
			b.Fatal(err)
		}
		w.groups = append(w.groups, g)
	}
	first := w.nodes[0].Cache()
	for before := first.Len(); first.Len() == before; {
		w.key += "k"
		if err := first.Put(b.Context(), "made", w.key, cache.Item{Value: make([]byte, 100)}, cache.Right{}); err != nil {
			b.Fatal(err)
		}
	}
	for i := range w.groups {
		w.get(b, i)
	}
	return w
}

// get gets the value by the group of one node.
func (w *benched) get(b *testing.B, node int) {
	if value, err := w.groups[node].Get(context.Background(), w.key); err != nil || len(value) != 100 {
		b.Errorf("got %d bytes, %v", len(value), err)
	}
}

// BenchmarkGroupHit measures what it costs a program to get a value that is on
// its node: the first one owns it, the others have copies.
func BenchmarkGroupHit(b *testing.B) {
	for _, nodes := range []int{1, 3} {
		w := newBenched(b, nodes)
		for i := range nodes {
			b.Run(fmt.Sprintf("node %d of %d", i+1, nodes), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					w.get(b, i)
				}
			})
		}
	}
}

// BenchmarkHotKey measures one key that the programs of three nodes all ask
// for.
func BenchmarkHotKey(b *testing.B) {
	w := newBenched(b, 3)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			w.get(b, i%3)
		}
	})
}

// BenchmarkStored measures what Cache.Get costs, which always asks the owner: the
// node itself, or another one.
func BenchmarkStored(b *testing.B) {
	w := newBenched(b, 3)
	for i, name := range []string{"on its owner", "through another node"} {
		c := w.nodes[i].Cache()
		b.Run(name, func(b *testing.B) {
			ctx := b.Context()
			b.ReportAllocs()
			for b.Loop() {
				if item, err := c.Get(ctx, "made", w.key); err != nil || len(item.Value) != 100 {
					b.Fatalf("got %d bytes, %v", len(item.Value), err)
				}
			}
		})
	}
}
