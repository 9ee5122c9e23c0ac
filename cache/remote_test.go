package cache

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
)

// A told shell keeps the events of a machine, and fails the test with it.
type told struct {
	*testing.T
	events []machine.Event
}

func (s *told) Number() uint64                                { return 0 }
func (s *told) Deadline([]byte, time.Duration, time.Duration) {}
func (s *told) Emit(e machine.Event)                          { s.events = append(s.events, e) }
func (s *told) Fail(err error)                                { s.Fatal(err) }

// set applies a command, and returns what it tells of.
func (s *told) set(m machine.Machine, group, url string, ttl time.Duration) []machine.Event {
	s.events = nil
	c := command{op: opLoader, loader: remote{group, HTTPLoader{URL: url, TTL: ttl}}}
	m.Apply(&machine.Tx{Shell: s}, c.encode())
	return s.events
}

func loadersOf(t *testing.T, m machine.Machine) (text string) {
	t.Helper()
	list, err := decodeRemotes(m.Query(machine.Stamp{}, command{op: opLoaders}.encode()))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		text += fmt.Sprint(r.group, "=", r.URL, " ", r.TTL, "; ")
	}
	return text
}

func TestTheStateHasTheLoaders(t *testing.T) {
	shell, m := &told{T: t}, NewMachine()
	empty := m.Size()
	for _, test := range []struct {
		group, url string
		ttl        time.Duration
		isVoid     bool // what the group has kept
		want       string
	}{
		{"b", "http://b", 0, true, "b=http://b 0s; "},
		{"c", "http://c", 0, true, "b=http://b 0s; c=http://c 0s; "},
		{"a", "http://a", time.Second, true, "a=http://a 1s; b=http://b 0s; c=http://c 0s; "},
		{"b", "http://b", time.Second, false, "a=http://a 1s; b=http://b 1s; c=http://c 0s; "},
		{"b", "http://d", time.Second, true, "a=http://a 1s; b=http://d 1s; c=http://c 0s; "},
		{"c", "", 0, true, "a=http://a 1s; b=http://d 1s; "},
		{"c", "", 0, false, "a=http://a 1s; b=http://d 1s; "},
	} {
		events := shell.set(m, test.group, test.url, test.ttl)
		r, err := decodeRemote(events[0].Key)
		if events[0].Kind != eventLoader || err != nil || r.group != test.group || r.URL != test.url {
			t.Errorf("%s=%s: got event %v, %v", test.group, test.url, events[0], err)
		}
		if isVoid := len(events) == 2 && events[1].Kind == eventInvalidate; isVoid != test.isVoid {
			t.Errorf("%s=%s: what was kept is void: %t, want %t", test.group, test.url, isVoid, test.isVoid)
		}
		if got := loadersOf(t, m); got != test.want {
			t.Errorf("%s=%s: got %q, want %q", test.group, test.url, got, test.want)
		}
	}
	var snapshot, again bytes.Buffer
	frozen := m.Snapshot()
	want, size := loadersOf(t, m), m.Size()
	shell.set(m, "a", "", 0)
	shell.set(m, "b", "", 0)
	if got := m.Size(); got != empty {
		t.Errorf("without loaders the size is %d, want %d", got, empty)
	}
	if _, err := frozen.WriteTo(&snapshot); err != nil {
		t.Fatal(err)
	}
	other := NewMachine()
	if err := other.Restore(bytes.NewReader(snapshot.Bytes())); err != nil {
		t.Fatal(err)
	}
	if got := loadersOf(t, other); got != want || other.Size() != size {
		t.Errorf("restored: got %q of size %d, want %q of %d", got, other.Size(), want, size)
	}
	if _, err := other.Snapshot().WriteTo(&again); err != nil || !bytes.Equal(again.Bytes(), snapshot.Bytes()) {
		t.Errorf("another snapshot differs, %v", err)
	}
}

func TestDamagedLoadersAreNotRestored(t *testing.T) {
	shell, m := &told{T: t}, NewMachine()
	shell.set(m, "a", "http://a", 0)
	shell.set(m, "b", "http://b", 0)
	var snapshot bytes.Buffer
	if _, err := m.Snapshot().WriteTo(&snapshot); err != nil {
		t.Fatal(err)
	}
	for at, text := range map[string]string{"swapped": strings.NewReplacer("a\bhttp://a", "b\bhttp://a", "b\bhttp://b", "a\bhttp://b").Replace(snapshot.String()), "cut": snapshot.String()[:snapshot.Len()-3]} {
		if err := NewMachine().Restore(strings.NewReader(text)); err == nil || text == snapshot.String() {
			t.Errorf("%s: it is restored", at)
		}
	}
}

func FuzzCommand(f *testing.F) {
	for _, c := range []command{
		{op: opJoin, id: "a"},
		{op: opLeave, id: "a", origin: 3},
		{op: opInvalidate, scope: scope{group: "g", keys: []string{"k"}}},
		{op: opRing},
		{op: opLoaders},
		{op: opLoader, loader: remote{"g", HTTPLoader{URL: "http://a", TTL: time.Minute, Stale: time.Hour, Negative: time.Second}}},
	} {
		f.Add(c.encode())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := decodeCommand(data)
		if err != nil {
			return
		}
		again, err := decodeCommand(c.encode())
		if err != nil || !reflect.DeepEqual(again, c) {
			t.Errorf("got %+v, %v, want %+v", again, err, c)
		}
	})
}
