package cache

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/huddlecache/huddle/cache/internal/origin"
	"github.com/huddlecache/huddle/cluster/machine"
)

// An HTTPLoader says from where the values of a group are fetched: the
// application itself. The key goes to the end of the URL's path, or in place of
// {key}, percent-encoded; a key with a part . or .. is ErrInvalid.
//
// 200 is a value, whose media type is kept with it. 404 and 410 are ErrNotFound,
// all else is ErrLoader. The answer's Cache-Control goes before the times here:
// max-age or s-maxage, less the Age, is its TTL, and stale-while-revalidate how
// long it may be stale; with no-store, no-cache or private it is for those on
// the node who wait for it. Surrogate-Key and Cache-Tag are its tags.
type HTTPLoader struct {
	URL      string        // of http or https
	TTL      time.Duration // of what says nothing of its own; a minute
	Stale    time.Duration // how long after that it is still served, while it is fetched anew; 0: not
	Negative time.Duration // how long it is remembered that there is none; 0: not
}

// ValidateLoader returns why a group cannot have a loader, nil if it can.
func ValidateLoader(group string, l HTTPLoader) error {
	if err := (place{group, "any"}).check(); err != nil {
		return err
	}
	if _, err := origin.Parse(l.URL); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if min(l.TTL, l.Stale, l.Negative) < 0 {
		return fmt.Errorf("%w: a time below zero", ErrInvalid)
	}
	return nil
}

// config is how a group with such a loader is configured.
func (l HTTPLoader) config(client *origin.Client) *GroupConfig {
	f := &fetcher{client: client, from: l}
	f.address, f.err = origin.Parse(l.URL)
	c := GroupConfig{Loader: f, TTL: l.TTL, Stale: l.Stale, Negative: l.Negative}.withDefaults()
	return &c
}

// A fetcher is the Loader that an HTTPLoader is.
type fetcher struct {
	client  *origin.Client
	from    HTTPLoader
	address origin.Address
	err     error // why there is no address
}

// Load implements Loader.
func (f *fetcher) Load(ctx context.Context, key string) (Value, error) {
	if f.err != nil {
		return Value{}, fmt.Errorf("%w: %w", ErrLoader, f.err)
	}
	a, err := f.client.Get(ctx, f.address, key)
	switch {
	case errors.Is(err, origin.ErrKey):
		return Value{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	case err != nil:
		return Value{}, fmt.Errorf("%w: %w", ErrLoader, err)
	}
	v := Value{Bytes: a.Body, Type: a.Type, TTL: a.Policy.TTL, Stale: a.Policy.Stale, NoStore: a.Policy.NoStore, Tags: a.Tags}
	if a.IsMissing {
		return v, ErrNotFound
	}
	if len(v.Tags) > maxTags {
		return Value{}, fmt.Errorf("%w: its value has %d tags, and %d are the most", ErrLoader, len(v.Tags), maxTags)
	}
	if err := checkTags(v.Tags); err != nil {
		return Value{}, fmt.Errorf("%w: %w", ErrLoader, err)
	}
	return v, nil
}

// fetcher returns the loader over HTTP of a group, nil where it has none.
func (c *GroupConfig) fetcher() *fetcher {
	f, _ := c.Loader.(*fetcher)
	return f
}

// IsLoaderRequest reports whether an HTTP request is one of a loader, by its
// CDN-Loop (RFC 8586).
func IsLoaderRequest(cdnLoop string) bool {
	for via := range strings.SplitSeq(cdnLoop, ",") {
		if name, _, _ := strings.Cut(strings.TrimSpace(via), ";"); name == origin.Loop {
			return true
		}
	}
	return false
}

// maxLoaders is how many groups can have a loader through SetLoader. It keeps
// the state small; where several nodes set one at once there may be some more.
const maxLoaders = 1000

// SetLoader has the values of a group fetched over HTTP, on all nodes, until
// another loader is set; none, which has no URL, gives the group back to what
// each node has been configured with. Once it has returned nil, no node serves
// what another URL has brought. ErrUnknown means that it may have been done.
func (c *Cache) SetLoader(ctx context.Context, group string, l HTTPLoader) error {
	cmd := command{op: opLoader, loader: remote{group, l}}
	if l.URL == "" {
		if err := (place{group, "any"}).check(); err != nil {
			return err
		}
		return c.change(ctx, cmd, true)
	}
	if err := ValidateLoader(group, l); err != nil {
		return err
	}
	if c.countRemote() >= maxLoaders {
		return fmt.Errorf("%w: %d groups have a loader, and more cannot", ErrInvalid, maxLoaders)
	}
	return c.change(ctx, cmd, false)
}

// HTTPLoader returns the loader over HTTP that a group has on this node.
func (c *Cache) HTTPLoader(group string) (l HTTPLoader, found bool) {
	if g := c.remote.Load().groups[group]; g != nil {
		if f := g.config.Load().fetcher(); f != nil {
			return f.from, true
		}
	}
	return l, false
}

// countRemote returns how many groups have a loader through the log.
func (c *Cache) countRemote() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, g := range c.groups {
		if g.remote != nil {
			n++
		}
	}
	return n
}

// Item is Get with what is known of the value. A context that ends while the
// value is fetched is an ErrLoader too.
func (g *Group) Item(ctx context.Context, key string) (Item, error) {
	e, err := g.find(ctx, key)
	switch {
	case err != nil && ctx.Err() != nil && !errors.Is(err, ErrLoader):
		return Item{}, fmt.Errorf("%w in time: %w", ErrLoader, err)
	case err != nil:
		return Item{}, err
	case e.isNegative:
		return Item{}, ErrNotFound
	}
	i := itemOf(e, time.Now())
	return i.whole(), nil
}

// whole is an item as callers see it.
func (i *item) whole() Item { return Item{Value: i.value, TTL: i.end, Tags: i.tags, Type: i.mediaType} }

// remoteGroups are the groups with a loader over HTTP, as a node knows them.
// They are never changed, but replaced.
type remoteGroups struct {
	groups  map[string]*Group
	isKnown bool          // what the log says of them; else it is being read
	changed chan struct{} // closed when there are others
}

// openLoaders takes the loaders of this node's configuration.
func (c *Cache) openLoaders() {
	c.origin = origin.NewClient(c.config.MaxValue, c.config.Transport)
	c.stirred = make(chan struct{}, 1)
	c.remote.Store(&remoteGroups{changed: make(chan struct{})})
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, text := range c.config.Loaders {
		g := c.groupLocked(name)
		g.own = HTTPLoader{URL: text}.config(c.origin)
		c.configureLocked(g)
	}
	c.publishLocked(false)
	c.stirred <- struct{}{}
}

// groupLocked returns a group, which the caller configures where it is new.
func (c *Cache) groupLocked(name string) *Group {
	g := c.groups[name]
	if g == nil {
		g = &Group{name: name, cache: c, fetches: map[string]*fetch{}}
		c.groups[name] = g
	}
	return g
}

// configureLocked has a group go by the configuration that goes first. One that
// has none any more is forgotten; who has it still goes on by the last one.
func (c *Cache) configureLocked(g *Group) {
	switch {
	case g.remote != nil:
		g.config.Store(g.remote)
	case g.own != nil:
		g.config.Store(g.own)
	default:
		delete(c.groups, g.name)
	}
}

// setRemoteLocked takes what the log says of a group.
func (c *Cache) setRemoteLocked(r remote) {
	if r.URL == "" && c.groups[r.group] == nil {
		return
	}
	g := c.groupLocked(r.group)
	g.remote = nil
	if r.URL != "" {
		g.remote = r.config(c.origin)
	}
	c.configureLocked(g)
}

// publishLocked lets everybody see which groups have a loader over HTTP.
func (c *Cache) publishLocked(isKnown bool) {
	next := &remoteGroups{groups: map[string]*Group{}, isKnown: isKnown, changed: make(chan struct{})}
	for name, g := range c.groups {
		if g.config.Load().fetcher() != nil {
			next.groups[name] = g
		}
	}
	close(c.remote.Swap(next).changed)
}

// hearLoader takes a change that the log tells of.
func (c *Cache) hearLoader(key []byte) {
	r, err := decodeRemote(key)
	if err != nil {
		return // of a later release, at whose level this one has stopped
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stirs++
	c.setRemoteLocked(r)
	c.publishLocked(c.remote.Load().isKnown)
}

// forgetLoaders has the loaders of the log read again: any may have changed.
func (c *Cache) forgetLoaders() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stirs++
	c.publishLocked(false)
	select {
	case c.stirred <- struct{}{}:
	default:
	}
}

// keepLoaders reads the loaders of the log whenever that is due, until the
// context ends.
func (c *Cache) keepLoaders(ctx context.Context) {
	for {
		select {
		case <-c.stirred:
		case <-ctx.Done():
			return
		}
		for ctx.Err() == nil && c.readLoaders(ctx) != nil {
			pause(ctx, 5*retryWait)
		}
	}
}

// errStirred means that something was changed while it was read.
var errStirred = errors.New("the loaders have changed meanwhile")

// readLoaders takes what this node's replica says. It need not be the last
// word: what comes later is heard of.
func (c *Cache) readLoaders(ctx context.Context) error {
	c.mu.Lock()
	stirs := c.stirs
	c.mu.Unlock()
	data, _, err := c.log.Query(ctx, machine.Local, command{op: opLoaders}.encode())
	if err != nil {
		return err
	}
	list, err := decodeRemotes(data)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stirs != stirs {
		return errStirred
	}
	for name, g := range c.groups {
		if g.remote != nil {
			c.setRemoteLocked(remote{group: name})
		}
	}
	for _, r := range list {
		c.setRemoteLocked(r)
	}
	c.publishLocked(true)
	return nil
}

// knownLoaders waits until this node knows what the log says of loaders.
func (c *Cache) knownLoaders(ctx context.Context) (*remoteGroups, error) {
	r := c.remote.Load()
	if r.isKnown {
		return r, nil
	}
	ctx, cancel := bound(ctx)
	defer cancel()
	for {
		select {
		case <-r.changed:
		case <-ctx.Done():
			return nil, unanswered(ctx, machine.ErrLoading)
		}
		if r = c.remote.Load(); r.isKnown {
			return r, nil
		}
	}
}

// remoteGroup returns a group that has a loader over HTTP, nil where it has
// none.
func (c *Cache) remoteGroup(ctx context.Context, group string) (*Group, error) {
	r, err := c.knownLoaders(ctx)
	if err != nil {
		return nil, err
	}
	return r.groups[group], nil
}

// asOf returns how a group makes its values, as the log had it at an index at
// least. A node that is behind would bring what a former loader makes, with the
// right of one that is not.
func (g *Group) asOf(ctx context.Context, index uint64) (*GroupConfig, error) {
	if g.config.Load().fetcher() == nil {
		return g.config.Load(), nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	_, cluster := g.cache.peers.Self()
	if err := g.cache.peers.Reach(ctx, cluster, index); err != nil {
		return nil, fmt.Errorf("%w: %w", machine.ErrLoading, err)
	}
	if _, err := g.cache.knownLoaders(ctx); err != nil {
		return nil, err
	}
	return g.config.Load(), nil
}
