package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/hashicorp/raft"

	"github.com/huddlecache/huddle/cluster/machine"
)

// A Feature is a machine of the replicated state and the number under which
// the log knows it, from 1 up. Numbers are never reused. New makes the machine
// anew for each identity that the node takes.
type Feature struct {
	ID  uint8
	New func() machine.Machine
}

// Network is how a node reaches others. The zero Config uses the machine's;
// package clustertest has one in memory, with faults. Addresses are
// "ip:port".
type Network interface {
	Listen(addr string) (net.Listener, error)
	ListenPacket(addr string) (net.PacketConn, error)
	Dial(ctx context.Context, addr string) (net.Conn, error)
	LookupHost(ctx context.Context, name string) ([]netip.Addr, error)
}

// Config describes one node. The zero value is a cluster of one, in memory.
type Config struct {
	Name    string // what people call the node; host name if empty
	DataDir string // where log, snapshots and identity live; in memory if empty, and then the identity is new at every Open

	Join   []string // host[:gossip port] of others, resolved again and again; none: this node is its own cluster
	Expect int      // how many nodes must agree to found a cluster; 1 without Join, else 3
	Voters int      // at most so many vote; 5

	Keys       [][]byte   // 32 bytes each; the first is used, all are accepted. Required with Join; without, no peer port is opened
	Bind       netip.Addr // address to listen on for other nodes; 127.0.0.1 without Keys, else 0.0.0.0
	Advertise  netip.Addr // address given to others; found by itself if zero
	GossipPort int        // 7946
	PeerPort   int        // 7947

	StateBytes int64         // most memory of the replicated state; 1 GiB
	MaxValue   int           // longest value in a command, in bytes; 8 MiB
	NoSync     bool          // write the log without waiting for the disk
	Drain      time.Duration // how long a closing node goes on serving while others stop sending; 0
	RaftPace   int           // 1 to 10, multiplies Raft's time-outs; 1
	Version    string        // release, for people
	Snapshots  int           // entries after which a snapshot is taken; 8192
	Level      uint32        // newest level that this release knows; Level (tests of upgrades raise it)

	Features []Feature
	Network  Network                           // the machine's own
	WallTime func() time.Time                  // time.Now; used for wall time only
	Logs     func(raft.LogStore) raft.LogStore // wraps the log store, for tests that lose or hang it
	Logger   *slog.Logger                      // discards by default
}

// Level is the newest behaviour of the replicated state that this release
// knows. Each release that changes what any command does adds one; a cluster
// rises to a level when all its members know it.
const Level = 1

// lowestLevel is what a new cluster begins with.
const lowestLevel = 1

// complete checks c and puts the defaults in.
func (c Config) complete() (Config, error) {
	if c.Name == "" {
		name, err := os.Hostname()
		if err != nil {
			return c, fmt.Errorf("cluster: Name: %w", err)
		}
		c.Name = name
	}
	hasPeers := len(c.Join) > 0
	if hasPeers && len(c.Keys) == 0 {
		return c, errors.New("cluster: Keys: a key is needed to join others")
	}
	expect, bind := 1, netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if hasPeers {
		expect = 3
	}
	if len(c.Keys) > 0 {
		bind = netip.IPv4Unspecified()
	}
	c.Expect = cmp.Or(c.Expect, expect)
	c.Voters = cmp.Or(c.Voters, 5)
	c.Bind = cmp.Or(c.Bind, bind)
	c.GossipPort = cmp.Or(c.GossipPort, 7946)
	c.PeerPort = cmp.Or(c.PeerPort, 7947)
	c.StateBytes = cmp.Or(c.StateBytes, 1<<30)
	c.MaxValue = cmp.Or(c.MaxValue, 8<<20)
	c.RaftPace = cmp.Or(c.RaftPace, 1)
	c.Snapshots = cmp.Or(c.Snapshots, 8192)
	c.Level = cmp.Or(c.Level, Level)
	if c.Network == nil {
		c.Network = HostNetwork("", c.Bind)
	}
	if c.WallTime == nil {
		c.WallTime = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, c.validate()
}

func (c *Config) validate() error {
	switch {
	case c.Expect < 1:
		return fmt.Errorf("cluster: Expect: %d nodes cannot found a cluster", c.Expect)
	case c.Voters < 1:
		return fmt.Errorf("cluster: Voters: %d cannot agree", c.Voters)
	case c.RaftPace < 1 || c.RaftPace > 10:
		return fmt.Errorf("cluster: RaftPace: %d is not 1 to 10", c.RaftPace)
	case c.MaxValue < 1:
		return fmt.Errorf("cluster: MaxValue: %d bytes is not a size", c.MaxValue)
	case c.Snapshots < 8:
		return fmt.Errorf("cluster: Snapshots: %d entries are too few", c.Snapshots)
	case c.StateBytes < 1:
		return fmt.Errorf("cluster: StateBytes: %d bytes is not a size", c.StateBytes)
	}
	return nil
}

// maxCall is how long the commands of one call may be together, in bytes.
func (c *Config) maxCall() int { return 2*c.MaxValue + 2<<20 }
