package locks

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
)

func fullTx(s *shell) *machine.Tx {
	return &machine.Tx{Shell: s, Stamp: machine.Stamp{Lease: time.Minute}, Origin: 1}
}

func newShell() *shell { return &shell{deadlines: map[string]time.Duration{}} }

// FuzzApply shows that no bytes break the machine, and that those it takes are
// those that were made by this package.
func FuzzApply(f *testing.F) {
	a := acquisition{id: requestID{1}, slots: 1, ttl: time.Second, wait: time.Second, name: "a", owner: "o"}
	f.Add(a.encode())
	a.wait, a.slots = forever, 0
	f.Add(a.encode())
	f.Add(encodeClaims(kindAttend, []claim{{requestID{1}, 7}, {requestID{2}, 0}}))
	f.Add(encodeClaims(kindCancel, nil))
	f.Add(encodeHoldings(kindRenew, holding{"a", 1, time.Second}, holding{"b", 2, time.Second}))
	f.Add(encodeHoldings(kindRelease, holding{name: "a", lease: 1}))
	f.Add([]byte{2})
	f.Fuzz(func(t *testing.T, cmd []byte) {
		m, s := newMachine(), newShell()
		a := acquisition{id: requestID{1}, slots: 1, ttl: time.Second, wait: time.Second, name: "a"}
		m.Apply(fullTx(s), a.encode())
		m.Apply(fullTx(s), cmd)
		if s.err != nil && !errors.Is(s.err, machine.ErrUnknownCommand) {
			t.Errorf("refused with %v", s.err)
		}
		if s.err == nil && !bytes.Equal(remade(cmd), cmd) {
			t.Errorf("took %x, which is made as %x", cmd, remade(cmd))
		}
	})
}

// remade decodes a command and encodes it again.
func remade(cmd []byte) []byte {
	r := &reader{data: cmd}
	r.byte()
	switch kind := r.byte(); kind {
	case kindAcquire:
		a := r.acquisition()
		return a.encode()
	case kindAttend, kindCancel:
		return encodeClaims(kind, r.claims())
	default:
		return encodeHoldings(kind, r.holdings()...)
	}
}

// FuzzReplies shows that a reply is what it is decoded to.
func FuzzReplies(f *testing.F) {
	f.Add((&standing{condition: isHolding, lease: 1, token: 2, left: 3}).append(nil))
	f.Add((&standing{condition: isRefused, holder: Holder{Owner: "o", Token: 1, Left: 2, Slots: 1}}).append(nil))
	f.Add((&Info{Waiters: 3, Holders: []Holder{{Shared: true}, {Slots: 2}}}).encode())
	f.Fuzz(func(t *testing.T, reply []byte) {
		r := &reader{data: reply}
		if s := r.standing(); r.done() == nil && !bytes.Equal(s.append(nil), reply) {
			t.Errorf("standing %x is made as %x", reply, s.append(nil))
		}
		r = &reader{data: reply}
		if i := r.info(); r.done() == nil && !bytes.Equal(i.encode(), reply) {
			t.Errorf("info %x is made as %x", reply, i.encode())
		}
	})
}

// FuzzRestore shows that whatever is restored is written again as it was.
func FuzzRestore(f *testing.F) {
	f.Add(written(&testing.T{}, newMachine()))
	f.Add(written(&testing.T{}, someState()))
	f.Fuzz(func(t *testing.T, data []byte) {
		m := newMachine()
		if err := m.Restore(bytes.NewReader(data)); err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("got %v, want ErrCorrupt", err)
			}
			return
		}
		again := newMachine()
		if err := again.Restore(bytes.NewReader(written(t, m))); err != nil || again.Size() != m.Size() {
			t.Errorf("what was written cannot be restored: %v", err)
		}
	})
}

// someState is a machine with all states of requests, and a silent origin.
func someState() *Machine {
	m, s := newMachine(), newShell()
	for i := range byte(12) {
		a := acquisition{id: requestID{i}, slots: uint32(i % 3), ttl: time.Second, wait: time.Minute, name: names[i%3], owner: "o"}
		m.Apply(fullTx(s), a.encode())
	}
	m.Apply(fullTx(s), encodeClaims(kindAttend, []claim{{requestID{3}, 7}, {requestID{3}, 8}}))
	late := fullTx(s)
	late.Lease, late.Origin = time.Minute+2*time.Second, 0
	s.sweep(100, late.Lease, func(key []byte) { m.Expire(late, key) })
	late.Lease += 3 * time.Second
	s.sweep(1, late.Lease, func(key []byte) { m.Expire(late, key) })
	return m
}

func TestRestoreRefusesWhatNoSnapshotWrote(t *testing.T) {
	whole := written(t, someState())
	m := newMachine()
	if err := m.Restore(bytes.NewReader(whole)); err != nil {
		t.Fatal(err)
	}
	if m.silent.Len() == 0 || m.requests.byLease.Len() < 4 {
		t.Fatalf("%d silent origins, %d requests: the test shows little", m.silent.Len(), m.requests.byLease.Len())
	}
	for n := range whole {
		if err := m.Restore(bytes.NewReader(whole[:n])); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut at %d: %v, want ErrCorrupt", n, err)
		}
	}
	if err := m.Restore(bytes.NewReader(append(whole, 0))); !errors.Is(err, ErrCorrupt) {
		t.Errorf("with a byte behind: %v, want ErrCorrupt", err)
	}
	if got := written(t, m); !bytes.Equal(got, whole) {
		t.Error("a failed Restore changed the state")
	}
}

func TestABackupHasNoHolders(t *testing.T) {
	m := someState()
	m.Rebase(fullTx(newShell()), time.Hour)
	if got, want := written(t, m), written(t, newMachine()); !bytes.Equal(got, want) || m.Size() != 0 {
		t.Errorf("%d bytes are left, of size %d", len(got), m.Size())
	}
}

func TestPressureRefusesWhatStaysLong(t *testing.T) {
	for _, tt := range []struct {
		ttl, wait time.Duration
		want      byte
	}{
		{time.Hour, time.Hour, isHolding},
		{25 * time.Hour, 0, isFull},
		{time.Hour, 25 * time.Hour, isFull},
		{time.Hour, forever, isFull},
	} {
		m, s := newMachine(), newShell()
		tx := fullTx(s)
		tx.Pressure = machine.PressureHigh
		a := acquisition{slots: 1, ttl: tt.ttl, wait: tt.wait, name: "a"}
		r := &reader{data: m.Apply(tx, a.encode())}
		if got := r.standing().condition; got != tt.want || tx.Refused != (tt.want == isFull) {
			t.Errorf("ttl %s, wait %s: condition %d, refused %v, want %d", tt.ttl, tt.wait, got, tx.Refused, tt.want)
		}
	}
}

func TestPressureRefusesToMakeALeaseLong(t *testing.T) {
	for _, tt := range []struct {
		had, wanted time.Duration
		pressure    machine.Pressure
		want        uint64
	}{
		{time.Hour, 24 * time.Hour, machine.PressureHigh, leftBase + uint64(24*time.Hour)},
		{time.Hour, 25 * time.Hour, machine.PressureNone, leftBase + uint64(25*time.Hour)},
		{time.Hour, 25 * time.Hour, machine.PressureHigh, isTooLong},
		{time.Hour, 25 * time.Hour, machine.PressureFull, isTooLong},
		{26 * time.Hour, 25 * time.Hour, machine.PressureHigh, leftBase + uint64(25*time.Hour)},
	} {
		m, s := newMachine(), newShell()
		a := acquisition{slots: 1, ttl: tt.had, name: "a"}
		r := &reader{data: m.Apply(fullTx(s), a.encode())}
		lease, before := r.standing().lease, written(t, m)
		tx := fullTx(s)
		tx.Pressure = tt.pressure
		r = &reader{data: m.Apply(tx, encodeHoldings(kindRenew, holding{"a", lease, tt.wanted}))}
		if got := r.uvarint(); got != tt.want {
			t.Errorf("from %s to %s at %d: answer %d, want %d", tt.had, tt.wanted, tt.pressure, got, tt.want)
		}
		if tt.want == isTooLong && !bytes.Equal(written(t, m), before) {
			t.Errorf("from %s to %s: refused, and the state has changed", tt.had, tt.wanted)
		}
	}
}

func TestALockHasNotMoreWaitersThanItsMost(t *testing.T) {
	m, s := newMachine(), newShell()
	ask := func(i int, name string) (byte, bool) {
		a := acquisition{slots: 1, ttl: time.Minute, wait: time.Minute, name: name}
		binary.BigEndian.PutUint64(a.id[:], uint64(i)+1)
		tx := fullTx(s)
		r := &reader{data: m.Apply(tx, a.encode())}
		return r.standing().condition, tx.Refused
	}
	for i := range MaxWaiters + 1 { // one has it
		if got, _ := ask(i, "a"); got != isWaiting && i > 0 {
			t.Fatalf("request %d: condition %d", i, got)
		}
	}
	for range 2 { // also one that was restored
		if got, isRefused := ask(MaxWaiters+1, "a"); got != isCrowded || !isRefused {
			t.Errorf("one more: condition %d, refused %v, want %d", got, isRefused, isCrowded)
		}
		if got, _ := ask(MaxWaiters, "a"); got != isWaiting {
			t.Errorf("one that waits asks again: condition %d, want %d", got, isWaiting)
		}
		if err := m.Restore(bytes.NewReader(written(t, m))); err != nil {
			t.Fatal(err)
		}
	}
	if got, _ := ask(MaxWaiters+2, "b"); got != isHolding {
		t.Errorf("another lock: condition %d, want %d", got, isHolding)
	}
	m.Apply(fullTx(s), encodeClaims(kindCancel, []claim{{id: requestID{6: 1}}}))
	if got, _ := ask(MaxWaiters+3, "a"); got != isWaiting {
		t.Errorf("after one has gone: condition %d, want %d", got, isWaiting)
	}
}

// However many calls are the same one, those that give up take nothing from one
// that has the lock.
func TestManyAttemptsAtOneRequest(t *testing.T) {
	m, s := newMachine(), newShell()
	id := requestID{1}
	look := func(kind byte, attempt uint64) byte {
		r := &reader{data: m.Apply(fullTx(s), encodeClaims(kind, []claim{{id, attempt}}))}
		return r.standing().condition
	}
	for _, n := range []uint64{2, attemptsMost - 1, attemptsMost, attemptsMost + 5} {
		a := acquisition{id: id, slots: 1, ttl: time.Minute, name: "a"}
		m.Apply(fullTx(s), a.encode())
		for attempt := range n {
			look(kindAttend, attempt+1)
		}
		for attempt := range n - 1 {
			look(kindCancel, attempt+1)
		}
		look(kindCancel, 99) // late, and of none
		if got := look(kindAttend, n); got != isHolding {
			t.Errorf("%d attempts: condition %d of the last one, want %d", n, got, isHolding)
		}
		if look(kindCancel, n); n < attemptsMost && m.requests.byID.Len() > 0 {
			t.Errorf("%d attempts: held though all have given up", n)
		}
	}
}

func TestUnknownCommandsStopTheNode(t *testing.T) {
	for _, cmd := range [][]byte{nil, {formatVersion}, {formatVersion + 1, kindAttend, 0}, {formatVersion, 99}, {formatVersion, kindAttend, 1}} {
		s := newShell()
		newMachine().Apply(fullTx(s), cmd)
		if !errors.Is(s.err, machine.ErrUnknownCommand) {
			t.Errorf("%x: %v, want ErrUnknownCommand", cmd, s.err)
		}
	}
}

func BenchmarkLockAndUnlock(b *testing.B) {
	m, s := newMachine(), newShell()
	random := rand.New(rand.NewPCG(1, 1))
	for range 10_000 {
		a := acquisition{id: requestID{byte(random.Uint32()), byte(random.Uint32()), byte(random.Uint32())}, slots: 1, ttl: time.Hour, name: string(rune(random.IntN(1 << 16)))}
		m.Apply(fullTx(s), a.encode())
	}
	a := acquisition{id: requestID{255, 1, 2, 3}, slots: 1, ttl: time.Hour, name: "the lock"}
	acquire := a.encode()
	b.ReportAllocs()
	for b.Loop() {
		r := &reader{data: m.Apply(fullTx(s), acquire)}
		lease := r.standing().lease
		m.Apply(fullTx(s), encodeHoldings(kindRelease, holding{name: "the lock", lease: lease}))
	}
}
