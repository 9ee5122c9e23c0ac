package e2e

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/huddlecache/huddle/internal/respclient"
)

// A sessionOp is what one client asked of a session, and was told.
type sessionOp struct {
	kind      string // merge, set, get, gone (a session is looked for after its user was logged out) or logout
	id        string
	user      string
	field     string // that a merge adds
	data      string // that was set or read
	fields    map[string]bool
	version   int64
	found     bool
	outcome   respclient.Outcome
	call, ret time.Duration
}

func (o *sessionOp) String() string {
	return fmt.Sprintf("%s of %s (user %q, field %q, %d fields) from %v to %v: outcome %v, version %d, found %v",
		o.kind, o.id, o.user, o.field, len(o.fields), o.call, o.ret, o.outcome, o.version, o.found)
}

// A sessionHistory is all that clients did with sessions.
type sessionHistory []*sessionOp

// check returns what must not have happened, a few of each kind.
func (h sessionHistory) check() []string {
	return slices.Concat(first(h.fieldsLost()), first(h.versionsReused()), first(h.contentsMixed()), first(h.loggedIn()))
}

// of returns the answered operations of some kinds.
func (h sessionHistory) of(kinds ...string) (list sessionHistory) {
	for _, o := range h {
		if slices.Contains(kinds, o.kind) && o.outcome == respclient.Answered {
			list = append(list, o)
		}
	}
	return list
}

// fieldsLost finds reads that lack a field whose merge had been answered
// before they began, or of whose merge they have the version or a later one;
// and those that have a field whose merge was certainly not applied.
func (h sessionHistory) fieldsLost() (wrong []string) {
	merges := make(map[string]sessionHistory)
	for _, o := range h {
		if o.kind == "merge" {
			merges[o.id] = append(merges[o.id], o)
		}
	}
	for _, read := range h.of("get") {
		if read.fields == nil {
			continue
		}
		for _, m := range merges[read.id] {
			isDone := m.outcome == respclient.Answered
			mustBe := isDone && (m.ret < read.call || m.version <= read.version)
			mustNot := m.outcome == respclient.Refused || isDone && m.version > read.version
			if mustBe && !read.fields[m.field] || mustNot && read.fields[m.field] {
				wrong = append(wrong, fmt.Sprintf("%v: there is %v in %v", m, read.fields[m.field], read))
			}
		}
	}
	return wrong
}

// versionsReused finds versions given twice, to whatever session, and such as
// are not higher than those that had been given before they were asked for.
func (h sessionHistory) versionsReused() (wrong []string) {
	writes := h.of("merge", "set")
	given := slices.SortedFunc(slices.Values(writes), func(a, b *sessionOp) int { return cmp.Compare(a.ret, b.ret) })
	asked := slices.SortedFunc(slices.Values(writes), func(a, b *sessionOp) int { return cmp.Compare(a.call, b.call) })
	writers := make(map[int64]*sessionOp)
	var highest *sessionOp
	for _, b := range asked {
		if a := writers[b.version]; a != nil {
			wrong = append(wrong, fmt.Sprintf("one version twice: %v; %v", a, b))
		}
		writers[b.version] = b
		for len(given) > 0 && given[0].ret < b.call {
			if highest == nil || given[0].version > highest.version {
				highest = given[0]
			}
			given = given[1:]
		}
		if highest != nil && highest.version >= b.version {
			wrong = append(wrong, fmt.Sprintf("a version not higher than an earlier one: %v; before it %v", b, highest))
		}
	}
	return wrong
}

// contentsMixed finds versions that stand for two contents.
func (h sessionHistory) contentsMixed() (wrong []string) {
	type version struct {
		id string
		n  int64
	}
	contents := make(map[version]*sessionOp)
	for _, o := range h.of("set", "get") {
		if o.fields != nil || o.version == 0 {
			continue
		}
		at := version{o.id, o.version}
		if other := contents[at]; other != nil && other.data != o.data {
			wrong = append(wrong, fmt.Sprintf("%q and %q: %v; %v", other.data, o.data, other, o))
		}
		contents[at] = o
	}
	return wrong
}

// loggedIn finds reads that find a session of a user after all of the user's
// were destroyed: each had been saved before, and the answer had come.
func (h sessionHistory) loggedIn() (wrong []string) {
	logouts, saves := h.of("logout"), h.of("set")
	for _, read := range h.of("gone") {
		if !read.found {
			continue
		}
		for _, out := range logouts {
			isSaved := slices.ContainsFunc(saves, func(s *sessionOp) bool {
				return s.user == out.user && s.id == read.id && s.ret < out.call
			})
			if out.user == read.user && out.ret < read.call && isSaved {
				wrong = append(wrong, fmt.Sprintf("%v, after %v", read, out))
			}
		}
	}
	return wrong
}

// TestSessionChecksCatchPlantedFaults shows the checks histories with faults
// in them, and one without.
func TestSessionChecksCatchPlantedFaults(t *testing.T) {
	const s = time.Second
	good := func() sessionHistory {
		return sessionHistory{
			{kind: "merge", id: "m", field: "a", version: 1, call: 0, ret: 1 * s},
			{kind: "merge", id: "m", field: "b", outcome: respclient.Unknown, call: 0, ret: 1 * s},
			{kind: "merge", id: "m", field: "c", outcome: respclient.Refused, call: 0, ret: 1 * s},
			{kind: "merge", id: "m", field: "d", version: 3, call: 1 * s, ret: 9 * s},
			{kind: "get", id: "m", fields: map[string]bool{"a": true, "b": true}, version: 2, found: true, call: 2 * s, ret: 3 * s},
			{kind: "set", id: "s", data: "x", version: 4, call: 2 * s, ret: 3 * s},
			{kind: "get", id: "s", data: "x", version: 4, found: true, call: 3 * s, ret: 4 * s},
			{kind: "get", id: "s", call: 4 * s, ret: 5 * s},
			{kind: "set", id: "s", data: "y", version: 5, call: 6 * s, ret: 7 * s},
			{kind: "set", id: "u1", user: "u", version: 6, call: 8 * s, ret: 9 * s},
			{kind: "logout", user: "u", call: 10 * s, ret: 11 * s},
			{kind: "gone", id: "u1", user: "u", call: 12 * s, ret: 13 * s},
		}
	}
	for _, test := range []struct {
		name  string
		plant func(h sessionHistory)
		want  string // part of what is found; empty if nothing is
	}{
		{"none", func(sessionHistory) {}, ""},
		{"a field lost", func(h sessionHistory) { delete(h[4].fields, "a") }, "there is false"},
		{"a field lost that its version says is there", func(h sessionHistory) { h[4].version = 3 }, "there is false"},
		{"a field refused and there", func(h sessionHistory) { h[4].fields["c"] = true }, "there is true"},
		{"a field before its time", func(h sessionHistory) { h[4].fields["d"] = true }, "there is true"},
		{"a version again after a session was destroyed", func(h sessionHistory) { h[8].version = 4 }, "one version twice"},
		{"a version that goes back", func(h sessionHistory) { h[8].version = 2 }, "not higher"},
		{"two contents", func(h sessionHistory) { h[6].data = "y" }, `"x" and "y"`},
		{"found after the logout", func(h sessionHistory) { h[11].found = true }, "after logout"},
	} {
		h := good()
		test.plant(h)
		got := strings.Join(h.check(), "\n")
		if test.want == "" && got != "" || !strings.Contains(got, test.want) {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}
