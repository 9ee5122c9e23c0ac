package main

import (
	"bytes"
	"context"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// watched is what a command prints, with word of when a text is in it.
type watched struct {
	want  string
	found chan struct{}

	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	had := strings.Contains(w.text.String(), w.want)
	w.text.Write(p)
	if !had && strings.Contains(w.text.String(), w.want) {
		close(w.found)
	}
	return len(p), nil
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

func TestDevPrintsItsNodesAndIsReady(t *testing.T) {
	for range 2 { // killed and started again at once
		ctx, cancel := context.WithCancel(t.Context())
		out := &watched{want: "ready\n", found: make(chan struct{})}
		done := make(chan error)
		go func() {
			// Settings of serve must not get in the way.
			env := environ{"HUDDLE_BIND": "10.1.2.3", "HUDDLE_JOIN": "nowhere", "HUDDLE_NODES": "5", "HUDDLE_VOTERS": "x"}
			done <- run(ctx, []string{"dev", "--nodes=3"}, process{stdout: out, stderr: &bytes.Buffer{}, env: env})
		}()
		select {
		case <-out.found:
		case err := <-done:
			t.Fatalf("ended before it was ready: %v\n%s", err, out)
		}
		want := regexp.MustCompile(`^node 1  redis://127\.0\.0\.1:\d+  http://127\.0\.0\.1:\d+
node 2  redis://127\.0\.0\.1:\d+  http://127\.0\.0\.1:\d+
node 3  redis://127\.0\.0\.1:\d+  http://127\.0\.0\.1:\d+
ready
$`)
		if !want.MatchString(out.String()) {
			t.Errorf("got\n%s\nwant three nodes, and ready", out)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("got %v, want a clean end", err)
		}
	}
}

func TestATakenPortIsNotInTheWay(t *testing.T) {
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := preferred(t.Context(), portOf(ln)), "127.0.0.1:0"; got != want {
		t.Errorf("taken: got %s, want %s", got, want)
	}
	free := ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	if got := preferred(t.Context(), portOf(ln)); got != free {
		t.Errorf("free: got %s, want %s", got, free)
	}
}

func TestDevStopsBeforeItIsReady(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := run(ctx, []string{"dev"}, process{stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}, env: environ{}})
	if err != nil {
		t.Errorf("got %v, want a clean end", err)
	}
}

func TestReservedPortsAreHandedOver(t *testing.T) {
	network, err := reserve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer network.release()
	ln, err := network.Listen(network.gossipAddr())
	if err != nil {
		t.Fatal(err)
	}
	packets, err := network.ListenPacket(network.gossipAddr())
	if err != nil {
		t.Fatal(err)
	}
	if err := ln.Close(); err != nil {
		t.Error(err)
	}
	if err := packets.Close(); err != nil {
		t.Error(err)
	}
	// A node that takes a new identity opens its ports again.
	again, err := network.Listen(network.gossipAddr())
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}
