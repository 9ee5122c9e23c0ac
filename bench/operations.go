//go:build linux

package main

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/huddlecache/huddle/internal/respclient"
)

// operation is what a connection does again and again.
type operation struct {
	name       string
	isWrite    bool
	isFeature  bool     // of Huddle: Redis has no such thing
	isCompound bool     // Redis knows it too, but it is more than one plain command
	isLocal    bool     // the connection reads the local replica
	beside     string   // the operation that its figures are compared with, on the same server
	perName    int      // how many connections use one name; 0: each draws one for each operation
	etcd       string   // what etcd's driver does to match it, if anything
	scripts    []string // must be loaded

	// commands are sent one after another, each when the last one's reply is
	// there. Only an operation of one command can be sent in a pipeline.
	commands func(value string) []command

	// fill returns the command that makes a name ready, if that is needed.
	fill func(name, value string) []string
}

// command is one of an operation.
type command struct {
	args  []string   // digits are the name's number, leaseMark is the lease that the first command got
	more  [][]string // commands behind it in the same write: all of them are one operation
	reply string     // how the reply, or all replies as one text, must begin, or it counts as an error
}

// What stands in arguments for what is not known beforehand.
const (
	valueMark = "{value}"
	leaseMark = "{lease}" // a whole argument
)

// keyDigits is the length of a name's number, so that all requests of a command
// are equal in length.
const keyDigits = 9

// digits is where a name's number comes, behind a colon.
var digits = strings.Repeat("0", keyDigits)

// operations are all that there are, in the order of the table.
var operations = []*operation{
	{
		name: "SET", isWrite: true,
		commands: one("", "SET", "key:"+digits, valueMark),
	},
	{
		name: "INCR", isWrite: true,
		commands: one("", "INCR", "ctr:"+digits),
	},
	{
		name:     "GET",
		commands: one("", "GET", "key:"+digits),
	},
	{
		name: "MULTI-3", isWrite: true, isCompound: true,
		commands: transaction,
	},
	{
		name: "LOCK-SCRIPT", isWrite: true, isCompound: true, perName: 1,
		commands: lockByScript, scripts: []string{lockSave, lockDelete},
	},
	{
		name: "THROTTLE-SCRIPT", isWrite: true, isCompound: true,
		commands: one("*3\r\n:1\r\n", "EVAL", throttle, "1", "throttle:"+digits, callMicrotime, callTime, "60", "1000000000"),
	},
	{
		name: "LOCK", isWrite: true, isFeature: true, perName: 1, etcd: "lock",
		commands: lockAndUnlock,
	},
	{ // 50 connections: 5 names
		name: "LOCK-CONTENDED", isWrite: true, isFeature: true, perName: 10, etcd: "lock",
		commands: lockAndUnlock,
	},
	{
		name: "SESSION-SET", isWrite: true, isFeature: true, etcd: "put",
		commands: one(":", "SESSION.SET", "session:"+digits, valueMark, "PX", hour),
	},
	{
		name: "SESSION-GET", isFeature: true, etcd: "get",
		commands: one("*2\r\n$", "SESSION.GET", "session:"+digits), fill: saveSession,
	},
	{
		name: "SESSION-GET-LOCAL", isFeature: true, isLocal: true,
		commands: one("*2\r\n$", "SESSION.GET", "session:"+digits), fill: saveSession,
	},
	{
		name: "COUNTER-ADD", isWrite: true, isFeature: true,
		commands: one(":", "COUNTER.ADD", "counter:"+digits, "1"),
	},
	{
		name: "LIMIT", isWrite: true, isFeature: true,
		commands: one("*5\r\n:1\r\n", "LIMIT.TAKE", "wide:"+digits, "FIXED", "1000000000", hour),
	},
	{
		name: "LIMIT-DENIED", isFeature: true, beside: "GET-LOCAL",
		commands: one("*5\r\n:0\r\n", "LIMIT.TAKE", "used:"+digits, "FIXED", "1", hour),
		fill: func(name, _ string) []string {
			return []string{"LIMIT.TAKE", "used:" + name, "FIXED", "1", hour}
		},
	},
	{
		name: "GET-LOCAL", isFeature: true, isLocal: true,
		commands: one("$", "GET", "key:"+digits),
	},
}

// hour is the time to live of what is stored, in milliseconds.
const hour = "3600000"

// isPlain tells whether it is one of Redis' commands alone, and so is also
// measured with more connections and in pipelines.
func (o *operation) isPlain() bool { return !o.isFeature && !o.isCompound }

// namesOf returns the names of operations.
func namesOf(operations []*operation) string {
	var names []string
	for _, o := range operations {
		names = append(names, o.name)
	}
	return strings.Join(names, ",")
}

// operationOf returns the operation of a name, nil if there is none.
func operationOf(name string) *operation {
	for _, o := range operations {
		if o.name == name {
			return o
		}
	}
	return nil
}

// one returns the commands of an operation of one command.
func one(reply string, args ...string) func(value string) []command {
	return func(value string) []command {
		own := make([]string, len(args))
		for i, arg := range args {
			own[i] = strings.ReplaceAll(arg, valueMark, value)
		}
		return []command{{args: own, reply: reply}}
	}
}

func lockAndUnlock(string) []command {
	return []command{
		{args: []string{"LOCK.ACQUIRE", "lock:" + digits, "PX", "10000", "WAIT", "5000"}, reply: "*3\r\n$"},
		{args: []string{"LOCK.RELEASE", "lock:" + digits, leaseMark}, reply: ":1\r\n"},
	}
}

// transaction sends all of a transaction at once, as clients do.
func transaction(value string) []command {
	return []command{{
		args: []string{"MULTI"},
		more: [][]string{
			{"SET", "page:" + digits, value},
			{"INCR", "visits:" + digits},
			{"EXPIRE", "visits:" + digits, "3600"},
			{"EXEC"},
		},
		reply: "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n+OK\r\n:",
	}}
}

func saveSession(name, value string) []string {
	return []string{"SESSION.SET", "session:" + name, value, "PX", hour}
}

// step is a command as it is sent, several times over in a pipeline.
type step struct {
	request []byte
	slots   [][]int // where in request the number of each one's name begins
	parts   int     // replies to each one
	lease   int     // where in request the lease comes, 0: nowhere
	reply   string
}

// stepsOf returns the steps of an operation with depth commands in a pipeline.
func stepsOf(o *operation, value, depth int) []step {
	var steps []step
	for _, c := range o.commands(strings.Repeat("x", value)) {
		s := step{reply: c.reply, parts: 1 + len(c.more)}
		b := respclient.AppendCommand(nil, c.args...)
		for _, args := range c.more {
			b = respclient.AppendCommand(b, args...)
		}
		if at := bytes.Index(b, bulk(leaseMark)); at >= 0 {
			b = bytes.Replace(b, bulk(leaseMark), nil, 1)
			s.lease = at
		}
		for range depth {
			s.slots = append(s.slots, slotsIn(b, len(s.request)))
			s.request = append(s.request, b...)
		}
		steps = append(steps, s)
	}
	return steps
}

// slotsIn returns where in b, which begins at an offset, names' numbers come.
func slotsIn(b []byte, offset int) (slots []int) {
	mark := []byte(":" + digits)
	for at := 0; ; at += keyDigits {
		n := bytes.Index(b[at:], mark)
		if n < 0 {
			return slots
		}
		at += n + len(":")
		slots = append(slots, offset+at)
	}
}

// name writes the number of a name into its slots.
func (s *step) name(slots []int, number int) {
	for i := keyDigits - 1; i >= 0; i-- {
		for _, at := range slots {
			s.request[at+i] = byte('0' + number%10)
		}
		number /= 10
	}
}

// with returns the request with a lease where it has one.
func (s *step) with(lease string) []byte {
	if s.lease == 0 {
		return s.request
	}
	whole := append([]byte(nil), s.request[:s.lease]...)
	whole = append(whole, bulk(lease)...)
	return append(whole, s.request[s.lease:]...)
}

// bulk returns a bulk string.
func bulk(s string) []byte { return fmt.Appendf(nil, "$%d\r\n%s\r\n", len(s), s) }

// leaseOf returns the lease in the reply to LOCK.ACQUIRE, an array whose first
// element it is.
func leaseOf(reply []byte) (string, error) {
	lines := strings.SplitN(string(reply), "\r\n", 4)
	if len(lines) == 4 && lines[1] == "$"+strconv.Itoa(len(lines[2])) {
		return lines[2], nil
	}
	return "", fmt.Errorf("no lease in the reply %q", reply)
}
