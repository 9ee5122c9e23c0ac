package peer

import (
	"errors"
	"fmt"
)

// Every error of [Peer.Call] and [Peer.CallAddr] wraps ErrNotSent, ErrBusy or
// ErrLost, or is a [RemoteError]. A request that must take effect once may be
// sent again after the first two only: the other two are no proof that
// nothing was done.
var (
	// ErrNotSent means that the request was certainly not handled: there was
	// no address, the dial or the handshake failed, or the connection broke,
	// or the context ended, before the first byte of the request was given to
	// the connection. Nothing will be sent later either.
	ErrNotSent = errors.New("not sent")
	// ErrBusy means that the request was certainly not handled, for too many
	// are in flight between the two nodes, or its handler said so.
	ErrBusy = errors.New("busy: too many requests in flight")
	// ErrLost means that the request may have been handled, may still be, or
	// may not: the connection broke, or the context ended, after the sending
	// had begun and before the reply was there.
	ErrLost = errors.New("reply lost")
	// ErrTooBig means that the body is over the limit of its lane. It comes
	// with ErrNotSent.
	ErrTooBig = errors.New("body is too big")
	// ErrKey means that the other node has none of this node's cluster keys.
	ErrKey = errors.New("the other node's certificate is of another cluster key")
)

// A RemoteError is what the other node's handler answered. What the handler
// did before is not known from it.
type RemoteError struct {
	Text string
}

func (e *RemoteError) Error() string { return e.Text }

// An IdentityError means that another node answers at an address than the one
// that was expected there. It comes with ErrNotSent.
type IdentityError struct {
	Want, Got string // server IDs
}

func (e *IdentityError) Error() string {
	return fmt.Sprintf("the node is %s, not %s", e.Got, e.Want)
}

// A refusal is the reason that the other node gave for not letting this one
// in, or for closing a connection.
type refusal struct {
	text string
}

func (e *refusal) Error() string { return "the other node says: " + e.text }

// notSent wraps the reason why a request was certainly not handled.
func notSent(err error) error { return fmt.Errorf("%w: %w", ErrNotSent, err) }

// lost wraps the reason why it is not known whether a request was handled.
func lost(err error) error { return fmt.Errorf("%w: %w", ErrLost, err) }
