package sim

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Checks are all promises that a history must keep.
var Checks = []func(*History) error{
	CheckAnswers, CheckRefused, CheckOnce, CheckCounted, CheckTogether, CheckSessions,
	CheckExpiry, CheckReplicas, CheckIdle, CheckLinearizable,
}

// CheckAnswers reports answers that no command gives.
func CheckAnswers(h *History) error {
	for _, o := range h.Ops {
		if o.Outcome == Done && o.Err != "" {
			return &Violation{"answers are well-formed", o.String(), o.Key}
		}
	}
	return nil
}

// CheckRefused reports values that were seen although their write was said to
// have certainly not been applied.
func CheckRefused(h *History) error {
	refused := map[string]*Op{}
	for _, o := range h.Ops {
		if o.Outcome == Failed && o.Arg != "" {
			refused[o.Arg] = o
		}
	}
	for _, o := range h.Ops {
		if o.Outcome != Done || o.Kind != Get && o.Kind != GetDel {
			continue
		}
		for _, value := range strings.SplitAfter(o.Value, ";") {
			if w := refused[value]; w != nil {
				return &Violation{"what was refused has no effect", w.String() + "\nseen by " + o.String(), o.Key}
			}
		}
	}
	return nil
}

// CheckOnce reports values that were appended more often than they were sent,
// or lost after they were acknowledged, as the last read of each list shows.
func CheckOnce(h *History) error {
	for key, ops := range h.byKey() {
		var last *Op
		for _, o := range ops {
			if o.Kind == Get && o.Level == Linearizable && o.Outcome == Done && (last == nil || o.Call > last.Call) {
				last = o
			}
		}
		if last == nil {
			continue
		}
		for _, o := range ops {
			if o.Kind != Append {
				continue
			}
			n := strings.Count(last.Value, o.Arg)
			if n > 1 || n == 0 && o.Outcome == Done && o.Return < last.Call {
				return &Violation{"a write takes effect once", fmt.Sprintf("%s\nis found %d times by %s", o, n, last), key}
			}
		}
	}
	return nil
}

// CheckCounted reports counters that were raised with idempotency keys, each
// repeated until it was answered, and are not their number.
func CheckCounted(h *History) error {
	for key, ops := range h.byKey() {
		ids := map[string]bool{}
		answers := map[string]string{} // id -> answer
		var last *Op
		for _, o := range ops {
			switch {
			case o.Idem != "" && o.Outcome == Done:
				if old, found := answers[o.Idem]; found && old != o.Value {
					return &Violation{"a repeated write gets its first answer", o.String() + "\nbefore: " + old, key}
				}
				answers[o.Idem] = o.Value
				ids[o.Idem] = true
			case o.Idem != "":
				ids[o.Idem] = true
			case o.Kind == Get && o.Outcome == Done && o.Level == Linearizable && o.Client < 0:
				last = o
			}
		}
		if len(ids) == 0 || last == nil {
			continue
		}
		if want := strconv.Itoa(len(ids)); last.Value != want || len(answers) != len(ids) {
			return &Violation{
				"a repeated write takes effect once",
				fmt.Sprintf("%s ids, %d answered, %s", want, len(answers), last), key,
			}
		}
		values := slices.Sorted(maps.Values(answers))
		if len(slices.Compact(values)) != len(ids) {
			return &Violation{"a repeated write takes effect once", "two ids have one answer", key}
		}
	}
	return nil
}

// CheckTogether reports operations that were sent together and between which
// another client's came. Only what comes before the last write of its group is
// promised to be done in one go.
func CheckTogether(h *History) error {
	lastWrite := map[int]int{} // group -> place in h.Ops
	for i, o := range h.Ops {
		if !o.IsRead() {
			lastWrite[o.Group] = i
		}
	}
	last := map[string]*Op{} // key -> last operation of the group
	group := 0
	for i, o := range h.Ops {
		if o.Group != group {
			clear(last)
			group = o.Group
		}
		before := last[o.Key]
		last[o.Key] = o
		isWithin := before != nil && i < lastWrite[group] && before.Outcome == Done && o.Outcome == Done
		if !isWithin || o.Kind != Get || before.TTL > 0 {
			continue
		}
		want := before.Value
		if before.Kind == Set {
			want = before.Arg
		}
		if o.Value != want {
			return &Violation{"what is sent together is not torn", before.String() + "\n" + o.String(), o.Key}
		}
	}
	return nil
}

// CheckSessions reports reads of a session that went back in time: counters
// and lists only grow.
func CheckSessions(h *History) error {
	type seen struct {
		size int
		by   *Op
	}
	newest := map[string]seen{} // client and key -> the most it has seen
	ops := slices.Clone(h.Ops)
	slices.SortStableFunc(ops, func(a, b *Op) int { return int(a.Return - b.Return) })
	for _, o := range ops {
		if o.Outcome != Done || o.Level == Local {
			continue
		}
		if o.Level == AtLeast && o.Stamp.Cluster == o.Floor.Cluster && o.Stamp.Index < o.Floor.Index {
			return &Violation{"sessions do not go back in time", o.String(), o.Key}
		}
		size, grows := sizeOf(o)
		if !grows {
			continue
		}
		at := fmt.Sprintf("%d %s", o.Client, o.Key)
		if was := newest[at]; size < was.size && was.by.Return <= o.Call {
			return &Violation{"sessions do not go back in time", was.by.String() + "\n" + o.String(), o.Key}
		} else if size > was.size {
			newest[at] = seen{size, o}
		}
	}
	return nil
}

// sizeOf is how large a value is that only grows.
func sizeOf(o *Op) (size int, grows bool) {
	switch {
	case o.Idem != "":
		return 0, false
	case o.Kind == Append || o.Kind == Incr:
		size, _ = strconv.Atoi(o.Value)
		return size, true
	case o.Kind == Get && strings.HasPrefix(o.Key, "list:"):
		return len(o.Value), true
	case o.Kind == Get && strings.HasPrefix(o.Key, "counter:"):
		size, _ = strconv.Atoi(o.Value)
		return size, true
	}
	return 0, false
}

// CheckExpiry reports values with a deadline that vanished too early, that
// came back, or that have never vanished. They are set once, each under a key
// of its own.
func CheckExpiry(h *History) error {
	for key, ops := range h.byKey() {
		if !strings.HasPrefix(key, "ends:") {
			continue
		}
		set := ops[0]
		var gone *Op // the first read that was answered and found nothing after it was there
		slices.SortStableFunc(ops, func(a, b *Op) int { return int(a.Return - b.Return) })
		for _, o := range ops {
			if o == set || o.Outcome != Done {
				continue
			}
			if err := checkEnd(set, o, gone); err != nil {
				return err
			}
			isThere := set.Outcome == Done && set.Return < o.Call
			if isThere && isGone(o) && o.Level == Linearizable && gone == nil {
				gone = o
			}
		}
	}
	return nil
}

// isGone reports whether a read found nothing.
func isGone(o *Op) bool { return o.Nil || o.Kind == PTTL && o.Value == "-2" }

// checkEnd judges one read of a value with a deadline. Its time begins to run
// somewhere between the sending of its write and the answer, so it must be
// there until its time has passed since the sending.
func checkEnd(set, o, gone *Op) error {
	const promise = "nothing expires before its time, or comes back"
	wasThere := set.Outcome == Done && set.Return < o.Call
	mustBeThere := wasThere && o.Answered < set.Sent+set.TTL
	switch {
	case o.Level == Local:
	case mustBeThere && isGone(o):
		return &Violation{promise, set.String() + "\nis gone for " + o.String(), o.Key}
	case gone != nil && !isGone(o) && (gone.Return < o.Call && o.Level == Linearizable || gone.Client == o.Client):
		return &Violation{promise, gone.String() + "\nis back for " + o.String(), o.Key}
	case o.Client < 0 && !isGone(o):
		return &Violation{promise, set.String() + "\nis still there for " + o.String(), o.Key}
	case o.Kind == PTTL && !isGone(o):
		left, _ := strconv.Atoi(o.Value)
		ms := time.Duration(left) * time.Millisecond
		if ms > set.TTL || ms < set.TTL-(o.Answered-set.Sent)-2*time.Millisecond {
			return &Violation{promise, set.String() + "\nhas a wrong time left for " + o.String(), o.Key}
		}
	}
	return nil
}

// CheckReplicas reports nodes that hold different states after the same
// entries.
func CheckReplicas(h *History) error {
	for _, r := range h.Replicas {
		first := h.Replicas[0]
		if r.Index != first.Index {
			return &Violation{Promise: "replicas are equal", Detail: fmt.Sprintf("%s has applied %d, %s %d", first.Pod, first.Index, r.Pod, r.Index)}
		}
		for key, value := range first.Keys {
			if r.Keys[key] != value {
				return &Violation{"replicas are equal", fmt.Sprintf("%s has %.80q, %s %.80q", first.Pod, value, r.Pod, r.Keys[key]), key}
			}
		}
	}
	return nil
}

// CheckIdle reports entries that were written without any reason.
func CheckIdle(h *History) error {
	if h.Idle[0] != h.Idle[1] {
		return &Violation{Promise: "an idle cluster writes nothing", Detail: fmt.Sprintf("from entry %d to %d in %s", h.Idle[0], h.Idle[1], idleTime)}
	}
	return nil
}
