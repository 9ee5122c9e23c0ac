package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/huddlecache/huddle/cache"
	"github.com/huddlecache/huddle/cluster"
)

// execute runs a command line and returns what it printed.
func execute(t *testing.T, env environ, args ...string) (stdout string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	err = run(t.Context(), args, process{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, env: env})
	return out.String(), err
}

func TestExitStatus(t *testing.T) {
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	tests := []struct {
		args   []string
		env    environ
		status int
		want   string // in the error
	}{
		{[]string{"version"}, nil, 0, ""},
		{[]string{"keygen"}, nil, 0, ""},
		{[]string{"--help"}, nil, 0, ""},
		{[]string{"serve", "--help"}, nil, 0, ""},
		{nil, nil, 2, "huddle --help"},
		{[]string{"bogus"}, nil, 2, "bogus"},
		{[]string{"version", "extra"}, nil, 2, "extra"},
		{[]string{"serve", "--bogus"}, nil, 2, "--bogus"},
		{[]string{"serve", "--voters=x"}, nil, 2, "--voters"},
		{[]string{"serve"}, environ{"HUDDLE_VOTERS": "x"}, 2, "HUDDLE_VOTERS"},
		{[]string{"serve"}, environ{"HUDDLE_VOTER": "3"}, 2, "HUDDLE_VOTER "},
		{[]string{"serve", "--join=a"}, nil, 2, "HUDDLE_KEY: required"},
		{[]string{"serve", "--redis-addr=0.0.0.0:0"}, nil, 2, "HUDDLE_REDIS_ADDR: 0.0.0.0:0 can be reached from outside"},
		{[]string{"serve", "--drain=1h"}, nil, 2, "HUDDLE_DRAIN: 1h0m0s is over"},
		{[]string{"serve", "--http-addr=", "--redis-addr", taken.Addr().String()}, nil, 1, "HUDDLE_REDIS_ADDR: " + taken.Addr().String() + ": address already in use; stop"},
		{[]string{"serve", "--tls-cert=/no/such", "--tls-key=/no/such"}, nil, 1, "HUDDLE_TLS_CERT"},
		{[]string{"dev", "--nodes=0"}, nil, 2, "--nodes"},
		{[]string{"dev", "--nodes=8"}, nil, 2, "--nodes"},
		{[]string{"recover", "--data-dir=/no/such"}, nil, 2, "--data-dir: \"/no/such\" is no directory"},
		{[]string{"forget"}, nil, 2, "<id>"},
		{[]string{"lock", "a"}, nil, 2, "<cmd>"},
		{[]string{"lock", "a", "--"}, nil, 2, "give the command to run"},
		{[]string{"lock", "a", "--addr=127.0.0.1:1", "--ttl=1s", "--", "true"}, nil, 1, "nothing answers at http://127.0.0.1:1"},
		{[]string{"backup"}, nil, 2, "<file>"},
		{[]string{"backup", "/dev/null"}, nil, 2, "\"/dev/null\" is no file: give the name of one, or - for standard output"},
		{[]string{"backup", "/no/such/file"}, nil, 1, "no such file"},
		{[]string{"restore"}, nil, 2, "<file>"},
		{[]string{"restore", "/no/such"}, nil, 1, "no such file"},
		{[]string{"restore", "/"}, nil, 2, "\"/\" is a directory: give the file that huddle backup wrote"},
		{[]string{"verify"}, nil, 2, "huddle verify is not built yet"},
		{[]string{"status", "--addr=ftp://x"}, nil, 2, "--addr"},
	}
	for _, test := range tests {
		_, err := execute(t, test.env, test.args...)
		if got := exitStatus(err); got != test.status {
			t.Errorf("huddle %s: got status %d (%v), want %d", strings.Join(test.args, " "), got, err, test.status)
		}
		if err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("huddle %s: got %q, want %q in it", strings.Join(test.args, " "), err, test.want)
		}
		if err != nil && strings.Contains(oneLine(err), "\n") {
			t.Errorf("huddle %s: more than one line: %q", strings.Join(test.args, " "), oneLine(err))
		}
	}
}

func TestKeygenPrintsAKeyThatServeTakes(t *testing.T) {
	first, err := execute(t, nil, "keygen")
	if err != nil {
		t.Fatal(err)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(first))
	if err != nil || len(key) != 32 {
		t.Errorf("got %q: %d bytes, %v; want 32 bytes", first, len(key), err)
	}
	if second, _ := execute(t, nil, "keygen"); second == first {
		t.Errorf("two keys are equal: %s", first)
	}
}

// serveFake answers every call with one status and body, and returns its
// address and a function for the last request.
func serveFake(t *testing.T, status int, body string) (addr string, last func() string) {
	t.Helper()
	var seen string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var sent bytes.Buffer
		_, _ = sent.ReadFrom(r.Body)
		seen = strings.TrimSpace(r.Method + " " + r.URL.EscapedPath() + " " + r.Header.Get("Authorization") + " " + sent.String())
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(srv.Close)
	return srv.URL, func() string { return seen }
}

func TestCommandsThatAskANode(t *testing.T) {
	tests := []struct {
		name   string
		args   []string
		env    environ
		answer string
		sent   string
		want   string
	}{
		{"status", []string{"status", "--json"}, nil, `{"cluster":"x"}`, "GET /v1/cluster", `{"cluster":"x"}` + "\n"},
		{"with a password", []string{"status", "--json"}, environ{"HUDDLE_PASSWORD": "p"}, `{}`, "GET /v1/cluster Bearer p", "{}\n"},
		{"recover", []string{"recover"}, nil, `{"report":"done"}`, `POST /v1/cluster/recover  {"dry_run":false,"force":false}`, "done\n"},
		{"recover ignores serve's settings", []string{"recover"}, environ{"HUDDLE_DATA_DIR": "/d", "HUDDLE_FORCE": "true"}, `{"report":"done"}`, `POST /v1/cluster/recover  {"dry_run":false,"force":false}`, "done\n"},
		{"recover with options", []string{"recover", "--dry-run", "--force"}, nil, `{"report":"would"}`, `POST /v1/cluster/recover  {"dry_run":true,"force":true}`, "would\n"},
		{"forget", []string{"forget", "a/1"}, nil, "", "DELETE /v1/cluster/members/a%2F1", "a/1 is no longer a member\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			addr, last := serveFake(t, http.StatusOK, test.answer)
			env := environ{"HUDDLE_ADDR": addr}
			maps.Copy(env, test.env)
			got, err := execute(t, env, test.args...)
			if err != nil {
				t.Fatal(err)
			}
			if got != test.want {
				t.Errorf("printed %q, want %q", got, test.want)
			}
			if sent := last(); sent != test.sent {
				t.Errorf("sent %q, want %q", sent, test.sent)
			}
		})
	}
}

func TestWhatANodeAnswersIsSaidInWords(t *testing.T) {
	tests := []struct {
		status int
		body   string
		want   string
	}{
		{401, "", "asks for a password: set HUDDLE_PASSWORD"},
		{409, `{"type":"x/conflict","title":"Refused","detail":"another node is further on: recover that one"}`, "another node is further on: recover that one"},
		{503, `{"type":"x/loading","title":"This node is joining"}`, "This node is joining"},
		{404, "404 page not found", "is not a node of Huddle"},
		{200, "<html>", "is not a node of Huddle"},
	}
	for _, test := range tests {
		addr, _ := serveFake(t, test.status, test.body)
		_, err := execute(t, nil, "recover", "--addr", addr)
		if err == nil || !strings.Contains(err.Error(), test.want) || exitStatus(err) != 1 {
			t.Errorf("%d %s: got %v, want status 1 with %q", test.status, test.body, err, test.want)
		}
	}
}

func TestARefusedRecoveryPrintsWhatIsKnown(t *testing.T) {
	addr, _ := serveFake(t, http.StatusConflict, `{"title":"Refused","detail":"b2 is further on: recover there","report":"a1: last entry 3\nb2: last entry 9\n"}`)
	out, err := execute(t, nil, "recover", "--addr", addr)
	if err == nil || err.Error() != "b2 is further on: recover there" || out != "a1: last entry 3\nb2: last entry 9\n" {
		t.Errorf("got %q and %v, want the report and why not", out, err)
	}
}

func TestNothingAnswers(t *testing.T) {
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = execute(t, nil, "status", "--addr", addr)
	if err == nil || !strings.Contains(err.Error(), "nothing answers at http://"+addr) || !strings.Contains(err.Error(), "HUDDLE_ADDR") {
		t.Errorf("got %v, want the address and the remedy", err)
	}
}

func TestStatusForPeople(t *testing.T) {
	var out bytes.Buffer
	status := clusterStatus{Status: cluster.Status{
		Cluster: "5f0c", Node: "b2", Leader: "a1", Term: 3, Index: 812, Quorum: true, Level: 1,
		Problems: []string{"pod-1 is dead: start it again, or huddle forget b2"},
		Members: []cluster.Member{
			{ID: "a1", Name: "pod-0", Address: "10.1.2.3:7947", Role: "leader", State: "alive", Index: 812, Version: "0.1.0", Durable: true},
			{ID: "b2", Name: "pod-1", Role: "nonvoter", State: "dead", Index: 9},
		},
	}, Ring: cache.Ring{Version: 41, Settled: true, Members: []cache.RingMember{{ID: "a1", Share: 0.996}}}}
	err := printStatus(&out, status)
	if err != nil {
		t.Fatal(err)
	}
	want := `cluster  5f0c
leader   pod-0 (a1)
quorum   yes
voters   1 of 2 members
term     3
index    812
level    1
ring     1 serve the cache, since index 41

NAME   ROLE      STATE  INDEX  VERSION  KEEPS   CACHE  ADDRESS        ID
pod-0  leader    alive  812    0.1.0    disk    100%   10.1.2.3:7947  a1
pod-1  nonvoter  dead   9      -        memory  -      -              b2 (asked)

problem: pod-1 is dead: start it again, or huddle forget b2
`
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for want, ring := range map[string]cache.Ring{
		"ring     -\n": {},
		"ring     2 serve the cache, being agreed on\n": {Members: make([]cache.RingMember, 2)},
	} {
		status.Ring = ring
		out.Reset()
		if err := printStatus(&out, status); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("got %v and\n%s\nwant %q in it", err, out.String(), want)
		}
	}
}

func TestServeEndsInOrder(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	logs := &watched{want: `"msg":"serving"`, found: make(chan struct{})}
	done := make(chan error)
	go func() {
		args := []string{"serve", "--redis-addr=127.0.0.1:0", "--http-addr=127.0.0.1:0", "--drain=0s"}
		done <- run(ctx, args, process{stdout: &bytes.Buffer{}, stderr: logs, env: environ{}})
	}()
	select {
	case <-logs.found:
	case err := <-done:
		t.Fatalf("ended before it served: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("got %v, want a clean end", err)
	}
}
