package redis_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/server/redis"
	"github.com/huddlecache/huddle/server/resp"
)

// instant answers +OK to everything, to measure what this package costs.
type instant struct{}

func (instant) Do(_ context.Context, items ...machine.Item) ([]machine.Reply, machine.Stamp, error) {
	replies := make([]machine.Reply, len(items))
	for i := range replies {
		replies[i].Data = []byte("+OK\r\n")
	}
	return replies, machine.Stamp{Cluster: "bench", Index: 1}, nil
}

func (instant) Query(context.Context, machine.Consistency, []byte) ([]byte, machine.Stamp, error) {
	return []byte("+OK\r\n"), machine.Stamp{Cluster: "bench", Index: 1}, nil
}

func (instant) Now() (time.Duration, bool)                    { return 0, true }
func (instant) Subscribe(func(machine.Event)) (cancel func()) { return func() {} }

// Commands a second over loopback, the clients in the same process. PING
// never reaches the log.
func BenchmarkServer(b *testing.B) {
	for _, command := range []string{"PING", "SET"} {
		one := resp.AppendCommand(nil, "PING")
		if command == "SET" {
			one = resp.AppendCommand(nil, "SET", "session:0123456789abcdef", "some value, not very long, of forty bytes")
		}
		for _, conns := range []int{1, 50} {
			for _, pipeline := range []int{1, 16} {
				b.Run(fmt.Sprintf("command=%s/conns=%d/pipeline=%d", command, conns, pipeline), func(b *testing.B) {
					benchmark(b, one, conns, pipeline)
				})
			}
		}
	}
}

func benchmark(b *testing.B, one []byte, conns, pipeline int) {
	listener, err := new(net.ListenConfig).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s, err := redis.Open(redis.Config{Log: instant{}, Listeners: []net.Listener{listener}})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	var request []byte
	for range pipeline {
		request = append(request, one...)
	}
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for i := range conns {
		rounds := b.N / conns / pipeline
		if i == 0 {
			rounds++
		}
		wg.Go(func() { drive(b, listener.Addr().String(), request, rounds, pipeline) })
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}

func drive(b *testing.B, addr string, request []byte, rounds, pipeline int) {
	socket, err := new(net.Dialer).DialContext(b.Context(), "tcp", addr)
	if err != nil {
		b.Error(err)
		return
	}
	defer socket.Close()
	reply := make([]byte, 7*pipeline)
	if request[8] == 'S' {
		reply = reply[:5*pipeline]
	}
	for range rounds {
		if _, err := socket.Write(request); err != nil {
			b.Error(err)
			return
		}
		if _, err := io.ReadFull(socket, reply); err != nil {
			b.Error(err)
			return
		}
	}
}
