//go:build !unix

package store

import "os"

// lockFile opens the lock of a directory. Where there is no flock, BoltDB's
// own lock of the log keeps a second process out.
func lockFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
}
