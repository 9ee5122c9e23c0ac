package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/sessions"
)

func TestSaveAndLoad(t *testing.T) {
	w := newWorld(t)
	first := w.save("\x00\xff", "one\x00", sessions.SaveOptions{TTL: time.Minute, Limit: time.Hour, User: "u"})
	second := w.save("\x00\xff", "", sessions.SaveOptions{})
	if second <= first {
		t.Errorf("versions: got %d, then %d", first, second)
	}
	got := w.load("\x00\xff", sessions.LoadOptions{})
	want := sessions.Session{
		Version: second, User: "u", TTL: time.Minute, Left: time.Minute, Limit: time.Hour,
		At: sessions.Position{Cluster: "c1", Index: 7}, Data: []byte{},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	missing, err := w.s.Load(t.Context(), "other", sessions.LoadOptions{Touch: true})
	if !errors.Is(err, sessions.ErrNotFound) || missing.At != want.At {
		t.Errorf("a missing session: got %+v, %v", missing, err)
	}
}

func TestConditions(t *testing.T) {
	w := newWorld(t)
	v := w.save("s", `{}`, sessions.SaveOptions{})
	old := v
	for _, step := range []struct {
		id      string
		when    sessions.Condition
		isMerge bool
		holds   bool
	}{
		{"s", sessions.AtVersion(old), false, true},
		{"s", sessions.AtVersion(old), false, false},
		{"s", sessions.AtVersion(old), true, false},
		{"s", sessions.Present(), true, true},
		{"s", sessions.Absent(), true, false},
		{"s", sessions.AtVersion(0), false, false},
		{"s", sessions.Condition{}, false, true},
		{"a", sessions.Present(), false, false},
		{"a", sessions.Present(), true, false},
		{"a", sessions.AtVersion(old), false, false},
		{"a", sessions.Absent(), true, true},
		{"b", sessions.AtVersion(0), false, true},
	} {
		store := w.s.Save
		if step.isMerge {
			store = w.s.Merge
		}
		before := w.load(step.id, sessions.LoadOptions{}).Version
		saved, err := store(t.Context(), step.id, []byte(`{}`), sessions.SaveOptions{If: step.when})
		after := w.load(step.id, sessions.LoadOptions{}).Version
		switch {
		case step.holds && (err != nil || saved.Version <= max(before, v) || saved.Version != after):
			t.Errorf("%+v: got %+v, %v, version %d before and %d after", step, saved, err, before, after)
		case !step.holds && (!errors.Is(err, sessions.ErrConflict) || after != before || saved.At.Index == 0):
			t.Errorf("%+v: got %+v, %v, version %d before and %d after", step, saved, err, before, after)
		}
		v = max(v, after)
	}
}

func TestVersionsAreNotReused(t *testing.T) {
	w := newWorld(t)
	first := w.save("s", "", sessions.SaveOptions{})
	for range 3 {
		if _, err := w.s.Destroy(t.Context(), "s", sessions.DestroyOptions{}); err != nil {
			t.Fatal(err)
		}
		again := w.save("s", "", sessions.SaveOptions{})
		if _, err := w.s.Save(t.Context(), "s", nil, sessions.SaveOptions{If: sessions.AtVersion(first)}); again <= first || !errors.Is(err, sessions.ErrConflict) {
			t.Errorf("version %d, then %d after destroying; saving over the first: %v", first, again, err)
		}
		first = again
	}
}

// TestTimes tells the life of a session: what is done when, and how long it
// has then.
func TestTimes(t *testing.T) {
	const s = time.Second
	type step struct {
		after time.Duration
		do    string // save, merge, touch (by a load), retouch (with ttl) or nothing
		o     sessions.SaveOptions
		left  time.Duration // until it ends
		limit time.Duration // until it ends in any case
	}
	for name, steps := range map[string][]step{
		"a day where nothing is said": {
			{0, "save", sessions.SaveOptions{}, 24 * time.Hour, 0},
			{time.Hour, "save", sessions.SaveOptions{}, 24 * time.Hour, 0},
			{24*time.Hour - 1, "", sessions.SaveOptions{}, 1, 0},
			{1, "", sessions.SaveOptions{}, 0, 0},
		},
		"a merge makes one too": {
			{0, "merge", sessions.SaveOptions{}, 24 * time.Hour, 0},
		},
		"what was said is kept": {
			{0, "save", sessions.SaveOptions{TTL: 10 * s, Limit: 60 * s}, 10 * s, 60 * s},
			{5 * s, "save", sessions.SaveOptions{}, 10 * s, 55 * s},
			{5 * s, "merge", sessions.SaveOptions{}, 10 * s, 50 * s},
			{1 * s, "merge", sessions.SaveOptions{TTL: 20 * s}, 20 * s, 49 * s},
			{9 * s, "touch", sessions.SaveOptions{}, 20 * s, 40 * s},
			{20 * s, "", sessions.SaveOptions{}, 0, 0},
		},
		"the limit never moves away": {
			{0, "save", sessions.SaveOptions{TTL: 30 * s, Limit: 40 * s}, 30 * s, 40 * s},
			{10 * s, "save", sessions.SaveOptions{Limit: 40 * s}, 30 * s, 30 * s},
			{10 * s, "touch", sessions.SaveOptions{}, 20 * s, 20 * s},
			{10 * s, "save", sessions.SaveOptions{Limit: 5 * s, TTL: 60 * s}, 5 * s, 5 * s},
			{4 * s, "save", sessions.SaveOptions{TTL: 60 * s}, 1 * s, 1 * s},
			{1 * s, "", sessions.SaveOptions{}, 0, 0},
			{0, "save", sessions.SaveOptions{Limit: 50 * s, TTL: 60 * s}, 50 * s, 50 * s},
		},
		"a new one has nothing of the one that ended": {
			{0, "save", sessions.SaveOptions{TTL: 5 * s, Limit: 8 * s}, 5 * s, 8 * s},
			{5 * s, "save", sessions.SaveOptions{}, 24 * time.Hour, 0},
		},
		"a touch gains a tenth or nothing": {
			{0, "save", sessions.SaveOptions{TTL: 100 * s}, 100 * s, 0},
			{10*s - 1*time.Millisecond, "touch", sessions.SaveOptions{}, 90*s + 1*time.Millisecond, 0},
			{1 * time.Millisecond, "touch", sessions.SaveOptions{}, 100 * s, 0},
			{1 * s, "retouch", sessions.SaveOptions{TTL: 100 * s}, 99 * s, 0},
			{0, "retouch", sessions.SaveOptions{TTL: 90 * s}, 90 * s, 0},
			{0, "retouch", sessions.SaveOptions{TTL: 95 * s}, 90 * s, 0},
			{0, "retouch", sessions.SaveOptions{TTL: 100 * s}, 100 * s, 0},
			{50 * s, "touch", sessions.SaveOptions{}, 100 * s, 0},
		},
		"a touch reaches the limit, however near": {
			{0, "save", sessions.SaveOptions{TTL: 100 * s, Limit: 101 * s}, 100 * s, 101 * s},
			{500 * time.Millisecond, "touch", sessions.SaveOptions{}, 99500 * time.Millisecond, 100500 * time.Millisecond},
			{500 * time.Millisecond, "touch", sessions.SaveOptions{}, 100 * s, 100 * s},
			{1 * s, "touch", sessions.SaveOptions{}, 99 * s, 99 * s},
			{99 * s, "touch", sessions.SaveOptions{}, 0, 0},
		},
		"the longest": {
			{0, "save", sessions.SaveOptions{TTL: sessions.MaxTTL, Limit: sessions.MaxTTL}, sessions.MaxTTL, sessions.MaxTTL},
			{sessions.MaxTTL - 1, "", sessions.SaveOptions{}, 1, 1},
		},
		"the shortest": {
			{0, "save", sessions.SaveOptions{TTL: 1, Limit: 1}, time.Millisecond, time.Millisecond},
		},
	} {
		w := newWorld(t)
		for i, step := range steps {
			w.sleep(step.after)
			var err error
			switch step.do {
			case "save":
				_, err = w.s.Save(t.Context(), "s", []byte("{}"), step.o)
			case "merge":
				_, err = w.s.Merge(t.Context(), "s", []byte("{}"), step.o)
			case "touch":
				got := w.load("s", sessions.LoadOptions{Touch: true})
				if err = got.TouchErr; got.Left != step.left {
					t.Errorf("%s, step %d: the touch says %s are left, want %s", name, i, got.Left, step.left)
				}
			case "retouch":
				_, err = w.s.Touch(t.Context(), "s", step.o.TTL)
			}
			got := w.load("s", sessions.LoadOptions{})
			if got.Left != step.left || got.Limit != step.limit || err != nil {
				t.Errorf("%s, step %d: got %s left and %s to the limit, %v; want %s and %s", name, i, got.Left, got.Limit, err, step.left, step.limit)
			}
		}
	}
}

// TestATouchIsWrittenOnlyWhereItGains counts what is sent to the log.
func TestATouchIsWrittenOnlyWhereItGains(t *testing.T) {
	w := newWorld(t)
	w.save("s", "", sessions.SaveOptions{TTL: time.Minute})
	v := w.load("s", sessions.LoadOptions{}).Version
	w.items = nil
	for range 60 { // a minute of a touch each second
		w.sleep(time.Second)
		w.load("s", sessions.LoadOptions{Touch: true})
	}
	if len(w.items) != 10 {
		t.Errorf("got %d entries for 60 touches, want 10", len(w.items))
	}
	if got := w.load("s", sessions.LoadOptions{}).Version; got != v {
		t.Errorf("touches changed the version from %d to %d", v, got)
	}
	if _, err := w.s.Touch(t.Context(), "none", 0); !errors.Is(err, sessions.ErrNotFound) {
		t.Errorf("touching what is not there: %v", err)
	}
}

// TestALocalReadTouchesByTheClockOfTheLog is about an idle cluster, in which
// the replica has heard of no time since the session was saved.
func TestALocalReadTouchesByTheClockOfTheLog(t *testing.T) {
	w := newWorld(t)
	w.save("s", "", sessions.SaveOptions{TTL: 30 * time.Minute})
	w.sleep(29 * time.Minute)
	w.lag = 29 * time.Minute
	w.load("s", sessions.LoadOptions{Touch: true, Consistency: machine.Local})
	w.sleep(2 * time.Minute)
	if !w.has("s") {
		t.Error("a session that was touched has ended")
	}
	w.sleep(time.Hour)
	w.lag = time.Hour + time.Minute
	if w.load("s", sessions.LoadOptions{Consistency: machine.Local}).Version == 0 {
		t.Error("the replica knows too early that the session has ended")
	} else {
		got, err := w.s.Load(t.Context(), "s", sessions.LoadOptions{Touch: true, Consistency: machine.Local})
		if !errors.Is(err, sessions.ErrNotFound) {
			t.Errorf("a touch finds that it has ended: got %+v, %v", got, err)
		}
	}
}

func TestWithoutAQuorumATouchIsMissedButTheSessionServed(t *testing.T) {
	for _, err := range []error{machine.ErrNoQuorum, machine.ErrUnknown, machine.ErrFull} {
		w := newWorld(t)
		w.save("s", "data", sessions.SaveOptions{TTL: time.Hour})
		w.sleep(30 * time.Minute)
		w.doErr, w.isStale = err, true
		at := sessions.Position{Cluster: "c1", Index: 3}
		got := w.load("s", sessions.LoadOptions{Touch: true, Consistency: at.Consistency()})
		if string(got.Data) != "data" || !errors.Is(got.TouchErr, err) || got.Left != 30*time.Minute {
			t.Errorf("%v: got %+v", err, got)
		}
		if w.asked[0] != machine.AtLeast("c1", 3) {
			t.Errorf("%v: asked %v", err, w.asked)
		}
	}
}

func TestErrorsOfTheLogAreGivenBack(t *testing.T) {
	w := newWorld(t)
	w.doErr, w.queryErr = machine.ErrUnknown, machine.ErrNoQuorum
	ctx := t.Context()
	_, save := w.s.Save(ctx, "s", nil, sessions.SaveOptions{})
	_, merge := w.s.Merge(ctx, "s", []byte("{}"), sessions.SaveOptions{})
	_, destroy := w.s.Destroy(ctx, "s", sessions.DestroyOptions{})
	_, all := w.s.DestroyAll(ctx, "u", sessions.DestroyOptions{})
	_, load := w.s.Load(ctx, "s", sessions.LoadOptions{Touch: true})
	_, touch := w.s.Touch(ctx, "s", 0)
	_, list := w.s.List(ctx, "u", machine.Linearizable)
	for i, err := range []error{save, merge, destroy, all} {
		if !errors.Is(err, machine.ErrUnknown) {
			t.Errorf("write %d: got %v, want ErrUnknown", i, err)
		}
	}
	for i, err := range []error{load, touch, list} {
		if !errors.Is(err, machine.ErrNoQuorum) {
			t.Errorf("read %d: got %v, want ErrNoQuorum", i, err)
		}
	}
}

func TestUsers(t *testing.T) {
	w := newWorld(t)
	for _, id := range []string{"c", "a", "b"} {
		w.save(id, "", sessions.SaveOptions{User: "u", TTL: time.Minute})
	}
	w.save("x", "", sessions.SaveOptions{User: "u2"})
	w.save("y", "", sessions.SaveOptions{})
	list := func(user string, want ...string) {
		t.Helper()
		got, err := w.s.List(t.Context(), user, machine.Linearizable)
		if !slices.Equal(got.IDs, want) || err != nil || got.At.Index != w.stamp.Index {
			t.Errorf("sessions of %s: got %+v, %v; want %q", user, got, err, want)
		}
	}
	list("u", "a", "b", "c")
	list("u2", "x")
	list("nobody")
	w.save("a", "", sessions.SaveOptions{}) // keeps its user
	w.save("b", "", sessions.SaveOptions{User: "u2"})
	list("u", "a", "c")
	list("u2", "b", "x")
	w.sleep(time.Minute)
	list("u")
	list("u2", "x")
	w.save("a", "", sessions.SaveOptions{}) // a new one, nobody's
	list("u")
	w.save("d", "", sessions.SaveOptions{User: "u"})

	gone, err := w.s.DestroyAll(t.Context(), "u2", sessions.DestroyOptions{})
	if gone.Count != 1 || gone.At.Index != w.stamp.Index || err != nil {
		t.Errorf("destroying all: got %+v, %v; want 1 at %d", gone, err, w.stamp.Index)
	}
	list("u2")
	list("u", "d")
	if w.has("x") || !w.has("y") || !w.has("d") {
		t.Error("more or less than the user's sessions were destroyed")
	}
	gone, err = w.s.DestroyAll(t.Context(), "u2", sessions.DestroyOptions{})
	if gone.Count != 0 || err != nil {
		t.Errorf("destroying none: got %+v, %v", gone, err)
	}
}

func TestDestroy(t *testing.T) {
	w := newWorld(t)
	w.save("s", "", sessions.SaveOptions{TTL: time.Second, User: "u"})
	for _, want := range []int{1, 0} {
		if got, err := w.s.Destroy(t.Context(), "s", sessions.DestroyOptions{}); got.Count != want || err != nil || w.has("s") {
			t.Errorf("got %+v, %v; want %d", got, err, want)
		}
	}
	w.save("s", "", sessions.SaveOptions{TTL: time.Second})
	w.sleep(time.Second)
	if got, _ := w.s.Destroy(t.Context(), "s", sessions.DestroyOptions{}); got.Count != 0 {
		t.Errorf("what had ended counts %d", got.Count)
	}
	if w.m.Size() != 0 || len(w.index) != 0 {
		t.Errorf("size %d and deadlines %v are left", w.m.Size(), w.index)
	}
}

func TestMerge(t *testing.T) {
	w := newWorld(t)
	merge := func(id, patch string) error {
		_, err := w.s.Merge(t.Context(), id, []byte(patch), sessions.SaveOptions{User: "u"})
		return err
	}
	if err := merge("s", `{"b":{"x":1,"y":null},"a":null}`); err != nil {
		t.Fatal(err)
	}
	if err := merge("s", `{"b":{"z":2.0}}`); err != nil {
		t.Fatal(err)
	}
	if got, want := string(w.load("s", sessions.LoadOptions{}).Data), `{"b":{"x":1,"z":2.0}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, patch := range []string{"", "null", "[]", `"a"`, "{", strings.Repeat(`{"a":`, 150)} {
		sent := len(w.items)
		if err := merge("s", patch); !errors.Is(err, sessions.ErrPatch) || len(w.items) != sent {
			t.Errorf("patch %.20q: got %v, want ErrPatch without asking", patch, err)
		}
	}
	for _, data := range []string{"", "null", "[1]", "not JSON", "\xff"} {
		v := w.save("t", data, sessions.SaveOptions{})
		if err := merge("t", "{}"); !errors.Is(err, sessions.ErrNotObject) {
			t.Errorf("session %q: got %v, want ErrNotObject", data, err)
		}
		if got := w.load("t", sessions.LoadOptions{}); got.Version != v || string(got.Data) != data {
			t.Errorf("session %q: got %+v after a merge that was refused", data, got)
		}
	}
}

func TestBounds(t *testing.T) {
	w := newWorld(t)
	long := strings.Repeat("x", 512)
	if _, err := w.s.Save(t.Context(), long, nil, sessions.SaveOptions{User: long}); err != nil {
		t.Errorf("the longest names: %v", err)
	}
	sent := len(w.items)
	save := func(id string, o sessions.SaveOptions) func() error {
		return func() error { _, err := w.s.Save(t.Context(), id, nil, o); return err }
	}
	for name, do := range map[string]func() error{
		"no ID":            save("", sessions.SaveOptions{}),
		"a long ID":        save(long+"x", sessions.SaveOptions{}),
		"a long user":      save("s", sessions.SaveOptions{User: long + "x"}),
		"a negative TTL":   save("s", sessions.SaveOptions{TTL: -1}),
		"a long TTL":       save("s", sessions.SaveOptions{TTL: sessions.MaxTTL + 1}),
		"a negative limit": save("s", sessions.SaveOptions{Limit: -1}),
		"a long limit":     save("s", sessions.SaveOptions{Limit: sessions.MaxTTL + 1}),
		"loading no ID":    func() error { _, err := w.s.Load(t.Context(), "", sessions.LoadOptions{}); return err },
		"touching no ID":   func() error { _, err := w.s.Touch(t.Context(), "", 0); return err },
		"a negative touch": func() error { _, err := w.s.Touch(t.Context(), "s", -1); return err },
		"destroying no ID": func() error { _, err := w.s.Destroy(t.Context(), "", sessions.DestroyOptions{}); return err },
		"nobody's, all":    func() error { _, err := w.s.DestroyAll(t.Context(), "", sessions.DestroyOptions{}); return err },
		"nobody's, listed": func() error { _, err := w.s.List(t.Context(), "", machine.Local); return err },
	} {
		if err := do(); !errors.Is(err, sessions.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
	if len(w.items) != sent || len(w.asked) != 0 {
		t.Error("what is out of bounds was sent to the log")
	}
}

func TestSizes(t *testing.T) {
	w := newWorld(t)
	field := func(name string, n int) []byte { return fmt.Appendf(nil, `{%q:%q}`, name, strings.Repeat("x", n-8)) }
	if _, err := w.s.Save(t.Context(), "s", field("a", 1000), sessions.SaveOptions{}); err != nil {
		t.Errorf("the longest session: %v", err)
	}
	check := func(what string, err error, size int) {
		t.Helper()
		tooBig, found := errors.AsType[*sessions.TooBigError](err)
		if !found || *tooBig != (sessions.TooBigError{Size: size, Max: 1000}) || !errors.Is(err, machine.ErrTooBig) {
			t.Errorf("%s: got %v, want that %d is over 1000", what, err, size)
		}
	}
	_, err := w.s.Save(t.Context(), "s", field("a", 1001), sessions.SaveOptions{})
	check("a longer one", err, 1001)
	_, err = w.s.Merge(t.Context(), "s", field("a", 1001), sessions.SaveOptions{})
	check("a longer patch", err, 1001)
	_, err = w.s.Merge(t.Context(), "s", field("b", 20), sessions.SaveOptions{})
	check("together", err, 1000+20-1)
	if _, err = w.s.Merge(t.Context(), "s", field("a", 20), sessions.SaveOptions{}); err != nil {
		t.Errorf("a patch that makes it smaller: %v", err)
	}
}

func TestIdempotencyKeysAreHandedOn(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	_, _ = w.s.Save(ctx, "s", nil, sessions.SaveOptions{Idem: "1"})
	_, _ = w.s.Merge(ctx, "s", []byte("{}"), sessions.SaveOptions{Idem: "2"})
	_, _ = w.s.Destroy(ctx, "s", sessions.DestroyOptions{Idem: "3"})
	_, _ = w.s.DestroyAll(ctx, "u", sessions.DestroyOptions{Idem: "4"})
	got := ""
	for _, item := range w.items {
		got += fmt.Sprint(item.Idem, item.Frees, " ")
	}
	if want := "1false 2false 3true 4true "; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestLittleRoom says what is refused while more than four fifths are used:
// what would be kept for more than a day, and takes more room than before.
func TestLittleRoom(t *testing.T) {
	const day = 24 * time.Hour
	long, short := sessions.SaveOptions{TTL: day + time.Hour}, sessions.SaveOptions{TTL: day}
	for _, test := range []struct {
		name      string
		before    string
		old       sessions.SaveOptions
		data      string
		o         sessions.SaveOptions
		isRefused bool
	}{
		{"a new long one", "", sessions.SaveOptions{}, "ab", long, true},
		{"a new short one", "", sessions.SaveOptions{}, "ab", short, false},
		{"a new one of a day", "", sessions.SaveOptions{}, "ab", sessions.SaveOptions{}, false},
		{"a new long one with a near limit", "", sessions.SaveOptions{}, "ab", sessions.SaveOptions{TTL: day * 2, Limit: day}, false},
		{"a long one that grows", "ab", long, "abc", sessions.SaveOptions{}, true},
		{"a long one that does not", "ab", long, "cd", sessions.SaveOptions{}, false},
		{"a long one that becomes short", "ab", long, "abc", short, false},
		{"a short one that becomes long", "ab", short, "ab", long, true},
		{"a short one that grows", "ab", short, "abcd", sessions.SaveOptions{}, false},
	} {
		w := newWorld(t)
		if test.before != "" {
			w.save("s", test.before, test.old)
		}
		before := w.snapshot()
		w.pressure = machine.PressureHigh
		_, err := w.s.Save(t.Context(), "s", []byte(test.data), test.o)
		if errors.Is(err, machine.ErrFull) != test.isRefused || w.refused != test.isRefused || err != nil && !test.isRefused {
			t.Errorf("%s: got %v, refused is %v", test.name, err, w.refused)
		}
		if test.isRefused && string(w.snapshot()) != string(before) {
			t.Errorf("%s: what was refused has had an effect", test.name)
		}
	}
	w := newWorld(t)
	w.save("s", "", long)
	w.save("t", "", short)
	w.sleep(12 * time.Hour)
	w.pressure = machine.PressureFull
	if got := w.load("s", sessions.LoadOptions{Touch: true}); got.TouchErr != nil || got.Left != long.TTL || !w.items[len(w.items)-1].Frees {
		t.Errorf("touching a long one: got %+v", got)
	}
	if _, err := w.s.Touch(t.Context(), "t", long.TTL); !errors.Is(err, machine.ErrFull) {
		t.Errorf("touching a short one to be long: got %v, want ErrFull", err)
	}
}
