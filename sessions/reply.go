package sessions

import (
	"encoding/binary"
	"math"
	"time"
)

// A status is how a command or a query ended. Its number is in remembered
// replies and never reused.
type status uint8

const (
	statusDone     status = 0
	statusNone     status = 1 // there is no such session
	statusConflict status = 2 // the condition does not hold
	statusFull     status = 3
	statusSession  status = 4 // the session is no JSON object; data says why
	statusPatch    status = 5 // the patch is no JSON object; data says why
	statusTooBig   status = 6 // count is the size that it would have
	statusUnknown  status = 7 // no query of this release
)

// A reply answers a command or a query. Fields that do not belong to it are
// zero.
//
//	byte    status
//	byte    1 if a touch was written, or a scan has more; else 0
//	uvarint version
//	uvarint how many, or how large
//	uvarint idle time in nanoseconds
//	uvarint nanoseconds left
//	uvarint nanoseconds left until the absolute limit; 0: there is none
//	uvarint length of the user's name
//	bytes
//	bytes   the rest: the session; the reason; or for each session listed
//	        uvarint and ID, followed in a scan by uvarint and session
type reply struct {
	status  status
	flag    bool
	version uint64
	count   uint64
	ttl     time.Duration
	left    time.Duration
	limit   time.Duration
	user    string
	data    []byte
}

// encode returns the reply as the log carries it.
func (r *reply) encode() []byte {
	const around = 2 + 6*binary.MaxVarintLen64
	dst := make([]byte, 0, around+len(r.user)+len(r.data))
	dst = append(dst, byte(r.status), 0)
	if r.flag {
		dst[1] = 1
	}
	for _, n := range []uint64{r.version, r.count, uint64(r.ttl), uint64(r.left), uint64(r.limit)} {
		dst = binary.AppendUvarint(dst, n)
	}
	dst = appendBytes(dst, r.user)
	return append(dst, r.data...)
}

// decodeReply reads what encode wrote. The reply's data points into it.
func decodeReply(data []byte) (reply, error) {
	in := reader{rest: data}
	r := reply{status: status(in.byte()), flag: in.byte() == 1}
	r.version, r.count = in.uvarint(), in.uvarint()
	for _, d := range []*time.Duration{&r.ttl, &r.left, &r.limit} {
		n := in.uvarint()
		if n > math.MaxInt64 {
			return reply{}, errMalformed
		}
		*d = time.Duration(n)
	}
	r.user = string(in.bytes())
	r.data = in.rest
	if in.isBad || r.status > statusUnknown {
		return reply{}, errMalformed
	}
	return r, nil
}
