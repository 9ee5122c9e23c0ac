//go:build linux

package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// start starts the servers that know any of the operations, each with a
// directory of its own.
func (s *settings) start(dir string, progress io.Writer) ([]*server, error) {
	if len(s.targets) > 0 {
		given := &server{name: "target", targets: s.targets, watched: s.pids}
		return []*server{given}, given.awaitSet()
	}
	var servers []*server
	for _, name := range s.servers {
		if !slices.ContainsFunc(s.ops, func(o *operation) bool { return knows(name, o) }) {
			continue
		}
		fmt.Fprintf(progress, "starting %s\n", name)
		own := filepath.Join(dir, name)
		if err := os.Mkdir(own, 0o755); err != nil {
			return servers, fmt.Errorf("creating a directory: %w", err)
		}
		server, err := s.startOne(name, own)
		if server != nil {
			servers = append(servers, server)
		}
		if err != nil {
			return servers, err
		}
	}
	return servers, nil
}

func (s *settings) startOne(name, dir string) (*server, error) {
	switch name {
	case "redis", "always":
		return startRedis(name, s.redis, dir, name == "always")
	case "etcd":
		return startEtcd(s.etcd, dir, s.nodes)
	case "durable", "ephemeral":
		if s.huddle == "" {
			s.huddle = filepath.Join(filepath.Dir(dir), "huddle")
			build := exec.Command("go", "build", "-trimpath", "-o", s.huddle, "github.com/huddlecache/huddle/cmd/huddle")
			if out, err := build.CombinedOutput(); err != nil {
				return nil, fmt.Errorf("building huddle: %w\n%s", err, out)
			}
		}
		if name == "ephemeral" {
			dir = ""
		}
		return startHuddle(name, s.huddle, dir, s.nodes)
	}
	return nil, fmt.Errorf("--servers: %q is not durable, ephemeral, redis, always or etcd", name)
}
