package goclients

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"
)

// TestGoRedisHears publishes through all nodes: each subscriber, at whichever
// node, hears all in the same order, also by pattern.
func TestGoRedisHears(t *testing.T) {
	t.Parallel()
	const each = 100
	for _, protocol := range []int{2, 3} {
		t.Run(fmt.Sprintf("RESP%d", protocol), func(t *testing.T) {
			s, ctx := newService(t), t.Context()
			a, b, c := s.goRedisEach(t, protocol)
			clients := []*redis.Client{a, b, c}
			heard := make([][]string, 2*len(clients))
			var hearing sync.WaitGroup
			for i, client := range clients {
				for j, sub := range []*redis.PubSub{client.Subscribe(ctx, s.key("orders")), client.PSubscribe(ctx, s.key("ord*"))} {
					defer sub.Close()
					if _, err := sub.Receive(ctx); err != nil { // that it has subscribed
						t.Fatal(err)
					}
					hearing.Go(func() {
						for len(heard[2*i+j]) < each*len(clients) {
							short, cancel := context.WithTimeout(ctx, 20*time.Second)
							message, err := sub.ReceiveMessage(short)
							cancel()
							if err != nil {
								t.Errorf("got %v after %d messages", err, len(heard[2*i+j]))
								return
							}
							heard[2*i+j] = append(heard[2*i+j], message.Payload)
						}
					})
				}
			}
			var publishing sync.WaitGroup
			for i, client := range clients {
				publishing.Go(func() {
					for j := range each {
						if err := client.Publish(ctx, s.key("orders"), fmt.Sprintf("%d:%02d", i, j)).Err(); err != nil {
							t.Error(err)
						}
					}
				})
			}
			publishing.Wait()
			hearing.Wait()
			for i, got := range heard {
				if !slices.Equal(got, heard[0]) {
					t.Errorf("subscriber %d heard another order than the first", i)
				}
			}
			for i := range clients {
				mine := slices.DeleteFunc(slices.Clone(heard[0]), func(m string) bool { return m[0] != byte('0'+i) })
				if len(mine) != each || !slices.IsSorted(mine) {
					t.Errorf("got %q of node %d, want %d in their order", mine, i, each)
				}
			}
		})
	}
}

func TestRueidisHears(t *testing.T) {
	t.Parallel()
	for protocol, more := range map[string]func(*rueidis.ClientOption){
		"RESP2": func(o *rueidis.ClientOption) { o.DisableCache, o.AlwaysRESP2 = true, true },
		"RESP3": func(o *rueidis.ClientOption) { o.DisableCache = true },
	} {
		t.Run(protocol, func(t *testing.T) {
			s := newService(t)
			client := s.rueidis(t, more)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			heard := make(chan string, 10)
			var wg sync.WaitGroup
			wg.Go(func() { // until the context is cancelled
				err := client.Receive(rueidis.WithOnSubscriptionHook(ctx, func(got rueidis.PubSubSubscription) {
					heard <- got.Kind
				}), client.B().Subscribe().Channel(s.key("orders")).Build(), func(m rueidis.PubSubMessage) {
					heard <- m.Message
				})
				if !errors.Is(err, context.Canceled) {
					t.Errorf("got %v, want that it was cancelled", err)
				}
			})
			if got := <-heard; got != "subscribe" {
				t.Errorf("got %q, want subscribe", got)
			}
			for i := range 3 {
				want := fmt.Sprintf("order %d", i)
				publisher := s.rueidis(t, more) // each is at the next node
				if err := publisher.Do(ctx, publisher.B().Publish().Channel(s.key("orders")).Message(want).Build()).Error(); err != nil {
					t.Fatal(err)
				}
				if got := <-heard; got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}
			cancel()
			wg.Wait()
		})
	}
}
