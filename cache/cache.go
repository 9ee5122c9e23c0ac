// Package cache is a cache that is shared by all nodes of a cluster: each key
// is kept by the node that owns it, and asked for there by the others.
//
// The nodes that serve stand on a ring (consistent hashing), which the log
// agrees on: a key belongs to the next node behind its place. A node serves
// what it owns under a lease of two seconds, and only when every other node
// knows of the ring, or has no lease any more; so no key ever has two owners.
//
// What is cached is made void through the log, by key, by tag or as a whole,
// and every node drops it when it applies that entry. An invalidation is
// answered when each node has done so, or its lease has run out. From then on
// no value is served anywhere that was made before. A value that was being
// made meanwhile is not kept: it carries the index up to which invalidations
// were known before its making began.
//
// A [Group] makes its values by itself: where one is missing, one caller in
// the whole cluster makes it, and the others wait for it. An [HTTPLoader] is
// the same for applications that are not in this process.
//
// Memory is bounded on each node; the least useful goes first (S3-FIFO). A
// node that crashes takes its share with it. Nothing here is replicated but
// who serves, and the loaders over HTTP.
package cache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/huddlecache/huddle/cache/internal/origin"
	"github.com/huddlecache/huddle/cluster/machine"
)

// Errors of this package. Beside them methods return those of package machine
// (no quorum, for example), and the context's.
var (
	// ErrNotFound means that there is no value.
	ErrNotFound = errors.New("not in the cache")
	// ErrConflict means that a value is not kept: its key, group or one of its
	// tags was invalidated while it was made, or the right to make it was over.
	ErrConflict = errors.New("not kept: it was invalidated meanwhile, or the right to make it is over")
	// ErrTooBig means that a value is too large for the cache.
	ErrTooBig = errors.New("the value is too big for the cache")
	// ErrLoader means that a loader over HTTP has brought no value: it cannot be
	// reached, or answers something else.
	ErrLoader = errors.New("the application has not given the value")
	// ErrInvalid means that an argument makes no sense.
	ErrInvalid = errors.New("invalid argument")
)

const (
	// maxName bounds names of groups, keys and tags, in bytes.
	maxName = 1 << 10
	// maxTags bounds the tags of a value.
	maxTags = 64
	// callTime bounds a call that has no deadline of its own.
	callTime = 3 * time.Second
)

// Config says how a node takes part. The zero value serves with 256 MiB.
type Config struct {
	Bytes    int64 // most memory that this node gives; 256 MiB
	MaxValue int   // longest value in bytes; 8 MiB

	Loaders   map[string]string // URLs that groups' values are fetched from, unless SetLoader says otherwise; see HTTPLoader
	Transport http.RoundTripper // to those URLs; the machine's network
}

// A Cache is this node's part of the cache, and its door to all of it.
type Cache struct {
	config Config
	log    machine.Log
	peers  machine.Peers
	store  *store
	seat   *seat

	work                 *background   // the keeper, renewals of the lease, and values being made
	loads                atomic.Uint64 // runs of loaders
	origin               *origin.Client
	remote               atomic.Pointer[remoteGroups] // never nil; replaced under mu
	stirred              chan struct{}                // has a token when the loaders of the log are to be read
	once                 sync.Once                    // guards closing
	unsubscribe, unserve func()                       // called by Close

	mu        sync.Mutex // guards what follows
	groups    map[string]*Group
	rights    map[place]*right // of keys that this node owns
	handover  handover
	lastRight uint64
	stirs     uint64 // how often the loaders of the log have changed
}

// New returns the cache of a node, which takes its seat as soon as the node is
// in a cluster. Close it before the node leaves.
func New(log machine.Log, peers machine.Peers, config Config) *Cache {
	if config.Bytes == 0 {
		config.Bytes = 256 << 20
	}
	if config.MaxValue == 0 {
		config.MaxValue = 8 << 20
	}
	s, work := newStore(config.Bytes), newBackground()
	c := &Cache{
		config: config, log: log, peers: peers, store: s, work: work, seat: newSeat(log, peers, s, work),
		groups: map[string]*Group{}, rights: map[place]*right{}, handover: handover{arrivals: map[string]*arrival{}, changed: make(chan struct{})},
		lastRight: rand.Uint64() >> 1, // no right of another owner is one of this one
	}
	c.seat.tidy, c.seat.turn, c.seat.lose = c.tidy, c.turn, c.lose
	c.openLoaders()
	c.unsubscribe, c.unserve = log.Subscribe(c.hear), peers.Serve(c.answer)
	work.begin(c.seat.keep)
	work.begin(c.keepLoaders)
	return c
}

// hear gets the events of the log, in order.
func (c *Cache) hear(e machine.Event) {
	switch {
	case e.Reset:
		c.seat.reset()
		c.forgetLoaders()
	case e.Kind == eventLoader:
		c.hearLoader(e.Key)
	case e.Kind == eventRing:
		c.seat.hearRing(e.Index, e.Key)
	case e.Kind == eventInvalidate:
		c.seat.hearInvalidation(e.Index, e.Key)
	}
}

// tidyMost is how many entries are looked at each second for those that have
// ended.
const tidyMost = 100_000

// tidy drops what is over without being asked for.
func (c *Cache) tidy(now time.Time) {
	c.store.sweep(now, tidyMost)
	c.tidyArrivals(now)
	c.mu.Lock()
	defer c.mu.Unlock()
	for p, r := range c.rights {
		if !now.Before(r.until) {
			c.endLocked(p, r)
		}
	}
}

// Leave gives up this node's seat and hands over what it owned to those who
// own it from then on. It goes on asking them, and telling them how far it is.
//
// What is on its way to this node it lets come first, for a while.
func (c *Cache) Leave(ctx context.Context) error {
	if err := c.seat.refrain(ctx); err != nil {
		return fmt.Errorf("leaving the cache: %w", err)
	}
	c.awaitArrivals(ctx)
	if err := c.seat.leave(ctx); err != nil {
		return fmt.Errorf("leaving the cache: %w", err)
	}
	return c.parted(ctx)
}

// Ready returns nil, or why a node that has just begun should not be counted on
// yet: it has no seat, or others are still handing over what is its own now. A
// node that waits for it before another one is stopped keeps the cache warm.
func (c *Cache) Ready() error {
	self, _ := c.peers.Self()
	v := c.seat.view()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch r := v.ring(); {
	case r == nil || r.find(self) < 0 || !v.settled:
		return errNoSeat
	case len(c.handover.arrivals) > 0:
		return errArriving
	}
	return nil
}

// errArriving is why a node is not ready that has taken its seat already.
var errArriving = errors.New("the cache is still being handed over")

// Close ends this node's part. A node that stops in order leaves first.
func (c *Cache) Close() {
	c.once.Do(func() {
		c.work.stop()
		c.unserve()
		c.seat.reset() // or what was known to be good would be served for a while, though nobody listens any more
		c.unsubscribe()
		c.origin.Close()
	})
}

// An Item is a value of the cache.
type Item struct {
	Value []byte        // not to be changed
	TTL   time.Duration // what is left of it; 0 where it has no end
	Tags  []string
	Type  string // media type, as a loader gave it; empty for any bytes
}

// A Right is what a caller has who makes a value for all: nobody else gets one
// for the same key as long as it lasts.
type Right struct {
	Number uint64
	Born   uint64 // position in the log that the value must be newer than
	Left   time.Duration
}

// String returns the right as text, for ParseRight; that of the zero Right is
// empty.
func (r Right) String() string {
	if r.Number == 0 {
		return ""
	}
	return strconv.FormatUint(r.Number, 10) + "-" + strconv.FormatUint(r.Born, 10)
}

// ParseRight reads what String has made. What is left of the right is not
// part of it.
func ParseRight(s string) (r Right, err error) {
	if s == "" {
		return r, nil
	}
	number, born, _ := strings.Cut(s, "-")
	r.Number, err = strconv.ParseUint(number, 10, 64)
	if err == nil {
		r.Born, err = strconv.ParseUint(born, 10, 64)
	}
	if err != nil || r.Number == 0 {
		return Right{}, fmt.Errorf("%w: %.64q is no lease", ErrInvalid, s)
	}
	return r, nil
}

// Get returns the value that is kept under a key, or ErrNotFound.
func (c *Cache) Get(ctx context.Context, group, key string) (Item, error) {
	i, _, err := c.GetOrClaim(ctx, group, key, 0, false)
	return i, err
}

// GetOrClaim returns the value that is kept under a key. Where there is none,
// one caller in the whole cluster gets the right to make it for the given
// time, with ErrNotFound; the others wait until it is put, the right is over,
// or their context ends, which is ErrNotFound without a right. Where
// mayBeStale is set they get a value that is due to be renewed, if there is
// one, instead of waiting. A value is due at the end of its TTL, and before
// that if its group says so.
//
// Where the group has a loader over HTTP, that makes what is missing, and nobody
// gets a right; an error of its is an ErrLoader.
func (c *Cache) GetOrClaim(ctx context.Context, group, key string, claim time.Duration, mayBeStale bool) (Item, Right, error) {
	p := place{group, key}
	if err := p.check(); err != nil {
		return Item{}, Right{}, err
	}
	switch g, err := c.remoteGroup(ctx, group); {
	case err != nil:
		return Item{}, Right{}, err
	case g != nil:
		i, err := g.Item(ctx, key)
		return i, Right{}, err
	}
	ctx, cancel := bound(ctx)
	defer cancel()
	m := &getRequest{place: p, claim: claim, mayBeStale: mayBeStale, wait: left(ctx)}
	a, err := c.ask(ctx, m)
	switch {
	case err != nil:
		return Item{}, Right{}, err
	case a.outcome == outHit && !a.item.isNegative:
		return a.item.whole(), Right{}, nil
	case a.outcome == outClaimed:
		return Item{}, Right{a.right, a.born, a.left}, ErrNotFound
	}
	return Item{}, Right{}, ErrNotFound
}

// Put keeps a value under a key, for all nodes to get. With a right it is
// ErrConflict where that is over, or something the value depends on was
// invalidated since it was given.
func (c *Cache) Put(ctx context.Context, group, key string, i Item, r Right) error {
	p := place{group, key}
	if err := errors.Join(p.check(), c.checkItem(&i)); err != nil {
		return err
	}
	ctx, cancel := bound(ctx)
	defer cancel()
	if r.Number == 0 && c.isLoaded(group) {
		if err := c.Invalidate(ctx, group, Keys(key)); err != nil {
			return err // near copies of the former value would stay
		}
	}
	m := &putRequest{place: p, right: r.Number, item: item{value: i.Value, born: r.Born, end: i.TTL, fresh: i.TTL, tags: i.Tags, mediaType: i.Type}}
	return c.put(ctx, m)
}

func (c *Cache) put(ctx context.Context, m *putRequest) error {
	a, err := c.ask(ctx, m)
	switch {
	case err != nil:
		return err
	case a.outcome == outConflict:
		return ErrConflict
	case a.outcome == outTooBig:
		return ErrTooBig
	}
	return nil
}

// Yield gives a right back: the next who waits gets one.
func (c *Cache) Yield(ctx context.Context, group, key string, r Right) error {
	return c.extend(ctx, place{group, key}, r, 0)
}

// extend makes a right last from now on.
func (c *Cache) extend(ctx context.Context, p place, r Right, claim time.Duration) error {
	ctx, cancel := bound(ctx)
	defer cancel()
	a, err := c.ask(ctx, &rightRequest{place: p, right: r.Number, claim: claim})
	if err == nil && a.outcome == outConflict {
		return ErrConflict
	}
	return err
}

// Len returns how many values this node keeps.
func (c *Cache) Len() int64 { return c.store.len() }

// Bytes returns the memory that they take.
func (c *Cache) Bytes() int64 { return c.store.bytes() }

// Squeeze has this node keep no more than some bytes from now on, which may be
// less or more than Config.Bytes: for a program that knows what its memory
// really comes to.
func (c *Cache) Squeeze(bytes int64) { c.store.setBound(bytes) }

// bound gives a context without a deadline one.
func bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, has := ctx.Deadline(); has {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, callTime)
}

// left is what a context has left, a little less, so that there is time for
// the answer.
func left(ctx context.Context) time.Duration {
	until, _ := ctx.Deadline()
	d := time.Until(until)
	return max(d-min(d/10, 50*time.Millisecond), time.Millisecond)
}

func (p place) check() error {
	switch {
	case p.group == "" || len(p.group) > maxName:
		return fmt.Errorf("%w: a group's name has 1 to %d bytes", ErrInvalid, maxName)
	case p.key == "" || len(p.key) > maxName:
		return fmt.Errorf("%w: a key has 1 to %d bytes", ErrInvalid, maxName)
	}
	return nil
}

func (c *Cache) checkItem(i *Item) error {
	switch {
	case len(i.Value) > c.config.MaxValue:
		return machine.ErrTooBig
	case i.TTL < 0:
		return fmt.Errorf("%w: a time to live of %s", ErrInvalid, i.TTL)
	case len(i.Tags) > maxTags:
		return fmt.Errorf("%w: a value has %d tags at most", ErrInvalid, maxTags)
	}
	return checkTags(i.Tags)
}

func checkTags(tags []string) error {
	for _, t := range tags {
		if t == "" || len(t) > maxName {
			return fmt.Errorf("%w: a tag has 1 to %d bytes", ErrInvalid, maxName)
		}
	}
	return nil
}
