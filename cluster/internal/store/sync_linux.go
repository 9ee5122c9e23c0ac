package store

import (
	"errors"
	"os"
	"syscall"
)

// datasync syncs the content of a file whose size has not changed. That spares
// the file system's journal, and most of the time.
func datasync(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
