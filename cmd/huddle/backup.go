package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/huddlecache/huddle/cluster"
)

type backupCommand struct {
	clientFlags
	File string `arg:"" help:"File to write; - is standard output. A file that is there is replaced once the backup is whole."`
}

// Run writes a consistent snapshot of the replicated state to a file.
func (c *backupCommand) Run(ctx context.Context, p process) error {
	if c.File == "-" {
		info, size, err := c.fetch(ctx, p, p.stdout)
		if err == nil {
			fmt.Fprintln(p.stderr, describeBackup(info, size))
		}
		return err
	}
	path, err := backupPath(c.File)
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return fmt.Errorf("writing the backup: %w", err)
	}
	info, size, err := c.fetch(ctx, p, file)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	_, err = fmt.Fprintf(p.stdout, "%s, in %s\n", describeBackup(info, size), c.File)
	return err
}

// backupPath is the file that a name stands for. A backup takes the place of a
// file, and never that of a device or directory.
func backupPath(name string) (string, error) {
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return name, nil
	case err != nil:
		return "", fmt.Errorf("writing the backup: %w", err)
	case !info.Mode().IsRegular():
		return "", usagef("%q is no file: give the name of one, or - for standard output", name)
	}
	return filepath.EvalSymlinks(name)
}

// fetch writes the node's backup to out, and makes sure that it is whole.
func (c *backupCommand) fetch(ctx context.Context, p process, out io.Writer) (cluster.BackupInfo, int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	answer, base, err := c.transfer(ctx, p, http.MethodGet, http.NoBody, 0)
	if err != nil {
		return cluster.BackupInfo{}, 0, err
	}
	defer func() { _ = answer.Body.Close() }() // only read
	if answer.StatusCode != http.StatusOK {
		if err := decodeAnswer(base, answer, nil); err != nil {
			return cluster.BackupInfo{}, 0, err
		}
		return cluster.BackupInfo{}, 0, notANode(base)
	}
	from := &tracked{from: answer.Body, show: newProgress(p, "backup", -1), stalled: func() { cancel(errStalled) }}
	to := &sink{w: out}
	info, err := cluster.VerifyBackup(io.TeeReader(from, to))
	size, broken := from.end()
	switch {
	case to.err != nil:
		return info, size, fmt.Errorf("writing the backup: %w", to.err)
	case errors.Is(context.Cause(ctx), errStalled):
		return info, size, fmt.Errorf("%w from %s: try again, or ask another node with --addr", errStalled, base)
	case broken != nil:
		return info, size, fmt.Errorf("the backup is not whole, as %s has broken off (%w): try again, or ask another node with --addr", base, broken)
	case errors.Is(err, cluster.ErrNewer):
		return info, size, fmt.Errorf("%w: run the huddle of that node's release", err)
	case err != nil:
		return info, size, fmt.Errorf("%w: try again, or ask another node with --addr", err)
	}
	return info, size, nil
}

func describeBackup(info cluster.BackupInfo, size int64) string {
	return fmt.Sprintf("backup of cluster %s at index %d, %s, %s", info.Cluster, info.Index, info.Time.Format(time.RFC3339), formatSize(size))
}

// A sink remembers the error of its writer.
type sink struct {
	w   io.Writer
	err error
}

func (s *sink) Write(b []byte) (int, error) {
	n, err := s.w.Write(b)
	s.err = errors.Join(s.err, err)
	return n, err
}
