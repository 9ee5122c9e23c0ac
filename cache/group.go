package cache

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
)

// A Loader makes the values of a group.
type Loader interface {
	// Load makes the value of a key. ErrNotFound, wrapped or not, says that
	// there is none; of the value then only its TTL and NoStore count.
	Load(ctx context.Context, key string) (Value, error)
}

// A LoaderFunc is a function that is a Loader.
type LoaderFunc func(ctx context.Context, key string) (Value, error)

// Load calls f.
func (f LoaderFunc) Load(ctx context.Context, key string) (Value, error) { return f(ctx, key) }

// A Value is what a Loader makes.
type Value struct {
	Bytes   []byte
	Type    string        // media type, for HTTP clients; any bytes where it is empty
	TTL     time.Duration // how long it is good; the group's where it is 0
	Stale   time.Duration // how long after that it is still served; the group's where it is 0, not at all below
	Tags    []string      // by which it can be invalidated
	NoStore bool          // it is given to those on this node who wait for it, and not kept
}

// GroupConfig says how a group makes and keeps its values.
type GroupConfig struct {
	Loader   Loader        // makes what is missing
	TTL      time.Duration // how long a value is good; a minute
	Early    time.Duration // how long before that it is made anew, while it is still served; a tenth of TTL
	Stale    time.Duration // how long after that it is still served, while somebody makes it anew; 0: not
	Negative time.Duration // how long it is remembered that there is none; 0: not
	Timeout  time.Duration // of the loader; 30 seconds
}

const (
	// rightTime is how long a group's right to make a value lasts if nobody
	// renews it: its node has died.
	rightTime = 3 * time.Second
	// failureWait is how long a value that is due is not tried again once its
	// loader has failed.
	failureWait = time.Second
	// attempts is how often a value is made for all that is void by the time
	// it is there. Then each caller makes its own.
	attempts = 3
)

// A Group is values that are made where they are missing: by one caller in the
// whole cluster, for all. It must be configured alike on all nodes.
type Group struct {
	name   string
	cache  *Cache
	config atomic.Pointer[GroupConfig] // what holds now; replaced under cache.mu
	own    *GroupConfig                // of this node alone, nil where it has none; guarded by cache.mu
	remote *GroupConfig                // of the log, which goes before; guarded by cache.mu

	mu      sync.Mutex        // guards what follows
	fetches map[string]*fetch // under way on this node, by key
	begun   uint64            // how many have been begun
}

// Group returns a group by its name, made by the first call. Later ones get
// the same, whatever they configure. Where the cluster has a loader over HTTP
// for it (see SetLoader), that makes its values instead.
func (c *Cache) Group(name string, config GroupConfig) (*Group, error) {
	if err := (place{name, "any"}).check(); err != nil {
		return nil, err
	}
	if config.Loader == nil {
		return nil, fmt.Errorf("%w: group %s has no loader", ErrInvalid, name)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.groupLocked(name)
	if g.own == nil {
		config = config.withDefaults()
		g.own = &config
		c.configureLocked(g)
	}
	return g, nil
}

func (c GroupConfig) withDefaults() GroupConfig {
	if c.TTL <= 0 {
		c.TTL = time.Minute
	}
	if c.Early <= 0 || c.Early > c.TTL {
		c.Early = c.TTL / 10
	}
	if c.Timeout <= 0 {
		c.Timeout = 30 * time.Second
	}
	return c
}

// isLoaded reports whether a group makes its values.
func (c *Cache) isLoaded(group string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.groups[group] != nil
}

// Get returns the value of a key: from this node where it is here, else from
// the node that owns it, else from the loader. ErrNotFound means that there is
// none; other errors are the loader's, or the context's.
//
// Where the cluster has no quorum nothing is known to be good, and every call
// runs the loader.
func (g *Group) Get(ctx context.Context, key string) ([]byte, error) {
	e, err := g.find(ctx, key)
	if err != nil {
		return nil, err
	}
	return e.copy()
}

func (g *Group) find(ctx context.Context, key string) (*entry, error) {
	now := time.Now()
	if v := g.cache.seat.view(); v.isLeased(now) {
		if e, found := g.cache.store.get(place{g.name, key}, now); found {
			if !e.isFresh(now) || now.Sub(v.asked) > leaseEarly {
				g.attend(ctx, key, e.isFresh(now))
			}
			return e, nil
		}
	}
	return g.miss(ctx, key)
}

// attend does what a hit found to be due.
func (g *Group) attend(ctx context.Context, key string, isFresh bool) {
	g.cache.seat.renew()
	if !isFresh {
		g.fetch(ctx, key)
	}
}

// copy returns the caller's own copy of a value.
func (e *entry) copy() ([]byte, error) {
	if e.isNegative {
		return nil, ErrNotFound
	}
	return bytes.Clone(e.value), nil
}

// miss gets a value that is not here.
func (g *Group) miss(ctx context.Context, key string) (*entry, error) {
	if err := (place{g.name, key}).check(); err != nil {
		return nil, err
	}
	before := g.fetchesBegun()
	for range attempts {
		f := g.fetch(ctx, key)
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		switch {
		case f.loadErr != nil:
			return nil, f.loadErr
		case f.err != nil:
			return g.alone(ctx, key)
		case f.number > before || g.isGood(ctx, key, f):
			return f.entry, nil
		}
	}
	return g.alone(ctx, key)
}

func (g *Group) fetchesBegun() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.begun
}

// isGood reports whether nothing that a value depends on has been invalidated,
// as far as that was answered before now. The fetch that brought it has begun
// before this call, and perhaps before such an invalidation.
func (g *Group) isGood(ctx context.Context, key string, f *fetch) bool {
	_, err := g.cache.seat.lease(ctx)
	return err == nil && g.cache.store.allows(place{g.name, key}, f.entry) && g.cache.seat.resets.Load() == f.resets
}

// alone makes a value for one caller, who came before it was begun.
func (g *Group) alone(ctx context.Context, key string) (*entry, error) {
	config := g.config.Load()
	ctx, cancel := context.WithTimeout(ctx, config.Timeout)
	defer cancel()
	v, err := g.load(ctx, config, key)
	i, err := g.item(config, v, err, 0)
	if err != nil {
		return nil, err
	}
	return i.entry(time.Now()), nil
}

// A fetch gets a value for all callers of this node who want it.
type fetch struct {
	number  uint64        // of its group's
	resets  uint64        // of the seat, when it began: an index of before another reset may be of another log
	isSpare bool          // the callers have a value already, that is due to be renewed
	done    chan struct{} // closed when what follows is set
	entry   *entry
	loadErr error // of the loader
	err     error // of the cache
}

// fetch joins the fetch of a key that is under way, or begins one. It goes on
// without whoever began it.
func (g *Group) fetch(ctx context.Context, key string) *fetch {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f := g.fetches[key]; f != nil {
		return f
	}
	g.begun++
	f := &fetch{number: g.begun, resets: g.cache.seat.resets.Load(), done: make(chan struct{})}
	g.fetches[key] = f
	values := context.WithoutCancel(ctx)                       // of the first caller: tracing, for example
	isBegun := g.cache.work.begin(func(over context.Context) { // ends with the loader's time
		ctx, cancel := context.WithTimeout(values, g.config.Load().Timeout+callTime)
		defer cancel()
		defer context.AfterFunc(over, cancel)()
		g.run(ctx, key, f)
	})
	if !isBegun {
		f.err = errNoSeat
		delete(g.fetches, key)
		close(f.done)
	}
	return f
}

// finish lets the callers go on.
func (g *Group) finish(key string, f *fetch) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.fetches[key] == f {
		delete(g.fetches, key)
		close(f.done)
	}
}

// run asks the owner, and makes the value if that falls to this node.
func (g *Group) run(ctx context.Context, key string, f *fetch) {
	defer g.finish(key, f)
	p := place{g.name, key}
	asked := time.Now()
	var a answer
	for a.outcome = outMiss; a.outcome == outMiss && f.err == nil; {
		asked = time.Now()
		a, f.err = g.ask(ctx, p)
	}
	switch {
	case f.err != nil:
	case a.outcome == outHit:
		f.entry = a.item.entry(asked)
		g.cache.near(p, f)
	case a.isStale:
		f.entry = a.item.entry(asked)
		g.finish(key, f)
		g.make(ctx, key, &fetch{resets: f.resets, isSpare: true}, Right{Number: a.right, Born: a.born})
	default:
		g.make(ctx, key, f, Right{Number: a.right, Born: a.born})
	}
}

// ask asks the owner once, which waits for a while if somebody makes the value
// already. Where no owner answers for longer than that, it is of no use.
func (g *Group) ask(ctx context.Context, p place) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	return g.cache.ask(ctx, &getRequest{place: p, claim: rightTime, mayBeStale: true, wait: left(ctx)})
}

// make runs the loader with the right to do so, and puts what it has made.
func (g *Group) make(ctx context.Context, key string, f *fetch, r Right) {
	p := place{g.name, key}
	config, err := g.asOf(ctx, r.Born)
	if err != nil {
		f.err = err
		_ = g.cache.extend(ctx, p, r, 0) // or its time ends it
		return
	}
	loading, cancel := context.WithTimeout(ctx, config.Timeout)
	defer cancel()
	stop := g.cache.hold(loading, p, r)
	v, err := g.load(loading, config, key)
	stop()
	i, err := g.item(config, v, err, r.Born)
	switch {
	case err != nil && f.isSpare:
		f.loadErr = err
		_ = g.cache.extend(ctx, p, r, failureWait) // nobody waits: let others not try at once
		return
	case err != nil:
		f.loadErr = err
		_ = g.cache.extend(ctx, p, r, 0)
		return
	}
	f.entry = i.entry(time.Now())
	if v.NoStore || i.isNegative && i.end == 0 {
		_ = g.cache.extend(ctx, p, r, 0)
		return
	}
	// Whether it is kept or not it has been made. The callers judge it.
	if g.cache.put(ctx, &putRequest{place: p, right: r.Number, item: i}) == nil {
		g.cache.near(p, f)
	}
}

// load calls the loader. One that panics has failed.
func (g *Group) load(ctx context.Context, config *GroupConfig, key string) (v Value, err error) {
	g.cache.loads.Add(1)
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the loader of group %s panicked: %v", g.name, p)
		}
	}()
	return config.Loader.Load(ctx, key)
}

// item is what a loader's result is kept as.
func (g *Group) item(config *GroupConfig, v Value, err error, born uint64) (item, error) {
	if errors.Is(err, ErrNotFound) {
		lasts := cmp.Or(v.TTL, config.Negative)
		return item{isNegative: true, born: born, fresh: lasts, end: lasts}, nil
	}
	if err != nil {
		return item{}, err
	}
	if len(v.Bytes) > g.cache.config.MaxValue {
		return item{}, machine.ErrTooBig
	}
	i := item{value: v.Bytes, mediaType: v.Type, born: born, tags: v.Tags}
	if !v.NoStore {
		ttl := v.TTL
		if ttl <= 0 {
			ttl = config.TTL
		}
		i.fresh = ttl - min(config.Early, ttl/2)
		i.end = ttl + max(cmp.Or(v.Stale, config.Stale), 0)
	}
	return i, nil
}

// Invalidate makes void what this group has cached: see Cache.Invalidate.
func (g *Group) Invalidate(ctx context.Context, s Scope) error {
	return g.cache.Invalidate(ctx, g.name, s)
}

// hold makes a right last until stop is called or the context ends.
func (c *Cache) hold(ctx context.Context, p place, r Right) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { // ends with the context
		defer close(done)
		for {
			pause(ctx, rightTime/3)
			if ctx.Err() != nil || c.extend(ctx, p, r, rightTime) != nil {
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// near keeps a copy of a value that another node owns. If it is not asked for
// again soon it is the first to go.
func (c *Cache) near(p place, f *fetch) {
	self, _ := c.peers.Self()
	c.seat.gate.RLock()
	defer c.seat.gate.RUnlock()
	if c.seat.resets.Load() == f.resets && c.seat.view().ring().owner(p.ringKey()) != self {
		f.entry.isNear = true
		c.store.put(p, f.entry)
	}
}
