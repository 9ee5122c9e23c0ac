package behaviour

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/sessions"
)

func TestSessionsAreSeenOnEveryNode(t *testing.T) {
	t.Parallel()
	forSessionDoors(t, func(t *testing.T, d sessionDoor) {
		// The doors share what they save, which is the same.
		for n, id := range []string{
			"seen", "seen/on/every", "//", "..", ".", "%2F", "\x00\xff\xfe", "é ?#&=+;", "a\r\nb",
			"\u2028" + strings.Repeat("x", sessions.MaxID-3),
		} {
			want := []string{"data", "", "\x00\xff\r\n", strings.Repeat("x", 300<<10)}[n%4]
			version, at, err := d.save(n, id, want, sessions.SaveOptions{})
			if err != nil {
				t.Errorf("saving %q: %v", id, err)
				continue
			}
			for i := range 3 {
				for _, behind := range []sessions.Position{{}, at} {
					data, seen, _, err := d.load(i, id, i == 1, behind)
					if data != want || seen < version || err != nil {
						t.Errorf("loading %q from node %d behind %v: got %.20q at %d, %v; want %.20q at %d", id, i, behind, data, seen, err, want, version)
					}
				}
			}
		}
	})
}

func TestSessionsAreSavedOverAVersion(t *testing.T) {
	t.Parallel()
	forSessionDoors(t, func(t *testing.T, d sessionDoor) {
		id := t.Name()
		if _, _, err := d.save(0, id, "0", sessions.SaveOptions{If: sessions.AtVersion(7)}); !errors.Is(err, sessions.ErrConflict) {
			t.Errorf("over a version of none: got %v, want ErrConflict", err)
		}
		first, _, err := d.save(1, id, "0", sessions.SaveOptions{If: sessions.Absent()})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := d.save(2, id, "x", sessions.SaveOptions{If: sessions.Absent()}); !errors.Is(err, sessions.ErrConflict) {
			t.Errorf("where there is one: got %v, want ErrConflict", err)
		}
		if second, _, err := d.save(2, id, "0", sessions.SaveOptions{If: sessions.AtVersion(first)}); err != nil || second <= first {
			t.Errorf("over version %d: got %d, %v", first, second, err)
		}
		if _, _, err := d.save(0, id, "x", sessions.SaveOptions{If: sessions.AtVersion(first)}); !errors.Is(err, sessions.ErrConflict) {
			t.Errorf("over an old version: got %v, want ErrConflict", err)
		}
		const clients, each = 6, 5
		var all sync.WaitGroup
		for c := range clients {
			all.Go(func() {
				for range each {
					increment(t, d, c, id)
				}
			})
		}
		all.Wait()
		if data, _, _, err := d.load(0, id, false, sessions.Position{}); data != strconv.Itoa(clients*each) || err != nil {
			t.Errorf("counted by saving over versions: got %s, %v; want %d", data, err, clients*each)
		}
	})
}

// increment adds one to the number that a session holds.
func increment(t *testing.T, d sessionDoor, i int, id string) {
	t.Helper()
	for {
		data, version, _, err := d.load(i, id, false, sessions.Position{})
		n, _ := strconv.Atoi(data)
		if err == nil {
			_, _, err = d.save(i, id, strconv.Itoa(n+1), sessions.SaveOptions{If: sessions.AtVersion(version)})
		}
		if err == nil {
			return
		}
		if !errors.Is(err, sessions.ErrConflict) {
			t.Errorf("adding one: %v", err)
			return
		}
	}
}

// TestConcurrentMergesLoseNoField merges 50 fields at once over three nodes.
func TestConcurrentMergesLoseNoField(t *testing.T) {
	t.Parallel()
	forSessionDoors(t, func(t *testing.T, d sessionDoor) {
		const fields = 50
		id := t.Name()
		versions := make([]uint64, fields)
		var all sync.WaitGroup
		for i := range fields {
			all.Go(func() {
				var err error
				patch := fmt.Sprintf(`{"f%d":%d,"in":{"g%d":"%d","gone":null}}`, i, i, i, i)
				if versions[i], _, err = d.merge(i, id, patch, sessions.SaveOptions{}); err != nil {
					t.Errorf("merging field %d: %v", i, err)
				}
			})
		}
		all.Wait()
		want := map[string]any{}
		in := map[string]any{}
		for i := range fields {
			want["f"+strconv.Itoa(i)], in["g"+strconv.Itoa(i)] = i, strconv.Itoa(i)
		}
		want["in"] = in
		whole, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			data, version, _, err := d.load(i, id, false, sessions.Position{})
			if data != string(whole) || version != slices.Max(versions) || err != nil {
				t.Errorf("node %d: got %s at %d, %v; want %s at %d", i, data, version, err, whole, slices.Max(versions))
			}
		}
		slices.Sort(versions)
		if len(slices.Compact(versions)) != fields {
			t.Errorf("merges share versions: %d", versions)
		}
	})
}

func TestWhatCannotBeMerged(t *testing.T) {
	t.Parallel()
	forSessionDoors(t, func(t *testing.T, d sessionDoor) {
		id := t.Name()
		for _, patch := range []string{"", "null", "[]", `{"a":}`, `{} {}`, strings.Repeat(`{"a":`, 200) + "1" + strings.Repeat("}", 200)} {
			if _, _, err := d.merge(0, id, patch, sessions.SaveOptions{}); !errors.Is(err, sessions.ErrPatch) && (patch != "" || err == nil) {
				t.Errorf("patch %.20q: got %v, want ErrPatch", patch, err)
			}
		}
		if _, _, err := d.save(0, id, "no JSON", sessions.SaveOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := d.merge(1, id, `{"a":1}`, sessions.SaveOptions{}); !errors.Is(err, sessions.ErrNotObject) {
			t.Errorf("a session of text: got %v, want ErrNotObject", err)
		}
		if data, _, _, err := d.load(2, id, false, sessions.Position{}); data != "no JSON" || err != nil {
			t.Errorf("got %q, %v after merges that were refused", data, err)
		}
	})
}

func TestVersionsAreNotReusedAfterDestroying(t *testing.T) {
	t.Parallel()
	forSessionDoors(t, func(t *testing.T, d sessionDoor) {
		id := t.Name()
		last := uint64(0)
		for i := range 4 {
			version, _, err := d.save(i, id, "data", sessions.SaveOptions{})
			if err != nil || version <= last {
				t.Fatalf("got version %d after %d, %v", version, last, err)
			}
			for range 2 { // the second time there is none
				if err := d.destroy(i+1, id, ""); err != nil {
					t.Fatalf("destroying: %v", err)
				}
			}
			if _, _, _, err := d.load(i+2, id, true, sessions.Position{}); !errors.Is(err, sessions.ErrNotFound) {
				t.Errorf("loading what was destroyed: %v", err)
			}
			if _, _, err := d.save(i, id, "x", sessions.SaveOptions{If: sessions.AtVersion(version)}); !errors.Is(err, sessions.ErrConflict) {
				t.Errorf("over the version that was destroyed: got %v, want ErrConflict", err)
			}
			last = version
		}
	})
}

// TestLoggingOutEverywhere shows that it is seen on every node at once, by
// linearizable reads and by local ones behind the position returned.
func TestLoggingOutEverywhere(t *testing.T) {
	t.Parallel()
	forSessionDoors(t, func(t *testing.T, d sessionDoor) {
		for round, user := range []string{t.Name(), t.Name() + "\x00\xff/?&+ é"} {
			var ids []string
			for i := range 6 {
				id := fmt.Sprintf("%s %d/%d", t.Name(), round, i)
				if _, _, err := d.save(i, id, "data", sessions.SaveOptions{User: user, TTL: time.Hour}); err != nil {
					t.Fatal(err)
				}
				ids = append(ids, id)
			}
			if _, _, err := d.save(0, t.Name(), "other", sessions.SaveOptions{User: user + "2"}); err != nil {
				t.Fatal(err)
			}
			if _, _, err := d.save(1, ids[0], "saved again", sessions.SaveOptions{}); err != nil {
				t.Fatal(err)
			}
			for i := range 3 {
				if got, err := d.list(i, user, sessions.Position{}); !slices.Equal(got, ids) || err != nil {
					t.Errorf("node %d lists %q, %v; want %q", i, got, err, ids)
				}
			}
			count, at, err := d.destroyAll(round, user)
			if count != len(ids) || err != nil {
				t.Fatalf("destroying all: got %d, %v; want %d", count, err, len(ids))
			}
			for i := range 3 {
				for _, behind := range []sessions.Position{at, {}} {
					for _, id := range ids {
						if data, _, _, err := d.load(i, id, false, behind); !errors.Is(err, sessions.ErrNotFound) {
							t.Errorf("node %d behind %v has %q: %q, %v", i, behind, id, data, err)
						}
					}
					if got, err := d.list(i, user, behind); len(got) > 0 || err != nil {
						t.Errorf("node %d behind %v lists %q, %v", i, behind, got, err)
					}
				}
				if _, _, _, err := d.load(i, t.Name(), false, sessions.Position{}); err != nil {
					t.Errorf("another user's session: %v", err)
				}
			}
			if count, _, err := d.destroyAll(0, user); count != 0 || err != nil {
				t.Errorf("destroying none: got %d, %v", count, err)
			}
		}
	})
}

// ended waits until a session has ended, touching it meanwhile if touch is
// set, and returns for how long it was there after began at least.
func ended(t *testing.T, d sessionDoor, id string, touch bool, began time.Time) time.Duration {
	t.Helper()
	for i := 0; ; i++ {
		_, _, _, err := d.load(i, id, touch, sessions.Position{})
		switch {
		case errors.Is(err, sessions.ErrNotFound):
			return time.Since(began)
		case err != nil:
			t.Fatalf("waiting for the end: %v", err)
		case time.Since(began) > time.Minute:
			t.Fatal("it has not ended after a minute")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// clockRate is by how much the clocks of two leaders may differ.
const clockRate = 0.999

func TestSessionsEndWhenIdle(t *testing.T) {
	t.Parallel()
	forSessionDoors(t, func(t *testing.T, d sessionDoor) {
		const ttl = 300 * time.Millisecond
		for _, by := range []string{"save", "merge"} {
			id := t.Name() + by
			store := d.save
			if by == "merge" {
				store = d.merge
			}
			began := time.Now()
			if _, _, err := store(0, id, "{}", sessions.SaveOptions{TTL: ttl, User: id}); err != nil {
				t.Fatal(err)
			}
			if lived := ended(t, d, id, false, began); lived.Seconds() < ttl.Seconds()*clockRate {
				t.Errorf("%s: ended after %s, want %s", by, lived, ttl)
			}
			if ids, err := d.list(1, id, sessions.Position{}); len(ids) > 0 || err != nil {
				t.Errorf("%s: listed %q, %v after the end", by, ids, err)
			}
		}
	})
}

func TestSessionsEndAtTheirLimit(t *testing.T) {
	t.Parallel()
	forSessionDoors(t, func(t *testing.T, d sessionDoor) {
		const limit = 400 * time.Millisecond
		id := t.Name()
		began := time.Now()
		version, _, err := d.save(0, id, "{}", sessions.SaveOptions{TTL: time.Hour, Limit: limit})
		if err != nil {
			t.Fatal(err)
		}
		for i, o := range []sessions.SaveOptions{{}, {TTL: 2 * time.Hour}, {Limit: time.Hour}} {
			o.If = sessions.AtVersion(version)
			if version, _, err = d.save(i, id, "{}", o); err != nil {
				break // on a slow machine it has ended already
			}
		}
		if lived := ended(t, d, id, true, began); lived.Seconds() < limit.Seconds()*clockRate {
			t.Errorf("ended after %s, want %s", lived, limit)
		}
	})
}

// TestATouchKeepsASession touches a session until it has outlived its idle
// time several times. On a machine that is too slow to touch it in time it is
// tried again, a few times.
func TestATouchKeepsASession(t *testing.T) {
	t.Parallel()
	forSessionDoors(t, func(t *testing.T, d sessionDoor) {
		const ttl = time.Second
		for range 5 {
			began, last := time.Now(), time.Now()
			if _, _, err := d.save(0, t.Name(), "data", sessions.SaveOptions{TTL: ttl}); err != nil {
				t.Fatal(err)
			}
			for i := 0; time.Since(began) < 3*ttl; i++ {
				time.Sleep(ttl / 10)
				sent := time.Now()
				_, _, _, err := d.load(i, t.Name(), true, sessions.Position{})
				idle := time.Since(last)
				if errors.Is(err, sessions.ErrNotFound) {
					if idle.Seconds() < 0.9*ttl.Seconds()*clockRate {
						t.Fatalf("ended %s after a touch", idle)
					}
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				last = sent
			}
			if time.Since(began) >= 3*ttl {
				return
			}
		}
		t.Log("this machine is too slow to tell")
	})
}

func TestARetriedWriteOfASessionTakesEffectOnce(t *testing.T) {
	t.Parallel()
	forSessionDoors(t, func(t *testing.T, d sessionDoor) {
		id := t.Name()
		for what, store := range map[string]func(int, string, string, sessions.SaveOptions) (uint64, sessions.Position, error){"save": d.save, "merge": d.merge} {
			o := sessions.SaveOptions{Idem: id + what}
			first, _, err := store(0, id, "{}", o)
			again, _, err2 := store(0, id, "{}", o)
			if first != again || err != nil || err2 != nil {
				t.Errorf("%s: got versions %d and %d, %v and %v", what, first, again, err, err2)
			}
			if _, _, err := store(0, id, `{"a":1}`, o); !errors.Is(err, machine.ErrReused) {
				t.Errorf("%s: another with the same key: got %v, want ErrReused", what, err)
			}
		}
		if err := d.destroy(1, id, id); err != nil {
			t.Fatal(err)
		}
		version, _, err := d.save(2, id, "new", sessions.SaveOptions{})
		if err == nil {
			err = d.destroy(1, id, id)
		}
		if _, seen, _, err2 := d.load(0, id, false, sessions.Position{}); seen != version || err != nil || err2 != nil {
			t.Errorf("a destroy was repeated: got version %d, %v, %v; want %d", seen, err, err2, version)
		}
	})
}

func TestSessionsOutOfBounds(t *testing.T) {
	t.Parallel()
	forSessionDoors(t, func(t *testing.T, d sessionDoor) {
		long := strings.Repeat("x", 513)
		_, _, tooLong := d.save(0, long, "", sessions.SaveOptions{})
		_, _, longUser := d.save(0, t.Name(), "", sessions.SaveOptions{User: long})
		_, _, _, longLoad := d.load(0, long, true, sessions.Position{})
		_, longList := d.list(0, long, sessions.Position{})
		_, _, longAll := d.destroyAll(0, long)
		for i, err := range []error{tooLong, longUser, longLoad, longList, longAll, d.destroy(0, long, "")} {
			if !errors.Is(err, sessions.ErrInvalid) {
				t.Errorf("call %d: got %v, want ErrInvalid", i, err)
			}
		}
		if _, _, err := d.save(0, t.Name(), strings.Repeat("x", 8<<20+1), sessions.SaveOptions{}); !errors.Is(err, machine.ErrTooBig) {
			t.Errorf("a session that is too long: got %v, want ErrTooBig", err)
		}
		if _, _, _, err := d.load(1, t.Name(), false, sessions.Position{}); !errors.Is(err, sessions.ErrNotFound) {
			t.Errorf("what was refused is there: %v", err)
		}
	})
}
