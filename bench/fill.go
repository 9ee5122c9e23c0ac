//go:build linux

package main

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/huddlecache/huddle/internal/respclient"
)

// fillers is how many connections make names ready at once.
const fillers = 50

// fill writes all keys that GET reads.
func (s *server) fill(keys, value int) error {
	if s.driver != nil {
		return s.driver.fill(keys, value)
	}
	c := respclient.New(s.targets[0].String(), 5*time.Second)
	defer c.Close()
	for n := 0; n < keys; {
		args := []string{"MSET"}
		for ; n < keys && len(args) < 200; n++ {
			args = append(args, fmt.Sprintf("key:%0*d", keyDigits, n), strings.Repeat("x", value))
		}
		if _, err := c.Do(args...); err != nil {
			return fmt.Errorf("filling %s: %w", s.name, err)
		}
	}
	return nil
}

// prepare loads the scripts of a workload and makes its names ready.
func (s *server) prepare(w workload) error {
	if s.driver != nil {
		return nil
	}
	for _, script := range w.op.scripts {
		if err := s.loadScript(script); err != nil {
			return fmt.Errorf("loading a script for %s on %s: %w", w.op.name, s.name, err)
		}
	}
	if w.op.fill == nil {
		return nil
	}
	return s.fillNames(w)
}

// loadScript loads a script by one node: the others know it then.
func (s *server) loadScript(script string) error {
	c := respclient.New(s.targets[0].String(), 5*time.Second)
	defer c.Close()
	_, err := c.Do("SCRIPT", "LOAD", script)
	return err
}

// fillNames makes the names of a workload ready, as each command has to wait by
// many connections.
func (s *server) fillNames(w workload) error {
	value := strings.Repeat("x", w.value)
	failures := make([]error, fillers)
	var workers sync.WaitGroup
	for i := range fillers {
		workers.Go(func() {
			c := respclient.New(s.targets[i%len(s.targets)].String(), 5*time.Second)
			defer c.Close()
			for n := i; n < w.keys; n += fillers {
				name := fmt.Sprintf("%0*d", keyDigits, n)
				if _, err := c.Do(w.op.fill(name, value)...); err != nil {
					failures[i] = fmt.Errorf("filling %s for %s: %w", s.name, w.op.name, err)
					return
				}
			}
		})
	}
	workers.Wait()
	return errors.Join(failures...)
}
