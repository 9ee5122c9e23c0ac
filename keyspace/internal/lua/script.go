package lua

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
)

// MaxSource is the length of the longest script, in bytes: a script's tree
// takes many times as much memory as its source.
const MaxSource = 1 << 20

// An Error is what is wrong with a source.
type Error struct{ Text string } // of the reply, with its code

func (e *Error) Error() string { return e.Text }

// A Host executes the commands of scripts.
type Host interface {
	// Call executes a command in the transaction of the script and returns its
	// reply in RESP of the given version, 2 or 3. The arguments are the host's
	// to keep. The reply is read before the next call. Errors are replies that
	// begin with "-", with Redis' words for what only scripts hear:
	//
	//	-ERR Unknown Redis command called from script
	//	-ERR Wrong number of args calling Redis command from script
	//	-ERR This Redis command is not allowed from script
	//	-ERR Write commands are not allowed from read-only scripts.
	Call(args [][]byte, proto int) (reply []byte)

	// HasCommand reports whether there is a command of that name, for
	// redis.acl_check_cmd.
	HasCommand(name string) bool
}

// Input is what a script gets from its caller.
type Input struct {
	Keys, Args [][]byte // KEYS and ARGV
	Proto      int      // RESP version of the reply, 2 or 3
}

// An Engine compiles and runs scripts. It is safe for concurrent use.
type Engine struct {
	lib  *library
	pool sync.Pool // of *machine
}

// New makes an Engine.
func New() *Engine { return &Engine{lib: newLibrary()} }

// A Script is a compiled script, safe for concurrent use.
type Script struct {
	// SHA is the SHA-1 of the source, in hexadecimal digits.
	SHA string

	// NoWrites says that the script promises not to write: its first line is
	// "#!lua flags=no-writes". Its host must refuse writes.
	NoWrites bool

	engine *Engine
	main   *function
}

// chunk is the name of all scripts.
const chunk = "@user_script"

// Compile compiles a source. What is wrong with it is an *Error.
func (e *Engine) Compile(source []byte) (*Script, error) {
	if len(source) > MaxSource {
		return nil, &Error{fmt.Sprintf("ERR Error compiling script (new function): longer than %d bytes", MaxSource)}
	}
	sum := sha1.Sum(source)
	s := &Script{SHA: hex.EncodeToString(sum[:]), engine: e}
	source, err := s.shebang(source)
	if err != nil {
		return nil, err
	}
	main, err := parse(chunk, string(source))
	if err != nil {
		return nil, &Error{"ERR Error compiling script (new function): " + oneLine(err.Error())}
	}
	s.main = &function{proto: main}
	return s, nil
}

// shebang reads the line "#!lua name=value ..." that a script may begin with,
// and returns what follows it, line break included.
func (s *Script) shebang(source []byte) ([]byte, error) {
	if !bytes.HasPrefix(source, []byte("#!")) {
		return source, nil
	}
	end := bytes.IndexByte(source, '\n')
	if end < 0 {
		return nil, &Error{"ERR Invalid script shebang"}
	}
	words := strings.Fields(string(source[2:end]))
	if !bytes.HasPrefix(source, []byte("#!lua")) || words[0] != "lua" {
		name, _, _ := strings.Cut(string(source[:end]), " ")
		return nil, &Error{"ERR Unexpected engine in script shebang: " + name}
	}
	for _, word := range words[1:] {
		flags, ok := strings.CutPrefix(word, "flags=")
		if !ok {
			return nil, &Error{"ERR Unknown lua shebang option: " + word}
		}
		for flag := range strings.SplitSeq(flags, ",") {
			switch flag {
			case "no-writes":
				s.NoWrites = true
			case "allow-oom", "allow-stale", "no-cluster", "allow-cross-slot-keys", "":
			default:
				return nil, &Error{"ERR Unexpected flag in script shebang: " + flag}
			}
		}
	}
	return source[end:], nil
}

// Run runs the script and returns its reply in RESP, which is an error reply
// for a script that failed: what it did until then stays, as in Redis. With an
// error the script was stopped: it must have no effect, and the reply says
// why. That depends on nothing but the script, its input and the replies of
// the host.
func (s *Script) Run(h Host, in Input, limits Limits) (reply []byte, err error) {
	m, ok := s.engine.pool.Get().(*machine)
	if !ok {
		m = &machine{lib: s.engine.lib}
	}
	m.begin(h, limits)
	defer func() {
		if p := recover(); p != nil {
			reply, err = m.stopped(s, p)
		}
		m.end()
		s.engine.pool.Put(m)
	}()
	m.keys, m.argv = m.list(in.Keys), m.list(in.Args)
	out := &replyWriter{vm: m, proto: in.Proto}
	ret, failed := m.protect(value{ref: s.main}, nil)
	if failed != nil {
		return m.failure(s, failed), nil
	}
	out.write(first(ret), 0)
	return out.buf, nil
}

// begin makes a machine ready for a script.
func (vm *machine) begin(h Host, limits Limits) {
	vm.meter.reset(limits)
	vm.host, vm.proto = h, 2
	vm.random, vm.ids = firstRandom, vm.lib.lastID
	vm.json = defaultJSON
	vm.top, vm.held, vm.depth, vm.nested, vm.native = 0, 0, 0, 0, 0
}

// end drops what the script left.
func (vm *machine) end() {
	const keep = 64
	vm.host, vm.keys, vm.argv, vm.globals, vm.one = nil, nil, nil, nil, [1]value{}
	if len(vm.stack) > keep*keep {
		vm.stack = nil
	}
	if len(vm.frames) > keep {
		vm.frames = vm.frames[:keep:keep]
	}
	clear(vm.stack[:min(vm.high, len(vm.stack))])
	vm.high = 0
	for _, f := range vm.frames {
		*f = frame{vm: vm}
	}
	clear(vm.command)
}

// list makes KEYS or ARGV.
func (vm *machine) list(items [][]byte) *table {
	t := vm.newTable(len(items), 0)
	for i, item := range items {
		t.array[i] = vm.str(string(item))
	}
	return t
}

// failure is the reply of a script with an error that it did not catch.
func (vm *machine) failure(s *Script, e *luaError) []byte {
	text := "ERR " + describe(e.v)
	if t, ok := e.v.ref.(*table); ok {
		text = "ERR script failed with a table that has no err"
		if err, ok := t.getStr(nameErr).toStr(); ok {
			text = cutNul(err)
		}
	}
	return errorReply(fmt.Sprintf("%s script: %s, on %s:%d.", text, s.SHA, e.source, e.line))
}

// stopped is the reply of a script that was stopped.
func (vm *machine) stopped(s *Script, p any) ([]byte, error) {
	if reason, ok := p.(*stop); ok {
		return errorReply(fmt.Sprintf("%s script: %s.", reason.what, s.SHA)), fmt.Errorf("%w: %s", ErrBound, reason.what)
	}
	// A fault of this package. It is the same on all nodes, so that ending
	// the process would end them all, and again after each start.
	err := errFault
	if e, ok := p.(error); ok {
		err = fmt.Errorf("%w: %w", errFault, e)
	}
	return errorReply("ERR script stopped: internal fault script: " + s.SHA + "."), err
}

var errFault = errors.New("fault in the script engine")

// oneLine makes a text fit for an error reply.
func oneLine(s string) string {
	return strings.NewReplacer("\r", " ", "\n", " ").Replace(s)
}

func errorReply(text string) []byte { return []byte("-" + oneLine(text) + "\r\n") }
