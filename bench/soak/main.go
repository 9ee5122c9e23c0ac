//go:build linux

// Command soak shows what memory the cache of one node takes. It starts a
// huddle process, notes its resident memory while it idles, and then churns
// values of mixed sizes through its cache: most asked for are those that few
// keys have, some with a time to live, some with tags, many written anew with
// another size, some invalidated by key, tag and group. What is popular moves
// on all the time, and every while all sizes change: small ones, large ones,
// both.
//
// Each second it reads the process's resident memory, which must never be over
// 1.3 times the cache's bound and what the idle node took.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// settings are the flags.
type settings struct {
	span      time.Duration // of the churn
	every     time.Duration // from one line of the report to the next
	cache     int64         // bytes
	workers   int
	seed      uint64
	allowance int64 // bytes over the bound that are none too many
	huddle    string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	s, err := parse(args, out)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "huddle-soak-")
	if err != nil {
		return fmt.Errorf("creating a directory: %w", err)
	}
	defer os.RemoveAll(dir)
	if s.huddle == "" {
		s.huddle = filepath.Join(dir, "huddle")
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", s.huddle, "github.com/huddlecache/huddle/cmd/huddle")
		if said, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("building huddle: %w\n%s", err, said)
		}
	}
	n, err := start(ctx, s.huddle, dir, s.cache)
	if err != nil {
		return err
	}
	defer n.kill()
	return s.soak(ctx, n, out)
}

// parse reads the flags.
func parse(args []string, usage io.Writer) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	flags.SetOutput(usage)
	flags.DurationVar(&s.span, "for", time.Hour, "how `long` to churn")
	flags.DurationVar(&s.every, "every", time.Minute, "how `often` to say how it goes")
	mebibytes := flags.Int64("cache", 256, "the cache's bound in `MiB`")
	flags.IntVar(&s.workers, "workers", 8, "`number` of clients, of which one in four speaks HTTP")
	flags.Uint64Var(&s.seed, "seed", 1, "`number` that the churn follows from")
	allowed := flags.Int64("allow", 0, "`MiB` over the bound that are none too many")
	flags.StringVar(&s.huddle, "huddle", "", "`path` of the huddle program (default: built from this module)")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if s.span <= 0 || s.every <= 0 || *mebibytes < 4 || s.workers < 1 || *allowed < 0 || flags.NArg() > 0 {
		return s, fmt.Errorf("--for, --every and --workers must be positive, --cache 4 at least, --allow not below 0, and nothing else given")
	}
	s.cache, s.allowance = *mebibytes<<20, *allowed<<20
	return s, nil
}
