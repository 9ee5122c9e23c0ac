package redis

import (
	"errors"
	"fmt"
	"strings"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/server/resp"
)

// Redis' own texts: clients compare some of them whole.
const (
	errNoAuth      = "NOAUTH Authentication required."
	errNoAuthHello = "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time"
	errNoPassword  = "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?"
	errWrongPass   = "WRONGPASS invalid username-password pair or user is disabled."
	errNoProto     = "NOPROTO unsupported protocol version"
	errSyntax      = "ERR syntax error"
	errNotInteger  = "ERR value is not an integer or out of range"
	errNoCluster   = "ERR This instance has cluster support disabled"
	errClientName  = "ERR Client names cannot contain spaces, newlines or special characters."
)

// errNoReply is what an empty reply is taken for: the next one would be
// taken for it.
var errNoReply = errors.New("the log answered nothing")

// explain says what an error of the log means for a command or a query, and
// what to do. The first word decides what clients do: PHP takes what begins
// with ERR for an empty answer, and some send again what begins with
// CLUSTERDOWN, TRYAGAIN or LOADING. So these are said only of what was
// certainly not applied.
func explain(item machine.Item, err error) string {
	switch {
	case errors.Is(err, machine.ErrNoQuorum):
		return "CLUSTERDOWN no quorum: a majority of the voters cannot be reached, and the command was certainly not applied; send it again later, and see huddle status"
	case errors.Is(err, machine.ErrOverloaded):
		return "TRYAGAIN overloaded: too many commands wait already, and this one was certainly not applied; send it again later"
	case errors.Is(err, machine.ErrLoading):
		return "LOADING this node is still joining its cluster, and the command was certainly not applied; send it again later, or to another node"
	case errors.Is(err, machine.ErrFull):
		return "OOM command not allowed when used memory > 'maxmemory'."
	case errors.Is(err, machine.ErrTooBig):
		return fmt.Sprintf("TOOBIG command of %d bytes is larger than the log takes; it was not applied", len(item.Data))
	case errors.Is(err, machine.ErrReused):
		return "ERR the idempotency key was used with another command before; this one was not applied"
	case item.Query:
		return "UNAVAILABLE no answer in time: the read may be sent again"
	case errors.Is(err, machine.ErrUnknown):
		return "UNAVAILABLE outcome unknown: the command may have been applied; look before it is sent again, or use IDEM"
	}
	return "UNAVAILABLE outcome unknown: " + err.Error()
}

// tooBig is the answer to what the codec has read past.
func tooBig(err *resp.TooBigError) string {
	if err.Size == 0 {
		return fmt.Sprintf("TOOBIG command is over %d bytes", err.Max)
	}
	return fmt.Sprintf("TOOBIG value of %d bytes is over HUDDLE_MAX_VALUE (%d)", err.Size, err.Max)
}

func wrongArity(name string) string {
	return "ERR wrong number of arguments for '" + name + "' command"
}

// quotedBytes is how much of an unknown command is given back, in Redis.
const quotedBytes = 128

func unknownCommand(args [][]byte) string {
	var quoted strings.Builder
	for _, arg := range args[1:] {
		if quoted.Len() >= quotedBytes {
			break
		}
		arg = clip(arg, quotedBytes-quoted.Len())
		quoted.WriteString("'" + string(arg) + "' ")
	}
	return "ERR unknown command '" + string(clip(args[0], quotedBytes)) + "', with args beginning with: " + quoted.String()
}

func unknownSubcommand(command string, sub []byte) string {
	return "ERR unknown subcommand '" + string(clip(sub, quotedBytes)) + "'. Try " + strings.ToUpper(command) + " HELP."
}

// clip returns b as C's printf with a precision of n prints it.
func clip(b []byte, n int) []byte {
	b = b[:min(len(b), n)]
	for i, c := range b {
		if c == 0 {
			return b[:i]
		}
	}
	return b
}
