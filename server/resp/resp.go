// Package resp reads and writes the Redis serialization protocol, versions 2
// and 3: a [Reader] for the commands that clients send, appenders for the
// replies they get, and a [ReplyReader] for those who are the client.
//
// The protocol: https://redis.io/docs/latest/develop/reference/protocol-spec/
package resp

import (
	"errors"
	"fmt"
)

// The two versions of the protocol, as HELLO names them.
const (
	Proto2 = 2
	Proto3 = 3
)

const (
	maxLine = 64 << 10  // longest inline command, or line that holds a length, as in Redis
	maxBulk = 512 << 20 // longest argument that Redis would take: what claims more is no client
	crlf    = "\r\n"
)

// ErrForeign means that the other side does not speak RESP but, by its first
// byte, TLS. An answer would be of no use to it.
var ErrForeign = errors.New("not a Redis client")

// A ProtocolError says what is wrong with what a client sent, in Redis' own
// words. The client is to be told, and its connection closed, because where
// the next command begins is not known.
type ProtocolError string

// Error returns the text after "ERR " in Redis' reply.
func (e ProtocolError) Error() string { return "Protocol error: " + string(e) }

// A TooBigError means that a command was over a limit. All of it has been
// read and dropped: the next one can be read.
type TooBigError struct {
	Size int // bytes of the argument that was too long; zero where the whole command was
	Max  int // the limit
}

// Error says what was too big.
func (e *TooBigError) Error() string {
	if e.Size == 0 {
		return fmt.Sprintf("command is over %d bytes", e.Max)
	}
	return fmt.Sprintf("value of %d bytes is over %d", e.Size, e.Max)
}

// parseLength reads a number as Redis' string2ll does: no sign but a minus,
// no leading zero, nothing else.
func parseLength(b []byte) (n int, ok bool) {
	digits := b
	if len(b) > 1 && b[0] == '-' {
		digits = b[1:]
	}
	if len(digits) == 0 || len(digits) > 18 || digits[0] == '0' && len(b) > 1 {
		return 0, false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	if len(digits) < len(b) {
		n = -n
	}
	return n, true
}
