package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/huddlecache/huddle"
)

// serveCommand holds the settings of a node. What is not set is zero, and
// package huddle's default.
type serveCommand struct {
	Name    string `setting:"" help:"The name people see (host name)." placeholder:"NAME"`
	DataDir string `setting:"" help:"Where log, snapshots and identity live; without it all is in memory, and the node leaves the cluster when it stops." placeholder:"DIR"`

	Join       []string `setting:"" help:"host[:port] of other nodes, resolved again and again; a headless service's name is enough." placeholder:"HOST"`
	Expect     count    `setting:"" help:"How many nodes must agree to found a cluster (1 without --join, else 3)." placeholder:"N"`
	Voters     count    `setting:"" help:"At most so many nodes vote." default:"5"`
	KeyFile    string   `setting:"" help:"File with the cluster's key; or HUDDLE_KEY." placeholder:"FILE"`
	Bind       address  `setting:"" help:"Address that other nodes come to (127.0.0.1 without a key, else 0.0.0.0)." placeholder:"IP"`
	Advertise  address  `setting:"" help:"Address given to other nodes (found by itself)." placeholder:"IP"`
	GossipPort port     `setting:"" help:"Port of the gossip, TCP and UDP." default:"7946"`
	PeerPort   port     `setting:"" help:"Port of all other traffic between nodes." default:"7947"`

	RedisAddr    string `setting:"" help:"Redis clients: host:port and unix:///path, comma-separated; empty turns it off." default:"127.0.0.1:6379"`
	HTTPAddr     string `name:"http-addr" setting:"" help:"HTTP API, metrics and health; empty turns it off." default:"127.0.0.1:8379"`
	HealthAddr   string `setting:"" help:"Health and metrics alone, without a password (off)." placeholder:"HOST:PORT"`
	PasswordFile string `setting:"" help:"File with the password asked of clients; or HUDDLE_PASSWORD." placeholder:"FILE"`
	Open         bool   `setting:"" help:"Let clients in without a password on other addresses than loopback."`
	TLSCert      string `name:"tls-cert" setting:"" help:"Certificate of the client listeners." placeholder:"FILE"`
	TLSKey       string `name:"tls-key" setting:"" help:"Key of that certificate." placeholder:"FILE"`

	CacheBytes   size    `setting:"" help:"Most memory that this node gives to the cache." default:"256MiB"`
	CacheLoaders loaders `setting:"" help:"Where groups of the cache get their values from: group=URL, comma-separated." placeholder:"GROUP=URL"`
	StateBytes   size    `setting:"" help:"Most memory of the replicated state." default:"1GiB"`
	MaxValue     size    `setting:"" help:"Longest value." default:"8MiB"`
	Fsync        bool    `setting:"" help:"Wait for the disk before a write is acknowledged." default:"true" negatable:""`
	Drain        span    `setting:"" help:"How long a stopping node goes on serving while its Service forgets it." default:"3s"`
	RaftPace     count   `setting:"" help:"1 to 10, multiplies Raft's time-outs, for slow machines." default:"1"`
	DNS          string  `name:"dns" setting:"" help:"Resolver to ask (the system's)." placeholder:"HOST:PORT"`
	Log          level   `setting:"" help:"debug, info, warn or error." default:"info"`
}

// Help implements kong.HelpProvider.
func (c *serveCommand) Help() string {
	return "Every flag is also a variable: --http-addr is HUDDLE_HTTP_ADDR. A flag wins. Secrets come from variables or files only. SIGTERM or Ctrl-C drains and ends within 25 s."
}

// Run serves until the context ends, or the node stops by itself.
func (c *serveCommand) Run(ctx context.Context, parsed *kong.Context, p process) error {
	if err := p.env.refuseUnknown(parsed.Selected().Flags); err != nil {
		return err
	}
	cfg, err := c.config(p)
	if err != nil {
		return err
	}
	node, err := huddle.Open(ctx, cfg)
	if err != nil {
		return inSettings(err)
	}
	defer limitMemory(p.env, int64(c.CacheBytes), node)()
	cfg.Logger.Info("serving", slog.String("id", node.ID()), slog.String("version", version))
	select {
	case <-ctx.Done():
		cfg.Logger.Info("draining")
	case <-node.Done():
	}
	// The context has ended; leaving takes a while, which Close bounds itself.
	err = node.Close(context.WithoutCancel(ctx))
	if failed := node.Err(); failed != nil {
		return fmt.Errorf("the node stopped: %w", failed)
	}
	if err != nil {
		return fmt.Errorf("stopping: %w", err)
	}
	return nil
}

// config makes a Config of the settings.
func (c *serveCommand) config(p process) (huddle.Config, error) {
	password, err := p.env.secret("HUDDLE_PASSWORD", c.PasswordFile)
	if err != nil {
		return huddle.Config{}, err
	}
	keyText, err := p.env.secret("HUDDLE_KEY", c.KeyFile)
	if err != nil {
		return huddle.Config{}, err
	}
	keys, err := parseKeys(keyText)
	if err != nil {
		return huddle.Config{}, usagef("HUDDLE_KEY: %w", err)
	}
	name := c.Name
	if name == "" {
		name, _ = os.Hostname() // a node without a name is known by its ID
	}
	return huddle.Config{
		Name: name, DataDir: c.DataDir,
		Join: c.Join, Expect: int(c.Expect), Voters: int(c.Voters),
		Keys: keys, Bind: c.Bind.Addr, Advertise: c.Advertise.Addr,
		GossipPort: int(c.GossipPort), PeerPort: int(c.PeerPort),
		RedisAddr: orOff(c.RedisAddr), HTTPAddr: orOff(c.HTTPAddr), HealthAddr: orOff(c.HealthAddr),
		Password: password, Open: c.Open, TLSCert: c.TLSCert, TLSKey: c.TLSKey,
		CacheBytes: int64(c.CacheBytes), CacheLoaders: c.CacheLoaders.urls, StateBytes: int64(c.StateBytes), MaxValue: int(c.MaxValue),
		NoSync: !c.Fsync, Drain: cmp.Or(time.Duration(c.Drain), -1), RaftPace: int(c.RaftPace), DNS: c.DNS,
		Version: version,
		Logger:  newLogger(p.stderr, slog.Level(c.Log)),
	}, nil
}

// orOff gives an address that is set and empty the meaning it has in a
// setting; in a Config it would be the default.
func orOff(address string) string {
	return cmp.Or(strings.TrimSpace(address), huddle.Off)
}

// wordEnd is where one word of a field's name ends and the next begins.
var wordEnd = regexp.MustCompile(`([a-z]|[A-Z]+)([A-Z][a-z])`)

// inSettings gives an error about a field of Config the name by which the
// field was set here. It is wrong use, unless the machine is in the way.
func inSettings(err error) error {
	refused, found := errors.AsType[*huddle.SettingError](err)
	if !found {
		return err
	}
	name := prefix + strings.ToUpper(wordEnd.ReplaceAllString(refused.Field, "${1}_${2}"))
	switch refused.Field {
	case "Keys":
		name = "HUDDLE_KEY"
	case "NoSync":
		name = "HUDDLE_FSYNC"
	}
	err = fmt.Errorf("%s: %w", name, refused.Err)
	if _, found := errors.AsType[syscall.Errno](err); found {
		return err
	}
	return &usageError{err}
}
