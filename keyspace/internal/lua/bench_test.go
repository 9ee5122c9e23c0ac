package lua_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/huddlecache/huddle/keyspace/internal/lua"
)

// A reflex is a host that answers by a command's name, and costs next to
// nothing.
type reflex map[string][]byte

func (h reflex) Call(args [][]byte, _ int) []byte { return h[string(args[0])] }
func (h reflex) HasCommand(string) bool           { return true }

func benchmark(b *testing.B, source string, keys, args []string, h reflex) {
	s, err := lua.New().Compile([]byte(source))
	if err != nil {
		b.Fatal(err)
	}
	in := lua.Input{Keys: bytesOf(keys), Args: bytesOf(args), Proto: 2}
	b.ReportAllocs()
	for b.Loop() {
		if got, err := s.Run(h, in, lua.Limits{}); err != nil || got[0] == '-' {
			b.Fatalf("got %q, %v", got, err)
		}
	}
}

func BenchmarkNothing(b *testing.B) { benchmark(b, "return 1", nil, nil, nil) }

func BenchmarkLockRelease(b *testing.B) {
	benchmark(b, `if redis.call("get",KEYS[1]) == ARGV[1] then return redis.call("del",KEYS[1]) else return 0 end`,
		[]string{"lock"}, []string{"owner"}, reflex{"get": []byte("$5\r\nowner\r\n"), "del": []byte(":1\r\n")})
}

// BenchmarkFrameworks runs scripts in the manner of Symfony's lock, Laravel's
// throttle and rate-limiter-flexible.
func BenchmarkFrameworks(b *testing.B) {
	one := []byte(":1\r\n")
	hosts := map[string]reflex{
		"lock-save.lua": {
			"TYPE": []byte("+none\r\n"), "TIME": []byte("*2\r\n$10\r\n1735689600\r\n$6\r\n123456\r\n"),
			"ZREMRANGEBYSCORE": one, "ZSCORE": []byte("$-1\r\n"), "ZCOUNT": []byte(":0\r\n"), "ZADD": one,
			"ZREVRANGE": []byte("*2\r\n$5\r\ntoken\r\n$13\r\n1735689900000\r\n"), "PEXPIREAT": one,
		},
		"duration-limiter.lua": {"EXISTS": one, "HGET": []byte("$10\r\n1735689600\r\n"), "HMSET": []byte("+OK\r\n"), "EXPIRE": one},
		"flexible-limiter.lua": {"set": []byte("+OK\r\n"), "incrby": one, "pttl": []byte(":1000\r\n")},
	}
	for _, f := range readFrameworks(b) {
		if h, ok := hosts[f.name]; ok {
			b.Run(f.name, func(b *testing.B) { benchmark(b, f.source, f.keys, f.args, h) })
		}
	}
}

func BenchmarkLoop(b *testing.B) {
	benchmark(b, "local x=0 for i=1,1000 do x=x+i*2 end return x", nil, nil, nil)
}

func BenchmarkCompile(b *testing.B) {
	e := lua.New()
	source := []byte(readFrameworks(b)[0].source)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Compile(source); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkHostile runs all hostile scripts with the default bounds, and tells
// the worst of each measure.
func BenchmarkHostile(b *testing.B) {
	var slowest time.Duration
	var largest uint64
	for b.Loop() {
		for _, source := range readHostile(b) {
			runtime.GC()
			start := time.Now()
			peak := peakOf(func() { runOnce(b, source, lua.Limits{}) })
			if took := time.Since(start); took > slowest {
				slowest = took
				b.Logf("%v: %s", took, source)
			}
			if peak > largest {
				largest = peak
				b.Logf("%d MiB: %s", peak>>20, source)
			}
		}
	}
	b.ReportMetric(float64(slowest.Milliseconds()), "slowest-ms")
	b.ReportMetric(float64(largest>>20), "largest-MiB")
}

// peakOf returns how much memory was in use at most while f ran.
func peakOf(f func()) uint64 {
	stop, peak := make(chan struct{}), make(chan uint64)
	go func() { // ends when stop is closed
		var most uint64
		for {
			select {
			case <-stop:
				peak <- most
				return
			case <-time.After(5 * time.Millisecond):
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapAlloc+m.StackInuse)
			}
		}
	}()
	f()
	close(stop)
	return <-peak
}
