package huddle_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/huddlecache/huddle"
)

// patience is how long a test waits for what takes a moment on a busy machine.
const patience = 30 * time.Second

func TestANodeServesUntilItIsClosed(t *testing.T) {
	cfg := nowhere()
	cfg.HealthAddr = "127.0.0.1:0"
	cfg.RedisAddr = "127.0.0.1:0, 127.0.0.1:0"
	node := open(t, cfg)
	until(t, "ready", func() bool { return node.Ready() == nil })

	for _, addr := range node.RedisAddrs() {
		if got := ping(t, "tcp", addr.String()); got != "+PONG" {
			t.Errorf("%s: got %q, want +PONG", addr, got)
		}
	}
	if got := len(node.RedisAddrs()); got != 2 {
		t.Errorf("got %d addresses for Redis, want 2", got)
	}
	for _, url := range []string{"http://" + node.HTTPAddr().String() + "/readyz", "http://" + node.HealthAddr().String() + "/readyz"} {
		if status, body := get(t, url); status != 200 || body != "ready\n" {
			t.Errorf("%s: got %d %q, want 200 ready", url, status, body)
		}
	}
	status := node.Status(t.Context())
	if status.Node != node.ID() || status.Cluster == "" || !status.Quorum {
		t.Errorf("got %+v, want a cluster with a quorum of node %s", status, node.ID())
	}

	if err := node.Close(t.Context()); err != nil {
		t.Errorf("closing: %v", err)
	}
	select {
	case <-node.Done():
	default:
		t.Error("closed, and not done")
	}
	if err := node.Err(); err != nil {
		t.Errorf("got %v, want no error after an orderly end", err)
	}
	for _, addr := range append(node.RedisAddrs(), node.HTTPAddr(), node.HealthAddr()) {
		if _, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr.String()); err == nil {
			t.Errorf("something still listens at %s", addr)
		}
	}
	if err := node.Close(t.Context()); err != nil {
		t.Errorf("closing again: %v", err)
	}
}

func TestADrainingNodeServesAndIsNotReady(t *testing.T) {
	cfg := nowhere()
	cfg.Drain = 10 * time.Second
	node := open(t, cfg)
	until(t, "ready", func() bool { return node.Ready() == nil })
	ctx, cancel := context.WithCancel(t.Context())
	closed := make(chan error)
	go func() { closed <- node.Close(ctx) }()

	url := "http://" + node.HTTPAddr().String() + "/readyz"
	until(t, "not ready", func() bool { status, body := get(t, url); return status == 503 && strings.Contains(body, "draining") })
	if got := ping(t, "tcp", node.RedisAddrs()[0].String()); got != "+PONG" {
		t.Errorf("while draining: got %q, want +PONG", got)
	}
	cancel() // enough of it
	if err := <-closed; err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("closing: %v", err)
	}
}

func TestListenersCanBeOff(t *testing.T) {
	cfg := nowhere()
	cfg.RedisAddr, cfg.HTTPAddr = huddle.Off, huddle.Off
	node := open(t, cfg)
	if len(node.RedisAddrs()) != 0 || node.HTTPAddr() != nil || node.HealthAddr() != nil {
		t.Errorf("got %v, %v, %v, want no listener", node.RedisAddrs(), node.HTTPAddr(), node.HealthAddr())
	}
}

// open opens a node and closes it at the end of the test.
func open(t *testing.T, cfg huddle.Config) *huddle.Node {
	t.Helper()
	node, err := huddle.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := node.Close(context.WithoutCancel(t.Context())); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("closing: %v", err)
		}
	})
	return node
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !is(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not %s within %s", what, patience)
		}
	}
}

func ping(t *testing.T, network, address string) string {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprint(conn, "PING\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(answer)
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(content)
}

func TestAKilledNodeIsGoneAtOnce(t *testing.T) {
	cfg := nowhere()
	cfg.Drain = 10 * time.Second
	node := open(t, cfg)
	began := time.Now()
	node.Kill()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %s, as if it drained", took)
	}
	select {
	case <-node.Done():
	default:
		t.Error("killed, and not done")
	}
	if _, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", node.HTTPAddr().String()); err == nil {
		t.Error("something still listens")
	}
}
