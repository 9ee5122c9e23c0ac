//go:build linux

package main

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestGroupsOfFlags(t *testing.T) {
	for _, test := range []struct {
		args string
		want string // groups in order, name/connections/depth each
	}{
		{
			"--ops GET,session-set", // also in small letters
			"GET/50/1;GET/50/16;GET/200/1;GET/200/16;SESSION-SET/50/1",
		},
		{
			"--ops lock,set --conns 3 --depth 2 --feature-conns 7,8",
			"LOCK/7/1;LOCK/8/1;SET/3/2",
		},
		{ // neither with many connections nor in pipelines
			"--ops GET,multi-3,Lock-Script --feature-conns 7",
			"GET/50/1;GET/50/16;GET/200/1;GET/200/16;MULTI-3/7/1;LOCK-SCRIPT/7/1",
		},
		{ // compared with each other, so in one group, wherever they stand
			"--ops GET-LOCAL,LIMIT,LIMIT-DENIED --feature-conns 7,8",
			"LIMIT/7/1;LIMIT/8/1;LIMIT-DENIED/7/1,GET-LOCAL/7/1;LIMIT-DENIED/8/1,GET-LOCAL/8/1",
		},
		{"--ops LIMIT-DENIED", "LIMIT-DENIED/50/1"},
		{"--ops GET-LOCAL", "GET-LOCAL/50/1"},
		{"--targets 127.0.0.1:6379 --conns 1 --depth 1", "SET/1/1;INCR/1/1;GET/1/1;MULTI-3/50/1;LOCK-SCRIPT/50/1;THROTTLE-SCRIPT/50/1"},
		{"--targets 127.0.0.1:6379 --ops LOCK", "LOCK/50/1"},
	} {
		s, err := parse(strings.Fields(test.args), io.Discard)
		if err != nil {
			t.Errorf("%s: %v", test.args, err)
			continue
		}
		var groups []string
		for _, group := range s.groups() {
			var workloads []string
			for _, w := range group {
				workloads = append(workloads, fmt.Sprintf("%s/%d/%d", w.op.name, w.conns, w.depth))
			}
			groups = append(groups, strings.Join(workloads, ","))
		}
		if got := strings.Join(groups, ";"); got != test.want {
			t.Errorf("%s: got %s, want %s", test.args, got, test.want)
		}
	}
}

func TestWithoutFlagsAllIsMeasured(t *testing.T) {
	s, err := parse(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := namesOf(s.ops), namesOf(operations); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, name := range []string{"SET", "INCR", "GET", "MULTI-3", "LOCK-SCRIPT", "THROTTLE-SCRIPT"} {
		if o := operationOf(name); !knows("redis", o) || knows("etcd", o) {
			t.Errorf("%s: got knows %t, %t, want it of Redis and not of etcd", name, knows("redis", o), knows("etcd", o))
		}
	}
}

func TestWrongFlags(t *testing.T) {
	for _, args := range []string{
		"--ops PING", "--ops SET,,GET", "--feature-conns 0", "--conns x", "--keys 0",
		"--targets localhost:6379", "--rounds 0", "more",
	} {
		if _, err := parse(strings.Fields(args), io.Discard); err == nil {
			t.Errorf("%s: got no error, want one", args)
		}
	}
}
