package e2e

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/huddlecache/huddle/internal/respclient"
)

// A parcel is an element of a list on its way from who pushed it to who popped
// it. Times are since the test began.
type parcel struct {
	list           string
	producer       int
	pushed, acked  time.Duration // acked is 0 where it is not known that it was pushed
	isRefused      bool          // certainly not pushed
	asked, arrived time.Duration // of the pop that got it; 0 where there is none
}

// A depot has lists that some push to and others wait for, at all nodes.
type depot struct {
	w     *world
	lists []string
	began time.Time

	mu      sync.Mutex // guards what follows
	parcels map[string]*parcel
	wrong   []string

	unknown        atomic.Int64 // pops of which nobody knows what they got
	isShut, isOver atomic.Bool  // no more is pushed, or popped
	pushes, pops   tally
}

func (d *depot) now() time.Duration { return time.Since(d.began) }

// produce pushes until the depot is shut, each element once.
func (d *depot) produce(number int) {
	c := newCaller(d.w, number)
	defer c.close()
	for i := 0; !d.isShut.Load(); i++ {
		list := d.lists[i%len(d.lists)]
		name := fmt.Sprintf("%s-%d-%d", list, number, i)
		p := &parcel{list: list, producer: number, pushed: d.now()}
		d.mu.Lock()
		d.parcels[name] = p
		d.mu.Unlock()
		_, err := c.do("RPUSH", list, name)
		d.pushes.add(err)
		d.mu.Lock()
		switch {
		case err == nil:
			p.acked = d.now()
		case respclient.OutcomeOf(err) == respclient.Refused:
			p.isRefused = true
		}
		d.mu.Unlock()
		time.Sleep(10 * time.Millisecond)
	}
}

// consume pops through one node, and another one when that has gone.
func (d *depot) consume(number int) {
	c := newCaller(d.w, 0)
	c.timeout = 20 * time.Second
	defer c.close()
	nodes := d.w.inService()
	n := nodes[number%len(nodes)]
	for i := number; !d.isOver.Load(); i++ {
		if !slices.Contains(d.w.inService(), n) {
			nodes = d.w.inService()
			n = nodes[number%len(nodes)]
		}
		first := i % len(d.lists)
		args := slices.Concat([]string{"BLPOP"}, d.lists[first:], d.lists[:first], []string{"1.5"})
		asked := d.now()
		reply, err := c.on(n, args...)
		d.pops.add(err)
		switch {
		case err == nil && reply != nil:
			d.took(reply, asked)
		case err != nil && respclient.OutcomeOf(err) != respclient.Refused:
			d.unknown.Add(1)
			time.Sleep(20 * time.Millisecond)
		case err != nil:
			time.Sleep(20 * time.Millisecond)
		}
	}
}

func (d *depot) took(reply any, asked time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	pair, _ := reply.([]any)
	if len(pair) != 2 {
		d.wrong = append(d.wrong, fmt.Sprintf("BLPOP answered %v", reply))
		return
	}
	list, name := fmt.Sprintf("%s", pair[0]), fmt.Sprintf("%s", pair[1])
	p := d.parcels[name]
	switch {
	case p == nil || p.list != list:
		d.wrong = append(d.wrong, fmt.Sprintf("%s was popped from %s, and never pushed there", name, list))
	case p.arrived != 0:
		d.wrong = append(d.wrong, name+" was popped twice")
	case p.isRefused:
		d.wrong = append(d.wrong, name+" was popped, and had certainly not been pushed")
	default:
		p.asked, p.arrived = asked, d.now()
	}
}

// check says what is wrong when all is over. An element that was acknowledged
// and nobody got must be one of those of which a consumer was told that nobody
// knows.
func (d *depot) check(t *testing.T) {
	t.Helper()
	byList := map[string][]*parcel{}
	var missing []string
	var took []time.Duration
	for name, p := range d.parcels {
		switch {
		case p.arrived != 0:
			byList[p.list] = append(byList[p.list], p)
			took = append(took, p.arrived-p.pushed)
		case p.acked != 0:
			missing = append(missing, name)
		}
	}
	if int64(len(missing)) > d.unknown.Load() {
		t.Errorf("%d elements are lost, and %d pops were of unknown outcome: %v", len(missing), d.unknown.Load(), missing)
	}
	for _, wrong := range d.wrong {
		t.Error(wrong)
	}
	for list, parcels := range byList {
		if n := disorders(parcels); n > 0 {
			t.Errorf("%d elements of %s were popped before others that had been pushed earlier", n, list)
		}
	}
	if len(took) < 100 {
		t.Fatalf("only %d elements were popped: pushes %v; pops %v", len(took), &d.pushes, &d.pops)
	}
	slices.Sort(took)
	t.Logf("%d popped, %d missing of %d unknown; half within %v, 99%% within %v; pushes: %v; pops: %v",
		len(took), len(missing), d.unknown.Load(), took[len(took)/2].Round(time.Microsecond),
		took[len(took)*99/100].Round(time.Microsecond), &d.pushes, &d.pops)
}

// disorders counts the elements of a list that were certainly popped before
// another one that had certainly been pushed earlier.
func disorders(parcels []*parcel) (n int) {
	for _, later := range parcels {
		if slices.ContainsFunc(parcels, func(earlier *parcel) bool {
			return earlier.acked != 0 && earlier.acked < later.pushed && later.arrived < earlier.asked
		}) {
			n++
		}
	}
	return n
}

// TestEachElementIsTakenOnce has consumers wait at all nodes for what producers
// push at all of them, while a node is killed with those who wait there, and
// the leader is replaced. What was acknowledged is taken once, in order, or a
// consumer was told that nobody knows.
func TestEachElementIsTakenOnce(t *testing.T) {
	t.Parallel()
	w := startNodes(t, 3, false)
	d := &depot{w: w, lists: []string{"jobs", "mails", "thumbs"}, began: time.Now(), parcels: map[string]*parcel{}}
	var producers, consumers sync.WaitGroup
	for i := range 30 {
		consumers.Go(func() { d.consume(i) })
	}
	for i := range 6 {
		producers.Go(func() { d.produce(i) })
	}
	time.Sleep(time.Second)
	leader := w.leader(20 * time.Second)
	for _, n := range w.inService() {
		if n != leader {
			w.kill(n)
			break
		}
	}
	killed := d.now()
	w.replacement()
	leader = w.leader(20 * time.Second)
	stopping := d.now()
	took := w.stop(leader)
	t.Logf("a node was killed at %v, the leader stopped at %v within %v", killed.Round(time.Millisecond), stopping.Round(time.Millisecond), took.Round(time.Millisecond))
	time.Sleep(time.Second)
	d.isShut.Store(true)
	producers.Wait()
	looker := newCaller(w, 0)
	defer looker.close()
	eventually(t, 20*time.Second, func() error {
		for _, list := range d.lists {
			if n, err := looker.do("LLEN", list); err != nil || n != int64(0) {
				return errors.Join(err, fmt.Errorf("%v left in %s", n, list))
			}
		}
		return nil
	})
	d.isOver.Store(true)
	consumers.Wait()
	d.check(t)
	if kinds := d.pops.except("ok", "broken", "not connected", "UNAVAILABLE", "CLUSTERDOWN", "TRYAGAIN", "LOADING"); len(kinds) > 0 {
		t.Errorf("consumers were told %s", strings.Join(kinds, ", "))
	}
}
