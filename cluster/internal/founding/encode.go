package founding

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// version is the first byte of everything that is sent or kept.
const version = 1

// ErrFormat says that bytes are not what this package writes.
var ErrFormat = errors.New("malformed founding message")

// All integers are unsigned varints (encoding/binary), of at most 64 bits; a
// string is its length and its bytes, 255 at most:
//
//	string   = length uvarint, bytes
//
//	member   = ID string, name string, address string, flags byte (1: durable)
//
//	list     = cluster string, number uvarint, voters uvarint,
//	           count uvarint (1 to 64), count × member
//
// The members are in ascending order of ID; the first is the proposer.

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendList(b []byte, l List) []byte {
	b = appendString(b, l.Cluster)
	b = binary.AppendUvarint(b, l.Number)
	b = binary.AppendUvarint(b, uint64(l.Voters))
	b = binary.AppendUvarint(b, uint64(len(l.Members)))
	for _, m := range l.Members {
		b = appendString(appendString(appendString(b, m.ID), m.Name), m.Addr)
		b = append(b, flag(m.Durable, 1))
	}
	return b
}

func flag(set bool, bit byte) byte {
	if set {
		return bit
	}
	return 0
}

// AppendQuestion appends the encoding of a question:
//
//	question = version byte (1), list, stand byte, promises uvarint
//
// Stand and promises are the asker's own answer, as in an answer.
func AppendQuestion(b []byte, q Question) []byte {
	b = appendList(append(b, version), q.List)
	b = append(b, byte(q.Own.Stand))
	return binary.AppendUvarint(b, q.Own.Promises)
}

// ParseQuestion reads a whole question, whose list keeps the rules of lists.
func ParseQuestion(data []byte) (Question, error) {
	r := newReader(data)
	q := Question{List: r.list()}
	q.Own = Answer{Cluster: q.List.Cluster, Stand: r.stand(), Promises: r.uvarint()}
	if err := r.end(); err != nil {
		return Question{}, err
	}
	if err := q.List.Check(); err != nil {
		return Question{}, err
	}
	return q, nil
}

// AppendAnswer appends the encoding of an answer:
//
//	answer = version byte (1), cluster string, stand byte, promises uvarint
//
// Stand is 1 promised, 2 void, 3 refused, 4 elsewhere, 5 started, 6 applied,
// 7 vain. Bit i of promises: the list's member i is known to have promised.
func AppendAnswer(b []byte, a Answer) []byte {
	b = appendString(append(b, version), a.Cluster)
	b = append(b, byte(a.Stand))
	return binary.AppendUvarint(b, a.Promises)
}

// ParseAnswer reads a whole answer.
func ParseAnswer(data []byte) (Answer, error) {
	r := newReader(data)
	a := Answer{Cluster: r.string(), Stand: r.stand(), Promises: r.uvarint()}
	if err := r.end(); err != nil {
		return Answer{}, err
	}
	return a, nil
}

// reader reads one message; the first thing that is wrong sticks.
type reader struct {
	data []byte
	err  error
}

func newReader(data []byte) *reader {
	r := &reader{data: data}
	if v := r.byte(); r.err == nil && v != version {
		r.fail("version %d", v)
	}
	return r
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, args...))
	}
	r.data = nil
}

// end reports what was wrong, leftovers included.
func (r *reader) end() error {
	if len(r.data) > 0 {
		r.fail("%d bytes too many", len(r.data))
	}
	return r.err
}

func (r *reader) byte() byte {
	if len(r.data) == 0 {
		r.fail("cut short")
		return 0
	}
	v := r.data[0]
	r.data = r.data[1:]
	return v
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.data)
	if n <= 0 {
		r.fail("no integer")
		return 0
	}
	r.data = r.data[n:]
	return v
}

func (r *reader) string() string {
	n := r.uvarint()
	if n > MaxString || n > uint64(len(r.data)) {
		r.fail("string of %d bytes", n)
		return ""
	}
	s := string(r.data[:n])
	r.data = r.data[n:]
	return s
}

func (r *reader) stand() Stand {
	s := Stand(r.byte())
	if s < Promised || s > Vain {
		r.fail("stand %d", s)
	}
	return s
}

func (r *reader) list() List {
	l := List{Cluster: r.string(), Number: r.uvarint()}
	voters, n := r.uvarint(), r.uvarint()
	if voters > MaxMembers || n == 0 || n > MaxMembers {
		r.fail("list of %d, %d voters", n, voters)
		return List{}
	}
	l.Voters = int(voters)
	l.Members = make([]Member, n)
	for i := range l.Members {
		m := Member{ID: r.string(), Name: r.string(), Addr: r.string()}
		flags := r.byte()
		if flags > 1 {
			r.fail("member flags %d", flags)
		}
		m.Durable = flags == 1
		l.Members[i] = m
	}
	l.Proposer = l.Members[0].ID
	return l
}
