package counters

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
)

// Commands and queries begin with the version of their format and their kind.
// Numbers are varints, shortest form; name is its length and its bytes; ttl,
// window and times are nanoseconds.
//
//	add     1 1 name  n varint  ttl uvarint (0: none)
//	delete  1 2 name
//	take    1 3 calls
//	reset   1 4 name
//	get     1 5 name
//	peek    1 6 calls
//	deny    1 7 earliest uvarint  latest uvarint  calls
//
//	calls   count uvarint, each: name  algorithm byte  limit uvarint  window uvarint  burst uvarint  cost uvarint
//
// A reply begins with a status byte; only behind statusOK there is more:
//
//	add               value varint
//	delete, reset     found byte
//	get               found byte, and if it is 1: value varint  ttl left uvarint
//	take, peek, deny  each: allowed byte  limit uvarint  remaining uvarint  retry varint (-1: never)  reset uvarint
const (
	formatVersion = 1

	kindAdd    = 1
	kindDelete = 2
	kindTake   = 3
	kindReset  = 4
	kindGet    = 5
	kindPeek   = 6
	kindDeny   = 7
)

// Statuses of replies.
const (
	statusOK       = 0
	statusOverflow = 1 // ErrOverflow
	statusFull     = 2 // machine.ErrFull
	statusUnknown  = 3 // a query that this release does not know; a command would have stopped the node
	statusAsk      = 4 // of a deny: the calls are not certainly denied, ask the log
)

// errFormat is wrapped by what is wrong with a command or a reply.
var errFormat = errors.New("malformed")

// bounds are between what times the lease time certainly is.
type bounds struct{ earliest, latest time.Duration }

// A command is one, decoded. Its strings are its own.
type command struct {
	kind   byte
	name   string
	n      int64         // add
	ttl    time.Duration // add
	calls  []call        // take, peek and deny
	bounds bounds        // deny
}

func appendAdd(b []byte, name string, n int64, ttl time.Duration) []byte {
	b = appendName(append(b, formatVersion, kindAdd), name)
	b = binary.AppendVarint(b, n)
	return binary.AppendUvarint(b, uint64(ttl))
}

func appendRemove(b []byte, kind byte, name string) []byte {
	return appendName(append(b, formatVersion, kind), name)
}

func appendGet(b []byte, name string) []byte {
	return appendName(append(b, formatVersion, kindGet), name)
}

func takeCommand(calls []call) []byte {
	return appendCalls([]byte{formatVersion, kindTake}, calls)
}

func appendPeek(b []byte, calls []call) []byte {
	return appendCalls(append(b, formatVersion, kindPeek), calls)
}

func appendDeny(b []byte, at bounds, calls []call) []byte {
	b = append(b, formatVersion, kindDeny)
	b = binary.AppendUvarint(b, uint64(at.earliest))
	b = binary.AppendUvarint(b, uint64(at.latest))
	return appendCalls(b, calls)
}

func appendCalls(b []byte, calls []call) []byte {
	b = binary.AppendUvarint(b, uint64(len(calls)))
	for _, c := range calls {
		b = appendRule(appendName(b, c.name), c.rule)
		b = binary.AppendUvarint(b, uint64(c.cost))
	}
	return b
}

func appendRule(b []byte, r rule) []byte {
	b = append(b, byte(r.algorithm))
	b = binary.AppendUvarint(b, uint64(r.limit))
	b = binary.AppendUvarint(b, uint64(r.window))
	return binary.AppendUvarint(b, uint64(r.burst))
}

func appendName(b []byte, name string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(name))), name...)
}

func appendResult(b []byte, r Result) []byte {
	b = appendBool(b, r.Allowed)
	b = binary.AppendUvarint(b, uint64(r.Limit))
	b = binary.AppendUvarint(b, uint64(r.Remaining))
	b = binary.AppendVarint(b, int64(r.RetryAfter))
	return binary.AppendUvarint(b, uint64(r.ResetAfter))
}

func appendBool(b []byte, is bool) []byte {
	if is {
		return append(b, 1)
	}
	return append(b, 0)
}

// parse decodes a command or a query. It takes only what the functions above
// could have made.
func parse(data []byte) (c command, err error) {
	d := decoder{data: data}
	if version := d.byte(); version != formatVersion {
		return c, fmt.Errorf("%w: version %d", errFormat, version)
	}
	switch c.kind = d.byte(); c.kind {
	case kindAdd:
		c.name = d.name()
		c.n, c.ttl = d.varint(), d.duration()
		if c.ttl > MaxTTL {
			d.fail("TTL")
		}
	case kindDelete, kindReset, kindGet:
		c.name = d.name()
	case kindTake, kindPeek:
		c.calls = d.calls()
	case kindDeny:
		c.bounds = bounds{d.duration(), d.duration()}
		c.calls = d.calls()
	default:
		d.fail("kind")
	}
	return c, d.done()
}

// opened returns what is behind the status of a reply, or the error that the
// status stands for.
func opened(reply []byte) (*decoder, error) {
	d := &decoder{data: reply}
	switch status := d.byte(); {
	case d.err != nil:
		return nil, d.err
	case status == statusOK:
		return d, nil
	case status == statusOverflow:
		return nil, ErrOverflow
	case status == statusFull:
		return nil, machine.ErrFull
	default:
		return nil, fmt.Errorf("%w: reply of status %d", errFormat, status)
	}
}

// A decoder takes values from the front of its data. After the first error
// everything is zero.
type decoder struct {
	data []byte
	err  error
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", errFormat, what)
	}
	d.data = nil
}

// done returns the first error; anything left over is one.
func (d *decoder) done() error {
	if len(d.data) > 0 {
		d.fail("bytes behind the end")
	}
	return d.err
}

func (d *decoder) byte() byte {
	if len(d.data) == 0 {
		d.fail("it ends too early")
		return 0
	}
	b := d.data[0]
	d.data = d.data[1:]
	return b
}

func (d *decoder) bool() bool {
	b := d.byte()
	if b > 1 {
		d.fail("neither true nor false")
	}
	return b == 1
}

// number reads a number that is not negative, in its shortest form.
func (d *decoder) number() int64 {
	n, size := binary.Uvarint(d.data)
	if size <= 0 || n > math.MaxInt64 || size > 1 && d.data[size-1] == 0 {
		d.fail("number")
		return 0
	}
	d.data = d.data[size:]
	return int64(n)
}

func (d *decoder) varint() int64 {
	n, size := binary.Varint(d.data)
	if size <= 0 || size > 1 && d.data[size-1] == 0 {
		d.fail("number")
		return 0
	}
	d.data = d.data[size:]
	return n
}

func (d *decoder) duration() time.Duration { return time.Duration(d.number()) }

func (d *decoder) name() string {
	n := d.number()
	if n < 1 || n > MaxName || n > int64(len(d.data)) {
		d.fail("name")
		return ""
	}
	name := string(d.data[:n])
	d.data = d.data[n:]
	return name
}

func (d *decoder) calls() []call {
	n := d.number()
	if n < 1 || n > MaxLimits {
		d.fail("number of calls")
		return nil
	}
	calls := make([]call, n)
	for i := range calls {
		calls[i] = call{name: d.name(), rule: d.rule(), cost: d.number()}
	}
	if d.err == nil {
		d.err = checkCalls(calls)
	}
	return calls
}

func (d *decoder) rule() rule {
	return rule{Algorithm(d.byte()), d.number(), d.duration(), d.number()}
}

func (d *decoder) results(n int) ([]Result, error) {
	results := make([]Result, n)
	for i := range results {
		results[i] = Result{
			Allowed: d.bool(), Limit: d.number(), Remaining: d.number(),
			RetryAfter: time.Duration(d.varint()), ResetAfter: d.duration(),
		}
	}
	return results, d.done()
}
