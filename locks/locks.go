// Package locks is locks that a whole cluster agrees on: exclusive, shared,
// and for n holders at a time, each with one queue that is served first come,
// first served, on whichever node one came.
//
//	lock, err := node.Locks().Acquire(ctx, "nightly", locks.Options{TTL: 10 * time.Second, Wait: time.Minute})
//	if errors.Is(err, locks.ErrNotAcquired) {
//		return nil // somebody else does it
//	}
//	if err != nil {
//		return err
//	}
//	defer lock.Release(ctx)
//	work(lock.Token(), lock.Lost())
//
// A lock is a lease: it ends by itself when its time to live has passed and
// nobody has renewed it, so that a holder that dies blocks nobody for longer.
// The library renews the locks that [Locks.Acquire] has returned, all that are
// due in one command, until they are released.
//
// Whoever was paused for longer than the lease does not know that the lock is
// another's by now. [Lock.Lost] is closed by then, counted from before the
// lease was asked for; but nothing can keep a paused holder from finishing a
// write that it had begun. So every lock has a token, a number that only
// grows, over all locks and for the life of the cluster: what the lock
// protects must refuse a token lower than one that it has seen. [Fence] does
// that in memory, and its example does it in a database.
package locks

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
)

// Bounds of what is asked for.
const (
	MaxSlots = 1000                 // holders of a lock at a time, unless it is shared
	MaxName  = 1024                 // bytes of a name, which has one at least
	MaxOwner = 1024                 // bytes of an owner
	MaxTTL   = 366 * 24 * time.Hour // of a lease, and of a wait that is not without end

	// MaxWaiters is how many may wait for one lock. Whoever comes when as many
	// wait gets machine.ErrOverloaded.
	MaxWaiters = 10_000
)

// DefaultTTL is the time to live of a lease for which none is given.
const DefaultTTL = 10 * time.Second

// Forever is an Options.Wait as long as the context lives.
const Forever time.Duration = -1

var (
	// ErrNotAcquired means that others had the lock for all of the time that
	// the call would wait. Errors that wrap it are of type NotAcquiredError.
	ErrNotAcquired = errors.New("the lock was not to be had in time")
	// ErrLost means that the lease is not held: it was released, or its time
	// has passed, or it never was.
	ErrLost = errors.New("the lease is not held")
	// ErrInvalid means that a name, a lease or an option cannot be.
	ErrInvalid = errors.New("invalid lock")
	// ErrClosed means that this node is stopping and waits for nothing any
	// more. The lock was not acquired.
	ErrClosed = errors.New("this node is stopping")
)

// Options say how a lock is to be had.
type Options struct {
	TTL    time.Duration // how long the lease lasts unless it is renewed; DefaultTTL if zero. Whole milliseconds count
	Wait   time.Duration // how long to wait for it; not at all if zero, Forever if negative
	Owner  string        // shown to those who ask who has it
	Shared bool          // beside any number of others who share it
	Slots  int           // how many may have it at a time; 1 if zero

	// Idem makes a call that is repeated with the same key and options within
	// ten minutes the same call: it gets the same lease, or none, which is
	// ErrNotAcquired, if that has ended or the call has been taken back.
	// Repetitions may overlap: the request stays while one of them wants it.
	Idem string
}

func (o Options) withDefaults() Options {
	if o.TTL == 0 {
		o.TTL = DefaultTTL
	}
	if o.Slots == 0 {
		o.Slots = 1
	}
	return o
}

func (o Options) validate(name string) error {
	switch {
	case len(o.Owner) > MaxOwner:
		return fmt.Errorf("%w: an owner of %d bytes is longer than %d", ErrInvalid, len(o.Owner), MaxOwner)
	case o.Slots < 1 || o.Slots > MaxSlots:
		return fmt.Errorf("%w: slots must be from 1 to %d", ErrInvalid, MaxSlots)
	case o.Shared && o.Slots > 1:
		return fmt.Errorf("%w: it is shared or has slots, not both", ErrInvalid)
	case o.Wait > MaxTTL:
		return fmt.Errorf("%w: a wait must not be over %s", ErrInvalid, MaxTTL)
	}
	return errors.Join(validateName(name), validateTTL(o.TTL))
}

func validateName(name string) error {
	if name == "" || len(name) > MaxName {
		return fmt.Errorf("%w: a name must have 1 to %d bytes", ErrInvalid, MaxName)
	}
	return nil
}

func validateTTL(ttl time.Duration) error {
	if ttl < time.Millisecond || ttl > MaxTTL {
		return fmt.Errorf("%w: a time to live must be from 1ms to %s", ErrInvalid, MaxTTL)
	}
	return nil
}

// request makes what goes into the log. The id of a call that may be repeated
// is that of all its repetitions.
func (o Options) request(name string) acquisition {
	a := acquisition{slots: uint32(o.Slots), ttl: o.TTL, wait: o.Wait, name: name, owner: o.Owner}
	if o.Shared {
		a.slots = 0
	}
	if o.Wait < 0 {
		a.wait = forever
	}
	if o.Idem != "" {
		sum := sha256.Sum256(append(a.encode(), o.Idem...))
		copy(a.id[:], sum[:])
	} else {
		_, _ = rand.Read(a.id[:]) // never fails
	}
	return a
}

// A Holder has a lock, or shares it.
type Holder struct {
	Owner  string        // as it called itself
	Token  uint64        // fencing token; 0 where the lock is just being handed over
	Left   time.Duration // until the lease ends, unless it is renewed
	Shared bool
	Slots  int // how many may hold the lock, in this holder's eyes; 0 where it is shared
}

// Info is how a lock stands.
type Info struct {
	Holders []Holder // a thousand at most
	Waiters int
}

// A NotAcquiredError says who has the lock instead.
type NotAcquiredError struct {
	Name   string
	Holder Holder // zero where it is not known
}

func (e *NotAcquiredError) Error() string {
	if e.Holder == (Holder{}) {
		return fmt.Sprintf("lock %q: %v", e.Name, ErrNotAcquired)
	}
	owner := "somebody"
	if e.Holder.Owner != "" {
		owner = fmt.Sprintf("%q", e.Holder.Owner)
	}
	return fmt.Sprintf("lock %q: %v: %s has it, for another %s unless it is renewed",
		e.Name, ErrNotAcquired, owner, e.Holder.Left.Round(time.Millisecond))
}

// Unwrap returns ErrNotAcquired.
func (e *NotAcquiredError) Unwrap() error { return ErrNotAcquired }

// A Lease is a lock as the log knows it, which whoever holds it must renew.
type Lease struct {
	Name  string
	ID    uint64        // to renew and release it with
	Token uint64        // fencing token: higher than that of whoever had a lock before
	Left  time.Duration // that the holder may count on, from when the call returned
	asked time.Time     // from when on the lease counts, or earlier
	until time.Time     // when Left is over, on this machine's monotonic clock
}

// Locks are the locks of one cluster, as one node sees them. Its methods may
// be called at once.
type Locks struct {
	log         machine.Log
	unsubscribe func()
	wake        chan struct{} // holds a token while there may be work
	closing     chan struct{} // closed by Close
	ctx         context.Context
	cancel      context.CancelFunc // ends what Close would wait for too long
	wg          sync.WaitGroup     // the goroutine that keeps what is held, and those that leaderships have

	mu        sync.Mutex // guards what follows
	isClosed  bool
	isEnded   bool // the keeper has gone
	waiting   map[requestID][]*attempt
	held      map[uint64]*Lock // by lease; those that are renewed
	next      time.Time        // when the keeper looks at those next; zero if it does not
	discarded []discard        // to be taken back
}

// New returns the locks that a log is about. Close stops its goroutine.
func New(log machine.Log) *Locks {
	l := &Locks{
		log:     log,
		wake:    make(chan struct{}, 1),
		closing: make(chan struct{}),
		waiting: map[requestID][]*attempt{},
		held:    map[uint64]*Lock{},
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.unsubscribe = log.Subscribe(l.hear)
	l.wg.Go(l.keep)
	return l
}

// closeTime bounds how long Close tries to give back what is held.
const closeTime = 2 * time.Second

// Close releases the locks that Acquire has returned, and ends the calls that
// wait, with ErrClosed, when their places are given up. It tries that for two
// seconds at most; where no quorum is reached leases end by themselves. What needs
// no waiting still works: leases can be acquired where they are free, renewed
// and released. Closing again does nothing.
func (l *Locks) Close() {
	l.mu.Lock()
	if !l.isClosed {
		l.isClosed = true
		close(l.closing)
		for _, lock := range l.held {
			l.loseLocked(lock)
		}
	}
	l.mu.Unlock()
	late := time.AfterFunc(closeTime, l.cancel)
	defer late.Stop()
	l.signal()
	l.wg.Wait()
	l.unsubscribe()
}

// AcquireLease acquires a lock that the caller renews by itself. Errors are
// ErrInvalid, a NotAcquiredError, those of the log and the context's. Unless
// there is none, the lease is not held and will not be: what an answer that
// was lost may have granted is taken back.
func (l *Locks) AcquireLease(ctx context.Context, name string, o Options) (Lease, error) {
	o = o.withDefaults()
	if err := o.validate(name); err != nil {
		return Lease{}, err
	}
	lease, err := l.acquire(ctx, name, o)
	if err == nil && ctx.Err() != nil && o.Idem == "" {
		// Whoever asked has gone, and would not release it. With a key they
		// may come again and ask for the answer.
		l.discard(discard{lease: holding{name: name, lease: lease.ID}})
		err = ctx.Err()
	}
	if err != nil {
		return Lease{}, err
	}
	return lease, nil
}

// Renew makes a lease last for another ttl from now, and returns how much of
// that its holder may count on, from when it called. It may be repeated. The
// error is ErrLost where the lease is not held. It is machine.ErrFull, and the
// lease is as it was, where one of a day or less would last longer than that
// while the replicated state is nearly full.
func (l *Locks) Renew(ctx context.Context, name string, lease uint64, ttl time.Duration) (left time.Duration, err error) {
	if err := errors.Join(validateName(name), validateTTL(ttl)); err != nil {
		return 0, err
	}
	answer, err := l.prolong(ctx, kindRenew, holding{name, lease, ttl}, "")
	switch {
	case err != nil:
		return 0, err
	case answer == isTooLong:
		return 0, fmt.Errorf("renewing lock %q: %w", name, machine.ErrFull)
	case answer < leftBase:
		return 0, fmt.Errorf("renewing lock %q: %w", name, ErrLost)
	}
	return short(time.Duration(answer - leftBase)), nil
}

// Release gives a lease back, and reports whether it was held. With an
// idempotency key, idem, a call that is repeated within ten minutes has the
// same answer; empty means none.
func (l *Locks) Release(ctx context.Context, name string, lease uint64, idem string) (wasHeld bool, err error) {
	if err := validateName(name); err != nil {
		return false, err
	}
	answer, err := l.prolong(ctx, kindRelease, holding{name: name, lease: lease}, idem)
	return answer == isReleased, err
}

func (l *Locks) prolong(ctx context.Context, kind byte, h holding, idem string) (answer uint64, err error) {
	reply, err := l.do(ctx, machine.Item{Data: encodeHoldings(kind, h), Frees: true, Idem: idem})
	if err != nil {
		return 0, err
	}
	r := &reader{data: reply}
	answer = r.uvarint()
	return answer, r.done()
}

// do has one command executed.
func (l *Locks) do(ctx context.Context, item machine.Item) ([]byte, error) {
	replies, _, err := l.log.Do(ctx, item)
	if err != nil {
		return nil, err
	}
	return replies[0].Data, replies[0].Err
}

// Info returns how a lock stands, linearizably.
func (l *Locks) Info(ctx context.Context, name string) (Info, error) {
	if err := validateName(name); err != nil {
		return Info{}, err
	}
	reply, _, err := l.log.Query(ctx, machine.Linearizable, encodeInfo(name))
	if err != nil {
		return Info{}, err
	}
	r := &reader{data: reply}
	info := r.info()
	return info, r.done()
}

// short is what the holder of a lease may count on: its clock may run slower
// than the cluster's, by less than a thousandth.
func short(d time.Duration) time.Duration { return d - d/1000 }
