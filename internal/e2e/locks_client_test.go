package e2e

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/huddlecache/huddle/internal/respclient"
)

// A lockRecorder collects what clients do with locks and with what these
// protect, and what they see of them.
type lockRecorder struct {
	recorder // its clock, its choice of nodes and its tally

	guard   sync.Mutex // guards what follows
	history lockHistory
	highest map[string]int64 // what is protected by a lock -> the highest token it has seen
}

func newLockRecorder() *lockRecorder {
	return &lockRecorder{recorder: recorder{begin: time.Now()}, highest: make(map[string]int64)}
}

func (r *lockRecorder) now() time.Duration { return time.Since(r.begin) }

// write writes to what a lock protects, with the token of a hold. That is one
// step, at one time, so that it is certain whether the lock was held then.
func (r *lockRecorder) write(h *hold) (accepted bool) {
	r.guard.Lock()
	defer r.guard.Unlock()
	w := fencedWrite{name: h.name, token: h.token, certain: h.released == 0 && r.now() < h.end}
	w.accepted = w.token >= r.highest[w.name]
	r.highest[w.name] = max(r.highest[w.name], w.token)
	r.history.writes = append(r.history.writes, w)
	return w.accepted
}

func (r *lockRecorder) held(h *hold) {
	r.guard.Lock()
	defer r.guard.Unlock()
	r.history.holds = append(r.history.holds, h)
}

func (r *lockRecorder) saw(s sighting) {
	r.guard.Lock()
	defer r.guard.Unlock()
	r.history.sightings = append(r.history.sightings, s)
}

// A lockClient is one client of some locks.
type lockClient struct {
	r      *lockRecorder
	caller *caller
	id     int
	random *rand.Rand
}

func (r *lockRecorder) client(w *world, id int, seed uint64) *lockClient {
	c := newCaller(w, id)
	c.timeout = 15 * time.Second
	return &lockClient{r: r, caller: c, id: id, random: rand.New(rand.NewPCG(seed, uint64(id)))}
}

// any is a node drawn at random, seldom one that is disturbed.
func (c *lockClient) any() *node { return c.r.choose(c.random, c.caller.w) }

// A wish is for a lock.
type wish struct {
	name  string
	slots int // 0: shared
	ttl   time.Duration
	wait  time.Duration
}

// acquire asks for a lock through a node. It returns nil where that was not
// had, or is not known.
func (c *lockClient) acquire(n *node, o wish) *hold {
	h := &hold{name: o.name, slots: o.slots, client: c.id, asked: c.r.now()}
	args := []string{"LOCK.ACQUIRE", o.name, "PX", millis(o.ttl), "OWNER", strconv.Itoa(c.id)}
	if o.wait > 0 {
		args = append(args, "WAIT", millis(o.wait))
	}
	switch o.slots {
	case 0:
		args = append(args, "SHARED")
	case 1:
	default:
		args = append(args, "SLOTS", strconv.Itoa(o.slots))
	}
	reply, err := c.caller.on(n, args...)
	h.from = c.r.now()
	c.r.told.add(err)
	if err != nil || reply == nil {
		return nil
	}
	var left int64
	if _, err := scan(reply, &h.lease, &h.token, &left); err != nil {
		c.r.told.add(respclient.Error("MALFORMED " + err.Error()))
		return nil
	}
	h.end = h.asked + time.Duration(left)*time.Millisecond
	c.r.held(h)
	return h
}

// renew renews a lease. Where it is had for another while, what it may count
// on is counted from before it was asked for.
func (c *lockClient) renew(n *node, h *hold, ttl time.Duration) {
	asked := c.r.now()
	reply, err := c.caller.on(n, "LOCK.RENEW", h.name, h.lease, "PX", millis(ttl))
	c.r.told.add(err)
	switch {
	case err != nil:
	case reply == int64(1):
		h.end = max(h.end, asked+ttl-ttl/1000)
	default:
		h.deniedBefore = c.r.now()
	}
}

// release gives a lease back.
func (c *lockClient) release(n *node, h *hold) {
	h.released = c.r.now()
	reply, err := c.caller.on(n, "LOCK.RELEASE", h.name, h.lease)
	c.r.told.add(err)
	if err == nil && reply == int64(0) {
		h.deniedBefore = c.r.now()
	}
}

// look asks who holds a lock.
func (c *lockClient) look(n *node, name string) (s sighting, waiters int64, err error) {
	s = sighting{name: name, call: c.r.now()}
	reply, err := c.caller.on(n, "LOCK.INFO", name)
	s.ret = c.r.now()
	c.r.told.add(err)
	if err != nil {
		return s, 0, err
	}
	var holders []any
	if _, err := scan(reply, &holders, &waiters); err != nil {
		return s, 0, err
	}
	for _, holder := range holders {
		var owner string
		var token, left, slots int64
		if _, err := scan(holder, &owner, &token, &left, &slots); err != nil {
			return s, 0, err
		}
		s.tokens, s.slots = append(s.tokens, token), append(s.slots, int(slots))
	}
	c.r.saw(s)
	return s, waiters, nil
}

// scan reads an array of strings, numbers and arrays.
func scan(reply any, into ...any) (n int, err error) {
	array, ok := reply.([]any)
	if !ok || len(array) != len(into) {
		return 0, fmt.Errorf("got %v, want %d elements", reply, len(into))
	}
	for i, element := range array {
		ok := false
		switch to := into[i].(type) {
		case *string:
			*to, ok = element.(string)
		case *int64:
			*to, ok = element.(int64)
		case *[]any:
			*to, ok = element.([]any)
		}
		if !ok {
			return i, fmt.Errorf("got %v for element %d of %v", element, i, reply)
		}
	}
	return len(into), nil
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
