package machine

import (
	"math"
	"time"
)

// A Rebaser is a machine whose state holds lease times, or things that must
// not come back with a backup.
//
// A backup is what Machine.Snapshot wrote, and may be restored much later, or
// in another cluster. Its lease times are those of the cluster and the moment
// of the backup: what had ten minutes left then is to have ten minutes left
// after the restore. Every machine that calls Tx.Deadline must be a Rebaser,
// for the index of deadlines is not in a backup: what Rebase does not put
// there never expires.
//
// A machine that is none is restored as it was.
type Rebaser interface {
	// Rebase makes a restored state that of the present. It is called once, on
	// a machine that was just made and restored from a backup, before anything
	// else is asked of it. It must
	//
	//   - move every lease time that it keeps by shift, which may be negative
	//     (see Shift);
	//   - tell the index of every deadline anew, with Tx.Deadline(key, 0, at);
	//   - drop what belongs to nodes and connections of the past: holders of
	//     locks, waiters, whatever names an origin.
	//
	// Wall times and numbers stay as they are; the number source is never below
	// one that the backup could hold. Expired things need not be removed: they
	// are still expired, and their deadlines come at once. Like all that a
	// machine does, it depends on nothing but its arguments and the state.
	Rebase(tx *Tx, shift time.Duration)
}

// Never stands for a deadline that lease time cannot express.
const Never = time.Duration(math.MaxInt64)

// Shift moves a deadline by shift: none, which is zero, stays none, and so
// does Never. What would be at or before the beginning of lease time, and so is
// long over, becomes the first moment that there is; what would be too far
// away becomes the last one before Never.
func Shift(deadline, shift time.Duration) time.Duration {
	switch {
	case deadline == 0, deadline == Never:
		return deadline
	case shift > 0 && deadline > Never-1-shift:
		return Never - 1
	}
	return max(deadline+shift, 1)
}
