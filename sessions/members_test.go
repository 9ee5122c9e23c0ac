package sessions

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
)

// nobody is a shell for commands that need little.
type nobody struct{ n uint64 }

func (s *nobody) Number() uint64                              { s.n++; return s.n }
func (*nobody) Deadline([]byte, time.Duration, time.Duration) {}
func (*nobody) Emit(machine.Event)                            {}
func (*nobody) Fail(err error)                                { panic(err) }

// A session that had grown past MaxMembers could not be merged any more, not
// even with a patch that takes members away.
func TestAMergeKeepsTheBoundOfMembers(t *testing.T) {
	m, tx := newState(), &machine.Tx{Shell: &nobody{}, Stamp: machine.Stamp{Lease: 1}}
	var full strings.Builder
	for i := range MaxMembers {
		fmt.Fprintf(&full, ",%q:1", fmt.Sprint("a", i))
	}
	for _, step := range []struct {
		patch string
		want  error
	}{
		{"{" + full.String()[1:] + "}", nil},
		{`{"b0":1}`, ErrPatch},
		{`{"b0":1,"a0":null}`, nil},
		{`{"b0":null}`, nil},
	} {
		c := command{op: opMerge, id: []byte("s"), data: []byte(step.patch), most: 8 << 20}
		r, err := decodeReply(m.Apply(tx, c.encode()))
		if err == nil {
			err = r.failure(8 << 20)
		}
		if !errors.Is(err, step.want) {
			t.Errorf("merging %.20s: got %v, want %v", step.patch, err, step.want)
		}
	}
}
