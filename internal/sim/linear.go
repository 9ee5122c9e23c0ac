package sim

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// register is what one key holds. What has a deadline may vanish at any time
// from then on, and must not before.
type register struct {
	exists  bool
	value   string
	expires time.Duration // the earliest time of expiry, as an age of the run; zero if none
}

// step returns the registers that an operation with its answer may leave;
// none if the answer is not possible.
func (s register) step(o *Op, answered time.Duration) []any {
	next := s.stepHere(o)
	if s.exists && s.expires > 0 && answered >= s.expires {
		next = append(next, register{}.stepHere(o)...)
	}
	return next
}

// stepHere is step for a register that does not expire meanwhile.
func (s register) stepHere(o *Op) []any {
	next, value, isNil := s.apply(o)
	if o.Outcome == Done && (isNil != o.Nil || value != o.Value) {
		return nil
	}
	return []any{next}
}

// apply is what an operation does and answers.
func (s register) apply(o *Op) (next register, value string, isNil bool) {
	switch o.Kind {
	case Get:
		return s, s.value, !s.exists
	case GetDel:
		return register{}, s.value, !s.exists
	case Set:
		return s.written(o), "OK", false
	case SetNX:
		if s.exists {
			return s, "", true
		}
		return s.written(o), "OK", false
	case Append:
		s.exists = true
		s.value += o.Arg
		return s, strconv.Itoa(len(s.value)), false
	case Incr:
		n := 0
		if s.exists {
			n, _ = strconv.Atoi(s.value)
		}
		s.exists = true
		s.value = strconv.Itoa(n + 1)
		return s, s.value, false
	}
	panic("no model of " + string(o.Kind))
}

// written is the register after o has set it. Its time cannot begin to run
// before o was sent.
func (s register) written(o *Op) register {
	next := register{exists: true, value: o.Arg}
	if o.TTL > 0 {
		next.expires = o.Sent + o.TTL
	}
	return next
}

// registers is the model of all keys, each for itself.
var registers = (&porcupine.NondeterministicModel{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		var parts [][]porcupine.Operation
		at := map[string]int{}
		for _, operation := range history {
			key := operation.Input.(*Op).Key
			i, found := at[key]
			if !found {
				i = len(parts)
				at[key] = i
				parts = append(parts, nil)
			}
			parts[i] = append(parts[i], operation)
		}
		return parts
	},
	Init: func() []any { return []any{register{}} },
	Step: func(state, input, output any) []any {
		return state.(register).step(input.(*Op), output.(time.Duration))
	},
	Equal: func(a, b any) bool { return a == b },
	DescribeOperation: func(input, _ any) string {
		return input.(*Op).String()
	},
}).ToModel()

// checkTime bounds the search for an order of one key's operations.
const checkTime = 30 * time.Second

// CheckLinearizable reports whether each key's operations can be put in an
// order in which each takes effect between its call and its answer. What is
// unknown may take effect at any time after its call, or never.
func CheckLinearizable(h *History) error {
	for key, ops := range h.byKey() {
		if strings.HasPrefix(key, "idem:") {
			continue // judged by CheckCounted
		}
		var history []porcupine.Operation
		for _, o := range ops {
			if o.Outcome == Failed || o.Level != Linearizable || o.Kind == PTTL {
				continue
			}
			if o.Outcome == Unknown && o.IsRead() {
				continue
			}
			operation := porcupine.Operation{ClientId: o.Client, Input: o, Call: o.Call, Output: o.Answered, Return: o.Return}
			if o.Outcome == Unknown {
				operation.Output, operation.Return = time.Duration(math.MaxInt64), math.MaxInt64
			}
			history = append(history, operation)
		}
		if verdict := porcupine.CheckOperationsTimeout(registers, history, checkTime); verdict != porcupine.Ok {
			return &Violation{"linearizable", fmt.Sprintf("%d operations: %s", len(history), verdict), key}
		}
	}
	return nil
}
