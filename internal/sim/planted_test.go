package sim_test

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/clustertest"
	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/internal/sim"
)

// These are faults that the checkers must catch: each a wrapper around the log
// that clients use, or around the machine that is replicated.

// localReads answers linearizable reads by the local replica.
type localReads struct{ machine.Log }

func (l localReads) Query(ctx context.Context, c machine.Consistency, query []byte) ([]byte, machine.Stamp, error) {
	if c == machine.Linearizable {
		c = machine.Local
	}
	return l.Log.Query(ctx, c, query)
}

// oldReads forgets what a session has seen.
type oldReads struct{ machine.Log }

func (l oldReads) Query(ctx context.Context, c machine.Consistency, query []byte) ([]byte, machine.Stamp, error) {
	if c.IsLocal() {
		c = machine.Local
	}
	return l.Log.Query(ctx, c, query)
}

// retries loses the answer to a command in five, and sends it again.
type retries struct {
	machine.Log
	calls *atomic.Int64
}

func (l retries) Do(ctx context.Context, items ...machine.Item) ([]machine.Reply, machine.Stamp, error) {
	if l.calls.Add(1)%5 == 0 {
		_, _, _ = l.Log.Do(ctx, items...)
	}
	return l.Log.Do(ctx, items...)
}

// forgetful sends commands twice, and without their idempotency keys.
type forgetful struct{ machine.Log }

func (l forgetful) Do(ctx context.Context, items ...machine.Item) ([]machine.Reply, machine.Stamp, error) {
	for i := range items {
		items[i].Idem = ""
	}
	if _, _, err := l.Log.Do(ctx, items...); err != nil {
		return nil, machine.Stamp{}, err
	}
	return l.Log.Do(ctx, items...)
}

// denier says of some commands that were applied that they were not.
type denier struct {
	machine.Log
	calls *atomic.Int64
}

func (l denier) Do(ctx context.Context, items ...machine.Item) ([]machine.Reply, machine.Stamp, error) {
	replies, stamp, err := l.Log.Do(ctx, items...)
	if err == nil && l.calls.Add(1)%10 == 0 {
		return nil, machine.Stamp{}, machine.ErrNoQuorum
	}
	return replies, stamp, err
}

// liar acknowledges some commands that it never sent.
type liar struct {
	machine.Log
	calls *atomic.Int64
}

func (l liar) Do(ctx context.Context, items ...machine.Item) ([]machine.Reply, machine.Stamp, error) {
	if len(items) == 1 && bytes.Contains(items[0].Data, []byte("APPEND")) && l.calls.Add(1)%5 == 0 {
		return []machine.Reply{{Data: []byte(":7\r\n")}}, machine.Stamp{}, nil
	}
	return l.Log.Do(ctx, items...)
}

// torn sends each item of a pipeline by itself.
type torn struct{ machine.Log }

func (l torn) Do(ctx context.Context, items ...machine.Item) (replies []machine.Reply, stamp machine.Stamp, err error) {
	for _, item := range items {
		one, at, err := l.Log.Do(ctx, item)
		if err != nil {
			return nil, at, err
		}
		time.Sleep(50 * time.Millisecond)
		replies, stamp = append(replies, one...), at
	}
	return replies, stamp, nil
}

// hasty lets everything expire after half of its time.
type hasty struct {
	machine.Machine
	lead time.Duration
}

func (m hasty) Query(at machine.Stamp, query []byte) []byte {
	at.Lease += m.lead
	return m.Machine.Query(at, query)
}

// ghosts shows what has expired again some time later.
type ghosts struct {
	machine.Log
	mu   *sync.Mutex
	seen map[string][]byte // query -> the reply that it had while there was something
	n    *int
}

func (l ghosts) Query(ctx context.Context, c machine.Consistency, query []byte) ([]byte, machine.Stamp, error) {
	reply, stamp, err := l.Log.Query(ctx, c, query)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil || !bytes.Contains(query, []byte("ends:")) || !bytes.Contains(query, []byte("GET")) {
		return reply, stamp, err
	}
	if bytes.HasPrefix(reply, []byte("$-1")) {
		*l.n++
		if old := l.seen[string(query)]; old != nil && *l.n%3 == 0 {
			return old, stamp, nil
		}
		return reply, stamp, nil
	}
	l.seen[string(query)] = reply
	return reply, stamp, nil
}

// partial is a machine that loses a command in eleven, on one node only.
type partial struct {
	machine.Machine
	applied *int
}

func (m partial) Apply(tx *machine.Tx, cmd []byte) []byte {
	if *m.applied++; *m.applied%11 == 0 && bytes.Contains(cmd, []byte("APPEND")) {
		return []byte(":1\r\n")
	}
	return m.Machine.Apply(tx, cmd)
}

// restless is a machine that always has something due.
type restless struct {
	machine.Machine
	began *bool
}

// restlessKey is no key of the keyspace.
var restlessKey = []byte{255}

func (m restless) Apply(tx *machine.Tx, cmd []byte) []byte {
	if !*m.began {
		*m.began = true
		tx.Deadline(restlessKey, 0, tx.Lease+time.Second)
	}
	return m.Machine.Apply(tx, cmd)
}

func (m restless) Expire(tx *machine.Tx, key []byte) {
	if bytes.Equal(key, restlessKey) {
		tx.Deadline(restlessKey, 0, tx.Lease+time.Second)
		return
	}
	m.Machine.Expire(tx, key)
}

// garbled changes a byte of some replies.
type garbled struct {
	machine.Log
	calls *atomic.Int64
}

func (l garbled) Query(ctx context.Context, c machine.Consistency, query []byte) ([]byte, machine.Stamp, error) {
	reply, stamp, err := l.Log.Query(ctx, c, query)
	if err == nil && l.calls.Add(1)%50 == 0 {
		return []byte("-ERR syntax error\r\n"), stamp, nil
	}
	return reply, stamp, err
}

func TestCheckersCatchPlantedFaults(t *testing.T) {
	on := func(wrap func(machine.Log) machine.Log) func(machine.Log, *clustertest.Pod) machine.Log {
		return func(l machine.Log, _ *clustertest.Pod) machine.Log { return wrap(l) }
	}
	calls := &atomic.Int64{}
	nodes := &atomic.Int64{}
	for _, tt := range []struct {
		fault string
		check func(*sim.History) error
		o     sim.Options
	}{
		{"linearizable reads are answered locally", sim.CheckLinearizable, sim.Options{
			Log: on(func(l machine.Log) machine.Log { return localReads{l} }),
		}},
		{"sessions are forgotten", sim.CheckSessions, sim.Options{
			Log: on(func(l machine.Log) machine.Log { return oldReads{l} }),
		}},
		{"what may have been applied is sent again", sim.CheckOnce, sim.Options{
			Calm: true, Rounds: 3,
			Log: on(func(l machine.Log) machine.Log { return retries{l, calls} }),
		}},
		{"idempotency keys are ignored", sim.CheckCounted, sim.Options{
			Calm: true, Rounds: 3,
			Log: on(func(l machine.Log) machine.Log { return forgetful{l} }),
		}},
		{"what was applied is denied", sim.CheckRefused, sim.Options{
			Calm: true, Rounds: 3,
			Log: on(func(l machine.Log) machine.Log { return denier{l, calls} }),
		}},
		{"what was not applied is acknowledged", sim.CheckOnce, sim.Options{
			Calm: true, Rounds: 3,
			Log: on(func(l machine.Log) machine.Log { return liar{l, calls} }),
		}},
		{"pipelines are torn", sim.CheckTogether, sim.Options{
			Calm: true, Rounds: 8,
			Log: on(func(l machine.Log) machine.Log { return torn{l} }),
		}},
		{"values expire early", sim.CheckExpiry, sim.Options{
			Calm: true, Rounds: 4,
			Machine: func(m machine.Machine) machine.Machine { return hasty{m, 100 * time.Millisecond} },
		}},
		{"values expire late", sim.CheckExpiry, sim.Options{
			Calm: true, Rounds: 4,
			Machine: func(m machine.Machine) machine.Machine { return hasty{m, -time.Hour} },
		}},
		{"expired values come back", sim.CheckExpiry, sim.Options{
			Calm: true, Rounds: 6,
			Log: on(func(l machine.Log) machine.Log {
				return ghosts{l, &sync.Mutex{}, map[string][]byte{}, new(int)}
			}),
		}},
		{"one node loses commands", sim.CheckReplicas, sim.Options{
			Calm: true, Rounds: 3,
			Machine: func(m machine.Machine) machine.Machine {
				if nodes.Add(1) != 2 {
					return m
				}
				return partial{m, new(int)}
			},
		}},
		{"something is always due", sim.CheckIdle, sim.Options{
			Calm: true, Rounds: 3,
			Machine: func(m machine.Machine) machine.Machine { return restless{m, new(bool)} },
		}},
		{"replies are garbled", sim.CheckAnswers, sim.Options{
			Calm: true, Rounds: 3,
			Log: on(func(l machine.Log) machine.Log { return garbled{l, calls} }),
		}},
	} {
		t.Run(strings.ReplaceAll(tt.fault, " ", "-"), func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(8) {
				tt.o.Seed, tt.o.Hurry = seed+1, tt.fault != "something is always due"
				if err := tt.check(sim.Run(t, tt.o)); err != nil {
					t.Logf("seed %d: %.300v", tt.o.Seed, err)
					return
				}
			}
			t.Error("not caught")
		})
	}
}
