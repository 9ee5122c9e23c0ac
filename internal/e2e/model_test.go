package e2e

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// op is one command of a history, on one key.
type op struct {
	kind string // set, setpx, setnx, get, getdel, unlock, incr
	key  string
	arg  string        // value to write, or to compare with
	px   time.Duration // of setpx
	call time.Duration // when it was sent, since the history began
}

// result is what the client was told. Times are since the history began.
type result struct {
	unknown bool
	nothing bool // nil, or 0 of unlock
	value   string
	ret     time.Duration
}

// register is the state of one key. A value with a deadline may vanish at any
// time after it, and must not before.
type register struct {
	exists  bool
	value   string
	expires time.Duration // earliest time of expiry, zero if none
}

// step returns the states that are possible after an operation with that
// result, none if the result is not possible.
func (s register) step(o op, r result) []register {
	if s.exists && s.expires > 0 && r.ret >= s.expires {
		return append(s.stepHere(o, r), register{}.stepHere(o, r)...)
	}
	return s.stepHere(o, r)
}

// stepHere is step for a value that does not expire meanwhile.
func (s register) stepHere(o op, r result) []register {
	next, want := s.apply(o)
	if r.unknown || r.nothing == want.nothing && r.value == want.value {
		return []register{next}
	}
	return nil
}

// apply is what each operation does and answers.
func (s register) apply(o op) (register, result) {
	written := register{exists: true, value: o.arg}
	found := result{nothing: !s.exists, value: s.value}
	switch o.kind {
	case "set":
		return written, result{value: "OK"}
	case "setpx":
		written.expires = o.call + o.px
		return written, result{value: "OK"}
	case "setnx":
		if s.exists {
			return s, result{nothing: true}
		}
		return written, result{value: "OK"}
	case "get":
		return s, found
	case "getdel":
		return register{}, found
	case "unlock":
		if !s.exists || s.value != o.arg {
			return s, result{nothing: true}
		}
		return register{}, result{value: "1"}
	case "incr":
		n, _ := strconv.Atoi(s.value)
		s.exists, s.value = true, strconv.Itoa(n+1)
		return s, result{value: s.value}
	}
	panic("unknown operation " + o.kind)
}

// registers is the model of many keys, each checked alone. An operation whose
// outcome is unknown may take effect at any time after its call, or never:
// its return is at the end of time.
var registers = (&porcupine.NondeterministicModel{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := make(map[string][]porcupine.Operation)
		for _, o := range history {
			key := o.Input.(op).key
			byKey[key] = append(byKey[key], o)
		}
		var parts [][]porcupine.Operation
		for _, part := range byKey {
			parts = append(parts, part)
		}
		slices.SortFunc(parts, func(a, b []porcupine.Operation) int { return len(a) - len(b) })
		return parts
	},
	Init: func() []any { return []any{register{}} },
	Step: func(state, input, output any) []any {
		var states []any
		for _, next := range state.(register).step(input.(op), output.(result)) {
			states = append(states, next)
		}
		return states
	},
	Equal: func(a, b any) bool { return a == b },
	DescribeOperation: func(input, output any) string {
		o, r := input.(op), output.(result)
		return fmt.Sprintf("%s %s %s %v -> %+v", o.kind, o.key, o.arg, o.px, r)
	},
}).ToModel()

// operation makes an element of a history.
func operation(client int, o op, r result) porcupine.Operation {
	end := int64(r.ret)
	if r.unknown {
		end = math.MaxInt64
		r.ret = math.MaxInt64
	}
	return porcupine.Operation{ClientId: client, Input: o, Call: int64(o.call), Output: r, Return: end}
}

// TestCheckerCatchesFaults shows that the checker accepts what is right and
// refuses what each planted fault makes of it.
func TestCheckerCatchesFaults(t *testing.T) {
	at := func(ms int, o op) op { o.call = time.Duration(ms) * time.Millisecond; return o }
	till := func(ms int, r result) result { r.ret = time.Duration(ms) * time.Millisecond; return r }
	get, ok, none := op{kind: "get"}, result{value: "OK"}, result{nothing: true}
	set := func(v string) op { return op{kind: "set", arg: v} }
	type step struct {
		o op
		r result
	}
	for _, test := range []struct {
		name  string
		want  bool
		steps []step
	}{
		{"reads what was written", true, []step{{at(0, set("a")), till(1, ok)}, {at(2, get), till(3, result{value: "a"})}}},
		{"stale read", false, []step{{at(0, set("a")), till(1, ok)}, {at(2, set("b")), till(3, ok)}, {at(4, get), till(5, result{value: "a"})}}},
		{"acknowledged write lost", false, []step{{at(0, set("a")), till(1, ok)}, {at(2, get), till(3, none)}}},
		{"unknown write seen late", true, []step{{at(0, set("a")), result{unknown: true}}, {at(2, get), till(3, none)}, {at(4, get), till(5, result{value: "a"})}}},
		{"unknown write seen and gone", false, []step{{at(0, set("a")), result{unknown: true}}, {at(2, get), till(3, result{value: "a"})}, {at(4, get), till(5, none)}}},
		{"expired in time", true, []step{{at(0, op{kind: "setpx", arg: "a", px: 10 * time.Millisecond}), till(1, ok)}, {at(9, get), till(11, none)}}},
		{"expired early", false, []step{{at(0, op{kind: "setpx", arg: "a", px: 10 * time.Millisecond}), till(1, ok)}, {at(8, get), till(9, none)}}},
		{"back after expiry", false, []step{{at(0, op{kind: "setpx", arg: "a", px: 10 * time.Millisecond}), till(1, ok)}, {at(20, get), till(21, none)}, {at(22, get), till(23, result{value: "a"})}}},
		{"counted", true, []step{{at(0, op{kind: "incr"}), till(1, result{value: "1"})}, {at(2, op{kind: "incr"}), till(3, result{value: "2"})}}},
		{"counted twice", false, []step{{at(0, op{kind: "incr"}), till(1, result{value: "1"})}, {at(2, op{kind: "incr"}), till(3, result{value: "3"})}}},
		{"one lock, one holder", true, []step{{at(0, op{kind: "setnx", arg: "a"}), till(9, ok)}, {at(1, op{kind: "setnx", arg: "b"}), till(8, none)}, {at(10, op{kind: "unlock", arg: "a"}), till(11, result{value: "1"})}, {at(12, op{kind: "setnx", arg: "b"}), till(13, ok)}}},
		{"one lock, two holders", false, []step{{at(0, op{kind: "setnx", arg: "a"}), till(1, ok)}, {at(2, op{kind: "setnx", arg: "b"}), till(3, ok)}}},
		{"lock freed by another", false, []step{{at(0, op{kind: "setnx", arg: "a"}), till(1, ok)}, {at(2, op{kind: "unlock", arg: "b"}), till(3, result{value: "1"})}}},
		{"taken twice", false, []step{{at(0, set("a")), till(1, ok)}, {at(2, op{kind: "getdel"}), till(5, result{value: "a"})}, {at(3, op{kind: "getdel"}), till(4, result{value: "a"})}}},
	} {
		var history []porcupine.Operation
		for i, s := range test.steps {
			history = append(history, operation(i, s.o, s.r))
		}
		if got := porcupine.CheckOperations(registers, history); got != test.want {
			t.Errorf("%s: got linearizable %v, want %v", test.name, got, test.want)
		}
	}
}
