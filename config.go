package huddle

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/huddlecache/huddle/cache"
	"github.com/huddlecache/huddle/cluster"
)

// Off turns a listener off that is on by default.
const Off = "off"

// Defaults of the settings that are not the cluster's own.
const (
	DefaultRedisAddr  = "127.0.0.1:6379"
	DefaultHTTPAddr   = "127.0.0.1:8379"
	DefaultStateBytes = 1 << 30
	DefaultCacheBytes = 256 << 20
	DefaultMaxValue   = 8 << 20
	DefaultDrain      = 3 * time.Second
)

const (
	maxMaxValue = 512 << 20        // as long as Redis takes
	maxDrain    = 10 * time.Second // leaves time for leaving within the 25 seconds that Close takes
)

// Config describes a node. The zero value is a cluster of one in memory, that
// serves Redis and HTTP clients of this machine on the usual ports.
type Config struct {
	Name    string // what people call the node; host name if empty
	DataDir string // where log, snapshots and identity live; in memory if empty

	Join       []string   // host[:gossip port] of others, resolved again and again; none: this node is its own cluster
	Expect     int        // how many nodes must agree to found a cluster; 1 without Join, else 3
	Voters     int        // at most so many vote; 5
	Keys       [][]byte   // 32 bytes each; the first is used, all are accepted. Required with Join; without, no port is opened to other nodes
	Bind       netip.Addr // address to listen on for other nodes; 127.0.0.1 without Keys, else 0.0.0.0
	Advertise  netip.Addr // address given to other nodes; found by itself if zero
	GossipPort int        // 7946
	PeerPort   int        // 7947

	RedisAddr  string // comma-separated host:port and unix:///path; DefaultRedisAddr, or Off
	HTTPAddr   string // DefaultHTTPAddr, or Off
	HealthAddr string // /livez, /readyz and /metrics alone, without a password; off if empty
	Password   string // asked of clients; none if empty
	Open       bool   // lets clients in without a password on other addresses than loopback
	TLSCert    string // file; with TLSKey, TLS on the Redis and HTTP listeners
	TLSKey     string // file

	CacheLoaders map[string]string // URLs that groups of the cache get their values from; see [cache.HTTPLoader]

	CacheBytes int64         // most memory that this node gives to the cache; 256 MiB
	StateBytes int64         // most memory of the replicated state; 1 GiB
	MaxValue   int           // longest value, in bytes; 8 MiB
	NoSync     bool          // write the log without waiting for the disk
	Drain      time.Duration // how long a closing node goes on serving while its Service forgets it; DefaultDrain, negative for none
	RaftPace   int           // 1 to 10, multiplies Raft's time-outs; 1
	DNS        string        // host:port of the resolver to ask; the system's if empty

	Version string          // release, for people
	Network cluster.Network // how other nodes are reached; the machine's network if nil
	Logger  *slog.Logger    // discards by default
}

// A SettingError says which field of Config cannot be used, and why.
type SettingError struct {
	Field string // name of the field
	Err   error
}

// Error implements error.
func (e *SettingError) Error() string { return e.Field + ": " + e.Err.Error() }

// Unwrap returns the reason without the field's name.
func (e *SettingError) Unwrap() error { return e.Err }

func setting(field, format string, args ...any) error {
	return &SettingError{Field: field, Err: fmt.Errorf(format, args...)}
}

// withDefaults fills in what this package and its servers need to know. What
// only the cluster uses stays zero: the defaults are its own.
func (c Config) withDefaults() Config {
	if c.RedisAddr == "" {
		c.RedisAddr = DefaultRedisAddr
	}
	if c.HTTPAddr == "" {
		c.HTTPAddr = DefaultHTTPAddr
	}
	if c.HealthAddr == "" {
		c.HealthAddr = Off
	}
	if c.CacheBytes == 0 {
		c.CacheBytes = DefaultCacheBytes
	}
	if c.StateBytes == 0 {
		c.StateBytes = DefaultStateBytes
	}
	if c.MaxValue == 0 {
		c.MaxValue = DefaultMaxValue
	}
	if c.Drain == 0 {
		c.Drain = DefaultDrain
	}
	c.Drain = max(c.Drain, 0)
	if c.Network == nil {
		c.Network = cluster.HostNetwork(c.DNS, c.Bind)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// cluster returns what the cluster needs to know.
func (c Config) cluster(features []cluster.Feature) cluster.Config {
	return cluster.Config{
		Name: c.Name, DataDir: c.DataDir,
		Join: c.Join, Expect: c.Expect, Voters: c.Voters,
		Keys: c.Keys, Bind: c.Bind, Advertise: c.Advertise,
		GossipPort: c.GossipPort, PeerPort: c.PeerPort,
		StateBytes: c.StateBytes, MaxValue: c.MaxValue, NoSync: c.NoSync,
		Drain: c.Drain, RaftPace: c.RaftPace, Version: c.Version,
		Features: features, Network: c.Network, Logger: c.Logger,
	}
}

// validate names the first field that cannot be used.
func (c Config) validate() error {
	return cmp.Or(
		c.validateKeys(),
		inRange("Expect", int64(c.Expect), math.MaxInt32),
		inRange("Voters", int64(c.Voters), math.MaxInt32),
		inRange("GossipPort", int64(c.GossipPort), math.MaxUint16),
		inRange("PeerPort", int64(c.PeerPort), math.MaxUint16),
		inRange("RaftPace", int64(c.RaftPace), 10),
		inRange("CacheBytes", c.CacheBytes, math.MaxInt64),
		inRange("StateBytes", c.StateBytes, math.MaxInt64),
		inRange("MaxValue", int64(c.MaxValue), maxMaxValue),
		inRange("Drain", int64(c.Drain), int64(maxDrain)),
		c.validateLoaders(),
		c.validateDNS(),
		c.validateTLS(),
		c.validateListeners(),
	)
}

func (c Config) validateKeys() error {
	for _, key := range c.Keys {
		if len(key) != 32 {
			return setting("Keys", "a key has %d bytes and must have 32; huddle keygen makes one", len(key))
		}
	}
	if slices.Contains(c.Join, "") {
		return setting("Join", "a name is empty; give host or host:port, comma-separated")
	}
	if len(c.Keys) > 0 {
		return nil
	}
	if len(c.Join) > 0 {
		return setting("Keys", "required where other nodes are joined; huddle keygen makes one, and every node gets the same")
	}
	if c.Bind.IsValid() && !c.Bind.IsLoopback() {
		return setting("Bind", "%s has no use without a key, for without one no port is opened to other nodes; huddle keygen makes one", c.Bind)
	}
	return nil
}

func (c Config) validateLoaders() error {
	for _, group := range slices.Sorted(maps.Keys(c.CacheLoaders)) {
		if err := cache.ValidateLoader(group, cache.HTTPLoader{URL: c.CacheLoaders[group]}); err != nil {
			return setting("CacheLoaders", "group %q: %w", group, err)
		}
	}
	return nil
}

func (c Config) validateDNS() error {
	if c.DNS == "" {
		return nil
	}
	if _, _, err := net.SplitHostPort(c.DNS); err != nil {
		return setting("DNS", "%q is not host:port", c.DNS)
	}
	return nil
}

func (c Config) validateTLS() error {
	switch {
	case c.TLSCert != "" && c.TLSKey == "":
		return setting("TLSKey", "required with a certificate; name the file that holds its key")
	case c.TLSCert == "" && c.TLSKey != "":
		return setting("TLSCert", "required with a key; name the file that holds its certificate")
	}
	return nil
}

// validateListeners refuses to let everybody in by accident: a client without
// a password can read, change and delete all there is.
func (c Config) validateListeners() error {
	for _, field := range clientFields() {
		ends, err := c.endpoints(field)
		if err != nil {
			return err
		}
		for _, end := range ends {
			if field != "HealthAddr" && c.Password == "" && !c.Open && !end.isLocal() {
				return setting(field, "%s can be reached from outside, and there is no password; set one, or let everybody in with Open (HUDDLE_OPEN=true)", end)
			}
		}
	}
	return nil
}

// inRange refuses numbers below zero, which is the default, or above the most
// that makes sense.
func inRange(field string, value, most int64) error {
	switch {
	case value < 0:
		return setting(field, "%d is below zero", value)
	case value > most && field == "Drain":
		return setting(field, "%s is over %s", time.Duration(value), time.Duration(most))
	case value > most:
		return setting(field, "%d is over %d", value, most)
	}
	return nil
}
