package keyspace_test

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/huddlecache/huddle/keyspace"
)

func TestAppendLeavesSnapshotsAlone(t *testing.T) {
	w := newWorld(t)
	w.apply("SET", "k", "")
	var snaps []func() []byte
	var want [][]byte
	for i := range 100 {
		w.apply("APPEND", "k", strconv.Itoa(i))
		snap := w.space.Snapshot()
		snaps = append(snaps, func() []byte { return written(t, snap) })
		want = append(want, snaps[i]())
	}
	for i := range snaps {
		if !bytes.Equal(snaps[i](), want[i]) {
			t.Errorf("snapshot %d has changed", i)
		}
	}
}

func TestSnapshotIsFrozen(t *testing.T) {
	w := newWorld(t)
	for i := range 1000 {
		w.db = i % 3
		w.apply("SET", strconv.Itoa(i), "v", "EX", "100")
	}
	snap := w.space.Snapshot()
	before := written(t, snap)
	for i := range 1000 {
		w.db = i % 3
		w.apply([]string{"DEL", "INCR", "PERSIST", "GETDEL"}[i%4], strconv.Itoa(i))
	}
	w.apply("FLUSHALL")
	if !bytes.Equal(written(t, snap), before) {
		t.Error("the snapshot changed with the state")
	}
}

// TestSnapshotIsWrittenMeanwhile is for the race detector.
func TestSnapshotIsWrittenMeanwhile(t *testing.T) {
	w := newWorld(t)
	for i := range 500 {
		w.apply("SET", strconv.Itoa(i), "v")
	}
	get := w.encode([]string{"GET", "1"})
	for round := range 10 {
		snap, stamp := w.space.Snapshot(), w.stamp
		want := written(t, snap)
		var wg sync.WaitGroup
		var got bytes.Buffer
		wg.Go(func() { snap.WriteTo(&got) })
		for i := range 200 {
			key := strconv.Itoa(round*100 + i)
			w.apply("APPEND", key, "more")
			w.apply("DEL", strconv.Itoa(i))
		}
		wg.Go(func() { w.space.Query(stamp, get) })
		wg.Go(func() { w.space.Query(stamp, get) })
		wg.Wait()
		if !bytes.Equal(got.Bytes(), want) {
			t.Fatalf("round %d: the snapshot changed while it was written", round)
		}
	}
}

func TestRestoreIsWhatWasSaved(t *testing.T) {
	w := newWorld(t)
	w.want("SET k v EX 100", "+OK")
	w.want("SET long "+strings.Repeat("x", 200_000), "+OK")
	w.db = 15
	w.want("SET far v PXAT 9223372036854775807", "+OK")
	data := w.snapshot()

	w2 := newWorld(t)
	w2.want("SET other v", "+OK")
	if err := w2.space.Restore(bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	w2.want("DBSIZE", ":2")
	w2.want("EXISTS other", ":0")
	w2.want("TTL k", ":100")
	w2.want("STRLEN long", ":200000")
	w2.db = 15
	w2.want("PEXPIRETIME far", ":9223372036854775807")
	if got, want := w2.space.Size(), w.space.Size(); got != want {
		t.Errorf("size %d, want %d", got, want)
	}
	if !bytes.Equal(w2.snapshot(), data) {
		t.Error("another snapshot than the one restored")
	}
}

func TestRestoreRefusesWhatNoSnapshotWrote(t *testing.T) {
	w := newWorld(t)
	w.apply("MSET", "a", "1", "b", "2")
	w.apply("SET", "c", "3", "EX", "5")
	data := w.snapshot()
	order := parseReply(t, w.do("KEYS", "[ab]")) // as the seed has it
	bad := [][]byte{append(bytes.Clone(data), 0)}
	for n := range data {
		bad = append(bad, data[:n])
	}
	header, entry := data[:18], func(key byte) []byte { return []byte{1, 1, key, 7, 1, 'v'} }
	database := func(start []byte, keys ...byte) []byte {
		b := slices.Concat(header, start)
		for _, key := range keys {
			b = append(b, entry(key)...)
		}
		return append(b, 0xff)
	}
	whole := func(kind byte, content ...byte) []byte {
		return slices.Concat(header, []byte{0, 0, 0, 1, kind, 1, 'k', 7}, content, []byte{0xff})
	}
	script := func(content ...byte) []byte { return slices.Concat(header, []byte{0xfe}, content, []byte{0xff}) }
	good := [][]byte{
		script(1, 1, 'x', 7),
		database([]byte{0, 0, 0, 1}, 'a'),
		database([]byte{0, 3, 9, 0}),
		whole(2, 1, 1, 'f', 1, 'v'),
		whole(3, 1, 1, 'm'),
		whole(4, 2, 1, 'e', 1, 'e'),
		whole(5, 1, 1, 'm', 0x3f, 0xf0, 0, 0, 0, 0, 0, 0),
	}
	for _, b := range good {
		if err := newWorld(t).space.Restore(bytes.NewReader(b)); err != nil {
			t.Fatalf("a snapshot made by hand, %x: %v", b, err)
		}
	}
	bad = append(bad,
		database([]byte{0, 0, 0, 2}, 'a', 'a'),
		database([]byte{0, 0, 0, 2}, order[1][0], order[0][0]),
		database([]byte{0, 0, 0, 0}),
		script(0),
		script(1, 1, 'x', 7, 0),
		script(2, 1, 'x', 7, 1, 'x', 7),
		slices.Concat(header, []byte{0xfe, 1, 1, 'x', 7}),
		database([]byte{16, 0, 0, 1}, 'a'),
		database([]byte{0, 0, 0, 0x81, 0}, 'a'), // a number longer than it need be
		database([]byte{0, 0, 0, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2}, 'a'),
		slices.Concat(header, []byte{0, 0, 0, 1, 1, 1, 'a', 7, 1, 'v', 0, 0, 0, 1, 1, 1, 'b', 7, 1, 'v', 0xff}),
		whole(9, 1, 'v'),
		whole(0x81, 0, 5, 1, 'v'), // an end that is never
		whole(2, 0),
		whole(3, 2, 1, 'm', 1, 'm'),
		whole(2, 2, 1, 'm', 0, 1, 'm', 0),
		whole(5, 2, 1, 'm', 0, 0, 0, 0, 0, 0, 0, 0, 1, 'm', 0, 0, 0, 0, 0, 0, 0, 0),
		whole(5, 1, 1, 'm', 0x7f, 0xff, 0, 0, 0, 0, 0, 0), // no number
		whole(5, 1, 1, 'm', 0x80, 0, 0, 0, 0, 0, 0, 0),    // minus zero
		slices.Concat([]byte{1}, data[1:]),
		slices.Concat([]byte{2, 0}, data[2:]),
		slices.Concat([]byte{2, 2}, data[2:]),
	)
	for _, b := range bad {
		if err := w.space.Restore(bytes.NewReader(b)); !errors.Is(err, keyspace.ErrCorrupt) {
			t.Errorf("%x: %v, want ErrCorrupt", b, err)
		}
	}
	if !bytes.Equal(w.snapshot(), data) {
		t.Error("a refused snapshot changed the state")
	}
}
