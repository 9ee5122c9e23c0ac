package e2e

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/huddlecache/huddle/internal/respclient"
)

// load is a steady use of the service by clients that each own a counter and
// registers, and so know what these must hold in the end.
type load struct {
	w    *world
	done chan struct{}
	wg   sync.WaitGroup
	ops  atomic.Int64
	told tally
	wait gap

	mu      sync.Mutex       // guards what follows
	holds   map[string][]any // register -> values it may hold: the last acknowledged one and later unknown ones
	counted map[string]bounds
}

// bounds are what a counter may hold.
type bounds struct{ acked, unknown int64 }

// startLoad starts 8 clients that use the nodes in service in turn.
func startLoad(w *world) *load {
	l := &load{w: w, done: make(chan struct{}), holds: make(map[string][]any), counted: make(map[string]bounds)}
	for i := range 8 {
		l.wg.Go(func() { l.run(newCaller(w, i), i) })
	}
	return l
}

// run writes until done is closed.
func (l *load) run(client *caller, id int) {
	defer client.close()
	counter := fmt.Sprintf("load:%d", id)
	last := time.Now()
	for seq := 0; ; seq++ {
		select {
		case <-l.done:
			return
		case <-time.After(2 * time.Millisecond):
		}
		register, value := fmt.Sprintf("load:%d:%d", id, seq%100), strconv.Itoa(seq)
		_, err := client.do("SET", register, value)
		l.wrote(register, value, err)
		if err == nil {
			l.wait.saw(time.Since(last))
			last = time.Now()
		}
		_, err = client.do("INCR", counter)
		l.added(counter, err)
		if err == nil {
			l.wait.saw(time.Since(last))
			last = time.Now()
		}
	}
}

func (l *load) wrote(register, value string, err error) {
	l.told.add(err)
	l.ops.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch respclient.OutcomeOf(err) {
	case respclient.Answered:
		if err == nil {
			l.holds[register] = []any{value}
		}
	case respclient.Unknown:
		if l.holds[register] == nil {
			l.holds[register] = []any{nil}
		}
		l.holds[register] = append(l.holds[register], value)
	}
}

func (l *load) added(counter string, err error) {
	l.told.add(err)
	l.ops.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.counted[counter]
	switch respclient.OutcomeOf(err) {
	case respclient.Answered:
		if err == nil {
			b.acked++
		}
	case respclient.Unknown:
		b.unknown++
	}
	l.counted[counter] = b
}

// stop ends the load.
func (l *load) stop() {
	close(l.done)
	l.wg.Wait()
}

// check reads through the given node what the clients wrote. A write whose
// outcome was unknown may have taken effect after a later one's failure, but
// never replaces one acknowledged later.
func (l *load) check(t *testing.T, n *node) {
	t.Helper()
	c := n.client()
	read := func(key string) any {
		var reply any
		eventually(t, 10*time.Second, func() (err error) {
			reply, err = c.Do("GET", key)
			return err
		})
		return reply
	}
	var wrong []string
	for counter, b := range l.counted {
		text, _ := read(counter).(string)
		got, _ := strconv.ParseInt(text, 10, 64)
		if got < b.acked || got > b.acked+b.unknown {
			wrong = append(wrong, fmt.Sprintf("%s: got %d, want %d to %d", counter, got, b.acked, b.acked+b.unknown))
		}
	}
	for register, values := range l.holds {
		if got := read(register); !slices.Contains(values, got) {
			wrong = append(wrong, fmt.Sprintf("%s: got %v, want one of %v", register, got, values))
		}
	}
	if len(wrong) > 0 {
		t.Errorf("read through %s: %d of %d keys are wrong, among them\n%s", n.name, len(wrong), len(l.counted)+len(l.holds),
			strings.Join(wrong[:min(len(wrong), 8)], "\n"))
	}
}
