package sim_test

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/counters"
)

// checkApplied returns an error if replicas disagree, or if a client was told
// of another number of admissions than there were.
func checkApplied(w *limitsWorld) error {
	if len(w.broken) > 0 {
		return fmt.Errorf("replicas disagree: %s", strings.Join(w.broken, "\n"))
	}
	told, unknown := 0, 0
	for _, c := range w.calls {
		switch {
		case !c.answered:
			unknown++
		case c.result.Allowed:
			told++
		}
	}
	if got := len(admissions(w)); got < told || got > told+unknown {
		return fmt.Errorf("%d calls were admitted in the log, clients were told of %d and of %d nothing", got, told, unknown)
	}
	return nil
}

// An admission is a call that took effect.
type admission struct {
	limit counters.Limit
	at    time.Duration // lease time
}

// admissions are all calls that took effect, in the order of the log. Which
// they are is read from what was applied, whoever was told of it.
func admissions(w *limitsWorld) (list []admission) {
	var places []place
	for at := range w.applied {
		places = append(places, at)
	}
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.index, b.index), cmp.Compare(a.position, b.position))
	})
	byCommand := map[string]counters.Limit{}
	for _, c := range w.calls {
		byCommand[takeOf(c.limit)] = c.limit
	}
	for _, at := range places {
		did := w.applied[at]
		if limit, found := byCommand[did.cmd]; found && did.reply[1] == 1 {
			list = append(list, admission{limit, did.at})
		}
	}
	return list
}

// takeOf is what a Take of the limit sends.
func takeOf(l counters.Limit) string {
	var sent sentLog
	_, _ = counters.New(&sent).Take(nil, l) //nolint:staticcheck // the log looks at no context
	return string(sent.data)
}

// checkRules returns an error if in lease time more was admitted than an
// algorithm allows.
func checkRules(w *limitsWorld) error {
	by := map[counters.Limit][]time.Duration{}
	for _, a := range admissions(w) {
		by[a.limit] = append(by[a.limit], a.at)
	}
	for l, times := range by {
		if err := checkRule(l, times); err != nil {
			return err
		}
	}
	return nil
}

func checkRule(l counters.Limit, times []time.Duration) error {
	begin, inWindow := time.Duration(0), int64(0)
	for i, at := range times {
		if inWindow == 0 || at >= begin+l.Window {
			begin, inWindow = at, 0
		}
		inWindow++
		if l.Algorithm == counters.FixedWindow && inWindow > l.Limit {
			return fmt.Errorf("%s: call %d of the window from %s on, at %s", l.Name, inWindow, begin, at)
		}
		for j := range i {
			n := int64(i - j + 1)
			if l.Algorithm == counters.SlidingWindow && at-times[j] < l.Window && n > l.Limit {
				return fmt.Errorf("%s: %d calls from %s to %s", l.Name, n, times[j], at)
			}
			rate := l.Limit * int64(at-times[j]) / int64(l.Window)
			if l.Algorithm == counters.TokenBucket && n > l.Burst+rate {
				return fmt.Errorf("%s: %d calls from %s to %s, more than %d and %d for the time", l.Name, n, times[j], at, l.Burst, rate)
			}
		}
	}
	return nil
}

// short are limits that are used up, and there again, many times in a run.
func short() []counters.Limit {
	return []counters.Limit{
		{Name: "fixed", Algorithm: counters.FixedWindow, Limit: 3, Window: 2 * time.Second},
		{Name: "sliding", Algorithm: counters.SlidingWindow, Limit: 3, Window: 2 * time.Second},
		{Name: "bucket", Algorithm: counters.TokenBucket, Limit: 2, Window: time.Second, Burst: 3},
	}
}

// TestLimitsUnderFaults takes while the leader is cut off and paused, and while
// all nodes are replaced: in lease time never more than the algorithm allows.
func TestLimitsUnderFaults(t *testing.T) {
	forSeeds(t, 6, func(t *testing.T, seed uint64) {
		w := runLimits(t, limitsOptions{seed: seed}, func(_ *testing.T, w *limitsWorld) {
			wait := w.clients(seed, 10, 60, 30*time.Second, short()...)
			w.disturb(4)
			if seed%2 == 0 {
				w.replace()
			}
			wait()
		})
		if err := errors.Join(checkRules(w), checkApplied(w)); err != nil {
			t.Errorf("HUDDLE_SEED=%d: %v", seed, err)
		}
		if n := len(admissions(w)); n < 50 {
			t.Errorf("HUDDLE_SEED=%d: %d calls were admitted, too few to show anything", seed, n)
		}
	})
}

// A newcomer is a machine that has nothing of what was before it: a cache of
// each node's own.
type newcomer struct{ machine.Machine }

func (m newcomer) Restore(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

// A spendthrift machine counts one in seven calls under another name.
type spendthrift struct {
	machine.Machine
	applied *int
}

func (m spendthrift) Apply(tx *machine.Tx, cmd []byte) []byte {
	if *m.applied++; *m.applied%7 == 0 {
		cmd = bytes.Replace(cmd, []byte("ten"), []byte("net"), 1)
	}
	return m.Machine.Apply(tx, cmd)
}

// An ahead machine's clock is fast by a tenth.
type ahead struct{ machine.Machine }

func (m ahead) Apply(tx *machine.Tx, cmd []byte) []byte {
	early := *tx
	early.Lease += early.Lease / 10
	reply := m.Machine.Apply(&early, cmd)
	tx.Refused = early.Refused
	return reply
}

// TestTheLimitChecksCatchPlantedFaults plants a fault in the machines, and
// looks that the checks of the tests above find it.
func TestTheLimitChecksCatchPlantedFaults(t *testing.T) {
	for _, tt := range []struct {
		fault   string
		check   func(*limitsWorld) error
		machine func(machine.Machine) machine.Machine
	}{
		{"every node has limits of its own", checkTen, func(m machine.Machine) machine.Machine { return newcomer{m} }},
		{"calls are counted elsewhere", checkTen, func(m machine.Machine) machine.Machine { return spendthrift{m, new(int)} }},
		{"a replica is another", checkApplied, func(m machine.Machine) machine.Machine { return spendthrift{m, new(int)} }},
		{"windows end early", checkRules, func(m machine.Machine) machine.Machine { return ahead{m} }},
	} {
		t.Run(strings.ReplaceAll(tt.fault, " ", "-"), func(t *testing.T) {
			t.Parallel()
			for seed := uint64(1); seed <= 5; seed++ {
				w := runLimits(t, limitsOptions{seed: seed, machine: tt.machine}, func(t *testing.T, w *limitsWorld) {
					if tt.fault != "windows end early" {
						replaceWhileTaking(seed)(t, w)
						return
					}
					time.Sleep(time.Minute)
					w.clients(seed, 10, 60, 20*time.Second, short()...)()
				})
				if err := tt.check(w); err != nil {
					t.Logf("seed %d: %.300v", seed, err)
					return
				}
			}
			t.Error("not caught")
		})
	}
}
