package keyspace_test

import (
	"runtime"
	"strconv"
	"testing"
)

const benchElements = 10_000

// benchApply applies commands again and again, after those of prepare.
func benchApply(b *testing.B, prepare, commands [][]string) {
	w := newWorld(b)
	tx := w.tx()
	for _, args := range prepare {
		w.space.Apply(tx, w.encode(args))
	}
	var encoded [][]byte
	for _, args := range commands {
		encoded = append(encoded, w.encode(args))
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		w.space.Apply(tx, encoded[i])
		if i++; i == len(encoded) {
			i = 0
		}
	}
}

// numbered makes commands of a template in which # stands for a number.
func numbered(n int, template ...string) (commands [][]string) {
	for i := range n {
		args := make([]string, len(template))
		for k, word := range template {
			if args[k] = word; word[len(word)-1] == '#' {
				args[k] = word[:len(word)-1] + strconv.Itoa(i*7919%n)
			}
		}
		commands = append(commands, args)
	}
	return commands
}

func BenchmarkHSet(b *testing.B) {
	benchApply(b, nil, numbered(benchElements, "HSET", "h", "field:#", "value"))
}

func BenchmarkHSetOfManyHashes(b *testing.B) {
	benchApply(b, nil, numbered(benchElements, "HSET", "h:#", "field", "value"))
}

func BenchmarkHGet(b *testing.B) {
	benchApply(b, numbered(benchElements, "HSET", "h", "field:#", "value"), numbered(benchElements, "HGET", "h", "field:#"))
}

func BenchmarkSAdd(b *testing.B) {
	benchApply(b, nil, append(numbered(benchElements, "SADD", "s", "member:#"), []string{"DEL", "s"}))
}

func BenchmarkZAdd(b *testing.B) {
	benchApply(b, nil, append(numbered(benchElements, "ZADD", "z", "#", "member:#"), []string{"DEL", "z"}))
}

func BenchmarkZAddMoves(b *testing.B) {
	benchApply(b, numbered(benchElements, "ZADD", "z", "#", "member:#"), numbered(benchElements, "ZINCRBY", "z", "1000", "member:#"))
}

func BenchmarkZRank(b *testing.B) {
	benchApply(b, numbered(benchElements, "ZADD", "z", "#", "member:#"), numbered(benchElements, "ZRANK", "z", "member:#"))
}

func BenchmarkPushPop(b *testing.B) {
	benchApply(b, numbered(benchElements, "RPUSH", "l", "element:#"), [][]string{{"LPUSH", "l", "element"}, {"RPOP", "l"}})
}

func BenchmarkTransaction(b *testing.B) {
	w := newWorld(b)
	cmd := transactionOf(w, "SET k v", "INCR n", "EXPIRE k 100")
	tx := w.tx()
	b.ReportAllocs()
	for b.Loop() {
		w.space.Apply(tx, cmd)
	}
}

// BenchmarkElements reports what Go's heap holds for an element beside its
// bytes: Size should say about as much.
func BenchmarkElements(b *testing.B) {
	tests := []struct {
		name     string
		each     int // bytes of an element, ten digits each
		template []string
	}{
		{"hash", 20, []string{"HSET", "k", "", ""}},
		{"set", 10, []string{"SADD", "k", ""}},
		{"list", 10, []string{"RPUSH", "k", ""}},
		{"zset", 10, []string{"ZADD", "k", "", ""}},
		{"small", 11, []string{"SADD", "", "x"}},
	}
	for _, test := range tests {
		b.Run(test.name, func(b *testing.B) {
			var before, after runtime.MemStats
			for b.Loop() {
				runtime.GC()
				runtime.ReadMemStats(&before)
				w := newWorld(b)
				for i := range benchKeys {
					args := make([]string, len(test.template))
					for k, word := range test.template {
						if args[k] = word; word == "" {
							args[k] = strconv.Itoa(1_000_000_000 + i*7919%benchKeys)
						}
					}
					w.apply(args...)
				}
				runtime.GC()
				runtime.ReadMemStats(&after)
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/benchKeys-float64(test.each), "heap-B/element")
				b.ReportMetric(float64(w.space.Size())/benchKeys-float64(test.each), "size-B/element")
				runtime.KeepAlive(w)
			}
		})
	}
}
