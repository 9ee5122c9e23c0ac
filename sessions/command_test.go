package sessions_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/sessions"
)

// commands returns one of each kind, as the log carries them, queries too.
func commands(t testing.TB) (all [][]byte) {
	w := newWorld(t)
	keep := &recorder{world: w}
	s := sessions.New(keep, sessions.Config{})
	ctx := t.Context()
	for _, do := range []func() error{
		func() error { _, err := s.Save(ctx, "id", []byte("{}"), sessions.SaveOptions{}); return err },
		func() error {
			_, err := s.Save(ctx, "\x00\xff", []byte("x"), sessions.SaveOptions{
				TTL: sessions.MaxTTL, Limit: time.Millisecond, User: "u", If: sessions.Absent(),
			})
			return err
		},
		func() error {
			_, err := s.Merge(ctx, "id", []byte(`{"a":1}`), sessions.SaveOptions{If: sessions.Present()})
			return err
		},
		func() error { _, err := s.Touch(ctx, "id", time.Second); return err },
		func() error { _, err := s.Load(ctx, "id", sessions.LoadOptions{Touch: true}); return err },
		func() error { _, err := s.Destroy(ctx, "id", sessions.DestroyOptions{}); return err },
		func() error { _, err := s.DestroyAll(ctx, "u", sessions.DestroyOptions{}); return err },
		func() error { _, err := s.List(ctx, "u", machine.Local); return err },
		func() error { _, err := sessions.NewStore(s, sessions.StoreConfig{Prefix: "p"}).All(); return err },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	return keep.sent
}

func TestCommandsAreReadStrictly(t *testing.T) {
	valid := []byte{1, 1, 0, 0, 0, 0, 0, 2, 'i', 'd', 0, 'x'}
	if again, err := sessions.Recode(valid); err != nil || !bytes.Equal(again, valid) {
		t.Fatalf("a command made by hand: got %x, %v", again, err)
	}
	change := func(at int, b ...byte) []byte { return append(append(bytes.Clone(valid[:at]), b...), valid[at+1:]...) }
	bad := [][]byte{
		change(0, 2), change(1, 0), change(1, 6), change(1, 20), change(2, 4),
		change(4, 0x80, 0), // a number longer than it need be
		change(4, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2),
		change(4, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f), // longer than MaxTTL
		change(7, 0x7f), // longer than what there is
		{1, 1, 0, 0, 0, 0, 0, 0, 0, 'x'},
		{1, 16, 0, 0, 0, 0, 0, 0, 0}, // no ID
	}
	for n := range 11 {
		bad = append(bad, valid[:n])
	}
	for _, b := range bad {
		if again, err := sessions.Recode(b); err == nil {
			t.Errorf("%x is taken for %x", b, again)
		}
		w := newWorld(t)
		if w.m.Apply(w.tx(), b); w.failed == nil {
			t.Errorf("%x does not stop the node", b)
		}
	}
	w := newWorld(t)
	if w.m.Apply(w.tx(), []byte{1, 16, 0, 0, 0, 0, 0, 1, 'i', 0}); w.failed == nil {
		t.Error("a query in the log does not stop the node")
	}
	if reply := w.m.Query(w.stamp, valid); len(reply) == 0 || reply[0] == 0 {
		t.Errorf("a command sent as a query: got %x, want a refusal", reply)
	}
}

func FuzzCommand(f *testing.F) {
	for _, cmd := range commands(f) {
		f.Add(cmd)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		again, err := sessions.Recode(data)
		if !bytes.Equal(data, before) {
			t.Fatal("decoding changed its input")
		}
		if err == nil && !bytes.Equal(again, data) {
			t.Fatalf("%x is taken for %x", data, again)
		}
		w := newWorld(t)
		w.save("id", `{"a":{"b":1}}`, sessions.SaveOptions{User: "u"})
		if _, err := sessions.RecodeReply(w.m.Query(w.stamp, data)); err != nil {
			t.Fatalf("the reply to a query is malformed: %v", err)
		}
		reply := w.m.Apply(w.tx(), data)
		if w.failed != nil {
			return
		}
		if _, err := sessions.RecodeReply(reply); err != nil {
			t.Fatalf("the reply to a command is malformed: %v", err)
		}
		if got := restored(t, w.snapshot()).Size(); got != w.m.Size() {
			t.Fatalf("size %d, %d after restoring", w.m.Size(), got)
		}
	})
}

func FuzzReply(f *testing.F) {
	w := newWorld(f)
	w.save("id", "data", sessions.SaveOptions{User: "u", Limit: time.Hour})
	for _, cmd := range commands(f) {
		f.Add(w.m.Query(w.stamp, cmd))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		again, err := sessions.RecodeReply(data)
		if err == nil && len(again) != len(data) {
			t.Fatalf("%x is taken for %x", data, again)
		}
		w := &liar{data}
		s := sessions.New(w, sessions.Config{})
		_, _ = s.Load(t.Context(), "id", sessions.LoadOptions{Touch: true})
		_, _ = s.List(t.Context(), "u", machine.Local)
		if !strings.Contains(string(data), "\x01") {
			_, _ = sessions.NewStore(s, sessions.StoreConfig{}).All()
		}
	})
}
