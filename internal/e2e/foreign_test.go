package e2e

import (
	"bytes"
	"crypto/tls"
	encoding "encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestForeignBytes sends to every port what does not belong there. Nothing
// crashes, memory stays bounded, and the cluster goes on.
func TestForeignBytes(t *testing.T) {
	t.Parallel()
	w := startNodes(t, 3, false)
	nodes := w.inService()
	if _, err := nodes[0].client().Do("SET", "k", "v"); err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 5 {
		for _, payload := range foreign(random) {
			for _, port := range []int{w.p.gossip, w.p.peer, w.p.redis, w.p.http} {
				send(t, hostPort(nodes[1].addr, port), payload)
			}
			packet, err := net.Dial("udp", hostPort(nodes[1].addr, w.p.gossip))
			if err != nil {
				t.Fatal(err)
			}
			packet.Write(payload[:min(len(payload), 60_000)])
			packet.Close()
		}
		for _, port := range []int{w.p.gossip, w.p.peer, w.p.redis, w.p.http} {
			conn, err := tls.DialWithDialer(&net.Dialer{Timeout: time.Second}, "tcp", hostPort(nodes[1].addr, port),
				&tls.Config{InsecureSkipVerify: true, NextProtos: []string{"huddle/1"}})
			if err == nil {
				conn.Write([]byte("hello"))
				conn.Close()
			}
		}
	}
	for _, n := range nodes {
		if !n.alive() {
			t.Fatalf("%s has ended: %v\n%s", n.name, n.err, n.tail(30))
		}
		if reply, err := n.client().Do("GET", "k"); reply != "v" || err != nil {
			t.Errorf("GET through %s: got %v, %v, want v", n.name, reply, err)
		}
		if s, err := n.status(); err != nil || len(s.Members) != 3 || !s.Quorum {
			t.Errorf("status of %s: got %+v, %v, want 3 members and a quorum", n.name, s, err)
		}
		rss := n.usage().rss
		t.Logf("%s: %d MB resident", n.name, rss>>20)
		if rss > 150<<20 {
			t.Errorf("%s: %d MB resident, want at most 150", n.name, rss>>20)
		}
	}
}

// foreign returns payloads of many protocols, right and wrong.
func foreign(random *rand.Rand) [][]byte {
	noise := make([]byte, 100_000)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	long := encoding.BigEndian.AppendUint32(nil, 0xffffffff)
	return [][]byte{
		noise,
		noise[:1],
		append(long, noise[:100]...),
		append([]byte{0x16, 3, 1, 0xff, 0xff}, noise[:200]...),
		[]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		[]byte("POST /v1/cluster/recover HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999\r\n\r\n{"),
		[]byte("GET /" + strings.Repeat("a", 100_000)),
		[]byte("*1\r\n$4\r\nPING\r\n"),
		[]byte("*1000000000\r\n$1\r\n"),
		[]byte("*2\r\n$3\r\nGET\r\n$999999999999\r\nabc"),
		[]byte("*-5\r\n*0\r\n$-7\r\n"),
		[]byte(strings.Repeat("*1\r\n", 20_000)),
		bytes.Repeat([]byte{0}, 50_000),
		[]byte(strings.Repeat("SET ", 30_000)),
	}
}

// send writes the payload, ends its side and reads what comes, for 300 ms at
// most.
func send(t *testing.T, addr string, payload []byte) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, 2*time.Second)
	if err != nil {
		t.Fatalf("port is no longer open: %v", err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(300 * time.Millisecond))
	conn.Write(payload)
	conn.(*net.TCPConn).CloseWrite()
	io.Copy(io.Discard, conn)
}

// TestWrongKey starts a fourth node with another key: it never gets in, says
// why, and disturbs nobody.
func TestWrongKey(t *testing.T) {
	t.Parallel()
	w := startNodes(t, 3, false)
	nodes := w.inService()
	stranger := w.add("HUDDLE_KEY=" + newKey())
	said := regexp.MustCompile(`(?i)"?level"?[=:]"?(WARN|ERROR).*key`)
	eventually(t, 20*time.Second, func() error {
		if log := stranger.tail(1000); !said.MatchString(log) {
			return fmt.Errorf("no warning of %s names the key:\n%s", stranger.name, stranger.tail(20))
		}
		return nil
	})
	if code, body, err := get(stranger.url() + "/readyz"); code == 200 || err != nil {
		t.Errorf("readyz of the stranger: got %d %s (%v), want 503", code, body, err)
	}
	if _, err := stranger.client().Do("SET", "k", "stranger"); err == nil {
		t.Error("the stranger answers SET, want LOADING")
	}
	for _, n := range nodes {
		if s, err := n.status(); err != nil || len(s.Members) != 3 {
			t.Errorf("%s: got %+v, %v, want 3 members", n.name, s, err)
		}
		if _, err := n.client().Do("SET", "k", n.name); err != nil {
			t.Errorf("SET through %s: %v", n.name, err)
		}
	}
}

// TestMalformedSettings starts the program with settings that it must refuse,
// each in one line that names it.
func TestMalformedSettings(t *testing.T) {
	needsProcesses(t)
	w := newWorld(t, false)
	n := &node{addr: w.address(1), p: w.p}
	base := []string{"HUDDLE_REDIS_ADDR=" + n.redisAddr(), "HUDDLE_HTTP_ADDR=" + n.httpAddr()}
	for _, test := range []struct {
		env  string
		want string // what the line must contain, whatever its case
	}{
		{"HUDDLE_KEY=short", "key"},
		{"HUDDLE_KEY_FILE=" + filepath.Join(t.TempDir(), "none"), "key"},
		{"HUDDLE_JOIN=" + serviceName, "key"},
		{"HUDDLE_EXPECT=many", "expect"},
		{"HUDDLE_EXPECT=-1", "expect"},
		{"HUDDLE_VOTERS=-3", "voters"},
		{"HUDDLE_GOSSIP_PORT=70000", "gossip"},
		{"HUDDLE_PEER_PORT=x", "peer"},
		{"HUDDLE_BIND=nowhere", "bind"},
		{"HUDDLE_ADVERTISE=300.1.1.1", "advertise"},
		{"HUDDLE_STATE_BYTES=1PB", "state"},
		{"HUDDLE_MAX_VALUE=-1", "value"},
		{"HUDDLE_DRAIN=soon", "drain"},
		{"HUDDLE_RAFT_PACE=11", "pace"},
		{"HUDDLE_FSYNC=perhaps", "fsync"},
		{"HUDDLE_LOG=loud", "log"},
		{"HUDDLE_REDIS_ADDR=0.0.0.0:0", "password"},
		{"HUDDLE_TLS_CERT=" + filepath.Join(t.TempDir(), "none"), "tls"},
	} {
		t.Run(test.env[:strings.IndexByte(test.env, '=')], func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), binary(t), "serve")
			cmd.Env = append(base[:2:2], test.env)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			timer := time.AfterFunc(5*time.Second, func() { cmd.Process.Kill() })
			err := cmd.Run()
			timer.Stop()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 && exit.ExitCode() != 2 {
				t.Errorf("%s: got %v, want exit status 1 or 2", test.env, err)
			}
			line := strings.TrimSpace(stderr.String())
			if strings.Count(line, "\n") > 0 || !strings.Contains(strings.ToLower(line), test.want) {
				t.Errorf("%s: got %q, want one line with %q", test.env, line, test.want)
			}
		})
	}
}
