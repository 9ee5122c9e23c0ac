package keyspace_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/huddlecache/huddle/keyspace"
)

// A blocker is a waiter of the model.
type blocker struct {
	id     keyspace.WaiterID
	number uint64
	origin uint64
	args   []string
	keys   []string
	offer  string        // key; "" where there is none
	end    time.Duration // 0: never
}

// A line is a Space with its waiters, and an obvious model of both: lists that
// are slices, and one queue.
type line struct {
	*world
	rng *rand.Rand

	lists   map[string][]string
	queue   []*blocker
	silent  map[uint64]bool
	offers  []keyspace.WaiterID // of this step
	next    int                 // element
	served  int
	lapsed  int
	crossed int // takes that found nothing

	log []string
}

func newLine(t reporter, rng *rand.Rand) *line {
	l := &line{world: newWorld(t), rng: rng, lists: map[string][]string{}, silent: map[uint64]bool{}}
	l.shell.hears = true
	return l
}

var lineKeys = []string{"a", "b", "c", "d"}

func (l *line) key() string { return lineKeys[l.rng.IntN(len(lineKeys))] }

// hear has the model hear an origin.
func (l *line) hear(origin uint64) {
	if !l.silent[origin] {
		return
	}
	delete(l.silent, origin)
	for _, b := range slices.Clone(l.queue) {
		if b.origin == origin {
			l.advance(b.keys...)
		}
	}
}

// as executes data as an origin that has been heard.
func (l *line) as(origin uint64, data []byte) string {
	l.stamp.Index++
	tx := l.tx()
	tx.Origin = origin
	reply := string(l.space.Apply(tx, data))
	clear(data)
	return reply
}

func (l *line) free(key string) int {
	n := len(l.lists[key])
	for _, b := range l.queue {
		if b.offer == key {
			n--
		}
	}
	return n
}

// advance offers what there is to the first in line.
func (l *line) advance(keys ...string) {
	for _, key := range keys {
		for _, b := range l.queue {
			if b.offer == "" && !l.silent[b.origin] && slices.Contains(b.keys, key) && l.free(key) > 0 {
				b.offer = key
				l.offers = append(l.offers, b.id)
			}
		}
	}
}

func (l *line) remove(b *blocker) {
	l.queue = slices.DeleteFunc(l.queue, func(other *blocker) bool { return other == b })
	if b.offer != "" {
		l.advance(b.keys...)
	}
}

// pop takes from a list of the model for a blocking command, and returns the
// reply of that.
func (l *line) pop(args []string, key string) (reply, target string) {
	list := l.lists[key]
	element := list[0]
	if args[0] == "BRPOP" || args[0] == "BRPOPLPUSH" {
		element = list[len(list)-1]
		l.lists[key] = list[:len(list)-1]
	} else {
		l.lists[key] = list[1:]
	}
	if args[0] == "BRPOPLPUSH" {
		l.lists[args[2]] = slices.Concat([]string{element}, l.lists[args[2]])
		return fmt.Sprintf("$%d\r\n%s\r\n", len(element), element), args[2]
	}
	return fmt.Sprintf("*2\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(key), key, len(element), element), ""
}

func (l *line) push() {
	key, name := l.key(), []string{"LPUSH", "RPUSH"}[l.rng.IntN(2)]
	args := []string{name, key}
	origin := uint64(l.rng.IntN(4))
	l.hear(origin)
	for range 1 + l.rng.IntN(2) {
		l.next++
		element := fmt.Sprint(l.next)
		args = append(args, element)
		if name == "LPUSH" {
			l.lists[key] = slices.Concat([]string{element}, l.lists[key])
		} else {
			l.lists[key] = append(slices.Clone(l.lists[key]), element)
		}
	}
	l.note(append(args, "from", fmt.Sprint(origin), fmt.Sprint(l.silent)))
	reply := l.as(origin, l.encode(args))
	l.equal(reply, fmt.Sprintf(":%d\r\n", len(l.lists[key])))
	l.advance(key)
}

// steal takes without waiting, what was promised to others too.
func (l *line) steal() {
	key := l.key()
	l.note([]string{"LPOP", key})
	want := "$-1\r\n"
	if list := l.lists[key]; len(list) > 0 {
		want = fmt.Sprintf("$%d\r\n%s\r\n", len(list[0]), list[0])
		l.lists[key] = list[1:]
	}
	l.equal(l.as(0, l.encode([]string{"LPOP", key})), want)
}

func (l *line) rename() {
	from, to := l.key(), l.key()
	l.note([]string{"RENAME", from, to})
	reply := l.as(0, l.encode([]string{"RENAME", from, to}))
	if len(l.lists[from]) == 0 {
		l.equal(reply, "-ERR no such key\r\n")
		return
	}
	l.equal(reply, "+OK\r\n")
	if from != to {
		l.lists[from], l.lists[to] = nil, l.lists[from]
		l.advance(to)
	}
}

func (l *line) block() {
	b := &blocker{origin: 1 + uint64(l.rng.IntN(3))}
	binary.BigEndian.PutUint64(b.id[:], l.rng.Uint64())
	timeout := ""
	if timeout = "0"; l.rng.IntN(3) == 0 {
		timeout = "3"
	}
	switch l.rng.IntN(3) {
	case 0:
		b.keys = []string{l.key()}
		b.args = []string{"BRPOPLPUSH", b.keys[0], l.key(), timeout}
	default:
		for range 1 + l.rng.IntN(3) {
			b.keys = append(b.keys, l.key())
		}
		b.args = slices.Concat([]string{[]string{"BLPOP", "BRPOP"}[l.rng.IntN(2)]}, b.keys, []string{timeout})
	}
	l.note(b.args)
	l.hear(b.origin)
	reply := l.as(b.origin, keyspace.AppendWait(nil, b.id, 0, 2, bytesOf(b.args)))
	outcome := l.outcomes(reply, 1)[0]
	for _, key := range b.keys {
		if l.free(key) > 0 {
			want, target := l.pop(b.args, key)
			l.equal(string(outcome.Reply), want)
			if target != "" {
				l.advance(target)
			}
			return
		}
	}
	if !outcome.Waits {
		l.t.Fatalf("%q does not wait: %q", b.args, outcome.Reply)
	}
	b.number = l.shell.last
	if timeout != "0" {
		b.end = l.stamp.Lease + 8*time.Second
	}
	l.queue = append(l.queue, b)
}

func (l *line) outcomes(reply string, n int) []keyspace.Outcome {
	list, err := keyspace.ReadOutcomes([]byte(reply), n)
	if err != nil {
		l.t.Fatalf("reply %q: %v", reply, err)
	}
	return list
}

// attend has waiters of one origin take what they were offered, or give up.
func (l *line) attend() {
	if len(l.queue) == 0 {
		return
	}
	first := l.queue[l.rng.IntN(len(l.queue))]
	var list []keyspace.Attention
	var them []*blocker
	for _, b := range l.queue {
		if b.origin == first.origin && (b == first || l.rng.IntN(2) == 0) {
			isCancel := l.rng.IntN(10) == 0
			list = append(list, keyspace.Attention{ID: b.id, Cancel: isCancel})
			them = append(them, b)
			l.note([]string{"to attend", fmt.Sprintf("%x", b.id[:4]), fmt.Sprint(b.args), "offered", b.offer, "cancel", fmt.Sprint(isCancel)})
		}
	}
	l.note([]string{"attend"})
	l.hear(first.origin)
	outcomes := l.outcomes(l.as(first.origin, keyspace.AppendAttend(nil, list)), len(list))
	var ready []string
	for i, b := range them {
		o := outcomes[i]
		switch {
		case list[i].Cancel:
			if o.Waits || o.Reply != nil {
				l.t.Fatalf("one that was cancelled: %v", o)
			}
		case b.offer != "" && len(l.lists[b.offer]) > 0:
			l.served++
			want, target := l.pop(b.args, b.offer)
			l.equal(string(o.Reply), want)
			if len(l.lists[b.offer]) > 0 && l.isWaitedFor(b.offer) {
				ready = append(ready, b.offer) // it is taken from before anything is put elsewhere
			}
			if target != "" && l.isWaitedFor(target) {
				ready = append(ready, target)
			}
		case !o.Waits:
			l.t.Fatalf("%q was offered %q: %q", b.args, b.offer, o.Reply)
		default:
			if b.offer != "" {
				l.crossed++
				b.offer = ""
				ready = append(ready, b.keys...)
			}
			continue
		}
		wasOffered := b.offer != ""
		b.offer = ""
		l.remove(b)
		if wasOffered {
			for _, key := range b.keys {
				if l.isWaitedFor(key) {
					ready = append(ready, key)
				}
			}
		}
	}
	l.advance(ready...)
}

// isWaitedFor reports whether somebody is in line for a key.
func (l *line) isWaitedFor(key string) bool {
	return slices.ContainsFunc(l.queue, func(b *blocker) bool { return b.offer == "" && slices.Contains(b.keys, key) })
}

// die closes an origin.
func (l *line) die() {
	origin := 1 + uint64(l.rng.IntN(3))
	l.note([]string{"closed", fmt.Sprint(origin)})
	delete(l.silent, origin)
	var ready []string
	for _, b := range l.queue {
		if b.origin == origin {
			l.offers = append(l.offers, b.id) // its node is told
		}
	}
	l.queue = slices.DeleteFunc(l.queue, func(b *blocker) bool { return b.origin == origin && b.offer == "" })
	for _, b := range slices.Clone(l.queue) {
		if b.origin == origin {
			ready = append(ready, b.keys...)
			l.queue = slices.DeleteFunc(l.queue, func(other *blocker) bool { return other == b })
		}
	}
	l.space.OriginClosed(l.tx(), origin)
	l.advance(ready...)
}

// pass lets time pass, and waiters lose what they did not take in time.
func (l *line) pass() {
	l.sleep(time.Duration(l.rng.IntN(700)) * time.Millisecond)
	l.note([]string{"time", fmt.Sprint(l.stamp.Lease)})
	for {
		expired := l.shell.expire(1)
		if len(expired) == 0 {
			return
		}
		number := binary.BigEndian.Uint64([]byte(expired[0])[1:])
		i := slices.IndexFunc(l.queue, func(b *blocker) bool { return b.number == number })
		if i < 0 {
			l.t.Fatalf("a deadline of nobody: %q", expired[0])
		}
		b := l.queue[i]
		switch {
		case b.offer != "":
			l.lapsed++
			l.silent[b.origin] = true
			if b.end != 0 && b.end <= l.stamp.Lease { // it is over as well
				l.offers = append(l.offers, b.id)
				l.remove(b)
				break
			}
			b.offer = ""
			l.advance(b.keys...)
		case b.end == 0 || b.end > l.stamp.Lease:
			l.t.Fatalf("the wait of %q ended too soon", b.args)
		default:
			l.offers = append(l.offers, b.id)
			l.remove(b)
		}
		l.check()
	}
}

// restore goes on with a Space that was restored.
func (l *line) restore() {
	data := l.snapshot()
	other := keyspace.New()
	if err := other.Restore(bytes.NewReader(data)); err != nil {
		l.t.Fatalf("restoring: %v", err)
	}
	if got, want := other.Size(), l.space.Size(); got != want {
		l.t.Fatalf("size %d after restoring, want %d", got, want)
	}
	l.space = other
	if !bytes.Equal(l.snapshot(), data) {
		l.t.Fatalf("what was restored is saved otherwise")
	}
}

func (l *line) note(args []string) { l.log = append(l.log, fmt.Sprint(args)) }

func (l *line) equal(got, want string) {
	if got != want {
		l.t.Fatalf("%s:\n got %q\nwant %q", l.last(), got, want)
	}
}

func (l *line) last() string {
	return strings.Join(append(l.log[:1:1], l.log[max(1, len(l.log)-25):]...), "\n")
}

// check compares what was offered, to whom, and what there is.
func (l *line) check() {
	var offered []keyspace.WaiterID
	for _, e := range l.shell.events {
		if e.Kind == keyspace.EventOffer {
			offered = append(offered, keyspace.WaiterID(e.Key))
		}
	}
	l.shell.events = nil
	if !slices.Equal(offered, l.offers) {
		for _, b := range l.queue {
			l.log = append(l.log, fmt.Sprintf("%x %d %v offered %q", b.id, b.origin, b.args, b.offer))
		}
		l.t.Fatalf("%s:\n%v\noffered to %x\n   want %x", l.last(), l.lists, offered, l.offers)
	}
	l.offers = nil
	for _, key := range lineKeys {
		want := fmt.Sprintf("*%d\r\n", len(l.lists[key]))
		for _, element := range l.lists[key] {
			want += fmt.Sprintf("$%d\r\n%s\r\n", len(element), element)
		}
		l.equal(l.query("LRANGE", key, "0", "-1"), want)
		for _, b := range l.queue {
			if b.offer == "" && !l.silent[b.origin] && slices.Contains(b.keys, key) && l.free(key) > 0 {
				l.t.Fatalf("%s:\n%q waits, and there is %q", l.last(), b.args, l.lists[key])
			}
		}
	}
}
