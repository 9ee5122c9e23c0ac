package redis_test

import (
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"github.com/huddlecache/huddle/server/redis"
	"github.com/huddlecache/huddle/server/resp"
)

// BenchmarkPublish publishes over one connection, one message after another,
// to subscribers in the same process who read all they get. It ends when all
// of them have got all.
func BenchmarkPublish(b *testing.B) {
	for _, subscribers := range []int{0, 1, 1000} {
		b.Run(fmt.Sprintf("subscribers=%d", subscribers), func(b *testing.B) {
			benchmarkPublish(b, subscribers)
		})
	}
}

func benchmarkPublish(b *testing.B, subscribers int) {
	listener, err := new(net.ListenConfig).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s, err := redis.Open(redis.Config{Log: newMemory(), Listeners: []net.Listener{listener}})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	dial := func() net.Conn {
		socket, err := new(net.Dialer).DialContext(b.Context(), "tcp", listener.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { socket.Close() })
		return socket
	}
	var got atomic.Int64
	for range subscribers {
		socket := dial()
		if _, err := socket.Write(resp.AppendCommand(nil, "SUBSCRIBE", "news")); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(socket, make([]byte, len(event(2, "subscribe", "news", 1)))); err != nil {
			b.Fatal(err)
		}
		go func() { // until the socket is closed
			buf := make([]byte, 32<<10)
			for {
				n, err := socket.Read(buf)
				if got.Add(int64(n)); err != nil {
					return
				}
			}
		}()
	}
	const message = "something that has happened, in sixty bytes or what is that"
	request, reply := resp.AppendCommand(nil, "PUBLISH", "news", message), []byte(fmt.Sprintf(":%d\r\n", subscribers))
	publisher, want := dial(), int64(subscribers*len(event(2, "message", "news", message)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := publisher.Write(request); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(publisher, reply); err != nil {
			b.Fatal(err)
		}
	}
	for got.Load() < want*int64(b.N) {
		if s.Counters.Slow.Load() > 0 {
			b.Fatal("a subscriber was cut off")
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}
