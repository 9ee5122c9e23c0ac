package keyspace_test

import (
	"runtime"
	"strconv"
	"testing"

	"github.com/huddlecache/huddle/keyspace"
)

const benchKeys = 100_000

// benchCommands are one command for each of many keys.
func benchCommands(w *world, args ...string) (commands [][]byte) {
	for i := range benchKeys {
		words := []string{args[0], "session:" + strconv.Itoa(i*7919%benchKeys)}
		commands = append(commands, w.encode(append(words, args[1:]...)))
	}
	return commands
}

func filled(b *testing.B) *world {
	w := newWorld(b)
	for _, cmd := range benchCommands(w, "SET", "value of a session, forty bytes or so long") {
		w.space.Apply(w.tx(), cmd)
	}
	return w
}

// BenchmarkQuery reads as a node does that needs no entry in the log.
func BenchmarkQuery(b *testing.B) {
	w := filled(b)
	commands := benchCommands(w, "GET")
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		w.space.Query(w.stamp, commands[i%benchKeys])
		i++
	}
}

// BenchmarkSetWhileSaving sets keys of which a snapshot is taken now and then,
// so that the tree copies what it changes.
func BenchmarkSetWhileSaving(b *testing.B) {
	w := filled(b)
	commands := benchCommands(w, "SET", "another value, forty bytes or so as well")
	tx := w.tx()
	i := 0
	for b.Loop() {
		if i%benchKeys == 0 {
			w.space.Snapshot()
		}
		w.space.Apply(tx, commands[i%benchKeys])
		i++
	}
}

func BenchmarkSipHash(b *testing.B) {
	key := []byte("PHPREDIS_SESSION:0123456789abcdef")
	for b.Loop() {
		keyspace.SipHash(&testSeed, key)
	}
}

// BenchmarkFootprint reports what Go's heap holds for a key beside its bytes:
// Size should say about as much.
func BenchmarkFootprint(b *testing.B) {
	const each = len("session:12345") + 40
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		w := newWorld(b)
		for i := range benchKeys {
			w.apply("SET", "session:"+strconv.Itoa(10_000+i%90_000+i/90_000*100_000), "0123456789012345678901234567890123456789")
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/benchKeys-float64(each), "heap-B/key")
		b.ReportMetric(float64(w.space.Size())/benchKeys-float64(each), "size-B/key")
		runtime.KeepAlive(w)
	}
}
