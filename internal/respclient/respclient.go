// Package respclient is a small Redis client for tests and tools that must
// know what became of each command: answered, certainly not applied, or
// unknown. It speaks RESP2, sends one command at a time, and never sends a
// command again by itself.
package respclient

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

var (
	// ErrUnsent means that no connection was had, so that nothing was sent.
	ErrUnsent = errors.New("no connection")
	// ErrBroken means that the connection failed after the command may have
	// been sent, or that the reply did not come in time.
	ErrBroken = errors.New("connection broken while waiting for the reply")
	// ErrProtocol means that the server sent what is no reply.
	ErrProtocol = errors.New("malformed reply")
)

// Error is an error reply, whole, without the leading minus.
type Error string

func (e Error) Error() string { return string(e) }

// Prefix returns the first word of the reply, such as CLUSTERDOWN.
func (e Error) Prefix() string {
	prefix, _, _ := strings.Cut(string(e), " ")
	return prefix
}

// Outcome is what is known of a command once Do has returned.
type Outcome int

const (
	// Answered commands took effect, or the reply says why they could not.
	Answered Outcome = iota
	// Refused commands were certainly not applied; trying again may help.
	Refused
	// Unknown commands may have been applied, or may still be.
	Unknown
)

// OutcomeOf tells the outcome from the error of [Client.Do].
func OutcomeOf(err error) Outcome {
	if err == nil {
		return Answered
	}
	if errors.Is(err, ErrUnsent) {
		return Refused
	}
	var reply Error
	if !errors.As(err, &reply) {
		return Unknown
	}
	switch reply.Prefix() {
	case "CLUSTERDOWN", "TRYAGAIN", "LOADING", "OOM", "TOOBIG":
		return Refused
	case "UNAVAILABLE":
		return Unknown
	}
	return Answered
}

// Limits of what a reply may claim to be, so that a broken server cannot
// exhaust a test's memory.
const (
	maxBulk  = 512 << 20
	maxArray = 1 << 20
	maxDepth = 8
)

// Client is one connection, made when it is first needed and again after it
// broke. It is for one goroutine at a time.
type Client struct {
	addr    string
	timeout time.Duration
	conn    net.Conn // nil until a command needs it
	in      *bufio.Reader
	out     []byte
}

// New returns a client of the server at addr, whose every command, dialling
// included, takes at most timeout.
func New(addr string, timeout time.Duration) *Client {
	return &Client{addr: addr, timeout: timeout}
}

// Addr returns the address of the server.
func (c *Client) Addr() string { return c.addr }

// Close closes the connection if there is one. The client can be used again.
func (c *Client) Close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// Do sends one command and returns its reply: nil, string, int64 or []any. An
// error reply is returned as an [Error]; inside an array it is an element.
func (c *Client) Do(args ...string) (any, error) {
	deadline := time.Now().Add(c.timeout)
	if c.conn == nil {
		dialer := net.Dialer{Deadline: deadline}
		conn, err := dialer.DialContext(context.Background(), "tcp", c.addr)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnsent, err)
		}
		c.conn, c.in = conn, bufio.NewReader(conn)
	}
	if err := c.conn.SetDeadline(deadline); err != nil {
		return nil, c.broken(err)
	}
	c.out = AppendCommand(c.out[:0], args...)
	if _, err := c.conn.Write(c.out); err != nil {
		return nil, c.broken(err)
	}
	reply, err := readReply(c.in, 0)
	if err != nil {
		return nil, c.broken(err)
	}
	if failure, ok := reply.(Error); ok {
		return nil, failure
	}
	return reply, nil
}

// broken gives up the connection: its next reply may belong to the command
// that failed.
func (c *Client) broken(err error) error {
	c.Close()
	return fmt.Errorf("%w: %w", ErrBroken, err)
}

// AppendCommand appends a command as clients send it, an array of bulk
// strings.
func AppendCommand(b []byte, args ...string) []byte {
	b = append(b, '*')
	b = strconv.AppendInt(b, int64(len(args)), 10)
	b = append(b, "\r\n"...)
	for _, arg := range args {
		b = append(b, '$')
		b = strconv.AppendInt(b, int64(len(arg)), 10)
		b = append(b, "\r\n"...)
		b = append(b, arg...)
		b = append(b, "\r\n"...)
	}
	return b
}

func readReply(in *bufio.Reader, depth int) (any, error) {
	line, err := readLine(in)
	if err != nil {
		return nil, err
	}
	if line == "" {
		return nil, fmt.Errorf("%w: empty line", ErrProtocol)
	}
	kind, rest := line[0], line[1:]
	switch kind {
	case '+':
		return rest, nil
	case '-':
		return Error(rest), nil
	}
	n, err := strconv.ParseInt(rest, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%w: %q", ErrProtocol, line)
	}
	switch kind {
	case ':':
		return n, nil
	case '$':
		return readBulk(in, n)
	case '*':
		return readArray(in, n, depth)
	}
	return nil, fmt.Errorf("%w: %q", ErrProtocol, line)
}

func readLine(in *bufio.Reader) (string, error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	text, ok := strings.CutSuffix(string(line), "\r\n")
	if !ok {
		return "", fmt.Errorf("%w: line without CR", ErrProtocol)
	}
	return text, nil
}

func readBulk(in *bufio.Reader, n int64) (any, error) {
	if n == -1 {
		return nil, nil
	}
	if n < 0 || n > maxBulk {
		return nil, fmt.Errorf("%w: bulk string of %d bytes", ErrProtocol, n)
	}
	b := make([]byte, n+2)
	if _, err := io.ReadFull(in, b); err != nil {
		return nil, err
	}
	if string(b[n:]) != "\r\n" {
		return nil, fmt.Errorf("%w: bulk string without end", ErrProtocol)
	}
	return string(b[:n]), nil
}

func readArray(in *bufio.Reader, n int64, depth int) (any, error) {
	if n == -1 {
		return nil, nil
	}
	if n < 0 || n > maxArray || depth == maxDepth {
		return nil, fmt.Errorf("%w: array of %d elements at depth %d", ErrProtocol, n, depth)
	}
	array := make([]any, 0, min(n, 1024))
	for range n {
		element, err := readReply(in, depth+1)
		if err != nil {
			return nil, err
		}
		array = append(array, element)
	}
	return array, nil
}
