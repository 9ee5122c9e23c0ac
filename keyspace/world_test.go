package keyspace_test

import (
	"bytes"
	"cmp"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/keyspace"
)

// reporter is what helpers need of a test, rapid's included.
type reporter interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// A world is a Space with a small shell around it and a time that moves when
// it is told to.
type world struct {
	t      reporter
	space  *keyspace.Space
	shell  *shell
	stamp  machine.Stamp
	full   machine.Pressure
	proto  int
	db     int
	failed error // of Tx.Fail
}

func newWorld(t reporter) *world {
	w := &world{t: t, space: keyspace.New(), proto: 2}
	w.shell = &shell{w: w, index: map[deadline]bool{}}
	w.stamp = machine.Stamp{
		Cluster: "test",
		Lease:   time.Hour,
		Wall:    1_700_000_000 * time.Second,
	}
	return w
}

var testSeed = [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

func (w *world) tx() *machine.Tx {
	return &machine.Tx{Stamp: w.stamp, Shell: w.shell, Pressure: w.full, Seed: testSeed}
}

func (w *world) sleep(d time.Duration) {
	w.stamp.Lease += d
	w.stamp.Wall += d
}

// apply executes a command in the log.
func (w *world) apply(args ...string) string {
	w.t.Helper()
	w.stamp.Index++
	cmd := w.encode(args)
	reply := string(w.space.Apply(w.tx(), cmd))
	clear(cmd) // it was borrowed
	return reply
}

// query asks the state as it is.
func (w *world) query(args ...string) string {
	w.t.Helper()
	cmd := w.encode(args)
	reply := string(w.space.Query(w.stamp, cmd))
	clear(cmd)
	return reply
}

// do is query for commands that read, and apply for others.
func (w *world) do(args ...string) string {
	w.t.Helper()
	if c, found := keyspace.Lookup([]byte(args[0])); found && !c.Writes {
		return w.query(args...)
	}
	return w.apply(args...)
}

func (w *world) encode(args []string) []byte {
	raw := make([][]byte, len(args))
	for i, arg := range args {
		raw[i] = []byte(arg)
	}
	return keyspace.AppendCommand(nil, w.db, w.proto, raw)
}

// snapshot writes the state as it is.
func (w *world) snapshot() []byte {
	w.t.Helper()
	return written(w.t, w.space.Snapshot())
}

// want fails the test unless the command, split at spaces, gets the reply,
// which is RESP with spaces for its line ends.
func (w *world) want(command, reply string) {
	w.t.Helper()
	if got := visible(w.do(split(w.t, command)...)); got != reply {
		w.t.Errorf("%s:\n got %s\nwant %s", command, got, reply)
	}
}

func visible(reply string) string {
	return strings.TrimRight(strings.ReplaceAll(reply, "\r\n", " "), " ")
}

// split parts a line at its spaces; words may be quoted as in Go.
func split(t reporter, line string) (words []string) {
	t.Helper()
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimLeft(line, " ") {
		if line[0] != '"' {
			word, rest, _ := strings.Cut(line, " ")
			words, line = append(words, word), rest
			continue
		}
		quoted, err := strconv.QuotedPrefix(line)
		if err != nil {
			t.Fatalf("quoting in %s: %v", line, err)
		}
		word, _ := strconv.Unquote(quoted)
		words, line = append(words, word), line[len(quoted):]
	}
	return words
}

// A deadline is an entry of the shell's index.
type deadline struct {
	at  time.Duration
	key string
}

// A shell is machine.Shell with an index that minds its order.
type shell struct {
	w     *world
	index map[deadline]bool
	last  uint64

	events    []machine.Event // since takeEvents was called last
	hears     bool            // events are kept
	isStrange bool            // the index is not that of the Space
}

func (s *shell) Number() uint64 { s.last++; return s.last }
func (s *shell) Fail(err error) { s.w.failed = err }

func (s *shell) Emit(e machine.Event) {
	if s.hears {
		s.events = append(s.events, e)
	}
}

func (s *shell) Deadline(key []byte, was, at time.Duration) {
	if was != 0 {
		if !s.index[deadline{was, string(key)}] && !s.isStrange {
			s.w.t.Errorf("Deadline(%q, %v, %v): was is not in the index", key, was, at)
		}
		delete(s.index, deadline{was, string(key)})
	}
	if at != 0 {
		s.index[deadline{at, string(key)}] = true
	}
}

// expire has at most n due entries removed, the first due first.
func (s *shell) expire(n int) (expired []string) {
	var due []deadline
	for d := range s.index {
		if d.at <= s.w.stamp.Lease {
			due = append(due, d)
		}
	}
	slices.SortFunc(due, func(a, b deadline) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.key, b.key))
	})
	for _, d := range due[:min(n, len(due))] {
		delete(s.index, d)
		s.w.space.Expire(s.w.tx(), []byte(d.key))
		expired = append(expired, d.key)
	}
	return expired
}

func written(t reporter, snap io.WriterTo) []byte {
	t.Helper()
	var b bytes.Buffer
	n, err := snap.WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		t.Fatalf("WriteTo = %d, %v, wrote %d", n, err, b.Len())
	}
	return b.Bytes()
}
