package keyspace_test

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// A dialect is commands as they may be made up: words in braces stand for one
// of a pool, with * for one to four of it; (A|B) for A or B, [A|B] for these or
// nothing. A comma is a space within a word.
type dialect struct {
	pools    map[string]string
	commands []string
}

var pools = map[string]string{
	"n":     "0 1 2 3 -1 -2 -3 5 10 100 -100 9223372036854775807",
	"count": "0 1 2 3 7 -1 -2 -5",
	"m":     "a b c d e f g aa ab 1 2 3 10 -7 x\x00\xff " + strings.Repeat("long", 20),
	"v":     "v w 1 -5 10 3.5 1e2 0x10 text 9223372036854775807 inf 0.1 007 \xff\x00 " + strings.Repeat("y", 70),
	"x":     "1 0.1 -2.5 1e3 3 100 .5 -0 1e-3 12345678.125 1e17 0x1F inf nan 1e-400 1e309 abc",
	"cur":   "0",
}

// generic are commands that every dialect has too.
var generic = []string{
	"DEL {k}", "EXISTS {k}*", "TYPE {k}", "PERSIST {k}", "EXPIRE {k} 1000", "TTL {k}", "UNLINK {k}*",
	"COPY {k} {k} [REPLACE] [DB,(0|1)]", "RENAME {k} {k}", "RENAMENX {k} {k}", "MOVE {k} (1|1|1|0)",
	"SWAPDB 0 1", "SET {k} {v} [GET]", "GET {k}", "DBSIZE", "FLUSHDB", "SORT {k} ALPHA",
}

// many are so many names that Redis keeps them otherwise than a few, and that
// trees are deep.
func many() string {
	var names []string
	for i := range 700 {
		names = append(names, strconv.Itoa(i*7919%700*1000))
	}
	return strings.Join(names, " ")
}

var dialects = map[string]dialect{
	"large": {
		pools: map[string]string{
			"m": many(), "k": "small none", "score": many(), "n": "0 1 5 17 100 -1 -2 -100 250 -250 700", "wide": "50 -50 300 -300", "z": "z1 z2",
			"bound": "-inf +inf 100000 (200000 350000 (600000 1",
		},
		commands: []string{
			"HSET h {m:v}*", "HSET h {m:v}*", "HDEL h {m}*", "HGET h {m}", "HGETALL h", "HINCRBY h {m} {n}", "HRANDFIELD h {n} WITHVALUES",
			"HSCAN h {cur} [COUNT,(1|30|100)] [MATCH,(*|1*|?)]", "SADD s1 {m}*", "SADD s2 {m}*", "SADD s1 {m}*", "SREM s1 {m}*", "SISMEMBER s1 {m}",
			"SPOP s1 (1|2)", "SRANDMEMBER s1 {n}", "SINTER s1 s2", "SDIFFSTORE s3 s1 s2", "SUNION s1 s2 s3", "SMOVE s1 s2 {m}", "SINTERCARD 2 s1 s2 [LIMIT,{n}]",
			"SSCAN s1 {cur} [COUNT,(1|30|100)] [MATCH,(*|1*|?)]", "RPUSH l {m}*", "LPUSH l {m}*", "RPUSH l {m}*", "LPOP l", "RPOP l [2]", "LRANGE l {n} {n}",
			"LINDEX l {n}", "LSET l {n} {m}", "LINSERT l (BEFORE|AFTER) {m} {m}", "LREM l (1|-1|0) {m}", "LPOS l {m} [RANK,(1|-1|2)] [COUNT,{n}]",
			"LMOVE l l (LEFT|RIGHT) (LEFT|RIGHT)", "SORT l LIMIT {n} {n} [DESC]", "ZADD {z} {score:m}*", "ZADD {z} {score:m}*", "ZADD z1 [GT|LT] [CH] {score:m}*",
			"ZINCRBY {z} {n} {m}", "ZREM {z} {m}*", "ZRANK {z} {m}", "ZREVRANK {z} {m}", "ZSCORE {z} {m}", "ZCOUNT {z} {bound} {bound}",
			"ZRANGE {z} {n} {n} [REV] [WITHSCORES]", "ZRANGE {z} {bound} {bound} BYSCORE [REV] [LIMIT,{n},{n}] [WITHSCORES]", "ZPOPMIN {z}", "ZPOPMAX {z} 2",
			"ZUNIONSTORE z3 2 z1 z2 [WEIGHTS,1,0.3] [AGGREGATE,(SUM|MIN|MAX)]", "ZINTER 3 z1 z2 s1 [WEIGHTS,0.1,0.7,3] [WITHSCORES]", "ZDIFF 2 z1 z2 [WITHSCORES]",
			"ZREMRANGEBYRANK z3 {wide} {wide}", "ZREMRANGEBYSCORE z3 {bound} {bound}", "ZRANGESTORE z4 z1 {bound} {bound} BYSCORE", "ZADD lex 0 {m} 0 {m} 0 {m}",
			"ZRANGEBYLEX lex [{m} ({m}", "ZLEXCOUNT lex - [{m}", "ZRANDMEMBER z1 {n} WITHSCORES", "ZSCAN z1 {cur} [COUNT,(1|30|100)]", "LTRIM l2 {n} {n}",
			"COPY l l2 REPLACE", "COPY h h2", "SDIFF s1 s2",
		},
	},
	"hash": {
		pools: map[string]string{"k": "h1 h2 h3 h4 other str"},
		commands: []string{
			"HSET {k} {m:v}*", "HSET {k} {m:v}*", "HSETNX {k} {m} {v}", "HMSET {k} {m:v}*", "HGET {k} {m}", "HMGET {k} {m}*",
			"HGETALL {k}", "HDEL {k} {m}*", "HEXISTS {k} {m}", "HLEN {k}", "HKEYS {k}", "HVALS {k}",
			"HINCRBY {k} {m} {n}", "HINCRBYFLOAT {k} {m} {x}", "HINCRBYFLOAT {k} {m} {x}", "HSTRLEN {k} {m}",
			"HRANDFIELD {k}", "HRANDFIELD {k} {count}", "HRANDFIELD {k} {count} WITHVALUES",
			"HSCAN {k} {cur} [COUNT,(1|3|100)] [MATCH,(*|a*|?)]",
		},
	},
	"set": {
		pools: map[string]string{"k": "s1 s2 s3 s4 other str", "limit": "0 1 2 100"},
		commands: []string{
			"SADD {k} {m}*", "SADD {k} {m}*", "SADD {k} {m}*", "SREM {k} {m}*", "SISMEMBER {k} {m}", "SMISMEMBER {k} {m}*",
			"SMEMBERS {k}", "SCARD {k}", "SPOP {k}", "SPOP {k} {count}", "SRANDMEMBER {k}", "SRANDMEMBER {k} {count}",
			"SMOVE {k} {k} {m}", "SINTER {k}*", "SUNION {k}*", "SDIFF {k}*", "SINTERSTORE {k} {k}*", "SUNIONSTORE {k} {k}*",
			"SDIFFSTORE {k} {k}*", "SINTERCARD (0|1|2|3|x) {k} {k} [LIMIT,{n}]", "SINTERCARD 1 {k} [LIMIT,{limit}]",
			"SSCAN {k} {cur} [COUNT,(1|3|100)] [MATCH,(*|a*|?)]", "SORT {k} ALPHA [STORE,{k}]",
		},
	},
	"list": {
		pools: map[string]string{"k": "l1 l2 l3 l4 other str"},
		commands: []string{
			"LPUSH {k} {m}*", "RPUSH {k} {m}*", "RPUSH {k} {m}*", "LPUSHX {k} {m}*", "RPUSHX {k} {m}*", "LPOP {k} [{count}]", "RPOP {k} [{count}]",
			"LLEN {k}", "LRANGE {k} {n} {n}", "LRANGE {k} 0 -1", "LINDEX {k} {n}", "LSET {k} {n} {m}", "LINSERT {k} (BEFORE|AFTER|before) {m} {v}",
			"LREM {k} {n} {m}", "LTRIM {k} {count} {n}", "LPOS {k} {m} [RANK,{n}] [COUNT,{n}] [MAXLEN,{n}]",
			"LMOVE {k} {k} (LEFT|RIGHT) (LEFT|right)", "RPOPLPUSH {k} {k}", "LMPOP (1|2|3) {k} {k} (LEFT|RIGHT) [COUNT,{n}]",
			"LMPOP 1 {k} (LEFT|RIGHT) [COUNT,{count}]", "SORT {k} [BY,nosort] [ALPHA] [DESC]", "SORT {k} LIMIT {n} {n} [ALPHA] [DESC]", "SORT l1 BY nosort LIMIT {n} {n} [DESC]",
			"SORT {k} [BY,(w_*|nosort|#)] [GET,(w_*|#|none_*)] [GET,w_*] [ALPHA] [STORE,{k}]",
			"SORT_RO {k} [LIMIT,{n},{n}] [ASC|DESC] [ALPHA]", "SET (w_a|w_b|w_1|w_2) (5|2|1|3.5|x)",
		},
	},
	"zset": {
		pools: map[string]string{
			"k": "z1 z2 z3 z4 other str set", "bound": "-inf +inf inf 0 1 (1 2 3 (3 -2.5 100 (0.1 1e3 x (  5",
			"lex": "- + [a (a [b (c [e [g [aa x [", "score": "1 2 3 0.1 -2.5 1e3 100 -0 inf -inf 12345678.125 0x1F nan 1e309 3.3333333333333335",
		},
		commands: []string{
			"ZADD {k} [NX|XX] [GT|LT] [CH] {score:m}*", "ZADD {k} {score:m}*", "ZADD {k} {score:m}*", "ZADD {k} [NX|XX] [GT|LT] [CH] INCR {score} {m}",
			"ZREM {k} {m}*", "ZSCORE {k} {m}", "ZMSCORE {k} {m}*", "ZINCRBY {k} {score} {m}", "ZCARD {k}", "ZCOUNT {k} {bound} {bound}",
			"ZRANK {k} {m}", "ZREVRANK {k} {m}", "ZRANGE {k} {n} {n} [REV] [WITHSCORES]", "ZRANGE {k} 0 -1 WITHSCORES",
			"ZRANGE {k} {bound} {bound} BYSCORE [REV] [LIMIT,{n},{n}] [WITHSCORES]", "ZRANGE {k} {n} {n} [BYLEX|BYSCORE] [LIMIT,{n},{n}]",
			"ZRANGESTORE {k} {k} {n} {n} [REV]", "ZRANGESTORE {k} {k} {bound} {bound} BYSCORE [REV] [LIMIT,{n},{n}]",
			"ZREVRANGE {k} {n} {n} [WITHSCORES]", "ZRANGEBYSCORE {k} {bound} {bound} [WITHSCORES] [LIMIT,{n},{n}]",
			"ZREVRANGEBYSCORE {k} {bound} {bound} [WITHSCORES] [LIMIT,{n},{n}]", "ZREMRANGEBYRANK {k} {count} {count}",
			"ZREMRANGEBYSCORE {k} {bound} {bound}", "ZPOPMIN {k} [{count}]", "ZPOPMAX {k} [{count}]", "ZMPOP (1|2|3) {k} {k} (MIN|MAX) [COUNT,{n}]",
			"ZMPOP 1 {k} (MIN|MAX) [COUNT,{count}]", "ZRANDMEMBER {k}", "ZRANDMEMBER {k} {count}", "ZRANDMEMBER {k} {count} WITHSCORES",
			"ZUNION 2 {k} {k} [WEIGHTS,{score},{score}] [AGGREGATE,(SUM|MIN|MAX)] [WITHSCORES]", "ZINTER 2 {k} {k} [AGGREGATE,(SUM|MIN|MAX)] [WITHSCORES]",
			"ZINTER 3 {k} {k} {k} [WEIGHTS,1,2,{score}] [WITHSCORES]", "ZDIFF 2 {k} {k} [WITHSCORES]", "ZUNIONSTORE {k} 2 {k} {k} [WEIGHTS,{score},{score}] [AGGREGATE,(SUM|MIN|MAX)]",
			"ZINTERSTORE {k} 2 {k} {k} [WEIGHTS,1,0] [AGGREGATE,(SUM|MIN|MAX)]", "ZDIFFSTORE {k} 2 {k} {k}", "ZINTERCARD 2 {k} {k} [LIMIT,{n}]",
			"ZSCAN {k} {cur} [COUNT,(1|3|100)] [MATCH,(*|a*|?)]", "SADD set {m}*", "ZADD lex 0 {m} 0 {m}", "ZADD lex 0 {m} 0 {m}", "ZREM lex {m}",
			"ZRANGEBYLEX lex {lex} {lex} [LIMIT,{n},{n}]", "ZREVRANGEBYLEX lex {lex} {lex} [LIMIT,{n},{n}]", "ZLEXCOUNT lex {lex} {lex}",
			"ZREMRANGEBYLEX lex {lex} {lex}", "ZRANGE lex {lex} {lex} BYLEX [REV] [LIMIT,{n},{n}]", "ZRANGESTORE {k} lex {lex} {lex} BYLEX",
			"SORT {k} [BY,nosort] ALPHA [DESC]", "SORT {k} LIMIT {n} {n} ALPHA [DESC]",
		},
	},
	"string": {
		pools: map[string]string{
			"k": "s1 s2 s3 s4 other", "bit": "0 1", "off": "0 1 3 7 8 9 100 -1 2000 x 4294967296",
			"type": "u8 i8 u1 i64 u63 i5 u3 i16 u64 x", "at": "0 1 7 #0 #1 #2 100 #100 x -1", "s": "abc ohmytext mynewtext aXbXc hello a",
		},
		commands: []string{
			"SET {k} {v}", "SET {k} {s}", "SET {k} {s}", "APPEND {k} {s}", "SETRANGE {k} {off} {v}", "GETRANGE {k} {n} {n}", "SUBSTR {k} {n} {n}",
			"LCS {k} {k} [LEN]", "LCS {k} {k} IDX [MINMATCHLEN,{n}] [WITHMATCHLEN]", "INCRBYFLOAT {k} {x}", "INCRBYFLOAT {k} {x}", "SETBIT {k} {off} {bit}",
			"SETBIT {k} {off} {bit}", "GETBIT {k} {off}", "BITCOUNT {k}", "BITCOUNT {k} {n} {n} [BIT|BYTE]", "BITPOS {k} {bit}",
			"BITPOS {k} {bit} {n}", "BITPOS {k} {bit} {n} {n} [BIT|BYTE]", "BITOP (AND|OR|XOR) {k} {k}*", "BITOP NOT {k} {k}",
			"BITFIELD {k} [OVERFLOW,(WRAP|SAT|FAIL)] (GET,{type},{at}|SET,{type},{at},{n}|INCRBY,{type},{at},{n}) [(OVERFLOW,SAT|OVERFLOW,FAIL)] [INCRBY,{type},{at},{n}]",
			"BITFIELD_RO {k} GET {type} {at} [GET,{type},{at}]", "STRLEN {k}", "INCR {k}", "GETDEL {k}", "MGET {k}*", "GETEX {k} [PERSIST]",
		},
	},
}

// templates are the dialect's commands, and fewer of the generic ones.
func (d dialect) templates() []string {
	if _, isLarge := d.pools["wide"]; isLarge {
		return d.commands // nothing that ends all
	}
	return slices.Concat(d.commands, d.commands, d.commands, generic)
}

// A maker makes commands up.
type maker struct {
	rng       *rand.Rand
	pools     []map[string]string // looked up in this order
	templates []string
}

func (m *maker) pick(list, sep string) string {
	all := strings.Split(list, sep)
	return all[m.rng.IntN(len(all))]
}

func (m *maker) pool(name string) string {
	for _, pools := range m.pools {
		if list, found := pools[name]; found {
			return m.pick(list, " ")
		}
	}
	panic("no pool " + name)
}

// expand returns the words that one of a template stands for.
func (m *maker) expand(word string) (words []string) {
	switch {
	case strings.HasPrefix(word, "[") && strings.HasSuffix(word, "]"):
		if m.rng.IntN(2) == 0 {
			return nil
		}
		return m.expand("(" + word[1:len(word)-1] + ")")
	case strings.HasPrefix(word, "(") && strings.HasSuffix(word, ")"):
		choice := m.choose(word[1 : len(word)-1])
		for _, part := range strings.Split(choice, ",") {
			words = append(words, m.expand(part)...)
		}
		return words
	case strings.HasPrefix(word, "{"):
		name, stars := strings.CutSuffix(word[1:], "*")
		n := 1
		if stars {
			n = 1 + m.rng.IntN(4)
		}
		for range n {
			for _, pool := range strings.Split(strings.TrimSuffix(name, "}"), ":") {
				words = append(words, m.pool(pool))
			}
		}
		return words
	}
	return []string{word}
}

// choose takes one of what bars part, outside of inner brackets.
func (m *maker) choose(list string) string {
	var choices []string
	depth, from := 0, 0
	for i, b := range list {
		switch b {
		case '(', '[':
			depth++
		case ')', ']':
			depth--
		case '|':
			if depth == 0 {
				choices = append(choices, list[from:i])
				from = i + 1
			}
		}
	}
	choices = append(choices, list[from:])
	return choices[m.rng.IntN(len(choices))]
}

// command makes up a command, now and then one with a fault.
func (m *maker) command() (args []string) {
	for _, word := range strings.Split(m.templates[m.rng.IntN(len(m.templates))], " ") {
		args = append(args, m.expand(word)...)
	}
	if m.rng.IntN(25) > 0 {
		return args
	}
	i := m.rng.IntN(len(args))
	switch {
	case i == 0:
	case m.rng.IntN(2) == 0:
		args = slices.Delete(args, i, i+1)
	default:
		args = slices.Insert(args, i, m.pick("x -1 0 COUNT WITHSCORES a str 1.5", " "))
	}
	return args
}
