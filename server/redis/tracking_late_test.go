package redis_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/keyspace"
	"github.com/huddlecache/huddle/server/redis"
	"github.com/huddlecache/huddle/server/resp"
)

// A late is a log as a follower sees it, where everything takes its time and
// overtakes what it may: the leader, who answers reads, and the node, who gives
// out events, apply entries each for itself, and either may be ahead.
type late struct {
	*memory // for what nobody asks here

	mu      sync.Mutex // guards what follows
	rng     *rand.Rand
	entries [][]byte // commands that are committed; that of index i is at i-1
	leader  applied
	node    applied
	told    uint64 // index up to which events have been given out
	hear    func(machine.Event)
	isCut   bool // the node hears nothing of the leader
}

// applied is a keyspace with all entries up to an index in it.
type applied struct {
	space *keyspace.Space
	index uint64
}

func newLate(seed uint64) *late {
	return &late{
		memory: newMemory(), rng: rand.New(rand.NewPCG(seed, 1)),
		leader: applied{space: keyspace.New()}, node: applied{space: keyspace.New()},
	}
}

// events is a shell that keeps them.
type events struct {
	*memory
	all []machine.Event
}

func (e *events) Emit(event machine.Event) { e.all = append(e.all, event) }

func (l *late) stamp(index uint64) machine.Stamp {
	return machine.Stamp{Cluster: "test", Index: index, Lease: time.Hour, Wall: time.Hour}
}

// applyLocked applies the next entry, and returns the events of it.
func (l *late) applyLocked(a *applied) []machine.Event {
	e := &events{memory: l.memory}
	a.index++
	a.space.Apply(&machine.Tx{Stamp: l.stamp(a.index), Shell: e}, l.entries[a.index-1])
	for i := range e.all {
		e.all[i].Index = a.index
	}
	return e.all
}

// pause takes some time, up to a few milliseconds, and most often little.
func (l *late) pause() {
	l.mu.Lock()
	d := time.Duration(l.rng.ExpFloat64() * 500e3)
	l.mu.Unlock()
	time.Sleep(min(d, 5e6))
}

// run applies entries until the context ends: those of the node, or else those
// of the leader.
func (l *late) run(ctx context.Context, isNode bool) {
	for ctx.Err() == nil {
		l.pause()
		l.mu.Lock()
		a := &l.leader
		if isNode {
			a = &l.node
		}
		if a.index == uint64(len(l.entries)) || isNode && l.isCut {
			l.mu.Unlock()
			continue
		}
		found := l.applyLocked(a)
		l.mu.Unlock()
		if !isNode {
			continue
		}
		for _, e := range found {
			l.hear(e)
		}
		l.mu.Lock()
		l.told = l.node.index
		l.mu.Unlock()
	}
}

func (l *late) cut(isCut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut = isCut
}

// install puts the node where the log ends without any event but a Reset.
func (l *late) install() {
	l.mu.Lock()
	for l.node.index < uint64(len(l.entries)) {
		l.applyLocked(&l.node)
	}
	l.mu.Unlock()
	l.pause()
	l.hear(machine.Event{Reset: true})
}

// set writes, and returns when it is acknowledged: when the leader has applied
// it, and not earlier.
func (l *late) set(ctx context.Context, key string, value int) {
	command := keyspace.AppendCommand(nil, 0, 2, [][]byte{[]byte("SET"), []byte(key), []byte(strconv.Itoa(value))})
	l.mu.Lock()
	l.entries = append(l.entries, command)
	index := uint64(len(l.entries))
	l.mu.Unlock()
	for ctx.Err() == nil {
		l.pause()
		l.mu.Lock()
		isDone := l.leader.index >= index
		l.mu.Unlock()
		if isDone {
			return
		}
	}
}

// ask answers queries at the leader, or else at the node.
func (l *late) ask(isLocal bool, queries ...machine.Item) (replies []machine.Reply, at machine.Stamp, err error) {
	l.pause()
	l.mu.Lock()
	a := l.leader
	if isLocal {
		a = l.node
	}
	if l.isCut && !isLocal {
		l.mu.Unlock()
		time.Sleep(3 * time.Second)
		return nil, at, machine.ErrNoQuorum
	}
	at = l.stamp(a.index)
	for _, query := range queries {
		replies = append(replies, machine.Reply{Data: a.space.Query(at, query.Data)})
	}
	l.mu.Unlock()
	l.pause()
	return replies, at, nil
}

func (l *late) Do(_ context.Context, items ...machine.Item) ([]machine.Reply, machine.Stamp, error) {
	return l.ask(false, items...)
}

func (l *late) Query(_ context.Context, c machine.Consistency, query []byte) ([]byte, machine.Stamp, error) {
	replies, at, err := l.ask(c.IsLocal(), machine.Item{Data: query})
	return append(replies, machine.Reply{})[0].Data, at, err
}

func (l *late) reach(ctx context.Context, _ string, index uint64) error {
	for ctx.Err() == nil {
		l.mu.Lock()
		isThere := l.told >= index
		l.mu.Unlock()
		if isThere {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return ctx.Err()
}

func (l *late) Subscribe(fn func(machine.Event)) (cancel func()) {
	l.hear = fn
	return func() {}
}

// A copier is a client that keeps copies, as libraries do: what it has it does
// not ask for.
type copier struct {
	socket net.Conn
	mode   string
	lines  chan string // that are sent

	mu      sync.Mutex        // guards what follows
	copies  map[string]string // by key
	asked   []string          // keys that are being read, in order
	skipped int               // replies that are none to a key
	hits    int
}

// connectCopier makes a copier, by the commands that a mode begins with.
func connectCopier(w *world, mode string) *copier {
	ours, theirs := net.Pipe()
	w.port++
	w.place.conns <- addressed{theirs, w.place.Addr(), &net.TCPAddr{IP: net.IPv4(10, 9, 9, 9), Port: w.port}}
	c := &copier{socket: ours, mode: mode, lines: make(chan string, 1000), copies: map[string]string{}}
	lines := append([]string{"HELLO 3"}, strings.Split(mode, "|")...)
	c.skipped = len(lines)
	w.t.Cleanup(func() { ours.Close(); close(c.lines) })
	go c.listen()
	go func() {
		for line := range c.lines {
			_, _ = io.WriteString(ours, line)
		}
	}()
	c.lines <- strings.Join(lines, "\r\n") + "\r\n"
	synctest.Wait()
	return c
}

// listen ends with the connection.
func (c *copier) listen() {
	reader := resp.NewReplyReader(c.socket)
	for {
		v, err := reader.Read()
		if err != nil {
			return
		}
		c.mu.Lock()
		c.take(v)
		c.mu.Unlock()
	}
}

func (c *copier) take(v resp.Value) {
	switch {
	case v.Kind == resp.Push && v.Elems[1].IsNull():
		clear(c.copies)
	case v.Kind == resp.Push:
		for _, key := range v.Elems[1].Elems {
			delete(c.copies, key.Text)
		}
	case c.skipped > 0:
		c.skipped--
	default:
		key := c.asked[0]
		c.asked = c.asked[1:]
		if v.Kind == resp.Bulk {
			c.copies[key] = v.Text
		}
	}
}

// read asks for keys at once, those of which there is no copy.
func (c *copier) read(keys ...string) {
	c.mu.Lock()
	raw := ""
	for _, key := range keys {
		if _, found := c.copies[key]; found {
			c.hits++
			continue
		}
		c.asked = append(c.asked, key)
		raw += "GET " + key + "\r\n"
	}
	c.mu.Unlock()
	if raw != "" {
		c.lines <- raw
	}
}

// found returns how many reads had a copy.
func (c *copier) found() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hits
}

// A copied is what must be true of copies: their values are versions of a key,
// which only grow.
type copied struct {
	keys  []string
	mu    sync.Mutex    // guards acked
	acked [][]time.Time // by key, when each version was acknowledged
}

// oldest is the version of a key that copies must have at least, where changes
// have had so much time.
func (k *copied) oldest(key int, bound time.Duration) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	version, _ := slices.BinarySearchFunc(k.acked[key], time.Now().Add(-bound), time.Time.Compare)
	return version
}

// check returns a copy that is too old, or nothing.
func (k *copied) check(c *copier, bound time.Duration) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, key := range k.keys {
		text, found := c.copies[key]
		if !found {
			continue
		}
		version, err := strconv.Atoi(text)
		if want := k.oldest(i, bound); err != nil || version < want {
			return fmt.Sprintf("%s: the copy of %s is version %s, and %d was acknowledged over %s ago", c.mode, key, text, want, bound)
		}
	}
	return ""
}

// TestNoCopyIsOld has clients keep copies at a node that is sometimes behind the
// leader, sometimes ahead of it, cut off for a while, or given a snapshot.
func TestNoCopyIsOld(t *testing.T) {
	for range 12 {
		seed := rand.Uint64()
		synctest.Test(t, func(t *testing.T) { copyFor(t, seed) })
	}
}

func copyFor(t *testing.T, seed uint64) {
	const settle = 100 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	log, w := newLate(seed), &world{t: t, place: newPlace(), port: 40000}
	server, err := redis.Open(redis.Config{Log: log, Reach: log.reach, Listeners: []net.Listener{w.place}})
	if err != nil {
		t.Fatal(err)
	}
	k := &copied{keys: []string{"a", "b", "c", "d"}, acked: make([][]time.Time, 4)}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer server.Close()
	defer cancel()
	wg.Go(func() { log.run(ctx, false) })
	wg.Go(func() { log.run(ctx, true) })
	rng := rand.New(rand.NewPCG(seed, 0))
	var copiers []*copier
	for _, mode := range []string{
		"CLIENT TRACKING ON", "CLIENT TRACKING ON BCAST PREFIX a PREFIX b PREFIX c PREFIX d", "CLIENT TRACKING ON|CLIENT READS LOCAL", "CLIENT TRACKING ON NOLOOP",
	} {
		copiers = append(copiers, connectCopier(w, mode))
	}
	for i := range k.keys {
		wg.Go(func() { // writes one key, often or not, until the context ends
			for version := 1; ctx.Err() == nil; version++ {
				log.set(ctx, k.keys[i], version)
				k.mu.Lock()
				k.acked[i] = append(k.acked[i], time.Now())
				k.mu.Unlock()
				time.Sleep(time.Duration(version%7*(1+40*i*i*i)) * time.Millisecond)
			}
		})
	}
	wasCut := time.Now().Add(-time.Hour)
	for step := range 3_000 {
		time.Sleep(time.Duration(rng.IntN(1500)) * time.Microsecond)
		c := copiers[rng.IntN(len(copiers))]
		keys := []string{k.keys[rng.IntN(len(k.keys))], k.keys[rng.IntN(len(k.keys))]}
		c.read(keys[:1+rng.IntN(2)]...)
		switch step % 1000 {
		case 300:
			log.cut(true)
			time.Sleep(time.Duration(rng.IntN(3)*rng.IntN(1500)) * time.Millisecond)
		case 500:
			if rng.IntN(2) == 0 {
				log.install() // nothing that was written meanwhile is told of
			}
			log.cut(false)
			wasCut = time.Now()
		case 800:
			time.Sleep(3 * time.Second) // what is written seldom must not have been missed
		}
		bound := settle
		if phase := step % 1000; phase >= 300 && phase < 500 || time.Since(wasCut) < 2*time.Second {
			bound = 2 * time.Second
		}
		synctest.Wait() // a reply that does not count has been followed by an invalidation
		for _, c := range copiers {
			if complaint := k.check(c, bound); complaint != "" {
				t.Fatalf("seed %d, step %d: %s", seed, step, complaint)
			}
		}
	}
	for _, c := range copiers {
		if hits := c.found(); hits < 50 {
			t.Errorf("seed %d: %s: only %d reads found a copy", seed, c.mode, hits)
		}
	}
}
