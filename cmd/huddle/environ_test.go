package main

import (
	"bytes"
	"encoding/base64"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/huddlecache/huddle"
)

// settings parses a command line of serve as run does, up to the Config.
func settings(t *testing.T, env environ, args ...string) (huddle.Config, error) {
	t.Helper()
	var line commandLine
	parser, err := kong.New(&line, kong.Resolvers(env.resolver()), kong.Exit(func(int) {}))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parser.Parse(append([]string{"serve"}, args...))
	if err != nil {
		return huddle.Config{}, err
	}
	if err := env.refuseUnknown(parsed.Selected().Flags); err != nil {
		return huddle.Config{}, err
	}
	return line.Serve.config(process{stderr: &bytes.Buffer{}, env: env})
}

func key(fill byte) string {
	return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{fill}, keyLength))
}

func TestSettings(t *testing.T) {
	tests := []struct {
		name  string
		env   environ
		args  []string
		check func(c huddle.Config) bool
	}{
		{"defaults", nil, nil, func(c huddle.Config) bool {
			return c.RedisAddr == "127.0.0.1:6379" && c.HTTPAddr == "127.0.0.1:8379" && c.HealthAddr == huddle.Off &&
				c.GossipPort == 7946 && c.PeerPort == 7947 && c.Voters == 5 && c.Expect == 0 && c.RaftPace == 1 &&
				c.StateBytes == 1<<30 && c.MaxValue == 8<<20 && c.Drain == 3*time.Second &&
				!c.NoSync && !c.Open && c.DataDir == "" && c.Join == nil && c.Keys == nil && c.Password == ""
		}},
		{"the host's name", nil, nil, func(c huddle.Config) bool { host, _ := os.Hostname(); return c.Name == host }},
		{"a variable", environ{"HUDDLE_HTTP_ADDR": "127.0.0.1:1"}, nil, func(c huddle.Config) bool { return c.HTTPAddr == "127.0.0.1:1" }},
		{"a flag wins", environ{"HUDDLE_HTTP_ADDR": "127.0.0.1:1"}, []string{"--http-addr=127.0.0.1:2"}, func(c huddle.Config) bool { return c.HTTPAddr == "127.0.0.1:2" }},
		{"a list", environ{"HUDDLE_JOIN": "a,b:7000"}, nil, func(c huddle.Config) bool { return strings.Join(c.Join, " ") == "a b:7000" }},
		{"an empty list", environ{"HUDDLE_JOIN": ""}, nil, func(c huddle.Config) bool { return len(c.Join) == 0 }},
		{"set and empty is off", environ{"HUDDLE_REDIS_ADDR": "", "HUDDLE_HTTP_ADDR": ""}, nil, func(c huddle.Config) bool { return c.RedisAddr == huddle.Off && c.HTTPAddr == huddle.Off }},
		{"several addresses", environ{"HUDDLE_REDIS_ADDR": "127.0.0.1:1,unix:///run/h.sock"}, nil, func(c huddle.Config) bool { return c.RedisAddr == "127.0.0.1:1,unix:///run/h.sock" }},
		{"health", environ{"HUDDLE_HEALTH_ADDR": "0.0.0.0:9"}, nil, func(c huddle.Config) bool { return c.HealthAddr == "0.0.0.0:9" }},
		{"fsync off", environ{"HUDDLE_FSYNC": "false"}, nil, func(c huddle.Config) bool { return c.NoSync }},
		{"fsync off by flag", environ{"HUDDLE_FSYNC": "true"}, []string{"--no-fsync"}, func(c huddle.Config) bool { return c.NoSync }},
		{"open", environ{"HUDDLE_OPEN": "true"}, nil, func(c huddle.Config) bool { return c.Open }},
		{"no drain", environ{"HUDDLE_DRAIN": "0s"}, nil, func(c huddle.Config) bool { return c.Drain < 0 }},
		{"drain", environ{"HUDDLE_DRAIN": "1.5s"}, nil, func(c huddle.Config) bool { return c.Drain == 1500*time.Millisecond }},
		{"sizes", environ{"HUDDLE_STATE_BYTES": "64MiB", "HUDDLE_MAX_VALUE": "512KiB"}, nil, func(c huddle.Config) bool { return c.StateBytes == 64<<20 && c.MaxValue == 512<<10 }},
		{"plain bytes", environ{"HUDDLE_MAX_VALUE": "1000"}, nil, func(c huddle.Config) bool { return c.MaxValue == 1000 }},
		{"addresses", environ{"HUDDLE_BIND": "::", "HUDDLE_ADVERTISE": "10.1.2.3"}, nil, func(c huddle.Config) bool {
			return c.Bind == netip.IPv6Unspecified() && c.Advertise == netip.MustParseAddr("10.1.2.3")
		}},
		{"keys", environ{"HUDDLE_KEY": key(1) + ", " + key(2)}, nil, func(c huddle.Config) bool { return len(c.Keys) == 2 && c.Keys[0][0] == 1 && c.Keys[1][31] == 2 }},
		{"password", environ{"HUDDLE_PASSWORD": " p "}, nil, func(c huddle.Config) bool { return c.Password == " p " }},
		{"the rest", environ{
			"HUDDLE_NAME": "n", "HUDDLE_DATA_DIR": "/d", "HUDDLE_EXPECT": "2", "HUDDLE_VOTERS": "7", "HUDDLE_GOSSIP_PORT": "1", "HUDDLE_PEER_PORT": "65535",
			"HUDDLE_RAFT_PACE": "10", "HUDDLE_DNS": "127.0.0.1:53", "HUDDLE_TLS_CERT": "c", "HUDDLE_TLS_KEY": "k", "HUDDLE_LOG": "debug",
		}, nil, func(c huddle.Config) bool {
			return c.Name == "n" && c.DataDir == "/d" && c.Expect == 2 && c.Voters == 7 && c.GossipPort == 1 && c.PeerPort == 65535 &&
				c.RaftPace == 10 && c.DNS == "127.0.0.1:53" && c.TLSCert == "c" && c.TLSKey == "k"
		}},
		{"loaders", environ{"HUDDLE_CACHE_LOADERS": "pages=http://a/p?x=1, api=https://b/{key},"}, nil, func(c huddle.Config) bool {
			return len(c.CacheLoaders) == 2 && c.CacheLoaders["pages"] == "http://a/p?x=1" && c.CacheLoaders["api"] == "https://b/{key}"
		}},
		{"a loader by flag", environ{"HUDDLE_CACHE_LOADERS": "a=http://a"}, []string{"--cache-loaders=b=http://b"}, func(c huddle.Config) bool {
			return len(c.CacheLoaders) == 1 && c.CacheLoaders["b"] == "http://b"
		}},
		{"no loaders", environ{"HUDDLE_CACHE_LOADERS": ""}, nil, func(c huddle.Config) bool { return len(c.CacheLoaders) == 0 }},
		{"what is for other programs", environ{"HUDDLE_ADDR": "x", "HUDDLE_E2E": "required", "PATH": "/bin"}, nil, func(huddle.Config) bool { return true }},
		{"Services of Kubernetes", environ{
			"HUDDLE_SERVICE_HOST": "10.0.0.1", "HUDDLE_SERVICE_PORT": "6379", "HUDDLE_SERVICE_PORT_REDIS": "6379", "HUDDLE_PORT": "tcp://10.0.0.1:6379",
			"HUDDLE_PORT_6379_TCP": "tcp://10.0.0.1:6379", "HUDDLE_PORT_6379_TCP_PROTO": "tcp", "HUDDLE_PORT_6379_TCP_PORT": "6379", "HUDDLE_PORT_6379_TCP_ADDR": "10.0.0.1",
			"HUDDLE_MY_APP_SERVICE_HOST": "10.0.0.2", "HUDDLE_MY_APP_PORT_53_UDP_ADDR": "10.0.0.2", "HUDDLE_MY_APP_PORT": "udp://10.0.0.2:53",
			"HUDDLE_GOSSIP_PORT": "tcp://10.0.0.3:7946",
		}, nil, func(c huddle.Config) bool { return c.GossipPort == 7946 }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := settings(t, test.env, test.args...)
			if err != nil {
				t.Fatal(err)
			}
			if !test.check(got) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestRefusedSettings(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		env  environ
		want string // in the error
	}{
		{environ{"HUDDLE_VOTER": "3"}, "HUDDLE_VOTER is no setting"},
		{environ{"HUDDLE_GOSIP_PORT": "7946"}, "HUDDLE_GOSIP_PORT is no setting"},
		{environ{"HUDDLE_NO_FSYNC": "true"}, "HUDDLE_NO_FSYNC is no setting"},
		{environ{"HUDDLE_": "x"}, "HUDDLE_ is no setting"},
		{environ{"HUDDLE_CACHE_BYTES": "much"}, "HUDDLE_CACHE_BYTES"},
		{environ{"HUDDLE_VOTERS": "0"}, `HUDDLE_VOTERS: "0"`},
		{environ{"HUDDLE_VOTERS": ""}, `HUDDLE_VOTERS: ""`},
		{environ{"HUDDLE_EXPECT": "-1"}, `HUDDLE_EXPECT: "-1"`},
		{environ{"HUDDLE_EXPECT": "three"}, `HUDDLE_EXPECT: "three"`},
		{environ{"HUDDLE_PEER_PORT": "65536"}, `HUDDLE_PEER_PORT: "65536"`},
		{environ{"HUDDLE_STATE_BYTES": "1GB"}, `HUDDLE_STATE_BYTES: "1GB"`},
		{environ{"HUDDLE_STATE_BYTES": "9999999999GiB"}, `HUDDLE_STATE_BYTES: "9999999999GiB"`},
		{environ{"HUDDLE_MAX_VALUE": "0"}, `HUDDLE_MAX_VALUE: "0"`},
		{environ{"HUDDLE_DRAIN": "3"}, `HUDDLE_DRAIN: "3"`},
		{environ{"HUDDLE_DRAIN": "-3s"}, `HUDDLE_DRAIN: "-3s"`},
		{environ{"HUDDLE_FSYNC": "maybe"}, "HUDDLE_FSYNC: "},
		{environ{"HUDDLE_CACHE_LOADERS": "http://a"}, `HUDDLE_CACHE_LOADERS: "http://a" is not group=URL`},
		{environ{"HUDDLE_CACHE_LOADERS": "a=http://a,a=http://b"}, `HUDDLE_CACHE_LOADERS: "a=http://b" is not group=URL`},
		{environ{"HUDDLE_OPEN": ""}, "HUDDLE_OPEN: "},
		{environ{"HUDDLE_BIND": "localhost"}, `HUDDLE_BIND: "localhost"`},
		{environ{"HUDDLE_LOG": "loud"}, `HUDDLE_LOG: "loud"`},
		{environ{"HUDDLE_KEY": "c2hvcnQ="}, "HUDDLE_KEY: not base64 of 32 bytes"},
		{environ{"HUDDLE_KEY": key(1) + ","}, "HUDDLE_KEY: not base64 of 32 bytes"},
		{environ{"HUDDLE_KEY_FILE": empty}, "HUDDLE_KEY_FILE: " + empty + " is empty"},
		{environ{"HUDDLE_KEY_FILE": "/no/such/file"}, "HUDDLE_KEY_FILE: "},
		{environ{"HUDDLE_PASSWORD": "a", "HUDDLE_PASSWORD_FILE": empty}, "HUDDLE_PASSWORD and HUDDLE_PASSWORD_FILE are both set"},
	}
	for _, test := range tests {
		_, err := settings(t, test.env)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: got %v, want an error with %q", test.env, err, test.want)
		}
		if secret := test.env["HUDDLE_KEY"]; err != nil && secret != "" && strings.Contains(err.Error(), secret) {
			t.Errorf("the error shows the key: %v", err)
		}
	}
}

func TestSecretsComeFromFiles(t *testing.T) {
	name := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(name, []byte("sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{nil, {"--password-file", name}} {
		env := environ{}
		if args == nil {
			env["HUDDLE_PASSWORD_FILE"] = name
		}
		got, err := settings(t, env, args...)
		if err != nil || got.Password != "sesame" {
			t.Errorf("%v: got %q, %v; want sesame", args, got.Password, err)
		}
	}
}

func TestSecretsAreNoFlags(t *testing.T) {
	for _, arg := range []string{"--password=x", "--key=" + key(1)} {
		if _, err := settings(t, nil, arg); err == nil {
			t.Errorf("%s was taken", arg)
		}
	}
}

func TestFieldsHaveTheNamesOfTheirSettings(t *testing.T) {
	for field, want := range map[string]string{
		"RedisAddr": "HUDDLE_REDIS_ADDR", "HTTPAddr": "HUDDLE_HTTP_ADDR", "TLSCert": "HUDDLE_TLS_CERT", "DNS": "HUDDLE_DNS",
		"StateBytes": "HUDDLE_STATE_BYTES", "CacheLoaders": "HUDDLE_CACHE_LOADERS", "Keys": "HUDDLE_KEY", "Bind": "HUDDLE_BIND", "GossipPort": "HUDDLE_GOSSIP_PORT",
	} {
		err := inSettings(&huddle.SettingError{Field: field, Err: os.ErrInvalid})
		if got := err.Error(); got != want+": invalid argument" {
			t.Errorf("%s: got %q, want %s", field, got, want)
		}
	}
}
