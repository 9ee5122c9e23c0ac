package sessions

import (
	"errors"
	"fmt"

	"github.com/huddlecache/huddle/cluster/machine"
)

// Errors of this package. Those of package machine say what became of a call
// that the cluster has not answered.
var (
	// ErrNotFound means that there is no such session: it was never saved, was
	// destroyed, or has expired.
	ErrNotFound = errors.New("there is no such session")
	// ErrConflict means that the condition of a save or merge does not hold:
	// the session is at another version. Nothing was changed.
	ErrConflict = errors.New("the session is not at that version")
	// ErrNotObject means that the session to merge into is no JSON object.
	// Nothing was changed.
	ErrNotObject = errors.New("the session is no JSON object")
	// ErrPatch means that the patch is no JSON object.
	ErrPatch = errors.New("the patch is no JSON object")
	// ErrInvalid means that an argument is out of its bounds, which the error
	// names.
	ErrInvalid = errors.New("invalid argument")
)

// A TooBigError says that a session would be longer than it may be. It is a
// machine.ErrTooBig.
type TooBigError struct{ Size, Max int } // in bytes

// Error implements error.
func (e *TooBigError) Error() string {
	return fmt.Sprintf("value of %d bytes is over HUDDLE_MAX_VALUE (%d)", e.Size, e.Max)
}

// Unwrap returns machine.ErrTooBig.
func (e *TooBigError) Unwrap() error { return machine.ErrTooBig }

// errReply is what a reply is taken for that no machine of this release gave.
// Nothing is known of the command then.
var errReply = fmt.Errorf("%w: the reply is malformed", machine.ErrUnknown)

// failure returns the error that a reply tells of, nil if it is done.
func (r *reply) failure(most int) error {
	switch r.status {
	case statusDone:
		return nil
	case statusNone:
		return ErrNotFound
	case statusConflict:
		return ErrConflict
	case statusFull:
		return machine.ErrFull
	case statusSession:
		return fmt.Errorf("%w: %s", ErrNotObject, r.data)
	case statusPatch:
		return fmt.Errorf("%w: %s", ErrPatch, r.data)
	case statusTooBig:
		return &TooBigError{Size: int(r.count), Max: most}
	}
	return errReply
}
