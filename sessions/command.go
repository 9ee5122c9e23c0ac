package sessions

import (
	"encoding/binary"
	"errors"
)

// commandVersion is the first byte of a command and of a query.
const commandVersion = 1

// errMalformed is what decoding says of bytes that were not encoded here.
var errMalformed = errors.New("malformed session command")

// An op is what a command does. Its number is in the log and never reused.
type op uint8

const (
	opSave       op = 1
	opMerge      op = 2
	opTouch      op = 3
	opDestroy    op = 4
	opDestroyAll op = 5

	// Those from here on are queries.
	opLoad op = 16
	opPeek op = 17 // opLoad without the data
	opList op = 18
	opScan op = 19
)

func (o op) isCommand() bool { return opSave <= o && o <= opDestroyAll }

// A command is what is asked of the machine, in the log or by a query. Fields
// that an operation does not use are zero.
//
//	byte    1, the version of this format
//	byte    operation
//	byte    condition: 0 none, 1 at a version, 2 absent, 3 present
//	uvarint that version, else 0
//	uvarint idle time in milliseconds; 0: as it is, or a day
//	uvarint absolute limit in milliseconds from now; 0: as it is, or none
//	uvarint most bytes that a merged session may have, or a page of a scan
//	uvarint length of the session's ID, or of what a page begins behind
//	bytes
//	uvarint length of the user's name, or of the prefix to scan for
//	bytes
//	bytes   the session, or the patch, up to the end
type command struct {
	op    op
	when  Condition
	ttl   uint64
	limit uint64
	most  uint64
	id    []byte
	user  []byte
	data  []byte
}

// append appends the encoded command to dst.
func (c *command) append(dst []byte) []byte {
	dst = append(dst, commandVersion, byte(c.op), byte(c.when.kind))
	for _, n := range []uint64{c.when.version, c.ttl, c.limit, c.most} {
		dst = binary.AppendUvarint(dst, n)
	}
	dst = appendBytes(dst, c.id)
	dst = appendBytes(dst, c.user)
	return append(dst, c.data...)
}

// encode returns the command in a slice of its own.
func (c *command) encode() []byte {
	const around = 3 + 4*binary.MaxVarintLen64 + 2*binary.MaxVarintLen16
	return c.append(make([]byte, 0, around+len(c.id)+len(c.user)+len(c.data)))
}

// decodeCommand reads what append wrote. The command points into data.
func decodeCommand(data []byte) (command, error) {
	r := reader{rest: data}
	version := r.byte()
	c := command{op: op(r.byte())}
	c.when.kind = conditionKind(r.byte())
	for _, n := range []*uint64{&c.when.version, &c.ttl, &c.limit, &c.most} {
		*n = r.uvarint()
	}
	c.id, c.user = r.bytes(), r.bytes()
	c.data = r.rest
	isKnown := c.op.isCommand() || opLoad <= c.op && c.op <= opScan
	hasID := len(c.id) > 0 || c.op == opDestroyAll || c.op == opList || c.op == opScan
	isTimely := c.ttl <= maxMillis && c.limit <= maxMillis
	if r.isBad || version != commandVersion || !isKnown || !hasID || !isTimely || c.when.kind > isPresent {
		return command{}, errMalformed
	}
	return c, nil
}

// appendBytes appends b with its length before it.
func appendBytes[T string | []byte](dst []byte, b T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// A reader takes values off the front of a slice. Once something is missing
// everything reads as zero, and isBad stays set.
type reader struct {
	rest  []byte
	isBad bool
}

func (r *reader) take(n uint64) []byte {
	if r.isBad || n > uint64(len(r.rest)) {
		r.isBad, r.rest = true, nil
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

// uvarint takes a number in its shortest form.
func (r *reader) uvarint() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 || size > 1 && r.rest[size-1] == 0 {
		r.take(uint64(len(r.rest)) + 1)
		return 0
	}
	r.take(uint64(size))
	return n
}

func (r *reader) bytes() []byte { return r.take(r.uvarint()) }
