package cluster_test

import (
	"context"
	"encoding/binary"
	"io"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster"
	"github.com/huddlecache/huddle/cluster/clustertest"
	"github.com/huddlecache/huddle/cluster/machine"
)

// bellMachine keeps who waits: "wait" waits, "ring" tells all that wait. A
// query tells how many do.
type bellMachine struct{ waiting []uint64 }

func (m *bellMachine) Apply(tx *machine.Tx, cmd []byte) []byte {
	switch string(cmd) {
	case "wait":
		m.waiting = append(m.waiting, tx.Origin)
	case "ring":
		for _, origin := range m.waiting {
			tx.Emit(machine.Event{Kind: 7, Key: binary.AppendUvarint(nil, origin)})
		}
	}
	return []byte("ok")
}

func (m *bellMachine) OriginClosed(_ *machine.Tx, origin uint64) {
	m.waiting = slices.DeleteFunc(m.waiting, func(o uint64) bool { return o == origin })
}
func (m *bellMachine) Expire(*machine.Tx, []byte) {}
func (m *bellMachine) Query(machine.Stamp, []byte) []byte {
	return []byte(strconv.Itoa(len(m.waiting)))
}
func (m *bellMachine) Snapshot() io.WriterTo { return frozen(len(m.waiting)) }
func (m *bellMachine) Restore(r io.Reader) error {
	return binary.Read(r, binary.BigEndian, new(uint64))
}
func (m *bellMachine) Size() int64 { return 8 }

var bells = []cluster.Feature{{ID: 1, New: func() machine.Machine { return &bellMachine{} }}}

// A follower of an idle cluster learns from Raft up to half a second late what
// is committed: the leader says it at once.
func TestWhoWaitsIsToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(t, clustertest.Options{Features: bells})
		c.Add(3)
		c.WaitReady(20 * time.Second)
		waiter := follower(c)
		add(t, waiter, "wait")
		heard := make(chan machine.Event, 8)
		defer waiter.Node.Log(1).Subscribe(func(e machine.Event) { heard <- e })()
		time.Sleep(5 * time.Second)
		start := time.Now()
		add(t, c.Leader(), "ring")
		e := <-heard
		if took := time.Since(start); took > 50*time.Millisecond || e.Kind != 7 {
			t.Errorf("heard %+v after %s, want the ring within 50ms", e, took)
		}
	})
}

func TestWhoIsGoneWaitsNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(t, clustertest.Options{Features: bells})
		c.Add(4)
		c.WaitReady(20 * time.Second)
		waiter := follower(c)
		add(t, waiter, "wait")
		c.Kill(waiter)
		c.Wait(20*time.Second, "nobody waits", func() bool {
			return sum(t, c.Pods()[0], machine.Linearizable) == "0"
		})
	})
}

// How far a server is behind was once judged by what it had a second ago: no
// new one got a vote while more than 1,024 entries a second were written.
func TestANewNodeVotesUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(t, clustertest.Options{Features: features})
		pods := c.Add(3)
		c.WaitReady(20 * time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		var writers sync.WaitGroup
		var written atomic.Int64
		for _, p := range pods {
			log := p.Node.Log(1)
			writers.Go(func() {
				for ctx.Err() == nil {
					if _, _, err := log.Do(ctx, machine.Item{Data: []byte("1")}); err == nil {
						written.Add(1)
					}
					time.Sleep(600 * time.Microsecond)
				}
			})
		}
		start := time.Now()
		c.Kill(follower(c))
		p := c.Add(1)[0]
		c.Wait(30*time.Second, "the new node is ready", func() bool { return p.Node.Ready() == nil })
		rate := float64(written.Load()) / time.Since(start).Seconds()
		cancel()
		writers.Wait()
		if rate < 2000 {
			t.Errorf("%.0f commands a second were written, want over 2000", rate)
		}
	})
}

// A follower of an idle cluster learns up to half a second late what is
// committed, unless it is told: local reads behind a write wait for that.
func TestAFollowerIsSoonAsFarAsAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(t, clustertest.Options{Features: features})
		c.Add(3)
		c.WaitReady(20 * time.Second)
		for range 20 {
			time.Sleep(3 * time.Second)
			_, stamp, err := c.Leader().Node.Log(1).Do(t.Context(), machine.Item{Data: []byte("1")})
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			_, at, err := follower(c).Node.Log(1).Query(t.Context(), machine.AtLeast(stamp.Cluster, stamp.Index), nil)
			if took := time.Since(start); err != nil || at.Index < stamp.Index || took > 5*time.Millisecond {
				t.Fatalf("a read behind the write took %s (index %d of %d, %v), want 5ms at most", took, at.Index, stamp.Index, err)
			}
		}
	})
}
