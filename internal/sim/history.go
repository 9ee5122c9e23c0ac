package sim

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
)

// A History is what clients saw in one run, and what was done to the cluster.
type History struct {
	Seed     uint64
	Ops      []*Op
	Events   []Event
	Replicas []Replica // at the end, when all is well and everything was applied
	Idle     [2]uint64 // last index before and after a minute without clients
	Term     uint64    // at the end
}

// An Event is something that was done to the cluster.
type Event struct {
	At   time.Duration // age of the run
	What string
}

// A Replica is what one node holds.
type Replica struct {
	Pod   string
	Index uint64            // last applied
	Keys  map[string]string // key -> value
}

// A recorder makes a history.
type recorder struct {
	began time.Time

	mu    sync.Mutex // guards all below
	place int64      // of the last call or answer
	group int
	h     History
}

// age is the virtual time since the run began.
func (r *recorder) age() time.Duration { return time.Since(r.began) }

// call notes that operations are sent together.
func (r *recorder) call(ops ...*Op) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.place++
	r.group++
	for _, o := range ops {
		o.Call, o.Group, o.Sent = r.place, r.group, r.age()
		r.h.Ops = append(r.h.Ops, o)
	}
}

// answered notes that operations were answered.
func (r *recorder) answered(ops ...*Op) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.place++
	for _, o := range ops {
		o.Return, o.Answered = r.place, r.age()
	}
}

// event notes what is done to the cluster.
func (r *recorder) event(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Events = append(r.h.Events, Event{r.age(), fmt.Sprintf(format, args...)})
}

// keys returns the keys that any operation used, sorted.
func (h *History) keys() []string {
	var list []string
	for _, o := range h.Ops {
		list = append(list, o.Key)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// byKey returns all operations by their key, in the order of their calls.
func (h *History) byKey() map[string][]*Op {
	all := map[string][]*Op{}
	for _, o := range h.Ops {
		all[o.Key] = append(all[o.Key], o)
	}
	return all
}

// Story tells what was done to the cluster and what clients saw of the keys,
// in order.
func (h *History) Story(keys ...string) string {
	type line struct {
		at   time.Duration
		text string
	}
	var lines []line
	for _, e := range h.Events {
		lines = append(lines, line{e.At, fmt.Sprintf("            %9s           * %s", round(e.At), e.What)})
	}
	for _, o := range h.Ops {
		if slices.Contains(keys, o.Key) {
			lines = append(lines, line{o.Sent, o.String()})
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return cmp.Compare(a.at, b.at) })
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l.text)
		b.WriteByte('\n')
	}
	return b.String()
}

// Tally counts the outcomes.
func (h *History) Tally() map[string]int {
	n := map[string]int{}
	for _, o := range h.Ops {
		name := string(o.Outcome)
		if o.Outcome == Failed {
			name += ": " + strings.SplitN(o.Err, ":", 2)[0]
		}
		n[name]++
	}
	return n
}

// A Violation is a promise that a history breaks.
type Violation struct {
	Promise string
	Detail  string
	Key     string // whose operations tell the story; empty if it is not about one
}

func (v *Violation) Error() string {
	if v.Key == "" {
		return v.Promise + ": " + v.Detail
	}
	return fmt.Sprintf("%s: %s: %s", v.Promise, v.Key, v.Detail)
}

func isUnknown(err error) bool { return errors.Is(err, machine.ErrUnknown) }
