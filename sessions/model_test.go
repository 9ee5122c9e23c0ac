package sessions_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/sessions"
)

// TestModel runs random calls against a machine and a map of sessions, while
// time moves, deadlines come, the state fills, and the machine is replaced by
// one that was restored from its snapshot.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{world: newWorld(t), all: map[string]twin{}}
		t.Repeat(map[string]func(*rapid.T){
			"":           m.check,
			"save":       m.store,
			"more":       m.store,
			"touch":      m.touch,
			"destroy":    m.destroy,
			"destroyAll": m.destroyAll,
			"time": func(t *rapid.T) {
				m.sleep(rapid.SampledFrom(append(times, 0, 0)).Draw(t, "time") + time.Duration(rapid.IntRange(0, 1).Draw(t, "more"))*300*time.Microsecond)
			},
			"expire": func(t *rapid.T) {
				for _, id := range m.expire(rapid.IntRange(0, 3).Draw(t, "how many")) {
					delete(m.all, id)
				}
			},
			"node": func(t *rapid.T) {
				data, size := m.snapshot(), m.m.Size()
				m.m = restored(t, data)
				if !bytes.Equal(m.snapshot(), data) || m.m.Size() != size {
					t.Fatalf("what was restored is saved otherwise, or has size %d instead of %d", m.m.Size(), size)
				}
			},
			"freeze": func(t *rapid.T) {
				write := frozen(t, m.m)
				m.kept = append(m.kept, keptSnapshot{write, write()})
				m.kept = m.kept[max(0, len(m.kept)-3):]
			},
			"full": func(t *rapid.T) {
				m.pressure = machine.Pressure(rapid.IntRange(0, 2).Draw(t, "pressure"))
			},
		})
	})
}

// A twin is a session as the model has it. Its times are those of the lease.
type twin struct {
	data, user       string
	version          uint64
	ttl, limit, ends time.Duration
}

type keptSnapshot struct {
	write func() []byte
	want  []byte
}

type model struct {
	*world
	all    map[string]twin // may hold what is over
	newest uint64          // version
	kept   []keptSnapshot
}

var (
	ids      = rapid.SampledFrom([]string{"a", "b", "c", "\x00\xff"})
	users    = rapid.SampledFrom([]string{"", "", "u", "v", "u\x00"})
	times    = []time.Duration{time.Millisecond, time.Second, 10 * time.Second, time.Hour, 25 * time.Hour}
	ttls     = rapid.SampledFrom(append(times, 0, 0))
	payloads = rapid.SampledFrom([]string{`{}`, `{"a":1}`, `{"a":{"b":null,"c":2.50}}`, `{"a":null,"b":[1]}`, `{"b":{"c":{"d":null}}}`, "", "text", "[]"})
)

// get returns what is there now.
func (m *model) get(id string) (twin, bool) {
	s, found := m.all[id]
	return s, found && s.ends > m.stamp.Lease
}

func (m *model) store(t *rapid.T) {
	id, data := ids.Draw(t, "id"), payloads.Draw(t, "data")
	old, found := m.get(id)
	o := sessions.SaveOptions{TTL: ttls.Draw(t, "ttl"), Limit: ttls.Draw(t, "limit"), User: users.Draw(t, "user")}
	holds := true
	switch rapid.IntRange(0, 5).Draw(t, "condition") {
	case 0:
		v := old.version + uint64(rapid.IntRange(0, 1).Draw(t, "off"))
		o.If, holds = sessions.AtVersion(v), v == old.version && found || v == 0 && !found
	case 1:
		o.If, holds = sessions.Absent(), !found
	case 2:
		o.If, holds = sessions.Present(), found
	}
	call := m.s.Save
	var wrong error
	isMerge := rapid.Bool().Draw(t, "merge")
	merged := data
	if isMerge {
		call = m.s.Merge
		target := "{}"
		if found {
			target = old.data
		}
		merged, wrong = modelMerge(target, data)
	}
	s := m.stored(old, found, merged, o)
	want := error(nil)
	switch {
	case errors.Is(wrong, sessions.ErrPatch):
		want = wrong
	case !holds:
		want = sessions.ErrConflict
	case wrong != nil:
		want = wrong
	case m.refuses(old, found, s):
		want = machine.ErrFull
	}
	saved, err := call(context.Background(), id, []byte(data), o)
	if !errors.Is(err, want) || (err == nil) != (want == nil) {
		t.Fatalf("got %v, want %v", err, want)
	}
	if err != nil {
		return
	}
	if saved.Version <= m.newest {
		t.Fatalf("version %d after %d", saved.Version, m.newest)
	}
	s.version, m.newest = saved.Version, saved.Version
	m.all[id] = s
}

// stored is what becomes of a session.
func (m *model) stored(old twin, found bool, data string, o sessions.SaveOptions) twin {
	s := twin{data: data, user: o.User, ttl: o.TTL}
	if found {
		s.limit = old.limit
		if s.user == "" {
			s.user = old.user
		}
		if s.ttl == 0 {
			s.ttl = old.ttl
		}
	}
	if s.ttl == 0 {
		s.ttl = 24 * time.Hour
	}
	if limit := m.stamp.Lease + o.Limit; o.Limit > 0 && (s.limit == 0 || limit < s.limit) {
		s.limit = limit
	}
	return m.renewed(s)
}

func (m *model) renewed(s twin) twin {
	s.ends = m.stamp.Lease + s.ttl
	if s.limit > 0 && s.limit < s.ends {
		s.ends = s.limit
	}
	return s
}

func (m *model) refuses(old twin, found bool, s twin) bool {
	isLong := func(s twin) bool {
		return s.ttl > 24*time.Hour && (s.limit == 0 || s.limit > m.stamp.Lease+24*time.Hour)
	}
	size := func(s twin) int {
		if s.user == "" {
			return len(s.data)
		}
		return len(s.data) + 60 + len(s.user)
	}
	return m.pressure > 0 && isLong(s) && !(found && isLong(old) && size(s) <= size(old))
}

// modelMerge merges by encoding/json.
func modelMerge(target, patch string) (string, error) {
	var t, p map[string]any
	read := func(doc string, into *map[string]any) bool {
		d := json.NewDecoder(bytes.NewReader([]byte(doc)))
		d.UseNumber()
		return d.Decode(into) == nil && *into != nil
	}
	if !read(patch, &p) {
		return "", sessions.ErrPatch
	}
	if !read(target, &t) {
		return "", sessions.ErrNotObject
	}
	out, err := json.Marshal(slowMerge(t, p))
	return string(out), err
}

func (m *model) touch(t *rapid.T) {
	id := ids.Draw(t, "id")
	old, found := m.get(id)
	ttl := ttls.Draw(t, "ttl")
	if rapid.Bool().Draw(t, "by loading") {
		ttl = 0
		got, err := m.s.Load(context.Background(), id, sessions.LoadOptions{Touch: true})
		if err == nil && got.TouchErr != nil {
			err = got.TouchErr
		}
		m.touched(t, id, old, found, ttl, err)
		return
	}
	_, err := m.s.Touch(context.Background(), id, ttl)
	m.touched(t, id, old, found, ttl, err)
}

func (m *model) touched(t *rapid.T, id string, old twin, found bool, ttl time.Duration, err error) {
	s := old
	if ttl > 0 {
		s.ttl = ttl
	}
	s = m.renewed(s)
	isDue := s.ends < old.ends || s.ends-old.ends >= s.ttl/10 || s.ends > old.ends && s.ends == s.limit
	switch {
	case !found:
		if !errors.Is(err, sessions.ErrNotFound) {
			t.Fatalf("got %v, want ErrNotFound", err)
		}
	case isDue && m.refuses(old, found, s):
		if !errors.Is(err, machine.ErrFull) {
			t.Fatalf("got %v, want ErrFull", err)
		}
	case err != nil:
		t.Fatalf("got %v", err)
	case isDue:
		m.all[id] = s
	}
}

func (m *model) destroy(t *rapid.T) {
	id := ids.Draw(t, "id")
	_, found := m.get(id)
	got, err := m.s.Destroy(context.Background(), id, sessions.DestroyOptions{})
	if err != nil || got.Count == 1 != found {
		t.Fatalf("got %+v, %v; it was there: %v", got, err, found)
	}
	delete(m.all, id)
}

// of returns the IDs of a user's sessions.
func (m *model) of(user string) (list []string) {
	for _, id := range slices.Sorted(maps.Keys(m.all)) {
		if s, found := m.get(id); found && s.user == user {
			list = append(list, id)
		}
	}
	return list
}

func (m *model) destroyAll(t *rapid.T) {
	user := rapid.SampledFrom([]string{"u", "v", "u\x00", "w"}).Draw(t, "user")
	list := m.of(user)
	got, err := m.s.DestroyAll(context.Background(), user, sessions.DestroyOptions{})
	if err != nil || got.Count != len(list) {
		t.Fatalf("got %+v, %v; want %d", got, err, len(list))
	}
	for _, id := range list {
		delete(m.all, id)
	}
}

// check compares everything that can be seen.
func (m *model) check(t *rapid.T) {
	want := map[string][]byte{}
	for id, s := range m.all {
		if _, found := m.get(id); found {
			want[id] = []byte(s.data)
		}
		m.compare(t, id)
	}
	got, err := sessions.NewStore(m.s, sessions.StoreConfig{}).All()
	if err != nil || !maps.EqualFunc(got, want, bytes.Equal) {
		t.Fatalf("all sessions are %q, %v; want %q", got, err, want)
	}
	for _, user := range []string{"u", "v", "u\x00"} {
		got, err := m.s.List(context.Background(), user, machine.Linearizable)
		if err != nil || !slices.Equal(got.IDs, m.of(user)) {
			t.Fatalf("sessions of %q are %q, %v; want %q", user, got.IDs, err, m.of(user))
		}
	}
	for _, k := range m.kept {
		if !bytes.Equal(k.write(), k.want) {
			t.Fatalf("a snapshot changed after it was taken")
		}
	}
	if m.failed != nil {
		t.Fatalf("the node was stopped: %v", m.failed)
	}
	if len(m.index) > len(m.all) {
		t.Fatalf("%d deadlines for %d sessions: %v", len(m.index), len(m.all), m.index)
	}
}

func (m *model) compare(t *rapid.T, id string) {
	s, found := m.get(id)
	got := m.load(id, sessions.LoadOptions{})
	if !found {
		if got.Version != 0 {
			t.Fatalf("%q is there: %+v", id, got)
		}
		return
	}
	want := sessions.Session{
		Data: got.Data, Version: s.version, User: s.user, TTL: s.ttl,
		Left: s.ends - m.stamp.Lease, At: got.At,
	}
	if s.limit > 0 {
		want.Limit = s.limit - m.stamp.Lease
	}
	if string(got.Data) != s.data || !equal(got, want) {
		t.Fatalf("%q:\n got %+v\nwant %+v with %q", id, got, want, s.data)
	}
	if !m.index[deadline{s.ends, id}] {
		t.Fatalf("%q has no deadline at %v: %v", id, s.ends, m.index)
	}
}

// equal leaves the data out, which cannot be compared.
func equal(a, b sessions.Session) bool {
	a.Data, b.Data = nil, nil
	return a.Version == b.Version && a.User == b.User && a.TTL == b.TTL && a.Left == b.Left && a.Limit == b.Limit && a.At == b.At
}
