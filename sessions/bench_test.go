package sessions_test

import (
	"fmt"
	"runtime"
	"strconv"
	"testing"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/sessions"
)

const benchSessions = 100_000

// many returns a world with many sessions, and one command or query of each,
// as call makes it.
func many(b *testing.B, user bool, call func(s *sessions.Sessions, id string)) (*world, [][]byte) {
	w := newWorld(b)
	data := []byte("0123456789012345678901234567890123456789")
	for i := range benchSessions {
		o := sessions.SaveOptions{}
		if user {
			o.User = "user:" + strconv.Itoa(10_000+i%5_000)
		}
		if _, err := w.s.Save(b.Context(), "session:"+strconv.Itoa(100_000+i), data, o); err != nil {
			b.Fatal(err)
		}
	}
	w.items, w.asked = nil, nil
	r := &recorder{world: newWorld(b)}
	s := sessions.New(r, sessions.Config{})
	for i := range benchSessions {
		call(s, "session:"+strconv.Itoa(100_000+i*7919%benchSessions))
	}
	return w, r.sent
}

func BenchmarkLoad(b *testing.B) {
	w, queries := many(b, true, func(s *sessions.Sessions, id string) {
		_, _ = s.Load(b.Context(), id, sessions.LoadOptions{})
	})
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		w.m.Query(w.stamp, queries[i%len(queries)])
		i++
	}
}

func BenchmarkSave(b *testing.B) {
	w, commands := many(b, true, func(s *sessions.Sessions, id string) {
		_, _ = s.Save(b.Context(), id, []byte("another session, forty bytes or so too.."), sessions.SaveOptions{})
	})
	tx := &machine.Tx{Stamp: w.stamp, Shell: quiet{}}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		w.m.Apply(tx, commands[i%len(commands)])
		i++
	}
}

func BenchmarkMerge(b *testing.B) {
	w := newWorld(b)
	w.save("s", `{"cart":{"a":1,"b":2},"csrf":"0123456789","name":"joe","seen":[1,2,3]}`, sessions.SaveOptions{})
	r := &recorder{world: w}
	if _, err := sessions.New(r, sessions.Config{}).Merge(b.Context(), "s", []byte(`{"cart":{"a":2},"last":1}`), sessions.SaveOptions{}); err != nil {
		b.Fatal(err)
	}
	tx := &machine.Tx{Stamp: w.stamp, Shell: quiet{}}
	b.ReportAllocs()
	for b.Loop() {
		w.m.Apply(tx, r.sent[0])
	}
}

// quiet is a shell that does nothing.
type quiet struct{ machine.Shell }

func (quiet) Number() uint64 { return 1 }

// BenchmarkFootprint reports what Go's heap holds for a session beside its
// bytes: Size should say about as much. The world's index of deadlines, which
// the shell accounts for, is left out.
func BenchmarkFootprint(b *testing.B) {
	for _, user := range []bool{false, true} {
		b.Run(fmt.Sprint("user=", user), func(b *testing.B) {
			each := len("session:123456") + 40
			if user {
				each += len("user:12345")
			}
			var before, after runtime.MemStats
			for b.Loop() {
				runtime.GC()
				runtime.ReadMemStats(&before)
				w, _ := many(b, user, func(*sessions.Sessions, string) {})
				w.index = nil
				runtime.GC()
				runtime.ReadMemStats(&after)
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/benchSessions-float64(each), "heap-B/session")
				b.ReportMetric(float64(w.m.Size())/benchSessions-float64(each), "size-B/session")
				runtime.KeepAlive(w)
			}
		})
	}
}
