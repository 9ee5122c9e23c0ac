package resp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
)

// A Kind is the byte that a reply begins with.
type Kind byte

// The kinds of replies. Version 2 has the first five.
const (
	Simple    Kind = '+' // Text
	Error     Kind = '-' // Text: the code, a space, the message
	Int       Kind = ':' // Int
	Bulk      Kind = '$' // Text, or Null
	Array     Kind = '*' // Elems, or Null
	Null      Kind = '_' // nothing
	Bool      Kind = '#' // Int: 1 or 0
	Double    Kind = ',' // Float, and Text as it was sent
	BigNumber Kind = '(' // Text
	BulkError Kind = '!' // Text, as of Error
	Verbatim  Kind = '=' // Text: three letters of format, a colon, the text
	Map       Kind = '%' // Elems: each key with its value behind it
	Set       Kind = '~' // Elems
	Push      Kind = '>' // Elems; no command asked for it
)

const (
	maxDepth = 64      // arrays within arrays of a reply
	maxElems = 4 << 20 // values of one reply, in all
)

// ErrReply means that a server sent what is no reply.
var ErrReply = errors.New("not a valid reply")

// A Value is a reply of any kind.
type Value struct {
	Kind  Kind
	Null  bool // of Bulk and Array: version 2 says so that there is nothing
	Text  string
	Int   int64
	Float float64
	Elems []Value
}

// IsNull reports whether v stands for nothing, in either version.
func (v Value) IsNull() bool { return v.Null || v.Kind == Null }

// Err returns the text of an error as an error, nil for other kinds.
func (v Value) Err() error {
	if v.Kind == Error || v.Kind == BulkError {
		return errors.New(v.Text)
	}
	return nil
}

// Append appends v as it is on the wire.
func (v Value) Append(dst []byte) []byte {
	switch v.Kind {
	case Simple, Error, Double, BigNumber:
		return appendLine(append(dst, byte(v.Kind)), v.Text)
	case Int:
		return AppendInt(dst, v.Int)
	case Null:
		return AppendNull(dst, Proto3)
	case Bool:
		return AppendBool(dst, Proto3, v.Int != 0)
	case Bulk, BulkError, Verbatim:
		if v.Null {
			return AppendNull(dst, Proto2)
		}
		dst = appendHeader(dst, byte(v.Kind), int64(len(v.Text)))
		return append(append(dst, v.Text...), crlf...)
	}
	if v.Null {
		return AppendNullArray(dst, Proto2)
	}
	n := len(v.Elems)
	if v.Kind == Map {
		n /= 2
	}
	dst = appendHeader(dst, byte(v.Kind), int64(n))
	for _, e := range v.Elems {
		dst = e.Append(dst)
	}
	return dst
}

// A ReplyReader reads what a server answers, in either version. Memory grows
// with what has arrived, never with what was announced.
type ReplyReader struct {
	src   *bufio.Reader
	elems int // values of the reply so far
}

// NewReplyReader returns a ReplyReader of replies from src.
func NewReplyReader(src io.Reader) *ReplyReader {
	return &ReplyReader{src: bufio.NewReader(src)}
}

// Read returns the next reply. An error reply is a Value, not an error; an
// error wraps [ErrReply] or is the source's, and ends the stream. io.EOF
// means that it ended between two replies.
func (r *ReplyReader) Read() (Value, error) {
	r.elems = 0
	return r.value(0)
}

func (r *ReplyReader) value(depth int) (Value, error) {
	if r.elems++; depth > maxDepth || r.elems > maxElems {
		return Value{}, fmt.Errorf("%w: too deep or too large", ErrReply)
	}
	line, err := r.line()
	if err != nil {
		if errors.Is(err, io.EOF) && depth > 0 {
			err = io.ErrUnexpectedEOF
		}
		return Value{}, err
	}
	v := Value{Kind: Kind(line[0])}
	text := string(line[1:])
	switch v.Kind {
	case Simple, Error, BigNumber:
		v.Text = text
	case Int:
		v.Int, err = strconv.ParseInt(text, 10, 64)
	case Double:
		v.Text = text
		v.Float, err = parseFloat(text)
	case Bool:
		v.Int, err = parseBool(text)
	case Null:
		if text != "" {
			err = ErrReply
		}
	case Bulk, BulkError, Verbatim:
		return r.bulk(v, text)
	case Array, Map, Set, Push:
		return r.aggregate(v, text, depth)
	default:
		err = ErrReply
	}
	if err != nil {
		return Value{}, fmt.Errorf("%w: %q", ErrReply, line)
	}
	return v, nil
}

// line reads up to the end of a line. It is good until the next read, and has
// at least one byte.
func (r *ReplyReader) line() ([]byte, error) {
	line, err := r.src.ReadSlice('\n')
	if errors.Is(err, io.EOF) && len(line) > 0 {
		err = io.ErrUnexpectedEOF
	}
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, fmt.Errorf("%w: line is too long", ErrReply)
	}
	if err != nil {
		return nil, err
	}
	n := len(line) - len(crlf)
	if n < 1 || line[n] != '\r' {
		return nil, fmt.Errorf("%w: %q", ErrReply, line)
	}
	return line[:n], nil
}

func (r *ReplyReader) bulk(v Value, length string) (Value, error) {
	if v.Kind == Bulk && length == "-1" {
		v.Null = true
		return v, nil
	}
	n, ok := parseLength([]byte(length))
	if !ok || n < 0 || n > maxBulk {
		return Value{}, fmt.Errorf("%w: length %q", ErrReply, length)
	}
	data, err := r.take(n + len(crlf))
	if err != nil {
		return Value{}, err
	}
	if string(data[n:]) != crlf {
		return Value{}, fmt.Errorf("%w: bulk string without its end", ErrReply)
	}
	v.Text = string(data[:n])
	return v, nil
}

// take reads n bytes, in pieces, so that a length alone takes no memory.
func (r *ReplyReader) take(n int) ([]byte, error) {
	data := make([]byte, 0, min(n, idleBuffer))
	for len(data) < n {
		have := len(data)
		want := min(n, max(2*have, idleBuffer))
		data = append(data, make([]byte, want-have)...)
		if _, err := io.ReadFull(r.src, data[have:]); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	return data, nil
}

func (r *ReplyReader) aggregate(v Value, length string, depth int) (Value, error) {
	if v.Kind == Array && length == "-1" {
		v.Null = true
		return v, nil
	}
	n, ok := parseLength([]byte(length))
	if !ok || n < 0 || n > maxElems {
		return Value{}, fmt.Errorf("%w: length %q", ErrReply, length)
	}
	if v.Kind == Map {
		n *= 2
	}
	for range n {
		e, err := r.value(depth + 1)
		if err != nil {
			return Value{}, err
		}
		v.Elems = append(v.Elems, e)
	}
	return v, nil
}

func parseBool(text string) (int64, error) {
	switch text {
	case "t":
		return 1, nil
	case "f":
		return 0, nil
	}
	return 0, ErrReply
}

func parseFloat(text string) (float64, error) {
	switch text {
	case "inf":
		return math.Inf(1), nil
	case "-inf":
		return math.Inf(-1), nil
	case "nan":
		return math.NaN(), nil
	}
	return strconv.ParseFloat(text, 64)
}
