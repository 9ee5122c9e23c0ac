//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// measureDisk appends 4 KiB to a file in dir and waits for the disk, count
// times, and returns how long each took: no server that waits for the disk is
// faster than that for one command after another.
func measureDisk(dir string, count int, into *histogram) error {
	path := filepath.Join(dir, "fdatasync")
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("measuring the disk: %w", err)
	}
	defer os.Remove(path)
	defer f.Close()
	block := make([]byte, 4<<10)
	for range count {
		begin := time.Now()
		if _, err := f.Write(block); err != nil {
			return fmt.Errorf("measuring the disk: %w", err)
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return fmt.Errorf("measuring the disk: %w", err)
		}
		into.add(time.Since(begin), 1)
	}
	return nil
}
