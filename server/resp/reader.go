package resp

import (
	"bytes"
	"errors"
	"io"
)

const (
	firstBuffer = 4 << 10   // what a connection begins with
	idleBuffer  = 16 << 10  // most that one keeps while it waits for a client that has sent nothing
	pipeBuffer  = 256 << 10 // most that is read ahead of a command that is complete
	maxReads    = 100       // reads in a row that may bring nothing
	maxSpans    = 4 << 10   // most that is kept of the room for spans and arguments
)

// Limits bound what a [Reader] holds for one client. They do not bound what
// it reads past.
type Limits struct {
	Args    int // arguments of a command; 1,048,576
	Arg     int // bytes of one argument; 8 MiB. A longer one makes a TooBigError
	Command int // bytes of a command as it was sent; Arg and 1 MiB. A longer one makes a TooBigError
}

// Commands of a client that has not said its password, as in Redis.
const (
	strangerArgs = 10
	strangerArg  = 16 << 10
)

// A Reader reads commands: arrays of bulk strings, or lines as people type
// them. Memory grows with what has arrived, never with what was announced.
//
// The buffer:
//
//	0        start        pos          end        len(buf)
//	| parsed | of the     | not parsed | free     |
//	| before | command    |            |          |
type Reader struct {
	// Stranger makes the Reader refuse what only a client that has said its
	// password may send. It may be changed between two commands.
	Stranger bool

	src    io.Reader
	limits Limits

	buf             []byte
	start, pos, end int
	full            bool // the last read filled the buffer: more waits

	left    int      // arguments of the command that are still to come
	size    int      // length of the argument that comes now; -1 before it is known
	spans   []span   // arguments that are complete
	discard int      // bytes of an argument that are still to be dropped
	tooBig  error    // why the command is read past
	argv    [][]byte // arguments as they were last returned
}

// A span is where an argument lies, from the start of its command.
type span struct{ offset, size int }

// NewReader returns a Reader of commands from src. Limits that are zero have
// their default.
func NewReader(src io.Reader, limits Limits) *Reader {
	if limits.Args == 0 {
		limits.Args = 1 << 20
	}
	if limits.Arg == 0 {
		limits.Arg = 8 << 20
	}
	if limits.Command == 0 {
		limits.Command = limits.Arg + 1<<20
	}
	return &Reader{src: src, limits: limits}
}

// Read returns the next command, and waits for it. Its arguments are good
// until the next call of Read or Next; there is at least one.
//
// A [ProtocolError], [ErrForeign] or an error of the source ends the stream;
// io.EOF means that it ended between two commands. After a [TooBigError] it
// goes on.
func (r *Reader) Read() ([][]byte, error) {
	for {
		done, err := r.parse()
		if done {
			return r.argv, err
		}
		if err := r.fill(); err != nil {
			if errors.Is(err, io.EOF) && (r.left > 0 || r.start < r.end) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// Next returns the next command if all of it has been read already, and does
// not wait. Arguments and errors are as those of Read.
func (r *Reader) Next() (args [][]byte, found bool, err error) {
	found, err = r.parse()
	return r.argv, found, err
}

// Buffered returns how many bytes have been read behind the last command.
func (r *Reader) Buffered() int { return r.end - r.pos }

// parse goes on with the command that begins at start. It is done once the
// command is complete, dropped, or found to be wrong.
func (r *Reader) parse() (done bool, err error) {
	r.argv = r.argv[:0]
	if r.left == 0 {
		if done, err = r.begin(); done || r.left == 0 {
			return done, err
		}
	}
	for r.left > 0 {
		if next, err := r.argument(); !next {
			return err != nil, err
		}
	}
	return true, r.finish()
}

// begin parses the line that a command begins with. What is empty is read
// past, as Redis does.
func (r *Reader) begin() (done bool, err error) {
	for {
		r.start = r.pos
		if r.pos == r.end {
			return false, nil
		}
		if r.buf[r.pos] != '*' {
			if done, err = r.inline(); done || r.start == r.pos {
				return done, err
			}
			continue
		}
		line, err := r.line("too big mbulk count string")
		if line == nil {
			return err != nil, err
		}
		n, ok := parseLength(line[1:])
		switch {
		case !ok || n > r.limits.Args:
			return true, ProtocolError("invalid multibulk length")
		case r.Stranger && n > strangerArgs:
			return true, ProtocolError("unauthenticated multibulk length")
		case n > 0:
			r.left, r.size = n, -1
			return false, nil
		}
	}
}

// line returns the line at pos without its end, and moves behind it. It is
// nil where its end has not arrived.
func (r *Reader) line(tooLong ProtocolError) ([]byte, error) {
	rest := r.buf[r.pos:r.end]
	n := bytes.IndexByte(rest, '\r')
	if n < 0 && len(rest) > maxLine {
		return nil, tooLong
	}
	if n < 0 || n+2 > len(rest) {
		return nil, nil
	}
	r.pos += n + 2
	return rest[:n], nil
}

// argument parses one argument. It is not next where more must be read.
func (r *Reader) argument() (next bool, err error) {
	if r.size < 0 {
		if known, err := r.header(); !known {
			return false, err
		}
	}
	if r.tooBig != nil {
		return r.drop(), nil
	}
	if r.end-r.pos < r.size+len(crlf) {
		return false, nil
	}
	after := r.pos + r.size
	// Redis does not look; but what has another end has another length than
	// it says, and would have some of its data run as commands.
	if r.buf[after] != '\r' || r.buf[after+1] != '\n' {
		return false, ProtocolError("expected CRLF after the bulk string")
	}
	r.spans = append(r.spans, span{r.pos - r.start, r.size})
	r.pos = after + len(crlf)
	r.left, r.size = r.left-1, -1
	return true, nil
}

// header parses the length of an argument.
func (r *Reader) header() (known bool, err error) {
	if r.pos == r.end {
		return false, nil
	}
	if c := r.buf[r.pos]; c != '$' {
		return false, ProtocolError("expected '$', got '" + string(rune(printable(c))) + "'")
	}
	line, err := r.line("too big bulk count string")
	if line == nil {
		return false, err
	}
	n, ok := parseLength(line[1:])
	switch {
	case !ok || n < 0 || n > maxBulk:
		return false, ProtocolError("invalid bulk length")
	case r.Stranger && n > strangerArg:
		return false, ProtocolError("unauthenticated bulk length")
	case r.tooBig != nil:
	case n > r.limits.Arg:
		r.tooBig = &TooBigError{Size: n, Max: r.limits.Arg}
	case r.pos-r.start+n > r.limits.Command:
		r.tooBig = &TooBigError{Max: r.limits.Command}
	}
	r.size, r.discard = n, n+len(crlf)
	return true, nil
}

// drop forgets what has arrived of a command that is too big.
func (r *Reader) drop() (next bool) {
	n := min(r.discard, r.end-r.pos)
	r.pos += n
	r.discard -= n
	r.start = r.pos
	if r.discard > 0 {
		return false
	}
	r.left, r.size = r.left-1, -1
	return true
}

// finish makes the arguments of a complete command.
func (r *Reader) finish() error {
	err := r.tooBig
	if err == nil {
		for _, s := range r.spans {
			from := r.start + s.offset
			r.argv = append(r.argv, r.buf[from:from+s.size:from+s.size])
		}
	}
	r.tooBig = nil
	r.start = r.pos
	if r.spans = r.spans[:0]; cap(r.spans) > maxSpans {
		r.spans = nil
	}
	return err
}

// fill reads more, behind what is there.
func (r *Reader) fill() error {
	if cap(r.argv) > maxSpans {
		r.argv = nil
	}
	r.room()
	for range maxReads {
		n, err := r.src.Read(r.buf[r.end:])
		r.end += n
		r.full = r.end == len(r.buf)
		if n > 0 {
			return nil // an error comes again
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// room makes room to read into: it moves what is left to the front, grows
// where the buffer was too small, and shrinks where nothing is left.
func (r *Reader) room() {
	have, size := r.end-r.start, len(r.buf)
	switch {
	case size == 0:
		size = firstBuffer
	case have > size/2 && r.end == size:
		size = r.grown(have)
	case r.full && size < pipeBuffer:
		size *= 2
	case have == 0 && !r.full && size > idleBuffer:
		size = idleBuffer
	case have <= idleBuffer && !r.full && size > pipeBuffer:
		size = 2 * idleBuffer
	}
	if size != len(r.buf) {
		buf := make([]byte, size)
		copy(buf, r.buf[r.start:r.end])
		r.buf = buf
	} else if r.start > 0 && (r.end == size || have <= firstBuffer) {
		copy(r.buf, r.buf[r.start:r.end])
	} else {
		return
	}
	r.pos, r.end, r.start = r.pos-r.start, have, 0
}

// grown returns the size of a larger buffer: twice as large, or just enough
// for the argument that comes, where that is less.
func (r *Reader) grown(have int) int {
	twice := 2 * len(r.buf)
	if r.left == 0 || r.size < 0 {
		return twice
	}
	need := r.pos - r.start + r.size + len(crlf) + firstBuffer
	if need <= have {
		return twice
	}
	return max(len(r.buf), min(twice, need))
}

// printable returns what stands for a byte in the text of an error.
func printable(c byte) byte {
	if c < ' ' || c > '~' {
		return ' '
	}
	return c
}
