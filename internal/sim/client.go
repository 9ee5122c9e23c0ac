package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/huddlecache/huddle/cluster"
	"github.com/huddlecache/huddle/cluster/machine"
)

const (
	largeSize  = 300 << 10        // of a value that travels in a lane of its own, in bytes
	epochTime  = 10 * time.Second // after which clients turn to other keys, so that each key's story is short
	idemKeys   = 2
	thinkMost  = 250 * time.Millisecond
	clientTime = 5 * time.Second // in which a node must answer, without being paused
)

// A seat is where clients are served: a pod's log, while the pod runs.
type seat struct {
	pod  string
	node *cluster.Node
	log  machine.Log
	open chan struct{} // closed while the pod is not paused
}

// seats are where clients are served now.
type seats struct {
	mu   sync.Mutex // guards list
	list []*seat
}

func (s *seats) set(list []*seat) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = list
}

func (s *seats) all() []*seat {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list
}

// pause holds back the answers of a pod until resume.
func (s *seats) pause(pod string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, at := range s.list {
		if at.pod != pod {
			continue
		}
		select {
		case <-at.open:
			at.open = make(chan struct{})
		default: // it is paused already
		}
	}
}

func (s *seats) resume(pod string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, at := range s.list {
		if at.pod == pod {
			select {
			case <-at.open:
			default:
				close(at.open)
			}
		}
	}
}

// wait waits while a pod is paused.
func (s *seats) wait(ctx context.Context, at *seat) {
	s.mu.Lock()
	open := at.open
	s.mu.Unlock()
	select {
	case <-open:
	case <-ctx.Done():
	}
}

// A client asks one thing after another, of one pod until it turns to another.
type client struct {
	id     int
	random *rand.Rand
	seats  *seats
	rec    *recorder
	at     *seat
	made   int           // operations so far, makes values unique
	floor  machine.Stamp // what its session has seen
	owed   []*Op         // to be repeated until answered
	watch  []*Op         // values with a deadline that it looks at
}

// run asks until done is closed, and then until nothing is owed.
func (c *client) run(ctx context.Context, done <-chan struct{}) {
	for ctx.Err() == nil {
		isDone := false
		select {
		case <-done:
			isDone = true
		default:
		}
		if isDone && len(c.owed) == 0 {
			return
		}
		c.sit()
		if c.at == nil {
			c.think(ctx, thinkMost)
			continue
		}
		if c.random.IntN(2) == 0 {
			c.seats.wait(ctx, c.at) // asks at the moment of waking
		}
		if isDone {
			c.repay(ctx)
		} else {
			c.ask(ctx)
		}
		c.think(ctx, thinkMost)
	}
}

// sit chooses a pod.
func (c *client) sit() {
	list := c.seats.all()
	for _, at := range list {
		if at == c.at && c.random.IntN(12) > 0 {
			return
		}
	}
	c.at = nil
	if len(list) > 0 {
		c.at = list[c.random.IntN(len(list))]
	}
}

func (c *client) think(ctx context.Context, most time.Duration) {
	t := time.NewTimer(time.Duration(c.random.Int64N(int64(most))))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// op makes an operation.
func (c *client) op(kind Kind, key string) *Op {
	c.made++
	o := &Op{Client: c.id, Kind: kind, Key: key, Level: Linearizable}
	if kind == Set || kind == SetNX || kind == Append {
		o.Arg = fmt.Sprintf("c%d.%d;", c.id, c.made)
	}
	return o
}

// now appends the time to a key's name, and a number below n.
func (c *client) now(name string, n int) string {
	return fmt.Sprintf("%s:%d:%d", name, int(c.rec.age()/epochTime), c.random.IntN(n))
}

// ask asks something.
func (c *client) ask(ctx context.Context) {
	switch n := c.random.IntN(100); {
	case n < 45:
		c.do(ctx, c.onRegister())
	case n < 55:
		c.do(ctx, c.op(Append, c.now("list", 1)))
	case n < 63:
		c.pipeline(ctx)
	case n < 64:
		o := c.op(Set, c.now("large", 1))
		o.Size = largeSize
		c.do(ctx, o)
	case n < 65:
		c.do(ctx, c.op(Get, c.now("large", 1)))
	case n < 74:
		c.expire(ctx)
	case n < 80:
		c.idem(ctx)
	default:
		c.look(ctx)
	}
}

// onRegister is an operation on a register or a counter.
func (c *client) onRegister() *Op {
	key := c.now("register", 3)
	switch n := c.random.IntN(16); {
	case n < 5:
		return c.op(Get, key)
	case n < 8:
		return c.op(Set, key)
	case n < 10:
		o := c.op(Set, key)
		o.TTL = time.Duration(20+c.random.IntN(1500)) * time.Millisecond
		return o
	case n < 12:
		return c.op(SetNX, key)
	case n < 13:
		return c.op(GetDel, key)
	case n < 15:
		return c.op(Incr, c.now("counter", 1))
	default:
		return c.op(Get, c.now("counter", 1))
	}
}

// pipeline sends several operations together.
func (c *client) pipeline(ctx context.Context) {
	register, counter := c.now("register", 3), c.now("counter", 1)
	ops := []*Op{c.op(Set, register), c.op(Get, register), c.op(Incr, counter), c.op(Get, counter), c.op(Get, register)}
	from := c.random.IntN(len(ops) - 1)
	if ops = ops[from:]; c.random.IntN(2) == 0 {
		ops = ops[:len(ops)-1]
	}
	c.do(ctx, ops...)
}

// expire sets a value of its own that ends, or looks at one.
func (c *client) expire(ctx context.Context) {
	if len(c.watch) == 0 || c.random.IntN(4) == 0 {
		o := c.op(Set, fmt.Sprintf("ends:%d.%d", c.id, c.made))
		o.TTL = time.Duration(50+c.random.IntN(4000)) * time.Millisecond
		c.watch = append(c.watch, o)
		c.do(ctx, o)
		return
	}
	i := c.random.IntN(len(c.watch))
	o := c.watch[i]
	kind := Get
	if c.random.IntN(3) == 0 {
		kind = PTTL
	}
	q := c.op(kind, o.Key)
	if c.random.IntN(4) == 0 {
		q.Level = AtLeast
	}
	c.do(ctx, q)
	if c.rec.age() > o.Sent+2*o.TTL+5*time.Second {
		c.watch = append(c.watch[:i], c.watch[i+1:]...)
	}
}

// idem counts under a key of its own, and counts again until it is answered.
func (c *client) idem(ctx context.Context) {
	o := c.op(Incr, fmt.Sprintf("idem:%d", c.random.IntN(idemKeys)))
	o.Idem = fmt.Sprintf("i%d.%d", c.id, c.made)
	c.owed = append(c.owed, o)
	c.repay(ctx)
}

// repay repeats what is owed.
func (c *client) repay(ctx context.Context) {
	o := c.owed[0]
	again := &Op{Client: c.id, Kind: o.Kind, Key: o.Key, Idem: o.Idem, Level: Linearizable}
	c.do(ctx, again)
	if again.Outcome == Done {
		c.owed = c.owed[1:]
	} else {
		c.owed = append(c.owed[1:], o)
	}
}

// look reads what only grows, at any level.
func (c *client) look(ctx context.Context) {
	key := c.now("counter", 1)
	if c.random.IntN(2) == 0 {
		key = c.now("list", 1)
	}
	o := c.op(Get, key)
	o.Level = []Level{Linearizable, AtLeast, AtLeast, AtLeast, Local}[c.random.IntN(5)]
	c.do(ctx, o)
}

// do sends operations together and waits for their answers.
func (c *client) do(ctx context.Context, ops ...*Op) {
	at := c.at
	for _, o := range ops {
		o.Pod, o.Floor = at.pod, c.floor
	}
	ctx, cancel := context.WithTimeout(ctx, clientTime)
	defer cancel()
	c.rec.call(ops...)
	if len(ops) == 1 && ops[0].IsRead() {
		c.query(ctx, at, ops[0])
	} else {
		c.execute(ctx, at, ops)
	}
	c.seats.wait(context.WithoutCancel(ctx), at)
	c.rec.answered(ops...)
}

func (c *client) query(ctx context.Context, at *seat, o *Op) {
	level := machine.Linearizable
	switch o.Level {
	case AtLeast:
		level = machine.AtLeast(c.floor.Cluster, c.floor.Index)
	case Local:
		level = machine.Local
	}
	data, stamp, err := at.log.Query(ctx, level, o.command())
	o.answer(machine.Reply{Data: data, Err: err})
	c.saw(o, stamp)
}

func (c *client) execute(ctx context.Context, at *seat, ops []*Op) {
	items := make([]machine.Item, len(ops))
	for i, o := range ops {
		items[i] = o.item()
	}
	replies, stamp, err := at.log.Do(ctx, items...)
	for i, o := range ops {
		if err != nil {
			o.fail(err)
			continue
		}
		o.answer(replies[i])
		c.saw(o, stamp)
	}
}

// saw notes how far the session has seen.
func (c *client) saw(o *Op, stamp machine.Stamp) {
	if o.Outcome != Done {
		return
	}
	o.Stamp = stamp
	if o.Level != Local && (stamp.Cluster != c.floor.Cluster || stamp.Index > c.floor.Index) {
		c.floor = stamp
	}
}
