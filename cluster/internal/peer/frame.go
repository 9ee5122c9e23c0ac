package peer

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"
)

// Types of frames.
const (
	frameAlive   = 0 // says that the sender is alive, and nothing else
	frameRequest = 1 // from the node that dialled
	frameReply   = 2 // from the node that was dialled
	frameGoodbye = 3 // says why the sender closes the connection
)

// Statuses of replies.
const (
	statusDone  = 0 // body is the reply
	statusError = 1 // body is the text of the handler's error
	statusBusy  = 2 // the request was not handled; no body
)

// maxHeader is the most bytes that stand before a body, without the length.
const maxHeader = 1 + 8 + 1 + binary.MaxVarintLen64

// A frame is the unit of huddle/1. Numbers are big endian.
//
//	length  uint32   of what follows
//	type    uint8    0 alive, 1 request, 2 reply, 3 goodbye
//
//	request:                         reply:                        goodbye:
//	id      uint64   unique on       id      uint64   of the       text    UTF-8
//	                 this connection                  request
//	kind    uint8    the handler's   status  uint8    0, 1 or 2    alive:
//	wait    uvarint  µs that the     body                          (nothing)
//	                 caller waits,
//	                 0 without end
//	body
type frame struct {
	typ  uint8
	id   uint64
	code uint8         // kind or status
	wait time.Duration // of a request; rounded up to microseconds
	body []byte        // or text
}

// appendHeader appends all of f but its body.
func (f *frame) appendHeader(b []byte) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0, f.typ)
	switch f.typ {
	case frameRequest:
		b = binary.BigEndian.AppendUint64(b, f.id)
		b = append(b, f.code)
		b = binary.AppendUvarint(b, microseconds(f.wait))
	case frameReply:
		b = binary.BigEndian.AppendUint64(b, f.id)
		b = append(b, f.code)
	}
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start-4+len(f.body)))
	return b
}

// maxWait is the longest wait that a request can carry, in microseconds.
const maxWait = math.MaxInt64 / int64(time.Microsecond)

// microseconds rounds d up, so that a handler never ends before its caller,
// and what has little time left is not taken for what has no end.
func microseconds(d time.Duration) uint64 {
	us := int64(d / time.Microsecond)
	if d%time.Microsecond > 0 {
		us++
	}
	return uint64(min(us, maxWait))
}

var (
	errShortFrame   = errors.New("a frame is cut short")
	errUnknownFrame = errors.New("a frame has a type that does not belong here")
	errWait         = errors.New("a request's time is out of range")
)

// parseFrame reads what follows a length. The frame's body is part of b.
func parseFrame(b []byte) (frame, error) {
	if len(b) == 0 {
		return frame{}, errShortFrame
	}
	f := frame{typ: b[0]}
	b = b[1:]
	switch f.typ {
	case frameAlive, frameGoodbye:
	case frameRequest, frameReply:
		if len(b) < 9 {
			return frame{}, errShortFrame
		}
		f.id, f.code, b = binary.BigEndian.Uint64(b), b[8], b[9:]
	default:
		return frame{}, errUnknownFrame
	}
	if f.typ == frameRequest {
		wait, n := binary.Uvarint(b)
		if n == 0 {
			return frame{}, errShortFrame
		}
		if n < 0 || wait > uint64(maxWait) {
			return frame{}, errWait
		}
		f.wait, b = time.Duration(wait)*time.Microsecond, b[n:]
	}
	f.body = b
	return f, nil
}

// A sizeError means that a frame says that it is longer than it may be.
type sizeError struct {
	size, limit int
}

func (e *sizeError) Error() string {
	return fmt.Sprintf("a frame of %d bytes is over the limit of %d", e.size, e.limit)
}

// readFrame reads one frame whose body has at most limit bytes.
func readFrame(r *bufio.Reader, limit int) (frame, error) {
	head, err := r.Peek(4)
	if err != nil {
		return frame{}, err
	}
	size := binary.BigEndian.Uint32(head)
	if uint64(size) > uint64(limit)+maxHeader {
		return frame{}, &sizeError{size: int(size), limit: limit + maxHeader}
	}
	if _, err := r.Discard(4); err != nil {
		return frame{}, err
	}
	b, err := readBytes(r, int(size))
	if err != nil {
		return frame{}, err
	}
	return parseFrame(b)
}

// readBytes reads size bytes. It takes memory as the bytes come, so that a
// length alone costs little.
func readBytes(r io.Reader, size int) ([]byte, error) {
	const step = 1 << 20
	b := make([]byte, 0, min(size, step))
	for len(b) < size {
		b = slices.Grow(b, min(size-len(b), max(len(b), step)))
		have := len(b)
		b = b[:min(size, cap(b))]
		if _, err := io.ReadFull(r, b[have:]); err != nil {
			return nil, err
		}
	}
	return b, nil
}
