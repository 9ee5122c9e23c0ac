package lua

import (
	"errors"
	"fmt"
)

// Limits bounds one run of a script. Both bounds are counted, not measured, so
// that a script stops at the same place on every node.
type Limits struct {
	// Steps is how much work a script may do: about one for each operation,
	// and more for operations on much data. 0 means 10,000,000.
	Steps int

	// Bytes is how much memory a script may take in all its life: strings,
	// tables, replies of commands and its own reply. What it drops is counted
	// on, but for the old place of a table that grew. 0 means 64 MiB.
	Bytes int
}

const (
	defaultSteps = 10_000_000
	defaultBytes = 64 << 20
)

// ErrBound is returned by Run for a script that was stopped at a bound, and
// must have no effect.
var ErrBound = errors.New("script stopped")

// A meter counts what a script has left. A nil meter counts nothing.
type meter struct {
	steps, bytes int
	limits       Limits
}

// A stop is the panic that ends a script at a bound. Nothing in Lua catches
// it.
type stop struct{ what string }

func (m *meter) reset(l Limits) {
	if l.Steps == 0 {
		l.Steps = defaultSteps
	}
	if l.Bytes == 0 {
		l.Bytes = defaultBytes
	}
	m.limits, m.steps, m.bytes = l, l.Steps, l.Bytes
}

// step counts work.
func (m *meter) step(n int) {
	if m == nil {
		return
	}
	if m.steps -= n; m.steps < 0 {
		panic(&stop{fmt.Sprintf("ERR script stopped: it needs more than %d steps", m.limits.Steps)})
	}
}

// take counts memory before it is allocated.
func (m *meter) take(n int) {
	if m == nil {
		return
	}
	if m.bytes -= n; m.bytes < 0 {
		panic(&stop{fmt.Sprintf("ERR script stopped: it needs more than %d bytes", m.limits.Bytes)})
	}
}

// give takes back what was counted and is free now.
func (m *meter) give(n int) {
	if m != nil {
		m.bytes += n
	}
}

// data counts the work of going through n bytes.
func (m *meter) data(n int) { m.step(n >> longCompare) }
