//go:build linux

// Command etcd drives an etcd cluster for the load generator in the directory
// above, which starts it as a child. It is a module of its own, so that nobody
// who imports Huddle gets etcd's client and what that needs.
//
//	etcd ip:port,ip:port,…
//
// It reads orders from its standard input, one JSON value each, carries out one
// after the other, and answers each with figures, one JSON value each, on its
// standard output. It ends with its input.
//
// Each client has a connection of its own, to one of the endpoints in turn, and
// a session for its locks. Both are made when a run first needs them, and kept.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// order is one run, or the filling of the keys that get reads.
type order struct {
	Op      string        `json:"op"`       // put, get, lock, or fill
	Conns   int           `json:"conns"`    // how many clients work at once
	PerName int           `json:"per_name"` // how many clients share a lock
	Keys    int           `json:"keys"`     // how many keys there are, drawn evenly
	Value   int           `json:"value"`    // bytes that put and fill write
	WarmUp  time.Duration `json:"warm_up"`
	Span    time.Duration `json:"span"`
}

// figures are what a run gave.
type figures struct {
	Latency   map[int64]uint64 `json:"latency,omitempty"` // microseconds -> operations in the span that took them
	All       uint64           `json:"all"`               // operations, with those of the warm-up and those that failed
	Errors    uint64           `json:"errors"`            // operations in the span that failed
	LastError string           `json:"last_error,omitempty"`
	CPU       time.Duration    `json:"cpu"`               // of this process
	Failure   string           `json:"failure,omitempty"` // why there was no run
}

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "etcd driver:", err)
		os.Exit(1)
	}
}

// run carries out orders until there are no more.
func run(args []string, in io.Reader, out io.Writer) error {
	if len(args) != 1 {
		return errors.New("usage: etcd ip:port,ip:port,…")
	}
	d := &driver{endpoints: strings.Split(args[0], ",")}
	defer d.close()
	decoder, encoder := json.NewDecoder(in), json.NewEncoder(out)
	decoder.DisallowUnknownFields()
	for {
		var o order
		if err := decoder.Decode(&o); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading an order: %w", err)
		}
		f, err := d.carryOut(o)
		if err != nil {
			f = &figures{Failure: err.Error()}
		}
		if err := encoder.Encode(f); err != nil {
			return fmt.Errorf("writing figures: %w", err)
		}
	}
}
