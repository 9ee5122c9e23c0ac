package keyspace_test

import (
	"crypto/sha1"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const benchElements = 10_000

// A benchCommand is what one line of the table applies again and again, one of
// its commands after another. So the figures of several are their mean.
type benchCommand struct {
	name     string
	prepare  [][]string
	commands [][]string
}

// BenchmarkCommands applies commands of each family alone, to a state of 10,000
// keys or one key of 10,000 elements if they need one.
func BenchmarkCommands(b *testing.B) {
	for _, family := range [][]benchCommand{
		stringCommands(), keyCommands(), hashCommands(), listCommands(), setCommands(), zsetCommands(), scriptCommands(b),
	} {
		for _, c := range family {
			b.Run(c.name, func(b *testing.B) {
				w := newWorld(b)
				var encoded [][]byte
				for _, args := range c.commands {
					encoded = append(encoded, w.encode(args))
				}
				benchApply(b, w, c.prepare, encoded)
			})
		}
	}
	b.Run("MULTI SET INCR EXPIRE EXEC", func(b *testing.B) {
		w := newWorld(b)
		var encoded [][]byte
		for i := range benchElements {
			encoded = append(encoded, transactionOf(w, fmt.Sprint("SET page:", i, " value"),
				fmt.Sprint("INCR visits:", i), fmt.Sprint("EXPIRE visits:", i, " 3600")))
		}
		benchApply(b, w, nil, encoded)
	})
}

// benchApply applies commands again and again, after those of prepare, where
// nobody hears of it. None may fail.
func benchApply(b *testing.B, w *world, prepare [][]string, commands [][]byte) {
	tx := w.tx()
	tx.Shell = &deaf{}
	for _, args := range prepare {
		if reply := w.space.Apply(tx, w.encode(args)); reply[0] == '-' {
			b.Fatalf("%q: got %q", args, reply)
		}
	}
	for _, cmd := range commands {
		if reply := w.space.Apply(tx, cmd); strings.Contains("\n"+string(reply), "\n-") {
			b.Fatalf("%q: got %q", cmd, reply)
		}
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		w.space.Apply(tx, commands[i])
		if i++; i == len(commands) {
			i = 0
		}
	}
}

// numbered makes commands of a template in which # stands for a number.
func numbered(n int, template ...string) (commands [][]string) {
	for i := range n {
		number := strconv.Itoa(i * 7919 % n)
		args := make([]string, len(template))
		for k, word := range template {
			args[k] = strings.Replace(word, "#", number, 1)
		}
		commands = append(commands, args)
	}
	return commands
}

// inTurn has each command of the first followed by its own of the others.
func inTurn(all ...[][]string) (commands [][]string) {
	for i := range all[0] {
		for _, one := range all {
			commands = append(commands, one[i])
		}
	}
	return commands
}

func stringCommands() []benchCommand {
	const n = benchElements
	values := numbered(n, "SET", "k:#", "a value of forty bytes, or about so many")
	numbers := numbered(n, "SET", "n:#", "1")
	return []benchCommand{
		{"SET", values, values},
		{"SET EX", values, numbered(n, "SET", "k:#", "a value of forty bytes, or about so many", "EX", "3600")},
		{"GET", values, numbered(n, "GET", "k:#")},
		{"MGET of 3", values, numbered(n, "MGET", "k:#", "k:1", "k:2")},
		{"INCR", numbers, numbered(n, "INCR", "n:#")},
		{"SETBIT", nil, numbered(n, "SETBIT", "bits", "#", "1")},
		{"BITCOUNT", numbered(n, "SETBIT", "bits", "#", "1"), [][]string{{"BITCOUNT", "bits"}}},
	}
}

func keyCommands() []benchCommand {
	const n = benchElements
	values := numbered(n, "SET", "k:#", "value")
	return []benchCommand{
		{"EXPIRE", values, numbered(n, "EXPIRE", "k:#", "3600")},
		{"TTL", numbered(n, "SET", "k:#", "value", "EX", "3600"), numbered(n, "TTL", "k:#")},
		{"SET and DEL", nil, inTurn(values, numbered(n, "DEL", "k:#"))},
		{"SCAN of 10", values, [][]string{{"SCAN", "0"}}},
		{"PUBLISH", nil, [][]string{{"PUBLISH", "channel", "message"}}},
	}
}

func hashCommands() []benchCommand {
	const n = benchElements
	large := numbered(n, "HSET", "h", "field:#", "1")
	small := numbered(n, "HSET", "h:#", "a", "1", "b", "2", "c", "3")
	return []benchCommand{
		{"HSET", large, large},
		{"HSET of small hashes", small, numbered(n, "HSET", "h:#", "a", "4")},
		{"HGET", large, numbered(n, "HGET", "h", "field:#")},
		{"HGETALL of 3", small, numbered(n, "HGETALL", "h:#")},
		{"HINCRBY", large, numbered(n, "HINCRBY", "h", "field:#", "1")},
	}
}

func listCommands() []benchCommand {
	const n = benchElements
	elements := numbered(n, "RPUSH", "l", "element:#")
	return []benchCommand{
		{"LPUSH and RPOP", elements, [][]string{{"LPUSH", "l", "element"}, {"RPOP", "l"}}},
		{"LRANGE of 10", elements, [][]string{{"LRANGE", "l", "0", "9"}}},
		{"LINDEX", elements, numbered(n, "LINDEX", "l", "#")},
	}
}

func setCommands() []benchCommand {
	const n = benchElements
	members := numbered(n, "SADD", "s", "member:#")
	return []benchCommand{
		{"SADD and SREM", members, inTurn(numbered(n, "SREM", "s", "member:#"), members)},
		{"SISMEMBER", members, numbered(n, "SISMEMBER", "s", "member:#")},
		{"SRANDMEMBER", members, [][]string{{"SRANDMEMBER", "s"}}},
	}
}

func zsetCommands() []benchCommand {
	const n = benchElements
	members := numbered(n, "ZADD", "z", "#", "member:#")
	return []benchCommand{
		{"ZADD and ZREM", members, inTurn(numbered(n, "ZREM", "z", "member:#"), members)},
		{"ZINCRBY", members, numbered(n, "ZINCRBY", "z", "1000", "member:#")},
		{"ZSCORE", members, numbered(n, "ZSCORE", "z", "member:#")},
		{"ZRANK", members, numbered(n, "ZRANK", "z", "member:#")},
		{"ZRANGE of 10", members, [][]string{{"ZRANGE", "z", "0", "9", "WITHSCORES"}}},
	}
}

// scriptCommands are frameworks' own, as those send them: Symfony's are
// loaded, Laravel's come with each call.
func scriptCommands(b *testing.B) []benchCommand {
	const n = benchElements
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join("internal/lua/testdata/frameworks", name))
		if err != nil {
			b.Fatal(err)
		}
		return string(text)
	}
	hash := func(script string) string { return fmt.Sprintf("%x", sha1.Sum([]byte(script))) }
	save, release, throttle := read("lock-save.lua"), read("lock-delete.lua"), read("duration-limiter.lua")
	return []benchCommand{
		{
			"EVALSHA of lock-save and lock-delete",
			[][]string{{"SCRIPT", "LOAD", save}, {"SCRIPT", "LOAD", release}},
			inTurn(numbered(n, "EVALSHA", hash(save), "1", "lock:#", "token", "300000"),
				numbered(n, "EVALSHA", hash(release), "1", "lock:#", "token")),
		},
		{
			"EVAL of duration-limiter", nil,
			numbered(n, "EVAL", throttle, "1", "limit:#", "1735689600.1234", "1735689600", "60", "1000000000"),
		},
	}
}
