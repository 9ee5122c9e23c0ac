package sim_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster"
	"github.com/huddlecache/huddle/cluster/clustertest"
	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/sessions"
)

// TestSessionsUnderFaults merges, destroys and makes sessions anew on all
// nodes while nodes are killed, stopped, cut off and paused. No field that was
// acknowledged may be lost, and no version come twice.
func TestSessionsUnderFaults(t *testing.T) {
	forSeeds(t, 2, func(t *testing.T, seed uint64) {
		s := runSessions(t, seed, 6, func(log machine.Log) machine.Log { return log })
		if err := s.check(); err != nil {
			t.Errorf("HUDDLE_SEED=%d: %v", seed, err)
		}
	})
}

const (
	merged  = "merged"  // the session that is only merged
	rebuilt = "rebuilt" // the one that is saved and destroyed
)

// A sessionCall is one write or read of a session.
type sessionCall struct {
	client         int
	id             string
	data           string // of a save or read
	field          string // of a merge
	isRead         bool
	isLinear       bool // a read that sees all that was answered before
	version        uint64
	err            error
	sent, answered int // places in the order of all
	at             sessions.Position
}

func (c *sessionCall) String() string {
	what := "save"
	switch {
	case c.isRead:
		what = "load"
	case c.field != "":
		what = "merge " + c.field
	}
	return fmt.Sprintf("[%d,%d] client %d: %s %s: %.60s at %d, %v", c.sent, c.answered, c.client, what, c.id, c.data, c.version, c.err)
}

// A sessionRun is what clients saw in one run.
type sessionRun struct {
	cluster *clustertest.Cluster
	wrap    func(machine.Log) machine.Log

	mu    sync.Mutex // guards what follows
	doors []*sessions.Sessions
	place int
	calls []*sessionCall
}

// runSessions runs clients and some rounds of faults in a bubble. Pods are
// durable with even seeds.
func runSessions(t *testing.T, seed uint64, rounds int, wrap func(machine.Log) machine.Log) *sessionRun {
	t.Helper()
	s := &sessionRun{wrap: wrap}
	synctest.Test(t, func(t *testing.T) {
		s.cluster = clustertest.New(t, clustertest.Options{
			Seed:     seed,
			Features: []cluster.Feature{{ID: 2, New: sessions.NewMachine}},
			Durable:  seed%2 == 0,
			Configure: func(_ *clustertest.Pod, cfg *cluster.Config) {
				cfg.Snapshots, cfg.NoSync = 64, true
			},
		})
		s.cluster.Add(3)
		s.whole()
		done := make(chan struct{})
		var clients sync.WaitGroup
		for id := range 6 {
			random := rand.New(rand.NewPCG(seed, uint64(id)+1))
			clients.Go(func() { s.client(id, random, done) })
		}
		s.hurt(rand.New(rand.NewPCG(seed, 0)), rounds)
		s.whole()
		close(done)
		clients.Wait()
		s.end(t)
	})
	return s
}

// whole waits until three nodes are ready and vote.
func (s *sessionRun) whole() {
	s.cluster.Wait(2*time.Minute, "three voters", func() bool {
		leader := s.cluster.Leader()
		if leader == nil {
			return false
		}
		voters := 0
		for _, m := range leader.Node.Status(context.Background()).Members {
			if m.Role == cluster.RoleLeader || m.Role == cluster.RoleVoter {
				voters++
			}
		}
		isReady := !slices.ContainsFunc(s.cluster.Pods(), func(p *clustertest.Pod) bool { return p.Node.Ready() != nil })
		return isReady && voters == 3 && len(leader.Node.Status(context.Background()).Members) == 3
	})
	s.refresh()
}

// refresh tells the clients which nodes there are.
func (s *sessionRun) refresh() {
	var doors []*sessions.Sessions
	for _, p := range s.cluster.Pods() {
		doors = append(doors, sessions.New(s.wrap(p.Node.Log(2)), sessions.Config{}))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.doors = doors
}

// hurt does one thing after another to the cluster, to the leader mostly.
func (s *sessionRun) hurt(random *rand.Rand, rounds int) {
	sleep := func(most time.Duration) { time.Sleep(time.Duration(random.Int64N(int64(most)))) }
	for range rounds {
		pods := s.cluster.Pods()
		p := pods[random.IntN(len(pods))]
		if leader := s.cluster.Leader(); leader != nil && random.IntN(3) > 0 {
			p = leader
		}
		switch random.IntN(4) {
		case 0:
			s.cluster.Kill(p)
			s.replace(p, sleep)
		case 1:
			s.cluster.Stop(p)
			s.replace(p, sleep)
		case 2:
			var others []string
			for _, o := range pods {
				if o != p {
					others = append(others, o.Addr)
				}
			}
			s.cluster.Net.Partition([]string{p.Addr}, others)
			sleep(6 * time.Second)
			for _, o := range others {
				s.cluster.Net.Heal(p.Addr, o)
				s.cluster.Net.Heal(o, p.Addr)
			}
		case 3:
			s.cluster.Net.Pause(p.Addr)
			sleep(3 * time.Second)
			s.cluster.Net.Resume(p.Addr)
		}
		s.whole()
		sleep(2 * time.Second)
	}
}

// replace starts a pod again.
func (s *sessionRun) replace(p *clustertest.Pod, sleep func(time.Duration)) {
	s.refresh()
	sleep(4 * time.Second)
	s.cluster.Restart(p, false)
}

// client merges fields of its own, and saves, destroys and reads, on any node.
func (s *sessionRun) client(id int, random *rand.Rand, done <-chan struct{}) {
	floor := sessions.Position{}
	for n := 0; ; n++ {
		select {
		case <-done:
			return
		case <-time.After(time.Duration(random.IntN(200)) * time.Millisecond):
		}
		s.mu.Lock()
		door := s.doors[random.IntN(len(s.doors))]
		s.mu.Unlock()
		name := fmt.Sprintf("f%d.%d", id, n)
		c := &sessionCall{client: id, id: merged}
		switch random.IntN(8) {
		case 0, 1, 2:
			c.field = name
			s.do(c, func(ctx context.Context) error {
				saved, err := door.Merge(ctx, c.id, fmt.Appendf(nil, `{%q:%d}`, name, n), sessions.SaveOptions{})
				c.version, c.at = saved.Version, saved.At
				return err
			})
		case 3, 4:
			c.id, c.data = rebuilt, name
			s.do(c, func(ctx context.Context) error {
				saved, err := door.Save(ctx, c.id, []byte(name), sessions.SaveOptions{TTL: time.Minute})
				c.version, c.at = saved.Version, saved.At
				return err
			})
		case 5:
			_, _ = door.Destroy(context.Background(), rebuilt, sessions.DestroyOptions{})
		default:
			c.isRead = true
			c.id = []string{merged, rebuilt}[random.IntN(2)]
			o := sessions.LoadOptions{}
			if c.isLinear = random.IntN(2) == 0; !c.isLinear {
				o.Consistency = floor.Consistency()
			}
			s.do(c, func(ctx context.Context) error { return s.load(ctx, door, c, o) })
		}
		if c.err == nil && c.at != (sessions.Position{}) && (c.at.Cluster != floor.Cluster || c.at.Index > floor.Index) {
			floor = c.at
		}
	}
}

func (s *sessionRun) load(ctx context.Context, door *sessions.Sessions, c *sessionCall, o sessions.LoadOptions) error {
	got, err := door.Load(ctx, c.id, o)
	c.data, c.version, c.at = string(got.Data), got.Version, got.At
	if errors.Is(err, sessions.ErrNotFound) {
		return nil
	}
	return err
}

// do notes a call and its answer.
func (s *sessionRun) do(c *sessionCall, call func(context.Context) error) {
	s.mu.Lock()
	s.place++
	c.sent = s.place
	s.calls = append(s.calls, c)
	s.mu.Unlock()
	err := call(context.Background())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.place++
	c.err, c.answered = err, s.place
}

// end reads the merged session on every node.
func (s *sessionRun) end(t *testing.T) {
	t.Helper()
	s.refresh()
	for i, door := range s.doors {
		c := &sessionCall{client: -1, id: merged, isRead: true, isLinear: true}
		s.do(c, func(ctx context.Context) error { return s.load(ctx, door, c, sessions.LoadOptions{}) })
		if c.err != nil {
			t.Errorf("node %d at the end: %v", i, c.err)
		}
	}
	outcomes := map[string]int{}
	for _, c := range s.calls {
		outcomes[fmt.Sprint(c.err)]++
	}
	t.Logf("%d calls: %v", len(s.calls), outcomes)
}

// check reports the first promise that is broken.
func (s *sessionRun) check() error {
	fields := map[*sessionCall]map[string]int{} // of reads
	for _, c := range s.calls {
		if c.isRead && c.id == merged && c.err == nil && c.data != "" {
			names := map[string]int{}
			if err := json.Unmarshal([]byte(c.data), &names); err != nil {
				return fmt.Errorf("%v is no object of numbers: %w", c, err)
			}
			fields[c] = names
		}
	}
	for _, read := range s.calls {
		names, found := fields[read]
		if !read.isRead || read.id != merged || read.err != nil {
			continue
		}
		for _, c := range s.calls {
			_, isThere := names[c.field]
			isBefore := c.answered < read.sent && (read.isLinear || c.client == read.client)
			mustBe := c.err == nil && (isBefore || c.version <= read.version)
			mustNot := c.err != nil && !errors.Is(c.err, machine.ErrUnknown)
			if c.field != "" && (mustBe && !isThere || mustNot && found && isThere) {
				return fmt.Errorf("%v\nis there: %v, for %v", c, isThere, read)
			}
		}
	}
	return s.checkVersions()
}

// checkVersions reports versions that do not grow, or stand for two things.
func (s *sessionRun) checkVersions() error {
	data := map[uint64]string{}
	writers := map[uint64]*sessionCall{}
	for _, c := range s.calls {
		if c.err != nil || c.version == 0 {
			continue
		}
		if !c.isRead {
			if other := writers[c.version]; other != nil {
				return fmt.Errorf("%v\nhas the version of %v", c, other)
			}
			writers[c.version] = c
		}
		if c.id == rebuilt {
			if old, found := data[c.version]; found && old != c.data {
				return fmt.Errorf("%v\nis also %q", c, old)
			}
			data[c.version] = c.data
		}
	}
	for _, c := range s.calls {
		for _, before := range s.calls {
			isBefore := before.answered < c.sent && before.err == nil && before.version > 0 && c.err == nil
			if isBefore && !c.isRead && c.version <= before.version {
				return fmt.Errorf("%v\ncame after %v", c, before)
			}
			isOwn := isBefore && before.client == c.client && c.id == merged && before.id == merged
			if isOwn && c.version < before.version {
				return fmt.Errorf("%v\nwent back behind %v", c, before)
			}
		}
	}
	return nil
}
