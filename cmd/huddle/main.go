// Command huddle runs a node, or talks to one.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// version is set by the linker.
var version = "0.1.0-dev"

// Exit statuses.
const (
	statusDone   = 0
	statusFailed = 1
	statusUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks for an orderly end. With the handler gone, the
	// second one ends the process at once.
	context.AfterFunc(ctx, stop)
	err := run(ctx, os.Args[1:], process{
		stdin:  os.Stdin,
		stdout: os.Stdout,
		stderr: os.Stderr,
		env:    parseEnviron(os.Environ()),
	})
	if err != nil && err.Error() != "" {
		fmt.Fprintln(os.Stderr, "huddle: "+oneLine(err))
	}
	os.Exit(exitStatus(err))
}

// A process is what a command gets from the one who started it.
type process struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	env            environ
}

// run executes one command line.
func run(ctx context.Context, args []string, p process) error {
	var line commandLine
	answered := false // by kong itself, with the help that was asked for
	parser, err := kong.New(&line,
		kong.Name("huddle"),
		kong.Description("The pods of a service as their own backing service: sessions, counters and locks that agree, over Redis' protocol and HTTP."),
		kong.Writers(p.stdout, p.stderr),
		kong.Exit(func(int) { answered = true }),
		kong.Resolvers(p.env.resolver()),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(p),
	)
	if err != nil {
		return fmt.Errorf("building the command line: %w", err)
	}
	parsed, err := parser.Parse(args)
	switch {
	case answered:
		return nil
	case err != nil:
		if refused, found := errors.AsType[*usageError](err); found {
			return refused
		}
		return usagef("%w; huddle --help lists what there is", err)
	}
	return parsed.Run()
}

// A usageError is wrong use, which has an exit status of its own.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

func exitStatus(err error) int {
	if err == nil {
		return statusDone
	}
	if _, found := errors.AsType[*usageError](err); found {
		return statusUsage
	}
	if ended, found := errors.AsType[*exitError](err); found {
		return ended.status
	}
	return statusFailed
}

// oneLine is an error as it is shown: whoever reads logs line by line sees all
// of it.
func oneLine(err error) string {
	return strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}
