package sim

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/keyspace"
)

// A Kind is what an operation does, as a command of the keyspace.
type Kind string

// Kinds of operation.
const (
	Get    Kind = "GET"
	Set    Kind = "SET"
	SetNX  Kind = "SET NX"
	GetDel Kind = "GETDEL"
	Incr   Kind = "INCR"
	Append Kind = "APPEND"
	PTTL   Kind = "PTTL"
)

// A Level is what a read must have seen.
type Level string

// Levels of reads. Everything that writes is linearizable.
const (
	Linearizable Level = "linearizable"
	AtLeast      Level = "at least" // what its session has seen
	Local        Level = "local"
)

// An Outcome is what is known of an operation.
type Outcome string

// Outcomes of operations.
const (
	Done    Outcome = "done"
	Failed  Outcome = "failed" // certainly not applied
	Unknown Outcome = "unknown"
)

// An Op is one operation of one client, and what became of it.
type Op struct {
	Client int
	Kind   Kind
	Key    string
	Arg    string        // value to write
	Size   int           // if positive, the value is filled up to so many bytes
	TTL    time.Duration // of Set; zero if none
	Idem   string        // idempotency key
	Level  Level

	Pod            string
	Call, Return   int64         // places in the order of all calls and answers
	Sent, Answered time.Duration // age of the run
	Group          int           // operations of one group went out together
	Floor          machine.Stamp // what the session had seen before

	Outcome Outcome
	Err     string
	Nil     bool
	Value   string
	Stamp   machine.Stamp
}

// IsRead reports whether the operation changes nothing.
func (o *Op) IsRead() bool { return o.Kind == Get || o.Kind == PTTL }

// command is the operation as the log holds it.
func (o *Op) command() []byte {
	args := strings.Fields(string(o.Kind))[:1]
	args = append(args, o.Key)
	if o.Kind == Set || o.Kind == SetNX || o.Kind == Append {
		args = append(args, o.filled())
	}
	if o.Kind == SetNX {
		args = append(args, "NX")
	}
	if o.TTL > 0 {
		args = append(args, "PX", strconv.FormatInt(o.TTL.Milliseconds(), 10))
	}
	return command(args...)
}

func command(args ...string) []byte {
	list := make([][]byte, len(args))
	for i, arg := range args {
		list[i] = []byte(arg)
	}
	return keyspace.AppendCommand(nil, 0, 2, list)
}

// filled is the value with what fills it up.
func (o *Op) filled() string {
	if len(o.Arg) >= o.Size {
		return o.Arg
	}
	return o.Arg + strings.Repeat("#", o.Size-len(o.Arg))
}

// item is the operation as it is sent.
func (o *Op) item() machine.Item {
	return machine.Item{Data: o.command(), Query: o.IsRead(), Idem: o.Idem}
}

// answer notes the reply.
func (o *Op) answer(r machine.Reply) {
	if r.Err != nil {
		o.fail(r.Err)
		return
	}
	o.Outcome = Done
	value, isNil, err := parse(r.Data)
	if err != nil {
		o.Err = err.Error()
	}
	o.Value, o.Nil = strings.TrimRight(value, "#"), isNil
	if filling := len(value) - len(o.Value); filling > 0 && len(value) != largeSize {
		o.Err = fmt.Sprintf("%d of %d bytes of a large value", len(value), largeSize)
	}
}

// fail notes that there was no reply.
func (o *Op) fail(err error) {
	o.Outcome, o.Err = Failed, err.Error()
	if isUnknown(err) {
		o.Outcome = Unknown
	}
}

// parse reads a reply of one value.
func parse(reply []byte) (value string, isNil bool, err error) {
	if len(reply) < 3 || !bytes.HasSuffix(reply, []byte("\r\n")) {
		return "", false, fmt.Errorf("reply %q", reply)
	}
	line, rest, _ := bytes.Cut(reply, []byte("\r\n"))
	switch line[0] {
	case '+', ':':
		return string(line[1:]), false, nil
	case '$':
		if string(line) == "$-1" {
			return "", true, nil
		}
		return string(rest[:len(rest)-2]), false, nil
	}
	return string(line), false, fmt.Errorf("reply %q", line)
}

// String is a line about the operation.
func (o *Op) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%5d-%-5d %9s-%-9s client %d %-6s %s %s", o.Call, o.Return, round(o.Sent), round(o.Answered), o.Client, o.Pod, o.Kind, o.Key)
	if o.Arg != "" {
		fmt.Fprintf(&b, " %s", o.Arg)
	}
	if o.TTL > 0 {
		fmt.Fprintf(&b, " PX %s", o.TTL)
	}
	if o.Idem != "" {
		fmt.Fprintf(&b, " IDEM %s", o.Idem)
	}
	if o.IsRead() && o.Level != Linearizable {
		fmt.Fprintf(&b, " (%s %d)", o.Level, o.Floor.Index)
	}
	switch {
	case o.Outcome != Done:
		fmt.Fprintf(&b, ": %s: %s", o.Outcome, o.Err)
	case o.Nil:
		fmt.Fprintf(&b, " = nil at %d", o.Stamp.Index)
	default:
		fmt.Fprintf(&b, " = %q at %d", o.Value, o.Stamp.Index)
	}
	return b.String()
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
