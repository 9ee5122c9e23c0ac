package keyspace_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/keyspace"
)

// A twin is what a Space should be, slow and plain: a map for each database,
// looked through from one end to the other. It takes commands whose syntax is
// right and whose numbers are small.
type twin struct {
	dbs  [keyspace.Databases]map[string]twinKey
	full bool
}

type twinKey struct {
	val      string
	deadline time.Duration // 0: never
	wall     int64
}

func newTwin() *twin {
	tw := &twin{}
	for i := range tw.dbs {
		tw.dbs[i] = map[string]twinKey{}
	}
	return tw
}

// size is Space.Size where a key costs so much besides its bytes.
func (tw *twin) size(cost int64) (sum int64) {
	for _, keys := range tw.dbs {
		for key, k := range keys {
			sum += cost + int64(len(key)+len(k.val))
		}
	}
	return sum
}

// deadlines is what the shell's index should hold.
func (tw *twin) deadlines() map[deadline]bool {
	index := map[deadline]bool{}
	for i, keys := range tw.dbs {
		for key, k := range keys {
			if k.deadline != 0 {
				index[deadline{k.deadline, string(rune(i)) + key}] = true
			}
		}
	}
	return index
}

// A twinCall is one command for the twin.
type twinCall struct {
	*twin
	keys map[string]twinKey
	at   machine.Stamp
	args []string
	null string
}

const (
	ok         = "+OK\r\n"
	oom        = "-OOM command not allowed when used memory > 'maxmemory'.\r\n"
	notInteger = "-ERR value is not an integer or out of range\r\n"
)

func integer(n int) string { return fmt.Sprintf(":%d\r\n", n) }

func (c *twinCall) bulk(val string, found bool) string {
	if !found {
		return c.null
	}
	return fmt.Sprintf("$%d\r\n%s\r\n", len(val), val)
}

// has reports whether key is visible.
func (c *twinCall) has(key string) bool {
	k, found := c.keys[key]
	return found && (k.deadline == 0 || k.deadline > c.at.Lease)
}

// sweep is has for a command that writes: what is over goes.
func (c *twinCall) sweep(key string) bool {
	if !c.has(key) {
		delete(c.keys, key)
	}
	return c.has(key)
}

// refuses reports whether the state is too full for key to become k.
func (c *twinCall) refuses(key string, k twinKey) bool {
	isLong := func(k twinKey) bool { return k.deadline == 0 || k.deadline > c.at.Lease+24*time.Hour }
	old, found := c.keys[key]
	return c.full && isLong(k) && (!found || len(k.val) > len(old.val) || !isLong(old))
}

// put stores k, or removes the key where k is over already.
func (c *twinCall) put(key string, k twinKey) {
	c.keys[key] = k
	if !c.has(key) {
		delete(c.keys, key)
	}
}

// ending is k with an end: n by the word of SET that gives it.
func (c *twinCall) ending(k twinKey, word string, n int64) twinKey {
	if !strings.HasPrefix(word, "P") {
		n *= 1000
	}
	if strings.HasSuffix(word, "AT") {
		k.wall = n
		n -= c.at.Wall.Milliseconds()
	} else {
		k.wall = c.at.Wall.Milliseconds() + n
	}
	if n <= 0 {
		return twinKey{val: k.val, deadline: -1}
	}
	k.deadline = c.at.Lease + time.Duration(n)*time.Millisecond
	if strings.HasSuffix(word, "AT") {
		k.deadline -= c.at.Wall % time.Millisecond
	}
	return k
}

// do answers in RESP what Redis would.
func (c *twinCall) do() string {
	key := ""
	if len(c.args) > 1 {
		key = c.args[1]
	}
	switch name := c.args[0]; name {
	case "EVAL": // unlockScript
		if key = c.args[3]; c.has(key) && c.keys[key].val == c.args[4] {
			delete(c.keys, key)
			return integer(1)
		}
		return integer(0)
	case "GET":
		return c.bulk(c.keys[key].val, c.has(key))
	case "MGET":
		out := fmt.Sprintf("*%d\r\n", len(c.args)-1)
		for _, key := range c.args[1:] {
			out += c.bulk(c.keys[key].val, c.has(key))
		}
		return out
	case "STRLEN":
		if !c.has(key) {
			return integer(0)
		}
		return integer(len(c.keys[key].val))
	case "EXISTS", "TOUCH", "DEL", "UNLINK":
		return c.count(name == "DEL" || name == "UNLINK")
	case "TYPE":
		if !c.has(key) {
			return "+none\r\n"
		}
		return "+string\r\n"
	case "DBSIZE":
		return integer(len(c.keys))
	case "TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME":
		return c.tell(name, key)
	case "FLUSHDB":
		clear(c.keys)
		return ok
	case "FLUSHALL":
		for _, keys := range c.dbs {
			clear(keys)
		}
		return ok
	}
	return c.change(c.args[0], key)
}

func (c *twinCall) count(isDelete bool) string {
	n := 0
	for _, key := range c.args[1:] {
		if c.has(key) {
			n++
		}
		if isDelete {
			delete(c.keys, key)
		}
	}
	return integer(n)
}

func (c *twinCall) tell(name, key string) string {
	k := c.keys[key]
	if !c.has(key) {
		return integer(-2)
	}
	if k.deadline == 0 {
		return integer(-1)
	}
	left := 0 // milliseconds, counted up
	if strings.HasSuffix(name, "TIME") {
		left = int(k.wall)
	} else {
		left = int((k.deadline - c.at.Lease) / time.Millisecond)
		if time.Duration(left)*time.Millisecond < k.deadline-c.at.Lease {
			left++
		}
	}
	if strings.HasPrefix(name, "P") {
		return integer(left)
	}
	return integer((left + 500) / 1000)
}

// change is the commands that write one key or several.
func (c *twinCall) change(name, key string) string {
	if strings.HasPrefix(name, "MSET") {
		return c.mset(name == "MSETNX")
	}
	found := c.sweep(key)
	old := c.keys[key]
	switch name {
	case "SET":
		return c.set(key, c.args[2], c.args[3:])
	case "SETNX":
		return map[string]string{ok: ":1\r\n", c.null: ":0\r\n", oom: oom}[c.set(key, c.args[2], []string{"NX"})]
	case "SETEX":
		return c.set(key, c.args[3], []string{"EX", c.args[2]})
	case "PSETEX":
		return c.set(key, c.args[3], []string{"PX", c.args[2]})
	case "GETSET":
		return c.set(key, c.args[2], []string{"GET"})
	case "GETDEL":
		delete(c.keys, key)
		return c.bulk(old.val, found)
	case "GETEX":
		return c.getex(key)
	case "APPEND":
		k := old
		k.val += c.args[2]
		if c.refuses(key, k) {
			return oom
		}
		c.put(key, k)
		return integer(len(k.val))
	case "INCR":
		return c.add(key, 1)
	case "DECR":
		return c.add(key, -1)
	case "INCRBY":
		n, _ := strconv.Atoi(c.args[2])
		return c.add(key, n)
	case "DECRBY":
		n, _ := strconv.Atoi(c.args[2])
		return c.add(key, -n)
	case "PERSIST":
		if !found || old.deadline == 0 {
			return integer(0)
		}
		if c.refuses(key, twinKey{val: old.val}) {
			return oom
		}
		c.put(key, twinKey{val: old.val})
		return integer(1)
	}
	return c.expire(name, key)
}

func (c *twinCall) set(key, val string, options []string) string {
	k := twinKey{val: val}
	found := c.sweep(key)
	old := c.keys[key]
	may, get := true, false
	for i := 0; i < len(options); i++ {
		switch word := options[i]; word {
		case "NX":
			may = !found
		case "XX":
			may = found
		case "GET":
			get = true
		case "KEEPTTL":
			k.deadline, k.wall = old.deadline, old.wall
		default:
			i++
			n, _ := strconv.ParseInt(options[i], 10, 64)
			k = c.ending(k, word, n)
		}
	}
	if may && c.refuses(key, k) {
		return oom
	}
	if may {
		c.put(key, k)
	}
	switch {
	case get:
		return c.bulk(old.val, found)
	case may:
		return ok
	}
	return c.null
}

func (c *twinCall) mset(ifAbsent bool) string {
	pairs := slices.Collect(slices.Chunk(c.args[1:], 2))
	for _, pair := range pairs {
		if ifAbsent && c.sweep(pair[0]) {
			return integer(0)
		}
	}
	for _, pair := range pairs {
		c.sweep(pair[0])
		if c.refuses(pair[0], twinKey{val: pair[1]}) {
			return oom
		}
	}
	for _, pair := range pairs {
		c.put(pair[0], twinKey{val: pair[1]})
	}
	if ifAbsent {
		return integer(1)
	}
	return ok
}

func (c *twinCall) getex(key string) string {
	old, found := c.keys[key]
	k := old
	switch {
	case !found || len(c.args) == 2:
		return c.bulk(old.val, found)
	case c.args[2] == "PERSIST":
		k = twinKey{val: old.val}
	default:
		n, _ := strconv.ParseInt(c.args[3], 10, 64)
		k = c.ending(k, c.args[2], n)
	}
	if c.refuses(key, k) {
		return oom
	}
	c.put(key, k)
	return c.bulk(old.val, true)
}

func (c *twinCall) add(key string, n int) string {
	k, found := c.keys[key]
	if !found {
		k.val = "0"
	}
	sum, err := strconv.Atoi(k.val)
	if err != nil || k.val != strconv.Itoa(sum) {
		return notInteger
	}
	k.val = strconv.Itoa(sum + n)
	if c.refuses(key, k) {
		return oom
	}
	c.put(key, k)
	return integer(sum + n)
}

// expire is EXPIRE, PEXPIRE, EXPIREAT and PEXPIREAT.
func (c *twinCall) expire(name, key string) string {
	word := map[string]string{"EXPIRE": "EX", "PEXPIRE": "PX", "EXPIREAT": "EXAT", "PEXPIREAT": "PXAT"}[name]
	n, _ := strconv.ParseInt(c.args[2], 10, 64)
	old, found := c.keys[key]
	k := c.ending(old, word, n)
	if !found {
		return integer(0)
	}
	for _, condition := range c.args[3:] {
		isFit := map[string]bool{
			"NX": old.deadline == 0,
			"XX": old.deadline != 0,
			"GT": old.deadline != 0 && k.deadline > old.deadline && k.wall != old.wall,
			"LT": old.deadline == 0 || k.deadline < old.deadline && k.wall != old.wall,
		}
		if !isFit[condition] {
			return integer(0)
		}
	}
	if c.refuses(key, k) {
		return oom
	}
	c.put(key, k)
	return integer(1)
}
