//go:build linux

package main

import (
	"bufio"
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestRequestsAreWhatTheOperationSays(t *testing.T) {
	const number, given = 123456789, "18446744073709551615"
	name, value := "123456789", strings.Repeat("x", 12)
	for _, o := range operations {
		commands := o.commands(value)
		for depth := 1; depth <= 3; depth++ {
			if depth > 1 && len(commands) > 1 {
				break
			}
			for i, s := range stepsOf(o, len(value), depth) {
				for _, slot := range s.slots {
					s.name(slot, number)
				}
				in := bufio.NewReader(bytes.NewReader(s.with(given)))
				for range depth {
					for _, args := range append([][]string{commands[i].args}, commands[i].more...) {
						want := slices.Clone(args)
						for j := range want {
							want[j] = strings.Replace(want[j], ":"+digits, ":"+name, 1)
							want[j] = strings.Replace(want[j], leaseMark, given, 1)
						}
						if got, err := readCommand(in); err != nil || !slices.Equal(got, want) {
							t.Errorf("%s: got %q (%v), want %q", o.name, got, err, want)
						}
					}
				}
				if rest, _ := io.ReadAll(in); len(rest) > 0 {
					t.Errorf("%s: got %q behind the commands, want nothing", o.name, rest)
				}
			}
		}
	}
}

func TestLeases(t *testing.T) {
	for _, test := range []struct{ reply, want string }{
		{"*3\r\n$2\r\n17\r\n:9\r\n:10000\r\n", "17"},
		{"*3\r\n$20\r\n18446744073709551615\r\n:9", "18446744073709551615"},
		{"*-1\r\n", ""},
		{"*3\r\n:17\r\n:9\r\n:10000\r\n", ""},
		{"*3\r\n$20\r\n184467", ""},
	} {
		got, err := leaseOf([]byte(test.reply))
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%q: got %q, %v, want %q", test.reply, got, err, test.want)
		}
	}
}
