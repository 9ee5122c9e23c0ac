package sessions_test

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/sessions"
)

// filled is a world with sessions of all sorts.
func filled(t reporter) *world {
	w := newWorld(t)
	w.save("plain", "data", sessions.SaveOptions{})
	w.save("all", `{"a":1}`, sessions.SaveOptions{TTL: time.Minute, Limit: time.Hour, User: "u"})
	w.save("long", strings.Repeat("x", 1000), sessions.SaveOptions{User: "u", TTL: sessions.MaxTTL})
	w.save("over", "", sessions.SaveOptions{TTL: time.Second, User: "v"})
	w.sleep(2 * time.Second)
	return w
}

func TestSnapshotIsFrozen(t *testing.T) {
	w := filled(t)
	write := frozen(t, w.m)
	before := write()
	w.save("plain", "other", sessions.SaveOptions{User: "u"})
	if _, err := w.s.DestroyAll(t.Context(), "u", sessions.DestroyOptions{}); err != nil {
		t.Fatal(err)
	}
	w.expire(10)
	w.save("new", "", sessions.SaveOptions{})
	if !bytes.Equal(write(), before) {
		t.Error("the snapshot changed with the state")
	}
}

// TestSnapshotIsWrittenMeanwhile is for the race detector.
func TestSnapshotIsWrittenMeanwhile(t *testing.T) {
	w := newWorld(t)
	for i := range 500 {
		w.save(strconv.Itoa(i), "v", sessions.SaveOptions{User: "u"})
	}
	for round := range 10 {
		snap := w.m.Snapshot()
		want := written(t, w.m)
		var got bytes.Buffer
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = snap.WriteTo(&got) })
		for i := range 100 {
			w.save(strconv.Itoa(round*50+i), "more", sessions.SaveOptions{})
		}
		wg.Wait()
		if !bytes.Equal(got.Bytes(), want) {
			t.Fatalf("round %d: the snapshot changed while it was written", round)
		}
	}
}

// TestARestoredMachineGoesOnLikeAnother runs the same on a machine and on one
// that was restored from its snapshot.
func TestARestoredMachineGoesOnLikeAnother(t *testing.T) {
	w, twin := filled(t), filled(t)
	twin.m = restored(t, w.snapshot())
	for _, w := range []*world{w, twin} {
		w.save("all", "{}", sessions.SaveOptions{User: "v"})
		w.sleep(time.Minute)
		w.expire(1)
		w.load("plain", sessions.LoadOptions{Touch: true})
		if _, err := w.s.DestroyAll(t.Context(), "u", sessions.DestroyOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(w.snapshot(), twin.snapshot()) || w.m.Size() != twin.m.Size() || len(w.index) != len(twin.index) {
		t.Errorf("states differ:\n%x\n%x", w.snapshot(), twin.snapshot())
	}
}

// TestABackupGivesSessionsTheTimeThatTheyHad restores one into clusters that
// are younger and older.
func TestABackupGivesSessionsTheTimeThatTheyHad(t *testing.T) {
	for _, shift := range []time.Duration{-2 * time.Hour, -time.Minute, 0, time.Minute, 100 * 24 * time.Hour} {
		w := newWorld(t)
		w.sleep(2 * time.Hour)
		then := w.stamp.Lease
		for _, id := range []string{"a", "b"} {
			w.save(id, id, sessions.SaveOptions{TTL: time.Minute, Limit: time.Hour, User: "u"})
		}
		w.save("over", "", sessions.SaveOptions{TTL: time.Second})
		w.sleep(10 * time.Second)
		before := w.load("a", sessions.LoadOptions{})
		size := w.m.Size()

		other := newWorld(t)
		other.m = restored(t, w.snapshot())
		other.stamp.Lease = w.stamp.Lease + shift
		other.m.(machine.Rebaser).Rebase(other.tx(), shift)
		after := other.load("a", sessions.LoadOptions{})
		if after.Left != before.Left || after.Limit != before.Limit || string(after.Data) != "a" || after.Version != before.Version {
			t.Errorf("shifted by %s: got %+v, want %+v", shift, after, before)
		}
		if other.has("over") || other.m.Size() != size || len(other.index) != 3 {
			t.Errorf("shifted by %s: size %d, %d deadlines; want %d and 3", shift, other.m.Size(), len(other.index), size)
		}
		list, err := other.s.List(t.Context(), "u", machine.Linearizable)
		if !slices.Equal(list.IDs, []string{"a", "b"}) || err != nil {
			t.Errorf("shifted by %s: the user has %q, %v", shift, list.IDs, err)
		}
		other.sleep(then + shift + time.Hour - other.stamp.Lease)
		if other.expire(10); other.m.Size() != 0 || len(other.index) != 0 {
			t.Errorf("shifted by %s: size %d and %v are left at the end", shift, other.m.Size(), other.index)
		}
	}
}

func TestRestoreRefusesWhatNoSnapshotWrote(t *testing.T) {
	data := filled(t).snapshot()
	made := func(sessions ...[]byte) []byte {
		return slices.Concat([]byte{1, byte(len(sessions))}, slices.Concat(sessions...))
	}
	session := func(id string, fields ...byte) []byte { // version, TTL, end, limit, length of data
		return slices.Concat([]byte{byte(len(id))}, []byte(id), []byte{0}, fields)
	}
	good := made(session("a", 1, 1, 1, 0, 0), session("b", 1, 1, 1, 1, 0))
	if got := written(t, restored(t, good)); !bytes.Equal(got, good) {
		t.Fatalf("a snapshot made by hand: got %x, want %x", got, good)
	}
	bad := [][]byte{
		slices.Concat(data, []byte{0}),
		slices.Concat([]byte{2}, data[1:]),
		made(session("a", 1, 1, 1, 0, 0), session("a", 1, 1, 1, 0, 0)),
		made(session("b", 1, 1, 1, 0, 0), session("a", 1, 1, 1, 0, 0)),
		made(session("", 1, 1, 1, 0, 0)),
		made(session("a", 0, 1, 1, 0, 0)),
		made(session("a", 1, 0, 1, 0, 0)),
		made(session("a", 1, 1, 0, 0, 0)),
		made(session("a", 1, 1, 2, 1, 0)),                                                       // ends behind its limit
		made(session("a", 0x81, 0, 1, 1, 0, 0)),                                                 // a number longer than it need be
		made(session("a", 1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0, 0)), // over 63 bits
		{1, 0xff, 0xff, 0xff, 0xff, 0x7f},                                                       // a lie
		{1, 1, 0xff, 0xff, 0xff, 0xff, 0x7f, 'x'},
	}
	for n := range data {
		bad = append(bad, data[:n])
	}
	m := restored(t, data)
	for _, b := range bad {
		if err := m.Restore(bytes.NewReader(b)); !errors.Is(err, sessions.ErrCorrupt) {
			t.Errorf("%x: got %v, want ErrCorrupt", b, err)
		}
	}
	if !bytes.Equal(written(t, m), data) {
		t.Error("a refused snapshot changed the state")
	}
}

// FuzzRestore holds that what Restore takes is what would be saved.
func FuzzRestore(f *testing.F) {
	f.Add(newWorld(f).snapshot())
	f.Add(filled(f).snapshot())
	f.Fuzz(func(t *testing.T, data []byte) {
		w := newWorld(t)
		if w.m.Restore(bytes.NewReader(data)) != nil {
			return
		}
		if !bytes.Equal(w.snapshot(), data) {
			t.Fatalf("%x was taken, but is saved as %x", data, w.snapshot())
		}
		w.isStrange = true
		all, err := sessions.NewStore(w.s, sessions.StoreConfig{}).All()
		if err != nil {
			t.Fatal(err)
		}
		for id := range all {
			if len(id) <= sessions.MaxID {
				w.save(id, "{}", sessions.SaveOptions{User: "u"})
			}
		}
	})
}
