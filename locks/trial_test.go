package locks

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
)

// A shell is the cluster's, as far as the machine can see.
type shell struct {
	number    uint64
	deadlines map[string]time.Duration
	events    []string
	err       error
}

func (s *shell) Number() uint64 { s.number++; return s.number }

func (s *shell) Deadline(key []byte, was, at time.Duration) {
	if s.deadlines[string(key)] == was {
		delete(s.deadlines, string(key))
	}
	if at != 0 {
		s.deadlines[string(key)] = at
	}
}

func (s *shell) Emit(e machine.Event) {
	s.events = append(s.events, fmt.Sprintf("%x", e.Key))
}

func (s *shell) Fail(err error) { s.err = err }

// sweep expires what is due, at most n deadlines, the earliest first.
func (s *shell) sweep(n int, now time.Duration, expire func(key []byte)) {
	for range n {
		first := ""
		for key, at := range s.deadlines {
			if at <= now && (first == "" || at < s.deadlines[first] || at == s.deadlines[first] && key < first) {
				first = key
			}
		}
		if first == "" {
			return
		}
		delete(s.deadlines, first)
		expire([]byte(first))
	}
}

var names = []string{"a", "b", "ab"}

// A trial runs the machine, a twin that is restored from snapshots, and the
// model side by side.
type trial struct {
	t       *testing.T
	random  *rand.Rand
	machine *Machine
	twin    *Machine
	shells  [2]*shell // of the machine and of its twin
	model   *model
	now     time.Duration
	ids     []requestID
}

func newTrial(t *testing.T, seed uint64) *trial {
	r := &trial{
		t: t, random: rand.New(rand.NewPCG(seed, 1)), machine: newMachine(), twin: newMachine(),
		model: &model{silent: map[uint64]bool{}},
	}
	for i := range r.shells {
		r.shells[i] = &shell{deadlines: map[string]time.Duration{}}
	}
	return r
}

func (r *trial) tx(i int, origin uint64) *machine.Tx {
	return &machine.Tx{Shell: r.shells[i], Stamp: machine.Stamp{Lease: r.now}, Origin: origin}
}

func (r *trial) origin() uint64 { return 1 + r.random.Uint64N(3) }

func (r *trial) id() requestID {
	if len(r.ids) == 0 || r.random.IntN(8) == 0 {
		return requestID{9}
	}
	return r.ids[max(0, len(r.ids)-1-r.random.IntN(12))]
}

// lease is one that was given, or never.
func (r *trial) lease() (uint64, string) {
	for _, e := range r.model.list {
		if r.random.IntN(3) == 0 {
			return e.lease, e.name
		}
	}
	return 1, "a"
}

// step moves on in time, does one thing, and returns what it was.
func (r *trial) step() string {
	if r.random.IntN(3) == 0 {
		r.now += time.Duration(r.random.Int64N(int64(700 * time.Millisecond)))
	}
	n := r.random.IntN(4)
	r.shells[0].sweep(n, r.now, func(key []byte) {
		r.machine.Expire(r.tx(0, 0), key)
		lease := binary.BigEndian.Uint64(key)
		if e := r.model.find(func(e *entry) bool { return e.lease == lease }); e != nil {
			r.model.settle(e.name, 0, r.now)
		}
	})
	r.shells[1].sweep(n, r.now, func(key []byte) { r.twin.Expire(r.tx(1, 0), key) })
	origin := r.origin()
	switch n := r.random.IntN(20); {
	case n < 8:
		return r.acquire(origin)
	case n < 15:
		kind := byte(kindAttend)
		if n == 14 {
			kind = kindCancel
		}
		c := claim{r.id(), r.random.Uint64N(4)}
		r.model.hear(origin, r.now)
		want := r.model.lookAfter(kind, c, origin, r.now)
		return r.apply(origin, encodeClaims(kind, []claim{c}), want.append(nil))
	case n < 19:
		h := holding{ttl: time.Duration(1+r.random.IntN(2000)) * time.Millisecond}
		h.lease, h.name = r.lease()
		kind := byte(kindRenew)
		if n > 16 {
			kind, h.ttl = kindRelease, 0
		}
		r.model.hear(origin, r.now)
		want := r.model.prolong(kind, h, origin, r.now)
		return r.apply(origin, encodeHoldings(kind, h), binary.AppendUvarint(nil, want))
	case r.random.IntN(4) > 0:
		return "nothing"
	}
	r.model.close(origin, r.now)
	r.machine.OriginClosed(r.tx(0, 0), origin)
	r.twin.OriginClosed(r.tx(1, 0), origin)
	return fmt.Sprintf("close %d", origin)
}

func (r *trial) acquire(origin uint64) string {
	a := acquisition{
		slots: uint32(r.random.IntN(4)), ttl: time.Duration(1+r.random.IntN(2000)) * time.Millisecond,
		name: names[r.random.IntN(len(names))], owner: strconv.Itoa(r.random.IntN(100)),
	}
	switch r.random.IntN(24) {
	case 0, 1, 2:
	case 3:
		a.wait = forever
	default:
		a.wait = time.Duration(1+r.random.IntN(4000)) * time.Millisecond
	}
	binary.BigEndian.PutUint64(a.id[:], r.random.Uint64())
	r.ids = append(r.ids, a.id)
	r.model.hear(origin, r.now)
	want := r.model.acquire(a, origin, r.now)
	if want.condition == isRefused {
		first := r.model.info(a.name, r.now).Holders
		if len(first) > 0 {
			want.holder = first[0]
		} else { // the lock is on its way to somebody
			e := r.model.find(func(e *entry) bool { return e.name == a.name && e.state == offered })
			for _, o := range r.model.list {
				if o.name == a.name && o.state == offered {
					e = o
				}
			}
			want.holder = holderOf(e, r.now)
		}
	}
	return r.apply(origin, a.encode(), want.append(nil))
}

func (r *trial) apply(origin uint64, cmd, want []byte) string {
	what := fmt.Sprintf("%d: %x", origin, cmd)
	for i, m := range []*Machine{r.machine, r.twin} {
		if got := m.Apply(r.tx(i, origin), cmd); !bytes.Equal(got, want) {
			r.t.Fatalf("machine %d answers %s with %x, want %x", i, what, got, want)
		}
	}
	return what
}

// compare looks at everything that can be seen.
func (r *trial) compare(what string) {
	r.t.Helper()
	m := r.model
	for i, s := range r.shells {
		if s.err != nil || s.number != m.number || !slices.Equal(s.events, m.events) {
			r.t.Fatalf("after %s: machine %d: number %d, events %v, error %v; want %d, %v", what, i, s.number, s.events, s.err, m.number, m.events)
		}
		s.events = nil
	}
	m.events = nil
	var size int64
	waits := map[string]int{}
	for _, e := range m.list {
		size += e.size()
		if e.state == waiting {
			waits[e.name]++
		}
	}
	for i, got := range []map[string]int{r.machine.requests.waiting, r.twin.requests.waiting} {
		if !maps.Equal(got, waits) {
			r.t.Fatalf("after %s: machine %d counts waiters %v, want %v", what, i, got, waits)
		}
	}
	if got, want := r.machine.Size(), size+originSize*int64(len(m.silent)); got != want {
		r.t.Fatalf("after %s: size %d, want %d", what, got, want)
	}
	for _, name := range names {
		got := r.machine.Query(machine.Stamp{Lease: r.now}, encodeInfo(name))
		info := m.info(name, r.now)
		if want := info.encode(); !bytes.Equal(got, want) {
			r.t.Fatalf("after %s: info of %s is %x, want %x", what, name, got, want)
		}
	}
	for _, e := range m.list {
		at, found := r.shells[0].deadlines[string(binary.BigEndian.AppendUint64(nil, e.lease))]
		if found != (e.end != forever && (found || e.end > r.now)) || found && at != e.end {
			r.t.Fatalf("after %s: deadline of %d is %s, %v, want %s", what, e.lease, at, found, e.end)
		}
	}
}

func written(t *testing.T, m *Machine) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := m.Snapshot().WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// seeds returns those that random tests run with: HUDDLE_SEED, or n others.
func seeds(t *testing.T, n int) []uint64 {
	t.Helper()
	if s, err := strconv.ParseUint(os.Getenv("HUDDLE_SEED"), 10, 64); err == nil {
		return []uint64{s}
	}
	var all []uint64
	for range n {
		all = append(all, rand.Uint64())
	}
	return all
}

func TestMachineIsTheModel(t *testing.T) {
	for _, seed := range seeds(t, 12) {
		t.Run(fmt.Sprintf("HUDDLE_SEED=%d", seed), func(t *testing.T) {
			t.Parallel()
			r := newTrial(t, seed)
			early, before := r.machine.Snapshot(), written(t, r.machine)
			for i := range 1000 {
				r.compare(r.step())
				if i%100 != 99 {
					continue
				}
				var again bytes.Buffer
				if _, err := early.WriteTo(&again); err != nil || !bytes.Equal(again.Bytes(), before) {
					t.Fatalf("a snapshot changed: %v", err)
				}
				early, before = r.machine.Snapshot(), written(t, r.machine)
				r.twin = newMachine()
				if err := r.twin.Restore(bytes.NewReader(before)); err != nil {
					t.Fatal(err)
				}
				if got := written(t, r.twin); !bytes.Equal(got, before) || r.twin.Size() != r.machine.Size() {
					t.Fatalf("restored state differs: %d bytes, size %d; want %d, %d", len(got), r.twin.Size(), len(before), r.machine.Size())
				}
			}
		})
	}
}
