package store

import (
	"bytes"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

var idEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

const idLength = 26

func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return idEncoding.EncodeToString(b[:])
}

func validID(id string) bool {
	_, err := idEncoding.DecodeString(id)
	return err == nil && len(id) == idLength
}

// writeFile puts a file in place, whole or not at all, and returns when it
// would outlive a power failure.
func writeFile(path string, content []byte) error {
	tmp := path + tmpSuffix
	if err := writeSynced(tmp, content); err != nil {
		_ = os.Remove(tmp) // it is in nobody's way
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// writeSynced writes a file and syncs its content, not its name.
func writeSynced(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncDir makes the names in a directory outlive a power failure.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// removeFile removes a file that may not be there, for good.
func removeFile(path string) error {
	if err := os.Remove(path); errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// rewrite writes a file over with what it holds, and syncs it. After a sync
// that failed the system may take pages for written that are not on the disk,
// and no later sync would write them. Pages of zeros are left out: they may be
// holes, which take no room on the disk.
func rewrite(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	page := make([]byte, slotSize)
	for at := int64(0); err == nil; at += slotSize {
		var n int
		if n, err = f.ReadAt(page, at); bytes.Count(page[:n], []byte{0}) == n {
			continue
		}
		if _, werr := f.WriteAt(page[:n], at); werr != nil {
			err = werr
		}
	}
	if errors.Is(err, io.EOF) {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// readLine reads a file of one line.
func readLine(path string) (string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	line, ok := strings.CutSuffix(string(content), "\n")
	if !ok || strings.Contains(line, "\n") {
		return "", fmt.Errorf("%w: %s is not one line", ErrDamaged, path)
	}
	return line, nil
}
