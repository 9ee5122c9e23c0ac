package locks

import (
	"errors"
	"fmt"
	"sync/atomic"
)

// ErrFenced means that a holder with a higher token was there already.
var ErrFenced = errors.New("the token is older than one that was seen: the lock is another's")

// A Fence protects something in memory from those who no longer hold its lock:
// it lets nobody pass after one with a higher token. The zero value is ready.
//
// Admit and the change that it admits must be in one critical section of what
// is protected; else an older holder could pass, and write after a newer one.
// A database does both in one statement, as the example shows.
type Fence struct {
	highest atomic.Uint64
}

// Admit returns nil if no higher token has been seen, and ErrFenced otherwise.
func (f *Fence) Admit(token uint64) error {
	for {
		highest := f.highest.Load()
		switch {
		case token < highest:
			return fmt.Errorf("token %d after %d: %w", token, highest, ErrFenced)
		case token == highest || f.highest.CompareAndSwap(highest, token):
			return nil
		}
	}
}

// Highest returns the highest token that was admitted, 0 before the first.
func (f *Fence) Highest() uint64 { return f.highest.Load() }
