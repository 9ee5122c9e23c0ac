//go:build linux

// Command bench measures Huddle beside Redis and etcd.
//
// Without --targets it starts three durable and three ephemeral huddle
// processes, two redis-servers (without persistence, and with every write
// synced) and three etcd processes, and runs SET, INCR, GET, a transaction and
// frameworks' scripts against Redis and Huddle, locks and sessions against etcd
// and Huddle, and limits and counters against Huddle, in interleaved rounds, so
// that what else happens on the machine meets all of them. It prints a Markdown
// table. With --targets it only drives the given addresses.
//
// Latency is the time from sending a pipeline to reading a reply of it, or all
// replies of a transaction; that of a lock is the time from asking for it until
// it is given back. The load is closed: a connection sends its next commands
// when it has all replies to the last ones.
//
// etcd is driven by a child process that uses its Go client, clientv3: see
// bench/etcd.
package main

import (
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
)

// settings are the flags.
type settings struct {
	targets      []netip.AddrPort
	pids         []int
	servers      []string
	ops          []*operation
	conns        []int
	depths       []int
	featureConns []int
	value        int
	keys         int
	seconds      float64
	rounds       int
	nodes        int
	dir          string
	huddle       string
	redis        string
	etcd         string
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
	servers := flags.String("servers", "durable,always,ephemeral,redis,etcd", "which `servers` to start")
	ops := flags.String("ops", "", "which `operations` to make (default all, with --targets those that Redis knows) of\n"+namesOf(operations))
	conns := flags.String("conns", "50,200", "`numbers` of connections for SET, INCR and GET")
	depths := flags.String("depth", "1,16", "`numbers` of commands in a pipeline, of SET, INCR and GET")
	featureConns := flags.String("feature-conns", "50", "`numbers` of connections for the other operations")
	flags.IntVar(&s.value, "value", 100, "`bytes` of a value and of a session")
	flags.IntVar(&s.keys, "keys", 10_000, "`number` of keys, sessions, counters and limits")
	flags.Float64Var(&s.seconds, "seconds", 1.5, "`length` of one run, after a warm-up of a fifth of it")
	flags.IntVar(&s.rounds, "rounds", 2, "how many `times` each run is made")
	flags.IntVar(&s.nodes, "nodes", 3, "`number` of huddle and etcd processes in a cluster")
	flags.StringVar(&s.dir, "dir", "", "`directory` on the disk to measure (default the system's for temporary files)")
	flags.StringVar(&s.huddle, "huddle", "", "`path` of the huddle program (default: built from this module)")
	flags.StringVar(&s.redis, "redis", "redis-server", "`path` of redis-server")
	flags.StringVar(&s.etcd, "etcd", "etcd", "`path` of etcd 3.4")
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
	s.servers = strings.Split(*servers, ",")
	var err error
	if s.ops, err = readOperations(*ops, *targets == ""); err != nil {
		return s, err
	}
	if s.featureConns, err = numbers("feature-conns", *featureConns); err != nil {
		return s, err
	}
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
	if s.value < 0 || s.keys < 1 || s.seconds <= 0 || s.rounds < 1 || s.nodes < 1 {
		return fmt.Errorf("--value, --keys, --seconds, --rounds and --nodes must be positive")
	}
	return nil
}

// readOperations reads a list of operations, an empty one as all of them, or,
// unless features are meant too, as those that Redis knows.
func readOperations(list string, withFeatures bool) ([]*operation, error) {
	var all []*operation
	if list == "" {
		for _, o := range operations {
			if withFeatures || !o.isFeature {
				all = append(all, o)
			}
		}
		return all, nil
	}
	for name := range strings.SplitSeq(strings.ToUpper(list), ",") {
		o := operationOf(name)
		if o == nil {
			return nil, fmt.Errorf("--ops: %q is none of %s", name, namesOf(operations))
		}
		all = append(all, o)
	}
	return all, nil
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
