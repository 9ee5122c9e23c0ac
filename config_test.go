package huddle_test

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/huddlecache/huddle"
)

var goodKey = bytes.Repeat([]byte{7}, 32)

// nowhere is a Config that can be opened beside any other.
func nowhere() huddle.Config {
	return huddle.Config{RedisAddr: "127.0.0.1:0", HTTPAddr: "127.0.0.1:0", Drain: -1}
}

func TestRefusedConfigsNameTheField(t *testing.T) {
	tests := []struct {
		field  string
		change func(c *huddle.Config)
		want   string // in the error
	}{
		{"Keys", func(c *huddle.Config) { c.Keys = [][]byte{goodKey, goodKey[:31]} }, "31 bytes"},
		{"Keys", func(c *huddle.Config) { c.Join = []string{"a"} }, "huddle keygen"},
		{"Join", func(c *huddle.Config) { c.Join, c.Keys = []string{"a", ""}, [][]byte{goodKey} }, "empty"},
		{"Bind", func(c *huddle.Config) { c.Bind = netip.IPv4Unspecified() }, "without a key"},
		{"Expect", func(c *huddle.Config) { c.Expect = -1 }, "below zero"},
		{"Voters", func(c *huddle.Config) { c.Voters = -1 }, "below zero"},
		{"GossipPort", func(c *huddle.Config) { c.GossipPort = 65536 }, "over 65535"},
		{"PeerPort", func(c *huddle.Config) { c.PeerPort = -1 }, "below zero"},
		{"RaftPace", func(c *huddle.Config) { c.RaftPace = 11 }, "over 10"},
		{"StateBytes", func(c *huddle.Config) { c.StateBytes = -1 }, "below zero"},
		{"MaxValue", func(c *huddle.Config) { c.MaxValue = 1 << 30 }, "over 536870912"},
		{"Drain", func(c *huddle.Config) { c.Drain = time.Minute }, "1m0s is over 10s"},
		{"CacheLoaders", func(c *huddle.Config) { c.CacheLoaders = map[string]string{"a": "http://a", "b": "b:80"} }, `group "b": `},
		{"CacheLoaders", func(c *huddle.Config) { c.CacheLoaders = map[string]string{"": "http://a"} }, "a group's name"},
		{"DNS", func(c *huddle.Config) { c.DNS = "127.0.0.1" }, "host:port"},
		{"TLSKey", func(c *huddle.Config) { c.TLSCert = "c" }, "required"},
		{"TLSCert", func(c *huddle.Config) { c.TLSKey = "k" }, "required"},
		{"TLSCert", func(c *huddle.Config) { c.TLSCert, c.TLSKey = "/no/such", "/no/such" }, "no such file"},
		{"RedisAddr", func(c *huddle.Config) { c.RedisAddr = "6379" }, "host:port"},
		{"RedisAddr", func(c *huddle.Config) { c.RedisAddr = "127.0.0.1:0,unix://sock" }, "unix:///path"},
		{"RedisAddr", func(c *huddle.Config) { c.RedisAddr = "127.0.0.1:0,0.0.0.0:0" }, "0.0.0.0:0 can be reached from outside"},
		{"RedisAddr", func(c *huddle.Config) { c.RedisAddr = ":0" }, "can be reached from outside"},
		{"RedisAddr", func(c *huddle.Config) { c.RedisAddr = "example.com:0" }, "can be reached from outside"},
		{"RedisAddr", func(c *huddle.Config) { c.RedisAddr = "192.0.2.1:0"; c.Open = true }, "none of this machine's"},
		{"HTTPAddr", func(c *huddle.Config) { c.HTTPAddr = "[::]:0" }, "can be reached from outside"},
		{"HTTPAddr", func(c *huddle.Config) { c.HTTPAddr = "127.0.0.1:0,127.0.0.1:0" }, "one address only"},
		{"HTTPAddr", func(c *huddle.Config) { c.HTTPAddr = "unix:///run/huddle.sock" }, "host:port"},
		{"HealthAddr", func(c *huddle.Config) { c.HealthAddr = "9000" }, "host:port"},
	}
	for _, test := range tests {
		cfg := nowhere()
		test.change(&cfg)
		node, err := huddle.Open(t.Context(), cfg)
		if err == nil {
			_ = node.Close(t.Context())
		}
		refused, found := errors.AsType[*huddle.SettingError](err)
		if !found || refused.Field != test.field || !strings.Contains(err.Error(), test.want) {
			t.Errorf("got %v, want an error of %s with %q", err, test.field, test.want)
		}
	}
}

func TestAnAddressThatIsTaken(t *testing.T) {
	ln := listen(t, "tcp", "127.0.0.1:0")
	for _, field := range []string{"RedisAddr", "HTTPAddr", "HealthAddr"} {
		cfg := nowhere()
		switch field {
		case "RedisAddr":
			cfg.RedisAddr = ln.Addr().String()
		case "HTTPAddr":
			cfg.HTTPAddr = ln.Addr().String()
		case "HealthAddr":
			cfg.HealthAddr = ln.Addr().String()
		}
		_, err := huddle.Open(t.Context(), cfg)
		refused, found := errors.AsType[*huddle.SettingError](err)
		if !found || refused.Field != field || !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "stop the program") {
			t.Errorf("%s: got %v, want that the address is in use, and what to do", field, err)
		}
	}
}

func TestSockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	stale, isUnix := listen(t, "unix", path).(*net.UnixListener)
	if !isUnix {
		t.Fatal("not a socket")
	}
	cfg := nowhere()
	cfg.RedisAddr = "unix://" + path
	if _, err := huddle.Open(t.Context(), cfg); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("another one listens: got %v, want that the address is in use", err)
	}
	// A process that is killed leaves its socket behind.
	stale.SetUnlinkOnClose(false)
	if err := stale.Close(); err != nil {
		t.Fatal(err)
	}
	node := open(t, cfg)
	if got := ping(t, "unix", path); got != "+PONG" {
		t.Errorf("got %q, want +PONG", got)
	}
	if got := node.RedisAddrs()[0].String(); got != path {
		t.Errorf("got address %q, want %q", got, path)
	}
}

func listen(t *testing.T, network, address string) net.Listener {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln
}
