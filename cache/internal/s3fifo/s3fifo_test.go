package s3fifo_test

import (
	"slices"
	"sync"
	"testing"

	"github.com/huddlecache/huddle/cache/internal/s3fifo"
)

// A cache is the owner of an index in these tests: names with sizes, no values.
type cache struct {
	index *s3fifo.Index[string]
	nodes map[string]*s3fifo.Node[string]
}

func newCache(bound int64) *cache {
	return &cache{s3fifo.New[string](bound), make(map[string]*s3fifo.Node[string])}
}

// add makes room for an entry, adds it, and returns what had to go for it.
func (c *cache) add(name string, size int64) (evicted []string) {
	evicted = c.evict(size)
	n := &s3fifo.Node[string]{Value: name}
	if c.index.Added(n, hashOf(name), size) {
		c.nodes[name] = n
	}
	return evicted
}

// evict makes room for need bytes and returns what had to go for it.
func (c *cache) evict(need int64) (evicted []string) {
	for n := c.index.Victim(need); n != nil; n = c.index.Victim(need) {
		delete(c.nodes, n.Value)
		evicted = append(evicted, n.Value)
	}
	return evicted
}

// use counts n hits on an entry.
func (c *cache) use(name string, n int) {
	for range n {
		c.nodes[name].Used()
	}
}

func (c *cache) holds(name string) bool { return c.nodes[name] != nil }

func hashOf(name string) uint64 {
	var key uint32
	for _, b := range []byte(name) {
		key = key*131 + uint32(b)
	}
	return mix(key)
}

func wantNames(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got evicted %q, want %q", got, want)
	}
}

func TestEntriesLeaveInOrderOfArrival(t *testing.T) {
	c := newCache(3)
	for _, name := range []string{"a", "b", "c"} {
		wantNames(t, c.add(name, 1))
	}
	wantNames(t, c.add("d", 2), "a", "b")
}

func TestTwoUsesTakeAnEntryToTheMainQueue(t *testing.T) {
	c := newCache(3)
	c.add("once", 1)
	c.add("twice", 1)
	c.add("never", 1)
	c.use("once", 1)
	c.use("twice", 2)
	wantNames(t, c.add("x", 1), "once")
	wantNames(t, c.add("y", 1), "never")
	wantNames(t, c.add("z", 1), "x")
	if !c.holds("twice") {
		t.Error("an entry used twice was evicted with those used once")
	}
}

func TestEvictedEntryComesBackToTheMainQueue(t *testing.T) {
	c := newCache(4)
	for _, name := range []string{"a", "b", "c", "d"} {
		c.add(name, 1)
	}
	wantNames(t, c.add("e", 1), "a")
	wantNames(t, c.add("a", 1), "b") // a was remembered
	for _, name := range []string{"f", "g", "h", "i", "j"} {
		c.add(name, 1)
	}
	if !c.holds("a") {
		t.Error("an entry that had come back was evicted with those that had not")
	}
}

func TestRemovedEntryIsNotRemembered(t *testing.T) {
	c := newCache(4)
	c.add("a", 1)
	c.index.Removed(c.nodes["a"])
	c.index.Removed(c.nodes["a"]) // no harm
	for _, name := range []string{"a", "b", "c", "d"} {
		c.add(name, 1)
	}
	wantNames(t, c.add("e", 1), "a")
}

// Where every entry was used, the search for a victim is cut short: it spares a
// thousand and takes the next.
func TestVictimIsFoundWithinAThousandSteps(t *testing.T) {
	const entries = 5000
	x := s3fifo.New[int](entries)
	nodes := make([]s3fifo.Node[int], entries)
	for i := range nodes {
		nodes[i].Value = i
		x.Added(&nodes[i], mix(uint32(i)), 1)
	}
	useAll := func() {
		for i := range nodes {
			nodes[i].Used()
			nodes[i].Used()
		}
	}
	next := func() int { return x.Victim(entries - x.Bytes() + 1).Value }

	useAll()
	// The small queue moves to the main queue until it has only its share; the
	// last victim is the main queue's oldest, not used since it got there.
	got := []int{next(), next(), next(), next(), next()}
	if want := []int{1000, 2001, 3002, 4003, 0}; !slices.Equal(got, want) {
		t.Errorf("got victims %v, want %v", got, want)
	}
	useAll()
	// In the main queue are now 1 to 999, 1001 and so on.
	if got := next(); got != 1002 {
		t.Errorf("got victim %d of the main queue, want 1002", got)
	}
}

func TestOversizedEntryIsNotAdmittedAndEvictsNothing(t *testing.T) {
	c := newCache(10)
	c.add("a", 10)
	wantNames(t, c.add("large", 11))
	if c.holds("large") || !c.holds("a") {
		t.Errorf("got large %v and a %v, want only a", c.holds("large"), c.holds("a"))
	}
	if got := c.index.Bytes(); got != 10 {
		t.Errorf("got %d bytes, want 10", got)
	}
}

func TestEntryOfTheWholeBoundIsAdmitted(t *testing.T) {
	c := newCache(10)
	c.add("a", 4)
	c.add("b", 4)
	wantNames(t, c.add("large", 10), "a", "b")
	if !c.holds("large") {
		t.Fatal("an entry as large as the bound was not admitted")
	}
	wantNames(t, c.add("c", 1), "large")
}

func TestEntryThatOutgrowsTheBoundIsTakenOut(t *testing.T) {
	c := newCache(10)
	c.add("a", 5)
	n := c.nodes["a"]
	if !c.index.Resized(n, 10) {
		t.Error("an entry of the whole bound was taken out")
	}
	if c.index.Resized(n, 11) {
		t.Error("an entry larger than the bound was kept")
	}
	if c.index.Resized(n, 1) {
		t.Error("resizing brought back an entry that was taken out")
	}
	if c.index.Len() != 0 || c.index.Bytes() != 0 {
		t.Errorf("got %d entries of %d bytes, want none", c.index.Len(), c.index.Bytes())
	}
}

func TestLoweredBoundEvicts(t *testing.T) {
	c := newCache(10)
	for _, name := range []string{"a", "b", "c"} {
		c.add(name, 3)
	}
	c.index.SetBound(4)
	wantNames(t, c.evict(0), "a", "b")
	c.index.SetBound(-1)
	wantNames(t, c.evict(0), "c")
	if got := c.index.Bound(); got != 0 {
		t.Errorf("got bound %d, want 0", got)
	}
}

func TestEntriesOfNoSizeAreKept(t *testing.T) {
	c := newCache(0)
	for _, name := range []string{"a", "b", "c"} {
		wantNames(t, c.add(name, 0))
	}
	if got := c.index.Len(); got != 3 {
		t.Errorf("got %d entries, want 3", got)
	}
	wantNames(t, c.add("d", 1))
}

func TestNodeCanBeAddedAgain(t *testing.T) {
	x := s3fifo.New[int](2)
	var n s3fifo.Node[int]
	for range 3 {
		x.Added(&n, 1, 2)
		n.Used()
		if got := x.Victim(1); got != &n {
			t.Fatalf("got victim %p, want %p", got, &n)
		}
	}
	x.Added(&n, 2, 1)
	defer func() {
		if recover() == nil {
			t.Error("adding a node twice did not panic")
		}
	}()
	x.Added(&n, 2, 1)
}

// Readers count hits under a read lock or none at all while a writer churns
// the index. The race detector checks the rest of the promise.
func TestUsedIsSafeForConcurrentUse(t *testing.T) {
	const entries, rounds = 64, 20_000
	x := s3fifo.New[int](entries / 2)
	nodes := make([]s3fifo.Node[int], entries)
	for i := range nodes {
		nodes[i].Value = i
	}
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for first := range 4 {
		readers.Go(func() {
			for i := first; ; i += 7 { // ends when the writer is done
				select {
				case <-stop:
					return
				default:
					nodes[i%entries].Used()
				}
			}
		})
	}
	live := make(map[int]bool)
	for i := range rounds {
		n := &nodes[i%entries]
		if live[n.Value] {
			continue
		}
		for v := x.Victim(1); v != nil; v = x.Victim(1) {
			delete(live, v.Value)
		}
		live[n.Value] = x.Added(n, mix(uint32(n.Value)), 1)
	}
	close(stop)
	readers.Wait()
	if x.Len() != len(live) || x.Bytes() != int64(len(live)) {
		t.Errorf("got %d entries of %d bytes, want %d of one byte", x.Len(), x.Bytes(), len(live))
	}
}

func TestHitsAndEvictionsDoNotAllocate(t *testing.T) {
	x := s3fifo.New[int](100)
	nodes := make([]s3fifo.Node[int], 1000)
	i := 0
	turn := func() {
		n := &nodes[i%len(nodes)]
		i++
		x.Victim(1) // one is enough, and it is added again in its turn
		x.Added(n, mix(uint32(i%len(nodes))), 1)
		n.Used()
	}
	for range nodes {
		turn()
	}
	if got := testing.AllocsPerRun(1000, turn); got != 0 {
		t.Errorf("got %v allocations per entry, want none", got)
	}
}
