package gossip

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	quickest     = 250 * time.Millisecond // between rounds after a change
	quick        = time.Second            // while somebody is unseen, or we are alone
	settled      = 6 * time.Second
	aliasTime    = 30 * time.Second // how long an address that answers as somebody else's is believed to
	newsTime     = 10 * time.Second // how long news are spread by streams too
	deadRetry    = 5 * time.Second  // between attempts to reach the dead that no name names
	deadPatience = time.Hour        // how long these are tried
	maxJoins     = 32               // at once
	maxGone      = 4096             // addresses remembered as no longer named
	warnAfter    = 10 * time.Second // that a named address cannot be joined
)

// A discovery resolves the names to join again and again, and joins everybody
// they name who is not among the living.
type discovery struct {
	network Network
	own     netip.AddrPort
	table   *table
	list    *memberlist.Memberlist
	logger  *slog.Logger
	wg      sync.WaitGroup // joins under way

	mu       sync.Mutex // guards the rest
	targets  []*target
	gone     map[netip.AddrPort]time.Time // address that was named -> first round that did not name it
	complete time.Time                    // when every name had been resolved
	joins    map[netip.AddrPort]*attempt
	deadTry  time.Time // when the dead were last tried
}

// An attempt is what we know of joining one address.
type attempt struct {
	running bool
	failing time.Time // since when; zero if it does not
	warned  bool
	reached time.Time // when it was last joined
}

func newDiscovery(network Network, targets []*target, own netip.AddrPort, t *table,
	list *memberlist.Memberlist, logger *slog.Logger,
) *discovery {
	return &discovery{
		network: network,
		own:     own,
		table:   t,
		list:    list,
		logger:  logger,
		targets: targets,
		gone:    make(map[netip.AddrPort]time.Time),
		joins:   make(map[netip.AddrPort]*attempt),
	}
}

// run works in rounds until the context ends: quick ones after news and while
// somebody is missing, slow ones otherwise.
func (d *discovery) run(ctx context.Context) {
	defer d.wg.Wait()
	var before []netip.AddrPort
	wait := quickest
	for {
		missing, done := d.round(ctx)
		switch {
		case done:
			wait = settled
		case !slices.Equal(missing, before):
			wait = quickest
		default:
			wait = min(quick, wait*3/2)
		}
		before = missing
		if !d.pause(ctx, wait) {
			return
		}
	}
}

// pause waits about as long as it is told, or, when a member is lost, until
// the quickest next round. It reports whether to go on.
func (d *discovery) pause(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(jitter(wait))
	defer timer.Stop()
	lost := d.table.lost
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case <-lost:
			timer.Reset(jitter(min(wait, quickest)))
			lost = nil
		}
	}
}

// round resolves all names and starts to join whoever is missing. It reports
// who that is, and whether nobody is.
func (d *discovery) round(ctx context.Context) (missing []netip.AddrPort, done bool) {
	d.resolve(ctx)
	now := time.Now()
	live := d.live()
	isAlone := len(live) < 2 && len(d.targets) > 0
	d.mu.Lock()
	missing = d.unseenLocked(live, now)
	calls := slices.Concat(missing, d.table.returned(), d.deadLocked(live, now))
	hasNews := now.Sub(d.table.news()) < newsTime
	if hasNews {
		calls = append(calls, d.anybody(live)...)
	}
	d.pruneLocked()
	d.mu.Unlock()

	for _, addr := range calls {
		d.join(ctx, addr)
	}
	return missing, len(missing) == 0 && !isAlone && !hasNews
}

// resolve asks for all names at once. A name that cannot be resolved keeps the
// addresses that it had.
func (d *discovery) resolve(ctx context.Context) {
	type answer struct {
		addrs []netip.AddrPort
		err   error
	}
	answers := make([]answer, len(d.targets))
	var wg sync.WaitGroup
	for i, t := range d.targets {
		wg.Go(func() { answers[i].addrs, answers[i].err = t.lookup(ctx, d.network) })
	}
	wg.Wait()

	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	before := d.namedLocked()
	for i, t := range d.targets {
		if t.err = answers[i].err; t.err == nil {
			t.addrs, t.resolved = answers[i].addrs, now
		}
	}
	d.noteGoneLocked(before, now)
}

// noteGoneLocked remembers since when addresses are not named any more.
func (d *discovery) noteGoneLocked(before []netip.AddrPort, now time.Time) {
	if d.complete.IsZero() && !d.resolvedLocked().IsZero() {
		d.complete = now
	}
	named := d.namedLocked()
	for _, addr := range before {
		if !slices.Contains(named, addr) {
			d.gone[addr] = now
		}
	}
	for _, addr := range named {
		delete(d.gone, addr)
	}
	for len(d.gone) > maxGone {
		oldest := netip.AddrPort{}
		for addr, since := range d.gone {
			if !oldest.IsValid() || since.Before(d.gone[oldest]) {
				oldest = addr
			}
		}
		delete(d.gone, oldest)
	}
}

// namedLocked returns all addresses that are named, sorted.
func (d *discovery) namedLocked() []netip.AddrPort {
	var named []netip.AddrPort
	for _, t := range d.targets {
		named = append(named, t.addrs...)
	}
	slices.SortFunc(named, netip.AddrPort.Compare)
	return slices.Compact(named)
}

// resolvedLocked is the time up to which every name's addresses are known, or
// zero.
func (d *discovery) resolvedLocked() time.Time {
	if len(d.targets) == 0 {
		return time.Time{}
	}
	return slices.MinFunc(d.targets, func(a, b *target) int { return a.resolved.Compare(b.resolved) }).resolved
}

// live returns the gossip addresses of the living, our own too.
func (d *discovery) live() map[netip.AddrPort]bool {
	live := map[netip.AddrPort]bool{d.own: true}
	for _, m := range d.table.list() {
		if m.State == Alive {
			live[m.GossipAddr()] = true
		}
	}
	return live
}

// unseenLocked returns those named who are not among the living. An address
// that is nobody's but was joined is another one of somebody we see: of two
// families, or behind a translation.
func (d *discovery) unseenLocked(live map[netip.AddrPort]bool, now time.Time) []netip.AddrPort {
	members := make(map[netip.AddrPort]bool)
	for _, m := range d.table.list() {
		members[m.GossipAddr()] = true
	}
	return slices.DeleteFunc(d.namedLocked(), func(addr netip.AddrPort) bool {
		a := d.joins[addr]
		isAlias := a != nil && !members[addr] && now.Sub(a.reached) < aliasTime
		return live[addr] || isAlias
	})
}

// anybody returns one of the living but us. memberlist sends news a few times,
// as packets, and repairs what was missed after half a minute or more; an
// exchange with somebody in every round spreads them in seconds.
func (d *discovery) anybody(live map[netip.AddrPort]bool) []netip.AddrPort {
	delete(live, d.own)
	others := slices.Collect(maps.Keys(live))
	if len(others) == 0 {
		return nil
	}
	i := rand.IntN(len(others))
	return others[i : i+1]
}

// deadLocked returns now and then the addresses of the newest dead: after a
// partition nobody may be named any more but those on this side.
func (d *discovery) deadLocked(live map[netip.AddrPort]bool, now time.Time) []netip.AddrPort {
	if now.Sub(d.deadTry) < deadRetry {
		return nil
	}
	d.deadTry = now
	dead := slices.DeleteFunc(d.table.list(), func(m Member) bool {
		return m.State != Dead || now.Sub(m.Since) > deadPatience || live[m.GossipAddr()]
	})
	slices.SortFunc(dead, func(a, b Member) int { return b.Since.Compare(a.Since) })
	var addrs []netip.AddrPort
	for _, m := range dead[:min(len(dead), maxJoins)] {
		addrs = append(addrs, m.GossipAddr())
	}
	return addrs
}

// pruneLocked forgets attempts at addresses that nothing names any more.
func (d *discovery) pruneLocked() {
	named := d.namedLocked()
	for addr, a := range d.joins {
		if !a.running && !slices.Contains(named, addr) {
			delete(d.joins, addr)
		}
	}
}

// join exchanges all that is known with whoever is at an address, unless that
// is under way, or too much is.
func (d *discovery) join(ctx context.Context, addr netip.AddrPort) {
	d.mu.Lock()
	defer d.mu.Unlock()
	running := 0
	for _, a := range d.joins {
		if a.running {
			running++
		}
	}
	a := d.joins[addr]
	if a == nil {
		a = new(attempt)
		d.joins[addr] = a
	}
	if a.running || running >= maxJoins || ctx.Err() != nil {
		return
	}
	a.running = true
	d.wg.Go(func() {
		_, err := d.list.Join([]string{addr.String()})
		d.joined(ctx, addr, a, err)
	})
}

// joined notes how an attempt ended, and warns once of an address that cannot
// be joined for long: another key, a wrong port, a record of the past.
func (d *discovery) joined(ctx context.Context, addr netip.AddrPort, a *attempt, err error) {
	now := time.Now()
	d.mu.Lock()
	a.running = false
	named := slices.Contains(d.namedLocked(), addr)
	isNew := err == nil && named && now.Sub(a.reached) >= aliasTime
	switch {
	case err == nil:
		*a = attempt{reached: now}
	case a.failing.IsZero():
		a.failing = now
	}
	warn := err != nil && named && !a.warned && now.Sub(a.failing) >= warnAfter && ctx.Err() == nil
	a.warned = a.warned || warn
	d.mu.Unlock()
	if warn {
		d.logger.Warn("a node that is named cannot be joined",
			slog.String("address", addr.String()), slog.Any("error", err))
	}
	if isNew {
		signal(d.table.changed) // it may have been an alias, which the view no longer calls unseen
	}
}

// A View is what DNS, or rather the list of whom to join, says.
type View struct {
	Named    []netip.AddrPort // gossip addresses at each name's last successful resolution, sorted; our own too
	Unseen   []netip.AddrPort // of these, those at which no living member is
	Complete time.Time        // when every name had been resolved once; zero if that was not yet
	Err      error            // why names could not be resolved last time; their last known addresses count

	resolved time.Time // up to when all names' addresses are known
	gone     map[netip.AddrPort]time.Time
}

// Absent returns how long an address has not been named, as far as is known:
// time in which a name cannot be resolved does not count.
func (v View) Absent(addr netip.AddrPort) time.Duration {
	if v.Complete.IsZero() || slices.Contains(v.Named, addr) {
		return 0
	}
	since, found := v.gone[addr]
	if !found {
		since = v.Complete
	}
	return max(0, v.resolved.Sub(since))
}

// view returns the present one.
func (d *discovery) view() View {
	live := d.live()
	d.mu.Lock()
	defer d.mu.Unlock()
	v := View{
		Named:    d.namedLocked(),
		Unseen:   d.unseenLocked(live, time.Now()),
		Complete: d.complete,
		resolved: d.resolvedLocked(),
		gone:     maps.Clone(d.gone),
	}
	var errs []error
	for _, t := range d.targets {
		errs = append(errs, t.err)
	}
	v.Err = errors.Join(errs...)
	return v
}

func jitter(d time.Duration) time.Duration {
	return d*3/4 + rand.N(d/2)
}
