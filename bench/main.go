//go:build linux

// Command bench measures Huddle beside Redis.
//
// Without --targets it starts three durable and three ephemeral huddle
// processes and two redis-servers (without persistence, and with every write
// synced), and runs SET, INCR and GET against each in interleaved rounds, so
// that what else happens on the machine meets all of them. It prints a
// Markdown table. With --targets it only drives the given addresses.
//
// Latency is the time from sending a pipeline to reading a reply of it. The
// load is closed: a connection sends its next commands when it has all replies
// to the last ones.
package main

import (
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// settings are the flags.
type settings struct {
	targets []netip.AddrPort
	pids    []int
	servers []string
	ops     []string
	conns   []int
	depths  []int
	value   int
	keys    int
	seconds float64
	rounds  int
	nodes   int
	dir     string
	huddle  string
	redis   string
}

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(args []string, out, progress io.Writer) error {
	s, err := parse(args, progress)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(s.dir, "huddle-bench-")
	if err != nil {
		return fmt.Errorf("creating a directory: %w", err)
	}
	defer os.RemoveAll(dir)
	os.Setenv("TMPDIR", dir)

	servers, err := s.start(dir, progress)
	defer func() {
		for _, server := range servers {
			server.stop()
		}
	}()
	if err != nil {
		return err
	}
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(interrupted)

	b := &bench{settings: s, servers: servers, dir: dir, progress: progress, interrupted: interrupted}
	if err := b.run(); err != nil {
		return err
	}
	b.report(out)
	return nil
}

// parse reads the flags.
func parse(args []string, usage io.Writer) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(usage)
	targets := flags.String("targets", "", "`addresses` (ip:port,…) to drive instead of starting servers")
	pids := flags.String("pids", "", "process `ids` behind --targets, for operations per CPU second")
	servers := flags.String("servers", "durable,always,ephemeral,redis", "which `servers` to start")
	ops := flags.String("ops", "SET,INCR,GET", "which `commands` to send")
	conns := flags.String("conns", "50,200", "`numbers` of connections")
	depths := flags.String("depth", "1,16", "`numbers` of commands in a pipeline")
	flags.IntVar(&s.value, "value", 100, "`bytes` that SET writes")
	flags.IntVar(&s.keys, "keys", 10_000, "`number` of keys")
	flags.Float64Var(&s.seconds, "seconds", 1.5, "`length` of one run, after a warm-up of a fifth of it")
	flags.IntVar(&s.rounds, "rounds", 2, "how many `times` each run is made")
	flags.IntVar(&s.nodes, "nodes", 3, "`number` of huddle processes in a cluster")
	flags.StringVar(&s.dir, "dir", "", "`directory` on the disk to measure (default the system's for temporary files)")
	flags.StringVar(&s.huddle, "huddle", "", "`path` of the huddle program (default: built from this module)")
	flags.StringVar(&s.redis, "redis", "redis-server", "`path` of redis-server")
	long := flags.Bool("long", false, "5 rounds of 5 seconds")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if *long {
		s.rounds, s.seconds = 5, 5
	}
	s.servers, s.ops = strings.Split(*servers, ","), strings.Split(strings.ToUpper(*ops), ",")
	var err error
	if s.conns, err = numbers("conns", *conns); err != nil {
		return s, err
	}
	if s.depths, err = numbers("depth", *depths); err != nil {
		return s, err
	}
	if s.pids, err = numbers("pids", *pids); err != nil {
		return s, err
	}
	for _, target := range fields(*targets) {
		addr, err := netip.ParseAddrPort(target)
		if err != nil || !addr.Addr().Is4() {
			return s, fmt.Errorf("--targets: %q is no IPv4 address and port", target)
		}
		s.targets = append(s.targets, addr)
	}
	return s, s.validate()
}

func (s settings) validate() error {
	for _, op := range s.ops {
		if op != "SET" && op != "INCR" && op != "GET" {
			return fmt.Errorf("--ops: %q is not SET, INCR or GET", op)
		}
	}
	if s.value < 0 || s.keys < 1 || s.seconds <= 0 || s.rounds < 1 || s.nodes < 1 {
		return fmt.Errorf("--value, --keys, --seconds, --rounds and --nodes must be positive")
	}
	return nil
}

// fields splits a list, which may be empty.
func fields(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' })
}

func numbers(name, list string) ([]int, error) {
	var all []int
	for _, field := range fields(list) {
		n, err := strconv.Atoi(field)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("--%s: %q is no positive number", name, field)
		}
		all = append(all, n)
	}
	return all, nil
}

// start starts the servers, each with a directory of its own.
func (s *settings) start(dir string, progress io.Writer) ([]*server, error) {
	if len(s.targets) > 0 {
		given := &server{name: "target", targets: s.targets, watched: s.pids}
		return []*server{given}, given.awaitSet()
	}
	var servers []*server
	for _, name := range s.servers {
		fmt.Fprintf(progress, "starting %s\n", name)
		own := filepath.Join(dir, name)
		if err := os.Mkdir(own, 0o755); err != nil {
			return servers, fmt.Errorf("creating a directory: %w", err)
		}
		server, err := s.startOne(name, own)
		if server != nil {
			servers = append(servers, server)
		}
		if err != nil {
			return servers, err
		}
	}
	return servers, nil
}

func (s *settings) startOne(name, dir string) (*server, error) {
	switch name {
	case "redis", "always":
		return startRedis(name, s.redis, dir, name == "always")
	case "durable", "ephemeral":
		if s.huddle == "" {
			s.huddle = filepath.Join(filepath.Dir(dir), "huddle")
			build := exec.Command("go", "build", "-trimpath", "-o", s.huddle, "github.com/huddlecache/huddle/cmd/huddle")
			if out, err := build.CombinedOutput(); err != nil {
				return nil, fmt.Errorf("building huddle: %w\n%s", err, out)
			}
		}
		if name == "ephemeral" {
			dir = ""
		}
		return startHuddle(name, s.huddle, dir, s.nodes)
	}
	return nil, fmt.Errorf("--servers: %q is not durable, ephemeral, redis or always", name)
}
