package founding_test

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/huddlecache/huddle/cluster/internal/founding"
)

// bigList is the largest list there can be.
func bigList() founding.List {
	l := founding.List{Cluster: strings.Repeat("c", founding.MaxString), Number: 1<<64 - 1, Voters: founding.MaxMembers}
	for i := range founding.MaxMembers {
		text := fmt.Sprintf("%0*d", founding.MaxString, i)
		l.Members = append(l.Members, founding.Member{ID: text, Name: text, Addr: text, Durable: i%2 == 0})
	}
	l.Proposer = l.Members[0].ID
	return l
}

func TestEncoding(t *testing.T) {
	small := founding.List{
		Cluster: "c", Proposer: "a", Number: 1, Voters: 1,
		Members: []founding.Member{{ID: "a", Name: "n", Addr: "1:2", Durable: true}, {ID: "b"}},
	}
	for _, l := range []founding.List{small, bigList()} {
		q := founding.Question{List: l, Own: founding.Answer{Cluster: l.Cluster, Stand: founding.Void, Promises: 1<<64 - 1}}
		got, err := founding.ParseQuestion(founding.AppendQuestion(nil, q))
		if err != nil || !reflect.DeepEqual(got, q) {
			t.Errorf("question = %+v, %v, want %+v", got, err, q)
		}
		answer, err := founding.ParseAnswer(founding.AppendAnswer(nil, q.Own))
		if err != nil || answer != q.Own {
			t.Errorf("answer = %+v, %v, want %+v", answer, err, q.Own)
		}
	}
	want := "\x01\x01c\x01\x01\x02\x01a\x01n\x031:2\x01\x01b\x00\x00\x00\x01\x03"
	got := founding.AppendQuestion(nil, founding.Question{List: small, Own: founding.Answer{Stand: founding.Promised, Promises: 3}})
	if string(got) != want {
		t.Errorf("question = %q, want %q", got, want)
	}
	for i := range len(got) {
		if _, err := founding.ParseQuestion(got[:i]); !errors.Is(err, founding.ErrFormat) {
			t.Errorf("%d bytes of %d: %v, want ErrFormat", i, len(got), err)
		}
	}
	for _, bad := range []string{want + "\x00", "\x02" + want[1:], want[:len(want)-2] + "\x08\x03"} {
		if _, err := founding.ParseQuestion([]byte(bad)); !errors.Is(err, founding.ErrFormat) {
			t.Errorf("%q: %v, want ErrFormat", bad, err)
		}
	}
	if _, err := founding.ParseQuestion([]byte(strings.Replace(want, "\x01b", "\x01a", 1))); !errors.Is(err, founding.ErrList) {
		t.Errorf("one member twice: %v, want ErrList", err)
	}
}

func FuzzQuestion(f *testing.F) {
	f.Add(founding.AppendQuestion(nil, founding.Question{
		List: founding.List{Cluster: "c", Proposer: "a", Number: 7, Voters: 2, Members: []founding.Member{{ID: "a"}, {ID: "b", Addr: "x"}}},
		Own:  founding.Answer{Stand: founding.Started, Promises: 3},
	}))
	f.Fuzz(func(t *testing.T, data []byte) {
		q, err := founding.ParseQuestion(data)
		if err != nil {
			return
		}
		again, err := founding.ParseQuestion(founding.AppendQuestion(nil, q))
		if err != nil || !reflect.DeepEqual(again, q) {
			t.Errorf("%+v, %v, want %+v", again, err, q)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add(founding.AppendAnswer(nil, founding.Answer{Cluster: "c", Stand: founding.Vain, Promises: 1}))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := founding.ParseAnswer(data)
		if err != nil {
			return
		}
		if again, err := founding.ParseAnswer(founding.AppendAnswer(nil, a)); err != nil || again != a {
			t.Errorf("%+v, %v, want %+v", again, err, a)
		}
	})
}

// FuzzSaved: what is kept is read again as it was written, and nothing else
// breaks a core.
func FuzzSaved(f *testing.F) {
	tw := newTown(&testing.T{}, 2, true, "a", "b")
	tw.tick("b")
	tw.settleDown("a", "b")
	f.Add(tw.homes["a"].cfg.Saved)
	tw.talk("a", "b")
	f.Add(tw.homes["a"].cfg.Saved)
	tw.do(tw.homes["a"], tw.homes["a"].core.Applied())
	f.Add(tw.homes["a"].cfg.Saved)
	tw.do(tw.homes["a"], tw.homes["a"].core.Recovered("x"))
	f.Add(tw.homes["a"].cfg.Saved)
	cfg := tw.homes["a"].cfg
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg.Saved = data
		core, err := founding.New(cfg)
		if err != nil || data == nil {
			return
		}
		saved := core.AppendSaved(nil)
		cfg.Saved = saved
		if core, err = founding.New(cfg); err != nil {
			t.Fatalf("%x: %v", saved, err)
		}
		if again := core.AppendSaved(nil); !bytes.Equal(again, saved) {
			t.Errorf("saved %x, read and saved again %x", saved, again)
		}
		core.Tick(founding.View{})
	})
}
